"""Erase a person everywhere that this installation can reach: Redis, its streams, and the exports."""

import json
import sys
from typing import Any

from winnow import files
from winnow.errors import WinnowError
from winnow.feedback.erased_exports import erase_from_exports
from winnow.store.connection import FAILURES, connect
from winnow.users import erase

PROOFS = "erasures"
"""Folder of the proofs, beside the exported streams."""


def erase_person(redis_url: str, user_id: str, exports: str, show_progress: bool) -> dict[str, Any]:
    """Erase a person; repeating it completes what was interrupted.

    Args:
        redis_url: address of Redis.
        user_id: id of the person.
        exports: folder of the exports, local or ``s3://``; it may be missing.
        show_progress: tell on stderr what is done, without the id.

    Returns:
        The proof: what was searched, what was removed, and that a last search found nothing. It is stored in Redis
        and in ``erasures/`` of the exports, and names nobody.

    Raises:
        WinnowError: Redis or the exports cannot be reached, an export is running, or the user was merged into another.
    """

    def tell(what: str) -> None:
        if show_progress:
            sys.stderr.write(f"{what}\n")

    with connect(redis_url) as client:
        try:
            done = erase.erase(client, user_id, tell)
            exported = erase_from_exports(client, exports, tell)
            proof = done._asdict() | {"exports": exported._asdict()}
            erase.keep_proof(client, done, proof)
        except FAILURES as error:
            raise WinnowError(f"Redis failed: erase again, which completes it ({error})") from error
    files.write(files.inside(exports, PROOFS, f"{done.name}.json"), json.dumps(proof, indent=1).encode())
    return proof
