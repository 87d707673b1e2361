"""Pages of drafts: begin one by form or in YAML, write, see what is wrong and what it would do, hand it on, publish."""

from collections.abc import Mapping
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.auth import Principal
from kit.db import SessionDep, UnitOfWorkRoute
from kit.errors import BadInput, FieldError, Problem, StaleVersion
from kit.pagination import decode_cursor, encode_cursor, page_of
from kit.web import FormDep, Pages, flash, language_of, see_other, signed_in
from services.fees import drafting, queries, register
from services.fees.contract import DraftChange, DraftCheck, DraftRequest, Text
from services.fees.drafts import EDITABLE, actions_open_to
from services.fees.guided import CHANNELS, Guided, guided_document
from services.fees.law import LawDep, law_of
from services.fees.models import Draft
from services.fees.rules import Tariff

router = APIRouter(
    prefix="/drafts", route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse
)
_NO_KEY: dict[str, Any] = {"x-idempotency": "none"}
_PAGE = 50

Person = Annotated[Principal, Depends(signed_in("fees:draft", "fees:approve"))]
Author = Annotated[Principal, Depends(signed_in("fees:draft"))]
Approver = Annotated[Principal, Depends(signed_in("fees:approve"))]
DraftId = Annotated[str, Path(max_length=64)]

STATUSES: Mapping[str, tuple[str, str, str]] = {
    "editing": ("đang soạn", "being written", "info"),
    "submitted": ("chờ duyệt", "awaiting approval", "warn"),
    "returned": ("trả lại", "returned", "bad"),
    "approved": ("đã duyệt, chờ công bố", "approved, to be published", "good"),
    "published": ("đã công bố", "published", "good"),
    "withdrawn": ("đã rút", "withdrawn", "neutral"),
}
ACTIONS: Mapping[str, tuple[str, str]] = {
    "created": ("Tạo dự thảo", "Begun"),
    "saved": ("Lưu", "Saved"),
    "rebased": ("Xác nhận trên quy định mới nhất", "Confirmed over the newest law"),
    "submitted": ("Trình duyệt", "Submitted"),
    "recalled": ("Lấy lại để sửa", "Taken back"),
    "approved": ("Duyệt", "Approved"),
    "returned": ("Trả lại", "Returned"),
    "published": ("Công bố", "Published"),
    "withdrawn": ("Rút dự thảo", "Withdrawn"),
}
_DONE: Mapping[str, tuple[str, str]] = {
    "rebased": ("Đã xác nhận dự thảo trên quy định mới nhất.", "The draft now stands over the newest law."),
    "submitted": ("Đã trình; người có quyền duyệt sẽ thấy dự thảo này.", "Submitted; approvers see this draft now."),
    "recalled": ("Đã lấy lại; bạn có thể sửa tiếp.", "Taken back; you may go on writing."),
    "withdrawn": ("Đã rút dự thảo.", "The draft is withdrawn."),
    "approved": ("Đã duyệt; dự thảo sẵn sàng công bố.", "Approved; the draft can be published."),
    "returned": ("Đã trả lại cho người soạn kèm lý do.", "Returned to its author with the reason."),
    "published": ("Đã công bố; bản tính phí từ lúc này theo quy định mới.", "Published; quotes from now on follow it."),
}


def _pages(request: Request) -> Pages:
    return cast("Pages", request.app.state.pages)


@router.get("")
async def drafts(
    request: Request,
    session: SessionDep,
    person: Person,
    status: Annotated[str, Query(max_length=20)] = "",
    cursor: Annotated[str, Query(max_length=500)] = "",
) -> Response:
    """All drafts, or those in one status."""
    chosen = status if status in STATUSES else ""
    after = str(decode_cursor(cursor, str)[0]) if cursor else None
    rows = await register.drafts_by_status(session, [chosen] if chosen else [], after=after, limit=_PAGE + 1)
    page = page_of(rows, limit=_PAGE, cursor_of=lambda draft: encode_cursor(draft.id))
    return _pages(request).render(
        request,
        "drafts.html.j2",
        drafts=list(page.items),
        next_cursor=page.next_cursor,
        chosen=chosen,
        counts=await register.drafts_counted(session),
        statuses=STATUSES,
        may_write=person.may("fees:draft"),
    )


# --- beginning -------------------------------------------------------------------------------------


@router.get("/new")
async def begin(request: Request, law: LawDep, session: SessionDep, _: Author) -> Response:
    """The form for the common draft, and the way to a blank or an existing document."""
    return await _beginning(request, session, law.tariff, number=law.number, form=None)


