"""``python -m winnow.local HOST RELEASE PORT...``: the background process that ``winnow up --detach`` starts."""

import sys

from winnow.errors import WinnowError
from winnow.local.background import serve
from winnow.ports import Ports

if __name__ == "__main__":
    host, (release, *ports) = sys.argv[1], map(int, sys.argv[2:])
    try:
        serve(release, Ports(*ports), host)
    except WinnowError as error:
        sys.exit(str(error))
