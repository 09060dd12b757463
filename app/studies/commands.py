"""Command `blindrate study`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click
from sqlalchemy.ext.asyncio import AsyncSession

from app.database.embedded import database_url
from app.database.session import command_session, make_engine, make_sessions
from app.errors import InputError
from app.participation.exclusion import set_exclusion
from app.participation.simulate import simulate as simulate_participants
from app.questions.commands import parse_pairs
from app.reports.exports import KINDS, write_exports
from app.settings import get_settings
from app.studies import service
from app.studies.definitions import decode, read_definition
from app.studies.models import Study
from app.studies.schemas import StudyDefinition

T = TypeVar("T")
POWER_RATIOS, POWER_STUDIES = (1.5, 2.0), 100  # the effects told at `create`, and the studies simulated for each


def read_text(path: Path) -> str:
    """The content of a text file. Raises InputError when it cannot be read or is not UTF-8."""
    try:
        return decode(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def in_transaction(work: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Do `work` in one transaction."""

    async def transaction() -> T:
        async with command_session() as session:
            return await work(session)

    return asyncio.run(transaction())


@click.group()
def study() -> None:
    """Create, launch, pause, close, unblind and simulate studies; exclude participants.

    \b
    Example:
      blindrate study create examples/study.yaml
      blindrate study launch my-study
    """


@study.command(epilog="Example: blindrate study create examples/study.yaml")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--power/--no-power", default=True, show_default=True, help="Say which effect the wanted participants would find."
)
def create(file: Path, power: bool) -> None:
    """Create a draft from the definition in FILE."""
    definition = read_definition(read_text(file), str(file))
    made = in_transaction(lambda session: service.create_study(session, definition))
    click.echo(f"Study {made.slug} is a draft. Launch it with: blindrate study launch {made.slug}")
    if power and definition.design.target_participants:
        _tell_power(definition, definition.design.target_participants)


def _tell_power(definition: StudyDefinition, participants: int) -> None:
    """How likely the wanted number of participants is to show a small and a larger effect: seen before launch, not after."""
    from app.statistics.power import Assumptions, StudyDesign, power

    conditions = len(definition.conditions)
    design = StudyDesign(participants, definition.design.trials_per_condition * conditions)
    found = power(
        [design],
        POWER_RATIOS,
        Assumptions(conditions=conditions),
        alpha=0.05 / len(definition.constructs),
        replicates=POWER_STUDIES,
    )
    click.echo(
        f"With {participants} participants × {design.trials} explanations, if one condition is rated better, simulated:"
    )
    for row in found["power"]:
        low, high = row["ci"]
        click.echo(
            f"  odds ratio {row['odds_ratio']:g}: found with probability {row['power']:.2f} ({low:.2f} to {high:.2f})"
        )
    click.echo("For other numbers, raters and spreads: blindrate power --help")


def _step(slug: str, action: str, told: str) -> None:
    done: Study = in_transaction(lambda session: service.take_step(session, slug, action))
    click.echo(f"Study {done.slug} is {done.state}. {told}")


@study.command(epilog="Example: blindrate study launch my-study")
@click.argument("slug")
def launch(slug: str) -> None:
    """Freeze the definition, record its hash, and take participants in."""
    _step(slug, "launch", f"Participants' address: {get_settings().base_url or 'http://localhost:8000'}/s/{slug}")


@study.command(epilog="Example: blindrate study discard my-study")
@click.argument("slug")
def discard(slug: str) -> None:
    """Delete a draft, so that a mended definition can be made under its slug."""
    in_transaction(lambda session: service.discard(session, slug))
    click.echo(f"The draft {slug} is deleted.")


@study.command(epilog="Example: blindrate study pause my-study")
@click.argument("slug")
def pause(slug: str) -> None:
    """Take nobody new in; those under way may finish."""
    _step(slug, "pause", f"Go on with: blindrate study resume {slug}")


@study.command(epilog="Example: blindrate study resume my-study")
@click.argument("slug")
def resume(slug: str) -> None:
    """Go on after a pause."""
    _step(slug, "resume", "")


