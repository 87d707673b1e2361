"""JSON of drafts: written and submitted by one person, approved or returned and published by another."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request

from kit.auth import Principal, require
from kit.db import SessionDep, UnitOfWorkRoute
from kit.pagination import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, encode_cursor, page_of
from services.fees import drafting, register
from services.fees.contract import (
    DraftChange,
    DraftCheck,
    DraftDetail,
    DraftPage,
    DraftRequest,
    DraftReturn,
    DraftStatus,
    DraftStep,
)
from services.fees.law import law_of

router = APIRouter(prefix="/v1/drafts", route_class=UnitOfWorkRoute, tags=["drafts"])

Reader = Annotated[Principal, Depends(require("fees:draft", "fees:approve"))]
Author = Annotated[Principal, Depends(require("fees:draft"))]
Approver = Annotated[Principal, Depends(require("fees:approve"))]
DraftId = Annotated[str, Path(max_length=64, description="`dft_…`, as a draft was answered with")]


@router.post("", status_code=201, summary="Begin a draft")
async def create_draft(body: DraftRequest, session: SessionDep, caller: Author) -> DraftDetail:
    """Whole documents laid over the law in force; they may still be faulty."""
    draft = await drafting.create_draft(session, body, author=caller.actor)
    return await register.draft_detail(session, draft)


@router.get("", summary="Drafts, the newest first")
async def list_drafts(
    session: SessionDep,
    _: Reader,
    status: Annotated[list[DraftStatus] | None, Query(max_length=6)] = None,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
) -> DraftPage:
    """All drafts, or those in some statuses."""
    after = str(decode_cursor(cursor, str)[0]) if cursor is not None else None
    rows = await register.drafts_by_status(session, status or (), after=after, limit=limit + 1)
    page = page_of(rows, limit=limit, cursor_of=lambda draft: encode_cursor(draft.id))
    return DraftPage(items=tuple(register.draft_summary(d) for d in page.items), next_cursor=page.next_cursor)


@router.get("/{draft_id}", summary="A draft with its documents and history")
async def read_draft(draft_id: DraftId, session: SessionDep, _: Reader) -> DraftDetail:
    """Everything about one draft."""
    return await register.draft_detail(session, await register.draft_by_id(session, draft_id))


@router.put("/{draft_id}", summary="Save a draft")
async def save_draft(draft_id: DraftId, body: DraftChange, session: SessionDep, caller: Author) -> DraftDetail:
    """Replace title, reason and documents. 412 when somebody saved since `revision` was read."""
    draft = await drafting.save_draft(session, draft_id, body, actor=caller.actor)
    return await register.draft_detail(session, draft)


@router.post("/{draft_id}/check", summary="What a draft would do", openapi_extra={"x-idempotency": "none"})
async def check_draft(draft_id: DraftId, request: Request, session: SessionDep, _: Reader) -> DraftCheck:
    """Every fault with file and line; or the changes of the law, and examples priced before and after."""
    draft = await register.draft_by_id(session, draft_id)
    return await drafting.check_draft(session, law_of(request), draft)


@router.post("/{draft_id}/rebase", summary="Stand by a draft over the law in force now")
async def rebase_draft(draft_id: DraftId, body: DraftStep, session: SessionDep, caller: Author) -> DraftDetail:
    """Needed after somebody else published one of the same documents; look at the check first."""
    draft = await drafting.rebase_draft(session, draft_id, revision=body.revision, actor=caller.actor)
    return await register.draft_detail(session, draft)


@router.post("/{draft_id}/submit", summary="Ask for a second person")
async def submit_draft(
    draft_id: DraftId, body: DraftStep, request: Request, session: SessionDep, caller: Author
) -> DraftDetail:
    """422 with every fault by file and line when it cannot go on."""
    law = law_of(request)
    draft = await drafting.submit_draft(session, law, draft_id, revision=body.revision, actor=caller.actor)
    return await register.draft_detail(session, draft)


@router.post("/{draft_id}/recall", summary="Take a draft back to write on")
async def recall_draft(draft_id: DraftId, body: DraftStep, session: SessionDep, caller: Author) -> DraftDetail:
    """An approval ends with that."""
    draft = await drafting.recall_draft(session, draft_id, revision=body.revision, actor=caller.actor)
    return await register.draft_detail(session, draft)


@router.post("/{draft_id}/withdraw", summary="Give a draft up")
async def withdraw_draft(draft_id: DraftId, body: DraftStep, session: SessionDep, caller: Author) -> DraftDetail:
    """It stays readable and is never changed again."""
    draft = await drafting.withdraw_draft(session, draft_id, revision=body.revision, actor=caller.actor)
    return await register.draft_detail(session, draft)


@router.post("/{draft_id}/approve", summary="Approve, as the second person")
async def approve_draft(
    draft_id: DraftId, body: DraftStep, request: Request, session: SessionDep, caller: Approver
) -> DraftDetail:
    """Never by its author. Checked again against the law in force."""
    law = law_of(request)
    draft = await drafting.approve_draft(session, law, draft_id, revision=body.revision, actor=caller.actor)
    return await register.draft_detail(session, draft)


@router.post("/{draft_id}/return", summary="Give a draft back with a reason")
async def return_draft(draft_id: DraftId, body: DraftReturn, session: SessionDep, caller: Approver) -> DraftDetail:
    """Also takes an approval back."""
    draft = await drafting.return_draft(
        session, draft_id, revision=body.revision, reason=body.reason, actor=caller.actor
    )
    return await register.draft_detail(session, draft)


@router.post("/{draft_id}/publish", summary="Bring an approved draft into force")
async def publish_draft(
    draft_id: DraftId, body: DraftStep, request: Request, session: SessionDep, caller: Approver
) -> DraftDetail:
    """Quotes made after this returns are priced by it, in every process; its own dates say since which filing day."""
    law = law_of(request)
    draft, _ = await drafting.publish_draft(session, law, draft_id, revision=body.revision, actor=caller.actor)
    return await register.draft_detail(session, draft)
