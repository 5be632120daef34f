"""People and audience: folders, extra fields, further addresses, purposes, companies that consent, dynamic selections,
projects, and the sources of a mailing.
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "audience"
down_revision = "interests"
branch_labels = None
depends_on = None

_PURPOSES = (
    ("e_marketing", "E-marketing", "Marketing by email and text message"),
    ("track_opens", "Tracking of opens", "Telling whether and when a message was opened"),
    ("track_clicks", "Tracking of clicks", "Telling which links were clicked"),
)
_CHECKS = (
    # table, constraint, as it is from now on, as it was
    ("consent", "purpose", None, "purpose IN ('e_marketing', 'track_opens', 'track_clicks')"),
    ("consent", "action", "action IN ('given', 'withdrawn', 'expired')", "action IN ('given', 'withdrawn')"),
    (
        "consent", "subject",
        "person_id IS NOT NULL OR email_key IS NOT NULL OR company_id IS NOT NULL",
        "person_id IS NOT NULL OR email_key IS NOT NULL",
    ),
    (
        "mailing_source", "kind",
        "kind IN ('selection', 'project', 'person', 'company', 'import', 'addresses')",
        "kind IN ('selection', 'person', 'addresses')",
    ),
)  # fmt: skip


def _replace_check(table: str, name: str, condition: str | None) -> None:
    constraint = f"{table}_{name}_check"
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {constraint}")
    if condition is not None:
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {constraint} CHECK ({condition})")


def upgrade() -> None:
    _create_tables()
    _add_columns()
    for table, name, condition, _ in _CHECKS:
        _replace_check(table, name, condition)


def _create_tables() -> None:
    op.create_table(
        "consent_purpose",
        sa.Column("key", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("name", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("description", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("valid_months", sa.Integer(), nullable=True),
        sa.Column("built_in", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("consent_purpose_pkey")),
    )
    op.create_table(
        "erased_address",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("erased_address_pkey")),
    )
    op.create_table(
        "extra_field",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "owner",
            sa.Enum("person", "company", name="owner", native_enum=False, create_constraint=True, length=40),
            nullable=False,
        ),
        sa.Column("name", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("label", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "text",
                "number",
                "boolean",
                "date",
                "choice",
                name="kind",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("choices", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("extra_field_pkey")),
        sa.UniqueConstraint("owner", "name", name=op.f("extra_field_owner_name_key")),
    )
    op.create_table(
        "folder",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "mailing",
                "template",
                "link",
                "form",
                "selection",
                "project",
                name="kind",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("name", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("parent_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["parent_id"], ["folder.id"], name=op.f("folder_parent_id_fkey"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name=op.f("folder_pkey")),
    )
    op.create_index(
        "folder_name_key",
        "folder",
        ["kind", "parent_id", sa.text("lower(name)")],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_index(op.f("folder_parent_id_idx"), "folder", ["parent_id"], unique=False)
    op.create_table(
        "company_subscription",
        sa.Column("company_id", sa.BigInteger(), nullable=False),
        sa.Column("subscription_type_id", sa.BigInteger(), nullable=False),
        sa.Column("subscribed", sa.Boolean(), nullable=False),
        sa.Column("source", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["company_id"], ["company.id"], name=op.f("company_subscription_company_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["subscription_type_id"],
            ["subscription_type.id"],
            name=op.f("company_subscription_subscription_type_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("company_id", "subscription_type_id", name=op.f("company_subscription_pkey")),
    )
    op.create_table(
        "project",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("external_id", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("name", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("number", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("description", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("folder_id", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["folder_id"], ["folder.id"], name=op.f("project_folder_id_fkey"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("project_pkey")),
        sa.UniqueConstraint("external_id", name=op.f("project_external_id_key")),
    )
    op.create_index(op.f("project_folder_id_idx"), "project", ["folder_id"], unique=False)
    op.create_table(
        "company_consent_state",
        sa.Column("company_id", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("given", sa.Boolean(), nullable=False),
        sa.Column("consent_id", sa.BigInteger(), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["company_id"], ["company.id"], name=op.f("company_consent_state_company_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["consent_id"], ["consent.id"], name=op.f("company_consent_state_consent_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("company_id", "purpose", name=op.f("company_consent_state_pkey")),
    )
    op.create_table(
        "person_email",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("email", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("email_key", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("person_email_person_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("person_email_pkey")),
        sa.UniqueConstraint("person_id", "email_key", name=op.f("person_email_person_id_email_key_key")),
    )
    op.create_index("person_email_email_key_idx", "person_email", ["email_key"], unique=False)
    op.create_table(
        "project_member",
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("project_member_person_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("project_member_project_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "person_id", name=op.f("project_member_pkey")),
    )
    op.create_index(op.f("project_member_person_id_idx"), "project_member", ["person_id"], unique=False)
    op.create_table(
        "selection_company",
        sa.Column("selection_id", sa.BigInteger(), nullable=False),
        sa.Column("company_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["company_id"], ["company.id"], name=op.f("selection_company_company_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["selection_id"], ["selection.id"], name=op.f("selection_company_selection_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("selection_id", "company_id", name=op.f("selection_company_pkey")),
    )
    op.create_index(op.f("selection_company_company_id_idx"), "selection_company", ["company_id"], unique=False)


def _add_columns() -> None:
    op.add_column("company", sa.Column("email", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
    op.add_column("company", sa.Column("email_key", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
    op.create_index(
        "company_email_key_idx",
        "company",
        ["email_key"],
        unique=False,
        postgresql_where=sa.text("email_key IS NOT NULL"),
    )
    op.add_column("consent", sa.Column("company_id", sa.BigInteger(), nullable=True))
    op.add_column("consent", sa.Column("language", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
    op.add_column("consent", sa.Column("evidence", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
    op.add_column("consent", sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "consent_company_idx",
        "consent",
        ["company_id", "purpose"],
        unique=False,
        postgresql_where=sa.text("company_id IS NOT NULL"),
    )
    for key, name, description in _PURPOSES:
        op.execute(
            sa.text(
                "INSERT INTO consent_purpose (key, name, description, built_in) VALUES (:key, :name, :about, true)"
            ).bindparams(key=key, name=name, about=description)
        )
    op.create_foreign_key(op.f("consent_purpose_fkey"), "consent", "consent_purpose", ["purpose"], ["key"])
    op.add_column("consent_state", sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "consent_state_valid_until_idx",
        "consent_state",
        ["valid_until"],
        unique=False,
        postgresql_where=sa.text("given AND valid_until IS NOT NULL"),
    )
    op.add_column("mailing", sa.Column("folder_id", sa.BigInteger(), nullable=True))
    op.add_column("mailing", sa.Column("selection_id", sa.BigInteger(), nullable=True))
    op.add_column("mailing", sa.Column("project_id", sa.BigInteger(), nullable=True))
    op.add_column(
        "mailing", sa.Column("include_companies", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("mailing", sa.Column("prefer_company", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_index(op.f("mailing_folder_id_idx"), "mailing", ["folder_id"], unique=False)
    op.create_index(op.f("mailing_project_id_idx"), "mailing", ["project_id"], unique=False)
    op.create_index(op.f("mailing_selection_id_idx"), "mailing", ["selection_id"], unique=False)
    op.create_foreign_key(
        op.f("mailing_folder_id_fkey"), "mailing", "folder", ["folder_id"], ["id"], ondelete="SET NULL"
    )
    op.create_foreign_key(
        op.f("mailing_project_id_fkey"), "mailing", "project", ["project_id"], ["id"], ondelete="SET NULL"
    )
    op.create_foreign_key(
        op.f("mailing_selection_id_fkey"), "mailing", "selection", ["selection_id"], ["id"], ondelete="SET NULL"
    )
    op.add_column(
        "mailing_source", sa.Column("label", sqlmodel.sql.sqltypes.AutoString(), server_default="", nullable=False)
    )
    op.add_column(
        "mailing_source", sa.Column("associated", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("mailing_source", sa.Column("project_id", sa.BigInteger(), nullable=True))
    op.add_column("mailing_source", sa.Column("company_id", sa.BigInteger(), nullable=True))
    op.add_column("mailing_source", sa.Column("import_id", sa.BigInteger(), nullable=True))
    op.create_index(op.f("mailing_source_company_id_idx"), "mailing_source", ["company_id"], unique=False)
    op.create_index(op.f("mailing_source_import_id_idx"), "mailing_source", ["import_id"], unique=False)
    op.create_index(op.f("mailing_source_project_id_idx"), "mailing_source", ["project_id"], unique=False)
    op.drop_constraint(op.f("mailing_source_person_id_fkey"), "mailing_source", type_="foreignkey")
    op.drop_constraint(op.f("mailing_source_selection_id_fkey"), "mailing_source", type_="foreignkey")
    op.create_foreign_key(
        op.f("mailing_source_project_id_fkey"), "mailing_source", "project", ["project_id"], ["id"], ondelete="SET NULL"
    )
    op.create_foreign_key(
        op.f("mailing_source_selection_id_fkey"),
        "mailing_source",
        "selection",
        ["selection_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_foreign_key(
        op.f("mailing_source_import_id_fkey"), "mailing_source", "import", ["import_id"], ["id"], ondelete="SET NULL"
    )
    op.create_foreign_key(
        op.f("mailing_source_person_id_fkey"), "mailing_source", "person", ["person_id"], ["id"], ondelete="SET NULL"
    )
    op.create_foreign_key(
        op.f("mailing_source_company_id_fkey"), "mailing_source", "company", ["company_id"], ["id"], ondelete="SET NULL"
    )
    op.add_column("person", sa.Column("our_contact_name", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
    op.add_column("person", sa.Column("our_contact_email", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
    op.add_column("person", sa.Column("support_contact_name", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
    op.add_column("person", sa.Column("support_contact_email", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
    op.add_column("recipient", sa.Column("company_id", sa.BigInteger(), nullable=True))
    op.add_column(
        "selection",
        sa.Column(
            "kind",
            sa.Enum("static", "dynamic", name="kind", native_enum=False, create_constraint=True, length=40),
            server_default="static",
            nullable=False,
        ),
    )
    op.add_column("selection", sa.Column("criteria", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("selection", sa.Column("folder_id", sa.BigInteger(), nullable=True))
    op.create_index(op.f("selection_folder_id_idx"), "selection", ["folder_id"], unique=False)
    op.create_foreign_key(
        op.f("selection_folder_id_fkey"), "selection", "folder", ["folder_id"], ["id"], ondelete="SET NULL"
    )
    op.add_column("template", sa.Column("folder_id", sa.BigInteger(), nullable=True))
    op.create_index(op.f("template_folder_id_idx"), "template", ["folder_id"], unique=False)
    op.create_foreign_key(
        op.f("template_folder_id_fkey"), "template", "folder", ["folder_id"], ["id"], ondelete="SET NULL"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("template_folder_id_fkey"), "template", type_="foreignkey")
    op.drop_index(op.f("template_folder_id_idx"), table_name="template")
    op.drop_column("template", "folder_id")
    op.drop_constraint(op.f("selection_folder_id_fkey"), "selection", type_="foreignkey")
    op.drop_index(op.f("selection_folder_id_idx"), table_name="selection")
    op.drop_column("selection", "folder_id")
    op.drop_column("selection", "criteria")
    op.drop_column("selection", "kind")
    op.drop_column("recipient", "company_id")
    op.drop_column("person", "support_contact_email")
    op.drop_column("person", "support_contact_name")
    op.drop_column("person", "our_contact_email")
    op.drop_column("person", "our_contact_name")
    op.drop_constraint(op.f("mailing_source_company_id_fkey"), "mailing_source", type_="foreignkey")
    op.drop_constraint(op.f("mailing_source_person_id_fkey"), "mailing_source", type_="foreignkey")
    op.drop_constraint(op.f("mailing_source_import_id_fkey"), "mailing_source", type_="foreignkey")
    op.drop_constraint(op.f("mailing_source_selection_id_fkey"), "mailing_source", type_="foreignkey")
    op.drop_constraint(op.f("mailing_source_project_id_fkey"), "mailing_source", type_="foreignkey")
    op.create_foreign_key(
        op.f("mailing_source_selection_id_fkey"),
        "mailing_source",
        "selection",
        ["selection_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.create_foreign_key(
        op.f("mailing_source_person_id_fkey"), "mailing_source", "person", ["person_id"], ["id"], ondelete="CASCADE"
    )
    op.drop_index(op.f("mailing_source_project_id_idx"), table_name="mailing_source")
    op.drop_index(op.f("mailing_source_import_id_idx"), table_name="mailing_source")
    op.drop_index(op.f("mailing_source_company_id_idx"), table_name="mailing_source")
    op.drop_column("mailing_source", "import_id")
    op.drop_column("mailing_source", "company_id")
    op.drop_column("mailing_source", "project_id")
    op.drop_column("mailing_source", "associated")
    op.drop_column("mailing_source", "label")
    op.drop_constraint(op.f("mailing_selection_id_fkey"), "mailing", type_="foreignkey")
    op.drop_constraint(op.f("mailing_project_id_fkey"), "mailing", type_="foreignkey")
    op.drop_constraint(op.f("mailing_folder_id_fkey"), "mailing", type_="foreignkey")
    op.drop_index(op.f("mailing_selection_id_idx"), table_name="mailing")
    op.drop_index(op.f("mailing_project_id_idx"), table_name="mailing")
    op.drop_index(op.f("mailing_folder_id_idx"), table_name="mailing")
    op.drop_column("mailing", "prefer_company")
    op.drop_column("mailing", "include_companies")
    op.drop_column("mailing", "project_id")
    op.drop_column("mailing", "selection_id")
    op.drop_column("mailing", "folder_id")
    op.drop_index(
        "consent_state_valid_until_idx",
        table_name="consent_state",
        postgresql_where=sa.text("given AND valid_until IS NOT NULL"),
    )
    op.drop_column("consent_state", "valid_until")
    op.drop_constraint(op.f("consent_purpose_fkey"), "consent", type_="foreignkey")
    op.drop_index("consent_company_idx", table_name="consent", postgresql_where=sa.text("company_id IS NOT NULL"))
    op.drop_column("consent", "valid_until")
    op.drop_column("consent", "evidence")
    op.drop_column("consent", "language")
    op.drop_column("consent", "company_id")
    op.drop_index("company_email_key_idx", table_name="company", postgresql_where=sa.text("email_key IS NOT NULL"))
    op.drop_column("company", "email_key")
    op.drop_column("company", "email")
    op.drop_index(op.f("selection_company_company_id_idx"), table_name="selection_company")
    op.drop_table("selection_company")
    op.drop_index(op.f("project_member_person_id_idx"), table_name="project_member")
    op.drop_table("project_member")
    op.drop_index("person_email_email_key_idx", table_name="person_email")
    op.drop_table("person_email")
    op.drop_table("company_consent_state")
    op.drop_index(op.f("project_folder_id_idx"), table_name="project")
    op.drop_table("project")
    op.drop_table("company_subscription")
    op.drop_index(op.f("folder_parent_id_idx"), table_name="folder")
    op.drop_index("folder_name_key", table_name="folder")
    op.drop_table("folder")
    op.drop_table("extra_field")
    op.drop_table("erased_address")
    op.drop_table("consent_purpose")
    for table, name, _, condition in _CHECKS:
        _replace_check(table, name, condition)
