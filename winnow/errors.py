"""Errors meant for people: each says what is wrong and what to do about it."""

import errno

# A write does not know its file's name.
_FULL = frozenset({errno.EDQUOT, errno.ENOSPC})
_OF_THE_MACHINE = _FULL | frozenset(
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
    """Something a person can put right; the message names the thing and the remedy."""

    exit_code = 1


class DataError(WinnowError):
    """The data set breaks its contract; the message is the whole validation report."""

    exit_code = 2


class ReleaseMismatch(WinnowError):
    """Parts of different releases were asked to work together."""


def as_winnow_error(error: Exception) -> WinnowError | None:
    """The error to show to a user in place of ``error``; ``None`` where ``error`` is a bug and needs its traceback.

    A :class:`WinnowError` is returned as it is. An ``OSError`` that comes from the machine's folders, permissions or
    disk space becomes one that names the path and the remedy.
    """
    if isinstance(error, WinnowError):
        return error
    if not isinstance(error, OSError) or error.errno not in _OF_THE_MACHINE:
        return None
    if error.filename is None and error.errno not in _FULL:
        return None
    where = f"{error.filename}: " if error.filename else ""
    return WinnowError(
        f"{where}{error.strerror}. Make room or correct its rights, or let WINNOW_HOME name a folder "
        "that can be written"
    )
