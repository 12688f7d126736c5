"""The ``winnow`` command.

``app`` assembles it and turns errors into one line and an exit code. Each other file holds the command that it is named
after (``serve``: `up`, `down` and `demo`; ``items``, ``events`` and ``filters``: command groups). ``options`` declares
options that several commands share, ``show`` prints results,
and ``new_items`` reads the files of `winnow items add`.
"""
