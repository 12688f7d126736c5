"""Commands and groups of commands of ``winnow``, a file each."""
