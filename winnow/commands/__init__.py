"""Groups of the ``winnow`` command, a file each."""
