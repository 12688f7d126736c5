"""Ingestion: read a source, validate it, hold events out, save it in canonical columns."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from winnow.datasets import catalog_changes
from winnow.datasets.canonical import account
from winnow.datasets.canonical.dataset import HOLDOUT, Dataset, hold_out_last
from winnow.datasets.canonical.raw import RawDataset
from winnow.datasets.canonical.report import reading
from winnow.datasets.canonical.spec import FILE
from winnow.datasets.canonical.validate import validate
from winnow.datasets.carried_media import with_media
from winnow.datasets.impressions import before_held_out, with_impressions
from winnow.datasets.marketplace import DEFAULT_SIZE, MarketplaceSize, generated
from winnow.datasets.readers import cloud, tables
from winnow.datasets.readers.atomic import is_atomic, read_atomic
from winnow.datasets.user_changes import with_user_changes
from winnow.errors import WinnowError, file_error
from winnow.home import home


def ingest(
    source: str | None,
    out: Path,
    holdout: Literal["none", "last"] = "none",
    marketplace: MarketplaceSize = DEFAULT_SIZE,
    show_progress: bool = False,
    carries_media: bool = False,
) -> Dataset:
    """Read a data set, validate it and write it to ``out`` in canonical columns, atomically.

    Args:
        source: a folder of RecBole atomic files or of Parquet/CSV tables, ``s3://bucket/prefix``,
            ``glue://database``, or None for the demo marketplace.
        out: the folder to write; an existing data set is replaced.
        holdout: ``last`` removes the end of every user's log and writes it to ``holdout.parquet``; see
            :func:`winnow.datasets.canonical.dataset.hold_out_last`.
        marketplace: size of the demo marketplace.
        show_progress: show a progress bar while the demo marketplace is generated.
        carries_media: put images and sounds of this machine into ``out``, which another machine will read.

    Raises:
        DataError: the source violates the contract; the message is the whole report.
        WinnowError: the source is missing or of no known kind, or ``out`` cannot be written or replaced.
    """
    _check_may_replace(out, source)
    if source is None:
        source = str(generated(home() / "marketplace", marketplace, show_progress))
    raw = _read(source)
    changes = catalog_changes.overlays(raw.name, raw.root, raw.changes) if raw.changes else {}
    valid = validate(raw, lambda items: catalog_changes.edited(items, changes))
    dataset = with_impressions(*with_user_changes(valid, raw))
    held = None
    if holdout == "last":
        dataset, held = _without_last(dataset)
    try:
        _write(dataset, held, out, carries_media)
    except OSError as error:
        raise file_error(error, out) from error
    return dataset


def hold_out(dataset: Path, out: Path) -> Dataset:
    """Write a data set without the end of every user's log, as :func:`ingest` with ``holdout="last"`` would have done.

    Images and sounds are not copied: the encoders are those of the whole data set, whose items are the same.

    Args:
        dataset: folder that :func:`ingest` wrote without a hold-out.
        out: the folder to write.

    Raises:
        WinnowError: ``out`` cannot be written.
    """
    whole = Dataset.load(dataset)
    kept, held = _without_last(whole)
    try:
        _write(kept, held, out)
        shutil.copyfile(dataset / account.FILE, out / account.FILE)
    except OSError as error:
        raise file_error(error, out) from error
    return kept


def _without_last(dataset: Dataset) -> tuple[Dataset, pa.Table]:
    kept, held = hold_out_last(dataset)
    return replace(kept, impressions=before_held_out(kept.impressions, held)), held


def _write(dataset: Dataset, held: pa.Table | None, out: Path, carries_media: bool = False) -> None:
    """Write the folder under another name, then rename it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        written = Path(scratch) / "new"
        (with_media(dataset, written) if carries_media else dataset).save(written)
        if held is not None:
            pq.write_table(held, written / HOLDOUT)
        if out.exists():
            out.rename(Path(scratch) / "old")
        written.rename(out)


def _read(source: str) -> RawDataset:
    if source.startswith("s3://"):
        return cloud.read_s3(source)
    if source.startswith("glue://"):
        return cloud.read_glue(source)
    folder = Path(source)
    if not folder.is_dir():
        wrong = f"{folder} is a file, not a folder" if folder.exists() else f"There is no folder {folder}"
        raise WinnowError(f"{wrong}. Correct the path, or omit it for the demo marketplace.")
    with reading(source, source):
        # A dataset.yaml may lie beside atomic files, so these come first.
        atomic, tabular = is_atomic(folder), tables.is_tables(folder)
    if atomic:
        return read_atomic(folder)
    if tabular:
        return tables.read_local(folder)
    raise WinnowError(
        f"{folder} is not recognised as a data set. Looked for RecBole's NAME.inter, and for {FILE} with "
        "items.parquet, items.csv or items/ (and events likewise). Provide the data in one of these formats."
    )


def _check_may_replace(out: Path, source: str | None) -> None:
    """Refuse to replace a folder that is not a data set, or that contains the source."""
    if not out.exists():
        return
    if not out.is_dir() or (any(out.iterdir()) and (is_atomic(out) or not (out / FILE).is_file())):
        raise WinnowError(f"{out} exists and is not a data set. Choose another folder for the output, or remove it.")
    if source is not None and Path(source).resolve().is_relative_to(out.resolve()):
        raise WinnowError(f"The output {out} would replace the source {source}. Choose another folder for the output.")
