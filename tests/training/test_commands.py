"""The commands: help without torch, clear errors, and a whole run with a message at its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, inspect

from app.cli import cli
from app.database.migrate import downgrade
from app.settings import get_settings
from training.commands import _stop_signals

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["distill", "teacher", "student", "evaluate", "models", "models pull", "models list"])
def test_every_command_has_help_with_an_example(name: str) -> None:
    result = CliRunner().invoke(cli, [*name.split(), "--help"])
    assert result.exit_code == 0
    assert f"Example: blindrate {name.split()[0]}" in result.output


def test_help_and_a_bad_file_need_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "class Missing:\n"  # importing torch fails as where it is not installed
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('torch', 'transformers'):\n"
        "            raise ModuleNotFoundError(f'No module named {name}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from app.cli import main\n"
        "main(sys.argv[1:])\n"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )

    assert "Run a distillation" in run("distill", "--help").stdout
    missing = run("distill", str(tmp_path / "none.yaml"))
    assert (missing.returncode, missing.stderr) == (
        2,
        f"blindrate: {tmp_path}/none.yaml: there is no such file; give the path of a distillation's YAML file\n",
    )
    listed = run("models", "list")
    assert "smollm2-135m-instruct: " in listed.stdout
    unknown = run("models", "pull", "gpt-99")
    assert (unknown.returncode, unknown.stderr) == (
        2,
        "blindrate: there is no small model 'gpt-99'; known are smollm2-135m-instruct\n",
    )
    needed = run("teacher", "examples/tiny.yaml", "--out", str(tmp_path / "out"))
    assert needed.returncode == 2
    assert "needs the training extra" in needed.stderr


def test_a_first_interrupt_asks_and_the_second_ends() -> None:
    import signal

    before = signal.getsignal(signal.SIGINT)
    with _stop_signals() as should_stop:
        assert not should_stop()
        signal.raise_signal(signal.SIGINT)
        assert should_stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_publishing_readies_the_database_before_the_work(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downgrade(database, "base")
    monkeypatch.setenv("BLINDRATE_DATABASE_URL", database)
    get_settings.cache_clear()
    config = tmp_path / "bad.yaml"
    config.write_text("name: bad\n", encoding="utf-8")
    done = CliRunner().invoke(cli, ["distill", str(config), "--out", str(tmp_path / "out"), "--publish"])
    get_settings.cache_clear()
    assert done.exit_code != 0
    engine = create_engine(database)
    assert {"runs", "explanations"} <= set(inspect(engine).get_table_names())
    engine.dispose()
