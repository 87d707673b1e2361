"""JSON routes of the postal service."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from kit.auth import Principal, require
from kit.db import SessionDep, UnitOfWorkRoute, now
from kit.errors import Forbidden
from kit.pagination import DEFAULT_LIMIT, MAX_LIMIT
from services.postal import (
    cases,
    claims,
    contract,
    deposits,
    label_images,
    labels,
    operations,
    queries,
    recording,
    rules,
)
from services.postal.storable import check_storable

router = APIRouter(route_class=UnitOfWorkRoute)

NATURAL_KEY = {"x-idempotency": "optional"}
"""The body carries a key that is unique for ever; an Idempotency-Key may be sent as well."""

Identifier = Annotated[str, Path(pattern=r"^[A-Za-z0-9_]{1,64}$")]
DossierPath = Annotated[str, Path(pattern=contract.DOSSIER_CODE_PATTERN)]
NumberPath = Annotated[str, Path(alias="s10", min_length=13, max_length=20, pattern=r"^[A-Za-z0-9 ]+$")]
Cursor = Annotated[str | None, Query(max_length=200, pattern=r"^[A-Za-z0-9_-]+$")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
DossierFilter = Annotated[str | None, Query(pattern=contract.DOSSIER_CODE_PATTERN)]
CommuneFilter = Annotated[str | None, Query(pattern=r"^[0-9]{5}$")]

READER = [Depends(require("postal:read"))]
WRITER = [Depends(require("postal:write"))]
ROUND = [Depends(require("postal:courier", "postal:dispatch"))]
OFFICE = [Depends(require("postal:write", "postal:dispatch"))]
LABELLER = [Depends(require("postal:read", "postal:courier", "postal:dispatch"))]
Office = Annotated[Principal, Depends(require("postal:write", "postal:dispatch"))]
Dispatcher = Annotated[Principal, Depends(require("postal:dispatch"))]
Field = Annotated[Principal, Depends(require("postal:courier", "postal:write"))]
Till = Annotated[Principal, Depends(require("postal:courier", "postal:write", "postal:dispatch"))]


def terms_of(request: Request) -> rules.Terms:
    """The terms of this installation."""
    return cast("rules.Terms", request.app.state.terms)


TermsDep = Annotated[rules.Terms, Depends(terms_of)]


def sender_of(caller: Principal) -> recording.Sender:
    """In which capacity a caller brings facts: the strongest of the rights held."""
    source: rules.Source = "courier"
    if caller.may("postal:dispatch"):
        source = "dispatcher"
    elif caller.may("postal:write"):
        source = "carrier"
    return recording.Sender(caller.actor, source)


# --- contacts and shipments ----------------------------------------------------------------------


@router.put(
    "/v1/contacts/{dossier_code}",
    tags=["contacts"],
    summary="Keep where the citizen of a dossier lives",
    openapi_extra=NATURAL_KEY,
    dependencies=WRITER,
)
async def put_contact(dossier_code: DossierPath, body: contract.PutContact, session: SessionDep) -> contract.Contact:
    """The same content again gives the same contact; other content is refused with 409 and the names of the fields."""
    check_storable(body)
    row = await operations.put_contact(session, dossier_code, body)
    return contract.Contact(id=row.id, dossier_code=row.dossier_code, commune=row.commune)


@router.post(
    "/v1/shipments",
    status_code=201,
    tags=["shipments"],
    summary="Book one leg",
    openapi_extra=NATURAL_KEY,
    dependencies=WRITER,
)
async def create_shipment(
    body: contract.CreateShipment, response: Response, session: SessionDep, terms: TermsDep
) -> contract.Shipment:
    """201 for a new booking, 200 with the first shipment when the key was used before with the same content."""
    check_storable(body)
    row, made = await operations.book_shipment(session, body, hold_days=terms.hold_days)
    if not made:
        response.status_code = 200
    return await queries.one_shipment(session, row, public_url=terms.public_url)


@router.get("/v1/shipments", tags=["shipments"], summary="Shipments, newest first", dependencies=READER)
async def list_shipments(
    session: SessionDep,
    terms: TermsDep,
    dossier_code: DossierFilter = None,
    status: contract.ShipmentStatus | None = None,
    direction: contract.Direction | None = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> contract.ShipmentPage:
    """One page; `next_cursor` leads to the next."""
    chosen = queries.ShipmentFilter(dossier_code, status, direction)
    return await queries.shipment_page(session, chosen, cursor=cursor, limit=limit, public_url=terms.public_url)


@router.get(
    "/v1/shipments/{shipment_id}", tags=["shipments"], summary="A shipment with its whole log", dependencies=READER
)
async def get_shipment(shipment_id: Identifier, session: SessionDep, terms: TermsDep) -> contract.ShipmentDetail:
    """State, custodian, checklist, and every fact including those that did not fit."""
    return await queries.shipment_detail(session, shipment_id, public_url=terms.public_url)


@router.post("/v1/shipments/{shipment_id}/cancel", tags=["shipments"], summary="Cancel before pickup")
async def cancel_shipment(
    shipment_id: Identifier, session: SessionDep, terms: TermsDep, caller: Office
) -> contract.Shipment:
    """409 once the post holds the papers: they then come back by a return leg."""
    row = await operations.cancel_shipment(session, shipment_id, sender=sender_of(caller), terms=terms)
    return await queries.one_shipment(session, row, public_url=terms.public_url)


@router.get(
    "/v1/shipments/{shipment_id}/label.pdf",
    tags=["shipments"],
    summary="The label, A6 or A5",
    response_class=Response,
    responses={200: {"content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}}},
    dependencies=LABELLER,
)
async def get_label(
    shipment_id: Identifier, session: SessionDep, terms: TermsDep, size: labels.LabelSize = "a6"
) -> Response:
    """Item number as Code 128 and in words, QR with the label's code, where to deliver; nothing about the dossier."""
    label = await operations.label(session, shipment_id, terms=terms)
    headers = {"Content-Disposition": f'inline; filename="{label.s10}.pdf"'}
    return Response(labels.render_label(label, size), media_type="application/pdf", headers=headers)


