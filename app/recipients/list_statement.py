"""The statement that brings a mailing's list in line with its sources and rules, put together from fixed parts.

Every part is written here and every value is bound; what a list needs decides which parts are in it (decision record
"The list statement is made of parts"). A part for companies, say, costs a join of a million rows, and most lists have
none. The CTEs, in order:

    brought          who each source brings: a person or a company; matched addresses bring their persons
    address          pasted and imported lines; `holder` is the person an address means
    person_line, company_line, address_line      who is to be on the list, once each, by the source added first
    candidate        each with name, address, consent and subscription
    judged           with the first rule that keeps it out (D18, D20, D21), in the order of BlockedReason
    wanted           with duplicates (D22), without those whose message has left
    listed, past     what is on the list; what is past being ready or blocked, and so never changed
    removed, changed, added
"""

from dataclasses import dataclass
from functools import lru_cache

import sqlalchemy as sa
from sqlalchemy import TextClause, text


@dataclass(frozen=True, slots=True)
class Parts:
    """What a statement needs: the kinds of a mailing's sources, its options, and how its list stands."""

    kinds: frozenset[str]
    """Kinds of the mailing's sources."""
    one_source: bool
    """The mailing has one source, `source_id`, so that nobody is brought twice."""
    brings_companies: bool
    """A source may bring companies."""
    is_new: bool
    """Nobody is on the list yet."""
    membership: bool
    """Off: nobody is added or removed, those on the list are judged again."""
    any_type: bool
    """The mailing is to *Any* subscription type."""
    override_consent: bool
    one_per_address: bool
    include_companies: bool
    prefer_company: bool
    members: str = ""
    """The SELECT of `app.audience.membership`, for selections."""

    @property
    def has_addresses(self) -> bool:
        """Whether lines may come from pasted or imported addresses."""
        return not self.membership or bool(self.kinds & {"addresses", "import"})

    @property
    def only_persons(self) -> bool:
        """Whether every line is a person's, so that their ids put lines in order."""
        return self.membership and not self.has_addresses and not self.has_company_lines

    @property
    def has_company_lines(self) -> bool:
        """Whether a line may be a company's own."""
        return not self.membership or self.prefer_company or (self.include_companies and self.brings_companies)


_BROUGHT = {
    "selection": """
        SELECT s.id AS source_id, m.person_id, m.company_id
        FROM mailing_source AS s JOIN member AS m USING (selection_id)
        WHERE s.mailing_id = :mailing_id AND s.kind = 'selection'""",
    "project": """
        SELECT s.id AS source_id, m.person_id, cast(NULL AS bigint) AS company_id
        FROM mailing_source AS s JOIN project_member AS m USING (project_id)
        WHERE s.mailing_id = :mailing_id AND s.kind = 'project'""",
    "person": """
        SELECT s.id AS source_id, s.person_id, cast(NULL AS bigint) AS company_id FROM mailing_source AS s
        WHERE s.mailing_id = :mailing_id AND s.kind = 'person' AND s.person_id IS NOT NULL""",
    "company": """
        SELECT s.id AS source_id, cast(NULL AS bigint) AS person_id, s.company_id FROM mailing_source AS s
        WHERE s.mailing_id = :mailing_id AND s.kind = 'company' AND s.company_id IS NOT NULL""",
}

_BROUGHT_BY_ONE = {
    "selection": "SELECT cast(:source_id AS bigint) AS source_id, m.person_id, m.company_id FROM member AS m",
}

_NOBODY = """
        SELECT cast(NULL AS bigint) AS source_id, cast(NULL AS bigint) AS person_id, cast(NULL AS bigint) AS company_id
        WHERE false"""

# The preferred address wins over a further one, then former employees come last, then the oldest person wins.
_ADDRESS = """
    address AS MATERIALIZED (
        SELECT s.id AS source_id, a.name, a.email, a.email_key, s.consent_basis IS NOT NULL AS stated, a.position
        FROM mailing_source AS s JOIN source_address AS a ON a.source_id = s.id
        WHERE s.mailing_id = :mailing_id AND s.kind IN ('addresses', 'import')
    ), holder AS MATERIALIZED (
        SELECT DISTINCT ON (email_key) email_key, person_id
        FROM (
            SELECT p.email_key, p.id AS person_id, false AS further, p.former_employee
            FROM (SELECT DISTINCT email_key FROM address WHERE email_key IS NOT NULL) AS a
            JOIN person AS p USING (email_key)
            UNION ALL
            SELECT e.email_key, p.id, true, p.former_employee
            FROM (SELECT DISTINCT email_key FROM address WHERE email_key IS NOT NULL) AS a
            JOIN person_email AS e USING (email_key) JOIN person AS p ON p.id = e.person_id
        ) AS known
        ORDER BY email_key, further, former_employee, person_id
    )"""
