"""The exported files: what is in them, and what must not be."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.cli import cli
from app.errors import InputError, NotFoundError
from app.participation.models import Participant, Trial
from app.reports.exports import KINDS, csv_pieces, ratings_per_stimulus, study_frame, write_exports
from app.settings import get_settings
from app.statistics.data import from_frame, read_ratings
from app.studies.models import Condition, Study
from app.studies.service import get_study, stimuli_of
from tests.factories import CONDITIONS, MODEL, make_study
from tests.reports.rating import START, rate


async def rated(session: AsyncSession, **fields: Any) -> tuple[Study, dict[Any, int]]:
    await make_study(session, state="closed")
    study = await get_study(session, "demo")
    return study, await rate(session, study, **fields)


async def text_of(session: AsyncSession, study: Study, kind: str, *, bots: bool = False) -> str:
    return "".join([piece async for piece in csv_pieces(session, study, kind, bots=bots)])


async def rows_of(session: AsyncSession, study: Study, kind: str, *, bots: bool = False) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(await text_of(session, study, kind, bots=bots), newline="")))


async def test_ratings_hold_every_value_once(session: AsyncSession) -> None:
    study, given = await rated(session)
    rows = await rows_of(session, study, "ratings")
    assert list(rows[0]) == [
        "participant",
        "position",
        "condition",
        "question_id",
        "explanation_id",
        "construct",
        "value",
    ]
    people = {r["participant"]: r["external_id"] for r in await rows_of(session, study, "participants")}
    found = {(people[r["participant"]], int(r["position"]), r["construct"]): int(r["value"]) for r in rows}
    assert found == given and len(rows) == len(given) == 5 * 12 * 5


async def test_trials_hold_the_same_values_a_row_per_trial(session: AsyncSession) -> None:
    study, given = await rated(session)
    rows = await rows_of(session, study, "trials")
    keys = [c.key for c in study.constructs]
    assert list(rows[0]) == [
        "participant", "position", "condition", "question_id", "explanation_id", *keys,
        "explanation_length", "shown_at", "submitted_at", "age", "gender", "remarks",
    ]  # fmt: skip
    people = {r["participant"]: r["external_id"] for r in await rows_of(session, study, "participants")}
    found = {(people[r["participant"]], int(r["position"]), key): int(r[key]) for r in rows for key in keys}
    assert found == given and len(rows) == 60
    first = rows[0]
    assert datetime.fromisoformat(first["submitted_at"]) - datetime.fromisoformat(first["shown_at"]) == timedelta(
        seconds=20
    )
    lengths = {f"S{s.id}": len(s.explanation.text) for s in await stimuli_of(session, study)}
    assert all(int(r["explanation_length"]) == lengths[r["explanation_id"]] for r in rows)


async def test_rows_come_by_participant_position_and_construct(session: AsyncSession) -> None:
    study, _ = await rated(session)
    order = {c.key: c.position for c in study.constructs}
    keys = [
        (int(r["participant"]), int(r["position"]), order[r["construct"]])
        for r in await rows_of(session, study, "ratings")
    ]
    assert keys == sorted(keys)
    assert await text_of(session, study, "ratings") == await text_of(session, study, "ratings")


async def test_participants_hold_state_times_flags_and_the_panels_id(session: AsyncSession) -> None:
    study, _ = await rated(session, people=2)
    await session.execute(
        update(Participant)
        .where(Participant.external_id == "person-1-0")
        .values(excluded=True, exclusion_reason="too fast", flags={"fast": True, "same": True, "slow": False})
    )
    rows = await rows_of(session, study, "participants")
    assert list(rows[0]) == [
        "participant", "state", "outcome", "entered_at", "finished_at", "flags", "excluded", "age", "gender", "remarks",
        "exclusion_reason", "is_bot", "external_id",
    ]  # fmt: skip
    assert rows[1] == {
        "participant": "2", "state": "finished", "outcome": "completed", "entered_at": "2026-11-24T09:00:00+00:00",
        "finished_at": "2026-11-24T09:09:00+00:00", "flags": "fast same", "excluded": "true", "age": "21",
        "gender": "Woman", "remarks": "fine, thanks", "exclusion_reason": "too fast", "is_bot": "false",
        "external_id": "person-1-0",
    }  # fmt: skip


async def test_the_panels_id_is_in_participants_alone(session: AsyncSession) -> None:
    study, _ = await rated(session, people=2)
    for kind in ("ratings", "trials"):
        assert "person-" not in await text_of(session, study, kind)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_blinded_export_names_no_condition_method_model_or_explanation(
    session: AsyncSession, kind: str
) -> None:
    study, _ = await rated(session)
    text = await text_of(session, study, kind)
    assert not [word for word in (*CONDITIONS, MODEL, "few_shot", "counterfactual") if word in text]
    if kind != "participants":
        rows = await rows_of(session, study, kind)
        assert {r["condition"] for r in rows} == set("ABCD")
        assert all(r["explanation_id"].startswith("S") for r in rows)


async def test_after_unblinding_the_export_names_conditions_and_explanations(session: AsyncSession) -> None:
    study, _ = await rated(session)
    before = await rows_of(session, study, "ratings")
    study.unblinded_at = datetime.now(UTC)
    await session.commit()
    after = await rows_of(session, study, "ratings")
    names = {c.code: c.name for c in (await session.scalars(select(Condition))).all()}
    assert [names[r["condition"]] for r in before] == [r["condition"] for r in after]
    ids = {f"S{s.id}": str(s.explanation_id) for s in await stimuli_of(session, study)}
    assert [ids[r["explanation_id"]] for r in before] == [r["explanation_id"] for r in after]


async def test_bots_are_left_out_unless_asked_for_and_change_no_number(session: AsyncSession) -> None:
    await make_study(session)
    study = await get_study(session, "demo")
    await rate(session, study, 2, is_bot=True)
    await rate(session, study, 3)
    for kind in KINDS:
        without, all_rows = await rows_of(session, study, kind), await rows_of(session, study, kind, bots=True)
        assert {r["participant"] for r in without} == {"3", "4", "5"}
        assert [r for r in all_rows if r["participant"] in "345"] == without
        assert {r["participant"] for r in all_rows} == set("12345")


async def test_a_spreadsheet_runs_nothing_that_a_participant_wrote(session: AsyncSession) -> None:
    study, _ = await rated(session, people=1)
    for evil in ("=HYPERLINK(1)", "+1", "-1", "@x", "\t=1", "\r=1"):
        await session.execute(update(Participant).values(background={"remarks": evil}, external_id=evil))
        for row in await rows_of(session, study, "participants"):
            assert row["remarks"] == row["external_id"] == f"'{evil}"
        assert {r["remarks"] for r in await rows_of(session, study, "trials")} == {f"'{evil}"}


async def test_any_text_comes_back_as_it_was(session: AsyncSession) -> None:
    study, _ = await rated(session, people=1)
    said = 'quoted "so", line\r\nbreak; 日本語 – ümläut'
    await session.execute(update(Participant).values(background={"remarks": said}))
    text = await text_of(session, study, "participants")
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["remarks"] == said
    assert text.startswith("participant,state") and text.endswith("\r\n")


async def test_trials_that_were_not_answered_are_no_data(session: AsyncSession) -> None:
    study, given = await rated(session, people=2)
    spare = next(s for s in await stimuli_of(session, study))
    person = Participant(study_id=study.id, token="later", step="trials")
    session.add(person)
    await session.flush()
    session.add(Trial(participant_id=person.id, stimulus_id=spare.id, position=1, token="open", state="shown"))
    assert len(await rows_of(session, study, "ratings")) == len(given)
    assert [r["state"] for r in await rows_of(session, study, "participants")] == ["finished", "finished", "trials"]


async def test_times_are_in_utc_wherever_the_server_stands(session: AsyncSession) -> None:
    await rated(session, people=1)
    await session.execute(text("set time zone 'Asia/Tokyo'"))
    session.expire_all()
    assert (await rows_of(session, await get_study(session, "demo"), "participants"))[0][
        "entered_at"
    ] == START.isoformat()


async def test_a_study_without_participants_gives_headers_alone(session: AsyncSession) -> None:
    await make_study(session, slug="empty")
    study = await get_study(session, "empty")
    for kind in KINDS:
        assert len((await text_of(session, study, kind)).splitlines()) == 1


async def test_files_are_what_the_analysis_reads(session: AsyncSession, tmp_path: Path) -> None:
    study, _ = await rated(session)
    written = await write_exports(session, "demo", tmp_path)
    assert [(path.name, count) for path, count in written] == [
        ("ratings.csv", 300), ("trials.csv", 60), ("participants.csv", 5),
    ]  # fmt: skip
    long, wide = read_ratings(tmp_path / "ratings.csv"), read_ratings(tmp_path / "trials.csv")
    keys = [c.key for c in study.constructs]
    assert long.constructs == wide.constructs == keys
    assert long.trials[["participant", "item", *keys]].equals(wide.trials[["participant", "item", *keys]])
    frame = await study_frame(session, "demo")
    assert from_frame(frame.trials).trials[keys].equals(wide.trials[keys])
    assert frame.blinded and frame.conditions == list("ABCD") and list(frame.constructs) == keys


async def test_a_file_that_cannot_be_written_is_told_and_leaves_nothing(session: AsyncSession, tmp_path: Path) -> None:
    await rated(session, people=1)
    (tmp_path / "trials.csv" / "a folder in the way").mkdir(parents=True)
    with pytest.raises(InputError, match=r"trials\.csv cannot be written"):
        await write_exports(session, "demo", tmp_path, ["trials"])
    assert [p.name for p in tmp_path.iterdir()] == ["trials.csv"]  # noqa: ASYNC240


async def test_ratings_per_stimulus_are_counted_without_bots(session: AsyncSession) -> None:
    await make_study(session)
    study = await get_study(session, "demo")
    await rate(session, study, 4, trials=24, is_bot=True)
    assert await ratings_per_stimulus(session, study) == dict.fromkeys("ABCD", (24, 0, 0))
    await rate(session, study, 1, trials=96)
    assert await ratings_per_stimulus(session, study) == dict.fromkeys("ABCD", (24, 1, 1))


async def test_an_unknown_study_is_told(session: AsyncSession, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        await write_exports(session, "nowhere", tmp_path)
    assert not any((tmp_path / f"{kind}.csv").exists() for kind in KINDS)


async def test_the_command_writes_what_is_asked_for(
    session: AsyncSession, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rated(session, people=1)
    monkeypatch.setenv("BLINDRATE_DATABASE_URL", database)
    get_settings.cache_clear()

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(cli, ["export", "demo", *arguments])

    result = await asyncio.to_thread(run, "--out", str(tmp_path / "new" / "folder"), "--what", "ratings")
    get_settings.cache_clear()
    assert (result.exit_code, result.output) == (0, f"{tmp_path}/new/folder/ratings.csv: 60 rows\n")
    assert [p.name for p in (tmp_path / "new" / "folder").iterdir()] == ["ratings.csv"]
