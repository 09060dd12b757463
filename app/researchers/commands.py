"""Command `blindrate researcher`."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click
from sqlalchemy.ext.asyncio import AsyncSession

from app.database.session import command_session
from app.researchers import service
from app.researchers.tokens import make_token

T = TypeVar("T")


def in_transaction(work: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Do `work` in one transaction."""

    async def transaction() -> T:
        async with command_session() as session:
            return await work(session)

    return asyncio.run(transaction())


def _password(from_stdin: bool) -> tuple[str, bool]:
    """A password from standard input, or a generated one; and whether it was generated."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n"), False
    return secrets.token_urlsafe(12), True


@click.group()
def researcher() -> None:
    """Manage researchers.

    \b
    Example:
      blindrate researcher add you@example.org --role owner
    """


@researcher.command(epilog="Example: blindrate researcher add you@example.org --role owner")
@click.argument("email")
@click.option("--role", type=click.Choice(service.ROLES), default="editor", show_default=True)
@click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input; else one is made and printed."
)
def add(email: str, role: str, password_stdin: bool) -> None:
    """Add a researcher."""
    password, made = _password(password_stdin)
    in_transaction(lambda session: service.add_researcher(session, email, password, role))
    click.echo(f"Researcher: {email}")
    if made:
        click.echo(f"Password: {password}")


@researcher.command(epilog="Example: blindrate researcher password you@example.org")
@click.argument("email")
@click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input; else one is made and printed."
)
def password(email: str, password_stdin: bool) -> None:
    """Set a new password; all sessions of the account end."""
    new, made = _password(password_stdin)
    in_transaction(lambda session: service.set_password(session, email, new))
    click.echo(f"Password: {new}" if made else "The password was changed.")


@researcher.command(epilog="Example: blindrate researcher deactivate you@example.org")
@click.argument("email")
def deactivate(email: str) -> None:
    """Lock an account; what it did stays on record."""
    in_transaction(lambda session: service.deactivate(session, email))
    click.echo(f"{email} can no longer log in.")


@researcher.command(epilog="Example: blindrate researcher token you@example.org --name export-script")
@click.argument("email")
@click.option("--name", required=True, help="What the token is for.")
def token(email: str, name: str) -> None:
    """Make a token for scripts (docs/api.md) and print it, once."""

    async def make(session: AsyncSession) -> str:
        return await make_token(session, await service.require_researcher(session, email), name)

    click.echo(in_transaction(make))


@researcher.command("list", epilog="Example: blindrate researcher list")
def list_() -> None:
    """List all researchers."""
    for found in in_transaction(service.list_researchers):
        click.echo(f"{found.email}\t{found.role}\t{'active' if found.active else 'locked'}")
