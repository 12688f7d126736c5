"""The size of a deployment: the questions that a plan answers from."""

from dataclasses import dataclass, fields
from typing import Literal

from winnow.errors import WinnowError

Modality = Literal["text", "image", "audio"]
Index = Literal["auto", "exact", "approximate", "milvus"]
"""As in the training setting ``index.kind``."""

MODALITIES: tuple[Modality, ...] = ("text", "image", "audio")
INDEXES: tuple[Index, ...] = ("auto", "exact", "approximate", "milvus")

BOUNDS = {
    "users": (0, 10**10),
    "items": (5, 10**10),
    "rps": (0.01, 10**7),
    "events": (0, 10**7),
    "history": (0, 100_000),
    "dimension": (2, 1024),
}
"""Smallest and largest value of each number."""


class WorkloadError(WinnowError):
    """A number of the workload is out of bounds; the message names it."""

    exit_code = 2


@dataclass(frozen=True)
class Workload:
    """A deployment's size at its busiest time.

    Attributes:
        users: users with a history, whose state Redis holds.
        items: items of the catalog.
        rps: recommendations a second at the peak.
        events: events a second at the peak.
        history: mean events per user in the log of a release.
        modalities: what items have beyond ids.
        dimension: width of the item vectors (the training setting ``retriever.dimension``).
        index: how the retriever searches the items.
    """

    users: int
    items: int
    rps: float
    events: float
    history: float = 30
    modalities: tuple[Modality, ...] = ("text", "image")
    dimension: int = 64
    index: Index = "auto"

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name not in BOUNDS:
                continue
            value, (least, most) = getattr(self, field.name), BOUNDS[field.name]
            if not least <= value <= most:
                raise WorkloadError(f"--{field.name}: must be from {least:,} to {most:,}, got {value:,}")
