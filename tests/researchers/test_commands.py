"""The command `blindrate researcher`."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from app.cli import cli
from app.settings import get_settings


@pytest.fixture
def run(database: str, monkeypatch: pytest.MonkeyPatch):
    """Runs a command on this test's database."""
    monkeypatch.setenv("BLINDRATE_DATABASE_URL", database)
    get_settings.cache_clear()

    def run(*arguments: str, input: str | None = None) -> Result:
        return CliRunner().invoke(cli, ["researcher", *arguments], input=input)

    yield run
    get_settings.cache_clear()


def test_a_password_is_made_and_printed(run) -> None:
    result = run("add", "ada@example.org", "--role", "owner")
    assert result.exit_code == 0
    researcher, password = result.output.splitlines()
    assert researcher == "Researcher: ada@example.org"
    assert password.startswith("Password: ") and len(password) >= len("Password: ") + 16


def test_a_password_from_standard_input_is_not_printed(run) -> None:
    result = run("add", "ada@example.org", "--password-stdin", input="from standard input\n")
    assert (result.exit_code, result.output) == (0, "Researcher: ada@example.org\n")


@pytest.mark.parametrize(
    ("arguments", "password", "message"),
    [
        (("add", "nonsense"), "a long enough password", "is not an e-mail address"),
        (("add", "ada@example.org"), "short", "at least 10 characters"),
        (("password", "nobody@example.org"), "a long enough password", "there is no researcher"),
    ],
)
def test_bad_input_is_told(run, arguments: tuple[str, ...], password: str, message: str) -> None:
    result = run(*arguments, "--password-stdin", input=password)
    assert message in str(result.exception) and result.exception.exit_code == 2


def test_an_email_is_taken_whatever_its_capitals(run) -> None:
    run("add", "ada@example.org")
    result = run("add", "ADA@example.org")
    assert "there is a researcher" in str(result.exception) and "researcher password" in str(result.exception)


def test_accounts_are_listed_and_locked(run) -> None:
    run("add", "b@example.org", "--role", "viewer")
    run("add", "a@example.org")
    run("deactivate", "b@example.org")
    assert run("list").output == "a@example.org\teditor\tactive\nb@example.org\tviewer\tlocked\n"
