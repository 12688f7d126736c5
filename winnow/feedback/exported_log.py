"""Reads exported events and impressions as a data set, with a build's rules.

What `winnow events export` wrote becomes a data set of a release's event types, and is validated and put into index
space as every data set. So a reward is attributed as in training: to the user's first event with a shown item within
the window of its type, and what followed within the windows.
"""

import csv
import io
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from winnow import files
from winnow.datasets.canonical.spec import DatasetSpec, EventType
from winnow.datasets.ingest import ingest
from winnow.errors import WinnowError
from winnow.features.extract import extract
from winnow.features.table import FeatureSet
from winnow.features.targets import outcomes
from winnow.feedback import export_files
from winnow.feedback.export_files import EVENT_TABLE, IMPRESSION_TABLE
from winnow.schema import DAY_MS, FeatureSchema


@contextmanager
def copied(folder: str, select: Callable[[pa.Table], pa.Table] | None = None) -> Iterator[Path]:
    """Copy an export to a temporary folder.

    Args:
        folder: where `winnow events export` wrote, local or ``s3://``.
        select: chooses the rows of each file of impressions to copy; `None` copies all.

    Yields:
        The folder of the copies, each stream's in one of its name, which :func:`in_index_space` reads.

    Raises:
        WinnowError: the folder cannot be read, or has no events or no impressions.
    """
    with tempfile.TemporaryDirectory(prefix="winnow-exported-") as scratch:
        source = Path(scratch) / "source"
        for table in (EVENT_TABLE, IMPRESSION_TABLE):
            addresses = export_files.written(folder, table)
            if not addresses:
                raise WinnowError(
                    f"{folder} has no {table.folder}: run `winnow events export` first, or correct the folder"
                )
            (source / table.folder).mkdir(parents=True)
            for address in addresses:
                content, copy = files.read(address), source / table.folder / address.rpartition("/")[2]
                if select is None or table is EVENT_TABLE:
                    copy.write_bytes(content)
                elif len(selected := select(pq.read_table(io.BytesIO(content)))):
                    pq.write_table(selected, copy)
        yield source


def in_index_space(source: Path, schema: FeatureSchema, item_ids: Sequence[str]) -> tuple[FeatureSet, list[str]]:
    """The copies of an export as a data set of these items, in index space.

    Args:
        source: what :func:`copied` yielded, with at least one impression.
        schema: gives the event types.
        item_ids: ids of the items, from index 1 on; impressions and events of others are left out.

    Returns:
        The features, whose users are those of the impressions, and in words which impressions were left out.

    Raises:
        WinnowError: no event can come of an impression, or a file is none of an export.
    """
    users = sorted(_users(source / IMPRESSION_TABLE.folder))
    _keep(source / EVENT_TABLE.folder, {"user_id": users, "item_id": item_ids, "event": schema.events})
    _spec(schema).write(source / "dataset.yaml")
    _write_ids(source / "items.csv", "item_id", item_ids)
    _write_ids(source / "users.csv", "user_id", users)
    dataset = ingest(str(source), source.parent / "dataset")
    left_out = dataset.account.impressions
    notes = [f"{reason.count:,} shown items: {reason.what}" for reason in (left_out.reasons if left_out else ())]
    return extract(dataset, {}), notes


def earned(features: FeatureSet, rows: NDArray[np.int64], types: Sequence[str]) -> NDArray[np.float64]:
    """What came of moments of the log: the values of the events of these types within their windows.

    Args:
        features: the log.
        rows: int64 [n], rows of ``features.interactions``.
        types: the event types that count.

    Returns:
        float64 [n].
    """
    schema = features.schema
    values = np.where([name in types for name in schema.events], schema.event_values, 0.0)
    return outcomes(features, rows).grade.astype(np.float64) @ values


def _users(folder: Path) -> set[str]:
    """The users of all copied impressions."""
    return {
        user
        for file in folder.iterdir()
        for user in pq.read_table(file, columns=["user_id"])["user_id"].drop_null().to_pylist()
    }


def _keep(folder: Path, known: Mapping[str, Sequence[str]]) -> None:
    """Keep the events whose columns have known values, in place: most of a shop's events may be of other users."""
    kept = 0
    for file in folder.iterdir():
        table = pq.read_table(file)
        for name, values in known.items():
            table = table.filter(pc.is_in(table[name], pa.array(values, pa.string())))
        kept += table.num_rows
        pq.write_table(table, file)
    if not kept:
        raise WinnowError(
            "no exported event is of a user, an item and an event type of these impressions, so nothing came of them: "
            "log for longer, or check that events have the ids of users and items that recommendations have"
        )


def _write_ids(path: Path, column: str, ids: Sequence[str]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([[column], *([one] for one in ids)])


def _spec(schema: FeatureSchema) -> DatasetSpec:
    """The event types; bad rows that remain, such as implausible timestamps, are left out, however many."""
    full_amounts = schema.event_full_amounts or (0.0,) * len(schema.events)
    declared = zip(schema.events, schema.event_values, schema.event_windows_ms, full_amounts, strict=True)
    events = {
        name: EventType(value=value, window_days=window / DAY_MS, full_amount=full or None)
        for name, value, window, full in declared
    }
    return DatasetSpec(
        name="export", events=events, conversions=schema.conversions, repeats=schema.repeats, max_bad_share=0.999
    )
