"""Orders with a carrier: intent, call, result; and messages that the carrier does not bring itself."""

import asyncio
import logging
from collections.abc import Mapping

from kit.db import Sessions, now, transaction
from kit.errors import NotFound, Unavailable, WrongMoment
from kit.http import Refused, Unreachable
from services.postal import carrier_intake, queries, rules
from services.postal.carriers import Carrier, Order
from services.postal.models import Shipment

log = logging.getLogger(__name__)

_POLL_SECONDS = 60


class NoSuchCarrier(NotFound):
    kind = "no-such-carrier"


class CarrierRefused(WrongMoment):
    kind = "carrier-refused"


def carrier_named(carriers: Mapping[str, Carrier], name: str) -> Carrier:
    """The carrier that this installation works with under a name. Raises NoSuchCarrier."""
    found = carriers.get(name)
    if found is None:
        raise NoSuchCarrier(
            "Hệ thống này không làm việc với đơn vị vận chuyển đó.",
            "That carrier is not set up here.",
        )
    return found


async def place_order(sessions: Sessions, carrier: Carrier, shipment_id: str) -> Shipment:
    """Hand a booked leg to a carrier. The same again gives the same order: the carrier knows it by our shipment's id.

    Raises NoSuchShipment, CarrierRefused, Unavailable (ask again: nothing is ordered twice).
    """
    async with transaction(sessions) as session:
        row = await queries.shipment(session, shipment_id)
        if row.carrier_reference is not None:
            _same_carrier(row, carrier)
            return row
        if row.status not in rules.BEFORE_COLLECTION:
            raise CarrierRefused(
                "Bưu gửi đã được nhận hoặc đã kết thúc nên không chuyển cho đơn vị vận chuyển được nữa.",
                "The envelope was picked up or its journey is over; it can no longer be handed to a carrier.",
            )
        person = await queries.contact(session, row.contact_id)
        outbound = row.direction == "outbound"
        order = Order(
            key=row.id,
            s10=row.s10,
            sender_commune=person.commune if outbound else row.agency_commune,
            receiver_commune=row.agency_commune if outbound else person.commune,
            weight_grams=row.weight_grams,
            collect_dong=row.cash_due_dong,
        )
    try:
        booked = await carrier.create_order(order)
    except Refused as error:
        log.warning("the carrier refused an order", extra={"status": error.status})
        raise CarrierRefused(
            "Đơn vị vận chuyển từ chối đơn này; hãy kiểm tra địa bàn và khối lượng.",
            "The carrier refuses this order; check the communes and the weight.",
        ) from error
    except Unreachable as error:
        raise Unavailable(
            "Đơn vị vận chuyển chưa trả lời; hãy thử lại, đơn không bị tạo hai lần.",
            "The carrier does not answer; try again, nothing is ordered twice.",
            headers={"Retry-After": "10"},
        ) from error
    async with transaction(sessions) as session:
        row = await queries.shipment(session, shipment_id, lock=True)
        if row.carrier_reference is None:
            row.carrier, row.carrier_reference = carrier.name, booked.reference
            row.version += 1
        _same_carrier(row, carrier)
    return row


def _same_carrier(row: Shipment, carrier: Carrier) -> None:
    if row.carrier != carrier.name:
        raise CarrierRefused(
            "Bưu gửi này đã được giao cho một đơn vị vận chuyển khác.",
            "This envelope was handed to another carrier before.",
        )


async def poll_once(
    sessions: Sessions, carrier: Carrier, cursor: str, *, terms: rules.Terms
) -> tuple[carrier_intake.Taken, str]:
    """Fetch what a carrier has to say after a cursor and take it in; gives the next cursor."""
    events, following = await carrier.events_since(cursor)
    async with transaction(sessions) as session:
        taken = await carrier_intake.take_in(session, carrier.name, events, at=now(), terms=terms)
    return taken, following


async def keep_polling(sessions: Sessions, carrier: Carrier, *, terms: rules.Terms) -> None:
    """Fetch for as long as the service runs, from the beginning: what was taken in before changes nothing."""
    cursor = ""
    while True:
        try:
            _, cursor = await poll_once(sessions, carrier, cursor, terms=terms)
        except (Refused, Unreachable) as error:
            log.warning("a carrier's messages could not be fetched", extra={"carrier": carrier.name}, exc_info=error)
        except Exception:  # the next round tries again from the same cursor
            log.exception("a carrier's messages could not be taken in")
        await asyncio.sleep(_POLL_SECONDS)