@router.get(
    "/v1/shipments/{shipment_id}/label.png",
    tags=["shipments"],
    summary="The label for a thermal printer, 203 dpi",
    response_class=Response,
    responses={200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}},
    dependencies=LABELLER,
)
async def get_label_image(
    shipment_id: Identifier, session: SessionDep, terms: TermsDep, size: labels.LabelSize = "a6"
) -> Response:
    """The same label in black dots: every bar is a whole number of them, so that nothing blurs in print."""
    label = await operations.label(session, shipment_id, terms=terms)
    headers = {"Content-Disposition": f'inline; filename="{label.s10}.png"'}
    return Response(label_images.render_image(label, size), media_type="image/png", headers=headers)


@router.get(
    "/v1/shipments/{shipment_id}/receipt", tags=["shipments"], summary="Receipt of the pickup", dependencies=READER
)
async def get_receipt(shipment_id: Identifier, session: SessionDep) -> contract.PickupReceipt:
    """Proof of acceptance: what was counted, the seal, both signatures; 409 before the pickup."""
    return await queries.receipt(session, shipment_id)


# --- facts from the field ------------------------------------------------------------------------


@router.post(
    "/v1/events",
    tags=["events"],
    summary="Facts from couriers' devices and the carrier, up to 3,000 at once",
    openapi_extra={"x-idempotency": "none"},
)
async def post_events(
    body: contract.PostEvents, request: Request, session: SessionDep, terms: TermsDep, caller: Field
) -> contract.EventResults:
    """Each item has its own answer: `stored`, `duplicate`, `conflict`, `unknown_item`. Sending again is harmless."""
    check_storable(body)
    results = await recording.record_events(
        session,
        body.events,
        sender=sender_of(caller),
        at=now(),
        terms=terms,
        clocks={clock.device_id: clock.skew_ms for clock in body.clocks},
    )
    counter = request.app.state.events_received
    for result in results:
        counter.labels(result.result).inc()
    return contract.EventResults(results=tuple(results))


