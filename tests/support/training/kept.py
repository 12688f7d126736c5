"""A release as far as training goes on from it, written without an export."""

import json
from pathlib import Path
from typing import Any

from winnow import release
from winnow.features.table import FeatureSet
from winnow.items.arrays import id_arrays
from winnow.release import Release
from winnow.training.incremental.state import TrainingState, written
from winnow.training.ranker.trained import TrainedRanker
from winnow.training.retriever.train import RetrieverTraining


def kept_release(folder: Path, features: Path, number: int = 1, **described: Any) -> tuple[Release, Path]:
    """Write release ``number`` of the models in ``folder/retriever`` and ``folder/ranker``.

    Args:
        folder: gets the release as ``folder/number``, and ``folder/training/number``.
        features: folder of the feature set that the models were trained on.
        number: of the release.
        described: further fields of its manifest.

    Returns:
        The release, and ``training/number``.
    """
    extracted, retrieval = FeatureSet.load(features), RetrieverTraining.load(folder / "retriever")
    log, kept = extracted.interactions, folder / "training" / str(number)
    kept.parent.mkdir(exist_ok=True)
    with written(TrainingState.of(retrieval, TrainedRanker.load(folder / "ranker")), {}, kept) as files:
        found = release.write(
            folder / str(number),
            {
                **id_arrays(extracted.item_ids),
                "user_ids": extracted.user_ids,
                "offsets": log.offsets,
                "item": log.item,
                "item_vectors": retrieval.served.item_vectors.numpy(),
            },
            {
                "schema.json": extracted.schema.model_dump_json(),
                "vocabularies.json": json.dumps(extracted.vocabularies),
            },
            number=number,
            dataset="shop",
            source=release.BuildInputs(),
            holdout="none",
            as_of=extracted.as_of,
            history_length=retrieval.served.settings.history_length,
            candidates={},
            schema_digest=extracted.schema.digest,
            models={},
            parity={},
            training_files=files,
            **described,
        )
    return found, kept
