"""The command `blindrate study`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from app.cli import cli
from app.database.session import make_engine, make_sessions
from app.errors import ConflictError, NotFoundError
from app.settings import get_settings
from app.studies.service import get_study
from tests.factories import CONDITIONS, study_definition
from tests.reports.rating import rate
from tests.studies.stocking import stock

Run = Callable[..., Result]


@pytest.fixture
def run(database: str, monkeypatch: pytest.MonkeyPatch):
    """Runs a command on this test's database."""
    monkeypatch.setenv("BLINDRATE_DATABASE_URL", database)
    get_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(cli, ["study", *map(str, arguments)])
    get_settings.cache_clear()


@pytest.fixture
def stocked(database: str) -> None:
    """Explanations to make studies of."""

    async def fill() -> None:
        engine = make_engine(database)
        async with make_sessions(engine)() as session:
            await stock(session)
        await engine.dispose()

    asyncio.run(fill())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A good definition's file."""
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study_definition().model_dump(mode="json")), encoding="utf-8")
    return path


def test_a_study_lives_on_the_command_line(run: Run, stocked: None, file: Path) -> None:
    assert run("create", file).exit_code == 0
    assert run("discard", "demo").output == "The draft demo is deleted.\n"
    assert "is a draft. Launch it with: blindrate study launch demo" in run("create", file).output
    for action, said in (
        ("launch", "Study demo is live. Participants' address: http://localhost:8000/s/demo"),
        ("pause", "Study demo is paused. Go on with: blindrate study resume demo"),
        ("resume", "Study demo is live."),
        ("close", "Study demo is closed. Unblind it with:"),
    ):
        result = run(action, "demo")
        assert (result.exit_code, result.output.strip()[: len(said)]) == (0, said)
        assert not [name for name in CONDITIONS if name in result.output]
    told = run("unblind", "demo", "--reason", "collection is complete").output.splitlines()
    assert told[0] == "Study demo is unblinded:"
    assert {line.strip()[:4] for line in told[1:]} == {f"{code} = " for code in "ABCD"}
    assert {line.partition(" = ")[2] for line in told[1:]} == set(CONDITIONS[:4])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"slug: x\n", "study.yaml, line 1: title: this is missing; add it"),
        (b"slug: \xff\n", "study.yaml is not in UTF-8"),
        (b"slug: [\n", "study.yaml, line 2: this is not valid YAML"),
        (None, "study.yaml cannot be read: No such file"),
    ],
)
def test_a_file_that_will_not_do_is_told(run: Run, tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "study.yaml"
    if content is not None:
        path.write_bytes(content)
    result = run("create", path)
    assert says in str(result.exception) and result.exception.exit_code == 2


def test_what_is_not_possible_is_told(run: Run, stocked: None, file: Path) -> None:
    def refused(*arguments: object) -> str:
        result = run(*arguments)
        assert result.exception and result.exception.exit_code == 2
        return str(result.exception)

    assert "There is no study 'demo'" in refused("launch", "demo")
    run("create", file)
    assert "choose another slug" in refused("create", file)
    assert "is draft; pause is not possible now. Possible: launch." in refused("pause", "demo")
    assert "close it before you unblind it" in refused("unblind", "demo", "--reason", "I want to know")
    assert "is not a number" in refused("simulate", "demo", "--participants", 1, "--effect", "A=much")


def test_people_are_excluded_and_included_on_the_command_line(
    run: Run, stocked: None, file: Path, database: str
) -> None:
    async def take_part() -> None:
        engine = make_engine(database)
        async with make_sessions(engine)() as session:
            await rate(session, await get_study(session, "demo"), 2)
        await engine.dispose()

    run("create", file)
    run("launch", "demo")
    asyncio.run(take_part())
    assert run("exclude", "demo", 2, "--reason", "late").output == "Participant 2 of demo is excluded: late\n"
    again = run("exclude", "demo", 2, "--reason", "late")
    assert isinstance(again.exception, ConflictError) and "is excluded already" in str(again.exception)
    assert (
        run("include", "demo", 2, "--reason", "not late").output == "Participant 2 of demo is in the analysis again.\n"
    )
    assert isinstance(run("exclude", "demo", 3, "--reason", "late").exception, NotFoundError)
