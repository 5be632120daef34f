"""Fresh links to the preferences, for those whose link has run out."""

from app.consent.blocked import read_address
from app.content.headers import UnsendableError
from app.delivery.accounts import load_routing
from app.delivery.replies import Outcome
from app.delivery.single import send_one
from app.domains.names import domain_of
from app.domains.signing import load_signers
from app.letterhead.looks import look_of
from app.letterhead.queries import find_branding
from app.letterhead.service import branding_of
from app.pages.fresh_link import compose
from app.pages.queries import may_be_written_to
from app.pages.service import find_visitor
from app.platform.clock import now
from workers.context import Context, JobRun

_NOBODY = 0  # a bounce of this message is no bounce of the mailing's


async def send_link(context: Context, run: JobRun) -> None:
    """Send a recipient a fresh link to the preferences (D46); a server that refuses for now is asked again."""
    settings = context.settings
    async with context.database.begin() as session:
        visitor = await find_visitor(session, recipient_id=run.args["recipient"])
        if (
            visitor is None
            or visitor.is_erased
            or not await may_be_written_to(session, email_key=read_address(visitor.email).key)
        ):
            await run.finish(session)
            return
        look = look_of(branding_of(await find_branding(session)))
        try:
            message = compose(visitor, settings=settings, tokens=context.tokens, look=look, at=now())
        except UnsendableError:  # a sender's or recipient's address that no header can carry
            await run.finish(session)
            return
        signers = await load_signers(session, secret=settings.secret_key.get_secret_value())
        routing = await load_routing(
            session, named=visitor.sending_account_id, settings=settings, standings=context.standings
        )
    domain = domain_of(visitor.sender_email) or settings.public_host
    signer = signers.of(domain) if signers else None
    result = await send_one(
        routing, context.standings, sender=f"{context.tokens.make_return_path(_NOBODY)}@{settings.return_domain}",
        recipient=message.recipient, message=signer.sign(message.content) if signer else message.content,
        domain=domain,
    )  # fmt: skip
    if result.outcome in (Outcome.DEFERRED, Outcome.NOT_STARTED) and not run.is_last:
        raise ConnectionError(f"the fresh link could not be handed over yet: {result.outcome.value}")
    async with context.database.begin() as session:
        await run.finish(session)
