"""Losses of the retriever's first steps, one process or several: ``python -m tests.support.training.rank_losses``.

Arguments: the feature set's folder, the retriever's settings as JSON, the number of steps, and the folder to write each
process's share of the losses to.
"""

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from winnow.features.table import FeatureSet
from winnow.settings.training import ComputeSettings, RetrieverSettings
from winnow.training.loop.ranks import Ranks, joined
from winnow.training.retriever.course import epoch_batches
from winnow.training.retriever.fit import Fit
from winnow.training.retriever.train import chosen_for
from winnow.training.retriever.windows import Windows


def losses(features: FeatureSet, settings: RetrieverSettings, steps: int, ranks: Ranks) -> list[float]:
    """This rank's shares of the losses of the first steps."""
    settings = chosen_for(settings, features, torch.device("cpu"))
    fit = Fit(features, settings, ComputeSettings(device="cpu"), ranks)
    until = features.interactions.offsets[1:]

    def batches() -> Iterator[Windows]:
        for epoch in itertools.count():
            yield from epoch_batches(features, until, fit.values, settings, (0, epoch))

    return [fit.learn(windows, 0) for windows in itertools.islice(batches(), steps)]


def main() -> None:
    """Run in the processes of ``torchrun``."""
    features, settings, steps, out = sys.argv[1:]
    with joined(ComputeSettings(device="cpu")) as ranks:
        chosen = RetrieverSettings.model_validate_json(settings)
        shares = losses(FeatureSet.load(Path(features)), chosen, int(steps), ranks)
        (Path(out) / f"{ranks.rank}.json").write_text(json.dumps(shares))


if __name__ == "__main__":
    main()
