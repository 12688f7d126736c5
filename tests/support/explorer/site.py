"""A running explorer, and a browser's plain requests to it."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.transformer_server import Server, free_port
from winnow.explorer.base.tokens import FIELD
from winnow.local.processes import Process, http_ok

_TOKEN = re.compile(r'name="csrf" value="([0-9a-f]{64})"')


class Site:
    """An explorer.

    Attributes:
        url: its address.
        server: the transformer behind it.
        home: WINNOW_HOME, with ``releases/N``.
        process: of the explorer.
    """

    def __init__(self, url: str, server: Server | None, home: Path, process: Process) -> None:
        self.url, self.server, self.home, self.process = url, server, home, process
        self.http = httpx.Client(base_url=url, timeout=30.0)

    def get(self, path: str, **query: Any) -> httpx.Response:
        """A page."""
        return self.http.get(path, params=query or None)

    def text(self, path: str, **query: Any) -> str:
        """The HTML of a page, which must be 200."""
        response = self.get(path, **query)
        assert response.status_code == 200, (path, response.status_code, response.text)
        return response.text

    def post(self, path: str, data: dict[str, Any] | None = None, page: str = "/", **more: Any) -> httpx.Response:
        """Send a form as a browser does: with the token of a page that has a form, the cookie and the origin."""
        return self.http.post(path, data={FIELD: self.token(page)} | (data or {}), headers={"origin": self.url}, **more)

    def token(self, page: str) -> str:
        """The token in the forms of a page."""
        found = _TOKEN.search(self.text(page))
        assert found, f"{page} has no form with a token"
        return found[1]


@contextmanager
def exploring(
    home: Path, server: Server | str, redis_url: str, log: Path, *flags: str, **environment: str
) -> Iterator[Site]:
    """Run ``winnow explorer``.

    Args:
        home: WINNOW_HOME, with ``releases/N``.
        server: the transformer, or the address of one.
        redis_url: of the stack.
        log: file for its output.
        flags: further flags of the command.
        environment: further variables.
    """
    port = free_port()
    address = server if isinstance(server, str) else server.url
    process = Process(
        "explorer",
        [
            *(sys.executable, "-P", "-c", "from winnow.cli.app import app; app()", "explorer"),
            *(f"--port={port}", f"--transformer={address}", *flags),
        ],
        log=log,
        environment={**os.environ, "WINNOW_HOME": str(home), "REDIS_URL": redis_url, **environment},
        ready=lambda: http_ok(port, "/static/explorer.css"),
    )
    with process:
        site = Site(f"http://127.0.0.1:{port}", server if isinstance(server, Server) else None, home, process)
        with site.http:
            yield site
