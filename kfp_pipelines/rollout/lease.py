"""One rollout at a time: a Lease of the cluster, renewed while the rollout works.

Taking, renewing and giving back are writes of the object that was read, so of two processes the API server refuses one.
"""

import os
import socket
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from kfp_pipelines.rollout.objects import KINDS, Conflict, Object, Objects
from winnow.errors import WinnowError

LEASE_S = 30
"""Seconds after the last renewal until another process may take the lease: some renewals, and a request's limit."""

_POLL_S = 0.5
_FORM = "%Y-%m-%dT%H:%M:%S.%fZ"


class Held(WinnowError):
    """Another process rolls a release out."""


class Lease:
    """The right to roll a release out in a chain, as a context; it is given back at the end.

    Args:
        objects: of the chain's namespace.
        chain: name of the stable chain.
        seconds: after the last renewal until another process may take it.

    Raises:
        Held: on entry, another process has renewed the lease while this one waited for it to expire; on renewal, it has
            taken the lease.
    """

    def __init__(self, objects: Objects, chain: str, seconds: int = LEASE_S) -> None:
        self._objects = objects
        self._name = f"{chain}-rollout"
        self._holder = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._seconds = seconds

    def __enter__(self) -> "Lease":
        renewed = ""
        while True:
            found = self._objects.get("Lease", self._name)
            spec: dict[str, Any] = (found or {}).get("spec", {})
            if renewed and spec.get("renewTime", renewed) != renewed:
                raise Held(
                    f"{spec.get('holderIdentity')} rolls a release out already; wait for it, or stop it (--stop)"
                )
            if self._take(found, spec):
                return self
            renewed = renewed or str(spec.get("renewTime", ""))
            time.sleep(_POLL_S)

    def renew(self) -> None:
        """Keep the lease; to be called more often than it lasts."""
        found = self._objects.get("Lease", self._name)
        if found is None or found["spec"].get("holderIdentity") != self._holder:
            raise Held("another process has taken the rollout over, because this one did not answer in time")
        self._write(found)

    def __exit__(self, *error: object) -> None:
        with suppress(WinnowError):  # It expires where it cannot be given back.
            found = self._objects.get("Lease", self._name)
            if found and found["spec"].get("holderIdentity") == self._holder:
                found["spec"]["holderIdentity"] = ""
                self._objects.replace(found)

    def _take(self, found: Object | None, spec: dict[str, Any]) -> bool:
        """Take the lease if it is free or has expired; whether it was taken."""
        if spec.get("holderIdentity") and not _expired(spec):
            return False
        try:
            self._write(found)
        except Conflict:
            return False
        return True

    def _write(self, found: Object | None) -> None:
        now = datetime.now(UTC).strftime(_FORM)
        spec = {"holderIdentity": self._holder, "leaseDurationSeconds": self._seconds, "renewTime": now}
        if found is not None:
            self._objects.replace(found | {"spec": found["spec"] | spec})
            return
        metadata = {"name": self._name, "namespace": self._objects.namespace}
        self._objects.create({"apiVersion": KINDS["Lease"], "kind": "Lease", "metadata": metadata, "spec": spec})


def _expired(spec: dict[str, Any]) -> bool:
    renewed = datetime.strptime(spec["renewTime"], _FORM).replace(tzinfo=UTC)
    return datetime.now(UTC) > renewed + timedelta(seconds=spec["leaseDurationSeconds"])
