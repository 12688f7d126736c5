"""``python -m winnow.store --release-dir DIR``: publish a release to the online store; a Job of the cluster runs it."""

import argparse
import os
import sys
from pathlib import Path

from winnow.errors import WinnowError
from winnow.store.connection import LOCAL
from winnow.store.publish import publish


def main() -> None:
    """Publish; does nothing where the release is there already."""
    parser = argparse.ArgumentParser(prog="winnow.store", description=__doc__)
    parser.add_argument("--release-dir", type=Path, required=True, help="The folder of the release.")
    parser.add_argument("--redis-url", default=os.environ.get("REDIS_URL", LOCAL), help="Default: $REDIS_URL.")
    args = parser.parse_args()
    try:
        publish(args.release_dir, args.redis_url, show_progress=False)
    except WinnowError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
