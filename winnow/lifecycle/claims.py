"""Release numbers, claimed atomically: of builds that run at the same time, no two get the same.

A claim is the file ``claims/N`` of a home, written only where it does not exist yet. It is kept, so that a number is
never given twice, even when its release failed or was collected.
"""

import socket
from datetime import UTC, datetime

from winnow import files
from winnow.lifecycle import conditional_writes

CLAIMS, RELEASES, REPOSITORIES, EVALUATIONS = "claims", "releases", "model_repository", "evaluations"
TRAINING = "training"
"""The folders of a home."""


def claim(home: str) -> int:
    """Claim the next release number.

    Args:
        home: a folder or an ``s3://`` address.

    Returns:
        The number: above that of every release and every claim, without one that another process claimed meanwhile.

    Raises:
        WinnowError: the home cannot be read or written.
    """
    number = max(taken(home), default=0) + 1
    owner = f"{socket.gethostname()} {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n".encode()
    while not conditional_writes.create(files.inside(home, CLAIMS, str(number)), owner):
        number += 1
    return number


def taken(home: str) -> set[int]:
    """The numbers that a home has claims, files of releases or models of."""
    numbers = set()
    for folder in (CLAIMS, RELEASES, REPOSITORIES):
        root = files.inside(home, folder)
        names = {address.removeprefix(root).strip("/").partition("/")[0] for address in files.walk(root)}
        numbers |= {int(name) for name in names if name.isdecimal()}
    return numbers
