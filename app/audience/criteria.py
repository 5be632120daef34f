"""The criteria language: what makes a person one of a dynamic selection, as a small typed JSON.

A criterion is an object that says what it is by one key: `and`, `or`, `not`, `person`, `company`, `person_extra`,
`company_extra`, `interests`, `consent`, `subscription`, `selection`, `project` or `engagement`. Each is true or false
of a person, never unknown: an empty field equals nothing, and `not` is the exact contrary.
See docs/decisions (the criteria language).
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Union

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, TypeAdapter, WrapValidator
from typing_extensions import TypeAliasType

from app.audience.criteria_values import (
    MAX_DAYS,
    MAX_ITEMS,
    Comparison,
    Key,
    Moment,
    Node,
    Text,
    fault_at,
    fault_of,
)

MAX_DEPTH = 20
"""Criteria inside criteria; people write three or four."""

MAX_NODES = 200
"""Criteria in one selection: every one may be a join, and PostgreSQL plans 200 of them in well under a second."""


class PersonField(StrEnum):
    """Built-in fields of a person."""

    ID = "id"
    EXTERNAL_ID = "external_id"
    COMPANY_ID = "company_id"
    NAME = "name"
    FIRST_NAME = "first_name"
    LAST_NAME = "last_name"
    SALUTATION = "salutation"
    TITLE = "title"
    EMAIL = "email"
    EMAIL_VALID = "email_valid"
    CELLPHONE = "cellphone"
    DIRECT = "direct"
    CATEGORY = "category"
    BUSINESS = "business"
    NUMBER = "number"
    POSITION = "position"
    CITY = "city"
    COUNTRY = "country"
    LANGUAGE = "language"
    TIME_ZONE = "time_zone"
    OUR_CONTACT_NAME = "our_contact_name"
    OUR_CONTACT_EMAIL = "our_contact_email"
    SUPPORT_CONTACT_NAME = "support_contact_name"
    SUPPORT_CONTACT_EMAIL = "support_contact_email"
    FORMER_EMPLOYEE = "former_employee"
    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"


class CompanyField(StrEnum):
    """Built-in fields of the company that a person belongs to; all are empty for a person without one."""

    ID = "id"
    EXTERNAL_ID = "external_id"
    NAME = "name"
    DEPARTMENT = "department"
    EMAIL = "email"
    COUNTRY = "country"
    PHONE = "phone"
    URL = "url"
    CATEGORY = "category"
    BUSINESS = "business"
    NUMBER = "number"
    CITY = "city"
    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"


class PersonCriterion(Comparison):
    """A built-in field of the person."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"person": "city", "operator": "eq", "value": "Oslo"},
                {"person": "created_at", "operator": "gte", "value": {"days_ago": 30}},
                {"person": "email", "operator": "is_not_empty"},
            ]
        }
    )

    person: PersonField


class CompanyCriterion(Comparison):
    """A built-in field of the person's company."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"company": "country", "operator": "in", "value": ["NO", "SE"]}]}
    )

    company: CompanyField


class PersonExtraCriterion(Comparison):
    """An extra field of the person, compared as its declared kind says."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"person_extra": "shoe_size", "operator": "gte", "value": 42}]}
    )

    person_extra: Text = Field(description="The name of the declared field")


class CompanyExtraCriterion(Comparison):
    """An extra field of the person's company, compared as its declared kind says."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"company_extra": "renewal_on", "operator": "lt", "value": {"days_from_now": 60}}]
        }
    )

    company_extra: Text = Field(description="The name of the declared field")


class Quantity(StrEnum):
    """How many of them a person has."""

    ANY = "any"
    ALL = "all"
    NONE = "none"


class InterestCriterion(Node):
    """The person has any, all or none of these interests."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"interests": "any", "interest_ids": [1, 2]}]})

    interests: Quantity
    interest_ids: Annotated[list[Key], Field(min_length=1, max_length=MAX_ITEMS)]


