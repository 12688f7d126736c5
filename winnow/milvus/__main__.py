"""``python -m winnow.milvus --release-dir=DIR`` publishes a release to Milvus, ``--drop=N`` removes release N from it.

The cluster's publishing Job runs the first. A release that is not searched in Milvus is published without a call.
"""

import argparse
import sys
from pathlib import Path

from winnow.errors import WinnowError
from winnow.milvus.connection import TOKEN, URL, address
from winnow.milvus.publish import drop, publish


def main() -> None:
    """Publish or drop, as the options say."""
    parser = argparse.ArgumentParser(
        prog="winnow.milvus", description=f"The items of releases in the Milvus of ${URL} (token: ${TOKEN})."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--release-dir", type=Path, help="Folder of the release to publish.")
    what.add_argument("--drop", type=int, metavar="N", help="Number of the release whose collection is dropped.")
    args = parser.parse_args()
    try:
        if args.release_dir is not None:
            publish(args.release_dir, address(), show_progress=sys.stderr.isatty())
        else:
            for name in drop(address(), args.drop):
                sys.stdout.write(f"dropped {name}\n")
    except WinnowError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
