"""Command `blindrate questions`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click

from app.database.session import command_session
from app.errors import InputError
from app.questions.service import FIELDS, import_questions


def parse_pairs(pairs: Sequence[str], option: str) -> dict[str, str]:
    """`target=source` options as a mapping. Raises InputError for one without '=', or a target given twice."""
    mapping: dict[str, str] = {}
    for pair in pairs:
        target, equals, source = pair.partition("=")
        if not (target and equals and source):
            raise InputError(f"{option} {pair!r} is not of the form target=source")
        if target in mapping:
            raise InputError(f"{option}: {target} is given twice")
        mapping[target] = source
    return mapping


@click.group()
def questions() -> None:
    """Import questions.

    \b
    Example:
      blindrate questions import cqa_validation.json.gz --name commonsense_qa --split test
    """


@questions.command("import", epilog="Example: blindrate questions import items.csv --name my-items --map question=stem")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Name of the dataset.")
@click.option("--split", help="Split of all rows; else the column `split`, else test.")
@click.option(
    "--map", "mapping", multiple=True, metavar="TARGET=SOURCE", help=f"Rename a column; targets: {', '.join(FIELDS)}."
)
def import_(file: Path, name: str, split: str | None, mapping: tuple[str, ...]) -> None:
    """Import the questions of FILE (CSV or JSON lines, gzipped or not), all rows or none."""

    async def run() -> tuple[int, int]:
        async with command_session() as session:
            return await import_questions(session, file, name=name, split=split, mapping=parse_pairs(mapping, "--map"))

    total, new = asyncio.run(run())
    click.echo(f"{total} questions in {file.name}; {new} are new, {total - new} were there already.")
