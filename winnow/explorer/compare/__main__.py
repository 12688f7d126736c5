"""``python -m winnow.explorer.compare N``: serve release N of WINNOW_HOME beside what it serves, until input ends.

Prints the HTTP port once the release answers. Its Redis and models are its own, so nothing of the stack changes.
"""

import sys

from winnow import proxies
from winnow.errors import WinnowError
from winnow.local.stack import beside

if __name__ == "__main__":
    proxies.bypass_loopback()
    try:
        with beside(int(sys.argv[1]), "embedded", show_progress=False) as ports:
            sys.stdout.write(f"{ports.http}\n")
            sys.stdout.flush()
            # The explorer holds the other end, and closes it, too, when it dies.
            sys.stdin.read()
    except KeyboardInterrupt:
        sys.exit(130)
    except (WinnowError, OSError) as error:
        sys.exit(str(error))
