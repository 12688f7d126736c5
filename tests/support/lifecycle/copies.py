"""Copies of a built release under other numbers: whole, or with other documents, data or files."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from winnow.datasets import profile
from winnow.datasets.canonical.dataset import HOLDOUT
from winnow.datasets.ingest import ingest
from winnow.embeddings.extraction import extract_embeddings
from winnow.embeddings.store import EmbeddingStore
from winnow.encoders.catalog import read_contents
from winnow.evaluation.held_out import OUTCOME
from winnow.features.extract import extract
from winnow.files import link
from winnow.release import Release, sha256


def copied(
    built: Release, home: Path, number: int, documents: Mapping[str, str] | None = None, **changed: object
) -> Release:
    """A copy of a release and its models in another home; unchanged files are hard links, so replace what you change.

    Args:
        built: the release.
        home: gets ``releases/NUMBER`` and ``model_repository/NUMBER``.
        number: of the copy.
        documents: file name -> text, in place of the built ones; the manifest has their digests.
        changed: fields of the manifest.
    """
    folder = home / "releases" / str(number)
    folder.mkdir(parents=True)
    digests = dict(built.manifest.files)
    for name in digests:
        link(built.folder / name, folder / name)
    for name, text in (documents or {}).items():
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(text)
        digests[name] = sha256(folder / name)
    manifest = built.manifest.model_copy(update={"number": number, "files": digests, **changed})
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    for model in (built.folder.parent.parent / "model_repository" / built.folder.name).iterdir():
        copy = home / "model_repository" / str(number) / model.name
        shutil.copytree(model, copy, copy_function=lambda source, target: link(Path(source), Path(target)))
        (copy / built.folder.name).rename(copy / f"{number}.renamed")
        (copy / f"{number}.renamed").rename(copy / str(number))
    return Release.open(folder)


def held_out(built: Release, home: Path, number: int) -> Release:
    """A copy that says to be built with ``--holdout last``, with one held-out event."""
    twin = copied(built, home, number, holdout="last")
    path = twin.folder / "holdout.npy"
    np.save(path, np.array([(0, 1, 1, 1.0)], OUTCOME))
    manifest = twin.manifest.model_copy(update={"files": twin.manifest.files | {path.name: sha256(path)}})
    (twin.folder / "manifest.json").write_text(manifest.model_dump_json())
    return Release.open(twin.folder)


def of_data(built: Release, home: Path, number: int, data: Path, scratch: Path) -> Release:
    """A copy with the schema and the data's profile of another data set, made by the build's own steps but training.

    Args:
        built: the first release of its home.
        home: gets the copy.
        number: of the copy.
        data: the data set, in any form that a build reads.
        scratch: an existing folder for what the steps write.
    """
    # It imports torch, which no other copy needs.
    from export.release import data_profile

    # Runs are named after their start time: the first one made release 1.
    encoders = min((built.folder.parent.parent / "pipelines").glob("*/**/encode/encoders"))
    shutil.copytree(encoders, scratch / "encoders")
    dataset = ingest(str(data), scratch / "dataset")
    store = EmbeddingStore(str(built.folder.parent.parent / "embeddings"))
    found = extract_embeddings(scratch / "encoders", read_contents(scratch / "dataset"), store, show_progress=False)
    features = extract(dataset, found.vectors)
    documents = {
        "schema.json": features.schema.model_dump_json(),
        profile.FILE: data_profile(features, dataset, scratch / "dataset" / HOLDOUT).model_dump_json(),
    }
    return copied(built, home, number, documents, schema_digest=features.schema.digest)
