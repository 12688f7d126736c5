"""Readers of single files: Parquet with its types, CSV and other UTF-8 text as strings."""

import codecs
import csv
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from winnow.datasets.canonical.raw import RawFile
from winnow.datasets.canonical.report import Problem, data_error, reading

_BLOCK = 1 << 20
_EXAMPLES = 3
_WIDEST = 200
_OTHERS = {
    b"\x1f\x8b": "it is compressed by gzip; unpack it: gunzip",
    b"\x28\xb5\x2f\xfd": "it is compressed by zstd; unpack it: unzstd",
    b"BZh": "it is compressed by bzip2; unpack it: bunzip2",
    b"PK\x03\x04": "it is a zip archive or a spreadsheet; unpack it, or save it as CSV in UTF-8",
    b"PAR1": "it is a Parquet file; let its name end in .parquet",
    b"\xff\xfe": "it is UTF-16; convert it: iconv -f utf-16 -t utf-8",
    b"\xfe\xff": "it is UTF-16; convert it: iconv -f utf-16 -t utf-8",
}


def check_text(path: Path, source: str, file: str) -> None:
    """Check that a file is UTF-8 text, with or without a byte-order mark.

    Raises:
        DataError: the file is not UTF-8; the message has line, bytes and remedy.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    with reading(source, file), path.open("rb") as stream:
        head = stream.read(4)
        for magic, what in _OTHERS.items():
            if head.startswith(magic):
                raise data_error(source, [Problem(file, None, f"cannot be read: {what}")])
        stream.seek(0)
        while block := stream.read(_BLOCK):
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                raise data_error(source, [_undecodable(file, line, error.object, error.start)]) from None
            if (zero := block.find(b"\0")) >= 0:
                at = line + block.count(10, 0, zero)
                what = f"line {at} holds a zero byte, so it is not UTF-8; if it is UTF-16: iconv -f utf-16 -t utf-8"
                raise data_error(source, [Problem(file, None, what)])
            line += block.count(b"\n")
        if decoder.getstate()[0]:
            raise data_error(source, [_undecodable(file, line, decoder.getstate()[0], 0)])


def _undecodable(file: str, line: int, content: bytes, start: int) -> Problem:
    before = content[:start].rpartition(b"\n")[2][-20:].decode("utf-8", "replace")
    wrong = content[start : start + 4].hex(" ")
    return Problem(
        file,
        None,
        f"line {line + content.count(10, 0, start)} is not UTF-8: bytes {wrong} after {before!r}; convert the "
        f"file from its encoding (latin1, gbk, …): iconv -f latin1 -t utf-8 {Path(file).name} > new",
    )


def read_part(
    path: Path, source: str, file: str, skip_broken: bool = False, columns: Sequence[str] | None = None
) -> RawFile:
    """Read a Parquet or CSV file.

    Args:
        path: the file.
        source: name of the data set in the report.
        file: name of the file in the report.
        skip_broken: whether CSV rows with too many or too few values are left out and counted.
        columns: of a Parquet file, the columns to read where it has them; ``None`` for all.

    Raises:
        DataError: the file cannot be read; the message has reason and remedy.
    """
    with reading(source, file):
        if path.suffix == ".parquet":
            # Not read_table, which adds columns from the names of folders.
            with pq.ParquetFile(path) as parquet:
                return RawFile(file, parquet.read(columns))
        return _read_csv(path, source, file, skip_broken)


def _read_csv(path: Path, source: str, file: str, skip_broken: bool) -> RawFile:
    """Read CSV: all values as text, empty ones null."""
    check_text(path, source, file)
    names = _headings(path)
    wrong = next((mark for mark in ";\t|" if len(names) == 1 and mark in names[0]), None)
    if wrong:
        what = f"its columns are separated by {wrong!r}, not by commas; write it with commas"
        raise data_error(source, [Problem(file, None, what, examples=(names[0][:_WIDEST],))])
    return parse(path, file, names, pa_csv.ParseOptions(newlines_in_values=True), skip_broken)


def parse(
    path: Path,
    file: str,
    names: list[str],
    options: pa_csv.ParseOptions,
    skip_broken: bool,
    reading_options: pa_csv.ReadOptions | None = None,
) -> RawFile:
    """Read delimited text: all values as text, empty ones null.

    Args:
        path: the file, UTF-8.
        file: name of the file in the report.
        names: names of the columns.
        options: delimiter and quoting.
        skip_broken: whether rows with too many or too few values are left out and counted.
        reading_options: header options, where the first row is not the names.
    """
    examples: list[str] = []
    lines: list[int] = []

    def skip(row: pa_csv.InvalidRow) -> str:
        text = (row.text or "").rstrip("\r\n")
        # An unclosed quote makes one row of all lines after it.
        lines.append(1 + text.count("\n"))
        if len(examples) < _EXAMPLES:
            examples.append(text[:_WIDEST])
        return "skip"

    if skip_broken:
        options.invalid_row_handler = skip
    types = dict.fromkeys(names, pa.string())
    as_text = pa_csv.ConvertOptions(column_types=types, strings_can_be_null=True, null_values=[""])
    table = pa_csv.read_csv(path, reading_options, options, as_text)
    return RawFile(file, table, sum(lines), tuple(examples))


def _headings(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return next((row for row in csv.reader(lines) if row), [])