_MATCHED = """
        SELECT a.source_id, h.person_id, cast(NULL AS bigint) AS company_id
        FROM address AS a JOIN holder AS h USING (email_key)"""

# Of one address in several lines, the one with a statement counts, then the first.
_ADDRESS_LINE = """
    address_line AS (
        SELECT DISTINCT ON (coalesce(a.email_key, a.email)) a.* FROM address AS a
        WHERE NOT EXISTS (SELECT FROM holder AS h WHERE h.email_key = a.email_key)
        ORDER BY coalesce(a.email_key, a.email), a.stated DESC, a.source_id, a.position
    )"""

_LISTED_LINES = """
    person_line AS (
        SELECT person_id, source_id FROM listed WHERE person_id IS NOT NULL AND status IN ('ready', 'blocked')
    ), company_line AS (
        SELECT company_id, source_id FROM listed WHERE company_id IS NOT NULL AND status IN ('ready', 'blocked')
    ), address_line AS (
        SELECT l.source_id, l.name, l.email, l.email_key, coalesce(s.consent_basis IS NOT NULL, false) AS stated,
               cast(0 AS integer) AS position
        FROM listed AS l LEFT JOIN mailing_source AS s ON s.id = l.source_id
        WHERE l.person_id IS NULL AND l.company_id IS NULL AND l.status IN ('ready', 'blocked')
    )"""

# A person's consent and subscription; a yes past its time counts as none.
_PERSONS = """
        SELECT p.id AS person_id, cast(NULL AS bigint) AS company_id, l.source_id, p.name,
               coalesce(p.email, '') AS email, p.email_key, p.former_employee, true AS known, cs.consent_id,
               cs.consent_id IS NOT NULL AS consenting, sub.changed_at AS subscribed_at,
               sub.person_id IS NOT NULL AS is_subscribed, 0 AS position
        FROM person_line AS l
        JOIN person AS p ON p.id = l.person_id
        LEFT JOIN consent_state AS cs ON cs.person_id = p.id AND cs.purpose = 'e_marketing'
            AND cs.given AND (cs.valid_until IS NULL OR cs.valid_until > now())
        LEFT JOIN {subscription} AS sub ON sub.person_id = p.id {of_type}"""
_UNLESS_COMPANY = """
        WHERE NOT EXISTS (SELECT FROM company AS k WHERE k.id = p.company_id AND k.email_key IS NOT NULL)"""
_COMPANIES = """
        SELECT NULL, k.id, l.source_id, k.name, coalesce(k.email, ''), k.email_key, false, true, cs.consent_id,
               cs.consent_id IS NOT NULL, sub.changed_at, sub.company_id IS NOT NULL, 0
        FROM company_line AS l
        JOIN company AS k ON k.id = l.company_id
        LEFT JOIN company_consent_state AS cs ON cs.company_id = k.id AND cs.purpose = 'e_marketing'
            AND cs.given AND (cs.valid_until IS NULL OR cs.valid_until > now())
        LEFT JOIN {subscription} AS sub ON sub.company_id = k.id {of_type}"""
# An address that matches nobody rests on its statement (D20) and the ledger's newest word on the address.
_ADDRESSES = """
        SELECT NULL, NULL, l.source_id, l.name, l.email, l.email_key, false, l.stated, word.id,
               word.id IS NOT NULL, NULL, l.stated, l.position
        FROM address_line AS l
        LEFT JOIN (
            SELECT DISTINCT ON (c.email_key) c.id, c.email_key, c.action = 'given'
                AND (c.valid_until IS NULL OR c.valid_until > now()) AS holds
            FROM consent AS c
            WHERE c.email_key IN (SELECT email_key FROM address_line WHERE stated AND email_key IS NOT NULL)
                AND c.purpose = 'e_marketing'
            ORDER BY c.email_key, c.valid_from DESC, c.id DESC
        ) AS word ON word.email_key = l.email_key AND l.stated AND word.holds"""
