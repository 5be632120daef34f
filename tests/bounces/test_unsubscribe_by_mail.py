"""List-Unsubscribe's mailto (D47): the token comes in the subject."""

import aiosmtplib
import pytest

from app.platform.outbox import Job
from app.platform.tokens import Purpose
from tests.bounces.test_inbound import TOKENS, connected, inbound, jobs
from tests.conftest import settings_for

ADDRESS = settings_for("postgresql://unused").unsubscribe_email


def request(subject: str) -> bytes:
    return f"From: kari@example.com\r\nTo: {ADDRESS}\r\nSubject: {subject}\r\n\r\n".encode()


@pytest.mark.parametrize("subject", ["{token}", "unsubscribe {token}", "Re: {token}", "=?utf-8?q?{token}?="])
async def test_the_token_in_the_subject_becomes_a_job_before_the_250(database, subject):
    token = TOKENS.make(Purpose.UNSUBSCRIBE, 4711)
    async with inbound(database) as port, connected(port) as client:
        await client.sendmail("kari@example.com", [ADDRESS.upper()], request(subject.format(token=token)))
    [job] = await jobs(database)
    assert (job.job, job.args) == (Job.RECIPIENT_UNSUBSCRIBE, {"recipient": 4711})


@pytest.mark.parametrize(
    "subject", ["please stop", TOKENS.make(Purpose.OPEN, 4711), TOKENS.make(Purpose.UNSUBSCRIBE, 0)]
)
async def test_a_subject_without_a_true_token_is_refused_with_words(database, subject):
    async with inbound(database) as port, connected(port) as client:
        with pytest.raises(aiosmtplib.SMTPDataError, match="List-Unsubscribe"):
            await client.sendmail("kari@example.com", [ADDRESS], request(subject))
    assert await jobs(database) == []
