"""``python -m winnow.local HOST PREDICTOR EXPLORE RELEASE PORT...``: the process that ``winnow up --detach`` starts."""

import sys
from typing import cast

from winnow.errors import WinnowError
from winnow.local.background import serve
from winnow.local.stack_state import Predictor
from winnow.ports import Ports

if __name__ == "__main__":
    host, predictor, explore, *numbers = sys.argv[1:]
    release, *ports = map(int, numbers)
    try:
        serve(release, Ports(*ports), host, cast(Predictor, predictor), float(explore))
    except WinnowError as error:
        sys.exit(str(error))
