"""One running service for all journeys: real API, workers, PostgreSQL, Valkey, inbound and catcher."""

import email
import email.policy
import json
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from tests.running import Up, wait_until


class Service:
    """A CRM's view of the running service, and the recipients' mailboxes."""

    def __init__(self, up: Up, data_dir: Path) -> None:
        admin_key = (data_dir / "admin-key").read_text().strip()
        self.url = f"http://127.0.0.1:{up.port}"
        self.maildir = data_dir / "mail"
        running = json.loads((data_dir / "running.json").read_text())
        self.inbound_port = int(running["BUDSTIKKE_INBOUND_PORT"])
        self.database_url = running["BUDSTIKKE_DATABASE_URL"]
        self.crm = httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {admin_key}"}, timeout=30)
        self.reader = httpx2.Client(base_url=self.url, timeout=30, headers={"User-Agent": BROWSER})

    def ok(self, method: str, path: str, **arguments):
        answer = self.crm.request(method, path, **arguments)
        assert answer.status_code < 400, answer.text
        return answer.json() if answer.content else None

    def get(self, path: str, **params):
        return self.ok("GET", path, params=params)

    def post(self, path: str, body=None, **arguments):
        return self.ok("POST", path, json=body or {}, **arguments)

    def finished(self, operation: dict) -> dict:
        """Wait for the end of an operation and return it."""
        path = f"/v1/operations/{operation['id']}"
        wait_until(lambda: self.get(path)["state"] not in ("waiting", "running"))
        return self.get(path)

    def state(self, mailing: dict) -> str:
        return self.get(f"/v1/mailings/{mailing['id']}")["state"]

    def statistics(self, mailing: dict) -> dict:
        return self.get(f"/v1/mailings/{mailing['id']}/statistics")

    def seconds_since_sent(self, mailing: dict, email: str) -> float:
        [line] = self.get(f"/v1/mailings/{mailing['id']}/recipients", q=email)["items"]
        sent_at = datetime.fromisoformat(line["sent_at"]) if line["sent_at"] else datetime.now(UTC)
        return (datetime.now(UTC) - sent_at).total_seconds()

    def caught(self, address: str) -> list[email.message.EmailMessage]:
        """Return what the mailbox of an address holds."""
        found = []
        for file in sorted((self.maildir / "new").iterdir()):
            octets = file.read_bytes()
            message = email.message_from_bytes(octets, policy=email.policy.default)
            if message["X-Catcher-Rcpt"].strip("<>") == address:
                found.append(message)
        return found


MACHINE_SECONDS = 0.2  # a click sooner after delivery is a machine's; short, so that journeys need not wait long
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("journey") / "data"
    with Up(data_dir, BUDSTIKKE_MACHINE_SECONDS=str(MACHINE_SECONDS), BUDSTIKKE_ACTION_HOLD_SECONDS="0.5") as up:
        service = Service(up, data_dir)
        yield service
        service.crm.close()
        service.reader.close()
        up.stop()