class ConsentIs(StrEnum):
    """What the ledger says now: the first four are everybody, once; `expires` is a part of `given`."""

    GIVEN = "given"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    NEVER_ASKED = "never_asked"
    EXPIRES = "expires"


class ConsentCriterion(Node):
    """Consent of the person for a purpose: given and valid, withdrawn, run out, never asked, or about to run out."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"consent": "e_marketing", "is": "given"},
                {"consent": "e_marketing", "is": "expires", "within_days": 30},
            ]
        }
    )

    consent: Text = Field(description="The key of the purpose")
    is_: ConsentIs = Field(alias="is")
    within_days: Annotated[int, Field(ge=1, le=MAX_DAYS, strict=True)] | None = Field(
        default=None, description="For `expires`, and needed there: within so many days of this moment"
    )


class SubscriptionIs(StrEnum):
    """What the person has answered. With no type said: yes to at least one; asked, but yes to none; never asked."""

    SUBSCRIBED = "subscribed"
    NOT_SUBSCRIBED = "not_subscribed"
    NEVER_ASKED = "never_asked"


class SubscriptionCriterion(Node):
    """What the person has answered about a subscription type, or about *Any*."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"subscription": "subscribed", "subscription_type_id": 1}]}
    )

    subscription: SubscriptionIs
    subscription_type_id: Key | None = Field(default=None, description="Any type when left out")


class SelectionCriterion(Node):
    """The person is in a selection, static or dynamic."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"selection": 7}]})

    selection: Key


class ProjectCriterion(Node):
    """The person is a member of a project."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"project": 3}]})

    project: Key


class Engaged(StrEnum):
    """What happened with mailings.

    `not_opened` and `not_clicked`: at least one such mailing was received, and none of them was opened (clicked).
    """

    RECEIVED = "received"
    OPENED = "opened"
    CLICKED = "clicked"
    NOT_OPENED = "not_opened"
    NOT_CLICKED = "not_clicked"
    BOUNCED = "bounced"


class EngagementCriterion(Node):
    """What the person did with mailings, or what became of these: of any mailing, of one, or of a subscription type.

    Opens and clicks are those judged human (D45). `since` and `before` bound when it happened: when the mailing was
    sent for `received`, when it was opened, clicked or bounced for the others, and both for the `not_` ones.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"engagement": "clicked", "mailing_id": 12, "link_id": 301},
                {"engagement": "not_opened", "since": {"days_ago": 180}},
            ]
        }
    )

    engagement: Engaged
    mailing_id: Key | None = Field(default=None, description="This mailing; any when left out")
    subscription_type_id: Key | None = Field(default=None, description="Mailings of this subscription type")
    link_id: Key | None = Field(default=None, description="For clicks: this link")
    target: Text | None = Field(default=None, description="For clicks: links with exactly this target")
    since: Moment | None = None
    before: Moment | None = None
    machines_too: bool = Field(default=False, description="Opens and clicks judged to be a machine's count as well")


class And(Node):
    """All of these hold."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "and": [
                        {"consent": "e_marketing", "is": "given"},
                        {"person": "city", "operator": "eq", "value": "Oslo"},
                    ]
                }
            ]
        }
    )

    and_: Annotated[list["Criterion"], Field(min_length=1, max_length=MAX_NODES)] = Field(alias="and")


class Or(Node):
    """At least one of these holds."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"or": [{"selection": 1}, {"selection": 2}]}]})

    or_: Annotated[list["Criterion"], Field(min_length=1, max_length=MAX_NODES)] = Field(alias="or")


class Not(Node):
    """This does not hold."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"not": {"selection": 3}}]})

    not_: "Criterion" = Field(alias="not")


KINDS: dict[str, type[Node]] = {
    "and": And, "or": Or, "not": Not, "person": PersonCriterion, "company": CompanyCriterion,
    "person_extra": PersonExtraCriterion, "company_extra": CompanyExtraCriterion, "interests": InterestCriterion,
    "consent": ConsentCriterion, "subscription": SubscriptionCriterion, "selection": SelectionCriterion,
    "project": ProjectCriterion, "engagement": EngagementCriterion,
}  # fmt: skip
_NAMED = ", ".join(f"`{kind}`" for kind in KINDS)


