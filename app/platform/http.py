"""HTTP conventions: one request is one transaction, unknown parameters are refused, failures are problems."""

import secrets
import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, FastAPI, Request, Response, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.platform import errors
from app.platform.auth import check_key, note_use
from app.platform.db import in_the_way, tried_again
from app.platform.errors import Invalid, InvalidField, PreconditionFailed, Problem
from app.platform.idempotency import answer_once
from app.platform.telemetry import Metrics, log


class Route(APIRoute):
    """A route whose request is one transaction: committed before the answer leaves, rolled back by any problem.

    Where two transactions wait for each other, PostgreSQL gives one up; its request is tried again from the beginning.

    The session connects at its first statement, so nothing is held while a body comes in.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler in the checks and the transaction."""
        handle = super().get_route_handler()
        given = get_flat_params(self.dependant)
        known = {field.alias for field in given if isinstance(field.field_info, params.Query)}
        ids = {field.alias for field in given if isinstance(field.field_info, params.Path)}

        async def answer(request: Request) -> Response:
            _refuse_unknown(request, known)
            _refuse_impossible(request, ids)
            try:
                return await tried_again(lambda: in_transaction(request), can_repeat=lambda: not _is_used_up(request))
            finally:
                await note_use(request)

        async def in_transaction(request: Request) -> Response:
            key = request.headers.get("idempotency-key") if request.method == "POST" else None
            async with request.app.state.database.begin() as session:
                request.state.session = session
                if key is None:
                    return await handle(request)
                await check_key(request)  # a revoked key gets no old answers
                return await answer_once(request, session, key, handle)

        return answer


class StreamRoute(Route):
    """A route that answers a stream while it comes in, in transactions of its own.

    It takes no Idempotency-Key: the key's answer would have to be kept, and what it did be one transaction.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Refuse a key before the body would be read for it."""
        answer = super().get_route_handler()

        async def without_key(request: Request) -> Response:
            if "idempotency-key" in request.headers:
                raise Invalid.field(
                    "header:Idempotency-Key",
                    "A stream takes no key: leave it out. After a break, send the lines again that were not answered; "
                    "the same line twice changes nothing more.",
                )
            return await answer(request)

        return without_key


MAX_BODY = 32 << 20  # 10 000 persons of 1 to 3 kB (api.md rule 7); read whole, so it bounds a request's memory


def router(*, prefix: str = "", tag: str, max_body_size: int | None = MAX_BODY) -> APIRouter:
    """Return a router whose routes follow the conventions of this module; bodies are at most `max_body_size` octets."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=Route, max_body_size=max_body_size)


def stream_router(*, tag: str) -> APIRouter:
    """Return a router for streams, whose bodies have no limit since they are never held."""
    return APIRouter(tags=[tag], route_class=StreamRoute, max_body_size=None)


def _session(request: Request) -> AsyncSession:
    return cast("AsyncSession", request.state.session)


Session = Annotated[AsyncSession, Depends(_session)]


def _is_used_up(request: Request) -> bool:
    """Tell whether the body was read and not held, as uploads are, so that nothing can be tried again with it."""
    if not request.headers.get("content-type", "").startswith("multipart/"):
        return False
    form: FormData | None = getattr(request, "_form", None)
    return form is None or any(isinstance(value, UploadFile) for _, value in form.multi_items())


def _refuse_unknown(request: Request, known: set[str]) -> None:
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        would_do = f"Known here: {', '.join(sorted(known))}." if known else "This route takes none."
        raise Invalid(
            "The query has parameters that are not known.",
            errors=[InvalidField(pointer=f"query:{name}", detail=f"Unknown parameter. {would_do}") for name in unknown],
        )


def _refuse_impossible(request: Request, ids: set[str]) -> None:
    """Refuse what no row of ours can have: path parameters that are larger than keys (bigint), and NUL in queries."""
    for name in ids:
        value = request.path_params.get(name, "")
        if len(value) > 18 and value.removeprefix("-").isdecimal() and not 0 < int(value[:40]) < 2**63:
            raise Invalid.field(f"path:{name}", f"No id is as large or as small as this; ids are 1 to {2**63 - 1}.")
    for name, value in request.query_params.multi_items():
        if "\x00" in value:
            raise Invalid.field(f"query:{name}", "There is a NUL character in it, which is in nothing we keep.")


def etag(version: int) -> str:
    """Return the entity tag of a version."""
    return f'"{version}"'


def check_match(request: Request, version: int) -> None:
    """Honour `If-Match`: raises PreconditionFailed when it names another version than the present one."""
    wanted = request.headers.get("if-match")
    if wanted is not None and wanted.strip() not in ("*", etag(version)):
        raise PreconditionFailed(f"This is version {etag(version)} by now; read it again and repeat the change.")


class RequestContext:
    """Gives each request its id, counts and times it, and adds the rate-limit header. Plain ASGI: it must be cheap."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
        request_id = (
            given if given.isascii() and given.isprintable() and 0 < len(given) <= 100 else secrets.token_hex(8)
        )
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        started, status = time.perf_counter(), 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
                if "rate_limit" in state:
                    headers.append((b"ratelimit", state["rate_limit"].encode()))
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self.metrics.requests.labels(scope["method"], route, status).inc()
            self.metrics.request_seconds.labels(scope["method"], route).observe(time.perf_counter() - started)


