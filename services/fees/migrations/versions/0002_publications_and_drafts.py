"""Publishing becomes an act of its own: documents, publications, drafts with their histories; quotes keep which one."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import kit.db

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None


IMMUTABLE = ("document", "publication", "publication_document", "draft_event")

# While a second person reads a draft, and once it is law, nobody changes what was read: not even by SQL.
GUARD_DRAFT = """
create function guard_draft() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        raise exception 'drafts are never deleted' using errcode = 'restrict_violation';
    end if;
    if old.status in ('published', 'withdrawn') then
        raise exception 'a % draft is never changed', old.status using errcode = 'restrict_violation';
    end if;
    if new.id <> old.id or new.author <> old.author or new.created_at <> old.created_at then
        raise exception 'the author of a draft is never changed' using errcode = 'restrict_violation';
    end if;
    if new.revision <> old.revision + 1 then
        raise exception 'a draft changes one revision at a time' using errcode = 'restrict_violation';
    end if;
    if old.status not in ('editing', 'returned') and (new.documents, new.title, new.reason, new.base)
            is distinct from (old.documents, old.title, old.reason, old.base) then
        raise exception 'a % draft keeps its documents', old.status using errcode = 'restrict_violation';
    end if;
    return new;
end
$$
"""

# What was published before there was a register of publications: one act each, in the order of time.
REGISTER_EARLIER_VERSIONS = """
insert into publication (number, version, published_at, author, reason)
select row_number() over (order by published_at, version), version, published_at, author,
       'Công bố trước khi có sổ công bố. Published before there was a register of publications.'
