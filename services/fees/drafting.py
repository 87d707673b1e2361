"""Writes of drafts: an officer writes, checks and submits; another person approves or returns, and publishes.

Every write names the revision it read, locks the draft, and leaves an event; the database refuses what slips past.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date

from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.errors import BadInput, FieldError, Forbidden, StaleVersion, WrongMoment
from kit.ids import new_id
from kit.web import LOCAL_ZONE
from services.fees import register
from services.fees.comparison import document_differences, law_changes
from services.fees.contract import DraftChange, DraftCheck, DraftRequest, Fault, Text
from services.fees.drafts import TRANSITIONS, Action, documents_hash
from services.fees.examples import examples_of
from services.fees.faults import CatalogueFault
from services.fees.holdings import Held, laid_over, moved, text_hash
from services.fees.law import Law
from services.fees.models import Draft, DraftEvent, Publication
from services.fees.publishing import Act, publish, take_turn
from services.fees.reading import check_documents
from services.fees.rules import Tariff
from services.fees.tariffs import Catalogue


class DraftFaulty(BadInput):
    kind = "draft-faulty"
    title_vi = "Dự thảo còn lỗi"
    title_en = "The draft has faults"


class DraftOvertaken(WrongMoment):
    kind = "draft-overtaken"
    title_vi = "Văn bản đã thay đổi sau khi soạn dự thảo"
    title_en = "Documents were published since the draft was begun"


async def create_draft(session: AsyncSession, request: DraftRequest, *, author: str) -> Draft:
    """Begin a draft over the law in force now."""
    head = await register.head_of(session)
    if head is None:
        raise RuntimeError("no law has been published yet; the process has not finished starting")
    moment = now()
    draft = Draft(
        id=new_id("dft"),
        title=request.title,
        reason=request.reason,
        status="editing",
        revision=1,
        author=author,
        base=head.number,
        documents=dict(request.documents),
        created_at=moment,
        updated_at=moment,
    )
    session.add(draft)
    await session.flush()
    await _note(session, draft, "created", actor=author)
    return draft


async def save_draft(session: AsyncSession, identity: str, change: DraftChange, *, actor: str) -> Draft:
    """Keep what the author wrote, faulty or not. The same content again changes nothing, not even the revision."""
    draft = await _taken(session, identity, "saved", revision=change.revision, actor=actor)
    written = (change.title, change.reason, dict(change.documents))
    if written == (draft.title, draft.reason, draft.documents):
        return draft
    draft.title, draft.reason, draft.documents = written
    return await _moved_on(session, draft, "saved", actor=actor)


async def rebase_draft(session: AsyncSession, identity: str, *, revision: int, actor: str) -> Draft:
    """The author has seen what others published meanwhile and stands by the draft over the law in force now."""
    draft = await _taken(session, identity, "rebased", revision=revision, actor=actor)
    head = await register.head_of(session)
    if head is None or head.number == draft.base:
        return draft
    draft.base = head.number
    return await _moved_on(session, draft, "rebased", actor=actor)


async def submit_draft(session: AsyncSession, law: Law, identity: str, *, revision: int, actor: str) -> Draft:
    """Ask for a second person. Raises DraftFaulty naming every fault, or when the draft changes nothing."""
    draft = await _taken(session, identity, "submitted", revision=revision, actor=actor)
    await _insist(session, law, draft)
    draft.decision_reason = ""
    return await _moved_on(session, draft, "submitted", actor=actor)


async def recall_draft(session: AsyncSession, identity: str, *, revision: int, actor: str) -> Draft:
    """The author takes a draft back to write on; an approval ends with that."""
    draft = await _taken(session, identity, "recalled", revision=revision, actor=actor)
    draft.approver = None
    return await _moved_on(session, draft, "recalled", actor=actor)


async def withdraw_draft(session: AsyncSession, identity: str, *, revision: int, actor: str) -> Draft:
    """The author gives a draft up; it stays readable."""
    draft = await _taken(session, identity, "withdrawn", revision=revision, actor=actor)
    draft.approver = None
    return await _moved_on(session, draft, "withdrawn", actor=actor)


async def approve_draft(session: AsyncSession, law: Law, identity: str, *, revision: int, actor: str) -> Draft:
    """A second person stands for a draft as it was submitted. Checked again: the law may have moved since."""
    draft = await _taken(session, identity, "approved", revision=revision, actor=actor)
    await _insist(session, law, draft)
    draft.approver = actor
    return await _moved_on(session, draft, "approved", actor=actor)


async def return_draft(session: AsyncSession, identity: str, *, revision: int, reason: str, actor: str) -> Draft:
    """A second person gives a draft back and says what to correct."""
    draft = await _taken(session, identity, "returned", revision=revision, actor=actor)
    draft.approver = None
    draft.decision_reason = reason
    return await _moved_on(session, draft, "returned", actor=actor, reason=reason)


async def publish_draft(
    session: AsyncSession, law: Law, identity: str, *, revision: int, actor: str
) -> tuple[Draft, Publication]:
    """Bring an approved draft into the law in use; quotes made after this returns are priced by it.

    Raises DraftOvertaken when one of its documents was published by somebody else meanwhile, DraftFaulty when it no
    longer fits the law in force. Nothing is half done: version, documents, publication and news are one transaction.
    """
    await take_turn(session)
    draft = await _taken(session, identity, "published", revision=revision, actor=actor)
    tariff, held = await _insist(session, law, draft)
    act = Act(
        author=draft.author, approver=draft.approver, reason=f"{draft.title}: {draft.reason}"[:2000], draft=draft.id
    )
    texts = {text_hash(text): text for text in draft.documents.values() if text is not None}
    publication = await publish(session, tariff, held, texts, act)
    await _moved_on(session, draft, "published", actor=actor)
    law.keep(publication.version, tariff)
    return draft, publication


async def _taken(session: AsyncSession, identity: str, action: Action, *, revision: int, actor: str) -> Draft:
    """The draft, locked, if this person may do this to it now and has seen its present state."""
    draft = await register.draft_by_id(session, identity, locked=True)
    step = TRANSITIONS[action]
    if step.by == "author" and actor != draft.author:
        raise Forbidden(
            f"Chỉ người soạn ({draft.author}) được sửa, trình, rút lại dự thảo này; hãy tạo dự thảo của bạn.",
            f"Only its author ({draft.author}) may change, submit or recall this draft; begin one of your own.",
        )
    if step.by == "another" and actor == draft.author:
        raise Forbidden(
            "Người soạn không được tự duyệt hay tự công bố dự thảo của mình; cần người thứ hai có quyền duyệt.",
            "An author never approves or publishes an own draft; a second person with the right must do it.",
        )
    if revision != draft.revision:
        raise StaleVersion(
            "Dự thảo đã được thay đổi sau khi bạn mở; hãy tải lại, xem thay đổi rồi làm lại.",
            "The draft was changed after you opened it; load it again, look at the change, then repeat.",
        )
    if draft.status not in step.sources:
        raise WrongMoment(
            f"Dự thảo đang ở trạng thái “{draft.status}”, không thể thực hiện bước này; hãy tải lại trang.",
            f"The draft is {draft.status}, so this step is not possible; load it again.",
        )
    return draft


async def _moved_on(session: AsyncSession, draft: Draft, action: Action, *, actor: str, reason: str = "") -> Draft:
    target = TRANSITIONS[action].target
    if target is not None:
        draft.status = target
    draft.revision += 1
    draft.updated_at = now()
    session.add(draft)
    await session.flush()
    await _note(session, draft, action, actor=actor, reason=reason)
    return draft


async def _note(session: AsyncSession, draft: Draft, action: Action, *, actor: str, reason: str = "") -> None:
    session.add(
        DraftEvent(
            draft=draft.id,
            revision=draft.revision,
            action=action,
            actor=actor,
            reason=reason,
            documents_sha256=documents_hash(draft.documents),
            at=draft.updated_at,
        )
    )
    await session.flush()


# --- checking --------------------------------------------------------------------------------------


async def check_draft(session: AsyncSession, law: Law, draft: Draft) -> DraftCheck:
    """What is wrong with a draft over the law in force, or what it would do. Changes nothing."""
    in_force = await law.current(session)
    base = await register.documents_in_force(session, in_force.number)
    overtaken = await _overtaken(session, draft, in_force.number)
    found = await asyncio.to_thread(_checked, base, draft.documents)
    shown = {path: text for path, text in base.items() if path in draft.documents}
    differences = document_differences(shown, laid_over(shown, draft.documents))
    if not isinstance(found, Catalogue):
        faults = tuple(Fault(file=f.file, line=f.line, text=Text(vi=f.vi, en=f.en)) for f in found)
        return _report(draft, in_force.number, faults=faults, moved=overtaken, documents=differences)
    after = await asyncio.to_thread(Tariff, found)
    changes = await asyncio.to_thread(law_changes, in_force.tariff, after)
    examples = await asyncio.to_thread(examples_of, in_force.tariff, after)
    today = now().astimezone(LOCAL_ZONE).date()
    warnings = _warnings(in_force.tariff, after, today)
    report = _report(draft, in_force.number, moved=overtaken, documents=differences)
    ready = bool(changes) and not overtaken
    return report.model_copy(update={"ready": ready, "changes": changes, "examples": examples, "warnings": warnings})


def _report(draft: Draft, in_force: int, **parts: object) -> DraftCheck:
    empty: dict[str, object] = {
        "faults": (),
        "moved": (),
        "warnings": (),
        "changes": (),
        "documents": (),
        "examples": (),
    }
    values = {**empty, **parts, "draft": draft.id, "revision": draft.revision, "base": draft.base}
    return DraftCheck.model_validate({**values, "in_force": in_force, "ready": False})


def _checked(base: Mapping[str, str], documents: Mapping[str, str | None]) -> Catalogue | list[CatalogueFault]:
    kept = {path: text for path, text in base.items() if documents.get(path, "") is not None}
    return check_documents({path: text for path, text in documents.items() if text is not None}, base=kept)


def _warnings(before: Tariff, after: Tariff, today: date) -> tuple[Text, ...]:
    known = {rule.id: rule.model_dump_json() for rule in before.catalogue.adjustments}
    late = [
        rule.id
        for rule in after.catalogue.adjustments
        if known.get(rule.id) != rule.model_dump_json() and rule.valid_from < today
    ]
    if not late:
        return ()
    names = ", ".join(late)
    return (
        Text(
            vi=f"{names}: bắt đầu trước hôm nay. Bản tính phí đã lập giữ nguyên; hồ sơ nộp từ ngày đó, nếu tính lại, "
            "sẽ theo quy định mới.",
            en=f"{names}: begins before today. Quotes already made stay; filings since that day, when quoted again, "
            "follow the new rule.",
        ),
    )


async def _overtaken(session: AsyncSession, draft: Draft, number: int) -> Sequence[str]:
    if number == draft.base:
        return ()
    before, after = await register.documents_held(session, draft.base), await register.documents_held(session, number)
    return tuple(moved(before, after, draft.documents))


async def _insist(session: AsyncSession, law: Law, draft: Draft) -> tuple[Tariff, dict[str, Held]]:
    """The tariff and documents there would be with the draft. Raises DraftOvertaken or DraftFaulty."""
    in_force = await law.current(session)
    if paths := await _overtaken(session, draft, in_force.number):
        names = ", ".join(paths)
        raise DraftOvertaken(
            f"Lần công bố khác đã thay đổi {names}; người soạn hãy xem lại, sửa cho phù hợp rồi xác nhận.",
            f"Another publication has changed {names}; its author must look, adapt the draft and rebase it.",
        )
    base = await register.documents_in_force(session, in_force.number)
    found = await asyncio.to_thread(_checked, base, draft.documents)
    if not isinstance(found, Catalogue):
        raise DraftFaulty(
            "Dự thảo còn lỗi nên chưa trình, duyệt hay công bố được; hãy sửa từng dòng nêu dưới đây.",
            "The draft has faults and cannot go on; correct each line named below.",
            fields=[FieldError(f"{fault.file}:{fault.line}", fault.vi, fault.en) for fault in found],
        )
    tariff = await asyncio.to_thread(Tariff, found)
    if tariff.content == in_force.tariff.content:
        raise DraftFaulty(
            "Dự thảo không thay đổi gì so với quy định đang áp dụng; hãy sửa nội dung rồi trình lại.",
            "The draft changes nothing of the law in force; change it, then submit again.",
        )
    held = await register.documents_held(session, in_force.number)
    for path, text in draft.documents.items():
        shipped = held[path].shipped if path in held else None
        held[path] = Held(text_hash(text) if text is not None else None, shipped)
    return tariff, {path: one for path, one in held.items() if one.in_force or one.shipped}
