"""``python -m winnow.explorer HOME TRANSFORMER HOST PORT [ALLOWED_HOST...]``: the explorer of ``winnow up``.

Redis' address and the API key, which are secrets, come from ``REDIS_URL`` and ``WINNOW_API_KEY``.
"""

import os
import sys
from pathlib import Path

from winnow import proxies
from winnow.explorer.app import serve
from winnow.explorer.base.settings import ExplorerSettings, allowed_hosts

if __name__ == "__main__":
    home, transformer, host, port, *further = sys.argv[1:]
    proxies.bypass_loopback()
    serve(
        ExplorerSettings(
            Path(home),
            transformer,
            os.environ["REDIS_URL"],
            os.environ.get("WINNOW_API_KEY"),
            hosts=allowed_hosts(host, further),
        ),
        host,
        int(port),
    )
