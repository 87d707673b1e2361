"""The courier's pages, for a phone in one hand: the round of today, and one stop with what can be done there."""

from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response

from kit.auth import Principal
from kit.db import SessionDep, UnitOfWorkRoute
from kit.pagination import MAX_LIMIT
from kit.web import FormDep, flash, see_other, signed_in
from services.postal import contract, labels, offline, queries, rules, wording
from services.postal.models import Shipment
from services.postal.pages.shared import PAGE_FORM, Identifier, TermsDep, dong_of, field_of, new_ticket, record, show

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse)

Courier = Annotated[Principal, Depends(signed_in("postal:courier", "postal:dispatch"))]

TASK_WORDS: dict[contract.Task, wording.Words] = {
    "deliver": ("Đang đi phát", "Deliver"),
    "pick_up": ("Cần đến nhận", "Pick up"),
    "take_out": ("Chờ đưa đi phát", "Take out"),
    "hand_in": ("Cần nộp bưu cục", "Hand in"),
    "keep": ("Chờ nhận tại bưu cục", "At the counter"),
}

MOVE_WORDS: dict[str, wording.Words] = {
    "pickup_started": ("Lên đường đến nhận", "Set out to pick up"),
    "arrived_origin_office": ("Nộp hồ sơ vào bưu cục", "Hand in at the office"),
    "out_for_delivery": ("Nhận đi phát", "Take out for delivery"),
    "ready_for_collection": ("Giữ tại bưu cục, mời đến nhận", "Keep at the office for collection"),
    "arrived_delivery_office": ("Mang trả về bưu cục phát", "Bring back to the office"),
    "released": ("Hết tạm giữ", "No longer kept back"),
}


@router.get("/rounds")
async def rounds() -> Response:
    """The older name of the round."""
    return see_other("/courier")


