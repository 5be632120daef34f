"""`budstikke doctor` tries every sending account that is enabled."""

from app.delivery import accounts
from app.doctor import examine
from app.platform.db import Database
from tests.conftest import settings_for
from tests.delivery.smtp_server import SmtpServer
from tests.test_migrations import configured


async def test_each_enabled_account_has_a_finding(fresh_database):
    settings = settings_for(fresh_database)
    database = Database.connect(settings, name="tests")
    async with SmtpServer() as good, SmtpServer("connect *: 554 5.7.1 no service for you") as bad:
        async with database.begin() as session:
            for name, server, enabled in (("Oslo", good, True), ("Bergen", bad, True), ("Tromsø", bad, False)):
                fields = {"name": name, "host": server.host, "port": server.port, "security": "none"}
                await accounts.create_account(session, fields=fields | {"enabled": enabled}, settings=settings)
        await database.close()
        findings = await examine(settings, alembic=configured(fresh_database))
    found = {finding.subject: finding for finding in findings if finding.subject.startswith("sending account")}
    assert found.keys() == {"sending account Oslo", "sending account Bergen"}
    assert found["sending account Oslo"].well
    assert (found["sending account Bergen"].well, found["sending account Bergen"].seen) == (
        False, "5.7.1 no service for you",
    )  # fmt: skip
