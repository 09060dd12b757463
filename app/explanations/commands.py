"""Command `blindrate explanations`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from app.database.session import command_session
from app.explanations.service import FIELDS, import_explanations
from app.questions.commands import parse_pairs


@click.group()
def explanations() -> None:
    """Import explanations.

    \b
    Example:
      blindrate explanations import student.csv.gz --name t5-large-revised \\
        --map question=input_predict --map predicted=answers_preds --map answer=answers_labels \\
        --map explanation=rationales_preds --set method=multitask_counterfactual/critique_revision
    """


@explanations.command("import", epilog="Example: blindrate explanations import explanations.jsonl --name run-7")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the set; default: the file's name.")
@click.option("--dataset", help="Dataset to which the questions belong; default: the set's name.")
@click.option(
    "--map", "mapping", multiple=True, metavar="TARGET=SOURCE", help=f"Rename a column; targets: {', '.join(FIELDS)}."
)
@click.option(
    "--set", "constants", multiple=True, metavar="TARGET=VALUE", help="A value that is the same for all rows."
)
def import_(
    file: Path, name: str | None, dataset: str | None, mapping: tuple[str, ...], constants: tuple[str, ...]
) -> None:
    """Import the explanations of FILE (CSV or JSON lines, gzipped or not), all rows or none.

    A question may be given as its own columns, or printed as `Question: … Choices: (a) … (b) …` in the column question.
    """

    async def run() -> tuple[str, int]:
        async with command_session() as session:
            stored, count = await import_explanations(
                session, file, name=name, dataset=dataset,
                mapping=parse_pairs(mapping, "--map"), constants=parse_pairs(constants, "--set"),
            )  # fmt: skip
            return stored.name, count

    stored_name, count = asyncio.run(run())
    click.echo(f"{count} explanations imported as the set {stored_name}.")