@router.get("/courier")
async def courier_round(
    request: Request,
    session: SessionDep,
    person: Courier,
    task: contract.Task | None = None,
    cursor: Annotated[str | None, Query(max_length=200, pattern=r"^[A-Za-z0-9_-]+$")] = None,
) -> Response:
    """The stops of one task; without a task, the first that has any."""
    counts = await queries.task_counts(session)
    shown = task or next((name for name in TASK_WORDS if counts[name]), "deliver")
    page = await queries.stops(session, task=shown, commune=None, cursor=cursor, limit=MAX_LIMIT // 4)
    held = await queries.undeposited_cash(session, person.actor)
    return show(
        request,
        "round.html.j2",
        task=shown,
        tasks=[(name, said, counts[name]) for name, said in TASK_WORDS.items()],
        stops=list(page.items),
        next_cursor=page.next_cursor,
        cash_count=held[0],
        cash_held=held[1],
    )


@router.get("/courier/find")
async def find(
    request: Request,
    session: SessionDep,
    terms: TermsDep,
    person: Courier,  # noqa: ARG001 — only signed-in people may look numbers up here
    code: Annotated[str, Query(max_length=300)] = "",
) -> Response:
    """From a typed number or a scanned label to its stop."""
    scan = labels.read_scan(code, terms.label_secret)
    if scan is None:
        flash(
            request,
            "error",
            "Số hiệu không đúng; hãy kiểm tra lại từng ký tự hoặc quét lại tem.",
            "The number is not right; check it character by character or scan the label again.",
        )
        return see_other("/courier")
    row = await queries.shipment_by_number(session, scan.number)
    if scan.label_false:
        flash(
            request,
            "warning",
            "Mã trên tem không khớp với số hiệu: tem có thể là giả. Hãy báo điều phối trước khi nhận hoặc giao.",
            "The code on the label does not match the number: the label may be false. Tell the dispatcher first.",
        )
    return see_other(f"/courier/shipments/{row.id}")


@router.get("/courier/shipments/{shipment_id}")
async def stop(request: Request, shipment_id: Identifier, session: SessionDep, person: Courier) -> Response:  # noqa: ARG001
    """One stop with the forms that fit its state."""
    row = await queries.shipment(session, shipment_id)
    pieces = (await queries.pieces_of(session, [row.id]))[row.id]
    on_round = row.status in queries.TASK_OF
    asked = (await queries.accepted_wishes(session, [row.id]))[row.id]
    person_at = await queries.contact(session, row.contact_id)
    place = queries.stop_record(row, person_at, len(pieces), asked) if on_round else None
    stage: rules.Stage = "pickup" if row.status in rules.BEFORE_COLLECTION else "delivery"
    pairs = [
        (
            f"{reason.code}:{measure}",
            f"{reason.vi} → {rules.MEASURES[measure][0]}",
            f"{reason.en} → {rules.MEASURES[measure][1]}",
        )
        for reason, measure in rules.reason_pairs(stage)
    ]
    receivers = sorted(rules.PROPER_RECEIVERS[cast("contract.Direction", row.direction)])
    return show(
        request,
        "stop.html.j2",
        row=row,
        pieces=pieces,
        place=place,
        stage=stage,
        pairs=pairs,
        moves=[(kind, MOVE_WORDS[kind]) for kind in offline.MOVES.get(row.status, ())],
        receivers=[(name, wording.RECEIVER[name]) for name in receivers],
        proofs=list(wording.PROOF.items()),
        ticket=new_ticket,
    )


# --- forms ---------------------------------------------------------------------------------------


@router.post("/courier/shipments/{shipment_id}/collect", openapi_extra=PAGE_FORM)
async def collect(
    request: Request, shipment_id: Identifier, session: SessionDep, person: Courier, form: FormDep
) -> Response:
    """Counted, sealed, signed: the papers pass to the courier. Fewer ticks than papers make a partial pickup."""
    row = await queries.shipment(session, shipment_id)
    pieces = (await queries.pieces_of(session, [row.id]))[row.id]
    ticked = [piece.position for piece in pieces if field_of(form, f"piece-{piece.position}")]
    signed = bool(field_of(form, "sender_signed")) and bool(field_of(form, "courier_signed"))
    event_id = field_of(form, "event_id")
    evidence: dict[str, Any] = {"collected_positions": ticked, "seal_number": field_of(form, "seal_number") or None}
    if field_of(form, "page_count").isdecimal():
        evidence["page_count"] = int(field_of(form, "page_count"))
    if signed:
        evidence["citizen_signature_sha256"] = rules.paper_signature_sha256(event_id, row.s10, "sender")
        evidence["courier_signature_sha256"] = rules.paper_signature_sha256(event_id, row.s10, "courier")
    content = {"evidence": evidence, "cash_collected_dong": dong_of(field_of(form, "cash"))}
    kind = "collected" if len(ticked) == len(pieces) else "partially_collected"
    return await _record_and_return(request, session, row, form, person=person, kind=kind, content=content)


@router.post("/courier/shipments/{shipment_id}/deliver", openapi_extra=PAGE_FORM)
async def deliver(
    request: Request, shipment_id: Identifier, session: SessionDep, person: Courier, form: FormDep
) -> Response:
    """Handed over: to whom, how it is proved, and the cash taken."""
    row = await queries.shipment(session, shipment_id)
    evidence = {name: field_of(form, name).strip() or None for name in ("receiver", "proof", "code")}
    content = {"evidence": evidence, "cash_collected_dong": dong_of(field_of(form, "cash"))}
    kind = "evidence_added" if row.status == "delivered_pending_evidence" else "handed_over"
    if kind == "evidence_added":
        content["cash_collected_dong"] = 0
    return await _record_and_return(request, session, row, form, person=person, kind=kind, content=content)


@router.post("/courier/shipments/{shipment_id}/fail", openapi_extra=PAGE_FORM)
async def fail(
    request: Request, shipment_id: Identifier, session: SessionDep, person: Courier, form: FormDep
) -> Response:
    """A visit that did not work out: always a reason with a measure that goes with it."""
    row = await queries.shipment(session, shipment_id)
    reason, _, measure = field_of(form, "outcome").partition(":")
    content = {"reason": reason or None, "measure": measure or None, "note": field_of(form, "note")[:500]}
    kind = "pickup_failed" if row.status in rules.BEFORE_COLLECTION else "attempt_failed"
    return await _record_and_return(request, session, row, form, person=person, kind=kind, content=content)


@router.post("/courier/shipments/{shipment_id}/move", openapi_extra=PAGE_FORM)
async def move(
    request: Request, shipment_id: Identifier, session: SessionDep, person: Courier, form: FormDep
) -> Response:
    """A step of one press: set out, hand in, take out, keep at the counter."""
    row = await queries.shipment(session, shipment_id)
    kind = field_of(form, "kind")
    if kind not in MOVE_WORDS:
        kind = ""
    return await _record_and_return(request, session, row, form, person=person, kind=kind, content={})


async def _record_and_return(
    request: Request,
    session: SessionDep,
    row: Shipment,
    form: FormDep,
    *,
    person: Principal,
    kind: str,
    content: dict[str, Any],
) -> Response:
    result = await record(request, session, row, form, person=person, kind=kind, content=content)
    done = result is not None and (result.applied or result.result != "stored")
    return see_other("/courier" if done else f"/courier/shipments/{row.id}")
