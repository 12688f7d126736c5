"""A trained ranker: its settings and its weights."""

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from winnow.models.affinity import HistoryAffinity
from winnow.models.ranker import ServedRanker
from winnow.models.towers import Shapes
from winnow.provenance import Curve
from winnow.settings.training import CandidateCounts, RankerSettings
from winnow.training.loop import weights


class _Described(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    shapes: Shapes
    settings: RankerSettings
    candidates: CandidateCounts
    history_length: int
    numerics: int
    conversions: tuple[int, ...]
    unranked_reason: str
    constant_heads: dict[str, str]


@dataclass(frozen=True)
class TrainedRanker:
    """A trained ranker.

    Attributes:
        shapes: sizes that the feature set fixed.
        settings: how it was trained.
        candidates: what each source gave to its training lists, and gives in serving.
        history_length: ``L``.
        numerics: ``M``, numeric columns of an item row.
        conversions: positions of the conversion types among the event types.
        model: in evaluation mode, calibrated, holding the served retriever's item vectors.
        unranked_reason: why no order was learned, so that recommendations come in the order of the sources; empty where
            one was.
        constant_heads: event type -> why its probability is a constant, its base rate.
        curve: the course of its training; not saved.
    """

    shapes: Shapes
    settings: RankerSettings
    candidates: CandidateCounts
    history_length: int
    numerics: int
    conversions: tuple[int, ...]
    model: ServedRanker
    unranked_reason: str = ""
    constant_heads: dict[str, str] = field(default_factory=dict)
    curve: Curve = field(default_factory=lambda: Curve(validation="", points=[]))

    def save(self, folder: Path) -> None:
        """Write weights and settings."""
        described = _Described(
            shapes=self.shapes,
            settings=self.settings,
            candidates=self.candidates,
            history_length=self.history_length,
            numerics=self.numerics,
            conversions=self.conversions,
            constant_heads=self.constant_heads,
            unranked_reason=self.unranked_reason,
        )
        weights.save(folder, described, self.model.state_dict())

    @classmethod
    def load(cls, folder: Path) -> "TrainedRanker":
        """Read what :meth:`save` wrote."""
        described, tensors = weights.load(folder, _Described)
        settings, shapes = described.settings, described.shapes
        numbers = tensors["affinity.relative"]
        cardinality = len(tensors["affinity.category_means"])
        affinity = HistoryAffinity(tensors["affinity.categories"], numbers, cardinality, shapes.events)
        model = ServedRanker(
            shapes,
            described.numerics,
            tensors["item_vectors"],
            affinity,
            described.history_length,
            settings.width,
            settings.dropout,
            described.conversions,
        )
        model.load_state_dict(tensors)
        return cls(
            shapes,
            settings,
            described.candidates,
            described.history_length,
            described.numerics,
            described.conversions,
            model.eval(),
            described.unranked_reason,
            described.constant_heads,
        )
