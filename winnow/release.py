"""A release is one number: one folder and one version of every Triton model, described by one manifest.

The folder ``releases/N`` holds arrays (``.npy``), the schema, the vocabularies and the evaluation report; the manifest
names the SHA-256 of each and of each model, and its own digest is what Redis, sidecar and transformer compare at
start-up.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from winnow.arrays.strings import OFFSETS, Strings
from winnow.errors import ReleaseMismatch, WinnowError
from winnow.files import inside, link, listed
from winnow.schema import FeatureSchema

MANIFEST = "manifest.json"
"""The file that makes a folder a release; it is written last."""

INDEX_FILE = "index.faiss"
"""The approximate index of the items, in the folders of the release and of its retriever."""

Holdout = Literal["none", "last"]
"""Which events a build keeps back for evaluation."""


class BuildInputs(BaseModel):
    """The inputs of a build, with which it can be repeated.

    Attributes:
        data: address of the data set; empty for the generated marketplace of the sizes that follow.
        items: items of the marketplace.
        users: users of the marketplace.
        events: events of the marketplace.
        seed: seed of the marketplace.
        encoders: the encoder settings as JSON; empty for winnow-tiny.
        training: the training settings that differ from the defaults, as JSON; empty for the defaults.
        rules: the business rules, as JSON; empty for none.
        from_release: the release that training went on from; 0 for a full build.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str = ""
    items: int = 2000
    users: int = 3000
    events: int = 150_000
    seed: int = 7
    encoders: str = ""
    training: str = ""
    rules: str = ""
    from_release: int = 0

    def is_like(self, other: "BuildInputs") -> bool:
        """Whether data, settings and the kind of build are the same; sizes count for the marketplace alone."""
        if bool(self.from_release) != bool(other.from_release):
            return False
        names = ("data", "encoders", "training", "rules")
        same = all(getattr(self, name) == getattr(other, name) for name in names)
        return same if self.data else self == other.model_copy(update={"from_release": self.from_release})


