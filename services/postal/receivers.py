"""What a citizen may do through the link: ask for another delivery, and say whether anybody came.

The link alone moves nothing to another person or place: that needs a code, which the portal sends to the citizen's
telephone or account. Papers never go to a neighbour.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.calendar import BusinessCalendar
from kit.db import now
from kit.errors import BadInput, FieldError, NotFound, WrongMoment
from kit.ids import new_id
from services.postal import cases, queries, rules
from services.postal.contract import ShipmentStatus
from services.postal.desk_contract import CitizenLink as LinkRecord
from services.postal.desk_contract import ConfirmationCode, WishEvent, WishKind
from services.postal.desk_models import CitizenLink, VisitAnswer, Wish
from services.postal.models import Event, Shipment, outbox

CODE_LIFE = timedelta(minutes=15)
MAX_WRONG_CODES = 5
MOST_WISHES_A_DAY = 5
NEEDS_CODE: frozenset[WishKind] = frozenset({"redirect", "authorise"})
"""Wishes that hand the papers to another person or address."""

_WAITING: frozenset[ShipmentStatus] = frozenset(
    {"attempt_failed", "ready_for_collection", "held", "at_delivery_office"}
)
_NOT_AT_THE_DOOR: frozenset[ShipmentStatus] = frozenset(
    {"booked", "collected", "at_origin_office", "in_transit", *_WAITING}
)
ALLOWED: Mapping[WishKind, frozenset[ShipmentStatus]] = {
    "redelivery": _WAITING,
    "hold": _NOT_AT_THE_DOOR - {"ready_for_collection", "held"},
    "redirect": _NOT_AT_THE_DOOR,
    "authorise": _NOT_AT_THE_DOOR | {"out_for_delivery"},
}
"""Until when each may be asked for: once the courier has set out, only who receives can still be changed."""

LATEST_REDELIVERY = timedelta(days=10)
ASKED_ABOUT_FOR = timedelta(days=14)
"""So long after a failed visit the citizen is asked whether anybody came."""


class LinkNotValid(NotFound):
    kind = "link-not-valid"


class TooLateForThis(WrongMoment):
    kind = "too-late-for-this-wish"


class NoSuchWish(NotFound):
    kind = "no-such-wish"


class TooManyWishes(WrongMoment):
    kind = "too-many-wishes"


class CodeUsedUp(WrongMoment):
    kind = "confirmation-code-used-up"


class NoSuchVisit(NotFound):
    kind = "no-such-visit"


# --- the link ------------------------------------------------------------------------------------


async def issue_link(session: AsyncSession, shipment_id: str, *, by: str, days: int, public_url: str) -> LinkRecord:
    """A new address of the citizen's own page. Earlier ones stay valid until they run out. Raises NoSuchShipment."""
    row = await queries.shipment(session, shipment_id)
    token = secrets.token_urlsafe(24)
    at = now()
    link = CitizenLink(
        token_sha256=_fingerprint(token),
        shipment_id=row.id,
        created_by=by,
        created_at=at,
        expires_at=at + timedelta(days=days),
    )
    session.add(link)
    await session.flush()
    return LinkRecord(url=f"{public_url}/my/{token}", expires_at=link.expires_at)


async def revoke_links(session: AsyncSession, shipment_id: str) -> None:
    """Make every address of a shipment invalid, such as one sent to the wrong telephone."""
    statement = update(CitizenLink).where(
        col(CitizenLink.shipment_id) == shipment_id, col(CitizenLink.revoked_at).is_(None)
    )
    await session.exec(statement.values(revoked_at=now()))


