"""The empty-tag report: for how many recipients of the whole list each merge tag is empty (D14)."""

from sqlmodel.ext.asyncio.session import AsyncSession

from app.delivery.empty_tags import count_empty, select_empty
from app.mailings.composing import Composer, compile_source, source_of
from app.mailings.models import Mailing
from app.mailings.schemas import EmptyTag, EmptyTagExample, EmptyTags
from app.platform.db import run

EXAMPLES = 5


async def report_empty_tags(session: AsyncSession, *, mailing: Mailing, composer: Composer) -> EmptyTags:
    """Return for each tag that subject, HTML, text and links use for how many ready recipients it has no value.

    Raises NotReady for content that cannot be compiled. The mailing's own tags are the same for everyone.
    """
    source = await source_of(session, mailing=mailing, composer=composer)
    compiled = compile_source(source, public_url=composer.settings.public_url)
    tags = sorted(compiled.tags)
    row = (await run(session, count_empty(tags), mailing_id=mailing.id)).one()
    found = []
    for tag in sorted(compiled.tags | compiled.missing):
        count = row.ready if tag in compiled.missing else getattr(row, f"v{tags.index(tag)}")
        has_default = tag not in compiled.undefaulted | compiled.missing
        found.append(
            EmptyTag(
                tag=tag,
                empty=0 if has_default else count,
                with_default=count if has_default else 0,
                examples=await _examples(session, mailing, tag) if count else [],
            )
        )
    return EmptyTags(ready=row.ready, tags=found)


async def _examples(session: AsyncSession, mailing: Mailing, tag: str) -> list[EmptyTagExample]:
    rows = await run(session, select_empty(tag), mailing_id=mailing.id, most=EXAMPLES)
    return [EmptyTagExample(recipient_id=row.id, name=row.name, email=row.email) for row in rows]
