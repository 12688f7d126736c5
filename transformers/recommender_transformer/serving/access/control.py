"""Admits or refuses calls by the access file, and reads the file again when it changes."""

import asyncio
import logging
import re
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import Gauge

from recommender_transformer.serving.access import caller
from recommender_transformer.serving.access.caller import COUNTED
from recommender_transformer.serving.access.credentials import credential_of
from recommender_transformer.serving.access.limits import Limits
from recommender_transformer.serving.access.policy import Policy, rules_of, version_of
from recommender_transformer.serving.access.refusals import AccessRefused, Forbidden, RateExceeded
from winnow.errors import WinnowError
from winnow.settings.access import Scope

log = logging.getLogger(__name__)

RELOAD_S = 1.0
"""Interval at which the file is checked for changes."""

MODELS: dict[str, Scope] = {"recommender": "recommend", "events": "events", "items": "catalog", "users": "catalog"}
"""What a call to a model needs; an action of a model may need more, which
:func:`recommender_transformer.serving.access.caller.require` checks."""

_OTHER_MODEL: Scope = "admin"

_MODEL = re.compile(r"/v[12]/models/([^/:]+)")

_OPEN = re.compile(
    r"/|/metrics|/listening|/openapi\.json|/docs|/v2|/v2/health/(live|ready)"
    r"|/v[12]/models(/[^/:]+)?|/v2/models/[^/:]+(/versions/[^/]+)?(/ready)?"
)
"""Paths of GET requests that tell no more than names, health and metrics."""

_FILE = Gauge(
    "winnow_access_file_valid", "1 where the access file in force is the one on the disk; 0 where that is invalid."
)


class AccessControl:
    """Admits or refuses calls.

    Args:
        path: the file of ``--access-file``, or a folder of its parts.
        redis_url: the Redis through which processes share rate limits.

    Raises:
        SettingsError: the file is wrong.
    """

    def __init__(self, path: Path, redis_url: str) -> None:
        self._path = path
        self._limits = Limits(redis_url)
        self._policy = Policy(rules_of(path), self._limits)
        self._version = version_of(path, self._policy.jwks)
        self._scopes: dict[str, Scope] = dict(MODELS)
        _FILE.set(1)

    def protect(self, models: Iterable[str]) -> None:
        """Learn the models of the server; one that :data:`MODELS` lacks needs the scope ``admin``."""
        self._scopes = {model: MODELS.get(model, _OTHER_MODEL) for model in models}

    def admit_http(self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Admit a request over HTTP, and set its caller.

        Raises:
            AccessRefused: it is refused.
        """
        if method in ("GET", "HEAD") and _OPEN.fullmatch(path):
            return
        # Like the router, which matches the decoded path: what it takes for a model's name is taken for one here.
        model = _MODEL.match(path)
        self.admit(None if model is None else model[1], headers)

    def admit(self, model: str | None, headers: Iterable[tuple[bytes | str, bytes | str]]) -> None:
        """Admit a call, and set its caller.

        Args:
            model: the called model. A call to none, or to one that does not exist, needs a key, whatever its scopes.
            headers: names, in lower case, and values.

        Raises:
            AccessRefused: it is refused.
        """
        policy, scope = self._policy, self._scopes.get(model or "")
        label = "(unknown)"
        try:
            credential = credential_of(headers)
            if credential is None:
                known = policy.anyone
                if scope not in known.caller.scopes:
                    label = known.caller.label
                    raise policy.missing()
            else:
                known = policy.caller_of(credential)
                label = known.caller.label
                if scope is not None and scope not in known.caller.scopes:
                    raise Forbidden(scope, known.caller.words)
                if known.bucket is not None and (wait_s := self._limits.take(known.bucket)):
                    raise RateExceeded(wait_s)
        except AccessRefused as refusal:
            COUNTED.labels(label, refusal.outcome).inc()
            raise
        known.granted.inc()
        caller.enter(known.caller)

    async def follow(self) -> None:
        """Read the file again when it changes, and share the rate limits, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._limits.follow())
            group.create_task(self._reload())

    async def _reload(self) -> None:
        said = ""
        while True:
            await asyncio.sleep(RELOAD_S)
            version = version_of(self._path, self._policy.jwks)
            if version == self._version and not said:
                continue
            try:
                rules = await asyncio.to_thread(rules_of, self._path)
            except WinnowError as error:
                _FILE.set(0)
                if said != str(error):
                    log.error(
                        "access: the file has changed and is invalid, so the one before stays in force: %s", error
                    )
                said = str(error)
                continue
            self._policy = Policy(rules, self._limits)
            self._version, said = version_of(self._path, self._policy.jwks), ""
            _FILE.set(1)
            log.warning("access: the file has changed and is in force")