@router.get("/v1/tracking/{s10}", tags=["tracking"], summary="Where an item is; needs no sign-in")
async def get_tracking(number: NumberPath, session: SessionDep) -> contract.Tracking:
    """State, custodian, next step and scans: no name, no address, nothing about the dossier."""
    return await queries.tracking(session, number)


@router.get(
    "/v1/pickups", tags=["rounds"], summary="Today's round: stops to pick up, deliver, hand in", dependencies=ROUND
)
async def list_stops(
    session: SessionDep,
    task: contract.Task | None = None,
    commune: CommuneFilter = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> contract.StopPage:
    """Names, phones and addresses of the stops, oldest booking first; for couriers and dispatchers only."""
    return await queries.stops(session, task=task, commune=commune, cursor=cursor, limit=limit)


@router.post(
    "/v1/deposits",
    status_code=201,
    tags=["deposits"],
    summary="Hand in the cash of a shift",
    openapi_extra=NATURAL_KEY,
)
async def create_deposit(
    body: contract.CreateDeposit, response: Response, session: SessionDep, caller: Till
) -> contract.Deposit:
    """Counts all undeposited cash of the courier; a difference is recorded. Couriers deposit only their own."""
    check_storable(body)
    if body.courier != caller.actor and not (caller.may("postal:write") or caller.may("postal:dispatch")):
        raise Forbidden(
            "Bưu tá chỉ được nộp tiền do chính mình thu; hãy dùng tài khoản của bưu tá đó hoặc nhờ điều phối.",
            "A courier deposits only cash of his own; use that courier's account or ask a dispatcher.",
        )
    row, made = await deposits.make_deposit(session, body, deposited_by=caller.actor)
    if not made:
        response.status_code = 200
    return contract.Deposit.model_validate(row, from_attributes=True)


# --- claims --------------------------------------------------------------------------------------


@router.post("/v1/claims", status_code=201, tags=["claims"], summary="Claim compensation", openapi_extra=NATURAL_KEY)
async def create_claim(
    body: contract.CreateClaim, request: Request, response: Response, session: SessionDep, caller: Office
) -> contract.Claim:
    """For a shipment lost (declared or presumed), damaged or late, within the law's time; answered in two months."""
    check_storable(body)
    plan = cast("cases.Plan", request.app.state.plan)
    row, made = await claims.submit_claim(session, body, created_by=caller.actor, plan=plan)
    if not made:
        response.status_code = 200
    return queries.claim_record(row)


@router.get("/v1/claims", tags=["claims"], summary="Claims, newest first", dependencies=READER)
async def list_claims(
    session: SessionDep,
    status: contract.ClaimStatus | None = None,
    dossier_code: DossierFilter = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> contract.ClaimPage:
    """One page; `next_cursor` leads to the next."""
    page = await queries.claims(session, status=status, dossier_code=dossier_code, cursor=cursor, limit=limit)
    return contract.ClaimPage(items=tuple(map(queries.claim_record, page.items)), next_cursor=page.next_cursor)


@router.get("/v1/claims/{claim_id}", tags=["claims"], summary="A claim", dependencies=READER)
async def get_claim(claim_id: Identifier, session: SessionDep) -> contract.Claim:
    """Status, compensation and the legal dates."""
    return queries.claim_record(await queries.claim(session, claim_id))


@router.post("/v1/claims/{claim_id}/decision", tags=["claims"], summary="Approve or reject a claim")
async def decide_claim(
    claim_id: Identifier, body: contract.DecideClaim, session: SessionDep, caller: Dispatcher
) -> contract.Claim:
    """An approved claim is to be paid within 30 days. A decision stands: another one is refused."""
    check_storable(body)
    return queries.claim_record(await claims.decide_claim(session, claim_id, body, decided_by=caller.actor))


@router.post(
    "/v1/claims/{claim_id}/paid", tags=["claims"], summary="Note that the compensation was paid", dependencies=OFFICE
)
async def pay_claim(claim_id: Identifier, session: SessionDep) -> contract.Claim:
    """Only after approval; again is harmless."""
    return queries.claim_record(await claims.mark_claim_paid(session, claim_id))
