"""A CSV file as text columns: what can be wrong with a file before anything is known about its meaning."""

from __future__ import annotations

import csv
import difflib
import gzip
import hashlib
import io
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.errors import InputError

MISSING = ("", "NA", "NaN", "nan", "null", "None", "N/A")
"""Cells that count as empty."""
SHOWN = 50
"""Problems printed; the rest are counted."""


def raise_problems(name: str, problems: Sequence[str]) -> None:
    """Raise InputError with one line per problem, each beginning with the file's name; nothing if there is none."""
    if not problems:
        return
    lines = [f"{name}: {problem}" for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"{name}: and {len(problems) - SHOWN} problems more")
    raise InputError("\n".join(lines))


@dataclass(frozen=True)
class Table:
    """Text cells by column, stripped. Rows are numbered as a spreadsheet shows them: the header is row 1."""

    name: str
    sha256: str
    columns: dict[str, NDArray[np.object_]]

    @property
    def rows(self) -> int:
        """Rows below the header."""
        return len(next(iter(self.columns.values())))

    def row(self, index: int) -> int:
        """The row number that a person sees for the index of a data row."""
        return index + 2

    def missing(self, column: str) -> NDArray[np.bool_]:
        """(rows,) True where the cell is empty."""
        return np.isin(self.columns[column].astype(str), MISSING)

    def numbers(self, column: str) -> NDArray[np.float64]:
        """(rows,) the cells as numbers, NaN where the cell is empty or is no number."""
        cells = np.where(self.missing(column), "", self.columns[column])
        numbers: NDArray[np.float64] = pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce").to_numpy(float)
        return numbers

    def absent(self, wanted: str, role: str) -> str | None:
        """A problem if there is no column `wanted`, with the nearest name that there is; else None."""
        if wanted in self.columns:
            return None
        near = difflib.get_close_matches(wanted.lower(), [name.lower() for name in self.columns], n=1, cutoff=0.6)
        names = {name.lower(): name for name in self.columns}
        hint = f"did you mean {names[near[0]]!r}?" if near else f"the columns are {', '.join(self.columns)}"
        return f"there is no column {wanted!r} ({role}); {hint}"


def read_table(path: str | Path) -> Table:
    """Read a CSV file (comma, semicolon or tab; UTF-8 with or without BOM; .gz too). InputError says what is wrong where."""
    path = Path(path)
    raw = _read_bytes(path)
    content = _unpacked(path, raw)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path.name}: row {line} is not UTF-8 text; save the file as CSV UTF-8") from None
    if not text.strip():
        raise InputError(f"{path.name}: the file is empty")
    if "\0" in text:
        raise InputError(f"{path.name}: the file holds binary data; it must be a CSV text file")
    first = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise InputError(f"{path.name}: the file is not valid CSV: {error}") from None
    return _table(path.name, hashlib.sha256(raw).hexdigest(), lines)


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a CSV file")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}") from None


def _unpacked(path: Path, content: bytes) -> bytes:
    if path.suffix == ".gz" or content[:2] == b"\x1f\x8b":
        try:
            return gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path.name}: the gzip file is damaged: {error}") from None
    return content


def _table(name: str, sha256: str, lines: list[list[str]]) -> Table:
    while lines and not any(cell.strip() for cell in lines[-1]):
        lines.pop()
    header = [cell.strip() for cell in lines[0]]
    body = lines[1:]
    problems = [f"column {at + 1} of the header has no name" for at, cell in enumerate(header) if not cell]
    problems += [f"the column {cell!r} is there {n} times" for cell, n in Counter(header).items() if cell and n > 1]
    if not body:
        problems.append("there is a header but no row below it")
    problems += [
        f"row {at + 2}: {len(cells)} cells where the header has {len(header)}"
        for at, cells in enumerate(body)
        if len(cells) != len(header)
    ]
    raise_problems(name, problems)
    grid = np.empty((len(body), len(header)), dtype=object)
    for at, cells in enumerate(body):
        grid[at] = [cell.strip() for cell in cells]
    return Table(name, sha256, {column: grid[:, at] for at, column in enumerate(header)})


def table_from_frame(frame: pd.DataFrame, name: str = "data") -> Table:
    """A DataFrame as the same text columns that its CSV would give; whole floats lose their '.0'. sha256 is of that CSV."""
    if frame.empty:
        raise InputError(f"{name}: there is no row")
    frame = frame.reset_index(drop=True)
    columns = {str(column): np.array([_cell(x) for x in frame[column]], dtype=object) for column in frame.columns}
    if len(columns) != frame.shape[1]:
        raise InputError(f"{name}: two columns have the same name")
    text = pd.DataFrame(columns).to_csv(index=False)
    return Table(name, hashlib.sha256(text.encode()).hexdigest(), columns)


def _cell(value: object) -> str:
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()
