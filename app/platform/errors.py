"""Problems: failures a client can see, as RFC 9457 documents.

A slice's `errors.py` subclasses these with its own `slug` and `title`; `declare` puts them into the OpenAPI document.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field


class InvalidField(BaseModel):
    """One thing that is wrong with the input."""

    pointer: str = Field(description="JSON pointer into the body (`#/name`), or `query:limit`, `path:id`, `header:…`")
    detail: str = Field(description="What is wrong and what would be right")


class ProblemDocument(BaseModel):
    """An RFC 9457 problem document."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:budstikke:problem:not-found",
                    "title": "Not found",
                    "status": 404,
                    "detail": "There is no mailing 17.",
                    "instance": "/v1/mailings/17",
                    "request_id": "0f9be7e2c1d04a6f",
                }
            ]
        }
    )

    type: str = Field(description="A stable name of the kind of problem")
    title: str
    status: int
    detail: str = Field(description="What happened, where, and what would be right")
    instance: str = Field(description="The path of the request")
    request_id: str
    errors: list[InvalidField] | None = Field(default=None, description="For invalid input: each thing that is wrong")


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem
    """A failure that the client is told about."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self, detail: str, *, errors: Sequence[InvalidField] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})

    def document(self, *, instance: str, request_id: str) -> dict[str, Any]:
        """Return the problem document as JSON-able data."""
        return ProblemDocument(
            type=f"urn:budstikke:problem:{self.slug}",
            title=self.title,
            status=self.status,
            detail=self.detail,
            instance=instance,
            request_id=request_id,
            errors=self.errors or None,
        ).model_dump(exclude_none=True)


class Unauthenticated(Problem):
    """No valid API key came with the request."""

    status, slug, title = 401, "unauthenticated", "No valid API key"


class Forbidden(Problem):
    """The API key lacks a scope."""

    status, slug, title = 403, "forbidden", "Not allowed"


class NotFound(Problem):
    """What the request names does not exist."""

    status, slug, title = 404, "not-found", "Not found"


class Conflict(Problem):
    """The request does not fit the state things are in."""

    status, slug, title = 409, "conflict", "Conflict"


class PreconditionFailed(Problem):
    """`If-Match` names an older version."""

    status, slug, title = 412, "precondition-failed", "Changed by someone else"


class TooLarge(Problem):
    """The body is over the limit."""

    status, slug, title = 413, "too-large", "Too large"


class UnsupportedMedia(Problem):
    """The content is of a kind that is not taken."""

    status, slug, title = 415, "unsupported-media-type", "Unsupported content"


class Invalid(Problem):
    """The input is well-formed but wrong."""

    status, slug, title = 422, "invalid", "Invalid input"

    @classmethod
    def field(cls, pointer: str, detail: str) -> "Invalid":
        """Return a problem about one field, named by its pointer."""
        return cls(detail, errors=[InvalidField(pointer=pointer, detail=detail)])


class TooManyRequests(Problem):
    """The key's rate limit is used up."""

    status, slug, title = 429, "too-many-requests", "Too many requests"


class Unavailable(Problem):
    """Something the service needs is away for now."""

    status, slug, title = 503, "unavailable", "Unavailable for now"


ALWAYS: tuple[type[Problem], ...] = (Unauthenticated, Forbidden, Invalid, TooManyRequests, Problem, Unavailable)


def declare(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Return FastAPI's `responses` for these problems and for those that every route can give."""
    titles: dict[int, list[str]] = {}
    for problem in (*problems, *ALWAYS):
        known = titles.setdefault(problem.status, [])
        if problem.title not in known:
            known.append(problem.title)
    return {
        status: {
            "description": " / ".join(titles[status]) or HTTPStatus(status).phrase,
            "model": ProblemDocument,
            "content": {"application/problem+json": {}},
        }
        for status in sorted(titles)
    }
