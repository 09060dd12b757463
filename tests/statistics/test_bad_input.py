"""What can be wrong with a file of ratings: every problem is told in one line, exactly, and the command exits with 2."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli import main
from tests.statistics.tables import HEADER, good_rows, write

OPTIONS = "--participant who --item item --condition method --constructs Clear,Useful --scale 1-5"
Make = Callable[[Path], Path]


def changed(row: int, column: str, value: str) -> Make:
    """The good file with one cell changed; rows as a spreadsheet numbers them."""

    def make(folder: Path) -> Path:
        rows = good_rows()
        rows[row - 2][HEADER.split(",").index(column)] = value
        return write(folder / "f.csv", rows)

    return make


def text(content: str | bytes, name: str = "f.csv") -> Make:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def good(folder: Path) -> Path:
    return write(folder / "f.csv", good_rows())


def only(keep: Callable[[list[str]], bool]) -> Make:
    return lambda folder: write(folder / "f.csv", [row for row in good_rows() if keep(row)])


def folder_itself(folder: Path) -> Path:
    return folder


def long(*lines: str) -> Make:
    head = "participant,position,condition,question_id,explanation_id,construct,value"
    body = [f"{p},{i},{c},q{i},{c}{i},Clear,{1 + (p + i) % 5}" for p in (1, 2) for i in (1, 2) for c in "AB"]
    return text("\n".join([head, *body, *lines]) + "\n")


COLUMNS_ARE = "who, item, method, Clear, Useful, length, age"
CASES: dict[str, tuple[Make, str, list[str]]] = {
    "no file": (lambda f: f / "none.csv", OPTIONS, ["there is no file {folder}/none.csv"]),
    "folder": (folder_itself, OPTIONS, ["{folder} is a folder; give a CSV file"]),
    "not UTF-8": (
        text(HEADER.encode() + b"\n1,q1,A,3,\xff,1,1\n"),
        OPTIONS,
        ["f.csv: row 2 is not UTF-8 text; save the file as CSV UTF-8"],
    ),
    "empty file": (text(""), OPTIONS, ["f.csv: the file is empty"]),
    "blank file": (text(" \n\n"), OPTIONS, ["f.csv: the file is empty"]),
    "binary file": (text(b"a,b\n\x00,1\n"), OPTIONS, ["f.csv: the file holds binary data; it must be a CSV text file"]),
    "damaged gzip": (
        text(gzip.compress(b"a,b\n1,2\n")[:-6], "f.csv.gz"),
        OPTIONS,
        ["f.csv.gz: the gzip file is damaged: Compressed file ended before the end-of-stream marker was reached"],
    ),
    "header only": (text(HEADER + "\n"), OPTIONS, ["f.csv: there is a header but no row below it"]),
    "open quote": (text('who,item\n1,"q1\n'), OPTIONS, ["f.csv: the file is not valid CSV: unexpected end of data"]),
    "column twice": (text(HEADER + ",Clear\n1,q1,A,3,4,1,1,2\n"), OPTIONS, ["f.csv: the column 'Clear' is there 2 times"]),
    "nameless column": (text("who,,b\n1,2,3\n"), OPTIONS, ["f.csv: column 2 of the header has no name"]),
    "short row": (text(HEADER + "\n1,q1,A,3\n"), OPTIONS, ["f.csv: row 2: 4 cells where the header has 7"]),
    "long row": (text(HEADER + "\n1,q1,A,3,4,1,1,9\n"), OPTIONS, ["f.csv: row 2: 8 cells where the header has 7"]),
    "misspelt construct": (
        good,
        OPTIONS.replace("Useful", "Usefull"),
        ["f.csv: there is no column 'Usefull' (construct); did you mean 'Useful'?"],
    ),
    "wrong case": (
        good,
        OPTIONS.replace("method", "Method"),
        ["f.csv: there is no column 'Method' (condition); did you mean 'method'?"],
    ),
    "unknown participant column": (
        good,
        OPTIONS.replace("who", "CASE_NUMBER"),
        [f"f.csv: there is no column 'CASE_NUMBER' (participant); the columns are {COLUMNS_ARE}"],
    ),
    "two columns missing": (
        good,
        OPTIONS + " --covariates lenght --background aged",
        [
            "f.csv: there is no column 'lenght' (covariate); did you mean 'length'?",
            "f.csv: there is no column 'aged' (background); did you mean 'age'?",
        ],
    ),
    "no constructs": (
        good,
        "--participant who --item item --condition method",
        [
            "f.csv: no column holds the ratings: name them with --constructs, or give a long file with the columns "
            f"'construct' and 'value'; the columns are {COLUMNS_ARE}"
        ],
    ),
    "column in two roles": (
        good,
        OPTIONS + " --covariates item",
        [
            "f.csv: the column 'item' is given 2 times: as item, covariate",
            "f.csv: the covariate 'item' has a name that the analysis needs; rename the column",
        ],
    ),
    "construct twice": (
        good,
        OPTIONS.replace("Clear,Useful", "Clear,Clear"),
        ["f.csv: the column 'Clear' is given 2 times: as construct, construct"],
    ),
    "value off the scale": (changed(5, "Clear", "6"), OPTIONS, ["f.csv: row 5, column Clear: 6 is off the scale 1 to 5"]),
    "value below the scale": (changed(2, "Useful", "0"), OPTIONS, ["f.csv: row 2, column Useful: 0 is off the scale 1 to 5"]),
    "half a point": (changed(3, "Clear", "2.5"), OPTIONS, ["f.csv: row 3, column Clear: '2.5' is not a whole number"]),
    "text for a rating": (changed(4, "Useful", "often"), OPTIONS, ["f.csv: row 4, column Useful: 'often' is not a number"]),
    "infinite rating": (changed(4, "Useful", "inf"), OPTIONS, ["f.csv: row 4, column Useful: 'inf' is not a number"]),
    "a long scale": (
        changed(6, "Clear", "55"),
        OPTIONS.replace(" --scale 1-5", ""),
        ["f.csv: row 6, column Clear: 55 would make a scale of 1 to 55; a scale has at most 11 points"],
    ),
    "no rating at all": (
        text("who,item,method,Clear,Useful\n1,a,A,1,\n1,b,A,2,\n2,a,B,3,NA\n2,b,B,1,\n"),
        OPTIONS,
        ["f.csv: the column 'Useful' holds no rating"],
    ),
    "all the same": (
        text("who,item,method,Clear,Useful\n1,a,A,3,3\n1,b,A,3,3\n2,a,B,3,3\n2,b,B,3,3\n"),
        OPTIONS.replace(" --scale 1-5", ""),
        ["f.csv: every rating is 3: there is nothing to compare"],
    ),
    "blank participant": (changed(7, "who", ""), OPTIONS, ["f.csv: row 7, column who: the participant is empty"]),
    "blank condition": (changed(8, "method", " "), OPTIONS, ["f.csv: row 8, column method: the condition is empty"]),
    "NA item": (changed(9, "item", "NA"), OPTIONS, ["f.csv: row 9, column item: the item is empty"]),
    "text in a number covariate": (
        changed(3, "length", "long"),
        OPTIONS + " --covariates length",
        ["f.csv: row 3, column length: 'long' is not a number, but other rows of this column are"],
    ),
    "one condition": (
        only(lambda row: row[2] == "A"),
        OPTIONS,
        ["f.csv: column method: the only condition is 'A'; a comparison needs two"],
    ),
    "one participant": (
        only(lambda row: row[0] == "3"),
        OPTIONS,
        ["f.csv: column who: the only participant is '3'; two are needed"],
    ),
    "condition with one item": (
        only(lambda row: row[1:3] != ["q1", "B"]),
        OPTIONS,
        ["f.csv: row 4, column item: condition 'B' has one item; at least two are needed"],
    ),
    "rated twice": (
        lambda f: write(f / "f.csv", good_rows() + good_rows()[:1]),
        OPTIONS,
        ["f.csv: row 18: participant 1 rated explanation A/q1 before, in row 2"],
    ),
    "explanation of two conditions": (
        lambda f: write(f / "f.csv", [[*row, f"e{at // 2}{row[0]}"] for at, row in enumerate(good_rows(2, 2)[:2])]
                        + [[*row, f"x{at}"] for at, row in enumerate(good_rows(3, 2)[2:])], HEADER + ",text"),
        OPTIONS + " --explanation text",
        [
            "f.csv: row 3: participant 1 rated explanation e01 before, in row 2",
            "f.csv: row 3: explanation e01 has two conditions: A, B",
        ],
    ),
    "two ages": (
        changed(5, "age", "22"),
        OPTIONS + " --background age",
        ["f.csv: row 5, column age: participant 1 has '22' here and '21' in row 2"],
    ),
    "unknown reference": (
        good,
        OPTIONS + " --reference C",
        ["f.csv: there is no condition 'C' to refer to; the conditions are A, B"],
    ),
    "misspelt reference": (
        lambda f: write(f / "f.csv", [[*row[:2], "standard" + row[2], *row[3:]] for row in good_rows()]),
        OPTIONS + " --reference standarda",
        ["f.csv: there is no condition 'standarda' to refer to; did you mean 'standardB'?"],
    ),
    "long: repeated rating": (
        long("1,9,A,q1,A1,Clear,2"),
        "",
        ["f.csv: row 10: participant 1 has rated Clear of this explanation before"],
    ),
    "long: no construct": (long("1,9,A,q3,A3,,2"), "", ["f.csv: row 10, column construct: empty"]),
    "long: text for a rating": (
        long("1,9,A,q3,A3,Clear,good"),
        "",
        ["f.csv: row 10, column value (Clear): 'good' is not a number"],
    ),
    "long: off the scale": (
        long("1,9,A,q3,A3,Clear,8"),
        "--scale 1-5",
        ["f.csv: row 10, column value (Clear): 8 is off the scale 1 to 5"],
    ),
    "alpha 1": (good, OPTIONS + " --alpha 1", ["alpha is 1; it must lie between 0 and 0.5"]),
    "alpha 0": (good, OPTIONS + " --alpha 0", ["alpha is 0; it must lie between 0 and 0.5"]),
    "equivalence 1": (
        good,
        OPTIONS + " --equivalence 1",
        ["equivalence is 1; it is an odds ratio and must be above 1"],
    ),
    "negative seed": (good, OPTIONS + " --seed -1", ["seed is -1; it must be 0 or more"]),
    "few resamples": (good, OPTIONS + " --bootstrap 10", ["bootstrap is 10; at least 100 resamples are needed"]),
    "scale upside down": (
        good,
        OPTIONS.replace("1-5", "5-1"),
        ["the scale 5 to 1 must have 2 to 11 points, the lowest first"],
    ),
    "scale without end": (good, OPTIONS.replace("1-5", "five"), ["--scale 'five' is not of the form LOW-HIGH, such as 1-5"]),
}  # fmt: skip


def refuse(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run the command, which must exit with 2; the lines on standard error, without the command's name."""
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2
    return capsys.readouterr().err.removeprefix("blindrate: ").splitlines()