def install_problems(app: FastAPI) -> None:
    """Answer every failure as a problem document."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, problem: Problem) -> Response:
        return problem_response(request, problem)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        found = [
            InvalidField(pointer=_pointer(item["loc"]), detail=_sentence(item)) for item in list(error.errors())[:100]
        ]
        return problem_response(request, Invalid(f"{len(found)} thing(s) in the request are wrong.", errors=found))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        return problem_response(request, _from_status(request, error))

    for away in (OperationalError, InterfaceError, PoolTimeout, ConnectionError, TimeoutError):

        @app.exception_handler(away)
        async def _away(request: Request, error: Exception) -> Response:
            log.warning("database.away", kind=type(error).__name__)
            return problem_response(
                request, errors.Unavailable("The database does not answer; try again.", headers={"Retry-After": "2"})
            )

    @app.exception_handler(DBAPIError)
    async def _database(request: Request, error: DBAPIError) -> Response:
        if error.connection_invalidated:
            return await _away(request, error)
        if in_the_way(error):
            detail = "Two requests waited for each other, and this one was given up; nothing of it was done. Try again."
            return problem_response(request, errors.Unavailable(detail, headers={"Retry-After": "1"}))
        return await _unexpected(request, error)

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        route = getattr(request.scope.get("route"), "path", "none")  # not the address: a page's is its reader's key
        log.error("request.failed", route=route, request_id=request_id_of(request), exc_info=error)
        return problem_response(request, Problem("Something went wrong here; the request id finds it in the log."))


def request_id_of(request: Request) -> str:
    """Return the id that RequestContext gave the request."""
    return str(getattr(request.state, "request_id", "none"))


def problem_response(request: Request, problem: Problem) -> Response:
    """Return a problem as an answer."""
    return JSONResponse(
        problem.document(instance=request.url.path, request_id=request_id_of(request)),
        status_code=problem.status,
        headers=problem.headers,
        media_type="application/problem+json",
    )


_BY_STATUS: dict[int, type[Problem]] = {
    kind.status: kind for kind in (errors.NotFound, errors.Conflict, errors.TooLarge, errors.UnsupportedMedia)
}


def _from_status(request: Request, error: HTTPException) -> Problem:
    if error.status_code == 405:
        return _MethodNotAllowed(
            f"{request.method} is not possible here; allowed: {(error.headers or {}).get('Allow', 'none')}.",
            headers=error.headers,
        )
    if error.status_code == 404:
        return errors.NotFound(f"There is nothing at {request.url.path}.")
    if isinstance(error.__cause__, RecursionError):
        return Invalid.field(
            "#", "The body is nested too deep to be read; some 20 levels are the most that make sense."
        )
    kind = _BY_STATUS.get(error.status_code, Invalid if error.status_code < 500 else Problem)
    return kind(str(error.detail), headers=error.headers)


class _MethodNotAllowed(Problem):
    status, slug, title = 405, "method-not-allowed", "Method not allowed"


def _pointer(location: tuple[int | str, ...]) -> str:
    source, *path = location
    if source == "body":
        return "#/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return f"{source}:{'.'.join(map(str, path))}"


def _sentence(item: Any) -> str:
    if item["type"] == "json_invalid":
        return f"This is no JSON: {item.get('ctx', {}).get('error', 'it cannot be read')}."
    return str(item["msg"]).removeprefix("Value error, ").rstrip(".") + "."
