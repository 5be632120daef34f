"""`/v1/api-keys`: keys for those who call the API (D76)."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from app.platform import api_keys
from app.platform.api_keys import ApiKeyNotFound, LastAdminKey
from app.platform.auth import Admin, ApiKey, Scope, add_api_key
from app.platform.clock import Instant, now
from app.platform.errors import declare
from app.platform.http import Session, router
from app.platform.idempotency import show_once
from app.platform.pages import Cursor, Limit, Page, page_of, read_cursor

routes = router(prefix="/v1/api-keys", tag="API keys")


def _in_future(moment: datetime) -> datetime:
    if moment <= now():
        raise ValueError("must be in the future")
    return moment


class ApiKeyIn(BaseModel):
    """A new key."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "CRM synchronisation", "scopes": ["contacts:write", "mailings:read"],
                    "expires_at": "2099-01-01T00:00:00Z",
                }
            ]
        },
    )  # fmt: skip

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope), description="`admin` includes all others")
    expires_at: Annotated[Instant, AfterValidator(_in_future)] | None = Field(
        default=None, description="when it stops working; null for never"
    )


class ApiKeyOut(BaseModel):
    """A key, without what it is recognised by."""

    id: int
    name: str
    scopes: list[Scope]
    state: Literal["live", "expired", "revoked"]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="to the minute")
    revoked_at: datetime | None


class NewApiKey(ApiKeyOut):
    """A key as it is shown once."""

    key: str | None = Field(
        description="`bsk_…`: keep it now, it cannot be shown again; null where an Idempotency-Key replays the answer"
    )


def show_key(key: ApiKey) -> ApiKeyOut:
    """Return a key as the API shows it."""
    return ApiKeyOut(state=api_keys.state_of(key, at=now()), **key.model_dump(exclude={"hash"}))


@routes.post("", operation_id="create_api_key", status_code=201, responses=declare(), summary="Create an API key")
async def create(caller: Admin, session: Session, request: Request, body: ApiKeyIn) -> NewApiKey:
    """Make a key and show it this once; only its hash is kept. It works at once, until it expires or is revoked."""
    scopes = sorted(set(body.scopes))
    secret, row = await add_api_key(session, name=body.name, scopes=scopes, expires_at=body.expires_at)
    show_once(request, "key")
    return NewApiKey(key=secret, **show_key(row).model_dump())


@routes.get("", operation_id="list_api_keys", responses=declare(), summary="List API keys")
async def list_keys(caller: Admin, session: Session, limit: Limit = 50, cursor: Cursor = None) -> Page[ApiKeyOut]:
    """List all keys, oldest first, expired and revoked ones too. The keys themselves are never shown again."""
    rows = await api_keys.page_of_keys(session, after=read_cursor(cursor), limit=limit)
    return Page[ApiKeyOut](**page_of(rows, limit=limit, show=show_key))


@routes.get("/{api_key_id}", operation_id="get_api_key", responses=declare(ApiKeyNotFound), summary="Get an API key")
async def get_key(caller: Admin, session: Session, api_key_id: int) -> ApiKeyOut:
    """Return what a key may do, and whether it is in use."""
    return show_key(await api_keys.read_key(session, api_key_id=api_key_id))


@routes.delete(
    "/{api_key_id}", operation_id="revoke_api_key", status_code=204, responses=declare(ApiKeyNotFound, LastAdminKey),
    summary="Revoke an API key",
)  # fmt: skip
async def revoke_key(caller: Admin, session: Session, request: Request, api_key_id: int) -> None:
    """Revoke a key for good; other processes take it for five more seconds at most. The last live admin key stays."""
    await api_keys.revoke_key(session, api_key_id=api_key_id)
    request.app.state.callers.forget(api_key_id)