def _dispatch(raw: Any, _: Any) -> Any:
    """Read a criterion as what its key says it is, so that faults are told of that kind only, and where they are."""
    if isinstance(raw, Node):
        return raw
    if not isinstance(raw, dict):
        raise fault_of("criterion", f"A criterion is an object with one of the keys {_NAMED}.")
    found = [kind for kind in KINDS if kind in raw]
    if len(found) != 1:
        raise fault_of("criterion", f"A criterion has exactly one of the keys {_NAMED}; this one has {len(found)}.")
    return KINDS[found[0]].model_validate(raw)


def _kind(raw: Any) -> str | None:
    """Tell OpenAPI that the alternatives exclude each other; `_dispatch` reads."""
    return next((name for name, kind in KINDS.items() if isinstance(raw, kind)), None)


_Kinds = Union[  # noqa: UP007 - made of a table
    Annotated[And, Tag("and")], Annotated[Or, Tag("or")], Annotated[Not, Tag("not")],
    Annotated[PersonCriterion, Tag("person")], Annotated[CompanyCriterion, Tag("company")],
    Annotated[PersonExtraCriterion, Tag("person_extra")], Annotated[CompanyExtraCriterion, Tag("company_extra")],
    Annotated[InterestCriterion, Tag("interests")], Annotated[ConsentCriterion, Tag("consent")],
    Annotated[SubscriptionCriterion, Tag("subscription")], Annotated[SelectionCriterion, Tag("selection")],
    Annotated[ProjectCriterion, Tag("project")], Annotated[EngagementCriterion, Tag("engagement")],
]  # fmt: skip
Criterion = TypeAliasType("Criterion", Annotated[_Kinds, Discriminator(_kind), WrapValidator(_dispatch)])


def _bounded(raw: Any) -> Any:
    """Refuse what is too deep or too much before anything walks it."""
    nodes = 0
    waiting: list[tuple[Any, tuple[str | int, ...], int]] = [(raw, (), 1)]
    while waiting:
        node, location, depth = waiting.pop()
        if not isinstance(node, dict):
            continue
        nodes += 1
        if depth > MAX_DEPTH:
            raise fault_at(location, fault_of("too_deep", f"Criteria are at most {MAX_DEPTH} deep."), node)
        if nodes > MAX_NODES:
            raise fault_at(location, fault_of("too_many", f"A selection has at most {MAX_NODES} criteria."), node)
        for kind in ("and", "or"):
            if isinstance(inside := node.get(kind), list):
                waiting += [(part, (*location, kind, place), depth + 1) for place, part in enumerate(inside)]
        waiting.append((node.get("not"), (*location, "not"), depth + 1))
    return raw


Criteria = Annotated[Criterion, BeforeValidator(_bounded)]
_ADAPTER: TypeAdapter[Node] = TypeAdapter(Criteria)


def read_criteria(raw: Any) -> Node:
    """Return criteria as they were stored; raises ValidationError."""
    return _ADAPTER.validate_python(raw)


def to_json(criteria: Node) -> dict[str, Any]:
    """Return criteria as JSON, with nothing in it that was not said."""
    return criteria.model_dump(mode="json", by_alias=True, exclude_unset=True)


def parts(node: Node) -> Iterator[tuple[tuple[str | int, ...], Node]]:
    """Return the criteria directly inside one, each with the way to it."""
    match node:
        case And():
            yield from ((("and", place), part) for place, part in enumerate(node.and_))
        case Or():
            yield from ((("or", place), part) for place, part in enumerate(node.or_))
        case Not():
            yield ("not",), node.not_


def every(node: Node, at: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Node]]:
    """Return a criterion and all inside it, each with the way to it."""
    yield at, node
    for way, part in parts(node):
        yield from every(part, (*at, *way))
