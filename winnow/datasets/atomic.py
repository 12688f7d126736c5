"""RecBole's atomic files: ``NAME.inter``, and optionally ``NAME.item`` and ``NAME.user``.

Tab-separated text whose header gives each column a type, such as ``user_id:token``; dozens of public data sets are
published so (Zhao et al., "RecBole: Towards a Unified, Comprehensive and Efficient Framework for Recommendation
Algorithms", CIKM 2021; https://recbole.io/docs/user_guide/data/atomic_files.html).
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from winnow.datasets import columns
from winnow.datasets.columns import EVENT_COLUMNS, ITEM_COLUMNS, USER_COLUMNS
from winnow.datasets.report import Problem, data_error
from winnow.datasets.source import Source, SourceTable
from winnow.datasets.spec import DatasetSpec, DeclaredColumns
from winnow.errors import WinnowError

_TYPES = ("token", "token_seq", "float", "float_seq")
_TITLES = ("movie_title", "title", "name", "item_name", "product_title", "track_name", "artist_name")
_RATINGS = ("rating", "stars")
_CATEGORY = re.compile(r"class|genre|categor", re.IGNORECASE)
_QUANTITY = re.compile(r"(^|_)(year|age|count|number|num|price|length|duration)($|_)", re.IGNORECASE)
_MOST_CHOICES = 1000
_MOST_LEVELS = 100


@dataclass(frozen=True)
class _AtomicFile:
    file: str
    table: pa.Table
    types: dict[str, str]

    def of_type(self, *types: str) -> list[str]:
        return [name for name, kind in self.types.items() if kind in types]


def is_atomic(folder: Path) -> bool:
    """Whether a folder holds atomic files."""
    return any(folder.glob("*.inter"))


def read_atomic(folder: Path) -> Source:
    """Read a folder of atomic files.

    Ratings become event types: on a scale of 1 to 5, ``rated_1`` … ``rated_5`` of weight 1 … 5 (half stars are
    rounded up), with the upper two fifths as conversions. A log without ratings has one type, ``interaction``.
    The title and the category are found by name; the other text becomes the description, so that a text encoder
    sees it. Quantities such as ``release_year`` are declared numeric, other tokens categorical unless they are
    nearly as many as the rows. Seconds become milliseconds.

    Raises:
        WinnowError: the folder does not hold exactly one log.
        DataError: a file is not what its header says.
    """
    logs = sorted(folder.glob("*.inter"))
    if len(logs) != 1:
        names = ", ".join(path.name for path in logs) or "none"
        raise WinnowError(f"{folder} must hold exactly one .inter file, and has {names}. Keep the one to read.")
    name = logs[0].stem
    log = _read(logs[0])
    user_id, item_id = _ids(log)
    items = _items(_read_if_there(folder / f"{name}.item"), log, item_id)
    users = _users(_read_if_there(folder / f"{name}.user"), user_id)
    events, weights = _events(log, user_id, item_id)
    top = max(weights.values())
    spec = DatasetSpec(
        name=name,
        events=weights,
        conversions=tuple(kind for kind, weight in weights.items() if weight > 0.6 * top),
        items=items[1],
        users=users[1] if users else DeclaredColumns(),
    )
    return Source(str(folder), spec, items[0], users and users[0], events)


def _read_if_there(path: Path) -> _AtomicFile | None:
    return _read(path) if path.is_file() else None


def _read(path: Path) -> _AtomicFile:
    with path.open(encoding="utf-8") as lines:
        header = lines.readline().rstrip("\r\n").split("\t")
    types = dict(field.rpartition(":")[::2] for field in header)
    wrong = [field for field in header if ":" not in field or types[field.rpartition(":")[0]] not in _TYPES]
    if wrong or len(types) < len(header):
        what = f"each column must be headed once, as name:type with a type of {', '.join(_TYPES)}"
        raise data_error(str(path.parent), [Problem(path.name, None, what, examples=tuple(wrong[:3] or header[:3]))])
    try:
        table = pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(column_names=list(types), skip_rows=1),
            # Text holds quotes and newlines never: a quote is a character like any other.
            parse_options=pa_csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(types, pa.string()), strings_can_be_null=True, null_values=[""]
            ),
        )
    except pa.ArrowInvalid as error:
        raise data_error(str(path.parent), [Problem(path.name, None, f"a broken row; correct it: {error}")]) from error
    return _AtomicFile(path.name, table, types)


def _ids(log: _AtomicFile) -> tuple[str, str]:
    """The columns of the user and the item; files that name them otherwise have them first."""
    tokens = log.of_type("token")
    if len(tokens) < 2:
        what = f"needs the columns user_id:token and item_id:token; the columns are {', '.join(log.types)}"
        raise data_error(log.file, [Problem(log.file, None, what)])
    if {"user_id", "item_id"} <= set(tokens):
        return "user_id", "item_id"
    return tokens[0], tokens[1]


def _numbers(source: _AtomicFile, name: str) -> pa.ChunkedArray:
    try:
        return columns.convert(source.table[name], "number")
    except ValueError:
        count, examples = columns.unreadable(source.table[name], "number")
        problem = Problem(source.file, name, f"expected {columns.IN_WORDS['number']}", count, tuple(examples))
        raise data_error(source.file, [problem]) from None


def _events(log: _AtomicFile, user_id: str, item_id: str) -> tuple[SourceTable, dict[str, float]]:
    events = {"user_id": log.table[user_id], "item_id": log.table[item_id]}
    rating = next((name for name in _RATINGS if name in log.types), None)
    if rating:
        level = pc.ceil(_numbers(log, rating))
        # Scales that start at 0 or below are moved up: a weight is positive.
        lowest = int(min(pc.min(level).as_py() or 1, 1))
        level = pc.cast(pc.add(level, 1 - lowest), pa.int64())
        highest = pc.max(level).as_py() or 1
        if highest > _MOST_LEVELS:
            what = f"{highest} whole steps are no rating scale (at most {_MOST_LEVELS}); rescale the column or drop it"
            raise data_error(log.file, [Problem(log.file, rating, what)])
        weights = {f"rated_{step}": float(step) for step in range(1, highest + 1)}
        events["event"] = pc.binary_join_element_wise("rated", pc.cast(level, pa.string()), "_")
    else:
        weights = {"interaction": 1.0}
        events["event"] = pa.array(["interaction"] * log.table.num_rows)
    if "timestamp" in log.types:
        events["timestamp"] = pc.cast(pc.round(pc.multiply(_numbers(log, "timestamp"), 1000)), pa.int64())
    return SourceTable(log.file, pa.table(events)), weights


def _items(found: _AtomicFile | None, log: _AtomicFile, item_id: str) -> tuple[SourceTable, DeclaredColumns]:
    if found is None:
        return SourceTable(log.file, pa.table({"item_id": log.table[item_id].drop_null().unique()})), DeclaredColumns()
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
    declared, further = _declare(found, leave_out={*ITEM_COLUMNS, *EVENT_COLUMNS, key, title} - {"category"})
    if category == "category":
        # The canonical column of that name holds the first class; the whole list keeps the plural.
        further = {"categories" if name == category else name: values for name, values in further.items()}
        renamed = tuple("categories" if name == category else name for name in declared.categorical)
        declared = DeclaredColumns(categorical=renamed, numeric=declared.numeric)
    return SourceTable(found.file, pa.table(named | further)), declared


def _users(found: _AtomicFile | None, user_id: str) -> tuple[SourceTable, DeclaredColumns] | None:
    if found is None:
        return None
    key = user_id if user_id in found.types else next(iter(found.types))
    declared, further = _declare(found, leave_out={*USER_COLUMNS, *EVENT_COLUMNS, key})
    return SourceTable(found.file, pa.table({"user_id": found.table[key]} | further)), declared


def _declare(found: _AtomicFile, leave_out: set[str | None]) -> tuple[DeclaredColumns, dict[str, pa.ChunkedArray]]:
    """Which columns become features, and their values."""
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
        # Near-unique values, such as postal codes, would be learned by heart.
        if distinct <= min(_MOST_CHOICES, max(found.table.num_rows // 2, 1)):
            categorical[name] = values
    declared = DeclaredColumns(categorical=tuple(categorical), numeric=tuple(numeric))
    return declared, categorical | numeric


def _quantity(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """The numbers of a token column, or None if it is not one of numbers; a few stray words become null."""
    number = pc.match_substring_regex(column, r"^-?\d+(\.\d+)?$")
    if pc.sum(number).as_py() in (None, 0) or pc.mean(number).as_py() < 0.95:
        return None
    return pc.if_else(number, column, None).cast(pa.float64())
