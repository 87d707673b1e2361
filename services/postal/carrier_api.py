"""JSON routes for carriers: orders placed with them, and the messages they bring."""

from collections.abc import Mapping
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Path, Request

from kit.db import SessionDep, SessionsDep, UnitOfWorkRoute, now
from services.postal import carrier_intake, carrier_orders, contract, custody_contract, queries
from services.postal.api import OFFICE, Identifier, TermsDep
from services.postal.carriers import Carrier

router = APIRouter(route_class=UnitOfWorkRoute)

CarrierName = Annotated[str, Path(pattern=r"^[a-z][a-z0-9]{1,30}$")]


def _carriers(request: Request) -> Mapping[str, Carrier]:
    return cast("Mapping[str, Carrier]", request.app.state.carriers)


CarriersDep = Annotated[Mapping[str, Carrier], Depends(_carriers)]


@router.post(
    "/v1/shipments/{shipment_id}/carriers/{carrier}",
    tags=["carriers"],
    summary="Hand a booked leg to a carrier",
    dependencies=OFFICE,
)
async def place_order(
    shipment_id: Identifier, carrier: CarrierName, sessions: SessionsDep, terms: TermsDep, carriers: CarriersDep
) -> contract.Shipment:
    """The same again is the same order. 409 when the carrier says no, 503 when it does not answer."""
    row = await carrier_orders.place_order(sessions, carrier_orders.carrier_named(carriers, carrier), shipment_id)
    async with sessions() as session:
        return await queries.one_shipment(session, row, public_url=terms.public_url)


@router.post(
    "/v1/carriers/{carrier}/events",
    tags=["carriers"],
    summary="Messages of a carrier, signed by it",
    openapi_extra={"x-idempotency": "none"},
)
async def receive_events(
    carrier: CarrierName, request: Request, session: SessionDep, terms: TermsDep, carriers: CarriersDep
) -> custody_contract.TakenIn:
    """Every message is stored as it came; an unknown code is kept and told to a dispatcher. Again is harmless."""
    body, at = await request.body(), now()
    sender = carrier_orders.carrier_named(carriers, carrier)
    events = sender.read_webhook(request.headers, body, at=at)
    taken = await carrier_intake.take_in(session, sender.name, events, at=at, terms=terms)
    return custody_contract.TakenIn.model_validate(taken, from_attributes=True)