async def shipment_of_link(session: AsyncSession, token: str, *, lock: bool = False) -> Shipment:
    """The shipment that a link opens. Raises LinkNotValid: unknown, run out or withdrawn, without saying which."""
    query = select(CitizenLink).where(col(CitizenLink.token_sha256) == _fingerprint(token))
    link = (await session.exec(query)).one_or_none()
    if link is None or link.revoked_at is not None or link.expires_at <= now():
        raise LinkNotValid(
            "Liên kết không đúng hoặc đã hết hạn; hãy mở lại từ thông báo mới nhất hoặc đề nghị bưu cục gửi lại.",
            "The link is wrong or has expired; open it from the latest notice, or ask the post office for another.",
        )
    return await queries.shipment(session, link.shipment_id, lock=lock)


def _fingerprint(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


# --- wishes --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """A wish as it came from the form."""

    kind: WishKind
    on_day: date | None = None
    person_name: str = ""
    person_id_tail: str = ""
    address: str = ""
    commune: str = ""


def wishes_possible(row: Shipment) -> list[WishKind]:
    """What may be asked for now. A person or an address can be changed for results only: an agency does not move."""
    return [
        kind
        for kind, statuses in ALLOWED.items()
        if row.status in statuses and (row.direction == "return" or kind == "hold")
    ]


async def ask(session: AsyncSession, row: Shipment, asked: Asked, *, calendar: BusinessCalendar) -> Wish:
    """Enter a wish; an earlier one of the same kind gives way. `row` is locked by the caller.

    Raises TooLateForThis when the courier has set out or the journey is over, BadInput.
    """
    _check_moment(row, asked.kind)
    at = now()
    _check_content(row, asked, calendar=calendar, today=at.astimezone(calendar.zone).date())
    if asked.kind in NEEDS_CODE:
        await _check_number(session, row, since=at - timedelta(days=1))
    await session.exec(
        update(Wish)
        .where(
            col(Wish.shipment_id) == row.id,
            col(Wish.kind) == asked.kind,
            col(Wish.status).in_(("waiting_for_code", "accepted")),
        )
        .values(status="withdrawn", decided_at=at)
    )
    needs_code = asked.kind in NEEDS_CODE
    wish = Wish(
        id=new_id("wsh"),
        shipment_id=row.id,
        kind=asked.kind,
        status="waiting_for_code" if needs_code else "accepted",
        on_day=asked.on_day if asked.kind == "redelivery" else None,
        person_name=asked.person_name if asked.kind == "authorise" else None,
        person_id_tail=asked.person_id_tail if asked.kind == "authorise" else None,
        address=asked.address if asked.kind == "redirect" else None,
        commune=asked.commune if asked.kind == "redirect" else None,
        code_expires_at=at + CODE_LIFE if needs_code else None,
        created_at=at,
        decided_at=None if needs_code else at,
    )
    session.add(wish)
    await session.flush()
    await _tell(session, row, wish, "wish.confirmation_needed" if needs_code else "wish.accepted", at=at)
    return wish


def _check_moment(row: Shipment, kind: WishKind) -> None:
    if kind in wishes_possible(row):
        return
    if row.status == "out_for_delivery":
        raise TooLateForThis(
            "Bưu tá đang trên đường phát nên không đổi được nữa; nếu không gặp, bạn có thể hẹn lại sau lần phát này.",
            "The courier is on the way, so this can no longer be changed; if you miss the visit you can ask again.",
        )
    raise TooLateForThis(
        "Yêu cầu này không áp dụng được ở chặng hiện tại của bưu gửi.",
        "This cannot be asked for at the present stage of the item.",
    )


async def _check_number(session: AsyncSession, row: Shipment, *, since: datetime) -> None:
    """Each wish allows five wrong codes, so the number of wishes bounds what can be guessed."""
    query = select(func.count()).where(
        col(Wish.shipment_id) == row.id, col(Wish.kind).in_(sorted(NEEDS_CODE)), col(Wish.created_at) > since
    )
    if (await session.exec(query)).one() >= MOST_WISHES_A_DAY:
        raise TooManyWishes(
            "Bạn đã lập quá nhiều yêu cầu cần mã trong 24 giờ; hãy thử lại ngày mai hoặc gọi bưu cục.",
            "Too many requests that need a code within 24 hours; try tomorrow or call the post office.",
        )


def _check_content(row: Shipment, asked: Asked, *, calendar: BusinessCalendar, today: date) -> None:
    wrong: list[FieldError] = []
    if asked.kind == "redelivery":
        latest = min(today + LATEST_REDELIVERY, row.held_until or date.max)
        day = asked.on_day
        if day is None or not today < day <= latest or not calendar.is_working_day(day):
            said = f"{latest:%d/%m/%Y}"
            wrong.append(
                FieldError(
                    "on_day", f"chọn ngày làm việc sau hôm nay đến {said}", f"a working day after today to {said}"
                )
            )
    if asked.kind == "authorise":
        if not 2 <= len(asked.person_name) <= 120:
            wrong.append(FieldError("person_name", "ghi đủ họ tên", "give the full name"))
        if len(asked.person_id_tail) != 4 or not asked.person_id_tail.isascii() or not asked.person_id_tail.isdigit():
            wrong.append(FieldError("person_id_tail", "ghi 4 số cuối", "give the last 4 digits"))
    if asked.kind == "redirect":
        if not 5 <= len(asked.address) <= 300:
            wrong.append(FieldError("address", "ghi số nhà, đường, thôn hoặc tổ", "give house number and street"))
        if len(asked.commune) != 5 or not asked.commune.isascii() or not asked.commune.isdigit():
            wrong.append(FieldError("commune", "mã xã gồm 5 chữ số", "a commune code has 5 digits"))
    if wrong:
        raise BadInput(
            "Yêu cầu chưa đủ; hãy sửa các mục được nêu.", "The request is incomplete; mend what is named.", fields=wrong
        )


def confirmation_code(secret: str, wish_id: str) -> str:
    """Six digits that confirm a wish. Computed, never stored; without the secret it cannot be told from chance."""
    digest = hmac.new(secret.encode(), f"wish:{wish_id}".encode(), hashlib.sha256).digest()
    return f"{int.from_bytes(digest[:8], 'big') % 1_000_000:06d}"


async def code_of(session: AsyncSession, wish_id: str, *, secret: str) -> ConfirmationCode:
    """The code for whoever sends it to the citizen. Raises NoSuchWish, CodeUsedUp when it is no longer waited for."""
    wish = await session.get(Wish, wish_id)
    if wish is None:
        raise NoSuchWish("Không có yêu cầu này.", "There is no such wish.")
    if wish.status != "waiting_for_code" or wish.code_expires_at is None or wish.code_expires_at <= now():
        raise CodeUsedUp(
            "Mã này không còn hiệu lực; hãy lập yêu cầu mới.", "This code is no longer valid; ask for a new one."
        )
    return ConfirmationCode(wish_id=wish.id, code=confirmation_code(secret, wish.id), expires_at=wish.code_expires_at)


async def confirm(session: AsyncSession, row: Shipment, wish_id: str, code: str, *, secret: str) -> Wish:
    """Confirm a wish with its code. `row` is locked: a courier who sets out at this moment is before or after it.

    Five wrong codes end the wish; the count is kept even though the answer is a refusal, so the caller commits it.
    Returns the wish: `accepted`, still `waiting_for_code` (a wrong code), `failed`, or `overtaken`. Raises NoSuchWish.
    """
    query = select(Wish).where(col(Wish.id) == wish_id, col(Wish.shipment_id) == row.id).with_for_update()
    wish = (await session.exec(query.execution_options(populate_existing=True))).one_or_none()
    if wish is None:
        raise NoSuchWish("Không có yêu cầu này.", "There is no such wish.")
    if wish.status != "waiting_for_code":
        return wish
    at = now()
    if wish.code_expires_at is None or wish.code_expires_at <= at:
        wish.status, wish.decided_at = "failed", at
    elif wish.kind not in wishes_possible(row):
        wish.status, wish.decided_at = "overtaken", at
    elif hmac.compare_digest(code.strip().encode(), confirmation_code(secret, wish.id).encode()):
        wish.status, wish.decided_at = "accepted", at
    else:
        wish.wrong_codes += 1
        if wish.wrong_codes >= MAX_WRONG_CODES:
            wish.status, wish.decided_at = "failed", at
    session.add(wish)
    await session.flush()
    if wish.status == "accepted":
        await _tell(session, row, wish, "wish.accepted", at=at)
    return wish


async def wishes_of(session: AsyncSession, shipment_id: str) -> list[Wish]:
    """Wishes of a shipment, newest first."""
    query = select(Wish).where(col(Wish.shipment_id) == shipment_id).order_by(col(Wish.id).desc())
    return list((await session.exec(query)).all())


async def settle(session: AsyncSession, shipment_id: str, *, at: datetime) -> None:
    """At the end of a journey no wish is left alive. Raises NoSuchShipment."""
    row = await queries.shipment(session, shipment_id)
    if row.status not in rules.END_STRENGTH:
        return
    for status, becomes in (("accepted", "done"), ("waiting_for_code", "overtaken")):
        alive = update(Wish).where(col(Wish.shipment_id) == row.id, col(Wish.status) == status)
        await session.exec(alive.values(status=becomes, decided_at=at))


async def _tell(session: AsyncSession, row: Shipment, wish: Wish, kind: str, *, at: datetime) -> None:
    identity = new_id("evt")
    event = WishEvent(
        event_id=identity,
        dossier_code=row.dossier_code,
        shipment_id=row.id,
        direction=row.direction,
        status=wish.kind,
        wish_id=wish.id,
        occurred_at=at,
    )
    data = event.model_dump(mode="json")
    await outbox.announce(session, kind, subject=row.dossier_code, data=data, event_id=identity)


# --- "were you visited?" -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Visit:
    """A failed visit, and what the citizen says about it: None while not answered."""

    event: Event
    visited: bool | None


async def visits(session: AsyncSession, row: Shipment) -> list[Visit]:
    """Failed visits of the last two weeks at the citizen's door, newest first."""
    log = (await queries.events_of(session, [row.id]))[row.id]
    at_door = "pickup_failed" if row.direction == "outbound" else "attempt_failed"
    since = now() - ASKED_ABOUT_FOR
    found = [e.event for e in log if e.applied and e.event.kind == at_door and e.event.occurred_at >= since]
    query = select(VisitAnswer).where(col(VisitAnswer.shipment_id) == row.id)
    answers = {answer.event_id: answer.visited for answer in (await session.exec(query)).all()}
    newest_first = sorted(found, key=lambda event: event.occurred_at, reverse=True)
    return [Visit(event, answers.get(event.id)) for event in newest_first]


async def answer_visit(session: AsyncSession, row: Shipment, event_id: str, *, visited: bool, note: str) -> bool:
    """Keep the citizen's answer, once; "no" opens a dispute. False when it was answered before. Raises NoSuchVisit."""
    visit = next((found for found in await visits(session, row) if found.event.id == event_id), None)
    if visit is None:
        raise NoSuchVisit(
            "Không tìm thấy lần phát này trong 14 ngày qua.", "There is no such visit within the last 14 days."
        )
    at = now()
    statement = insert(VisitAnswer).values(
        event_id=event_id,
        shipment_id=row.id,
        courier=visit.event.actor,
        visited=visited,
        note=note,
        answered_at=at,
    )
    once = statement.on_conflict_do_nothing(index_elements=["event_id"]).returning(col(VisitAnswer.event_id))
    if (await session.exec(once)).one_or_none() is None:
        return False
    if not visited:
        await cases.open_case(
            session,
            row,
            "dispute",
            key=f"{row.id}:dispute:{event_id}",
            due_at=visit.event.occurred_at,
            at=at,
            told_at=at,
            courier=visit.event.actor,
        )
    return True