# Lines of persons and companies who are gone: nobody knows them any more.
_GONE = """
        SELECT l.person_id, l.company_id, l.source_id, l.name, l.email, l.email_key, false, false, NULL, false, NULL,
               false, 0
        FROM listed AS l
        WHERE (l.person_id IS NOT NULL AND NOT EXISTS (SELECT FROM person AS p WHERE p.id = l.person_id))
            OR (l.company_id IS NOT NULL AND NOT EXISTS (SELECT FROM company AS k WHERE k.id = l.company_id))"""

_SUBSCRIBED_TO_ANY = """(
            SELECT {whose}, min(changed_at) AS changed_at FROM {table} WHERE subscribed GROUP BY {whose}
        )"""
_OF_TYPE = "AND sub.subscribed AND sub.subscription_type_id = :subscription_type_id"

# Each row is judged once: without the fence the CASE would be worked out for each of its readers. Persons come in the
# order of their ids, so that nothing that follows has to sort a million lines.
_JUDGED = """
    judged AS {materialized} (
        SELECT c.person_id, c.company_id, c.source_id, c.name, c.email, c.email_key, c.consent_id, c.subscribed_at,
               c.position, coalesce(c.person_id, -c.company_id, 0) AS line_id,
               CASE WHEN c.person_id IS NULL AND c.company_id IS NULL
                    THEN coalesce(c.email_key, c.email) ELSE '' END AS line_key,
               CASE
                   WHEN c.email_key IS NULL THEN 'invalid_address'
                   WHEN EXISTS (SELECT FROM blocked_address AS b WHERE b.email_key = c.email_key)
                       THEN 'blocked_address'
                   WHEN EXISTS (SELECT FROM erased_address) AND EXISTS (
                       SELECT FROM erased_address AS e WHERE e.hash = erased_hash(c.email_key))
                       THEN 'blocked_address'
                   WHEN c.former_employee THEN 'former_employee'
                   WHEN NOT c.known THEN 'excluded'
                   {consent}
               END AS why_not
        FROM candidate AS c {fence}
    )"""
_CONSENT = """
                   WHEN NOT c.consenting THEN 'no_consent'
                   WHEN NOT c.is_subscribed THEN 'no_subscription'"""

_ORDER = "person_id NULLS LAST, company_id NULLS LAST, source_id, position"
# Few addresses are shared, so only their lines are put in order. Looked for are addresses of one hash, which numbers
# tell faster than texts: sorted, they cost half of what a table of a million addresses does. That two addresses have
# one hash by chance does no harm, since the lines are put in order by the address itself.
_WANTED_ONCE = """
    shared AS MATERIALIZED (
        SELECT hash FROM (
            SELECT hashtextextended(email_key, 0) AS hash FROM judged AS j WHERE why_not IS NULL {unless_past}
            ORDER BY hash OFFSET 0
        ) AS j
        GROUP BY hash HAVING count(*) > 1
        {or_past}
    ), later AS MATERIALIZED (
        SELECT line_id, line_key FROM (
            SELECT line_id, line_key, {is_past} row_number() OVER (PARTITION BY email_key ORDER BY {order}) > 1
                   AS is_later
            FROM judged AS j
            WHERE why_not IS NULL AND hashtextextended(email_key, 0) IN (SELECT hash FROM shared) {unless_past}
        ) AS j
        WHERE is_later
    ), wanted AS (
        SELECT j.*, CASE WHEN ({line}) IN (SELECT {line} FROM later) THEN 'duplicate' ELSE why_not END AS reason
        FROM judged AS j WHERE true {unless_past} {fence}
    )"""
_OR_PAST = "UNION SELECT hashtextextended(email_key, 0) FROM past WHERE email_key IS NOT NULL"
_IS_PAST = "email_key IN (SELECT email_key FROM past WHERE email_key IS NOT NULL) OR"

_LISTED = """
    listed AS MATERIALIZED (
        SELECT r.id, r.xmin AS version, r.seq, r.status, r.person_id, r.company_id, r.source_id, r.name, r.email,
               r.email_key, coalesce(r.person_id, -r.company_id, 0) AS line_id,
               CASE WHEN r.person_id IS NULL AND r.company_id IS NULL
                    THEN coalesce(r.email_key, r.email) ELSE '' END AS line_key
        FROM recipient AS r WHERE r.mailing_id = :mailing_id
    ), past AS (
        SELECT line_id, line_key, email_key FROM listed WHERE status NOT IN ('ready', 'blocked')
    )"""
