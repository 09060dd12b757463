"""`blindrate analyze SLUG`: from the database to the report."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import cli
from app.database.session import make_engine, make_sessions
from app.participation.exclusion import set_exclusion
from app.settings import get_settings
from app.studies.service import get_study
from tests.factories import CONDITIONS, make_study
from tests.reports.rating import rate


@pytest.mark.slow
def test_a_study_is_analysed_blinded_without_the_excluded_and_as_registered(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def collect() -> None:
        engine = make_engine(database)
        async with make_sessions(engine)() as session:
            await make_study(session, preregistration="https://osf.io/abc12")
            await rate(session, await get_study(session, "demo"), 6)
            await set_exclusion(session, "demo", 2, "failed both attention checks", excluded=True)
            await session.commit()
        await engine.dispose()

    asyncio.run(collect())
    monkeypatch.setenv("BLINDRATE_DATABASE_URL", database)
    get_settings.cache_clear()
    done = CliRunner().invoke(
        cli, ["analyze", "demo", "--out", str(tmp_path), "--bootstrap", "100", "--permutations", "99"]
    )
    get_settings.cache_clear()
    assert done.exit_code == 0, done.output
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    flow = results["data"]["flow"]
    assert [(rule["rule"], rule["participants"]) for rule in flow["excluded"]] == [("failed both attention checks", 1)]
    assert (flow["entered"]["participants"], flow["analysed"]["participants"]) == (6, 5)
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "registered before the data were collected: https://osf.io/abc12." in report
    assert "failed both attention checks" in report
    for text in (report, json.dumps(results)):
        assert not [name for name in CONDITIONS if name in text]
