"""The citizen's own page behind a secret link: where the papers are, who holds them, what can be asked for, proof.

No sign-in, no menu. Names and addresses are never shown: whoever found the link learns no more than the number says,
and can move nothing to another person or place without the code that goes to the citizen's telephone.
"""

from datetime import date
from typing import Annotated, cast

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, Response

from kit.db import SessionDep, UnitOfWorkRoute
from kit.errors import Problem
from kit.web import FormDep, flash, see_other
from services.postal import claims, codes, desk_queries, desk_wording, queries, receivers, reissue, roots, wording
from services.postal.desk_contract import WishKind
from services.postal.models import Shipment
from services.postal.pages.casework import recovery_plan
from services.postal.pages.proofs import proof_lines
from services.postal.pages.shared import PAGE_FORM, DeskTermsDep, PlanDep, TermsDep, field_of, qr_picture, show

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse)

Token = Annotated[str, Path(min_length=20, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
EventId = Annotated[str, Path(pattern=r"^[0-9a-f-]{36}$")]


@router.get("/my/{token}")
async def my_papers(
    request: Request, token: Token, session: SessionDep, terms: DeskTermsDep, plan: PlanDep
) -> Response:
    """Where are my papers, who holds them, what is next, and what I can do."""
    try:
        row = await receivers.shipment_of_link(session, token)
    except receivers.LinkNotValid as problem:
        return _private(show(request, "my_gone.html.j2", 404, refused=problem))
    item = await queries.tracking(session, row.s10)
    possible = receivers.wishes_possible(row)
    wishes = await receivers.wishes_of(session, row.id)
    made = await queries.claims(session, status=None, shipment_id=row.id, cursor=None, limit=1)
    claim_terms = await claims.claim_terms(session, row, plan=plan)
    presumed = await desk_queries.has_presumed_loss(session, row.id)
    return _private(
        show(
            request,
            "my.html.j2",
            token=token,
            row=row,
            item=item,
            pieces=(await queries.pieces_of(session, [row.id]))[row.id],
            code=_code(row, terms.label_secret),
            proofs=await proof_lines(session, row.id, folder=f"/my/{token}/evidence"),
            visits=await receivers.visits(session, row),
            possible=[(kind, desk_wording.WISH[kind]) for kind in possible],
            wishes=wishes,
            waiting=next((wish for wish in wishes if wish.status == "waiting_for_code"), None),
            wish_words=desk_wording.WISH,
            wish_status_words=desk_wording.WISH_STATUS,
            claim=made.items[0] if made.items else None,
            claimable=_claimable(row, is_late=claim_terms.is_late, presumed=presumed),
            claim_terms=claim_terms,
            claim_words=wording.CLAIM_STATUS,
            reason_words=wording.CLAIM_REASON,
            presumed=presumed,
            papers=await recovery_plan(session, row),
            pays=reissue.PAYS,
            today=claim_terms.today,
        )
    )


def _private(answer: HTMLResponse) -> HTMLResponse:
    """The address is a key: no cache keeps the page, and no search engine lists it."""
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Robots-Tag"] = "noindex"
    return answer


def _code(row: Shipment, secret: str) -> tuple[str, str] | None:
    """The code that proves to the courier that this is the receiver, and its picture; while it can be needed."""
    if row.direction != "return" or row.status in ("draft", "delivered", "returned", "cancelled", "lost", "damaged"):
        return None
    code = codes.receiver_code(secret, row.s10)
    return code, qr_picture(code)


def _claimable(row: Shipment, *, is_late: bool, presumed: bool) -> list[str]:
    if row.status in ("lost", "damaged"):
        return [row.status]
    found = ["lost"] if presumed else []
    return [*found, "late"] if is_late else found


@router.post("/my/{token}/wishes", openapi_extra=PAGE_FORM)
async def wish(request: Request, token: Token, session: SessionDep, plan: PlanDep, form: FormDep) -> Response:
    """Ask for another delivery. What goes to another person or place waits for its code."""
    kind = field_of(form, "kind")
    if kind not in desk_wording.WISH:
        return see_other(f"/my/{token}")
    try:
        row = await receivers.shipment_of_link(session, token, lock=True)
        asked = receivers.Asked(
            kind=cast("WishKind", kind),
            on_day=_day_of(field_of(form, "on_day")),
            person_name=_clean(field_of(form, "person_name"))[:120],
            person_id_tail=field_of(form, "person_id_tail")[:10],
            address=_clean(field_of(form, "address"))[:300],
            commune=field_of(form, "commune")[:10],
        )
        made = await receivers.ask(session, row, asked, calendar=plan.calendar)
    except Problem as problem:
        details_vi = "; ".join(error.vi for error in problem.fields)
        details_en = "; ".join(error.en for error in problem.fields)
        flash(request, "error", f"{problem.vi} {details_vi}".strip(), f"{problem.en} {details_en}".strip())
        return see_other(f"/my/{token}#wishes")
    if made.status == "waiting_for_code":
        flash(
            request,
            "notice",
            "Mã xác nhận 6 số đã được gửi tới điện thoại hoặc tài khoản của bạn; nhập mã trong 15 phút.",
            "A 6-digit code was sent to your telephone or account; enter it within 15 minutes.",
        )
        return see_other(f"/my/{token}#confirm")
    flash(request, "success", "Đã ghi nhận yêu cầu của bạn.", "Your request is accepted.")
    return see_other(f"/my/{token}")


def _clean(text: str) -> str:
    return "".join(character for character in text if character.isprintable())


def _day_of(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


@router.post("/my/{token}/confirm", openapi_extra=PAGE_FORM)
async def confirm(request: Request, token: Token, session: SessionDep, terms: DeskTermsDep, form: FormDep) -> Response:
    """The code from the telephone."""
    try:
        row = await receivers.shipment_of_link(session, token, lock=True)
        made = await receivers.confirm(
            session, row, field_of(form, "wish_id")[:64], field_of(form, "code")[:12], secret=terms.label_secret
        )
    except Problem as problem:
        flash(request, "error", problem.vi, problem.en)
        return see_other(f"/my/{token}")
    left = receivers.MAX_WRONG_CODES - made.wrong_codes
    said = {
        "accepted": ("success", "Đã xác nhận yêu cầu.", "The request is confirmed."),
        "waiting_for_code": ("error", f"Mã không đúng; còn {left} lần thử.", f"Wrong code; {left} tries left."),
        "failed": (
            "error",
            "Mã đã hết hạn hoặc sai quá số lần; hãy lập yêu cầu mới.",
            "The code has expired or was wrong too often; ask anew.",
        ),
        "overtaken": (
            "warning",
            "Bưu tá đã lên đường trước khi bạn xác nhận nên yêu cầu không còn kịp.",
            "The courier set out before you confirmed, so the request came too late.",
        ),
    }.get(made.status, ("notice", "Yêu cầu này đã có kết quả trước đó.", "This request was settled before."))
    flash(request, *said)
    return see_other(f"/my/{token}")


@router.post("/my/{token}/visits/{event_id}", openapi_extra=PAGE_FORM)
async def visited(request: Request, token: Token, event_id: EventId, session: SessionDep, form: FormDep) -> Response:
    """Were you visited? A "no" opens a dispute that somebody must answer."""
    answer = field_of(form, "visited")
    try:
        row = await receivers.shipment_of_link(session, token, lock=True)
        if answer in ("yes", "no"):
            note = _clean(field_of(form, "note"))[:300]
            await receivers.answer_visit(session, row, event_id, visited=answer == "yes", note=note)
            flash(request, "success", "Cảm ơn bạn, câu trả lời đã được ghi nhận.", "Thank you, your answer is kept.")
    except Problem as problem:
        flash(request, "error", problem.vi, problem.en)
    return see_other(f"/my/{token}")


@router.post("/my/{token}/claim", openapi_extra=PAGE_FORM)
async def claim(request: Request, token: Token, session: SessionDep, plan: PlanDep, form: FormDep) -> Response:
    """The claim that lies ready: one press makes it."""
    reason = field_of(form, "reason")
    try:
        row = await receivers.shipment_of_link(session, token)
        if reason in wording.CLAIM_REASON:
            body = await claims.claim_body(session, row.id, reason)
            await claims.submit_claim(session, body, created_by="citizen-link", plan=plan)
            flash(request, "success", "Đã gửi khiếu nại.", "The claim is made.")
    except Problem as problem:
        flash(request, "error", problem.vi, problem.en)
    return see_other(f"/my/{token}#claim")


@router.get("/my/{token}/receipt.json")
async def receipt(request: Request, token: Token, session: SessionDep, terms: TermsDep) -> Response:
    """The receipt of the pickup as a file that proves itself: whoever keeps it holds the key of any claim."""
    try:
        row = await receivers.shipment_of_link(session, token)
        found = await roots.receipt_bundle(session, row.id, issuer=terms.public_url)
    except Problem as problem:
        flash(request, "error", problem.vi, problem.en)
        return see_other(f"/my/{token}")
    headers = {"Content-Disposition": f'attachment; filename="{row.s10}-bien-nhan.json"', "Cache-Control": "no-store"}
    return Response(found.model_dump_json(indent=2), media_type="application/json", headers=headers)