_UNLESS_PAST = """
        AND NOT EXISTS (SELECT FROM past WHERE (past.line_id, past.line_key) = (j.line_id, j.line_key))"""

_REMOVED = """
    removed AS (
        DELETE FROM recipient AS r USING listed AS l
        WHERE r.id = l.id AND r.status IN ('ready', 'blocked') AND NOT EXISTS (
            SELECT FROM wanted AS w WHERE (w.line_id, w.line_key) = (l.line_id, l.line_key))
        RETURNING 1
    )"""
# A line that somebody changed while this statement ran has another xmin by then, and is left as it became: to whoever
# unsubscribed meanwhile, nothing may be sent (D47).
_CHANGED = """
    changed AS (
        UPDATE recipient AS r
        SET name = w.name, email = w.email, email_key = w.email_key, reason = w.reason, source_id = w.source_id,
            status = CASE WHEN w.reason IS NULL THEN 'ready' ELSE 'blocked' END,
            consent_id = w.consent_id, subscribed_at = w.subscribed_at
        FROM wanted AS w JOIN listed AS l USING (line_id, line_key)
        WHERE r.id = l.id AND r.xmin = l.version AND r.status IN ('ready', 'blocked')
            AND (r.name, r.email, r.email_key, r.reason, r.consent_id, r.subscribed_at, r.source_id)
                IS DISTINCT FROM
                (w.name, w.email, w.email_key, w.reason, w.consent_id, w.subscribed_at, w.source_id)
        RETURNING 1
    )"""
_ADD = """
        INSERT INTO recipient (mailing_id, seq, person_id, company_id, name, email, email_key, status, reason,
                               source_id, consent_id, subscribed_at)
        SELECT :mailing_id, {last} row_number() OVER (ORDER BY {order}), w.person_id, w.company_id, w.name,
               w.email, w.email_key, CASE WHEN w.reason IS NULL THEN 'ready' ELSE 'blocked' END, w.reason,
               w.source_id, w.consent_id, w.subscribed_at
        FROM wanted AS w {unless_listed}"""
_LAST_SEQ = "(SELECT coalesce(max(seq), 0) FROM listed) +"
_UNLESS_LISTED = """
        WHERE NOT EXISTS (SELECT FROM listed AS l WHERE (l.line_id, l.line_key) = (w.line_id, w.line_key))"""


def _who(parts: Parts) -> list[str]:
    """Return the CTEs person_line, company_line and address_line, as far as there can be any."""
    if not parts.membership:
        return [_LISTED_LINES]
    ctes = [f"member AS ({parts.members})"] if "selection" in parts.kinds else []
    known = _BROUGHT | _BROUGHT_BY_ONE if parts.one_source else _BROUGHT
    brought = [known[kind] for kind in known if kind in parts.kinds]
    if parts.has_addresses:
        ctes.append(_ADDRESS)
        brought.append(_MATCHED)
    ctes.append(f"brought AS ({' UNION ALL '.join(brought) or _NOBODY})")
    ctes += _persons_and_companies(parts)
    if parts.has_addresses:
        ctes.append(_ADDRESS_LINE)
    return ctes


def _persons_and_companies(parts: Parts) -> list[str]:
    persons = "SELECT source_id, person_id FROM brought WHERE person_id IS NOT NULL"
    if parts.brings_companies:
        # D22: a company without an address, or with companies not included any, brings its persons.
        only = "JOIN company AS k ON k.id = b.company_id AND k.email_key IS NULL" if parts.include_companies else ""
        persons += f"""
            UNION ALL
            SELECT b.source_id, p.id FROM brought AS b {only} JOIN person AS p ON p.company_id = b.company_id"""
    ctes = [f"person_brought AS ({persons})"]
    if parts.one_source and not parts.brings_companies and not parts.has_addresses:
        ctes.append("person_line AS (SELECT person_id, source_id FROM person_brought)")
    else:
        ctes.append(
            "person_line AS (SELECT person_id, min(source_id) AS source_id FROM person_brought GROUP BY person_id)"
        )
    companies = []
    if parts.include_companies and parts.brings_companies:
        companies.append("""
            SELECT b.source_id, k.id AS company_id FROM brought AS b
            JOIN company AS k ON k.id = b.company_id AND k.email_key IS NOT NULL""")
    if parts.prefer_company:
        companies.append("""
            SELECT l.source_id, k.id AS company_id FROM person_line AS l JOIN person AS p ON p.id = l.person_id
            JOIN company AS k ON k.id = p.company_id AND k.email_key IS NOT NULL""")
    if companies:
        ctes.append(f"""company_line AS (
            SELECT company_id, min(source_id) AS source_id FROM ({" UNION ALL ".join(companies)}) AS c
            GROUP BY company_id)""")
    return ctes


