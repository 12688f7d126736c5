"""The steps of the pipelines: each passes folders to a function of the library and reports its figures.

A component's source travels inside the compiled pipeline and runs alone, so it imports what it uses in its body, and
the Kubeflow UI shows its docstring's arguments. A step records its inputs beside what it writes
(:mod:`winnow.provenance`). An error that a user can correct reaches the terminal of a local run through
:mod:`winnow.result`; lines printed with :func:`kfp_pipelines.console.show` are for people only.
"""

import os
from importlib.metadata import version

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

IMAGE = os.environ.get("WINNOW_TRAINING_IMAGE", f"winnow/training:{version('winnow')}")
"""The image of every step (``images/training``), read when compiling.

By default it has the name that the manifests have, too, of which ``eks/set-names`` makes that of an account's registry.
"""

step = dsl.component(base_image=IMAGE, install_kfp_package=False)


@step
def fingerprint(data: str) -> str:
    """Look at the names, sizes and versions of the data's files, so that later steps are skipped where none changed.

    Args:
        data: folder, ``s3://`` or ``glue://`` address; empty for the marketplace.

    Returns:
        The fingerprint.
    """
    from kfp_pipelines.console import show
    from winnow.datasets.fingerprint import fingerprint
    from winnow.result import reported

    with reported():
        found = fingerprint(data)
        show(f"fingerprint of {data or 'the marketplace'}: {found or 'none'}")
        return found


@step
def ingest(
    data: str,
    fingerprint: str,
    holdout: str,
    items: int,
    users: int,
    events: int,
    seed: int,
    rules: str,
    dataset: Output[Dataset],
) -> None:
    """Read a data set, or generate the demo marketplace, and validate it before anything else starts.

    Args:
        data: folder, ``s3://`` or ``glue://`` address; empty generates the marketplace.
        fingerprint: of the data's files; with the same one, Kubeflow's cache may skip this step.
        holdout: ``last`` keeps the end of every user's log out, for evaluation; ``none`` keeps all.
        items: items of the marketplace.
        users: users of the marketplace.
        events: events of the marketplace.
        seed: seed of the marketplace.
        rules: business rules, as YAML or JSON (docs/rules.md), whose filters must suit the columns; empty for none.
        dataset: canonical tables.
    """
    from pathlib import Path

    from kfp_pipelines.console import show
    from winnow import provenance
    from winnow.datasets.canonical.learnable import check_learnable
    from winnow.datasets.ingest import ingest
    from winnow.datasets.marketplace import MarketplaceSize
    from winnow.release import checked_holdout
    from winnow.result import reported
    from winnow.rules.of_a_build import checked_rules

    with reported(), provenance.measured("ingest", Path(dataset.path)):
        size = MarketplaceSize(items=items, users=users, events=events, seed=seed)
        # On a cluster the other steps run in other pods: their copy of the folder comes from the artefact's address.
        travels = dataset.uri != dataset.path
        folder, kept = Path(dataset.path), checked_holdout(holdout)
        tables = ingest(data or None, folder, kept, size, show_progress=True, carries_media=travels)
        show(*tables.account.lines())
        check_learnable(tables, data or tables.spec.name)
        kept_rules = checked_rules(rules, tables)
        provenance.record(folder, data=data, items=items, users=users, events=events, seed=seed, rules=kept_rules)
        dataset.metadata |= {"name": tables.spec.name, "items": tables.items.num_rows, "events": tables.events.num_rows}


@step
def encode(
    dataset: Input[Dataset],
    settings: str,
    training: str,
    embeddings: str,
    triton: str,
    output: str,
    encoders: Output[Model],
    parity: Output[Metrics],
) -> None:
    """Train or load the encoders, prove their ONNX forms equal to PyTorch, and embed every item whose content is new.

    Args:
        dataset: canonical tables.
        settings: which encoders, as YAML or JSON; empty trains winnow-tiny for every modality.
        training: training settings, as YAML or JSON, whose section ``compute`` chooses the device and the precision.
        embeddings: folder or ``s3://`` address that keeps embeddings by content from run to run, and the weights of
            winnow-tiny; empty keeps none.
        triton: ``host:port`` of a Triton that serves the encoders, to embed with; empty embeds in this process.
        output: Parquet file, local or ``s3://``, that gets a row for every item: its embeddings, or why it has none;
            empty writes none.
        encoders: weights, tokenizer, ONNX files and the items' embeddings.
        parity: per encoder and precision, the mean cosine between PyTorch's and ONNX Runtime's embeddings.
    """
    import json
    from pathlib import Path

    from export.encoders import export_encoders
    from kfp_pipelines.console import show
    from winnow import provenance
    from winnow.embeddings.catalog import embed_catalog
    from winnow.encoders.settings import EncoderSettings
    from winnow.result import reported
    from winnow.settings.file import changed, parse
    from winnow.settings.training import TrainingSettings
    from winnow.training.encoders.build import train_encoders

    with reported(), provenance.measured("encode", Path(encoders.path)):
        tables, folder = Path(dataset.path), Path(encoders.path)
        chosen = EncoderSettings.parse(settings, "encoders")
        compute = parse(TrainingSettings, training, "training").compute
        train_encoders(tables, folder, chosen, compute, show_progress=True, keep_in=embeddings)
        provenance.record(folder, encoders=changed(chosen))
        for row in export_encoders(folder, tables, show_progress=True):
            show(str(row))
            parity.log_metric(f"{row.model}_{row.precision}", row.mean)
        # kfp's cache, which --resume reads, does not hold an output without a file.
        Path(parity.path).write_text(json.dumps(parity.metadata))
        encoded, lines = embed_catalog(tables, folder, embeddings, triton, output, show_progress=True)
        show(*lines)
        encoders.metadata |= {f"{modality}_encoded": count for modality, count in encoded.items()}


