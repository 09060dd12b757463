"""Files as people have them: long and wide, with a BOM, semicolons, compressed, and Blindrate's own."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from app.statistics.data import Columns, RatingsData, from_frame, read_ratings
from tests.statistics.tables import COLUMNS, HEADER, good_rows, simulated, write

OWN = ["participant", "position", "condition", "question_id", "explanation_id"]


def same_trials(a: RatingsData, b: RatingsData) -> None:
    """The same ratings, wherever they stood in their files."""
    pd.testing.assert_frame_equal(a.trials.drop(columns="row"), b.trials.drop(columns="row"), check_dtype=False)
    assert (a.constructs, a.conditions, a.low, a.high) == (b.constructs, b.conditions, b.low, b.high)


def own_files(folder: Path) -> tuple[Path, Path]:
    """A study's ratings.csv and trials.csv, as `blindrate export` writes them."""
    frame = simulated(3, participants=5, trials=6, constructs=("plausible", "clear"))
    trials = pd.DataFrame({"participant": frame["who"] + 1, "position": frame.groupby("who").cumcount() + 1})
    trials = trials.assign(condition=frame["method"], question_id="q" + frame["item"].astype(str))
    trials["explanation_id"] = trials["condition"] + trials["question_id"]
    trials = trials.assign(plausible=frame["plausible"], clear=frame["clear"], explanation_length=frame["length"])
    trials = trials.assign(shown_at="2026-01-01T10:00:00Z", submitted_at="2026-01-01T10:01:00Z", age=frame["age"])
    long = trials.melt(OWN, ["plausible", "clear"], "construct", "value")
    trials.to_csv(folder / "trials.csv", index=False)
    long.to_csv(folder / "ratings.csv", index=False)
    return folder / "ratings.csv", folder / "trials.csv"


def test_own_files_need_no_options_and_hold_the_same_ratings(tmp_path: Path) -> None:
    ratings, trials = (read_ratings(path) for path in own_files(tmp_path))
    assert ratings.constructs == trials.constructs == ["plausible", "clear"]
    assert trials.covariates == ["explanation_length"]
    assert list(trials.background.columns) == ["age"]
    assert trials.has_position
    pd.testing.assert_frame_equal(ratings.ratings, trials.ratings)
    assert trials.sha256 == hashlib.sha256((tmp_path / "trials.csv").read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", ["bom", "gz", "semicolon", "tab", "crlf", "blank lines at the end", "quoted"])
def test_the_ways_in_which_programs_write_csv_give_the_same_ratings(kind: str, tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.csv", good_rows())
    text = plain.read_text(encoding="utf-8")
    content = {
        "bom": b"\xef\xbb\xbf" + text.encode(),
        "gz": gzip.compress(text.encode()),
        "semicolon": text.replace(",", ";").encode(),
        "tab": text.replace(",", "\t").encode(),
        "crlf": text.replace("\n", "\r\n").encode(),
        "blank lines at the end": text.encode() + b"\n,,,,,,\n",
        "quoted": text.replace("q1", '"q1"').encode(),
    }[kind]
    path = tmp_path / ("other.csv.gz" if kind == "gz" else "other.csv")
    path.write_bytes(content)
    same_trials(read_ratings(plain, COLUMNS), read_ratings(path, COLUMNS))


def test_a_frame_is_read_as_its_csv_would_be(tmp_path: Path) -> None:
    frame = simulated(4).astype({"Clear": float})
    frame.loc[3, "Clear"] = np.nan
    columns = Columns("who", "item", "method", ("Clear", "Useful", "Sound"), covariates=("length",))
    frame.to_csv(tmp_path / "f.csv", index=False)
    text = (tmp_path / "f.csv").read_text().replace(".0", "")
    (tmp_path / "f.csv").write_text(text)
    same_trials(from_frame(frame, columns), read_ratings(tmp_path / "f.csv", columns))


def test_missing_values_of_nullable_columns_are_missing() -> None:
    columns = Columns("who", "item", "method", ("Clear", "Useful"))
    plain = simulated(4).astype({"Clear": float})
    nullable = simulated(4).astype({"Clear": "Int64", "method": "string"})
    plain.loc[3, "Clear"], nullable.loc[3, "Clear"] = np.nan, pd.NA
    assert np.isnan(from_frame(nullable, columns).values("Clear")).sum() == 1
    same_trials(from_frame(plain, columns), from_frame(nullable, columns))


def test_missing_ratings_are_counted_and_left_out_of_their_construct_and_the_mean(tmp_path: Path) -> None:
    rows = good_rows()
    rows[0][3], rows[5][3] = "NA", ""
    data = read_ratings(write(tmp_path / "f.csv", rows), COLUMNS, reference="A", scale=(1, 5))
    assert np.isnan(data.values("Clear")).sum() == 2
    assert np.isnan(data.values("Useful")).sum() == 0
    assert np.isnan(data.values("Quality")).sum() == 2
    assert "Clear: 2 of 16 ratings are missing; those trials are left out of its analyses." in data.warnings


def test_a_construct_called_quality_leaves_the_name_to_it(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", good_rows(), HEADER.replace("Useful", "Quality"))
    data = read_ratings(path, Columns("who", "item", "method", ("Clear", "Quality")))
    assert data.measures == ["Clear", "Quality", "Quality (mean)"]


def test_what_a_reader_must_know_is_warned_of(tmp_path: Path) -> None:
    rows = [[*row, {"A": "slot 1", "B": "slot 2"}[row[2]]] for row in good_rows() if (row[0], row[2]) != ("2", "B")]
    path = write(tmp_path / "f.csv", rows, HEADER + ",slot")
    columns = Columns("who", "item", "method", ("Clear", "Useful"), slot="slot")
    assert read_ratings(path, columns).warnings == [
        "No reference condition was given; A was taken (first in order).",
        "No scale was given; 1 to 5 was taken (the lowest and the highest rating found).",
        "Explanations were rated by 3 to 4 participants.",
        "6 times a participant rated explanations of the same item under several conditions.",
        "1 of 4 participants did not rate every condition.",
        "slot and condition are confounded: each of the 2 slots belongs to one condition, so that order effects can't be told "
        "from condition effects.",
        "The order in which participants saw the trials is not in the data; order effects can't be examined.",
    ]


def test_numbers_as_labels_are_in_the_order_of_numbers() -> None:
    frame = simulated(1, conditions=("2", "10", "1"))
    data = from_frame(frame, Columns("who", "item", "method", ("Clear",)))
    assert data.conditions == ["1", "2", "10"]
    assert list(dict.fromkeys(data.trials["participant"])) == [str(at) for at in range(12)]