@study.command(epilog="Example: blindrate study close my-study")
@click.argument("slug")
def close(slug: str) -> None:
    """End the collection for good."""
    _step(slug, "close", f'Unblind it with: blindrate study unblind {slug} --reason "…"')


@study.command(epilog='Example: blindrate study unblind my-study --reason "collection is complete"')
@click.argument("slug")
@click.option("--reason", required=True, help="Kept on record.")
def unblind(slug: str, reason: str) -> None:
    """Show from now on which condition is which. Once, on record, only after the study is closed."""
    done = in_transaction(lambda session: service.unblind(session, slug, reason))
    click.echo(f"Study {done.slug} is unblinded:")
    for condition in done.conditions:
        click.echo(f"  {condition.code} = {condition.name}")


@study.command(epilog='Example: blindrate study exclude my-study 17 --reason "failed both attention checks"')
@click.argument("slug")
@click.argument("participant", type=click.IntRange(min=1))
@click.option(
    "--reason", required=True, help="The rule, in the same words for everybody it applies to. Kept on record."
)
def exclude(slug: str, participant: int, reason: str) -> None:
    """Leave PARTICIPANT (the number in the exported files) out of the analysis. Nothing stored is lost; until unblinding only."""
    in_transaction(lambda session: set_exclusion(session, slug, participant, reason, excluded=True))
    click.echo(f"Participant {participant} of {slug} is excluded: {reason}")


@study.command(epilog='Example: blindrate study include my-study 17 --reason "the attention check was broken"')
@click.argument("slug")
@click.argument("participant", type=click.IntRange(min=1))
@click.option("--reason", required=True, help="Kept on record.")
def include(slug: str, participant: int, reason: str) -> None:
    """Take an excluded PARTICIPANT into the analysis again."""
    in_transaction(lambda session: set_exclusion(session, slug, participant, reason, excluded=False))
    click.echo(f"Participant {participant} of {slug} is in the analysis again.")


@study.command(
    epilog="Example: blindrate study simulate demo --participants 40 --effect A=0.8 --address http://localhost:8000"
)
@click.argument("slug")
@click.option("--participants", required=True, type=click.IntRange(1, 10_000))
@click.option("--address", default="http://localhost:8000", show_default=True, help="Of the running server.")
@click.option(
    "--effect",
    "effects",
    multiple=True,
    metavar="CONDITION=LOGITS",
    help="Planted shift of a condition (code or name).",
)
@click.option("--seed", default=0, show_default=True)
def simulate(slug: str, participants: int, address: str, effects: tuple[str, ...], seed: int) -> None:
    """Let bots take part through the real pages of a running server. They are marked as bots and never counted as people."""
    shifts: dict[str, float] = {}
    for name, value in parse_pairs(effects, "--effect").items():
        try:
            shifts[name] = float(value)
        except ValueError as error:
            raise InputError(f"--effect {name}={value}: {value!r} is not a number") from error

    async def run() -> int:
        settings = get_settings()
        engine = make_engine(database_url(settings))
        try:
            return await simulate_participants(
                address,
                slug,
                participants,
                sessions=make_sessions(engine),
                secret=settings.secret(),
                effects=shifts,
                seed=seed,
            )
        finally:
            await engine.dispose()

    finished = asyncio.run(run())
    click.echo(f"{finished} of {participants} simulated participants finished.")


@click.command(epilog="Example: blindrate export my-study --out data --what ratings")
@click.argument("slug")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder; made when missing."
)
@click.option("--what", type=click.Choice([*KINDS, "all"]), default="all", show_default=True)
@click.option("--bots", is_flag=True, help="Simulated participants too.")
def export(slug: str, out: Path, what: str, bots: bool) -> None:
    """Write a study's ratings, trials and participants as CSV. While the study is blinded, conditions are codes."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be made into a folder for the export: {error.strerror}") from error
    kinds = KINDS if what == "all" else (what,)
    for path, count in in_transaction(lambda session: write_exports(session, slug, out, kinds, bots=bots)):
        click.echo(f"{path}: {count} rows")
