"""What the database itself refuses: changed history, unbalanced journals, postings into closed days, excess refunds."""

from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None

HISTORIES = ("journal", "entry", "fact", "account")

FUNCTIONS = (
    # Class 23 is 'integrity constraint violation': the service answers 409 and nothing is half done.
    """
    create function refuse_change() returns trigger language plpgsql as $$
    begin
        raise exception 'rows of % are never changed or removed', tg_table_name using errcode = '23001';
    end $$
    """,
    """
    create function journal_balances() returns trigger language plpgsql as $$
    declare
        wanted integer;
        found integer;
        total numeric;
        of_journal text := coalesce(to_jsonb(new) ->> 'journal_id', to_jsonb(new) ->> 'id');
    begin
        select entry_count into wanted from journal where id = of_journal;
        select count(*), coalesce(sum(amount_dong), 0) into found, total from entry where journal_id = of_journal;
        if found <> wanted or total <> 0 then
            raise exception 'journal % has % of % entries and sums to %', of_journal, found, wanted, total
                using errcode = '23514';
        end if;
        return null;
    end $$
    """,
    # The shared lock makes a posting and the closing of its day wait for each other; the key is the day's number.
    """
    create function day_is_open() returns trigger language plpgsql as $$
    begin
        perform pg_advisory_xact_lock_shared(7201605, new.business_date - date '2000-01-01');
        if exists (select from day_close where business_date = new.business_date and status = 'closed') then
            raise exception 'business day % is closed', new.business_date using errcode = '23514';
        end if;
        return new;
    end $$
    """,
    """
    create function closed_stays_closed() returns trigger language plpgsql as $$
    begin
        if old.status = 'closed' then
            raise exception 'business day % is closed and sealed', old.business_date using errcode = '23001';
        end if;
        if tg_op = 'DELETE' then
            return old;
        end if;
        return new;
    end $$
    """,
    """
    create function refunds_within_receipts() returns trigger language plpgsql as $$
    declare
        asked numeric;
        received numeric;
    begin
        select coalesce(sum(amount_dong), 0) into asked from refund
            where payment_id = new.payment_id and source = new.source and status not in ('rejected', 'failed');
        select coalesce(sum(case when new.source = 'bill' then applied_dong else excess_dong end), 0) into received
            from intake where payment_id = new.payment_id;
        if asked > received then
            raise exception 'refunds of % đồng exceed the % đồng received', asked, received using errcode = '23514';
        end if;
        return null;
    end $$
    """,
)


def upgrade() -> None:
    for function in FUNCTIONS:
        op.execute(function)
    for table in HISTORIES:
        op.execute(
            f"create trigger never_changed before update or delete on {table}"
            " for each row execute function refuse_change()"
        )
        op.execute(
            f"create trigger never_emptied before truncate on {table}"
            " for each statement execute function refuse_change()"
        )
    for table in ("journal", "entry"):
        op.execute(
            f"create constraint trigger balances after insert on {table} deferrable initially deferred"
            " for each row execute function journal_balances()"
        )
    op.execute("create trigger day_open before insert on journal for each row execute function day_is_open()")
    op.execute(
        "create trigger sealed before update or delete on day_close for each row execute function closed_stays_closed()"
    )
    op.execute(
        "create trigger never_emptied before truncate on day_close for each statement execute function refuse_change()"
    )
    op.execute(
        "create constraint trigger within_receipts after insert or update on refund deferrable initially deferred"
        " for each row execute function refunds_within_receipts()"
    )


def downgrade() -> None:
    op.execute("drop trigger within_receipts on refund")
    op.execute("drop trigger never_emptied on day_close")
    op.execute("drop trigger sealed on day_close")
    op.execute("drop trigger day_open on journal")
    for table in ("journal", "entry"):
        op.execute(f"drop trigger balances on {table}")
    for table in HISTORIES:
        op.execute(f"drop trigger never_emptied on {table}")
        op.execute(f"drop trigger never_changed on {table}")
    for name in ("refunds_within_receipts", "closed_stays_closed", "day_is_open", "journal_balances", "refuse_change"):
        op.execute(f"drop function {name}()")
