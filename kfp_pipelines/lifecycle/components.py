"""The steps between a trained model and a live release. Their home is a folder or an ``s3://`` address.

A candidate travels as an artefact with the layout of a home, ``releases/N`` and ``model_repository/N``, and enters the
pipelines' home only when it is published.
"""

from typing import NamedTuple

from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from kfp_pipelines.components import step


@step
def hold_out(dataset: Input[Dataset], held_out: Output[Dataset]) -> None:
    """Hold out the end of every user's log, for the release that is evaluated in place of the one from all events.

    Args:
        dataset: canonical tables.
        held_out: the same without those events.
    """
    from pathlib import Path

    from winnow import provenance
    from winnow.datasets.canonical.learnable import check_learnable
    from winnow.datasets.ingest import hold_out
    from winnow.result import reported

    with reported(), provenance.measured("hold out", Path(held_out.path)):
        source, folder = Path(dataset.path), Path(held_out.path)
        kept = hold_out(source, folder)
        check_learnable(kept, kept.spec.name)
        provenance.carry(source, folder)


@step
def export(
    home: str,
    number: int,
    dataset: Input[Dataset],
    encoders: Input[Model],
    features: Input[Dataset],
    retriever: Input[Model],
    ranker: Input[Model],
    candidate: Output[Model],
    parity: Output[Metrics],
) -> int:
    """Export every model to ONNX and prove each equal to PyTorch: a release that is not published.

    Args:
        home: folder or ``s3://`` address whose next release number is claimed.
        number: a number that was claimed before; 0 claims the next one.
        dataset: canonical tables.
        encoders: image, text and audio encoders.
        features: the feature set.
        retriever: two-tower weights, neighbours and popular items.
        ranker: ranker weights.
        candidate: the release, as a folder with ``releases/`` and ``model_repository/``.
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
        artefacts = {
            "dataset": dataset,
            "encoders": encoders,
            "features": features,
            "retriever": retriever,
            "ranker": ranker,
        }
        parts = TrainedParts(**{name: Path(artefact.path) for name, artefact in artefacts.items()})
        exported = export_release(parts, Path(candidate.path), number or claim(home), show_progress=True)
        manifest = exported.release.manifest
        show(f"release {manifest.number}; retriever: {manifest.index}")
        for name, difference in manifest.parity.items():
            parity.log_metric(name, difference)
        candidate.metadata |= {"release": manifest.number, "holdout": manifest.holdout}
        return manifest.number


@step
def standing(home: str, number: int) -> NamedTuple("Standing", published=bool, live=int):  # type: ignore[valid-type]
    """Look up whether a release is published, and which release is live.

    Args:
        home: folder or ``s3://`` address of the releases.
        number: the release.

    Returns:
        published: whether the home has the release.
        live: the live release; 0 without one.
    """
    from kfp_pipelines.console import show
    from winnow.lifecycle.live import live
    from winnow.lifecycle.transfer import numbers
    from winnow.result import reported

    class Standing(NamedTuple):
        published: bool
        live: int

    with reported():
        pin = live(home)
        published = number in numbers(home)
        if published:
            show(f"release {number} of this data and these settings is published already: nothing is left to do")
        return Standing(published, pin.release if pin else 0)


@step
def publish(home: str, candidate: Input[Model], evaluation: Input[Artifact], verdict: Input[Artifact]) -> int:
    """Upload a release, verify every file by its checksum, and only then let the home have it. It is not live yet.

    Args:
        home: folder or ``s3://`` address that gets the release.
        candidate: the release.
        evaluation: record and report of its evaluation.
        verdict: the gate's verdict.

    Returns:
        The release's number.
    """
    import shutil
    import tempfile
    from pathlib import Path

    from kfp_pipelines.console import show
    from winnow.lifecycle.transfer import numbers, upload
    from winnow.result import reported

    with reported(), tempfile.TemporaryDirectory() as folder:
        for artefact in (candidate, evaluation, verdict):
            shutil.copytree(artefact.path, folder, dirs_exist_ok=True)
        (number,) = numbers(folder)
        upload(Path(folder), home, number, show_progress=True)
        show(f"release {number} is published in {home}")
        return number


@step
def promote(home: str, number: int) -> int:
    """Make a release the live one.

    Args:
        home: folder or ``s3://`` address of the releases.
        number: the release.

    Returns:
        The live release.
    """
    from kfp_pipelines.console import show
    from winnow.lifecycle.live import promote
    from winnow.result import reported

    with reported():
        pin = promote(home, number)
        show(f"release {pin.release} is live; a rollback makes {pin.previous or 'none'} live")
        return pin.release


@step
def roll_back(home: str) -> int:
    """Make the release live again that was live before.

    Args:
        home: folder or ``s3://`` address of the releases.

    Returns:
        The live release.
    """
    from kfp_pipelines.console import show
    from winnow.lifecycle.live import rollback
    from winnow.result import reported

    with reported():
        pin = rollback(home)
        show(f"release {pin.release} is live again")
        return pin.release
