"""The steps of an incremental build that a full one has not: the encoders of a release, and training on from it."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output

from kfp_pipelines.components import step


@step
def reuse_encoders(
    home: str,
    from_release: int,
    holdout: str,
    dataset: Input[Dataset],
    embeddings: str,
    triton: str,
    output: str,
    encoders: Output[Model],
) -> None:
    """Take the encoders of a release as they are, and embed every item whose content is new.

    Args:
        home: folder or ``s3://`` address that holds ``releases/``, ``model_repository/`` and ``training/``.
        from_release: the release, 0 for the live one; with ``holdout`` its twin.
        holdout: of the build.
        dataset: canonical tables.
        embeddings: folder or ``s3://`` address that keeps embeddings by content from run to run; empty keeps none.
        triton: ``host:port`` of a Triton that serves the encoders, to embed with; empty embeds in this process.
        output: Parquet file, local or ``s3://``, that gets a row for every item; empty writes none.
        encoders: ONNX files, tokenizer and the items' embeddings.
    """
    from pathlib import Path

    from export.kept import reuse_encoders
    from kfp_pipelines.console import show
    from winnow import provenance
    from winnow.embeddings.catalog import embed_catalog
    from winnow.lifecycle.start import at_hand, start_of
    from winnow.release import checked_holdout
    from winnow.result import reported

    with reported():
        folder, number = Path(encoders.path), start_of(home, from_release, checked_holdout(holdout))
        show(f"going on from release {number}")
        with at_hand(home, number) as (start, repository, kept):
            reuse_encoders(start, repository, kept, folder)
            provenance.record(folder, encoders=start.manifest.source.encoders, from_release=number)
        encoded, lines = embed_catalog(Path(dataset.path), folder, embeddings, triton, output, show_progress=True)
        show(*lines)
        encoders.metadata |= {f"{modality}_encoded": count for modality, count in encoded.items()}


@step
def go_on(
    home: str,
    encoders: Input[Model],
    features: Input[Dataset],
    profile: str,
    retriever: Output[Model],
    ranker: Output[Model],
    metrics: Output[Metrics],
) -> None:
    """Train the retriever and the ranker of a release on the events since then, and fit the sources' tables anew.

    Args:
        home: folder or ``s3://`` address that holds ``releases/``, ``model_repository/`` and ``training/``.
        encoders: those of the release to go on from, with its number.
        features: the feature set, and numbers at past moments.
        profile: folder that gets traces of a few training steps; empty writes none.
        retriever: two-tower weights, item-to-item neighbours and the list of popular items.
        ranker: ranker weights.
        metrics: ndcg@10 of the first fit on every user's newest event in the log, and the mean cosine of the item
            vectors with those of the release.
    """
    import json
    from pathlib import Path

    from kfp_pipelines.console import show
    from winnow import provenance
    from winnow.lifecycle.start import at_hand
    from winnow.result import reported
    from winnow.settings.file import parse
    from winnow.settings.training import TrainingSettings
    from winnow.training.incremental.train import go_on

    with reported():
        # Not asked again: another release may be live since the step before.
        number = provenance.recorded(Path(encoders.path)).from_release
        with at_hand(home, number) as (start, _, kept):
            given = start.manifest.source.training
            settings = parse(TrainingSettings, given, "training")
            traces = Path(profile) if profile else None
            folders = Path(retriever.path), Path(ranker.path)
            trained, increment = go_on(Path(features.path), start, kept, *folders, settings, True, traces)
        provenance.record(retriever.path, training=given)
        show(
            f"learned {increment.events:,} events of {increment.users:,} users since release {number} (new items: "
            f"{increment.items:,}, removed: {increment.removed:,})",
            f"item vectors: mean cosine {increment.cosine:.3f} with those of release {number}, "
            f"{increment.cosine_p05:.3f} at the fifth percentile",
        )
        if trained.unranked_reason:
            show("no ranker was learned, recommendations come in the order of the sources: " + trained.unranked_reason)
        for event, reason in trained.constant_heads.items():
            show(f"{event}: its probability is the same for every item, because {reason}")
        for name, value in (*trained.metrics.items(), ("vectors_cosine", increment.cosine)):
            metrics.log_metric(name, value)
        # kfp's cache, which --resume reads, does not hold an output without a file.
        Path(metrics.path).write_text(json.dumps(metrics.metadata))
