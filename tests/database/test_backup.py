"""A backup holds everything, and a restore brings it back or changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from app.cli import main
from app.database.embedded import plain_url
from app.settings import get_settings

INSERT = "insert into questions (dataset, key, split, text, choices, answer) values ('d', %s, 'test', 'Why?', '[\"a\", \"b\"]', 'a')"


def run(monkeypatch: pytest.MonkeyPatch, url: str, *arguments: str) -> int:
    """The command line on the database at `url`; its exit status."""
    monkeypatch.setenv("BLINDRATE_DATABASE_URL", plain_url(url))
    get_settings.cache_clear()
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    get_settings.cache_clear()
    return int(ended.value.code or 0)


def test_what_was_backed_up_is_there_after_a_restore_elsewhere(
    make_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old, new, file = make_database(), make_database(), tmp_path / "study.dump"
    with psycopg.connect(plain_url(old)) as connection:
        connection.execute(INSERT, ["kept"])
    with psycopg.connect(plain_url(new)) as connection:
        connection.execute(INSERT, ["replaced"])
    assert run(monkeypatch, old, "backup", str(file)) == 0
    assert run(monkeypatch, new, "restore", str(file), "--yes") == 0
    with psycopg.connect(plain_url(new)) as connection:
        assert connection.execute("select key from questions").fetchall() == [("kept",)]


def test_a_damaged_backup_changes_nothing(
    database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "study.dump"
    with psycopg.connect(plain_url(database)) as connection:
        connection.execute(INSERT, ["kept"])
    assert run(monkeypatch, database, "backup", str(file)) == 0
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert run(monkeypatch, database, "restore", str(file), "--yes") == 2
    assert "pg_restore failed" in capsys.readouterr().err
    with psycopg.connect(plain_url(database)) as connection:
        assert connection.execute("select key from questions").fetchall() == [("kept",)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["restore", "nowhere.dump"], "there is no such file"),
        (["restore", __file__], "is not a backup that `blindrate backup` made"),
        (["backup", __file__], "exists already"),
        (["backup", "no/such/folder/a.dump"], "there is no such folder"),
    ],
)
def test_a_file_that_will_not_do_is_told_in_one_line(
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert run(monkeypatch, database, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
