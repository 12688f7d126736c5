"""Reads impressions and events, from an export or from the streams, and finds which events quote which shown item."""

import io
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from redis.exceptions import RedisError

from winnow import files
from winnow.errors import WinnowError
from winnow.feedback import export_files
from winnow.feedback.export_files import EVENT_TABLE, IMPRESSION_TABLE, StreamTable
from winnow.feedback.streams import entries, newest_impressions
from winnow.store.connection import connect
from winnow.store.events import Entry

_COLUMNS = {
    IMPRESSION_TABLE.stream: ["recommendation_id", "release", "items", "arms"],
    EVENT_TABLE.stream: ["recommendation_id", "item_id", "event", "event_id", "stream_id"],
}
_SLOT = ["recommendation_id", "item_id"]


class Log(NamedTuple):
    """The two streams as tables, with the columns of :mod:`winnow.feedback.export_files`.

    Attributes:
        impressions: a row per answer.
        events: a row per event.
    """

    impressions: pa.Table
    events: pa.Table


class Slots(NamedTuple):
    """The shown items of all recommendations with an id, each once: a row per slot.

    Attributes:
        table: ``position``, ``release``, ``sources`` (a list) and ``arms`` (a list) of each slot.
        clicked: bool [n], whether an event of positive value quotes the slot.
        converted: bool [n], whether a conversion does.
        notes: in words, what was not attributed.
    """

    table: pa.Table
    clicked: NDArray[np.bool_]
    converted: NDArray[np.bool_]
    notes: list[str]


def exported(folder: str) -> Log:
    """Read what `winnow events export` wrote.

    Args:
        folder: the folder, local or ``s3://``.

    Raises:
        WinnowError: the folder cannot be read, or has no impressions.
    """
    addresses = {table.stream: export_files.written(folder, table) for table in (IMPRESSION_TABLE, EVENT_TABLE)}
    if not addresses[IMPRESSION_TABLE.stream]:
        raise WinnowError(
            f"{folder} has no {IMPRESSION_TABLE.stream}: run `winnow events export` first, name another folder "
            "(--log), or read the running stack's streams (--live)"
        )
    return Log(*(_from_files(addresses[table.stream], table) for table in (IMPRESSION_TABLE, EVENT_TABLE)))


def live(redis_url: str) -> Log:
    """Read the streams of a running stack: what was trimmed from them is missing.

    Raises:
        WinnowError: Redis does not answer.
    """
    try:
        with connect(redis_url) as client:
            return Log(
                _from_entries(newest_impressions(client), IMPRESSION_TABLE), _from_entries(entries(client), EVENT_TABLE)
            )
    except RedisError as error:
        raise WinnowError(f"the streams cannot be read: {error}") from error


def attributed(log: Log, positive: Sequence[str], conversions: Sequence[str]) -> Slots:
    """Find what came of each slot.

    A slot is clicked once, however many events quote it, and an event that was stored twice is one. An event that
    quotes no recommendation is not attributed.

    Args:
        log: the streams.
        positive: the event types of positive value.
        conversions: the event types that are conversions.
    """
    known = log.impressions.filter(pc.is_valid(log.impressions["recommendation_id"])).combine_chunks()
    slots = _slots(known)
    events = _once(log.events)
    quoting = events.filter(pc.is_valid(events["recommendation_id"]))
    keys = slots.select(_SLOT).append_column("row", pa.array(np.arange(len(slots)))) if len(slots) else None
    clicked, converted = (_hit(keys, quoting, types, len(slots)) for types in (positive, conversions))
    notes = [f"{len(events) - len(quoting):,} of {len(events):,} events quote no recommendation, and count for none"]
    if without := len(log.impressions) - len(known):
        notes.append(f"{without:,} answers have no recommendation_id: they are of an earlier version")
    unknown = pc.invert(pc.is_in(quoting["recommendation_id"], pc.unique(known["recommendation_id"])))
    if count := pc.sum(unknown).as_py():
        notes.append(f"{count:,} events quote a recommendation that is not in the log, such as one that was trimmed")
    elsewhere = len(quoting) - (count or 0) - _found(keys, quoting)
    if elsewhere:
        notes.append(f"{elsewhere:,} events quote a recommendation that did not show their item")
    return Slots(slots, clicked, converted, notes)


def _slots(requests: pa.Table) -> pa.Table:
    """A row per distinct pair of recommendation and shown item."""
    [batch] = requests.to_batches() or [pa.RecordBatch.from_pylist([], schema=requests.schema)]
    request, shown = pc.list_parent_indices(batch["items"]), pc.list_flatten(batch["items"])
    columns = {name: batch[name].take(request) for name in ("recommendation_id", "release", "arms")}
    columns |= {name: pc.struct_field(shown, name) for name in ("item_id", "position", "sources")}
    slots = pa.table(columns)
    rows = slots.select(_SLOT).append_column("row", pa.array(np.arange(len(slots))))
    return slots.take(np.sort(rows.group_by(_SLOT).aggregate([("row", "min")])["row_min"].to_numpy()))


def _once(events: pa.Table) -> pa.Table:
    """The events without those that were stored again: with the same ``event_id``, or exported twice."""
    named = events.append_column("name", pc.coalesce(events["event_id"], events["stream_id"]))
    named = named.append_column("row", pa.array(np.arange(len(named))))
    return events.take(np.sort(named.group_by("name").aggregate([("row", "min")])["row_min"].to_numpy()))


def _hit(keys: pa.Table | None, quoting: pa.Table, types: Sequence[str], slots: int) -> NDArray[np.bool_]:
    """Whether an event of some types quotes each slot; bool [n]."""
    hit = np.zeros(slots, np.bool_)
    if keys is not None:
        of_types = quoting.filter(pc.is_in(quoting["event"], pa.array(types, pa.string())))
        hit[keys.join(of_types.select(_SLOT), _SLOT, join_type="left semi")["row"].to_numpy()] = True
    return hit


def _found(keys: pa.Table | None, quoting: pa.Table) -> int:
    """The number of events that quote a slot."""
    return 0 if keys is None else len(quoting.select(_SLOT).join(keys, _SLOT, join_type="left semi"))


def _from_files(addresses: Sequence[str], table: StreamTable) -> pa.Table:
    parts = []
    for address in addresses:
        with pq.ParquetFile(io.BytesIO(files.read(address))) as parquet:
            # Files of earlier versions lack some of the columns.
            part = parquet.read(columns=_COLUMNS[table.stream])
        for name in set(_COLUMNS[table.stream]) - set(part.column_names):
            part = part.append_column(name, pa.nulls(len(part), table.schema.field(name).type))
        parts.append(part.select(_COLUMNS[table.stream]).cast(_schema(table)))
    return pa.concat_tables([_schema(table).empty_table(), *parts])


def _from_entries(found: Iterable[Entry], table: StreamTable) -> pa.Table:
    rows = [row for row in map(table.row, found) if row is not None]
    return pa.Table.from_pylist([{name: row[name] for name in _COLUMNS[table.stream]} for row in rows], _schema(table))


def _schema(table: StreamTable) -> pa.Schema:
    return pa.schema([table.schema.field(name) for name in _COLUMNS[table.stream]])
