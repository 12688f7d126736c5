"""``python -m winnow.local RELEASE PORT...``: the stack in the background, as ``winnow up --detach`` starts it."""

import sys

from winnow.errors import WinnowError
from winnow.local.ports import Ports
from winnow.local.stack import serve

if __name__ == "__main__":
    release, *ports = map(int, sys.argv[1:])
    try:
        serve(release, Ports(*ports))
    except WinnowError as error:
        sys.exit(str(error))
