"""Settings, all from the environment with the prefix `BUDSTIKKE_`.

With no servers configured the embedded ones are started by `budstikke up`; with servers configured nothing embedded
starts and a missing secret is an error.
"""

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.platform.endpoints import read_endpoints

MIN_SECRET_LENGTH = 32


class Settings(BaseSettings):
    """What a process of the service needs to know. Every field is `BUDSTIKKE_<NAME>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="BUDSTIKKE_", extra="ignore", frozen=True)

    database_url: str = Field(description="postgresql://user:password@host:port/database")
    redis_url: SecretStr = Field(description="redis://:password@host:port/0")
    smtp_url: SecretStr = Field(description="smtp://, smtp+starttls:// or smtps://user:password@host:port")
    public_url: str = Field(description="where recipients reach this service, such as https://news.example.com")
    secret_key: SecretStr = Field(description="at least 32 characters; signs public tokens, so keep it for ever")

    data_dir: Path = Path("var/data")
    host: str = "127.0.0.1"
    port: int = 8000
    database_pool: int = Field(default=10, ge=2, le=200)

    bounce_domain: str | None = Field(default=None, description="domain of return paths; default: the public host")
    inbound_host: str = "127.0.0.1"
    inbound_port: int = 8025
    sender_id: str = Field(default="budstikke", description="last field of Feedback-ID")
    default_country: str = Field(default="NO", description="ISO 3166 country of phone numbers without a prefix")

    upload_limit_mb: int = Field(default=64, ge=1, le=4096)
    # Base64 adds 37 %: 15 MiB are 20.5 MB on the wire, under the 25 MB that Gmail takes, the least of the large ones.
    attachment_limit_mb: int = Field(default=10, ge=1, le=100, description="MiB of one attachment")
    attachments_limit_mb: int = Field(default=15, ge=1, le=100, description="MiB of a mailing's attachments together")
    smtp_connections: int = Field(default=20, ge=1, le=200, description="SMTP connections of one sending worker")
    senders: int = Field(default=2, ge=1, le=64, description="sending jobs of one mailing, shared out over workers")
    retry_minutes: int = Field(default=30, ge=1, description="first wait after a temporary failure (D32)")
    retry_hours: int = Field(default=72, ge=1, description="temporary failures older than this are final (D32)")
    unknown_tracking_consent: bool = Field(default=True, description="track persons who never said yes or no (D43)")
    machine_seconds: float = Field(default=2.0, ge=0, description="a click this soon after delivery is a machine's")
    action_hold_seconds: float = Field(
        default=60.0, ge=0, le=3600, description="how long link actions wait for a click's verdict to be clear (D39)"
    )
    preferences_days: int = Field(
        default=21, ge=1, le=3650, description="how long a message's link to the preferences works (D46)"
    )
    spool_limit_mb: int = Field(
        default=1024, ge=16, description="MiB of clicks and opens kept on disk while the database is away"
    )
    webhook_private_addresses: bool = Field(
        default=False, description="webhooks may lead to private addresses, and by http"
    )
    public_limits: float = Field(
        default=1.0,
        ge=0,
        description="what one network address may ask of readers' pages, times the usual; 0: anything",
    )
    trusted_proxies: str = Field(
        default="127.0.0.1", description="addresses and networks whose X-Forwarded-For is believed, with commas"
    )
    rate_limit_per_minute: int = Field(default=6000, ge=1, description="API requests per key and minute")

    audit_days: int = Field(default=730, ge=1, description="how long entries of the audit log are kept (D79)")
    events_days: int = Field(default=90, ge=1, description="how long events stay in the feed (D79)")

    require_approved_domains: bool = Field(
        default=False, description="a From domain that is not approved stops the mailing instead of warning (D6)"
    )

    dns_servers: str = Field(default="", description="addresses with ports, 127.0.0.1:53, ...; default: the system's")
    dns_timeout: float = Field(default=5.0, gt=0, le=60, description="seconds for a question to DNS")
    domain_check_hours: int = Field(default=6, ge=1, description="how often passing sending domains are checked")
    domain_retry_minutes: int = Field(default=15, ge=1, description="how often others are")
    spf_include: str | None = Field(default=None, description="what a From domain's SPF record is to include")
    sending_addresses: str = Field(default="", description="IP addresses that mail leaves from, which SPF must allow")
    dkim_retiring_days: int = Field(
        default=7, ge=1, le=365, description="how long a replaced DKIM key's record stays needed"
    )

    catcher_maildir: Path | None = Field(default=None, description="set in embedded mode only: shows /dev/mail")
    log_level: str = "INFO"

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: str) -> str:
        if not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://, such as postgresql://user:password@host:5432/budstikke")
        return value

    @field_validator("dns_servers")
    @classmethod
    def _are_servers(cls, value: str) -> str:
        read_endpoints(value, default_port=53)
        return value

    @field_validator("sending_addresses")
    @classmethod
    def _are_addresses(cls, value: str) -> str:
        for item in filter(None, (part.strip() for part in value.split(","))):
            ip_address(item)
        return value

    @field_validator("public_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must start with https:// (or http:// for trying out)")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _secret_is_long_enough(self) -> Self:
        if len(self.secret_key.get_secret_value()) < MIN_SECRET_LENGTH:
            raise ValueError(
                f"BUDSTIKKE_SECRET_KEY must have at least {MIN_SECRET_LENGTH} characters; "
                "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
            )
        return self

    @property
    def public_host(self) -> str:
        """The host of `public_url`, without its port: the domain of Message-IDs."""
        return self.public_url.split("//", 1)[1].split("/", 1)[0].rsplit(":", 1)[0]

    @property
    def return_domain(self) -> str:
        """The domain that bounces come back to (D57)."""
        return self.bounce_domain or self.public_host

    @property
    def journal_dir(self) -> Path:
        """Where senders keep their journals: local to the machine, never shared (exactness 4)."""
        return self.data_dir / "journal"

    @property
    def spool_dir(self) -> Path:
        """Where the API keeps clicks and opens until the database has them: local to the machine (decision 27)."""
        return self.data_dir / "spool"

    @property
    def unsubscribe_email(self) -> str:
        """The address of List-Unsubscribe's mailto (D47); the token comes in the subject."""
        return f"unsubscribe@{self.return_domain}"


SERVER_SETTINGS = ("BUDSTIKKE_DATABASE_URL", "BUDSTIKKE_REDIS_URL", "BUDSTIKKE_SMTP_URL")


def servers_are_configured() -> bool:
    """Tell whether any server is configured: then none is embedded."""
    return any(os.environ.get(name) for name in SERVER_SETTINGS)


def load_settings() -> Settings:
    """Read the settings from the environment; raises pydantic's ValidationError that names what is missing."""
    return Settings()
