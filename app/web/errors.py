"""Errors as plain pages (JSON below /api)."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DataError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.errors import ConflictError, InputError, NotFoundError
from app.web.templates import templates

log = logging.getLogger(__name__)
TITLES = {
    400: "That did not work",
    403: "Not allowed",
    404: "Page not found",
    405: "That did not work",
    409: "Not possible now",
    422: "Something in the form is not right",
    429: "Too many attempts",
    500: "Something went wrong",
    503: "Please try again in a moment",
}


class ApiError(BaseModel):
    """What the API answers when something is wrong: what, where, and what to do."""

    error: str


API_ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": ApiError, "description": "No valid token came with the request."},
    403: {"model": ApiError, "description": "The token's owner may not do this."},
    404: {"model": ApiError, "description": "There is no such thing."},
    409: {"model": ApiError, "description": "Not possible in the state in which it is."},
    422: {"model": ApiError, "description": "The request is not as expected."},
    503: {"model": ApiError, "description": "The database does not answer; try again in a minute."},
}


def error_page(request: Request, status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """A plain page (or JSON for the API) that says what is wrong and what to do."""
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": message}, status, headers=headers)
    context = {"title": TITLES.get(status, TITLES[400]), "message": message, "status": status}
    return templates.TemplateResponse(request, "web/error.html", context, status_code=status, headers=headers)


def add_error_pages(app: FastAPI) -> None:
    """Install the handlers. Unexpected errors are logged in full and tell the visitor nothing of the inside."""

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        message = error.detail if error.detail and error.status_code != 404 else ""
        if error.status_code == 404:
            message = (
                error.detail
                if error.detail not in ("Not Found", "")
                else "There is nothing at this address. Check the link."
            )
        return error_page(request, error.status_code, message, dict(error.headers or {}))

    @app.exception_handler(InputError)
    async def input_error(request: Request, error: InputError) -> Response:
        status = 404 if isinstance(error, NotFoundError) else 409 if isinstance(error, ConflictError) else 422
        return error_page(request, status, str(error))

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> Response:
        where = "; ".join(f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors())
        return error_page(request, 422, f"The request is not as expected: {where}.")

    @app.exception_handler(DataError)
    async def unstorable(request: Request, error: DataError) -> Response:
        # e.g. a NUL character, or a number beyond 64 bits: nothing that a form or a link of ours holds
        return error_page(request, 422, "The request holds something that cannot be stored. Nothing was changed.")

    async def database_error(request: Request, error: Exception) -> Response:
        log.error("the database does not answer: %s", error)
        return error_page(
            request,
            503,
            "The database does not answer. Nothing that was confirmed is lost. Try again in a minute.",
            {"Retry-After": "30"},
        )

    for kind in (OperationalError, InterfaceError, PoolTimeoutError):
        app.add_exception_handler(kind, database_error)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        log.exception("unexpected error at %s %s", request.method, request.url.path, exc_info=error)
        return error_page(
            request,
            500,
            "An error on our side. It was recorded. Try again, or go back to where you came from.",
        )
