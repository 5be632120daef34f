"""The extra fields that persons and companies have already are declared; indexes for finding contacts.

A name whose values are all numbers or all booleans becomes a field of that kind. Any other is text, and values of other
kinds among its texts become texts, so that every value fits its field.
"""

import sqlalchemy as sa
from alembic import op

revision = "extra_names"
down_revision = "consents"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for owner in ("person", "company"):
        op.execute(f"""
            INSERT INTO extra_field (owner, name, label, kind)
            SELECT '{owner}', field, field,
                   CASE WHEN every(kind = 'number') THEN 'number' WHEN every(kind = 'boolean') THEN 'boolean'
                        ELSE 'text' END
            FROM {owner} CROSS JOIN LATERAL (
                SELECT key AS field, jsonb_typeof(value) AS kind FROM jsonb_each(extra)
            ) AS found
            GROUP BY field ORDER BY field
            ON CONFLICT (owner, name) DO NOTHING
        """)
        op.execute(f"""
            UPDATE {owner} SET extra = (
                SELECT jsonb_object_agg(key, CASE WHEN f.kind = 'text' THEN to_jsonb(extra ->> key) ELSE value END)
                FROM jsonb_each(extra) JOIN extra_field AS f ON f.owner = '{owner}' AND f.name = key
            )
            WHERE EXISTS (
                SELECT FROM jsonb_each(extra) JOIN extra_field AS f ON f.owner = '{owner}' AND f.name = key
                WHERE f.kind = 'text' AND jsonb_typeof(value) <> 'string'
            )
        """)
    _create_prefix_index("person_name_prefix_idx", "person", "name")
    _create_prefix_index("person_last_name_prefix_idx", "person", "last_name")
    _create_prefix_index("company_name_prefix_idx", "company", "name")
    op.drop_index("company_name_idx", "company")
    op.create_index("person_updated_at_idx", "person", ["updated_at"])
    op.create_index("company_updated_at_idx", "company", ["updated_at"])


def _create_prefix_index(name: str, table: str, column: str) -> None:
    prefix = sa.literal_column(f"lower({column})").label("prefix")
    op.create_index(name, table, [prefix], postgresql_ops={"prefix": "text_pattern_ops"})


def downgrade() -> None:
    # Declarations stay until their table goes, and texts that were numbers stay texts: nothing tells them apart.
    op.drop_index("company_updated_at_idx", "company")
    op.drop_index("person_updated_at_idx", "person")
    op.create_index("company_name_idx", "company", [sa.text("lower(name)")])
    op.drop_index("company_name_prefix_idx", "company")
    op.drop_index("person_last_name_prefix_idx", "person")
    op.drop_index("person_name_prefix_idx", "person")