async def _beginning(
    request: Request, session: AsyncSession, tariff: Tariff, *, number: int, form: Guided | None, status: int = 200
) -> Response:
    lang = language_of(request)
    catalogue = tariff.catalogue

    def said(text: Text) -> str:
        return str(getattr(text, lang))

    procedures = sorted(catalogue.procedures, key=lambda one: queries.folded(one.title.vi))
    held = await register.documents_held(session, number)
    provinces = sorted(tariff.places.provinces.items(), key=lambda pair: queries.folded(pair[1].split(" ", 1)[1]))
    return _pages(request).render(
        request,
        "draft_new.html.j2",
        status=status,
        values=form.values if form else {"kind": "waiver", "about": "council", "province": ""},
        chosen=form.chosen if form else {"channels": ["online"]},
        errors={name: said(text) for name, text in form.errors.items()} if form else {},
        provinces=provinces,
        procedures=[(one.slug, said(one.title)) for one in procedures],
        groups=[(one.slug, said(one.name)) for one in catalogue.groups],
        instruments=[(one.id, said(one.name)) for one in catalogue.instruments],
        channels=CHANNELS,
        paths=[path for path, one in held.items() if one.in_force and path.endswith(".yaml")],
    )


@router.post("/guided", openapi_extra=_NO_KEY)
async def begin_guided(request: Request, law: LawDep, session: SessionDep, form: FormDep, person: Author) -> Response:
    """Write the document the form asks for and open the draft."""
    values = {name: value for name, value in form.items() if isinstance(value, str)}
    lists = {name: _many(form, name) for name in ("procedures", "channels", "groups")}
    guided = guided_document(law.tariff, values, lists)
    if guided.errors:
        return await _beginning(request, session, law.tariff, number=law.number, form=guided, status=422)
    wanted = DraftRequest(
        title=guided.typed("title"), reason=guided.typed("reason"), documents={guided.path: guided.text}
    )
    draft = await drafting.create_draft(session, wanted, author=person.actor)
    flash(
        request,
        "success",
        "Đã lập dự thảo; hãy xem tác động bên dưới rồi trình duyệt.",
        "The draft is written; look at what it does, then submit it.",
    )
    return see_other(f"/drafts/{draft.id}")


@router.post("/documents", openapi_extra=_NO_KEY)
async def begin_with_document(law: LawDep, session: SessionDep, form: FormDep, person: Author) -> Response:
    """Open a draft on an existing document, or on an empty one under a new path."""
    path = str(form.get("new_path", "")).strip() or str(form.get("path", ""))
    documents = await register.documents_in_force(session, law.number)
    text = documents.get(path, "adjustments:\n")
    wanted = _valid(
        DraftRequest, {"title": form.get("title", ""), "reason": form.get("reason", ""), "documents": {path: text}}
    )
    draft = await drafting.create_draft(session, wanted, author=person.actor)
    return see_other(f"/drafts/{draft.id}")


def _many(form: Mapping[str, Any], name: str) -> list[str]:
    values = cast("Any", form).getlist(name)
    return [value for value in values if isinstance(value, str)]


def _valid(kind: type[DraftRequest], document: dict[str, object]) -> DraftRequest:
    """The request a form makes. Raises BadInput naming the fields."""
    names = {"title": ("tên dự thảo", "the title"), "reason": ("lý do", "the reason")}
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        fields = []
        for item in error.errors():
            where = str(item["loc"][0]) if item["loc"] else "documents"
            vi, en = names.get(
                where,
                (
                    "văn bản (đường dẫn dạng adjustments/ten-tep.yaml, mỗi tệp tối đa 256 KiB)",
                    "the document (a path like adjustments/name.yaml, at most 256 KiB each)",
                ),
            )
            fields.append(FieldError(where, f"hãy điền đúng {vi}", f"correct {en}"))
        raise BadInput(
            "Chưa lưu được dự thảo; hãy quay lại trang trước và sửa mục nêu dưới đây.",
            "The draft was not saved; go back and correct what is named below.",
            fields=fields,
        ) from error


# --- one draft -------------------------------------------------------------------------------------


@router.get("/{draft_id}")
async def draft_page(request: Request, draft_id: DraftId, session: SessionDep, person: Person) -> Response:
    """The draft, what is wrong with it or what it would do, and the next step."""
    draft = await register.draft_by_id(session, draft_id)
    return await _draft_page(request, session, draft, person)


async def _draft_page(
    request: Request,
    session: AsyncSession,
    draft: Draft,
    person: Principal,
    *,
    typed: DraftChange | None = None,
    status: int = 200,
) -> Response:
    detail = await register.draft_detail(session, draft)
    check: DraftCheck | None = None
    if draft.status not in ("published", "withdrawn"):
        check = await drafting.check_draft(session, law_of(request), draft)
    mine = person.actor == draft.author
    right = person.may("fees:draft") if mine else person.may("fees:approve")
    open_actions = actions_open_to(draft.status, is_author=mine) if right else frozenset()
    written = typed.documents if typed is not None else detail.documents
    head = await register.head_of(session)
    held = await register.documents_held(session, head.number) if head is not None else {}
    faulty = {fault.file for fault in check.faults} if check else set()
    return _pages(request).render(
        request,
        "draft.html.j2",
        status=status,
        draft=detail,
        title=typed.title if typed else detail.title,
        reason=typed.reason if typed else detail.reason,
        documents=[(path, text, path in held, path in faulty) for path, text in written.items()],
        addable=[path for path, one in held.items() if one.in_force and path.endswith(".yaml") and path not in written],
        check=check,
        stale=typed is not None,
        editable=mine and right and draft.status in EDITABLE,
        actions=open_actions,
        statuses=STATUSES,
        action_words=ACTIONS,
        mine=mine,
    )


