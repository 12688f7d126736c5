"""Checkpoints of a training: where to go on after a process or its machine has ended."""

import copy
import hashlib
import logging
import re
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from pydantic import JsonValue
from torch import Tensor

from winnow import files
from winnow.errors import WinnowError
from winnow.training.loop import checkpoint_files
from winnow.training.loop.checkpoint_files import MANIFEST, Checkpoint, DamagedCheckpoint
from winnow.training.loop.ranks import Ranks

logger = logging.getLogger(__name__)

_NONE = 0
"""In place of the number of a checkpoint, which is from 1."""


class Checkpoints:
    """The checkpoints of one run, in a folder or on S3.

    The state of a training is the same on all ranks, so rank 0 writes it and every rank reads it: it can go on with
    another number of ranks.

    A run has a folder of its own, named by the digest of ``run``. Checkpoints of other data or settings are therefore
    ignored, not refused: a retraining on newer data begins anew at the same address, and an unfinished run still finds
    its own. A run that begins anew beside checkpoints of other runs says so.

    Args:
        address: a folder, or ``s3://bucket/prefix``.
        run: what a training must have in common with the one that it continues, such as its settings as JSON with the
            digest of its features.
        every_minutes: time between two checkpoints.
        keep: how many are kept, the newest; at least 1.
        ranks: the processes that train together.

    Raises:
        WinnowError: the address is neither.
    """

    def __init__(self, address: str, run: str, every_minutes: float, keep: int, ranks: Ranks) -> None:
        if "://" in address and not address.startswith(files.S3):
            raise WinnowError(f"{address}: checkpoints are kept in a folder or at s3://bucket/prefix")
        self._address, self._ranks, self._keep = address, ranks, keep
        self._folder = files.inside(address, f"run-{hashlib.sha256(run.encode()).hexdigest()[:16]}")
        self._seconds = 60 * every_minutes
        self._last = time.monotonic()
        self._damaged: set[int] = set()
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._saving: Future[None] | None = None

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint of this run, the same one on all ranks; ``None`` where there is none.

        Rank 0 chooses it. It skips damaged ones, with a warning.

        Raises:
            WinnowError: the address cannot be reached, or a rank cannot read what rank 0 has read.
        """
        if self._ranks.rank == 0:
            found = self._newest_intact()
            self._ranks.first(found[0] if found else _NONE)
            return found[1] if found else None
        number = self._ranks.first(_NONE)
        return None if number == _NONE else checkpoint_files.read(self._at(number))

    def due(self) -> bool:
        """Whether the time has come for rank 0 to save, and the last checkpoint has been written."""
        idle = self._saving is None or self._saving.done()
        return self._ranks.rank == 0 and idle and time.monotonic() - self._last >= self._seconds

    def save(self, position: Mapping[str, JsonValue], tensors: Mapping[str, Tensor]) -> None:
        """Save a checkpoint. Only rank 0 does; the call waits for a copy to memory, and a thread writes it.

        Args:
            position: where the training stands.
            tensors: name -> tensor, on any device.

        Raises:
            WinnowError: the checkpoint before could not be written.
        """
        if self._ranks.rank != 0:
            return
        self._wait()
        form = torch.contiguous_format
        copied = {name: t.detach().to("cpu", copy=True, memory_format=form) for name, t in tensors.items()}
        self._last = time.monotonic()
        self._saving = self._thread.submit(self._write, copy.deepcopy(dict(position)), copied)

    def close(self) -> None:
        """Wait for the last checkpoint.

        Raises:
            WinnowError: it could not be written.
        """
        self._thread.shutdown()
        self._wait()

    def discard(self) -> None:
        """Delete the checkpoints of this run, once its result has been written. Only rank 0 does.

        Raises:
            WinnowError: the last checkpoint could not be written, or one cannot be deleted.
        """
        self._wait()
        if self._ranks.rank == 0:
            for number in self._stored():
                self._delete(number)

    def _wait(self) -> None:
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def _write(self, position: dict[str, JsonValue], tensors: dict[str, Tensor]) -> None:
        number = max(self._stored(), default=0) + 1
        checkpoint_files.write(self._at(number), position, tensors)
        # Whatever is older and not complete was left by a killed writer.
        stored = self._stored()
        kept = sorted(n for n, complete in stored.items() if complete and n not in self._damaged)[-self._keep :]
        for old in stored:
            if old not in kept:
                self._delete(old)

    def _newest_intact(self) -> tuple[int, Checkpoint] | None:
        stored = self._stored()
        for number in sorted((n for n, complete in stored.items() if complete), reverse=True):
            try:
                return number, checkpoint_files.read(self._at(number))
            except DamagedCheckpoint as error:
                logger.warning("%s; training continues from the checkpoint before, if there is one", error)
                self._damaged.add(number)
        if not stored and any(address.endswith(f"/{MANIFEST}") for address in files.walk(self._address)):
            logger.warning(
                "%s has checkpoints of other data, settings or versions only: training starts from the beginning",
                self._address,
            )
        return None

    def _at(self, number: int) -> str:
        return files.inside(self._folder, f"{number:06}")

    def _stored(self) -> dict[int, bool]:
        """Number of a checkpoint -> whether it is complete."""
        stored: dict[int, bool] = {}
        for address in files.walk(self._folder):
            found = re.fullmatch(r"/(\d{6,})/(.+)", address.removeprefix(self._folder))
            if found:
                number = int(found[1])
                stored[number] = stored.get(number, False) or found[2] == MANIFEST
        return stored

    def _delete(self, number: int) -> None:
        # First what makes it count, so that one that is deleted by half is none.
        files.delete(files.inside(self._at(number), MANIFEST))
        files.delete_folder(self._at(number))