@pytest.mark.parametrize("case", CASES)
def test_each_problem_of_a_file_is_told_in_its_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, options, expected = CASES[case]
    arguments = ["analyze", str(make(tmp_path)), *options.split(), "--out", str(tmp_path / "out")]
    assert refuse(arguments, capsys) == [line.replace("{folder}", str(tmp_path)) for line in expected]
    assert not (tmp_path / "out" / "results.json").exists()


def test_many_problems_are_told_together_in_the_order_of_rows_and_counted_above_fifty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [[*row[:3], "9", "0", *row[5:]] for row in good_rows(8, 4)]
    path = write(tmp_path / "f.csv", rows)
    lines = refuse(["analyze", str(path), *OPTIONS.split(), "--out", str(tmp_path / "out")], capsys)
    assert lines[:2] == [
        "f.csv: row 2, column Clear: 9 is off the scale 1 to 5",
        "f.csv: row 2, column Useful: 0 is off the scale 1 to 5",
    ]
    assert lines[-1] == "f.csv: and 78 problems more"
    assert len(lines) == 51


def test_an_out_that_is_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = good(tmp_path)
    lines = refuse(["analyze", str(path), *OPTIONS.split(), "--out", str(path)], capsys)
    assert lines == [f"--out {path} is a file; give a folder"]


def test_an_out_below_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = good(tmp_path)
    lines = refuse(["analyze", str(path), *OPTIONS.split(), "--out", str(path / "out")], capsys)
    assert lines == [f"the folder {path}/out can't be made: Not a directory"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = good(tmp_path), tmp_path / "out"
    out.mkdir(mode=0o500)
    lines = refuse(["analyze", str(path), *OPTIONS.split(), "--out", str(out)], capsys)
    assert lines == [f"the folder {out} can't be written into"]