def _change_of(form: Mapping[str, Any]) -> DraftChange:
    documents: dict[str, object] = {}
    for index, (path, text) in enumerate(zip(_many(form, "path"), _many(form, "text"), strict=False)):
        fate = str(form.get(f"fate-{index}", "keep"))
        if fate != "drop":
            # Browsers end lines with two characters; the catalogue's documents with one.
            documents[path] = None if fate == "remove" else text.replace("\r\n", "\n")
    if added := str(form.get("add_path", "")).strip():
        documents.setdefault(added, str(form.get("add_text", "")) or "adjustments:\n")
    revision = str(form.get("revision", ""))
    document = {
        "title": form.get("title", ""),
        "reason": form.get("reason", ""),
        "documents": documents,
        "revision": int(revision) if revision.isascii() and revision.isdigit() and len(revision) < 10 else 0,
    }
    return cast("DraftChange", _valid(DraftChange, document))


@router.post("/{draft_id}/save", openapi_extra=_NO_KEY)
async def save(
    request: Request, draft_id: DraftId, session: SessionDep, law: LawDep, form: FormDep, person: Author
) -> Response:
    """Save what was written. When somebody was faster, both versions are shown and nothing is lost."""
    added = str(form.get("add_path", "")).strip()
    change = _change_of(form)
    if added and added in (documents := await register.documents_in_force(session, law.number)):
        change = change.model_copy(update={"documents": {**change.documents, added: documents[added]}})
    try:
        draft = await drafting.save_draft(session, draft_id, change, actor=person.actor)
    except StaleVersion:
        kept = await register.draft_by_id(session, draft_id)
        return await _draft_page(request, session, kept, person, typed=change, status=412)
    flash(request, "success", "Đã lưu và kiểm tra dự thảo.", "The draft was saved and checked.")
    return see_other(f"/drafts/{draft.id}")


@router.post("/{draft_id}/autosave", openapi_extra=_NO_KEY)
async def autosave(draft_id: DraftId, session: SessionDep, form: FormDep, person: Author) -> JSONResponse:
    """What the page's script sends while somebody writes; answers the revision to go on from."""
    draft = await drafting.save_draft(session, draft_id, _change_of(form), actor=person.actor)
    return JSONResponse({"revision": draft.revision})


async def _step(request: Request, draft_id: str, session: AsyncSession, form: Mapping[str, Any], who: str) -> Response:
    """Hand a draft on; a refusal is said on the draft's page, where the faults are listed too."""
    action = str(form.get("action", ""))
    typed = str(form.get("revision", ""))
    revision = int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 10 else 0
    reason = str(form.get("reason", "")).strip()[:2000].replace("\x00", "")
    law = law_of(request)
    steps: dict[str, Any] = {
        "submitted": lambda: drafting.submit_draft(session, law, draft_id, revision=revision, actor=who),
        "recalled": lambda: drafting.recall_draft(session, draft_id, revision=revision, actor=who),
        "withdrawn": lambda: drafting.withdraw_draft(session, draft_id, revision=revision, actor=who),
        "rebased": lambda: drafting.rebase_draft(session, draft_id, revision=revision, actor=who),
        "approved": lambda: drafting.approve_draft(session, law, draft_id, revision=revision, actor=who),
        "returned": lambda: drafting.return_draft(session, draft_id, revision=revision, reason=reason, actor=who),
        "published": lambda: drafting.publish_draft(session, law, draft_id, revision=revision, actor=who),
    }
    if action not in steps or (action == "returned" and not reason):
        flash(
            request,
            "error",
            "Hãy ghi lý do trả lại để người soạn biết cần sửa gì.",
            "Give the reason, so that the author knows what to correct.",
        )
        return see_other(f"/drafts/{draft_id}")
    try:
        await steps[action]()
    except Problem as refusal:
        if refusal.status == 404:
            raise
        await session.rollback()
        flash(request, "error", refusal.vi, refusal.en)
        return see_other(f"/drafts/{draft_id}")
    flash(request, "success", *_DONE[action])
    return see_other(f"/drafts/{draft_id}")


@router.post("/{draft_id}/write", openapi_extra=_NO_KEY)
async def author_step(
    request: Request, draft_id: DraftId, session: SessionDep, form: FormDep, person: Author
) -> Response:
    """A step of the author: submit, recall, withdraw, confirm."""
    if form.get("action") not in ("submitted", "recalled", "withdrawn", "rebased"):
        return see_other(f"/drafts/{draft_id}")
    return await _step(request, draft_id, session, form, person.actor)


@router.post("/{draft_id}/decide", openapi_extra=_NO_KEY)
async def second_person_step(
    request: Request, draft_id: DraftId, session: SessionDep, form: FormDep, person: Approver
) -> Response:
    """A step of the second person: approve, return with a reason, publish."""
    if form.get("action") not in ("approved", "returned", "published"):
        return see_other(f"/drafts/{draft_id}")
    return await _step(request, draft_id, session, form, person.actor)
