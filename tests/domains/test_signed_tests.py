"""Test messages are signed as the mailing's will be (D15), and their previews are as long."""

import pytest
from pydantic import SecretStr

from app.platform.tokens import TokenKey
from tests.conftest import SECRET, settings_for
from tests.delivery.smtp_server import SmtpServer
from tests.domains.test_checking import run_all
from tests.domains.test_keys import made
from tests.domains.verifying import Published
from tests.mailings.desk import Desk
from workers.context import Context


@pytest.fixture
def desk(client, database, settings):
    return Desk(client, database, settings)


async def test_a_test_message_and_the_previews_size_are_signed(desk, client, database, postgres_url):
    domain = await desk.post("sending-domains", {"domain": "nordlys.example", "trusted": True})
    selection = await desk.selection(await desk.person())
    mailing = await desk.mailing(from_name="Nordlys", from_email="post@nordlys.example", selection_id=selection)
    await desk.content(mailing)
    unsigned = (await desk.get(f"mailings/{mailing}/preview"))["size"]

    published = Published()
    for algorithm in ("rsa", "ed25519"):
        key = await made(client, f"/v1/sending-domains/{domain['id']}/dkim-keys", algorithm, active=True)
        published.records[key["record"]["name"]] = key["record"]["text"]
    assert (await desk.get(f"mailings/{mailing}/preview"))["size"] > unsigned + 700
    await desk.post(f"mailings/{mailing}/test", {"addresses": "me@x.example"}, status=202)
    async with SmtpServer() as server:
        settings = settings_for(postgres_url, smtp_url=SecretStr(f"smtp://{server.host}:{server.port}"))
        await run_all(Context(settings=settings, database=database, tokens=TokenKey.from_secret(SECRET)))
        (entry,) = server.ledger
    assert published.verify(entry.content) == [True, True]
