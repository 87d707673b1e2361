"""JSON routes about the log itself: published seals, receipts that prove themselves, corrections, bags."""

import json
from dataclasses import asdict
from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Response

from kit.auth import Principal, require
from kit.db import SessionDep, UnitOfWorkRoute, now
from services.postal import bags, corrections, custody_contract, exports, queries, roots, s10
from services.postal.api import NATURAL_KEY, Dispatcher, Identifier, TermsDep, sender_of
from services.postal.storable import check_storable

router = APIRouter(route_class=UnitOfWorkRoute)

READER = [Depends(require("postal:read"))]
Handler = Annotated[Principal, Depends(require("postal:dispatch", "postal:write"))]
Day = Annotated[date, Path(description="YYYY-MM-DD, Vietnamese calendar")]
ReceiptCode = Annotated[str, Path(pattern=r"^[A-Z0-9]{6,20}$")]
Number = Annotated[str, Query(alias="s10", min_length=13, max_length=20, pattern=r"^[A-Za-z0-9 ]+$")]
Limit = Annotated[int, Query(ge=1, le=400)]
Status = Annotated[Literal["proposed", "confirmed", "refused"] | None, Query()]


@router.get("/v1/custody/roots", tags=["custody"], summary="Published seals, newest first; needs no sign-in")
async def list_roots(session: SessionDep, before: date | None = None, limit: Limit = 31) -> custody_contract.RootPage:
    """One seal a day, each bound to the one before: keep any of them, and nothing up to it can change unseen."""
    return custody_contract.RootPage(items=tuple(await roots.roots(session, before=before, limit=limit)))


@router.get("/v1/custody/roots/{day}", tags=["custody"], summary="The published seal of a day; needs no sign-in")
async def get_root(day: Day, session: SessionDep) -> custody_contract.Root:
    """404 until the day after."""
    return await roots.root(session, day)


@router.get(
    "/v1/shipments/{shipment_id}/receipt/bundle",
    tags=["custody"],
    summary="The receipt of the pickup with its proof",
    dependencies=READER,
)
async def get_bundle(shipment_id: Identifier, session: SessionDep, terms: TermsDep) -> custody_contract.ReceiptBundle:
    """To be verified offline: see `/verify`. The proof against the day's seal is there from the next day on."""
    return await roots.receipt_bundle(session, shipment_id, issuer=terms.public_url)


@router.get("/v1/receipts/{code}", tags=["custody"], summary="The same for whoever holds the receipt; no sign-in")
async def get_bundle_by_code(
    code: ReceiptCode, number: Number, session: SessionDep, terms: TermsDep
) -> custody_contract.ReceiptBundle:
    """Needs the code of the receipt and the item number: 404 unless both are right."""
    return await roots.bundle_by_code(session, code, s10.compact(number), issuer=terms.public_url)


@router.post(
    "/v1/shipments/{shipment_id}/corrections",
    status_code=201,
    tags=["corrections"],
    summary="Ask to have facts set aside",
)
async def propose_correction(
    shipment_id: Identifier, body: custody_contract.ProposeCorrection, session: SessionDep, caller: Dispatcher
) -> custody_contract.Correction:
    """Changes nothing yet: another dispatcher confirms. One open correction a shipment."""
    check_storable(body)
    row = await corrections.propose_correction(session, shipment_id, body, proposed_by=caller.actor)
    return corrections.correction_record(row)


@router.get("/v1/corrections", tags=["corrections"], summary="Corrections, newest first", dependencies=READER)
async def list_corrections(
    session: SessionDep,
    status: Status = None,
    shipment_id: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_]{1,64}$")] = None,
) -> custody_contract.CorrectionPage:
    """At most 200."""
    rows = await corrections.corrections(session, status=status, shipment_id=shipment_id)
    return custody_contract.CorrectionPage(items=tuple(map(corrections.correction_record, rows)))


