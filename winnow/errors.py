"""Errors meant for people: each says what is wrong and what to do about it."""


class WinnowError(Exception):
    """Something a person can put right; the message names the thing and the remedy."""

    exit_code = 1


class DataError(WinnowError):
    """The data set breaks its contract; the message is the whole validation report."""

    exit_code = 2


class ReleaseMismatch(WinnowError):
    """Parts of different releases were asked to work together."""
