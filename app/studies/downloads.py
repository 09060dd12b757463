"""A study's files as downloads, each on record."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import Request
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from app.errors import NotFoundError
from app.reports.exports import KINDS, csv_pieces
from app.researchers.models import AuditEvent, Researcher
from app.studies.service import get_study


async def file_response(
    request: Request, session: AsyncSession, researcher: Researcher, slug: str, name: str, *, bots: bool
) -> Response:
    """The file `name`.csv of a study. Records the download and commits. Raises NotFoundError."""
    if name not in KINDS:
        raise NotFoundError(f"There is no file {name}.csv; the files are: {', '.join(f'{k}.csv' for k in KINDS)}.")
    await get_study(session, slug)
    session.add(
        AuditEvent(researcher_id=researcher.id, action="study.export", subject=f"study {slug}", details={"file": name})
    )
    await session.commit()

    async def pieces() -> AsyncIterator[str]:
        # a session of its own: this runs while the response is sent, when the request's session may be closed
        async with request.app.state.sessions() as reading:
            study = await get_study(reading, slug)
            async for piece in csv_pieces(reading, study, name, bots=bots):
                yield piece

    headers = {"Content-Disposition": f'attachment; filename="{slug}-{name}.csv"'}
    return StreamingResponse(pieces(), media_type="text/csv; charset=utf-8", headers=headers)