class IndexFigures(BaseModel):
    """How a release's retriever searches the items, and what the build measured on its machine with one thread.

    Attributes:
        kind: ``exact`` scans all items; ``approximate`` searches a FAISS index and scores what it finds
            exactly; ``milvus`` asks a Milvus server.
        reason: why the build chose it.
        recall: mean share of the exact list in the approximate one; ``None`` where nothing was measured.
        milliseconds: of an approximate search for one user.
        exact_milliseconds: of an exact one.
        lists: parts that the index divides the items into.
        probed: parts that a search reads.
        refine: items scored exactly, per item of the list.
        megabytes: size of the index file, beside the vectors.
        seconds: that building and measuring took.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["exact", "approximate", "milvus"]
    reason: str
    recall: float | None = None
    milliseconds: float | None = None
    exact_milliseconds: float | None = None
    lists: int | None = None
    probed: int | None = None
    refine: int | None = None
    megabytes: float | None = None
    seconds: float | None = None

    def __str__(self) -> str:
        if self.recall is None:
            return f"{self.kind} search: {self.reason}"
        return (
            f"{self.kind} search: {self.reason} (recall {self.recall:.4f}, {self.milliseconds:.2f} ms per user; exact "
            f"{self.exact_milliseconds:.2f} ms; {self.probed} of {self.lists} lists, {self.refine} x scored again, "
            f"{self.megabytes:.1f} MB, measured in {self.seconds:.0f} s)"
        )


class Manifest(BaseModel):
    """The manifest of a release.

    Attributes:
        number: the release, and the version of each of its Triton models.
        dataset: the data set's name.
        source: the inputs of its build.
        holdout: ``last`` where the build kept the end of every user's log back for evaluation.
        as_of: milliseconds since the epoch; events at or after it are not in the release.
        user_changes: id of the last change of users that the data had; empty where it had none.
        history_length: events per history tensor.
        candidates: candidate source -> number of candidates.
        training: the training settings, section -> field -> value; empty in releases from before they were recorded.
        schema_digest: digest of the feature schema.
        files: file name -> SHA-256, of every other file of the folder.
        increment: figures of an incremental build (``winnow.training.incremental.increment``); empty for a full one.
        training_files: file name -> SHA-256, of ``training/N``, from which training can go on and which serving does
            not read; empty in releases from before it was written.
        models: model name -> SHA-256 of its ``model.onnx``; an array beside it is the release's of that name.
        unranked: why the release has no learned ranker and orders by its sources; empty where it has one.
        index: how the retriever searches; ``None`` in releases from before it was recorded.
        constant_heads: event type -> why the ranker predicts its base rate for every item.
        catalog_position: id of the last change (:mod:`winnow.catalog`) in the data; empty for none.
        parity: model name -> largest absolute difference between PyTorch and ONNX Runtime at export; of an encoder, the
            largest distance of an embedding from PyTorch's, as one minus their cosine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    created_at: datetime
    dataset: str
    source: BuildInputs
    holdout: Holdout
    as_of: int
    user_changes: str = ""
    history_length: int
    candidates: dict[str, int]
    training: dict[str, dict[str, bool | int | float | str | None]] = {}
    schema_digest: str
    files: dict[str, str]
    increment: dict[str, int | float] = {}
    training_files: dict[str, str] = {}
    models: dict[str, str]
    unranked: str = ""
    index: IndexFigures | None = None
    constant_heads: dict[str, str] = {}
    catalog_position: str = ""
    parity: dict[str, float]

    def digests(self, folder: str, repository: str | None = None) -> dict[str, str]:
        """Address -> SHA-256 that the file must have; empty for an array beside a graph that the release lacks.

        Args:
            folder: the release's folder, local or ``s3://``.
            repository: the release's Triton repository; with it, the files of the models count, too.

        Raises:
            WinnowError: the repository cannot be read.
        """
        found = {inside(folder, name): digest for name, digest in self.files.items()}
        if repository is None:
            return found
        for model, digest in self.models.items():
            place = inside(repository, model, str(self.number))
            found[inside(place, "model.onnx")] = digest
            found |= {each: self.files.get(each.rpartition("/")[2], "") for each in listed(place, ".npy")}
        if INDEX_FILE in self.files:
            found[inside(repository, "retriever", str(self.number), INDEX_FILE)] = self.files[INDEX_FILE]
        return found


class Release:
    """A release folder, opened for reading. Arrays are memory-mapped."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def open(cls, folder: Path) -> "Release":
        """Open ``folder``.

        Raises:
            WinnowError: the folder has no readable manifest.
            ReleaseMismatch: the schema in the folder has another digest than the manifest names, or is of another
                version of Winnow.
        """
        path = folder / MANIFEST
        try:
            manifest = Manifest.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise WinnowError(f"no release at {folder}: build one with `winnow build`") from None
        except ValidationError as error:
            raise WinnowError(f"{path} is not a release manifest: {error}") from error
        release = cls(folder, manifest)
        if "item_ids.npy" in manifest.files and f"item_ids{OFFSETS}.npy" not in manifest.files:
            raise ReleaseMismatch(_of_another_version(manifest, folder, "its item ids have another form"))
        try:
            digest = release.schema.digest
        except ValidationError as error:
            fields = ", ".join(str(detail["loc"][0]) for detail in error.errors()[:3])
            raise ReleaseMismatch(_of_another_version(manifest, folder, f"its schema differs in {fields}")) from None
        if digest != manifest.schema_digest:
            raise ReleaseMismatch(
                f"release {manifest.number} was built with feature schema {manifest.schema_digest[:12]}, "
                f"but {folder / 'schema.json'} is {digest[:12]}: two releases are mixed; build it again"
            )
        return release

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes of ``manifest.json``: the identity of the release for every version of Winnow."""
        return sha256(self.folder / MANIFEST)

    @cached_property
    def schema(self) -> FeatureSchema:
        """The feature schema."""
        return FeatureSchema.model_validate_json((self.folder / "schema.json").read_bytes())

    @cached_property
    def vocabularies(self) -> dict[str, list[str]]:
        """Categorical feature name -> its values; a value's code is its position, 0 being the empty string."""
        return dict(json.loads((self.folder / "vocabularies.json").read_bytes()))

    def array(self, name: str, writable: bool = False) -> NDArray[Any]:
        """The array ``name``, memory-mapped: read-only or copy-on-write. docs/reference.md lists them with shapes."""
        mode: Literal["c", "r"] = "c" if writable else "r"
        loaded: NDArray[Any] = np.load(self.folder / f"{name}.npy", mmap_mode=mode, allow_pickle=False)
        return loaded

    def strings(self, name: str) -> Strings:
        """The strings ``name``, memory-mapped read-only; docs/reference.md lists them."""
        return Strings.load(self.folder, name)

    @property
    def items(self) -> int:
        """Number of items, without the padding item."""
        return len(self.array(f"item_ids{OFFSETS}")) - 2

    def verify(self, repository: Path | None = None) -> None:
        """Check every file against the manifest.

        Args:
            repository: the release's Triton repository, to check its graphs and the arrays that they share.

        Raises:
            ReleaseMismatch: a file is missing, or has another digest than the manifest names.
        """
        digests = self.manifest.digests(str(self.folder), None if repository is None else str(repository))
        for path, expected in digests.items():
            if not Path(path).is_file() or sha256(Path(path)) != expected:
                raise ReleaseMismatch(
                    f"{path} is missing or has changed since release {self.manifest.number} was built: build it again"
                )


