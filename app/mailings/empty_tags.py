"""The empty-tag report: for how many recipients of the whole list each merge tag is empty (D14)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlmodel.ext.asyncio.session import AsyncSession

from app.content.compiled import CompiledMessage
from app.content.merge_tags import CONTACT_TAGS
from app.delivery.empty_tags import count_empty, select_empty
from app.delivery.viewing import frozen_message
from app.mailings.composing import Composer, compile_source, source_of
from app.mailings.models import Mailing
from app.mailings.schemas import EmptyTag, EmptyTagExample, EmptyTags
from app.platform.db import run

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Survey:
    """For how many of the ready recipients that were looked at each tag has no value."""

    ready: int
    empty: Mapping[str, int]


async def survey(session: AsyncSession, *, mailing_id: int, tags: Collection[str], most: int | None = None) -> Survey:
    """Look at the whole list, or at its first `most` ready recipients."""
    tags = sorted(tags)
    bound = {} if most is None else {"most": most}
    row = (await run(session, count_empty(tags, bounded=most is not None), mailing_id=mailing_id, **bound)).one()
    return Survey(row.ready, {tag: getattr(row, f"v{position}") for position, tag in enumerate(tags)})


async def report_empty_tags(session: AsyncSession, *, mailing: Mailing, composer: Composer) -> EmptyTags:
    """Return for each tag that subject, HTML, text and links use for how many ready recipients it has no value.

    Where the sender is the recipient's contact, `sender.name` and `sender.email` are among them: who has no contact
    that can be used sees the mailing's own. Raises NotReady for content that cannot be compiled. The mailing's own
    tags are the same for everyone.
    """
    if frozen := await frozen_message(session, mailing_id=mailing.id):
        compiled, _ = frozen
    else:
        source = await source_of(session, mailing=mailing, composer=composer)
        compiled = compile_source(source, public_url=composer.settings.public_url)
    tags = {tag for tag in compiled.tags if tag not in CONTACT_TAGS or tag.startswith(f"{compiled.sender_contact}.")}
    found = await survey(session, mailing_id=mailing.id, tags=tags)
    report = []
    for tag in sorted(tags | compiled.missing):
        count = found.ready if tag in compiled.missing else found.empty[tag]
        has_default = tag not in compiled.undefaulted | compiled.missing
        report.append(
            EmptyTag(
                tag=as_written(tag, compiled),
                empty=0 if has_default else count,
                with_default=count if has_default else 0,
                examples=await _examples(session, mailing, tag) if count else [],
            )
        )
    return EmptyTags(ready=found.ready, tags=report)


def as_written(tag: str, compiled: CompiledMessage) -> str:
    """Return a tag as content has it: the sender's where it is the recipient's contact."""
    group, _, field = tag.partition(".")
    return f"sender.{field}" if group == compiled.sender_contact else tag


async def _examples(session: AsyncSession, mailing: Mailing, tag: str) -> list[EmptyTagExample]:
    rows = await run(session, select_empty(tag), mailing_id=mailing.id, most=EXAMPLES)
    return [EmptyTagExample(recipient_id=row.id, name=row.name, email=row.email) for row in rows]
