"""What an id is, of a user, an item or an event: one definition for files and requests.

The words complete "must be …", so both doors refuse an id with the same sentence.
"""

import re

LONGEST = 256
"""Characters (code points)."""

LENGTH = f"a string of 1 to {LONGEST} characters"
PLAIN = "free of control characters"

CONTROL = r"[\x00-\x1f\x7f-\x9f]"
"""Unicode's control characters (Cc), as Python's ``re`` and RE2 both read it."""

_CONTROL = re.compile(CONTROL)


def fault(text: str) -> str | None:
    """What ``text`` must be to be an id; None where it is one."""
    if not 1 <= len(text) <= LONGEST:
        return LENGTH
    return PLAIN if _CONTROL.search(text) else None
