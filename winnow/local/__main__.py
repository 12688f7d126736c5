"""``python -m winnow.local HOST PREDICTOR EXPLORE EXPERIMENTS ACCESS EXPLORER RELEASE PORT...``: a stack detached."""

import sys
from pathlib import Path
from typing import cast

from winnow.errors import WinnowError
from winnow.local.background import serve
from winnow.local.stack_state import Predictor
from winnow.ports import Ports

if __name__ == "__main__":
    host, predictor, explore, experiments, access, explorer, *numbers = sys.argv[1:]
    release, *ports = map(int, numbers)
    try:
        serve(
            release,
            Ports(*ports),
            host,
            cast(Predictor, predictor),
            float(explore),
            Path(experiments) if experiments else None,
            Path(access) if access else None,
            bool(explorer),
        )
    except WinnowError as error:
        sys.exit(str(error))
