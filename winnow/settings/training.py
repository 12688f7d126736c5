"""The settings of training: what ``winnow build --training FILE`` reads.

docs/training.md describes every field for users. The module is not in :mod:`winnow.training`, which needs torch: the
command line validates a file before any process of the build starts.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from winnow.signatures import NEW_ITEM_CANDIDATES


def _number(value: object) -> object:
    """YAML 1.1 reads ``2e-3``, without a point, as text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


MOST_CANDIDATES = 2048
"""Candidates that the ranker takes per request at most; TensorRT engines are built for as many."""

Number = Annotated[float, BeforeValidator(_number)]
Share = Annotated[Number, Field(ge=0, lt=1)]
Rate = Annotated[Number, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ComputeSettings(_Section):
    """Where training runs.

    Attributes:
        device: ``cpu``, ``cuda``, or ``auto``: a GPU where there is one.
        precision: ``fp32``, ``bf16`` (autocast), or ``auto``: bf16 on a GPU.
        compile: compile the models with ``torch.compile`` before training, which pays off for long runs on a GPU.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False


class RetrieverSettings(_Section):
    """How the retriever is built and trained.

    Attributes:
        dimension: width of item and user vectors; a multiple of ``heads``.
        layers: transformer layers of the user tower.
        heads: attention heads per layer.
        history_length: ``L``, events of a history; the online store keeps 200 per user.
        dropout: in the user tower; by default 0.2 for a dense log up to 0.5 for a sparse one.
        id_dropout: share of item ids hidden in a training step, so that the rest of the tower can stand for them.
        content_dropout: share of items that a training step treats as new: without id, and with half of their content.
        learning_rate: of AdamW, after the warm-up.
        warm_up: steps over which the learning rate rises to its full value.
        weight_decay: of the weight matrices.
        batch: windows of full length per step, as many more of shorter ones as take the same room; by default 256 on a
            GPU, otherwise 8, and for long logs as many as make 600 steps of an epoch, 32 at most.
        minutes: budget of both fits; the holdout fit ends after three quarters of it at the latest.
        windows: training windows after which the holdout fit ends at the latest, counted over all epochs.
        max_epochs: epochs after which the holdout fit ends at the latest.
        patience: validations without improvement after which it ends; there is one after every second epoch, and after
            every epoch of a long log, which must gain 1 % together.
        epochs_without_holdout: epochs of the served model where the log is too short for a holdout fit.
        steps: target number of steps per epoch; a log with fewer than half as many is repeated within the epoch.
        withheld: newest events per user that the holdout fit does not learn from (at most a quarter of the user's).
        validation_users: users that a validation asks at most, drawn at random.
        full_softmax_items: catalogs up to this size are scored whole in training. In larger ones a step scores the
            targets of its batch and sampled negatives, and updates the id vectors of the items in it alone.
        negatives: sampled negatives per step, for larger catalogs.
        seed: of everything random.
    """

    dimension: int = Field(default=64, ge=2, le=1024)
    layers: int = Field(default=2, ge=1, le=24)
    heads: int = Field(default=2, ge=1, le=64)
    history_length: int = Field(default=50, ge=1, le=200)
    dropout: Number | None = Field(default=None, ge=0, lt=1)
    id_dropout: Share = 0.1
    content_dropout: Share = 0.1
    learning_rate: Rate = 3e-3
    warm_up: int = Field(default=100, ge=1, le=1_000_000)
    weight_decay: Number = Field(default=0.01, ge=0, le=1)
    batch: int | None = Field(default=None, ge=1, le=8192)
    minutes: Number | None = Field(default=None, gt=0, le=100_000)
    windows: int | None = Field(default=None, ge=1, le=10**12)
    max_epochs: int = Field(default=100, ge=1, le=10_000)
    patience: int = Field(default=3, ge=1, le=10_000)
    epochs_without_holdout: int = Field(default=8, ge=1, le=10_000)
    steps: int = Field(default=10, ge=1, le=100_000)
    withheld: int = Field(default=8, ge=1, le=200)
    validation_users: int = Field(default=5000, ge=1, le=1_000_000)
    full_softmax_items: int = Field(default=5_000, ge=0, le=200_000)
    negatives: int = Field(default=1_000, ge=1, le=100_000)
    seed: Seed = 0

    @model_validator(mode="after")
    def _heads_divide_dimension(self) -> "RetrieverSettings":
        if self.dimension % self.heads:
            raise ValueError(f"dimension {self.dimension} must be a multiple of heads, which is {self.heads}")
        return self


class CovisitationSettings(_Section):
    """How the co-visitation table is fitted.

    Attributes:
        reach: steps after which a co-visit counts a third of what it counts between neighbours in the sequence.
        farthest: steps from which on a co-visit is not counted.
        neighbours: ``M``, neighbours kept per item at most.
    """

    reach: Number = Field(default=13.0, gt=0, le=1000)
    farthest: int = Field(default=40, ge=2, le=1000)
    neighbours: int = Field(default=100, ge=1, le=1000)


class PopularitySettings(_Section):
    """The list of popular items.

    Attributes:
        items: items in the list at most.
    """

    items: int = Field(default=10_000, ge=100, le=1_000_000)


class CandidateCounts(_Section):
    """How many candidates each source gives, in training and in serving alike.

    Attributes:
        retriever: of the retriever; at most half of the catalog.
        covisitation: of co-visitation.
        trending: of the trending list.
    """

    retriever: int = Field(default=400, ge=1)
    covisitation: int = Field(default=200, ge=1)
    trending: int = Field(default=100, ge=1)

    @model_validator(mode="after")
    def _together_within_the_ranker(self) -> "CandidateCounts":
        # A query by content has a list of the retriever's length as well.
        together = 2 * self.retriever + self.covisitation + self.trending + NEW_ITEM_CANDIDATES
        if together > MOST_CANDIDATES:
            raise ValueError(
                f"2 x retriever + covisitation + trending + {NEW_ITEM_CANDIDATES} must be at most {MOST_CANDIDATES}, "
                f"the candidates that the ranker takes, got {together}"
            )
        return self

    def within(self, items: int) -> "CandidateCounts":
        """The counts for a catalog of ``items``: a retriever that returned more than half of it would not select."""
        return self.model_copy(update={"retriever": min(self.retriever, max(1, items // 2))})


class ListSettings(_Section):
    """Which past moments give candidate lists to the ranker.

    Attributes:
        withheld: withheld moments at most, the newest.
        cold_start_every: one list in so many, at most, is made as for a cold-start user.
        trending_moments: moments at which the trending list is computed; a list gets the latest one before its moment.
    """

    withheld: int = Field(default=6_000, ge=1, le=1_000_000)
    cold_start_every: int = Field(default=4, ge=1, le=1_000_000)
    trending_moments: int = Field(default=48, ge=1, le=10_000)


class RankerSettings(_Section):
    """How the ranker is built and trained.

    Attributes:
        width: of attention, crosses and projections.
        dropout: before the heads and in the deep part.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        batch: lists per step.
        epochs: at most.
        patience: epochs without a better likelihood of the validation lists after which training ends.
        fewest: lists that training and validation need each; with fewer, chance would choose the order, and none is
            learned.
        best: candidates of a list that are always kept: the ones that some source ranks highest.
        others: candidates kept of the rest, drawn at random and weighted to represent all of it.
        moments: interactions that the heads of the event types learn from at most, the newest.
        heads_weight: weight of the heads' losses beside the listwise one.
        seed: of everything random.
    """

    width: int = Field(default=32, ge=2, le=1024)
    dropout: Share = 0.2
    learning_rate: Rate = 2e-3
    weight_decay: Number = Field(default=0.05, ge=0, le=1)
    batch: int = Field(default=32, ge=1, le=8192)
    epochs: int = Field(default=5, ge=1, le=10_000)
    patience: int = Field(default=2, ge=1, le=10_000)
    fewest: int = Field(default=50, ge=2, le=1_000_000)
    best: int = Field(default=40, ge=1, le=10_000)
    others: int = Field(default=40, ge=0, le=10_000)
    moments: int = Field(default=30_000, ge=1, le=10_000_000)
    heads_weight: Number = Field(default=0.2, ge=0, le=100)
    seed: Seed = 0


class IndexSettings(_Section):
    """How the retriever searches the items.

    Attributes:
        kind: ``exact`` scans all items in Triton, ``approximate`` searches a FAISS index of them there, on CPUs,
            ``milvus`` asks a Milvus server; ``auto`` measures the first two at build and takes the faster one that
            keeps ``recall``.
        vectors: precision of the scanned vectors. The best items of an ``fp16`` scan, for GPUs, or of an ``int8`` scan,
            for CPUs, are scored again with the fp32 vectors.
        recall: share of the exact list that an approximate one must contain.
    """

    kind: Literal["auto", "exact", "approximate", "milvus"] = "exact"
    vectors: Literal["fp32", "fp16", "int8"] = "fp32"
    recall: Annotated[Number, Field(ge=0.5, le=1)] = 0.98


class TrainingSettings(_Section):
    """All of training, in sections.

    Attributes:
        retriever: the two-tower model.
        covisitation: the item-to-item table.
        popularity: the list of popular items.
        candidates: what each source gives.
        lists: the ranker's training lists.
        ranker: the ranker.
        compute: device and precision.
        index: how the retriever searches the items.
    """

    retriever: RetrieverSettings = RetrieverSettings()
    covisitation: CovisitationSettings = CovisitationSettings()
    popularity: PopularitySettings = PopularitySettings()
    candidates: CandidateCounts = CandidateCounts()
    lists: ListSettings = ListSettings()
    ranker: RankerSettings = RankerSettings()
    compute: ComputeSettings = ComputeSettings()
    index: IndexSettings = IndexSettings()
