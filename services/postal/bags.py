"""Bags: envelopes that travel as one, under one seal. What was counted in must be counted out, or is named.

Closing a bag records `departed` for every envelope in it, opening it `arrived_delivery_office` for every envelope
found and `missing_from_bag`, which opens a search, for every one that is not.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.errors import BadInput, FieldError, NotFound, WrongMoment
from kit.ids import new_id, uuid7
from services.postal import custody_contract, recording, rules, s10
from services.postal.contract import FieldKind, PostEvent
from services.postal.models import Bag, BagItem, Shipment
from services.postal.operations import already_different
from services.postal.recording import Sender

_CARRIABLE = frozenset(
    {"collected_pending_evidence", "collected", "at_origin_office", "in_transit", "at_delivery_office", "returning"}
)


class NoSuchBag(NotFound):
    kind = "no-such-bag"


class BagIsOpen(WrongMoment):
    kind = "bag-is-open"


class NeedsAnotherPerson(WrongMoment):
    kind = "needs-another-person"


async def close_bag(
    session: AsyncSession, body: custody_contract.CloseBag, *, sender: Sender, terms: rules.Terms
) -> tuple[Bag, bool]:
    """Seal a bag over envelopes in the post's hands; the second of the pair tells whether it is new.

    Raises BadInput naming every envelope that is unknown, twice on the list, not in the post's hands, or in another
    closed bag; AlreadyDifferent when the key was used for another bag.
    """
    numbers = [s10.compact(number) for number in body.items]
    rows = await _shipments(session, numbers)
    known = (await session.exec(select(Bag).where(col(Bag.bag_key) == body.bag_key))).one_or_none()
    if known is not None:
        listed = {line.shipment_id for line in await _lines(session, known.id)}
        same = (known.seal_number, known.origin, known.destination) == (body.seal_number, body.origin, body.destination)
        if not same or listed != {row.id for row in rows.values()}:
            raise already_different("Túi này", "This bag", ["bag_key"])
        return known, False
    await _check_contents(session, numbers, rows)
    bag = Bag(
        id=new_id("bag"),
        bag_key=body.bag_key,
        seal_number=body.seal_number,
        origin=body.origin,
        destination=body.destination,
        count_in=len(rows),
        closed_by=sender.actor,
        closed_at=now(),
    )
    session.add(bag)
    await session.flush()
    await session.exec(insert(BagItem).values([{"bag_id": bag.id, "shipment_id": row.id} for row in rows.values()]))
    events = [_fact(bag, row, "departed", bag.closed_at, place=bag.origin) for row in rows.values()]
    await recording.record_events(session, events, sender=sender, at=bag.closed_at, terms=terms)
    return bag, True


async def open_bag(
    session: AsyncSession, bag_id: str, body: custody_contract.OpenBag, *, sender: Sender, terms: rules.Terms
) -> Bag:
    """Count a bag out. The person who sealed it cannot open it. The same count again is harmless.

    Raises NoSuchBag, NeedsAnotherPerson, BagIsOpen (opened before with another count).
    """
    query = select(Bag).where(col(Bag.id) == bag_id).with_for_update().execution_options(populate_existing=True)
    bag = (await session.exec(query)).one_or_none()
    if bag is None:
        raise NoSuchBag("Không có túi này; hãy kiểm tra lại mã.", "There is no such bag; check the id.")
    lines = await _lines(session, bag.id)
    packed = await _by_id(session, [line.shipment_id for line in lines])
    scanned = {s10.compact(number) for number in body.items}
    found = {row.id for row in packed if row.s10 in scanned}
    surplus = sorted(scanned - {row.s10 for row in packed})
    if bag.opened_at is not None:
        before = {line.shipment_id for line in lines if line.outcome == "found"}
        if before == found and bag.surplus == surplus:
            return bag
        raise BagIsOpen(
            "Túi này đã được mở và kiểm đếm với kết quả khác; hãy lập đính chính cho từng bưu gửi.",
            "This bag was opened and counted before with another result; correct single envelopes instead.",
        )
    if bag.closed_by == sender.actor:
        raise NeedsAnotherPerson(
            "Người đóng túi không được tự mở và kiểm đếm; hãy nhờ người khác ở bưu cục nhận.",
            "Whoever sealed a bag may not count it out; have somebody else at the receiving office do it.",
        )
    bag.opened_by, bag.opened_at = sender.actor, now()
    bag.count_out, bag.surplus = len(found) + len(surplus), surplus
    bag.seal_intact = body.seal_number == bag.seal_number
    for line in lines:
        line.outcome = "found" if line.shipment_id in found else "missing"
    await session.flush()
    astray = (await _shipments(session, surplus)).values()
    present = [
        _fact(bag, row, "arrived_delivery_office", bag.opened_at, place=bag.destination)
        for row in packed
        if row.id in found
    ]
    present += [_fact(bag, row, "arrived_delivery_office", bag.opened_at, place=bag.destination) for row in astray]
    missing = [
        _fact(bag, row, "missing_from_bag", bag.opened_at, place=bag.destination)
        for row in packed
        if row.id not in found
    ]
    as_office = Sender(sender.actor, "carrier" if sender.source == "courier" else sender.source)
    await recording.record_events(session, [*present, *missing], sender=as_office, at=bag.opened_at, terms=terms)
    return bag


async def bag_record(session: AsyncSession, bag_id: str) -> custody_contract.Bag:
    """A bag with its manifest and what was missing or too much. Raises NoSuchBag."""
    bag = await session.get(Bag, bag_id)
    if bag is None:
        raise NoSuchBag("Không có túi này; hãy kiểm tra lại mã.", "There is no such bag; check the id.")
    outcomes = {line.shipment_id: line.outcome for line in await _lines(session, bag.id)}
    rows = sorted(await _by_id(session, list(outcomes)), key=lambda row: row.s10)
    lines = [{"s10": row.s10, "shipment_id": row.id, "outcome": outcomes[row.id]} for row in rows]
    missing = tuple(row.s10 for row in rows if outcomes[row.id] == "missing")
    values = {**bag.model_dump(), "lines": lines, "missing": missing, "surplus": tuple(bag.surplus)}
    return custody_contract.Bag.model_validate(values)


async def custody_gaps(session: AsyncSession, *, hours: int, at: datetime) -> list[custody_contract.CustodyGap]:
    """Handovers begun more than `hours` ago and not accepted, oldest first, at most 200."""
    since = col(Shipment.release_since)
    query = select(Shipment).where(since.is_not(None), since <= at - timedelta(hours=hours)).order_by(since).limit(200)
    return [
        custody_contract.CustodyGap(
            shipment_id=row.id,
            s10=row.s10,
            status=row.status,
            custodian=row.custodian,
            release_to=row.release_to or "",
            release_since=row.release_since,
            age_seconds=int((at - row.release_since).total_seconds()),
        )
        for row in (await session.exec(query)).all()
        if row.release_since is not None
    ]


async def _check_contents(session: AsyncSession, numbers: Sequence[str], rows: dict[str, Shipment]) -> None:
    inside = set(
        (
            await session.exec(
                select(BagItem.shipment_id).where(
                    col(BagItem.shipment_id).in_([row.id for row in rows.values()]), col(BagItem.outcome).is_(None)
                )
            )
        ).all()
    )
    wrong: list[FieldError] = []
    for index, number in enumerate(numbers):
        row, field = rows.get(number), f"items.{index}"
        if row is None:
            wrong.append(FieldError(field, "không có bưu gửi này", "no such item"))
        elif numbers.index(number) != index:
            wrong.append(FieldError(field, "có hai lần trong danh sách", "twice on the list"))
        elif row.id in inside:
            wrong.append(FieldError(field, "đang ở trong một túi khác chưa mở", "in another bag that is still closed"))
        elif row.status not in _CARRIABLE or row.custodian not in rules.POST_HANDS:
            wrong.append(FieldError(field, "bưu điện không giữ bưu gửi này", "not in the hands of the post"))
    if wrong:
        raise BadInput(
            "Túi chưa được đóng: có bưu gửi không bỏ vào túi được. Hãy bỏ ra hoặc quét lại các số nêu dưới đây.",
            "The bag is not closed: some envelopes cannot go in. Take out or scan again those named below.",
            fields=wrong[:20],
        )


def _fact(bag: Bag, row: Shipment, kind: FieldKind, at: datetime, *, place: str) -> PostEvent:
    return PostEvent(
        event_id=str(uuid7()),
        s10=row.s10,
        kind=kind,
        occurred_at=at,
        device_id="bag-room",
        device_seq=row.chain_length + 1,
        place=place,
        note=f"bag {bag.id} seal {bag.seal_number}",
    )


async def _lines(session: AsyncSession, bag_id: str) -> Sequence[BagItem]:
    query = select(BagItem).where(col(BagItem.bag_id) == bag_id).execution_options(populate_existing=True)
    return (await session.exec(query)).all()


async def _shipments(session: AsyncSession, numbers: Iterable[str]) -> dict[str, Shipment]:
    query = select(Shipment).where(col(Shipment.s10).in_(sorted(set(numbers)))).order_by(col(Shipment.id))
    return {row.s10: row for row in (await session.exec(query.with_for_update())).all()}


async def _by_id(session: AsyncSession, ids: Sequence[str]) -> Sequence[Shipment]:
    return (await session.exec(select(Shipment).where(col(Shipment.id).in_(ids)).order_by(col(Shipment.id)))).all()
