"""The application factory and its lifespan."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import js_lib_htmx
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from app.database.embedded import database_url
from app.database.session import make_engine, make_sessions
from app.explanations import pages as explanations_pages
from app.participation import pages as participation_pages
from app.researchers import pages as researchers_pages
from app.runs import api as runs_api
from app.runs import pages as runs_pages
from app.settings import Settings, get_settings, resource
from app.studies import api as studies_api
from app.studies import pages as studies_pages
from app.web import api_docs, health, landing
from app.web.errors import add_error_pages
from app.web.headers import SecurityHeaders

HTMX = Path(js_lib_htmx.__file__).parent / "static" / "htmx"


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application. `settings` defaults to the environment's."""
    settings = settings or get_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = make_engine(database_url(settings), pool_size=settings.pool_size)
        app.state.sessions = make_sessions(engine)
        yield
        await engine.dispose()

    app = FastAPI(title="Blindrate", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    app.state.settings = settings
    app.state.secret = settings.secret()
    app.add_middleware(SecurityHeaders)
    add_error_pages(app)
    app.mount("/static/htmx", StaticFiles(directory=HTMX), name="htmx")
    app.mount("/static", StaticFiles(directory=resource("static")), name="static")
    for module in (
        health,
        landing,
        participation_pages,
        researchers_pages,
        studies_pages,
        runs_pages,
        explanations_pages,
        studies_api,
        runs_api,
        api_docs,
    ):
        app.include_router(module.router)
    return app
