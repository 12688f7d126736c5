"""RecBole's atomic files: ``NAME.inter``, and optionally ``NAME.item`` and ``NAME.user``.

Tab-separated text whose header gives each column a type, such as ``user_id:token``; dozens of public data sets have
this format (Zhao et al., "RecBole: Towards a Unified, Comprehensive and Efficient Framework for Recommendation
Algorithms", CIKM 2021; https://recbole.io/docs/user_guide/data/atomic_files.html).
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from winnow import moments
from winnow.datasets.canonical import columns
from winnow.datasets.canonical.columns import ITEM_COLUMNS, REQUIRED_OF_EVENTS, USER_COLUMNS
from winnow.datasets.canonical.raw import RawDataset, RawFile, RawTable
from winnow.datasets.canonical.report import Problem, data_error, reading
from winnow.datasets.canonical.spec import DatasetSpec, DeclaredColumns, EventType
from winnow.datasets.readers import feedback
from winnow.datasets.readers.feedback import Feedback
from winnow.datasets.readers.overrides import overridden
from winnow.datasets.readers.reading import check_text, parse
from winnow.errors import DataError

_TYPES = ("token", "token_seq", "float", "float_seq")
_TITLES = ("movie_title", "title", "name", "item_name", "product_title", "track_name", "artist_name")
_TIMESTAMP = "timestamp"
_CATEGORY = re.compile(r"class|genre|categor", re.IGNORECASE)
_QUANTITY = re.compile(r"(^|_)(year|age|count|number|num|price|length|duration)($|_)", re.IGNORECASE)
_MOST_CHOICES = 1000


@dataclass(frozen=True)
class _AtomicFile:
    source: str
    file: str
    types: dict[str, str]
    part: RawFile

    @property
    def table(self) -> pa.Table:
        return self.part.table

    def of_type(self, *types: str) -> list[str]:
        return [name for name, kind in self.types.items() if kind in types]


def is_atomic(folder: Path) -> bool:
    """Whether a folder holds atomic files."""
    return any(folder.glob("*.inter"))


def read_atomic(folder: Path) -> RawDataset:
    """Read a folder of atomic files.

    :mod:`winnow.datasets.readers.feedback` decides which rows are events, and of which types; a ``dataset.yaml``
    beside the log overrides what types are worth (:mod:`winnow.datasets.readers.overrides`). The title and the category
    are found by name; the other text becomes the description, which the text encoder reads. Quantities such as
    ``release_year`` become numeric features, other tokens categorical ones unless nearly every row has its own value.
    Timestamps in seconds become milliseconds.

    Raises:
        DataError: the folder does not have exactly one log, or a file does not match its header.
    """
    logs = sorted(folder.glob("*.inter"))
    if len(logs) != 1:
        names = ", ".join(path.name for path in logs) or "none"
        raise DataError(f"{folder} must have exactly one .inter file, and has {names}. Keep the one to read.")
    name = logs[0].stem
    log = _read(logs[0])
    user_id, item_id = _ids(log)
    notes = []
    if (user_id, item_id) != ("user_id", "item_id"):
        notes.append(f"{log.file}: users are in the column {user_id}, items in {item_id}")
    items = _items(_read_if_present(folder / f"{name}.item"), log, item_id)
    users = _users(_read_if_present(folder / f"{name}.user"), user_id)
    events, read = _events(log, user_id, item_id, notes)
    spec = DatasetSpec(
        name=name,
        events={kind: EventType(value=value) for kind, value in read.values.items()},
        conversions=read.conversions,
        items=items[1],
        users=users[1] if users else DeclaredColumns(),
    )
    spec = overridden(spec, folder, log.file)
    return RawDataset(
        str(folder), folder.resolve().as_posix(), spec, items[0], users and users[0], events, tuple(notes)
    )


def _read_if_present(path: Path) -> _AtomicFile | None:
    return _read(path) if path.is_file() else None


def _read(path: Path) -> _AtomicFile:
    source = str(path.parent)
    check_text(path, source, path.name)
    with path.open(encoding="utf-8-sig") as lines:
        header = [field.strip() for field in lines.readline().rstrip("\r\n").split("\t")]
    types = dict(field.rpartition(":")[::2] for field in header)
    wrong = [field for field in header if ":" not in field or types[field.rpartition(":")[0]] not in _TYPES]
    if wrong or len(types) < len(header):
        what = f"each column must be headed once, as name:type with a type of {', '.join(_TYPES)}"
        raise data_error(source, [Problem(path.name, None, what, examples=tuple(wrong[:3] or header[:3]))])
    with reading(source, path.name):
        part = parse(
            path,
            path.name,
            list(types),
            # The format has no quoting: a quote is an ordinary character.
            pa_csv.ParseOptions(delimiter="\t", quote_char=False),
            skip_broken=path.suffix == ".inter",
            reading_options=pa_csv.ReadOptions(column_names=list(types), skip_rows=1),
        )
    return _AtomicFile(source, path.name, types, part)


def _ids(log: _AtomicFile) -> tuple[str, str]:
    """The columns of user and item: by name, or else the first columns of tokens."""
    tokens = log.of_type("token")
    if len(tokens) < 2:
        what = f"needs the columns user_id:token and item_id:token; the columns are {', '.join(log.types)}"
        raise data_error(log.source, [Problem(log.file, None, what)])
    user = "user_id" if "user_id" in tokens else next(name for name in tokens if name != "item_id")
    item = "item_id" if "item_id" in tokens else next(name for name in tokens if name != user)
    return user, item


def _numbers(found: _AtomicFile, name: str) -> pa.ChunkedArray:
    try:
        return columns.convert(found.table[name], "number")
    except ValueError:
        count, examples = columns.unreadable(found.table[name], "number")
        problem = Problem(found.file, name, f"expected {columns.IN_WORDS['number']}", count, tuple(examples))
        raise data_error(found.source, [problem]) from None


def _events(log: _AtomicFile, user_id: str, item_id: str, notes: list[str]) -> tuple[RawTable, Feedback]:
    name = feedback.choose(log.table, log.types, {user_id, item_id, _TIMESTAMP}, log.source, log.file)
    values = _numbers(log, name) if name else log.table[user_id]
    read = feedback.interpret(name, values, log.source, log.file)
    events = {"user_id": log.table[user_id], "item_id": log.table[item_id]}
    if _TIMESTAMP in log.types:
        events["timestamp"] = _milliseconds(log, notes)
    notes.append(read.note)
    unread = [column for column in log.types if column not in {user_id, item_id, _TIMESTAMP, name}]
    if unread:
        notes.append(f"{log.file}: not read: {', '.join(unread)}")
    table = pa.table(events).filter(read.keep).append_column("event", read.kind)
    part = RawFile(log.file, table, log.part.broken, log.part.examples)
    return RawTable(log.file, (part,)), read


def _milliseconds(log: _AtomicFile, notes: list[str]) -> pa.ChunkedArray:
    """The timestamps of the log in milliseconds: most files have seconds, some milliseconds throughout."""
    moment = _numbers(log, _TIMESTAMP)
    if (pc.min(moment).as_py() or 0) >= moments.SECONDS_BELOW:
        notes.append(f"{log.file}: timestamp is too large for seconds, so it is read as milliseconds")
        return pc.cast(pc.round(moment), pa.int64())
    return pc.cast(pc.round(pc.multiply(moment, 1000)), pa.int64())


def _items(found: _AtomicFile | None, log: _AtomicFile, item_id: str) -> tuple[RawTable, DeclaredColumns]:
    if found is None:
        ids = pa.table({"item_id": log.table[item_id].drop_null().unique()})
        return RawTable.of(log.file, ids), DeclaredColumns()
    table = found.table
    key = item_id if item_id in found.types else next(iter(found.types))
    text = [name for name in found.of_type("token_seq", "token") if name != key]
    title = next((name for name in _TITLES if name in text), None)
    category = next((name for name in text if _CATEGORY.search(name)), None)
    named = {"item_id": table[key]}
    if title:
        named["title"] = table[title]
    prose = [name for name in found.of_type("token_seq") if name != title]
    if prose:
        parts = [table[name] for name in prose]
        named["description"] = pc.binary_join_element_wise(*parts, " ", null_handling="skip")
    if category:
        named["category"] = pc.list_element(pc.split_pattern(table[category], " "), 0)
    if "price" in found.types:
        named["price"] = _numbers(found, "price")
    declared, further = _declare(found, leave_out={*ITEM_COLUMNS, *REQUIRED_OF_EVENTS, key, title} - {"category"})
    if category == "category":
        # The canonical column of that name has the first category; the whole list gets the plural.
        further = {"categories" if name == category else name: values for name, values in further.items()}
        renamed = tuple("categories" if name == category else name for name in declared.categorical)
        declared = DeclaredColumns(categorical=renamed, numeric=declared.numeric)
    return RawTable.of(found.file, pa.table(named | further)), declared


def _users(found: _AtomicFile | None, user_id: str) -> tuple[RawTable, DeclaredColumns] | None:
    if found is None:
        return None
    key = user_id if user_id in found.types else next(iter(found.types))
    declared, further = _declare(found, leave_out={*USER_COLUMNS, *REQUIRED_OF_EVENTS, key})
    return RawTable.of(found.file, pa.table({"user_id": found.table[key]} | further)), declared


def _declare(found: _AtomicFile, leave_out: set[str | None]) -> tuple[DeclaredColumns, dict[str, pa.ChunkedArray]]:
    """The columns that become features, and their values."""
    categorical: dict[str, pa.ChunkedArray] = {}
    numeric = {name: _numbers(found, name) for name in found.of_type("float") if name not in leave_out}
    for name in (name for name in found.of_type("token", "token_seq") if name not in leave_out):
        column = found.table[name]
        quantity = _quantity(column) if _QUANTITY.search(name) else None
        if quantity is not None:
            numeric[name] = quantity
            continue
        values = pc.split_pattern(column, " ") if found.types[name] == "token_seq" else column
        distinct = len(pc.unique(pc.list_flatten(values) if found.types[name] == "token_seq" else values))
        # A model would memorise near-unique values such as postal codes.
        if distinct <= min(_MOST_CHOICES, max(found.table.num_rows // 2, 1)):
            categorical[name] = values
    declared = DeclaredColumns(categorical=tuple(categorical), numeric=tuple(numeric))
    return declared, categorical | numeric


def _quantity(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """The numbers of a token column, a few words among them null; ``None`` if the column is not numeric."""
    number = pc.match_substring_regex(column, r"^-?\d+(\.\d+)?$")
    if pc.sum(number).as_py() in (None, 0) or pc.mean(number).as_py() < 0.95:
        return None
    return pc.if_else(number, column, None).cast(pa.float64())
