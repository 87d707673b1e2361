"""The dispatcher's pages: problems first, then shipments, one shipment with its proof, and claims."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response

from kit.auth import Principal
from kit.db import SessionDep, UnitOfWorkRoute, now
from kit.errors import Problem
from kit.pagination import DEFAULT_LIMIT
from kit.web import LOCAL_ZONE, FormDep, flash, see_other, signed_in
from services.postal import claims, contract, custody, desk_queries, labels, operations, queries, rules, s10, wording
from services.postal.models import Event, Shipment
from services.postal.pages.proofs import proof_lines
from services.postal.pages.shared import PAGE_FORM, Identifier, PlanDep, TermsDep, field_of, new_ticket, record, show

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse)

Dispatcher = Annotated[Principal, Depends(signed_in("postal:dispatch"))]
AT_THE_DESK = [Depends(signed_in("postal:dispatch"))]
Cursor = Annotated[str, Query(max_length=200, pattern=r"^[A-Za-z0-9_-]*$")]

DESK_MOVES: dict[str, tuple[contract.EventKind, ...]] = {
    "held": ("released", "return_started", "investigation_opened"),
    "investigating": ("found", "declared_lost", "declared_damaged"),
    "returning": ("investigation_opened",),
}
"""What a dispatcher may decide in a state; elsewhere on the way a return or a search can be started."""


@router.get("/")
async def home(person: Annotated[Principal, Depends(signed_in())]) -> Response:
    """Dispatchers begin at the problems, couriers at their round."""
    return see_other("/board" if person.may("postal:dispatch") else "/courier")


@router.get("/board", dependencies=AT_THE_DESK)
async def board(request: Request, session: SessionDep, terms: TermsDep) -> Response:
    """Problems first, then how many items are in each state."""
    shown = await queries.board(session, at=now(), silence_hours=terms.silence_hours)
    counts = await desk_queries.case_counts(session)
    return show(
        request,
        "board.html.j2",
        board=shown,
        cases=sum(counts.values()),
        disputes=counts.get("dispute", 0),
        silence_hours=terms.silence_hours,
        anomaly_words=wording.anomaly_words,
        event_words=wording.EVENT,
    )


@router.get("/shipments", dependencies=AT_THE_DESK)
async def shipments(
    request: Request,
    session: SessionDep,
    q: Annotated[str, Query(max_length=64)] = "",
    status: Annotated[str, Query(max_length=40)] = "",
    direction: Annotated[str, Query(max_length=10)] = "",
    cursor: Cursor = "",
) -> Response:
    """A list to filter by dossier, state and direction; an item number typed leads straight to the shipment."""
    typed = q.replace("\x00", "").strip()
    if s10.is_valid(typed):
        try:
            return see_other(f"/shipments/{(await queries.shipment_by_number(session, typed)).id}")
        except queries.NoSuchShipment:
            pass
    chosen = queries.ShipmentFilter(
        typed or None,
        status if status in wording.STATUS else None,
        direction if direction in wording.DIRECTION else None,
    )
    page = await queries.shipments(session, chosen, cursor=cursor or None, limit=DEFAULT_LIMIT)
    return show(
        request,
        "shipments.html.j2",
        rows=list(page.items),
        next_cursor=page.next_cursor,
        typed=typed,
        chosen=chosen,
    )


@router.get("/shipments/{shipment_id}", dependencies=AT_THE_DESK)
async def shipment(request: Request, shipment_id: Identifier, session: SessionDep) -> Response:
    """Everything about one shipment: who holds it, what is inside, every fact, and whether the log is unaltered."""
    row = await queries.shipment(session, shipment_id)
    log = (await queries.events_of(session, [row.id]))[row.id]
    newest_first = sorted(log, key=lambda entry: queries.fact_of(entry.event).order, reverse=True)
    claims_made = await queries.claims(session, status=None, shipment_id=row.id, cursor=None, limit=20)
    return show(
        request,
        "shipment.html.j2",
        row=row,
        pieces=(await queries.pieces_of(session, [row.id]))[row.id],
        log=[(entry, _told(entry.event), wording.anomaly_words(entry.anomaly)) for entry in newest_first],
        needs_attention=wording.needs_attention,
        evidence=_evidence_lines(row, log),
        proofs=await proof_lines(session, row.id, folder="/v1/evidence"),
        check=queries.check_chain(row, log),
        claims=list(claims_made.items),
        claim_words=wording.CLAIM_STATUS,
        moves=[(kind, wording.EVENT[kind]) for kind in _moves(row)],
        ticket=new_ticket,
    )


def _moves(row: Shipment) -> tuple[contract.EventKind, ...]:
    if row.status in rules.BEFORE_COLLECTION or row.status in rules.END_STRENGTH:
        return ()
    return DESK_MOVES.get(row.status, ("return_started", "investigation_opened"))


def _told(event: Event) -> wording.Words:
    """A fact in words, with its reason and measure."""
    vi, en = wording.EVENT[cast("contract.EventKind", event.kind)]
    if event.reason is not None:
        reason = rules.REASONS[cast("contract.ReasonCode", event.reason)]
        vi, en = f"{vi}: {reason.vi.lower()}", f"{en}: {reason.en.lower()}"
    if event.measure is not None:
        measure = rules.MEASURES[cast("contract.MeasureCode", event.measure)]
        vi, en = f"{vi} – {measure[0]}", f"{en} – {measure[1]}"
    return vi, en


def _evidence_lines(row: Shipment, log: list[queries.LoggedEvent]) -> list[tuple[wording.Words, wording.Words]]:
    """What proves pickup and delivery, in words."""
    lines: list[tuple[wording.Words, wording.Words]] = []
    for entry in log:
        fact = queries.fact_of(entry.event)
        if not entry.applied or fact.evidence is None:
            continue
        if fact.kind in rules.COLLECTIONS:
            lines += _pickup_lines(row, fact)
            continue
        if fact.evidence.receiver is not None:
            lines.append((("Người nhận", "Received by"), wording.RECEIVER[fact.evidence.receiver]))
        if fact.evidence.proof is not None:
            lines.append((("Chứng minh bằng", "Proved by"), wording.PROOF[fact.evidence.proof]))
    return lines


def _pickup_lines(row: Shipment, fact: custody.Fact) -> list[tuple[wording.Words, wording.Words]]:
    evidence = fact.evidence
    assert evidence is not None
    on_paper = evidence.citizen_signature_sha256 == rules.paper_signature_sha256(fact.event_id, row.s10, "sender")
    signed = ("trên phiếu giấy, bưu tá xác nhận", "on the paper slip, attested by the courier")
    drawn = _same(f"SHA-256 {(evidence.citizen_signature_sha256 or '')[:16]}…")
    pages = str(evidence.page_count) if evidence.page_count is not None else "–"
    return [
        (("Số niêm phong", "Seal number"), _same(evidence.seal_number or "–")),
        (("Số tờ đã đếm", "Sheets counted"), _same(pages)),
        (("Chữ ký hai bên", "Both signatures"), signed if on_paper else drawn),
    ]


def _same(text: str) -> wording.Words:
    return text, text


@router.get("/shipments/{shipment_id}/label.pdf", dependencies=AT_THE_DESK)
async def label(shipment_id: Identifier, session: SessionDep, terms: TermsDep) -> Response:
    """The label to print, for people without an API token."""
    printed = await operations.label(session, shipment_id, terms=terms)
    headers = {"Content-Disposition": f'inline; filename="{printed.s10}.pdf"'}
    return Response(labels.render_label(printed), media_type="application/pdf", headers=headers)


@router.post("/shipments/{shipment_id}/move", openapi_extra=PAGE_FORM)
async def move(
    request: Request, shipment_id: Identifier, session: SessionDep, person: Dispatcher, form: FormDep
) -> Response:
    """A decision about a shipment: search, found, lost, damaged, back to the sender."""
    row = await queries.shipment(session, shipment_id)
    kind = field_of(form, "kind")
    allowed = kind in _moves(row)
    content = {"note": field_of(form, "note")[:500]}
    await record(request, session, row, form, person=person, kind=kind if allowed else "", content=content)
    return see_other(f"/shipments/{row.id}")


@router.post("/shipments/{shipment_id}/claim", openapi_extra=PAGE_FORM)
async def open_claim(
    request: Request, shipment_id: Identifier, session: SessionDep, person: Dispatcher, form: FormDep, plan: PlanDep
) -> Response:
    """Enter a claim for a shipment that was declared lost or damaged, or is presumed lost, or late."""
    row = await queries.shipment(session, shipment_id)
    asked = field_of(form, "reason")
    reason = asked if asked in wording.CLAIM_REASON else ("damaged" if row.status == "damaged" else "lost")
    body = await claims.claim_body(session, row.id, reason)
    try:
        claim, _ = await claims.submit_claim(session, body, created_by=person.actor, plan=plan)
    except Problem as problem:
        flash(request, "error", problem.vi, problem.en)
        return see_other(f"/shipments/{row.id}")
    flash(request, "success", "Đã lập khiếu nại.", "The claim has been entered.")
    return see_other(f"/claims/{claim.id}")


# --- claims --------------------------------------------------------------------------------------


@router.get("/claims", dependencies=AT_THE_DESK)
async def claim_list(
    request: Request,
    session: SessionDep,
    status: Annotated[str, Query(max_length=40)] = "submitted",
    cursor: Cursor = "",
) -> Response:
    """Claims of one status; the undecided ones first."""
    chosen = status if status in wording.CLAIM_STATUS else None
    page = await queries.claims(session, status=chosen, cursor=cursor or None, limit=DEFAULT_LIMIT)
    return show(
        request,
        "claims.html.j2",
        rows=list(page.items),
        next_cursor=page.next_cursor,
        chosen=chosen,
        today=now().astimezone(LOCAL_ZONE).date(),
        claim_words=wording.CLAIM_STATUS,
        reason_words=wording.CLAIM_REASON,
    )


@router.get("/claims/{claim_id}", dependencies=AT_THE_DESK)
async def claim_page(request: Request, claim_id: Identifier, session: SessionDep) -> Response:
    """One claim with what is owed, the legal dates, and the decision to take."""
    row = await queries.claim(session, claim_id)
    return show(
        request,
        "claim.html.j2",
        row=row,
        shipment=await queries.shipment(session, row.shipment_id),
        claim_words=wording.CLAIM_STATUS,
        reason_words=wording.CLAIM_REASON,
    )


@router.post("/claims/{claim_id}/decide", openapi_extra=PAGE_FORM)
async def decide(
    request: Request, claim_id: Identifier, session: SessionDep, person: Dispatcher, form: FormDep
) -> Response:
    """Approve, reject, or note the payment."""
    decision = field_of(form, "decision")
    note = field_of(form, "note")[:500].replace("\x00", "")
    try:
        if decision == "paid":
            await claims.mark_claim_paid(session, claim_id)
        elif decision in ("approve", "reject"):
            body = contract.DecideClaim.model_validate({"decision": decision, "note": note})
            await claims.decide_claim(session, claim_id, body, decided_by=person.actor)
        flash(request, "success", "Đã ghi nhận.", "Recorded.")
    except Problem as problem:
        flash(request, "error", problem.vi, problem.en)
    return see_other(f"/claims/{claim_id}")
