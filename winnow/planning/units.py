"""The per-unit figures that a plan multiplies: a file of measurements, each with how and where it was made.

The shipped file is ``units.yaml`` beside this module. ``python -m benchmarks units FILE`` measures a machine's own.
"""

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from winnow.settings import file

FILE = Path(__file__).with_name("units.yaml")
"""The shipped figures."""

Amount = Annotated[float, Field(ge=0, le=1e15)]
Kind = Literal["measured", "computed", "assumed"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Unit(_Section):
    """One figure.

    Attributes:
        value: the number.
        unit: what it counts, per what.
        kind: ``measured``, ``computed`` from a definition, or ``assumed`` for want of a measurement.
        how: the command, document or calculation it comes from.
        machine: where it was measured; empty where it was not.
    """

    value: Amount
    unit: str
    kind: Kind
    how: str
    machine: str = ""


class Curve(_Section):
    """A figure that depends on a size; linear between its points, and beyond them as between the last two.

    Attributes:
        points: size and number, by ascending size; at least two.
        unit: what it counts, per what, by what size.
        kind: as in :class:`Unit`.
        how: as in :class:`Unit`.
        machine: as in :class:`Unit`.
    """

    points: Annotated[list[tuple[Amount, Amount]], Field(min_length=2, max_length=100)]
    unit: str
    kind: Kind
    how: str
    machine: str = ""

    @model_validator(mode="after")
    def _ascending(self) -> "Curve":
        if any(after[0] <= before[0] for before, after in pairwise(self.points)):
            raise ValueError("points must have ascending sizes")
        return self

    def at(self, size: float) -> float:
        """The number at a size."""
        above = next((k for k, point in enumerate(self.points) if k and point[0] >= size), len(self.points) - 1)
        (left, low), (right, high) = self.points[above - 1], self.points[above]
        return max(0.0, low + (high - low) * (size - left) / (right - left))


class Units(_Section):
    """All per-unit figures.

    Attributes:
        redis_item_bytes: Redis's memory per item of a release.
        redis_item_more_bytes: what the next release of the same items adds.
        redis_user_bytes: Redis's memory per user of a release, by events of the user.
        redis_user_more_bytes: what the next release of the same users adds, by events of the user.
        redis_event_bytes: per event of the last hour, its ``event_id`` and its user's recent events included.
        redis_impression_bytes: per entry of the impression stream.
        redis_request_us: CPU of Redis per recommendation.
        redis_event_us: CPU of Redis per event, with everything that sidecars do for it.
        redis_append_us: the part of it that the event stream's shard bears: the append.
        redis_impression_us: CPU of the impression stream's shard per recommendation.
        transformer_request_ms: CPU of a transformer's process per recommendation.
        transformer_event_ms: CPU of a transformer's process per event.
        transformer_bytes: memory of a transformer without items.
        transformer_item_bytes: memory of a transformer's catalog per item, at 64 dimensions.
        transformer_tables_bytes: memory of what a transformer reads besides: neighbours, columns and orders, per item.
        sidecar_event_ms: CPU of a sidecar per event.
        sidecar_bytes: memory of a sidecar.
        triton_request_ms: CPU of Triton and its models per recommendation, without the scan of the items.
        triton_bytes: memory of Triton with a release's models, without items.
        retriever_item_bytes: memory of the exact retriever's graph per item, at 64 dimensions.
        further_copies: further copies of the item vectors in Triton.
        scan_ms: exact scan of 1,000,000 items of 64 dimensions on one core.
        approximate_ms: approximate search in 1,000,000 items of 64 dimensions on one core.
        approximate_item_bytes: memory of the approximate index per item, at 64 dimensions.
        gpu_scan_ms: exact scan on an H100 for a batch of 32, by items of 64 dimensions.
        gpu_bandwidth: memory bandwidth of the GPU of ``gpu_scan_ms``.
        gpu_speedup: how many times faster a GPU computes the other models in batches of 32 than one core.
        encode_images: images that one GPU encodes per second.
        release_item_bytes: bytes of a release's folder per item.
        release_user_bytes: the same per user.
        release_event_bytes: the same per event of the log.
        embedding_bytes: stored embedding of an item and modality.
    """

    redis_item_bytes: Unit
    redis_item_more_bytes: Unit
    redis_user_bytes: Curve
    redis_user_more_bytes: Curve
    redis_event_bytes: Unit
    redis_impression_bytes: Unit
    redis_request_us: Unit
    redis_event_us: Unit
    redis_append_us: Unit
    redis_impression_us: Unit
    transformer_request_ms: Unit
    transformer_event_ms: Unit
    transformer_bytes: Unit
    transformer_item_bytes: Unit
    transformer_tables_bytes: Unit
    sidecar_event_ms: Unit
    sidecar_bytes: Unit
    triton_request_ms: Unit
    triton_bytes: Unit
    retriever_item_bytes: Unit
    further_copies: Unit
    scan_ms: Unit
    approximate_ms: Unit
    approximate_item_bytes: Unit
    gpu_scan_ms: Curve
    gpu_bandwidth: Unit
    gpu_speedup: Unit
    encode_images: Unit
    release_item_bytes: Unit
    release_user_bytes: Unit
    release_event_bytes: Unit
    embedding_bytes: Unit


@cache
def load(path: Path = FILE) -> Units:
    """Read a file of figures.

    Raises:
        SettingsError: it cannot be read, or a figure is missing or wrong; the message names it.
    """
    return file.load(Units, path)
