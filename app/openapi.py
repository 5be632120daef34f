"""The OpenAPI document: generated from the code, committed as `openapi/openapi.json`, compared by a test."""

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import SecretStr

from app.main import create_app
from app.platform.settings import Settings

FILE = Path("openapi/openapi.json")


def document() -> dict[str, Any]:
    """Return the document of the API; it depends on no setting."""
    return app_for_document().openapi()


def app_for_document() -> FastAPI:
    """Return an application that is never started."""
    return create_app(
        Settings(
            database_url="postgresql://nowhere/nothing",
            redis_url=SecretStr("redis://nowhere"),
            smtp_url=SecretStr("smtp://nowhere"),
            public_url="https://news.example.com",
            secret_key=SecretStr("only for the document, never for a server"),
        )
    )


def text() -> str:
    """Return the document as it is committed."""
    return json.dumps(document(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
