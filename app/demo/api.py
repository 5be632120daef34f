"""Calling the API: JSON in and out, lists page by page, operations by their server-sent events."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx2

from app.demo.errors import ApiRefused, TookTooLong, WentWrong

Json = dict[str, Any]

LARGEST_PAGE = 200  # api.md rule 3
_FINAL = {"succeeded", "failed", "cancelled"}
_HEARTBEAT = 20.0  # seconds; the API sends a comment after 15 s of silence


def open_api(url: str, key: str) -> httpx2.Client:
    """Return a client of the API; close it after use."""
    headers = {"Authorization": f"Bearer {key}", "User-Agent": "budstikke-demo"}
    return httpx2.Client(base_url=url, headers=headers, timeout=30.0)


def call(api: httpx2.Client, method: str, path: str, **request: Any) -> Any:
    """Call the API and return what it answers, as read from JSON; raises ApiRefused."""
    response = api.request(method, path, **request)
    if response.is_error:
        raise ApiRefused(method, path, status=response.status_code, detail=_detail(response))
    return response.json() if response.content else None


def _detail(response: httpx2.Response) -> str:
    if not response.headers.get("content-type", "").startswith("application/problem+json"):
        return response.text[:500]
    problem = response.json()
    faults = [f"{fault['pointer']}: {fault['detail']}" for fault in problem.get("errors", [])]
    return " ".join([problem["detail"], *faults])


def every(api: httpx2.Client, path: str, **filters: Any) -> Iterator[Json]:
    """Yield every item of a list, page by page; raises ApiRefused."""
    cursor: str | None = None
    while True:
        parameters = {**filters, "limit": LARGEST_PAGE} | ({"cursor": cursor} if cursor else {})
        page = call(api, "GET", path, params=parameters)
        yield from page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def events(api: httpx2.Client, path: str, *, within: float) -> Iterator[Json]:
    """Yield the data of each server-sent event until the stream ends; raises TookTooLong after `within` seconds.

    Read line by line: comments, which keep a silent stream alive, must not keep us waiting for ever.
    """
    deadline, seen = time.monotonic() + within, ""
    try:
        with api.stream("GET", path, timeout=httpx2.Timeout(30.0, read=_HEARTBEAT)) as response:
            if response.is_error:
                response.read()
                raise ApiRefused("GET", path, status=response.status_code, detail=_detail(response))
            for line in response.iter_lines():
                if line.startswith("data:"):
                    seen = line.removeprefix("data:").strip()
                    yield json.loads(seen)
                if time.monotonic() > deadline:
                    raise TookTooLong(f"The last event of GET {path}", seconds=within, seen=seen)
    except httpx2.ReadTimeout as silence:
        raise TookTooLong(f"A sign of life from GET {path}", seconds=_HEARTBEAT) from silence


def finish(
    api: httpx2.Client,
    operation_id: int,
    *,
    within: float,
    tell: Callable[[int, int | None], None] | None = None,
) -> Json:
    """Watch an operation until it has succeeded, and return its result.

    `tell` hears of progress as (done, total or None). Raises WentWrong, TookTooLong and ApiRefused.
    """
    for operation in events(api, f"/v1/operations/{operation_id}/events", within=within):
        if tell is not None:
            tell(operation["progress"]["done"], operation["progress"]["total"])
        if operation["state"] not in _FINAL:
            continue
        if operation["state"] != "succeeded":
            why: Mapping[str, Any] = operation["error"] or {}
            name = f"The operation {operation_id} ({operation['kind']})"
            raise WentWrong(name, state=operation["state"], why=str(why.get("detail", "no reason is given")))
        return dict(operation["result"] or {})
    raise WentWrong(f"The stream of operation {operation_id}", state="broken off", why="the operation was not over")


def wait_for(what: str, look: Callable[[], Any], *, within: float, every_seconds: float = 0.1) -> Any:
    """Return what `look` returns as soon as it is true; raises TookTooLong."""
    deadline = time.monotonic() + within
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise TookTooLong(what, seconds=within)
        time.sleep(every_seconds)
    return seen
