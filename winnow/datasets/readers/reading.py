"""Reading files: Parquet as it is, CSV and other text only where it is UTF-8."""

import codecs
import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from winnow.datasets.canonical.report import Problem, data_error, reading
from winnow.datasets.canonical.source import Part

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
    """Make sure that a file is UTF-8 text, with or without a byte-order mark.

    Raises:
        DataError: it is not; the message has line, bytes and remedy.
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
        f"file from what it was written in (latin1, gbk, …): iconv -f latin1 -t utf-8 {Path(file).name} > new",
    )


def read_part(path: Path, source: str, file: str, skip_broken: bool = False) -> Part:
    """A Parquet or CSV file as it is.

    Args:
        path: where it lies.
        source: the data set, as the report names it.
        file: the file, as the report names it.
        skip_broken: leave rows of CSV that have too many or too few values out, and count them.

    Raises:
        DataError: it cannot be read; the message says why and what to do.
    """
    with reading(source, file):
        if path.suffix == ".parquet":
            # Not read_table, which makes columns of the folders' names.
            with pq.ParquetFile(path) as parquet:
                return Part(file, parquet.read())
        return _read_csv(path, source, file, skip_broken)


def _read_csv(path: Path, source: str, file: str, skip_broken: bool) -> Part:
    """Every value as text; an empty one is null."""
    check_text(path, source, file)
    names = _headings(path)
    wrong = next((mark for mark in ";\t|" if len(names) == 1 and mark in names[0]), None)
    if wrong:
        what = f"its columns are separated by {wrong!r}, not by commas; write it again with commas"
        raise data_error(source, [Problem(file, None, what, examples=(names[0][:_WIDEST],))])
    return parse(path, file, names, pa_csv.ParseOptions(newlines_in_values=True), skip_broken)


def parse(
    path: Path,
    file: str,
    names: list[str],
    options: pa_csv.ParseOptions,
    skip_broken: bool,
    reading_options: pa_csv.ReadOptions | None = None,
) -> Part:
    """Delimited text, every value as text; an empty one is null.

    Args:
        path: where it lies; UTF-8.
        file: as the report names it.
        names: of its columns.
        options: how rows and values are told apart.
        skip_broken: leave rows that have too many or too few values out, and count them.
        reading_options: where the names are, if not in the first row.
    """
    examples: list[str] = []
    lines: list[int] = []

    def skip(row: pa_csv.InvalidRow) -> str:
        text = (row.text or "").rstrip("\r\n")
        # A quote that is never closed makes one row of all the lines that follow.
        lines.append(1 + text.count("\n"))
        if len(examples) < _EXAMPLES:
            examples.append(text[:_WIDEST])
        return "skip"

    if skip_broken:
        options.invalid_row_handler = skip
    types = dict.fromkeys(names, pa.string())
    as_text = pa_csv.ConvertOptions(column_types=types, strings_can_be_null=True, null_values=[""])
    table = pa_csv.read_csv(path, reading_options, options, as_text)
    return Part(file, table, sum(lines), tuple(examples))


def _headings(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return next((row for row in csv.reader(lines) if row), [])
