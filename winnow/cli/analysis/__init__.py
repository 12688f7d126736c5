"""Commands that analyse what was logged."""
