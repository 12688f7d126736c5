"""``python -m winnow.local HOST RELEASE PORT...``: the stack in the background, as ``winnow up --detach`` starts it."""

import sys

from winnow.errors import WinnowError
from winnow.local.stack import serve
from winnow.ports import Ports

if __name__ == "__main__":
    host, (release, *ports) = sys.argv[1], map(int, sys.argv[2:])
    try:
        serve(release, Ports(*ports), host)
    except WinnowError as error:
        sys.exit(str(error))
