"""Access control: who calls, what they may do, and how often. Off unless ``--access-file`` names a file."""
