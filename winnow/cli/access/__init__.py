"""Access control on the command line."""