def _candidate(parts: Parts) -> str:
    def subscription(table: str, whose: str) -> dict[str, str]:
        any_type = _SUBSCRIBED_TO_ANY.format(whose=whose, table=table)
        return {
            "subscription": any_type if parts.any_type else table,
            "of_type": "" if parts.any_type else _OF_TYPE,
        }

    selects = [_PERSONS.format(**subscription("subscription", "person_id"))]
    if parts.membership and parts.prefer_company:
        selects[0] += _UNLESS_COMPANY
    if parts.has_company_lines:
        selects.append(_COMPANIES.format(**subscription("company_subscription", "company_id")))
    if parts.has_addresses:
        selects.append(_ADDRESSES)
    if not parts.membership:
        selects.append(_GONE)
    return f"candidate AS ({' UNION ALL '.join(selects)})"


def _judged(parts: Parts) -> str:
    return _JUDGED.format(
        consent="" if parts.override_consent else _CONSENT,
        materialized="MATERIALIZED" if parts.one_per_address else "",
        fence="ORDER BY c.person_id" if parts.only_persons else "OFFSET 0",
    )


def _wanted(parts: Parts) -> str:
    unless_past = "" if parts.is_new else _UNLESS_PAST
    if not parts.one_per_address:
        return f"wanted AS (SELECT j.*, why_not AS reason FROM judged AS j WHERE true {unless_past})"
    return _WANTED_ONCE.format(
        unless_past=unless_past,
        or_past="" if parts.is_new else _OR_PAST,
        is_past="" if parts.is_new else _IS_PAST,
        order=_order(parts),
        line="line_id" if parts.only_persons else "line_id, line_key",
        fence="ORDER BY person_id" if parts.only_persons else "OFFSET 0",
    )


def _order(parts: Parts) -> str:
    return "person_id" if parts.only_persons else _ORDER


@lru_cache(maxsize=256)
def list_statement(parts: Parts) -> TextClause:
    """Return the statement: one row (added, removed, changed), in lines; of a new list, an INSERT without a row.

    Parameters: mailing_id, subscription_type_id (unless *Any*), source_id (of the one source, when it is a selection),
    and those of `members`. Whole sets are joined, so it needs no index but recipient_list_idx and the primary keys;
    under READ COMMITTED it needs the mailing's row locked.
    """
    ctes = [] if parts.is_new else [_LISTED]
    ctes += [*_who(parts), _candidate(parts), _judged(parts), _wanted(parts)]
    add = _ADD.format(
        last="" if parts.is_new else _LAST_SEQ, unless_listed="" if parts.is_new else _UNLESS_LISTED,
        order=_order(parts),
    )  # fmt: skip
    if parts.is_new:
        statement = f"WITH {', '.join(ctes)} {add}"
    else:
        counted = dict.fromkeys(("added", "removed", "changed"), "0") | {"changed": "(SELECT count(*) FROM changed)"}
        ctes.append(_CHANGED)
        if parts.membership:
            ctes += [f"added AS ({add} RETURNING 1)", _REMOVED]
            counted |= {name: f"(SELECT count(*) FROM {name})" for name in ("added", "removed")}
        statement = (
            f"WITH {', '.join(ctes)} SELECT {', '.join(f'{count} AS {name}' for name, count in counted.items())}"
        )
    bound = [sa.bindparam("mailing_id", type_=sa.BigInteger)]
    if not parts.any_type:
        bound.append(sa.bindparam("subscription_type_id", type_=sa.BigInteger))
    return text(statement).bindparams(*bound)
