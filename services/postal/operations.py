"""Contacts, bookings, item numbers and labels. Every write may be repeated without a second effect."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.errors import BadInput, FieldError, Unavailable, WrongMoment
from kit.ids import new_id, uuid7
from services.postal import chain, labels, queries, recording, rules, s10
from services.postal.contract import CreateShipment, Direction, PostEvent, PutContact
from services.postal.desk_models import CashLine
from services.postal.models import Contact, Piece, S10Range, Shipment, outbox
from services.postal.recording import Sender


class AlreadyDifferent(WrongMoment):
    """The same key or dossier was used before with other content."""

    kind = "already-different"


class CannotCancel(WrongMoment):
    kind = "cannot-cancel"


class NumbersExhausted(Unavailable):
    kind = "item-numbers-exhausted"


def already_different(what_vi: str, what_en: str, fields: list[str]) -> AlreadyDifferent:
    """The refusal that names which fields differ, never their values."""
    names = ", ".join(fields)
    return AlreadyDifferent(
        f"{what_vi} đã có với nội dung khác ở: {names}. Hãy gửi lại đúng nội dung cũ, hoặc dùng khóa mới.",
        f"{what_en} exists with different {names}. Send the same content again, or use a new key.",
        fields=[FieldError(name, "khác với lần trước", "differs from the first time") for name in fields],
        extra={"differs": fields},
    )


def differing(stored: Mapping[str, Any], sent: Mapping[str, Any]) -> list[str]:
    """Names of the fields whose values are not the same."""
    return sorted(name for name in stored.keys() | sent.keys() if stored.get(name) != sent.get(name))


# --- contacts ------------------------------------------------------------------------------------


async def put_contact(session: AsyncSession, dossier_code: str, body: PutContact) -> Contact:
    """Keep where a citizen lives. The same again changes nothing; other content raises AlreadyDifferent."""
    values = {"id": new_id("ctc"), "dossier_code": dossier_code, "created_at": now(), **body.model_dump()}
    statement = insert(Contact).values(values).on_conflict_do_nothing(index_elements=["dossier_code"])
    await session.exec(statement)
    row = (await session.exec(select(Contact).where(col(Contact.dossier_code) == dossier_code))).one()
    stored = {name: getattr(row, name) for name in PutContact.model_fields}
    fields = differing(stored, body.model_dump())
    if fields:
        raise already_different("Địa chỉ liên hệ của hồ sơ này", "The contact of this dossier", fields)
    return row


# --- item numbers --------------------------------------------------------------------------------

_RANGE_LOCK = 7_201_605_150_927_010
"""Any constant of our own: ranges are added one at a time."""


async def lend_range(session: AsyncSession, *, indicator: str, country: str, first: int, last: int) -> None:
    """Make a range of the operator usable; ranges are used up in the order they were lent.

    Raises ValueError when it overlaps another: a number is never given out twice.
    """
    await session.exec(select(func.pg_advisory_xact_lock(_RANGE_LOCK)))
    known = (await session.exec(select(S10Range).order_by(col(S10Range.starts_at)))).all()
    for other in known:
        if (other.indicator, other.country) != (indicator, country):
            continue
        if (other.first_serial, other.last_serial) == (first, last):
            return
        if first <= other.last_serial and other.first_serial <= last:
            raise ValueError(f"the range overlaps {other.first_serial}–{other.last_serial}, which was lent before")
    starts_at = max((r.starts_at + r.last_serial - r.first_serial + 1 for r in known), default=0)
    session.add(
        S10Range(
            id=new_id("rng"),
            indicator=indicator,
            country=country,
            first_serial=first,
            last_serial=last,
            starts_at=starts_at,
            created_at=now(),
        )
    )
    await session.flush()


async def next_number(session: AsyncSession) -> s10.ItemNumber:
    """A number never given out before. Raises NumbersExhausted when the ranges are used up."""
    count = int((await session.exec(select(func.nextval("s10_serial")))).one())
    query = select(S10Range).where(col(S10Range.starts_at) <= count).order_by(col(S10Range.starts_at).desc()).limit(1)
    row = (await session.exec(query)).first()
    if row is not None and row.low_since is None:
        await _warn_when_low(session, row, count)
    if row is None or row.first_serial + count - row.starts_at > row.last_serial:
        raise NumbersExhausted(
            "Dải số hiệu bưu gửi đã dùng hết; hãy đề nghị bưu điện cấp dải mới.",
            "The range of item numbers is used up; ask the operator for another.",
        )
    return s10.ItemNumber(row.indicator, row.first_serial + count - row.starts_at, row.country)


LOW_PERCENT = 10
"""Of the last range, below which the operator should be asked for another."""


async def _warn_when_low(session: AsyncSession, row: S10Range, count: int) -> None:
    """Tell once that the last range is nearly used up, while there is still time to ask for another."""
    size = row.last_serial - row.first_serial + 1
    left = row.starts_at + size - count - 1
    if left * 100 > size * LOW_PERCENT:
        return
    later = select(S10Range.id).where(col(S10Range.starts_at) > row.starts_at).limit(1)
    if (await session.exec(later)).first() is not None:
        return
    at = now()
    marked = update(S10Range).where(col(S10Range.id) == row.id, col(S10Range.low_since).is_(None)).values(low_since=at)
    if (await session.exec(marked.returning(col(S10Range.id)))).first() is not None:
        data = {"indicator": row.indicator, "country": row.country, "numbers_left": left, "occurred_at": at.isoformat()}
        await outbox.announce(session, "numbers.low", subject=f"{row.indicator}{row.country}", data=data)


# --- shipments -----------------------------------------------------------------------------------


async def book_shipment(session: AsyncSession, body: CreateShipment, *, hold_days: int) -> tuple[Shipment, bool]:
    """Book a leg; the second of the pair tells whether it is new.

    The same key again gives the first shipment. Raises AlreadyDifferent on other content under the key, BadInput
    when the contact or the earlier leg is not one of this dossier.
    """
    sent = body.model_dump(mode="json")
    found = await _by_key(session, body.shipment_key)
    if found is None:
        await _check_belongings(session, body)
        row = _new_shipment(body, sent, number=str(await next_number(session)), hold_days=hold_days, at=now())
        statement = insert(Shipment).values(row.model_dump()).on_conflict_do_nothing(index_elements=["shipment_key"])
        made = (await session.exec(statement.returning(col(Shipment.id)))).one_or_none()
        found = await _by_key(session, body.shipment_key)
        assert found is not None
        if made is not None:
            for position, name in enumerate(body.checklist, start=1):
                session.add(Piece(shipment_id=found.id, position=position, name=name))
            for position, line in enumerate(body.cash.lines if body.cash else (), start=1):
                session.add(
                    CashLine(
                        shipment_id=found.id,
                        position=position,
                        item=line.item,
                        kind=line.kind,
                        owner=line.owner,
                        expected_dong=line.amount_dong,
                    )
                )
            await session.flush()
            await recording.tell(session, found, "shipment.booked", status="booked", occurred_at=found.created_at)
            return found, True
    fields = differing(found.request, sent)
    if fields:
        raise already_different("Khóa bưu gửi này", "This shipment key", fields)
    return found, False


async def _by_key(session: AsyncSession, shipment_key: str) -> Shipment | None:
    return (await session.exec(select(Shipment).where(col(Shipment.shipment_key) == shipment_key))).one_or_none()


async def _check_belongings(session: AsyncSession, body: CreateShipment) -> None:
    person = await session.get(Contact, body.contact_id)
    wrong = []
    if person is None or person.dossier_code != body.dossier_code:
        wrong.append("contact_id")
    if body.previous_shipment_id is not None:
        earlier = await session.get(Shipment, body.previous_shipment_id)
        if earlier is None or earlier.dossier_code != body.dossier_code:
            wrong.append("previous_shipment_id")
    if wrong:
        raise BadInput(
            "Mã nêu dưới đây không thuộc hồ sơ này; hãy tạo hoặc lấy đúng mã trước khi đặt.",
            "The ids named below do not belong to this dossier; create or look them up before booking.",
            fields=[FieldError(name, "không thuộc hồ sơ này", "not of this dossier") for name in wrong],
        )


def _new_shipment(body: CreateShipment, sent: dict[str, Any], *, number: str, hold_days: int, at: datetime) -> Shipment:
    return Shipment(
        id=new_id("shp"),
        shipment_key=body.shipment_key,
        s10=number,
        dossier_code=body.dossier_code,
        direction=body.direction,
        contact_id=body.contact_id,
        agency=body.agency,
        agency_commune=body.agency_commune,
        weight_grams=body.weight_grams,
        postage_dong=body.postage_dong,
        cash_due_dong=body.cash.amount_dong if body.cash else 0,
        cash_payment_id=body.cash.payment_id if body.cash else None,
        cash_attempt_reference=body.cash.attempt_reference if body.cash else None,
        pickup_by=body.pickup_by,
        previous_shipment_id=body.previous_shipment_id,
        request=sent,
        created_at=at,
        status="booked",
        custodian=rules.sender(body.direction),
        last_seen_at=at,
        chain_head=chain.START,
        hold_days=hold_days,
        quote=_kept_quote(body),
    )


def _kept_quote(body: CreateShipment) -> dict[str, Any] | None:
    if body.quote is None:
        return None
    content = body.quote.model_dump(mode="json")
    return {"quote": content, "sha256": chain.digest(content)}


async def cancel_shipment(session: AsyncSession, shipment_id: str, *, sender: Sender, terms: rules.Terms) -> Shipment:
    """Cancel before pickup. Cancelled already: nothing happens. Raises NoSuchShipment, CannotCancel."""
    row = await queries.shipment(session, shipment_id, lock=True)
    if row.status == "cancelled":
        return row
    if row.status in rules.END_STRENGTH:
        raise CannotCancel(
            "Hành trình của bưu gửi đã kết thúc nên không hủy được nữa.",
            "The journey of this shipment is over; it can no longer be cancelled.",
        )
    if row.status not in rules.BEFORE_COLLECTION:
        raise CannotCancel(
            "Bưu điện đã nhận hồ sơ nên không hủy được; hãy đặt bưu gửi chiều về để hồ sơ được trả lại.",
            "The post already holds the papers; book a return leg to have them brought back.",
        )
    at = now()
    event = PostEvent(
        event_id=str(uuid7()),
        s10=row.s10,
        kind="cancelled",
        occurred_at=at,
        device_id="postal-service",
        device_seq=max(1, row.chain_length + 1),
    )
    as_office = Sender(sender.actor, "system" if sender.source == "courier" else sender.source)
    await recording.record_events(session, [event], sender=as_office, at=at, terms=terms)
    return row


async def label(session: AsyncSession, shipment_id: str, *, terms: rules.Terms) -> labels.Label:
    """What a shipment's label says. Raises NoSuchShipment."""
    row = await queries.shipment(session, shipment_id)
    person = await queries.contact(session, row.contact_id)
    to_citizen = row.direction == "return"
    return labels.Label(
        s10=row.s10,
        direction=cast("Direction", row.direction),
        agency=row.agency,
        commune=person.commune if to_citizen else row.agency_commune,
        weight_grams=row.weight_grams,
        qr_content=labels.qr_content(terms.public_url, terms.label_secret, row.s10),
        name=person.name if to_citizen else "",
        address=person.address if to_citizen else "",
    )