from catalogue_version
"""


def upgrade() -> None:
    op.create_table(
        "document",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.CheckConstraint(
            "sha256 = encode(sha256(convert_to(text, 'UTF8')), 'hex')", name=op.f("ck_document_sha256_is_of_text")
        ),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_document")),
    )
    op.create_table(
        "publication",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.String(length=16), nullable=False),
        sa.Column("published_at", kit.db.Instant(timezone=True), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("approver", sa.String(length=200), nullable=True),
        sa.Column("reason", sa.String(length=2000), nullable=False),
        sa.Column("draft", sa.String(length=64), nullable=True),
        sa.Column("release", sa.String(length=64), nullable=True),
        sa.CheckConstraint("reason <> ''", name=op.f("ck_publication_reason_given")),
        sa.CheckConstraint("release ~ '^[0-9a-f]{64}$'", name=op.f("ck_publication_release_is_hex")),
        sa.CheckConstraint("(draft is null) = (approver is null)", name=op.f("ck_publication_drafts_are_approved")),
        sa.CheckConstraint(
            "approver is null or approver <> author", name=op.f("ck_publication_approver_is_another_person")
        ),
        sa.CheckConstraint("draft is null or release is null", name=op.f("ck_publication_from_one_origin")),
        sa.CheckConstraint("number >= 1", name=op.f("ck_publication_numbered_from_one")),
        sa.ForeignKeyConstraint(
            ["version"], ["catalogue_version.version"], name=op.f("fk_publication_version_catalogue_version")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_publication")),
        sa.UniqueConstraint("draft", name=op.f("uq_publication_draft")),
    )
    op.create_index(op.f("ix_publication_release"), "publication", ["release"], unique=False)
    op.create_index(op.f("ix_publication_version"), "publication", ["version"], unique=False)
    op.create_table(
        "draft",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=2000), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("approver", sa.String(length=200), nullable=True),
        sa.Column("decision_reason", sa.String(length=2000), nullable=False),
        sa.Column("base", sa.Integer(), nullable=False),
        sa.Column("documents", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", kit.db.Instant(timezone=True), nullable=False),
        sa.Column("updated_at", kit.db.Instant(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(status in ('approved', 'published')) = (approver is not null)",
            name=op.f("ck_draft_approved_means_by_somebody"),
        ),
        sa.CheckConstraint("jsonb_typeof(documents) = 'object'", name=op.f("ck_draft_documents_by_path")),
        sa.CheckConstraint(
            "status <> 'returned' or decision_reason <> ''", name=op.f("ck_draft_returned_with_a_reason")
        ),
        sa.CheckConstraint(
            "status in ('editing', 'submitted', 'returned', 'approved', 'published', 'withdrawn')",
            name=op.f("ck_draft_status_known"),
        ),
        sa.CheckConstraint("title <> '' and reason <> ''", name=op.f("ck_draft_title_and_reason_given")),
        sa.CheckConstraint("approver is null or approver <> author", name=op.f("ck_draft_approver_is_another_person")),
        sa.CheckConstraint("revision >= 1 and base >= 1", name=op.f("ck_draft_counted_from_one")),
        sa.ForeignKeyConstraint(["base"], ["publication.number"], name=op.f("fk_draft_base_publication")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_draft")),
        sa.UniqueConstraint("id", "author", "approver", name=op.f("uq_draft_id_author_approver")),
    )
    op.create_index(op.f("ix_draft_status"), "draft", ["status"], unique=False)
    op.create_index(op.f("ix_draft_updated_at"), "draft", ["updated_at"], unique=False)
    op.create_table(
        "publication_document",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("path", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("release_sha256", sa.String(length=64), nullable=True),
        sa.CheckConstraint(
            "sha256 is not null or release_sha256 is not null", name=op.f("ck_publication_document_something_is_said")
        ),
        sa.ForeignKeyConstraint(
            ["number"], ["publication.number"], name=op.f("fk_publication_document_number_publication")
        ),
        sa.ForeignKeyConstraint(
            ["release_sha256"], ["document.sha256"], name=op.f("fk_publication_document_release_sha256_document")
        ),
        sa.ForeignKeyConstraint(["sha256"], ["document.sha256"], name=op.f("fk_publication_document_sha256_document")),
        sa.PrimaryKeyConstraint("number", "path", name=op.f("pk_publication_document")),
    )
    op.create_table(
        "draft_event",
        sa.Column("draft", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=2000), nullable=False),
        sa.Column("documents_sha256", sa.String(length=64), nullable=False),
        sa.Column("at", kit.db.Instant(timezone=True), nullable=False),
        sa.CheckConstraint("documents_sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_draft_event_documents_sha256_is_hex")),
        sa.ForeignKeyConstraint(["draft"], ["draft.id"], name=op.f("fk_draft_event_draft_draft")),
        sa.PrimaryKeyConstraint("draft", "revision", name=op.f("pk_draft_event")),
    )
    op.add_column("quote", sa.Column("publication", sa.Integer(), nullable=True))
    op.add_column("quote", sa.Column("answer_hash", sa.String(length=64), nullable=True))
    op.add_column("quote", sa.Column("requote_of", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_quote_requote_of"), "quote", ["requote_of"], unique=False)
    op.create_foreign_key(op.f("fk_quote_requote_of_quote"), "quote", "quote", ["requote_of"], ["id"])
    op.create_foreign_key(op.f("fk_quote_publication_publication"), "quote", "publication", ["publication"], ["number"])

    op.create_check_constraint("answer_hash_is_hex", "quote", "answer_hash ~ '^[0-9a-f]{64}$'")
    op.create_foreign_key(
        "fk_publication_draft_author_approver_draft",
        "publication",
        "draft",
        ["draft", "author", "approver"],
        ["id", "author", "approver"],
    )
    op.execute(REGISTER_EARLIER_VERSIONS)
    for table in IMMUTABLE:
        op.execute(
            f"create trigger {table}_is_immutable before update or delete on {table} "
            "for each row execute function refuse_change()"
        )
        op.execute(
            f"create trigger {table}_is_never_emptied before truncate on {table} "
            "for each statement execute function refuse_change()"
        )
    op.execute(GUARD_DRAFT)
    op.execute(
        "create trigger draft_is_guarded before update or delete on draft for each row execute function guard_draft()"
    )


def downgrade() -> None:
    op.drop_constraint("fk_publication_draft_author_approver_draft", "publication", type_="foreignkey")
    op.drop_constraint(op.f("ck_quote_answer_hash_is_hex"), "quote", type_="check")
    op.drop_constraint(op.f("fk_quote_publication_publication"), "quote", type_="foreignkey")
    op.drop_constraint(op.f("fk_quote_requote_of_quote"), "quote", type_="foreignkey")
    op.drop_index(op.f("ix_quote_requote_of"), table_name="quote")
    op.drop_column("quote", "requote_of")
    op.drop_column("quote", "answer_hash")
    op.drop_column("quote", "publication")
    op.drop_table("draft_event")
    op.drop_table("publication_document")
    op.drop_index(op.f("ix_draft_updated_at"), table_name="draft")
    op.drop_index(op.f("ix_draft_status"), table_name="draft")
    op.drop_table("draft")
    op.drop_index(op.f("ix_publication_version"), table_name="publication")
    op.drop_index(op.f("ix_publication_release"), table_name="publication")
    op.drop_table("publication")
    op.drop_table("document")
    op.execute("drop function guard_draft()")
