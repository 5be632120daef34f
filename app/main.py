"""The API process: `create_app(settings)` puts the slices together."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Receive, Scope, Send

from app import tables
from app.actions.answering import Answering
from app.actions.collected_routes import routes as collected_routes
from app.actions.routes import routes as link_action_routes
from app.actions.run_routes import routes as action_run_routes
from app.actions.script_routes import routes as script_routes
from app.audience.blocked_routes import routes as blocked_holder_routes
from app.audience.import_routes import routes as import_routes
from app.audience.member_routes import routes as member_routes
from app.audience.project_routes import routes as project_routes
from app.audience.routes import routes as selection_routes
from app.bounces.routes import routes as bounces_routes
from app.consent.blocked_routes import routes as blocked_routes
from app.consent.purpose_routes import routes as purpose_routes
from app.consent.routes import routes as consent_routes
from app.contacts.bulk_routes import routes as bulk_routes
from app.contacts.company_routes import routes as company_routes
from app.contacts.extra_field_routes import routes as extra_field_routes
from app.contacts.interest_routes import routes as interest_routes
from app.contacts.routes import routes as contacts_routes
from app.contacts.stream_routes import routes as stream_routes
from app.content.routes import routes as content_routes
from app.delivery.account_routes import routes as account_routes
from app.delivery.pace_routes import routes as pace_routes
from app.domains.key_routes import routes as dkim_key_routes
from app.domains.routes import routes as domain_routes
from app.folders.routes import routes as folder_routes
from app.letterhead.looks import Looks
from app.letterhead.routes import public_routes as brand_routes
from app.letterhead.routes import routes as branding_routes
from app.letterhead.service import keep_looks, load_looks
from app.links.routes import routes as link_routes
from app.mailings.attachment_routes import routes as attachment_routes
from app.mailings.progress_routes import routes as progress_routes
from app.mailings.routes import routes as mailing_routes
from app.mailings.schedule_routes import routes as schedule_routes
from app.mailings.verb_routes import routes as verb_routes
from app.pages.leaving_routes import routes as leaving_routes
from app.pages.routes import routes as page_routes
from app.platform.api_key_routes import routes as api_key_routes
from app.platform.audit_routes import routes as audit_routes
from app.platform.auth import Callers
from app.platform.db import Database
from app.platform.errors import Unavailable
from app.platform.http import RequestContext, install_problems
from app.platform.memory import settle
from app.platform.operation_routes import routes as operation_routes
from app.platform.settings import Settings
from app.platform.telemetry import Metrics
from app.platform.tokens import TokenKey
from app.privacy.routes import routes as privacy_routes
from app.recipients.clicker_routes import routes as clicker_routes
from app.recipients.export_routes import routes as export_routes
from app.recipients.routes import routes as recipient_routes
from app.statistics.routes import routes as statistics_routes
from app.timeline.routes import routes as timeline_routes
from app.tracking.click_routes import routes as click_routes
from app.tracking.client_limits import LimitedPages
from app.tracking.endpoint import Tracking, TrackingEndpoint
from app.tracking.routes import routes as tracking_routes
from app.webhooks.routes import routes as event_routes
from app.webhooks.webhook_routes import routes as webhook_routes

DESCRIPTION = """
The mailing service behind a CRM's marketing screens: it sends mailings to recipients chosen from selections, persons
and addresses, tracks links, takes unsubscribes and bounces, and tells how the mailing did.

Errors are `application/problem+json` (RFC 9457). Lists are keyset pages. Long work answers `202` with the `Location`
of an operation. POST takes an `Idempotency-Key`.
"""

ROUTERS = (
    operation_routes,
    api_key_routes,
    audit_routes,
    bulk_routes,
    stream_routes,
    contacts_routes,
    company_routes,
    interest_routes,
    purpose_routes,
    extra_field_routes,
    consent_routes,
    blocked_holder_routes,
    blocked_routes,
    selection_routes,
    member_routes,
    project_routes,
    folder_routes,
    domain_routes,
    dkim_key_routes,
    content_routes,
    link_routes,
    mailing_routes,
    schedule_routes,
    verb_routes,
    progress_routes,
    attachment_routes,
    export_routes,
    recipient_routes,
    tracking_routes,
    click_routes,
    clicker_routes,
    link_action_routes,
    action_run_routes,
    script_routes,
    collected_routes,
    bounces_routes,
    account_routes,
    pace_routes,
    statistics_routes,
    event_routes,
    webhook_routes,
    privacy_routes,
    timeline_routes,
    branding_routes,
    brand_routes,
    page_routes,
    leaving_routes,
)

__all__ = ["create_app", "tables"]


class Service(FastAPI):
    """The API with the tracking endpoint in front of it, outside every middleware: most requests are clicks."""

    front: TrackingEndpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self.front(scope, receive, send)


def create_app(
    settings: Settings,
    *,
    database: Database | None = None,
    mounts: Mapping[str, ASGIApp] | None = None,
    drain_apart: bool = False,
) -> Service:
    """Return the API for these settings.

    `database` is given by tests; `mounts` adds applications under paths (the mail catcher's page in embedded mode).
    `drain_apart` has a process of its own store clicks and opens, one whose settings are the environment's.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await tracking.startup()
        await load_looks(app.state.database, looks=app.state.looks)
        following = asyncio.create_task(keep_looks(app.state.database, looks=app.state.looks), name="branding")
        await answering.startup()
        settle()
        yield
        following.cancel()
        await answering.shutdown()
        await tracking.shutdown()
        if database is None:
            await app.state.database.close()

    app = Service(
        title="Budstikke",
        version="1.0.0",
        description=DESCRIPTION,
        openapi_url="/openapi.json",
        docs_url="/docs",
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.database = database or Database.connect(settings, name="api")
    app.state.metrics = Metrics()
    app.state.callers = Callers(per_minute=settings.rate_limit_per_minute)
    app.state.tokens = TokenKey.from_secret(settings.secret_key.get_secret_value())
    app.state.looks = Looks(time.monotonic)
    tracking = Tracking(
        settings, database=app.state.database, tokens=app.state.tokens, metrics=app.state.metrics,
        drain_apart=drain_apart, looks=app.state.looks,
    )  # fmt: skip
    answering = Answering(
        settings, database=app.state.database, tokens=app.state.tokens, looks=app.state.looks,
        responders=tracking.responders,
    )  # fmt: skip
    for routes in ROUTERS:
        app.include_router(routes)
    app.include_router(import_routes, max_body_size=(settings.upload_limit_mb + 1) << 20)  # and the form around it
    _add_probes(app)
    for path, mounted in (mounts or {}).items():
        app.mount(path, mounted)
    install_problems(app)
    app.add_middleware(RequestContext, metrics=app.state.metrics)
    pages = LimitedPages(
        super(Service, app).__call__, limits=tracking.limits, tokens=app.state.tokens, looks=app.state.looks
    )
    app.front = TrackingEndpoint(pages, tracking=tracking)
    app.state.tracking, app.state.answering = tracking, answering
    return app


def _add_probes(app: FastAPI) -> None:
    @app.get("/livez", include_in_schema=False)
    async def livez() -> dict[str, Any]:
        return {"live": True}

    @app.get("/readyz", include_in_schema=False)
    async def readyz(request: Request) -> dict[str, Any]:
        try:
            await request.app.state.database.ping()
        except Exception as error:
            raise Unavailable("The database does not answer.") from error
        return {"ready": True}

    @app.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)
