"""Rows from a CSV or JSON-lines file (gzipped or not), renamed by a mapping, each with the line it came from.

Problems are collected, not raised one by one, so that a researcher mends a file once. Used by the imports of questions and
of explanations.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.errors import InputError

MOST_PROBLEMS_SHOWN = 20
PRINTED = re.compile(r"^\s*(?:\[[^\]]*\]\s*)?Question:\s*(?P<question>.*?)\s*Choices:\s*(?P<choices>\(a\)\s.*)$", re.S)
LETTER = re.compile(r"(?:^|\s+)\([a-z]\)\s+")


@dataclass
class Problems:
    """What is wrong with a file, as `line N, column C: reason`."""

    source: str
    lines: list[str] = field(default_factory=list)

    def add(self, line: int, column: str, reason: str) -> None:
        """Note one problem."""
        self.lines.append(f"line {line}, column {column}: {reason}")

    def check(self) -> None:
        """Raise InputError with all problems (the first 20 in words) when there is one."""
        if self.lines:
            more = len(self.lines) - MOST_PROBLEMS_SHOWN
            tail = [f"… and {more} more"] if more > 0 else []
            text = "\n  ".join(self.lines[:MOST_PROBLEMS_SHOWN] + tail)
            raise InputError(f"{self.source}: nothing was imported; mend these and import again:\n  {text}")


@dataclass(frozen=True)
class Row:
    """One record: the line of the file on which it begins, and its values by target name."""

    line: int
    values: dict[str, Any]

    def text(self, name: str) -> str:
        """The value as stripped text; empty when absent. NUL, which a model may write and no text in PostgreSQL holds, is dropped."""
        value = self.values.get(name)
        return "" if value is None else str(value).replace("\x00", "").strip()


@dataclass(frozen=True)
class Table:
    """The rows of a file, the names they may have, and the file's sha256 (of its bytes as they are)."""

    name: str
    sha256: str
    rows: list[Row]


def read_table(
    path: Path,
    targets: Sequence[str],
    mapping: Mapping[str, str],
    constants: Mapping[str, str],
    *,
    required: Sequence[str] = (),
) -> Table:
    """Read a file whose columns are named as `targets`, or are renamed to them by `mapping` (target → source).

    `constants` gives targets that are the same for every row. Raises InputError for a file that can't be read, an unknown
    target, a mapped column that isn't there, or a `required` target that no column gives.
    """
    for target in (*mapping, *constants):
        if target not in targets:
            raise InputError(f"{target!r} is not a field of this import; the fields are: {', '.join(targets)}")
    data = _bytes(path)
    text = _decode(path, data)
    suffixes = [s for s in path.suffixes if s != ".gz"]
    records = (
        _json_lines(path, text) if suffixes and suffixes[-1] in (".jsonl", ".ndjson", ".json") else _csv(path, text)
    )
    rows = []
    record: dict[str, Any] = {}
    for line, record in records:
        for target, source in mapping.items():
            if source not in record:
                near = difflib.get_close_matches(source, list(record), n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise InputError(
                    f"{path.name}, line {line}: there is no column {source!r} (mapped to {target}){hint} "
                    f"The columns are: {', '.join(map(str, record))}"
                )
        values = {name: record[name] for name in targets if name in record and name not in mapping}
        values |= {target: record[source] for target, source in mapping.items()} | dict(constants)
        rows.append(Row(line, values))
    if not rows:
        raise InputError(f"{path.name}: there are no rows in this file")
    missing = [target for target in required if not any(target in row.values for row in rows)]
    if missing:
        columns = ", ".join(map(str, record))
        raise InputError(
            f"{path.name}: no column gives {' or '.join(missing)}; name the one that does, e.g. --map {missing[0]}=COLUMN. "
            f"The columns are: {columns}"
        )
    return Table(path.name, hashlib.sha256(data).hexdigest(), rows)


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: the file cannot be read ({error})") from error


def _decode(path: Path, data: bytes) -> str:
    """UTF-8, with or without a byte-order mark."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(
            f"{path.name}: the file is in UTF-16; save it as UTF-8 (in a spreadsheet: 'CSV UTF-8') and import it again"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path.name}, line {line}: the file is not in UTF-8 (byte 0x{data[error.start]:02x}); "
            "save it as UTF-8 (in a spreadsheet: 'CSV UTF-8') and import it again"
        ) from error
    if "\x00" in text:
        line = text[: text.index("\x00")].count("\n") + 1
        raise InputError(f"{path.name}, line {line}: the file holds a NUL character, which no text may hold; remove it")
    return text


def _csv(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(10_000_000)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if not any(header):
            raise InputError(f"{path.name}: the file is empty; its first line must name the columns")
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise InputError(f"{path.name}, line 1: the column {twice[0]!r} is there twice; rename one")
        start = reader.line_num + 1
        for cells in reader:
            if cells:
                if len(cells) != len(header):
                    raise InputError(
                        f"{path.name}, line {start}: {len(cells)} cells where the first line names {len(header)} columns; "
                        "a text with commas must be in quotes"
                    )
                yield start, dict(zip(header, cells, strict=True))
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path.name}, line {reader.line_num}: this is not valid CSV ({error})") from error


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path.name}, line {number}: this is not valid JSON ({error})") from error
        if not isinstance(record, dict):
            raise InputError(f"{path.name}, line {number}: each line must be a JSON object with named fields")
        yield number, record


def split_printed(text: str) -> tuple[str, list[str]] | None:
    """Question and choices of the form `[task] Question: … Choices: (a) … (b) …`, in which students are prompted; else None."""
    match = PRINTED.match(text)
    if match is None:
        return None
    choices = [part.strip() for part in LETTER.split(match["choices"]) if part.strip()]
    return match["question"], choices


def read_choices(value: Any) -> list[str] | None:
    """Choices from a JSON list, `(a) x (b) y`, or `x | y`; None when it is none of these."""
    if isinstance(value, list):
        return [str(item).strip() for item in value]
    text = str(value or "").strip()
    if text.startswith("["):
        try:
            parsed = json.loads(text)
        except ValueError:
            return None
        return [str(item).strip() for item in parsed] if isinstance(parsed, list) else None
    if text.startswith("(a)"):
        return [part.strip() for part in LETTER.split(text) if part.strip()]
    if "|" in text:
        return [part.strip() for part in text.split("|")]
    return None