def _of_another_version(manifest: Manifest, folder: Path, what: str) -> str:
    return (
        f"release {manifest.number} at {folder} was built by another version of Winnow ({what}): build "
        "again with this one, and remove that folder"
    )


def checked_holdout(word: str) -> Holdout:
    """Parse a hold-out.

    Raises:
        WinnowError: ``word`` is neither ``none`` nor ``last``.
    """
    if word not in get_args(Holdout):
        raise WinnowError(f"holdout: must be 'none' or 'last', got {word!r}")
    return cast("Holdout", word)


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(
    folder: Path,
    arrays: Mapping[str, NDArray[Any] | Strings],
    documents: dict[str, str],
    linked: Collection[Path] = (),
    **described: Any,
) -> Release:
    """Write a release folder atomically: it gets its name once the manifest is in it.

    Args:
        folder: the folder to create; its name is the release's number.
        arrays: name -> array, written as ``name.npy``. Strings are two arrays; :func:`winnow.items.arrays.id_arrays`
            gives those of the items' ids.
        documents: file name -> text.
        linked: files that the models hold too; the folder gets a hard link, or a copy, of each.
        described: the manifest's other fields (all but ``created_at`` and ``files``).

    Raises:
        WinnowError: the release exists.
    """
    if folder.exists():
        raise WinnowError(f"release {folder.name} exists already at {folder}: releases are never overwritten")
    partial = folder.parent / f".{folder.name}.{os.getpid()}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, array in arrays.items():
        if isinstance(array, Strings):
            array.save(partial, name)
        else:
            np.save(partial / f"{name}.npy", array, allow_pickle=False)
    for file in linked:
        link(file, partial / file.name)
    for name, text in documents.items():
        (partial / name).write_text(text)
    files = {path.name: sha256(path) for path in sorted(partial.iterdir())}
    manifest = Manifest(created_at=datetime.now(UTC).replace(microsecond=0), files=files, **described)
    (partial / MANIFEST).write_text(manifest.model_dump_json(indent=1))
    partial.rename(folder)
    return Release(folder, manifest)


def numbers(root: Path) -> list[int]:
    """The numbers of the releases under ``root``, ascending."""
    return sorted(int(path.parent.name) for path in root.glob(f"[0-9]*/{MANIFEST}"))


def latest(root: Path, holdout: Holdout = "none", like: BuildInputs | None = None) -> Release | None:
    """The newest release under ``root`` with this hold-out and, where ``like`` is given, from inputs like these."""
    for number in reversed(numbers(root)):
        release = Release.open(root / str(number))
        if release.manifest.holdout == holdout and (like is None or release.manifest.source.is_like(like)):
            return release
    return None
