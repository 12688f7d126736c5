"""``python -m winnow.store --release-dir DIR``: publish a release to the online store (run as a Job on the cluster)."""

import argparse
import os
import sys
from pathlib import Path

from winnow.errors import WinnowError
from winnow.store.connection import LOCAL
from winnow.store.publish import publish


def main() -> None:
    """Publish the release, unless Redis already holds it."""
    parser = argparse.ArgumentParser(prog="winnow.store", description="Publish a release to Redis.")
    parser.add_argument("--release-dir", type=Path, required=True, help="Folder of the release.")
    parser.add_argument(
        "--redis-url", default=os.environ.get("REDIS_URL", LOCAL), help="Address of Redis. Default: $REDIS_URL."
    )
    args = parser.parse_args()
    try:
        publish(args.release_dir, args.redis_url, show_progress=False)
    except WinnowError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
