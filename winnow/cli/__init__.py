"""The ``winnow`` command: ``app`` holds the commands, the other files hold groups of commands and what they print."""