@step
def extract(dataset: Input[Dataset], encoders: Input[Model], point_in_time: str, features: Output[Dataset]) -> None:
    """Compute point-in-time features, and the schema that training and serving share.

    Args:
        dataset: canonical tables.
        encoders: the items' embeddings.
        point_in_time: folder or ``s3://`` address that ``python -m winnow.features.spark`` wrote; empty computes the
            same here.
        features: the feature set.
    """
    from pathlib import Path

    from winnow import provenance
    from winnow.features.extract import extract_folder
    from winnow.result import reported

    with reported(), provenance.measured("extract", Path(features.path)):
        extracted = extract_folder(Path(dataset.path), Path(encoders.path), Path(features.path), point_in_time)
        features.metadata |= {"schema_digest": extracted.schema.digest}


@step
def train(
    features: Input[Dataset],
    settings: str,
    profile: str,
    train_on: str,
    nodes: int,
    gpus: int,
    hours: int,
    retriever: Output[Model],
    ranker: Output[Model],
    metrics: Output[Metrics],
) -> None:
    """Train the retriever, then the ranker on the candidate lists that the release's sources produce.

    Args:
        features: the feature set, and numbers at past moments.
        settings: training settings, as YAML or JSON (docs/training.md); empty for the defaults.
        profile: folder that gets traces of a few training steps; empty writes none.
        train_on: ``process`` trains in this process; ``trainjob`` launches a TrainJob on GPU nodes and waits for it.
        nodes: nodes of the TrainJob.
        gpus: GPUs of each of its nodes.
        hours: time limit of the TrainJob.
        retriever: two-tower weights, item-to-item neighbours and the list of popular items.
        ranker: ranker weights.
        metrics: ndcg@10 of the holdout fit on every user's newest event in the log, which stops the training.
    """
    import json
    from pathlib import Path

    from kfp_pipelines.cluster_training import train_on_cluster
    from kfp_pipelines.console import show
    from kfp_pipelines.parameters import checked_train_on
    from winnow import provenance
    from winnow.result import reported
    from winnow.settings.file import changed, parse
    from winnow.settings.training import TrainingSettings
    from winnow.training.train import train_models

    with reported(), provenance.measured("train", retriever.uri if train_on == "trainjob" else retriever.path):
        chosen = parse(TrainingSettings, settings, "training")
        if checked_train_on(train_on) == "trainjob":
            given = {"features": features, "retriever": retriever, "ranker": ranker}
            addresses = {name: artefact.uri for name, artefact in given.items()}
            trained = train_on_cluster(addresses, chosen, nodes, gpus, hours, profile)
            provenance.record(retriever.uri, training=changed(chosen))
        else:
            folder = Path(retriever.path)
            trained = train_models(
                Path(features.path),
                folder,
                Path(ranker.path),
                chosen,
                show_progress=True,
                profile=Path(profile) if profile else None,
            )
            provenance.record(folder, training=changed(chosen))
        if trained.stopped:
            show(f"{trained.stopped}, before its validation had stopped improving")
        if trained.unranked_reason:
            show("no ranker was learned, recommendations come in the order of the sources: " + trained.unranked_reason)
        for event, reason in trained.constant_heads.items():
            show(f"{event}: its probability is the same for every item, because {reason}")
        for name, value in trained.metrics.items():
            metrics.log_metric(name, value)
        # kfp's cache, which --resume reads, does not hold an output without a file.
        Path(metrics.path).write_text(json.dumps(metrics.metadata))


@step
def release(
    home: str,
    dataset: Input[Dataset],
    encoders: Input[Model],
    features: Input[Dataset],
    retriever: Input[Model],
    ranker: Input[Model],
    parity: Output[Metrics],
) -> int:
    """Export every model to ONNX, prove each equal to PyTorch, and write the next release into a folder.

    Args:
        home: folder that holds ``releases/`` and ``model_repository/``.
        dataset: canonical tables.
        encoders: image, text and audio encoders.
        features: the feature set.
        retriever: two-tower weights, neighbours and popular items.
        ranker: ranker weights.
        parity: per model, the largest absolute difference between PyTorch and ONNX Runtime.

    Returns:
        The release's number.
    """
    from pathlib import Path

    from export.release import TrainedParts, export_release
    from kfp_pipelines.console import show
    from winnow.lifecycle.claims import claim
    from winnow.result import reported

    with reported():
        parts = TrainedParts(
            dataset=Path(dataset.path),
            encoders=Path(encoders.path),
            features=Path(features.path),
            retriever=Path(retriever.path),
            ranker=Path(ranker.path),
        )
        exported = export_release(parts, Path(home), claim(home), show_progress=True)
        for row in exported.parity:
            show(
                f"{row.model}: PyTorch and ONNX differ by at most {row.difference:.2g} (bound {row.bound:g}), "
                f"{row.megabytes:.1f} MB"
            )
        manifest = exported.release.manifest
        show(f"retriever: {manifest.index}")
        for name, difference in manifest.parity.items():
            parity.log_metric(name, difference)
        return manifest.number
