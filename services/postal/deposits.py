"""A courier hands the cash of a shift to the post office: counted, compared, and announced once."""

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.errors import WrongMoment
from kit.ids import new_id, new_reference
from services.postal.contract import CreateDeposit, DepositEvent
from services.postal.models import CashCollection, Deposit, outbox
from services.postal.operations import already_different, differing


class NothingToDeposit(WrongMoment):
    kind = "nothing-to-deposit"


async def make_deposit(session: AsyncSession, body: CreateDeposit, *, deposited_by: str) -> tuple[Deposit, bool]:
    """Take in a courier's cash; the second of the pair tells whether the deposit is new.

    All cash of the courier that is not deposited yet goes with it; a difference to what was counted is recorded, not
    hidden. The same `event_id` again gives the first deposit. Raises AlreadyDifferent, NothingToDeposit.
    """
    held = await _cash_in_hand(session, body.courier)
    found = await _by_event(session, body.event_id)
    if found is None:
        if not held:
            raise NothingToDeposit(
                "Bưu tá này không còn khoản thu nào chưa nộp; hãy kiểm tra mã bưu tá, gửi hết dữ liệu trên máy.",
                "This courier has no undeposited cash on record; check the courier and sync the device first.",
            )
        row = _new_deposit(body, held, deposited_by=deposited_by)
        statement = insert(Deposit).values(row.model_dump()).on_conflict_do_nothing(index_elements=["event_id"])
        made = (await session.exec(statement.returning(col(Deposit.id)))).one_or_none()
        found = await _by_event(session, body.event_id)
        assert found is not None
        if made is not None:
            await session.exec(
                update(CashCollection)
                .where(col(CashCollection.shipment_id).in_([cash.shipment_id for cash in held]))
                .values(deposit_id=found.id)
            )
            await _announce(session, found)
            return found, True
    stored = {"event_id": found.event_id, "courier": found.courier, "counted_dong": found.counted_dong}
    fields = differing(stored, body.model_dump())
    if fields:
        raise already_different("Phiếu nộp tiền này", "This deposit", fields)
    return found, False


async def _cash_in_hand(session: AsyncSession, courier: str) -> list[CashCollection]:
    """What the courier still holds, locked: two deposits at once cannot count the same cash twice."""
    query = (
        select(CashCollection)
        .where(col(CashCollection.courier) == courier, col(CashCollection.deposit_id).is_(None))
        .order_by(col(CashCollection.shipment_id))
        .with_for_update()
    )
    return list((await session.exec(query)).all())


async def _by_event(session: AsyncSession, event_id: str) -> Deposit | None:
    return (await session.exec(select(Deposit).where(col(Deposit.event_id) == event_id))).one_or_none()


def _new_deposit(body: CreateDeposit, held: list[CashCollection], *, deposited_by: str) -> Deposit:
    expected = sum(cash.amount_dong for cash in held)
    return Deposit(
        id=new_id("dep"),
        event_id=body.event_id,
        reference=new_reference("NT"),
        courier=body.courier,
        counted_dong=body.counted_dong,
        expected_dong=expected,
        difference_dong=body.counted_dong - expected,
        dossier_codes=sorted({cash.dossier_code for cash in held}),
        deposited_by=deposited_by,
        deposited_at=now(),
    )


async def _announce(session: AsyncSession, row: Deposit) -> None:
    identity = new_id("evt")
    event = DepositEvent(
        event_id=identity,
        deposit_id=row.id,
        reference=row.reference,
        amount_dong=row.counted_dong,
        collector=row.courier,
        deposited_at=row.deposited_at,
        dossier_codes=tuple(row.dossier_codes),
    )
    data = event.model_dump(mode="json")
    await outbox.announce(session, "deposit.made", subject=row.reference, data=data, event_id=identity)
