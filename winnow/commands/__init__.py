"""Commands of ``winnow``, one a file."""
