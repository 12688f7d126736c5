"""Errors for users: each message names what is wrong and the remedy."""

import errno
from pathlib import Path

_DISK_FULL = frozenset({errno.EDQUOT, errno.ENOSPC})
_FILE_SYSTEM = _DISK_FULL | frozenset(
    {
        errno.EACCES,
        errno.EEXIST,
        errno.ELOOP,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)


class WinnowError(Exception):
    """An error that the user can correct; the message names the cause and the remedy."""

    exit_code = 1


class DataError(WinnowError):
    """The data set violates its contract; the message is the whole validation report."""

    exit_code = 2


class ReleaseMismatch(WinnowError):
    """Parts of different releases are combined."""


def file_error(error: OSError, path: Path | str | None = None) -> WinnowError:
    """The sentence for an error of the file system: file, reason and remedy.

    Args:
        error: the operating system's error.
        path: the file or folder in use; an error of a write does not name it.
    """
    where = error.filename or path
    return WinnowError(
        f"{f'{where}: ' if where else ''}{error.strerror or error}. Make room, or correct the path or its permissions; "
        "the environment variable WINNOW_HOME names the folder that Winnow writes to"
    )


def as_winnow_error(error: Exception) -> WinnowError | None:
    """The error to show to a user in place of ``error``; ``None`` where ``error`` is a bug and needs its traceback.

    A :class:`WinnowError` is returned as it is; an ``OSError`` of the file system becomes its :func:`file_error`.
    """
    if isinstance(error, WinnowError):
        return error
    if not isinstance(error, OSError) or error.errno not in _FILE_SYSTEM:
        return None
    if error.filename is None and error.errno not in _DISK_FULL:
        return None
    return file_error(error)
