"""The epochs of the retriever's two fits: validation, patience, a budget, and checkpoints to go on from."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from winnow.features.table import FeatureSet
from winnow.provenance import Curve, Point
from winnow.settings.training import RetrieverSettings
from winnow.training.loop.checkpoints import Checkpoints
from winnow.training.loop.devices import threads_for
from winnow.training.loop.profiling import profiled
from winnow.training.loop.progress import Progress
from winnow.training.loop.ranks import Ranks
from winnow.training.retriever.fit import Fit
from winnow.training.retriever.trained import TrainedRetriever
from winnow.training.retriever.validation import gains, validation_rows
from winnow.training.retriever.windows import Windows, batches, epoch_windows, newer_windows

HOLDOUT, SERVED = 0, 1

_LONG = 400
"""Batches from which on an epoch is long: a validation follows every one of them, otherwise every second."""

_GAIN = 1.01
"""What the validations of a long log must reach together to count as an improvement, in multiples of the score before
them: its epochs take minutes. Those of a short log are cheap, and their scores noisy."""

_ASKED = 20
"""Steps between two questions of all ranks whether the budget is spent."""


class Position(BaseModel):
    """Where a training stands: what a checkpoint holds beside the tensors.

    Attributes:
        stage: 0 for the holdout fit, 1 for the served one.
        epoch: the running one, from 1.
        batch: batches of it that were learned.
        step: steps of the stage.
        best_score: best validation.
        best_epoch: its epoch.
        reached: the validation from which patience counts.
        since: validations after it.
        points: the epochs of each stage that have ended.
    """

    model_config = ConfigDict(extra="forbid")

    stage: int = 0
    epoch: int = 1
    batch: int = 0
    step: int = 0
    best_score: float = -1.0
    best_epoch: int = 0
    reached: float = 0.0
    since: int = 0
    # A list, because a checkpoint holds JSON.
    points: list[list[Point]] = [[], []]


class Course:
    """Both fits, from the newest checkpoint on.

    Args:
        fit: the towers, not trained.
        until: int64 [users], row of the log after the last that the holdout fit learns from.
        ranks: the processes that train together.
        checkpoints: where to keep them; ``None`` keeps none.
        show_progress: draw bars.
        profile: folder that gets a trace of a few steps.
        since: int64 [users], the row of each user's first event that the towers have not learned, where they are a
            release's: epochs of the holdout fit are of those events and a sample of the others, and every one of them
            is validated, beginning with the towers as they are, on the users of whom it learns something. The others'
            moments chose the towers once, which therefore rank them better than any later epoch. ``None`` where the
            towers are not trained.

    Attributes:
        stopped: why the holdout fit ended before its validation had stopped improving; empty where it had.
    """

    def __init__(
        self,
        fit: Fit,
        until: NDArray[np.int64],
        ranks: Ranks,
        checkpoints: Checkpoints | None,
        show_progress: bool,
        profile: Path | None,
        since: NDArray[np.int64] | None = None,
    ) -> None:
        self._fit, self._until, self._ranks, self._checkpoints = fit, until, ranks, checkpoints
        self._profile, self._since = profile, since
        self._show = show_progress and ranks.rank == 0
        self._settings, self._features = fit.settings, fit.features
        log = fit.features.interactions
        learned = np.ones(log.users, np.bool_) if since is None else since < until
        self._asked = validation_rows(log, fit.values, until, learned, self._settings.validation_users)
        self._began, self._windows = time.monotonic(), 0
        self._best = fit.snapshot()
        self._position = Position()
        self.stopped, self._cut = "", False
        found = checkpoints.newest() if checkpoints else None
        if found is not None:
            self._best = fit.empty()
            found.load(self._tensors())
            self._best = fit.with_vectors(self._best.item_tower, self._best.user_tower)
            self._position = Position.model_validate(found.position)
            fit.resume(self._position.step)

    @property
    def validation(self) -> float:
        """The ndcg@10 of the holdout fit's best model; all ranks ask for it together."""
        return self._position.best_score if self.best_epoch else self._validate(self._best)

    @property
    def best_epoch(self) -> int:
        """Epoch of the holdout fit that validated best; 0 where there was nothing to learn."""
        return self._position.best_epoch

    @property
    def curves(self) -> dict[str, Curve]:
        """The courses of both fits; without one that had nothing to learn."""
        names = (("retriever, holdout fit", "ndcg@10"), ("retriever", ""))
        found = zip(names, self._position.points, strict=True)
        return {name: Curve(validation=what, points=points) for (name, what), points in found if points}

    def holdout_fit(self) -> TrainedRetriever:
        """Train without the withheld events, until the validation has not improved for a while; its best model."""
        at, patience = self._position, self._settings.patience
        if at.stage == HOLDOUT and (self._fit.values > 0).any():
            if self._since is not None:
                at.best_score = at.reached = self._validate(self._best)
            with self._bar("retriever, holdout fit", self._until, self._settings.max_epochs) as progress:
                for epoch, long in self._epochs(self._until, self._settings.max_epochs, progress):
                    if not (long or epoch % 2 == 0 or self._cut or self._since is not None):
                        continue
                    model = self._fit.snapshot()
                    score = self._validate(model)
                    points = at.points[HOLDOUT]
                    points[-1] = points[-1].model_copy(update={"validation": score})
                    at.since += 1
                    if score > at.best_score:
                        self._best, at.best_score, at.best_epoch = model, score, epoch
                    if score > (_GAIN if long else 1.0) * at.reached:
                        at.reached, at.since = score, 0
                    progress.show({"epoch": epoch, "ndcg@10": score, "best": at.best_score})
                    if at.since >= patience:
                        break
        return self._best

    def served(
        self, epochs: int, start: TrainedRetriever | None = None, since: NDArray[np.int64] | None = None
    ) -> TrainedRetriever:
        """Continue with the whole log, from the best of the holdout fit or from a release's model.

        Args:
            epochs: over the log.
            start: the release's model; ``None`` continues from the holdout fit.
            since: int64 [users], the row of each user's first event that ``start`` has not learned: epochs are of those
                events and a sample of the others. ``None`` for epochs over the whole log.
        """
        self._since = since
        if self._position.stage == HOLDOUT:
            self._fit.begin(start or self._best)
            kept = self._position.model_dump(include={"best_score", "best_epoch", "points"})
            self._position = Position(stage=SERVED, **kept)
        self._cut = False
        log = self._features.interactions
        with self._bar("retriever", log.offsets[1:], epochs) as progress:
            for _ in self._epochs(log.offsets[1:], epochs, progress):
                pass
        return self._fit.snapshot()

    def _bar(self, name: str, until: NDArray[np.int64], epochs: int) -> Progress:
        plan = epoch_batches(self._features, until, self._fit.values, self._settings, (0, 0), self._since)
        events = sum(int((windows.end - windows.start).sum()) for windows in plan)
        return Progress(name, events * epochs, "event", self._show)

    def _epochs(self, until: NDArray[np.int64], epochs: int, progress: Progress) -> Iterator[tuple[int, bool]]:
        """Learn from the rows before ``until``, from where the training stands.

        Yields:
            The number of every epoch that ended, and whether it is long.
        """
        fit, at = self._fit, self._position
        trace = f"retriever-{at.stage}-{self._ranks.rank}"
        with profiled(trace, self._profile) as profiler:
            while at.epoch <= epochs and not self._cut:
                seed = (at.stage, at.epoch)
                plan = list(epoch_batches(self._features, until, fit.values, self._settings, seed, self._since))
                if not plan:
                    return  # such as where no user has two different items
                losses = []
                with threads_for(_positions(self._settings) * self._settings.dimension):
                    for windows in plan[at.batch :]:
                        losses.append(fit.learn(windows, at.stage))
                        at.batch, at.step = at.batch + 1, fit.step
                        self._windows += len(windows)
                        progress.step(int((windows.end - windows.start).sum()))
                        profiler.step()
                        self._keep()
                        if self._spent():
                            break
                ended = at.epoch
                if losses:
                    loss = self._ranks.sum(float(np.mean(losses)))
                    at.points[at.stage].append(Point(epoch=ended, loss=loss))
                at.epoch, at.batch = at.epoch + 1, 0
                yield ended, len(plan) >= _LONG

    def _spent(self) -> bool:
        """Whether a budget ends the holdout fit, decided by the first rank for all."""
        minutes, windows = self._settings.minutes, self._settings.windows
        if (minutes is None and windows is None) or self._position.step % _ASKED:
            return False
        spent = []
        elapsed = (time.monotonic() - self._began) / 60
        # The served fit takes about a third of the steps of the holdout fit.
        share = 0.75 if self._position.stage == HOLDOUT else 1.0
        if minutes is not None and self._ranks.agreed(elapsed > share * minutes):
            spent.append(f"retriever.minutes: {minutes:g}")
        if windows is not None and self._windows > windows and self._position.stage == HOLDOUT:
            spent.append(f"retriever.windows: {windows}")
        if spent:
            self.stopped = f"{' and '.join(spent)} ended the training in epoch {self._position.epoch}"
            self._cut = True
        return self._cut

    def _validate(self, model: TrainedRetriever) -> float:
        """The validation's ndcg@10, each rank a share of the moments; 0 where there is none."""
        if not len(self._asked):
            return 0.0
        share = self._asked[self._ranks.share(len(self._asked))]
        return self._ranks.sum(float(gains(model, self._features, share).sum())) / len(self._asked)

    def _tensors(self) -> dict[str, Tensor]:
        best = {f"best.{name}": tensor for name, tensor in self._best.weights().items()}
        return self._fit.state() | best

    def _keep(self) -> None:
        if self._checkpoints is not None and self._checkpoints.due():
            self._checkpoints.save(self._position.model_dump(), self._tensors())


def epoch_batches(
    features: FeatureSet,
    until: NDArray[np.int64],
    values: NDArray[np.float32],
    settings: RetrieverSettings,
    seed: tuple[int, ...],
    since: NDArray[np.int64] | None = None,
) -> Iterator[Windows]:
    """The batches of one epoch, which follow from the seed alone: every rank, and a resumed run, makes the same.

    Args:
        features: the feature set.
        until: int64 [users], row of the log after the last that may be used.
        values: float32 [events], :func:`winnow.features.targets.target_values`.
        settings: sizes.
        seed: the stage and the epoch.
        since: as for :class:`Course`.
    """
    rng = np.random.default_rng((settings.seed, *seed))
    windows = epoch_windows(features.interactions, until, values, settings.history_length, rng)
    if since is not None:
        windows = newer_windows(windows, since, rng)
    events = _positions(settings)
    steps = -(-int((windows.end - windows.start).sum()) // events)
    for _ in range(max(1, settings.steps // max(1, steps))):
        for chosen in batches(windows, events, rng):
            yield windows.take(chosen)


def _positions(settings: RetrieverSettings) -> int:
    """Positions of a batch, padding included."""
    assert settings.batch is not None, "see chosen_for"
    return settings.batch * settings.history_length
