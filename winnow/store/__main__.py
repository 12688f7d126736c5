"""``python -m winnow.store --release-dir DIR``: publish a release to the online store (run as a Job on the cluster).

``--remove NUMBER`` removes one.
"""

import argparse
import os
import sys
from pathlib import Path

from winnow.errors import WinnowError
from winnow.store.connection import LOCAL
from winnow.store.publish import publish, remove


def main() -> None:
    """Publish the release, unless Redis already holds it, or remove one."""
    parser = argparse.ArgumentParser(prog="winnow.store", description="Publish a release to Redis, or remove one.")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--release-dir", type=Path, help="Folder of the release to publish.")
    which.add_argument("--remove", type=int, metavar="NUMBER", help="Number of the release to remove.")
    parser.add_argument(
        "--redis-url", default=os.environ.get("REDIS_URL", LOCAL), help="Address of Redis. Default: $REDIS_URL."
    )
    args = parser.parse_args()
    try:
        if args.remove is not None:
            remove(args.remove, args.redis_url)
        else:
            publish(args.release_dir, args.redis_url, show_progress=False)
    except WinnowError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
