"""Commands that change what a running stack orders recommendations by."""