@router.post(
    "/v1/corrections/{correction_id}/decision", tags=["corrections"], summary="Confirm or refuse, as another person"
)
async def decide_correction(
    correction_id: Identifier, body: custody_contract.DecideCorrection, session: SessionDep, caller: Dispatcher
) -> custody_contract.Correction:
    """409 for the one who asked. The facts stay in the log, marked; the state is folded without them."""
    row = await corrections.decide_correction(session, correction_id, body, decided_by=caller.actor)
    return corrections.correction_record(row)


@router.post("/v1/bags", status_code=201, tags=["bags"], summary="Seal envelopes in a bag", openapi_extra=NATURAL_KEY)
async def close_bag(
    body: custody_contract.CloseBag, response: Response, session: SessionDep, terms: TermsDep, caller: Handler
) -> custody_contract.Bag:
    """422 names every envelope that cannot go in, and then nothing is in the bag."""
    check_storable(body)
    bag, made = await bags.close_bag(session, body, sender=sender_of(caller), terms=terms)
    if not made:
        response.status_code = 200
    return await bags.bag_record(session, bag.id)


@router.get("/v1/bags/{bag_id}", tags=["bags"], summary="A bag and its manifest", dependencies=READER)
async def get_bag(bag_id: Identifier, session: SessionDep) -> custody_contract.Bag:
    """Count in, count out, and by number what was missing or too much."""
    return await bags.bag_record(session, bag_id)


@router.post("/v1/bags/{bag_id}/open", tags=["bags"], summary="Count a bag out")
async def open_bag(
    bag_id: Identifier, body: custody_contract.OpenBag, session: SessionDep, terms: TermsDep, caller: Handler
) -> custody_contract.Bag:
    """What is missing is searched for at once; what is too much is taken in and named."""
    check_storable(body)
    bag = await bags.open_bag(session, bag_id, body, sender=sender_of(caller), terms=terms)
    return await bags.bag_record(session, bag.id)


@router.get(
    "/v1/custody/gaps",
    tags=["custody"],
    summary="Handovers that nobody has accepted, oldest first",
    dependencies=READER,
)
async def list_gaps(
    session: SessionDep, hours: Annotated[int, Query(ge=0, le=24 * 90)] = 0
) -> custody_contract.CustodyGaps:
    """Older than `hours`; at most 200. Whoever released still answers for the envelope."""
    return custody_contract.CustodyGaps(items=tuple(await bags.custody_gaps(session, hours=hours, at=now())))


@router.get(
    "/v1/shipments/{shipment_id}/epcis",
    tags=["exports"],
    summary="A leg as an EPCIS 2.0 document (JSON-LD)",
    response_class=Response,
    responses={200: {"content": {"application/ld+json": {"schema": {"type": "object"}}}}},
    dependencies=READER,
)
async def get_epcis(shipment_id: Identifier, session: SessionDep, terms: TermsDep) -> Response:
    """What, when, where, why and who of every fact that counted; facts set aside carry their error declaration."""
    row = await queries.shipment(session, shipment_id)
    log = (await queries.log_of(session, [row.id]))[row.id]
    document = exports.epcis(row, log, public_url=terms.public_url, at=now())
    return Response(json.dumps(document, ensure_ascii=False), media_type="application/ld+json")


@router.get(
    "/v1/shipments/{shipment_id}/emsevt", tags=["exports"], summary="A leg in EMSEVT codes", dependencies=READER
)
async def get_emsevt(shipment_id: Identifier, session: SessionDep) -> custody_contract.EmsevtEvents:
    """Only facts that counted and have a code; an unsuccessful delivery carries reason and measure."""
    row = await queries.shipment(session, shipment_id)
    log = (await queries.log_of(session, [row.id]))[row.id]
    events = tuple(custody_contract.EmsevtEvent(**asdict(event)) for event in exports.emsevt(row, log))
    return custody_contract.EmsevtEvents(events=events)
