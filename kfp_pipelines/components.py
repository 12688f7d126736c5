"""The steps of the pipelines: each hands folders to a function of the library and says where the results are.

A component's source travels inside the compiled pipeline and runs alone, so it imports what it uses in its body, and
its docstring's arguments are what the Kubeflow UI shows.
"""

import os

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

IMAGE = os.environ.get("WINNOW_TRAINING_IMAGE", "winnow-python-training:latest")
"""The image that carries this project with its ``training`` and ``pipelines`` extras; read when compiling."""

step = dsl.component(base_image=IMAGE, install_kfp_package=False)


@step
def ingest(data: str, holdout: str, items: int, users: int, events: int, seed: int, dataset: Output[Dataset]) -> None:
    """Read a data set, or generate the demo marketplace, and validate it before anything else starts.

    Args:
        data: folder, ``s3://`` or ``glue://`` address; empty generates the marketplace.
        holdout: ``last`` keeps every user's last event out, for evaluation; ``none`` keeps all.
        items: items of the marketplace.
        users: users of the marketplace.
        events: events of the marketplace.
        seed: seed of the marketplace.
        dataset: canonical tables.
    """
    from pathlib import Path

    from winnow.datasets.ingest import ingest
    from winnow.datasets.marketplace import MarketplaceSize
    from winnow.release import checked_holdout

    size = MarketplaceSize(items=items, users=users, events=events, seed=seed)
    tables = ingest(data or None, Path(dataset.path), checked_holdout(holdout), size, show_progress=True)
    dataset.metadata |= {"name": tables.spec.name, "items": tables.items.num_rows, "events": tables.events.num_rows}


@step
def encode(dataset: Input[Dataset], encoders: Output[Model]) -> None:
    """Train the encoders on the catalog's pictures and texts, and embed every item.

    Args:
        dataset: canonical tables.
        encoders: weights, tokenizer and the items' embeddings.
    """
    from pathlib import Path

    from winnow.encoders.build import train_encoders
    from winnow.encoders.settings import EncoderSettings

    train_encoders(Path(dataset.path), Path(encoders.path), EncoderSettings(), show_progress=True)


@step
def extract(dataset: Input[Dataset], encoders: Input[Model], features: Output[Dataset]) -> None:
    """Compute point-in-time features, and the schema that training and serving share.

    Args:
        dataset: canonical tables.
        encoders: the items' embeddings.
        features: the feature set.
    """
    from pathlib import Path

    from winnow.features.extract import extract_folder

    extracted = extract_folder(Path(dataset.path), Path(encoders.path), Path(features.path))
    features.metadata |= {"schema_digest": extracted.schema.digest}


@step
def train(
    dataset: Input[Dataset],
    features: Input[Dataset],
    retriever: Output[Model],
    ranker: Output[Model],
    metrics: Output[Metrics],
) -> None:
    """Train the retriever, then the ranker on the candidate lists that the release's sources produce.

    Args:
        dataset: canonical tables, for numbers at past moments.
        features: the feature set.
        retriever: two-tower weights and item-to-item neighbours.
        ranker: ranker weights.
        metrics: ndcg@10 and recall@10 on the users' second-to-last events, the ones that stop the training.
    """
    from pathlib import Path

    from winnow.training import train_models

    measured = train_models(
        Path(dataset.path), Path(features.path), Path(retriever.path), Path(ranker.path), show_progress=True
    )
    for name, value in measured.items():
        metrics.log_metric(name, value)


@step
def release(
    data: str,
    items: int,
    users: int,
    events: int,
    seed: int,
    holdout: str,
    home: str,
    dataset: Input[Dataset],
    encoders: Input[Model],
    features: Input[Dataset],
    retriever: Input[Model],
    ranker: Input[Model],
    parity: Output[Metrics],
) -> int:
    """Export every model to ONNX, prove each equal to PyTorch, and write the next release.

    Args:
        data: where the data came from; empty for the marketplace.
        items: items of the marketplace.
        users: users of the marketplace.
        events: events of the marketplace.
        seed: seed of the marketplace.
        holdout: whether last events were kept out.
        home: where ``releases/`` and ``model_repository/`` are.
        dataset: canonical tables.
        encoders: image and text encoders.
        features: the feature set.
        retriever: two-tower weights and neighbours.
        ranker: ranker weights.
        parity: per model, the largest absolute difference between PyTorch and ONNX Runtime.

    Returns:
        The release's number.
    """
    from pathlib import Path

    from export.release import TrainedParts, export_release
    from winnow.release import Source, checked_holdout

    parts = TrainedParts(
        dataset=Path(dataset.path),
        encoders=Path(encoders.path),
        features=Path(features.path),
        retriever=Path(retriever.path),
        ranker=Path(ranker.path),
    )
    made = export_release(
        parts,
        Path(home),
        source=Source(data=data, items=items, users=users, events=events, seed=seed),
        holdout=checked_holdout(holdout),
        show_progress=True,
    )
    for name, difference in made.manifest.parity.items():
        parity.log_metric(name, difference)
    return made.manifest.number
