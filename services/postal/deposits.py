"""A courier hands the cash of a shift to the post office: counted, compared, and announced once."""

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.errors import BadInput, FieldError, Forbidden, NotFound, WrongMoment
from kit.ids import new_id, new_reference
from services.postal.contract import CreateDeposit, DepositEvent
from services.postal.desk_contract import HandOverShift
from services.postal.desk_contract import ShiftCount as ShiftCountRecord
from services.postal.desk_models import Case, DepositRemittance, ShiftCount
from services.postal.models import CashCollection, Deposit, outbox
from services.postal.operations import already_different, differing


class NothingToDeposit(WrongMoment):
    kind = "nothing-to-deposit"


class NoSuchDeposit(NotFound):
    kind = "no-such-deposit"


class AlreadyCounted(WrongMoment):
    kind = "already-counted"


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


# --- the shift at the counter --------------------------------------------------------------------


async def hand_over_shift(session: AsyncSession, body: HandOverShift, *, by: str) -> ShiftCountRecord:
    """End a courier's shift: somebody else counts, a difference gets its cause and a case. The same again is harmless.

    Raises Forbidden when courier and counter are one person, BadInput when a difference has no cause or a cause has no
    difference, NothingToDeposit, AlreadyDifferent.
    """
    if by == body.courier:
        raise Forbidden(
            "Người đếm tiền phải là người khác với bưu tá; hãy nhờ đồng nghiệp đếm.",
            "Somebody else than the courier counts the cash; ask a colleague.",
        )
    known = await _by_event(session, body.event_id)
    if known is None:
        held = await _cash_in_hand(session, body.courier)
        _check_cause(body, body.counted_dong - sum(cash.amount_dong for cash in held) if held else 0)
    declared = CreateDeposit(event_id=body.event_id, courier=body.courier, counted_dong=body.counted_dong)
    deposit, made = await make_deposit(session, declared, deposited_by=by)
    if made:
        return await _store_count(session, deposit, cause=body.cause, note=body.note, by=by)
    count = await session.get(ShiftCount, deposit.id)
    if count is None:
        return await count_deposit(session, deposit.id, counted_dong=body.counted_dong, cause=body.cause, by=by)
    return shift_record(deposit, count)


async def count_deposit(
    session: AsyncSession, deposit_id: str, *, counted_dong: int, cause: str, by: str, note: str = ""
) -> ShiftCountRecord:
    """A second person counts what a courier handed in alone. Raises NoSuchDeposit, Forbidden, AlreadyCounted, BadInput.

    What the courier declared stands in the books; another count is a difference with a cause, never an overwriting.
    """
    query = select(Deposit).where(col(Deposit.id) == deposit_id).with_for_update()
    deposit = (await session.exec(query.execution_options(populate_existing=True))).one_or_none()
    if deposit is None:
        raise NoSuchDeposit("Không có phiếu nộp tiền này.", "There is no such deposit.")
    if by == deposit.courier:
        raise Forbidden(
            "Người đếm tiền phải là người khác với bưu tá; hãy nhờ đồng nghiệp đếm.",
            "Somebody else than the courier counts the cash; ask a colleague.",
        )
    known = await session.get(ShiftCount, deposit.id)
    if known is not None:
        if (known.counted_dong, known.cause, known.counted_by) == (counted_dong, cause, by):
            return shift_record(deposit, known)
        raise AlreadyCounted(
            "Phiếu nộp này đã được người khác đếm; kết quả đếm không sửa được.",
            "This deposit has been counted; the count stands.",
        )
    _check_cause_of(counted_dong - deposit.expected_dong, cause)
    return await _store_count(session, deposit, cause=cause, note=note, by=by, counted_dong=counted_dong)


def _check_cause(body: HandOverShift, difference: int) -> None:
    _check_cause_of(difference, body.cause)


def _check_cause_of(difference_dong: int, cause: str) -> None:
    if (difference_dong == 0) == (cause == "none"):
        return
    raise BadInput(
        "Số đếm được lệch với số phải nộp thì phải chọn nguyên nhân; khớp thì không có nguyên nhân lệch.",
        "A count that differs from what is due needs a cause; one that agrees has none.",
        fields=[FieldError("cause", "chưa đúng với số đếm được", "does not fit the count")],
    )


async def _store_count(
    session: AsyncSession, deposit: Deposit, *, cause: str, note: str, by: str, counted_dong: int | None = None
) -> ShiftCountRecord:
    counted = deposit.counted_dong if counted_dong is None else counted_dong
    at = now()
    row = ShiftCount(
        deposit_id=deposit.id,
        courier=deposit.courier,
        counted_by=by,
        counted_dong=counted,
        difference_dong=counted - deposit.expected_dong,
        cause=cause,
        note=note,
        counted_at=at,
    )
    session.add(row)
    if row.difference_dong:
        session.add(
            Case(
                id=new_id("cas"),
                case_key=f"{deposit.id}:shift_difference",
                dossier_code="",
                kind="shift_difference",
                courier=deposit.courier,
                due_at=at,
                opened_at=at,
            )
        )
    await session.flush()
    return shift_record(deposit, row)


def shift_record(deposit: Deposit, count: ShiftCount) -> ShiftCountRecord:
    """A counted deposit as other rooms may know it."""
    return ShiftCountRecord(
        deposit_id=deposit.id,
        reference=deposit.reference,
        courier=deposit.courier,
        counted_by=count.counted_by,
        expected_dong=deposit.expected_dong,
        counted_dong=count.counted_dong,
        difference_dong=count.difference_dong,
        cause=count.cause,
        counted_at=count.counted_at,
    )


async def note_remitted(session: AsyncSession, deposit_id: str) -> DepositRemittance:
    """The books have taken over a deposit. Again is harmless. Raises NoSuchDeposit."""
    if await session.get(Deposit, deposit_id) is None:
        raise NoSuchDeposit("Không có phiếu nộp tiền này.", "There is no such deposit.")
    values = {"deposit_id": deposit_id, "remitted_at": now()}
    await session.exec(insert(DepositRemittance).values(values).on_conflict_do_nothing(index_elements=["deposit_id"]))
    query = select(DepositRemittance).where(col(DepositRemittance.deposit_id) == deposit_id)
    return (await session.exec(query)).one()
