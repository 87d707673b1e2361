"""Drafts and publications over HTTP: two people, whole documents, and quotes that carry new law everywhere."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from kit.ids import new_id
from kit.pagination import encode_cursor
from services.fees.app import create_app
from services.fees.contract import (
    DraftCheck,
    DraftDetail,
    DraftPage,
    Explanation,
    Quote,
    QuoteDifference,
    Requote,
    VersionDetail,
    VersionDifference,
    VersionPage,
)
from services.fees.law import WATCH_SECONDS
from tests.conftest import Issuer, running
from tests.fees.conftest import PASSPORT, settings_for

PATH = "adjustments/lam-dong-2027.yaml"
WAIVER = """\
instruments:
  - id: nq-12-2026-ld
    number: "12/2026/NQ-HĐND"
    name: {vi: "Nghị quyết 12/2026/NQ-HĐND tỉnh Lâm Đồng", en: "Resolution 12/2026/NQ-HĐND of Lâm Đồng"}
    issued_on: 2026-12-10
    source: "D"
    verified: false
adjustments:
  - id: lam-dong-zero-2027
    kind: waiver
    targets: {categories: [building], kinds: [charge], set_by: council}
    channels: [online]
    valid_from: 2027-01-01
    valid_to: 2027-12-31
    scope: {level: province, code: "68"}
    instrument: nq-12-2026-ld
    article: "Điều 2"
    source: "D"
    verified: false
"""
SUPPORT = WAIVER.replace("kind: waiver", "kind: support").replace(
    "targets: {categories: [building], kinds: [charge], set_by: council}",
    'targets: {procedures: [passport]}\n    support_percent: 100\n    payer: "budget:68"',
)
DRAFT = {"title": "Hỗ trợ hộ chiếu Lâm Đồng 2027", "reason": "NQ 12/2026", "documents": {PATH: SUPPORT}}
FILED = PASSPORT | {"province": "68", "commune": "22918", "filed_on": "2027-03-01"}


class Desk:
    """An officer and an approver at the API."""

    def __init__(self, client: httpx.AsyncClient, issuer: Issuer) -> None:
        self.client = client
        self._issuer = issuer

    async def call(self, method: str, path: str, who: str, body: object = None, **options: Any) -> httpx.Response:
        scope = {"lan": "fees:draft", "mai": "fees:draft"}.get(who, "fees:approve")
        headers = self._issuer.headers("fees:read", "fees:quote", scope, subject=who, key=new_id("key"))
        return await self.client.request(method, path, json=body, headers=headers | options.get("headers", {}))

    async def draft(self, who: str = "lan", **changes: Any) -> DraftDetail:
        answer = await self.call("POST", "/v1/drafts", who, DRAFT | changes)
        assert answer.status_code == 201, answer.text
        return DraftDetail.model_validate(answer.json())

    async def step(self, draft: DraftDetail, name: str, who: str, **body: Any) -> httpx.Response:
        return await self.call("POST", f"/v1/drafts/{draft.id}/{name}", who, {"revision": draft.revision} | body)

    async def done(self, draft: DraftDetail, name: str, who: str, **body: Any) -> DraftDetail:
        answer = await self.step(draft, name, who, **body)
        assert answer.status_code == 200, answer.text
        return DraftDetail.model_validate(answer.json())

    async def approved(self, **changes: Any) -> DraftDetail:
        draft = await self.done(await self.draft(**changes), "submit", "lan")
        return await self.done(draft, "approve", "hung")

    async def published(self, **changes: Any) -> DraftDetail:
        return await self.done(await self.approved(**changes), "publish", "hung")

    async def read(self, draft: DraftDetail) -> DraftDetail:
        answer = await self.call("GET", f"/v1/drafts/{draft.id}", "lan")
        return DraftDetail.model_validate(answer.json())

    async def quote(self, **changes: Any) -> Quote:
        answer = await self.call("POST", "/v1/quotes", "lan", FILED | changes)
        assert answer.status_code == 201, answer.text
        return Quote.model_validate(answer.json())

    async def publications(self) -> list[int]:
        answer = await self.call("GET", "/v1/versions", "lan")
        return [item.number for item in VersionPage.model_validate(answer.json()).items]


@pytest.fixture
def desk(client: httpx.AsyncClient, issuer: Issuer) -> Desk:
    return Desk(client, issuer)


async def test_a_waiver_goes_from_draft_to_published_and_the_next_quote_carries_it(desk: Desk) -> None:
    before = await desk.quote()
    draft = await desk.published()
    after = await desk.quote()

    assert (before.publication, before.citizen_dong, before.budget_dong) == (1, 200_000, 0)
    assert (after.publication, after.citizen_dong, after.budget_dong) == (2, 0, 200_000)
    (step,) = [step for step in after.lines[0].steps if step.rule == "lam-dong-zero-2027"]
    assert step.outcome == "applied"
    assert "Điều 2 Nghị quyết 12/2026/NQ-HĐND tỉnh Lâm Đồng" in step.text.vi
    assert (draft.status, draft.author, draft.approver, draft.publication) == ("published", "lan", "hung", 2)
    assert [e.action for e in draft.events] == ["created", "submitted", "approved", "published"]
    assert len({e.documents_sha256 for e in draft.events}) == 1
    assert await desk.publications() == [2, 1]


async def test_a_publication_names_author_approver_reason_and_documents(desk: Desk) -> None:
    draft = await desk.published()
    version = VersionDetail.model_validate((await desk.call("GET", "/v1/versions/2", "lan")).json())
    document = await desk.call("GET", f"/v1/versions/2/documents/{PATH}", "lan")
    first = await desk.call("GET", f"/v1/versions/1/documents/{PATH}", "lan")
    changes = VersionDifference.model_validate((await desk.call("GET", "/v1/versions/2/changes", "lan")).json())

    assert (version.author, version.approver, version.draft) == ("lan", "hung", draft.id)
    assert version.reason == "Hỗ trợ hộ chiếu Lâm Đồng 2027: NQ 12/2026"
    assert [d.path for d in version.documents if d.by_officer] == [PATH]
    assert (document.text, first.status_code) == (SUPPORT, 404)
    assert [(c.kind, c.action, c.id) for c in changes.changes] == [
        ("adjustment", "added", "lam-dong-zero-2027"),
        ("instrument", "added", "nq-12-2026-ld"),
    ]
    assert [(d.path, d.action) for d in changes.documents] == [(PATH, "added")]


async def test_a_check_shows_changes_and_prices_before_and_after_and_keeps_nothing(desk: Desk) -> None:
    draft = await desk.draft()
    answer = await desk.call("POST", f"/v1/drafts/{draft.id}/check", "hung")

    check = DraftCheck.model_validate(answer.json())
    assert (check.ready, check.faults, check.moved) == (True, (), ())
    assert [(c.action, c.id) for c in check.changes] == [("added", "lam-dong-zero-2027"), ("added", "nq-12-2026-ld")]
    prices = {
        (str(e.request.filed_on), e.request.channel): (e.before.citizen_dong, e.after.citizen_dong)
        for e in check.examples
        if e.request.procedure == "passport"
    }
    assert prices == {
        ("2027-01-01", "online"): (200_000, 0),
        ("2026-12-31", "online"): (200_000, 200_000),
        ("2027-01-01", "counter"): (200_000, 200_000),
    }
    assert await desk.read(draft) == draft
    assert await desk.publications() == [1]


OVERLAP = SUPPORT + SUPPORT.partition("adjustments:\n")[2].replace("lam-dong-zero-2027", "lam-dong-again")
BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nadjustments: [*b, *b]\n"


FAULTY = [
    (OVERLAP, f"{PATH}:9", "end one of them"),
    (SUPPORT.replace("support_percent: 100", "support_percent: 101"), f"{PATH}:12", "from 0 to 100"),
    (SUPPORT.replace("instrument: nq-12-2026-ld", "instrument: nq-13"), f"{PATH}:9", "unknown instrument 'nq-13'"),
    (SUPPORT.replace("valid_from: 2027-01-01", "valid_from: 20270101"), f"{PATH}:15", "YYYY-MM-DD"),
    (BOMB, f"{PATH}:1", "anchors"),
    ("adjustments: [", f"{PATH}:2", "check indentation"),
]


async def test_a_faulty_draft_is_refused_with_file_and_line_and_nothing_moves(desk: Desk) -> None:
    for text, field, says in FAULTY:
        draft = await desk.draft(documents={PATH: text})
        english = {"headers": {"accept-language": "en"}}
        answer = await desk.call("POST", f"/v1/drafts/{draft.id}/submit", "lan", {"revision": 1}, **english)

        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/draft-faulty")
        found = {error["field"]: error["message"] for error in answer.json()["errors"]}
        assert says in found[field], found
        check = DraftCheck.model_validate((await desk.call("POST", f"/v1/drafts/{draft.id}/check", "lan")).json())
        assert not check.ready
        assert {f"{f.file}:{f.line}" for f in check.faults} == set(found)
        assert await desk.read(draft) == draft
    assert await desk.publications() == [1]


async def test_every_fault_of_a_draft_is_told_at_once(desk: Desk) -> None:
    text = SUPPORT.replace("100\n", "400\n").replace("valid_from: 2027-01-01", "valid_from: 20270101")
    draft = await desk.draft(documents={PATH: text.replace("instrument: nq-12-2026-ld", "instrument: nq-13")})
    answer = await desk.step(draft, "submit", "lan")

    assert len(answer.json()["errors"]) >= 2


async def test_a_draft_that_changes_nothing_is_refused(desk: Desk) -> None:
    answer = await desk.step(await desk.draft(documents={}), "submit", "lan")

    assert answer.status_code == 422


async def test_documents_that_cannot_be_law_are_refused(desk: Desk) -> None:
    cannot: list[dict[str, str]] = [
        {"../outside.yaml": "x"},
        {"places/communes.csv": "x"},
        {"adjustments/x.yaml": "\x00"},
        {f"adjustments/n{n}.yaml": "" for n in range(13)},
        {"adjustments/x.yaml": "x" * (256 * 1024 + 1)},
    ]
    for documents in cannot:
        answer = await desk.call("POST", "/v1/drafts", "lan", DRAFT | {"documents": documents})
        page = DraftPage.model_validate((await desk.call("GET", "/v1/drafts", "lan")).json())

        assert (answer.status_code, page.items) == (422, ()), next(iter(documents))


async def test_a_title_that_cannot_be_read_is_refused(desk: Desk) -> None:
    for changes in ({"title": "hai\ndòng"}, {"title": " "}, {"reason": "\x85"}, {"title": "x" * 201}):
        answer = await desk.call("POST", "/v1/drafts", "lan", DRAFT | changes)

        assert answer.status_code == 422, changes


async def test_saving_a_stale_revision_is_refused_and_saving_the_same_changes_nothing(desk: Desk) -> None:
    draft = await desk.draft()
    change = {**DRAFT, "title": "Tên mới", "revision": 1}
    first = await desk.call("PUT", f"/v1/drafts/{draft.id}", "lan", change)
    stale = await desk.call("PUT", f"/v1/drafts/{draft.id}", "lan", {**change, "title": "Tên khác"})
    again = await desk.call("PUT", f"/v1/drafts/{draft.id}", "lan", {**change, "revision": 2})

    assert (first.status_code, stale.status_code, again.status_code) == (200, 412, 200)
    kept = await desk.read(draft)
    assert (kept.title, kept.revision, [e.action for e in kept.events]) == ("Tên mới", 2, ["created", "saved"])


HEAD = "(select version from catalogue_version)"
INSERT = "insert into publication (number, version, published_at, author, reason, draft"


async def test_nobody_approves_or_publishes_an_own_draft(desk: Desk, issuer: Issuer, fees_url: str) -> None:
    draft = await desk.done(await desk.draft(), "submit", "lan")
    both = issuer.headers("fees:draft", "fees:approve", subject="lan", key="both")
    own = await desk.client.post(f"/v1/drafts/{draft.id}/approve", json={"revision": 2}, headers=both)
    without = await desk.step(draft, "approve", "mai")

    assert (own.status_code, without.status_code) == (403, 403)
    connection = await asyncpg.connect(fees_url)
    try:
        with pytest.raises(asyncpg.CheckViolationError, match="approver_is_another_person"):
            await connection.execute("update draft set status = 'approved', approver = author, revision = revision + 1")
    finally:
        await connection.close()
    assert await desk.read(draft) == draft


RULES = [
    ("update draft set documents = '{}', revision = revision + 1", "keeps its documents"),
    ("update draft set revision = revision + 2", "one revision at a time"),
    ("update draft set author = 'x', revision = revision + 1", "author of a draft"),
    ("delete from draft_event", "never changed"),
    ("delete from draft", "never deleted|foreign key"),
    ("update publication set reason = 'x'", "never changed"),
    ("update publication_document set sha256 = null", "never changed"),
    ("update document set text = 'x'", "never changed"),
    (
        f"{INSERT}, approver) select 2, {HEAD}, now(), author, 'x', id, 'thief' from draft",
        "fk_publication_draft_author_approver_draft",
    ),
    (
        f"{INSERT}) select 2, {HEAD}, now(), author, 'x', id from draft",
        "drafts_are_approved",
    ),
]


async def test_the_database_holds_the_rules_of_drafts_and_publications(desk: Desk, fees_url: str) -> None:
    await desk.approved()
    connection = await asyncpg.connect(fees_url)
    try:
        for statement, refusal in RULES:
            with pytest.raises(asyncpg.PostgresError, match=refusal):
                await connection.execute(statement)
    finally:
        await connection.close()
    assert await desk.publications() == [1]


async def test_a_published_draft_is_never_changed_not_even_by_sql(desk: Desk, fees_url: str) -> None:
    draft = await desk.published()
    answer = await desk.step(draft, "withdraw", "lan")
    connection = await asyncpg.connect(fees_url)
    try:
        with pytest.raises(asyncpg.PostgresError, match="published draft is never changed"):
            await connection.execute("update draft set title = 'x', revision = revision + 1")
    finally:
        await connection.close()

    assert answer.status_code == 409
    assert await desk.read(draft) == draft


async def test_of_two_approvers_at_once_one_approves(desk: Desk) -> None:
    draft = await desk.done(await desk.draft(), "submit", "lan")
    answers = await asyncio.gather(*(desk.step(draft, "approve", who) for who in ("hung", "tuan")))

    assert sorted(answer.status_code for answer in answers) == [200, 412]
    assert [e.action for e in (await desk.read(draft)).events] == ["created", "submitted", "approved"]


async def test_of_two_who_publish_at_once_one_publishes(desk: Desk) -> None:
    draft = await desk.approved()
    answers = await asyncio.gather(*(desk.step(draft, "publish", who) for who in ("hung", "tuan")))

    assert sorted(answer.status_code for answer in answers) == [200, 412]
    assert await desk.publications() == [2, 1]


async def test_a_returned_draft_says_why_and_can_be_submitted_again(desk: Desk) -> None:
    draft = await desk.done(await desk.draft(), "submit", "lan")
    returned = await desk.done(draft, "return", "hung", reason="Thiếu Điều 3")
    again = await desk.done(returned, "submit", "lan")

    assert (returned.status, returned.decision_reason) == ("returned", "Thiếu Điều 3")
    assert (again.status, again.decision_reason, again.events[-2].reason) == ("submitted", "", "Thiếu Điều 3")


async def test_only_the_author_writes_and_a_withdrawn_draft_stays_readable(desk: Desk) -> None:
    draft = await desk.draft()
    other = await desk.call("PUT", f"/v1/drafts/{draft.id}", "mai", {**DRAFT, "revision": 1})
    withdrawn = await desk.done(draft, "withdraw", "lan")
    late = await desk.step(withdrawn, "submit", "lan")

    assert (other.status_code, withdrawn.status, late.status_code) == (403, "withdrawn", 409)
    assert (await desk.read(draft)).documents == draft.documents


async def test_a_draft_overtaken_in_its_own_document_must_be_looked_at_again(desk: Desk) -> None:
    slow = await desk.approved(title="Chậm", documents={PATH: SUPPORT.replace("2027-12-31", "2028-12-31")})
    await desk.published()
    overtaken = await desk.step(slow, "publish", "hung")
    recalled = await desk.done(slow, "recall", "lan")
    check = DraftCheck.model_validate((await desk.call("POST", f"/v1/drafts/{slow.id}/check", "lan")).json())
    rebased = await desk.done(recalled, "rebase", "lan")
    submitted = await desk.done(rebased, "submit", "lan")
    published = await desk.done(await desk.done(submitted, "approve", "hung"), "publish", "hung")

    assert (overtaken.status_code, overtaken.json()["type"]) == (409, "/problems/draft-overtaken")
    assert (check.moved, check.ready) == ((PATH,), False)
    assert (rebased.base, published.publication) == (2, 3)


async def test_taking_a_document_out_brings_the_earlier_state_back_under_a_new_number(desk: Desk) -> None:
    await desk.published()
    out = await desk.published(title="Bãi bỏ", documents={PATH: None})
    quote = await desk.quote()
    answer = await desk.call("GET", "/v1/versions", "lan")

    versions = [item.version for item in VersionPage.model_validate(answer.json()).items]
    assert out.publication == 3
    assert versions[0] == versions[2] != versions[1]
    assert (quote.publication, quote.citizen_dong) == (3, 200_000)


async def test_a_cursor_beyond_every_number_is_harmless(desk: Desk) -> None:
    answers = [
        await desk.call("GET", f"/v1/versions?cursor={encode_cursor(number)}", "lan") for number in (10**30, -(10**30))
    ]

    assert [(answer.status_code, len(answer.json()["items"])) for answer in answers] == [(200, 1), (200, 0)]


# --- processes and restarts ------------------------------------------------------------------------


async def test_what_an_officer_published_survives_a_restart(fees_url: str, issuer: Issuer) -> None:
    async with running(create_app(settings_for(fees_url)), issuer) as client:
        await Desk(client, issuer).published()
    async with running(create_app(settings_for(fees_url)), issuer) as client:
        desk = Desk(client, issuer)
        quote = await desk.quote()

        assert (quote.publication, quote.citizen_dong) == (2, 0)
        assert await desk.publications() == [2, 1]


async def test_another_process_prices_by_new_law_as_soon_as_publishing_has_returned(
    fees_url: str, issuer: Issuer
) -> None:
    one, two = create_app(settings_for(fees_url)), create_app(settings_for(fees_url))
    async with running(one, issuer) as here, running(two, issuer) as there:
        await Desk(there, issuer).quote()
        await Desk(here, issuer).published()
        quote = await Desk(there, issuer).quote()

    assert (quote.publication, quote.citizen_dong) == (2, 0)


async def test_an_idle_process_sees_a_publication_within_two_looks(fees_url: str, issuer: Issuer) -> None:
    one, two = create_app(settings_for(fees_url)), create_app(settings_for(fees_url))
    async with running(one, issuer) as here, running(two, issuer):
        await Desk(here, issuer).published()
        async with asyncio.timeout(3 * WATCH_SECONDS + 5):
            while two.state.law.latest.number < 2:  # noqa: ASYNC110 — a real clock drives the watch
                await asyncio.sleep(0.05)

    assert two.state.law.latest.version == one.state.law.latest.version


async def _start(url: str, issuer: Issuer, folder: Path) -> list[tuple[int, str]]:
    """Start and stop a process that ships `folder`. Returns the publications there are then."""
    settings = settings_for(url).model_copy(update={"catalogue_folder": folder})
    async with running(create_app(settings), issuer) as client:
        answer = await Desk(client, issuer).call("GET", "/v1/versions", "lan")
        return [(item.number, item.reason) for item in VersionPage.model_validate(answer.json()).items]


async def test_a_new_release_keeps_what_officers_published_and_is_taken_once(
    fees_url: str, issuer: Issuer, folder: Path
) -> None:
    passport = folder / "procedures" / "passport.yaml"
    mine = passport.read_text().replace("amount_dong: 200_000", "amount_dong: 210_000", 1)
    documents = {"procedures/passport.yaml": mine, PATH: SUPPORT}
    async with running(create_app(settings_for(fees_url)), issuer) as client:
        await Desk(client, issuer).published(documents=documents)
    old = (passport.read_text(), (folder / "groups.yaml").read_text())
    passport.write_text(old[0] + "# corrected\n")
    (folder / "groups.yaml").write_text(old[1] + "# longer\n")

    upgraded = await _start(fees_url, issuer, folder)
    again = await _start(fees_url, issuer, folder)
    passport.write_text(old[0])
    (folder / "groups.yaml").write_text(old[1])
    late = await _start(fees_url, issuer, folder)

    assert [number for number, _ in upgraded] == [3, 2, 1]
    assert upgraded[0][1].endswith("Officers' documents were kept: procedures/passport.yaml.")
    assert upgraded == again == late
    async with running(create_app(settings_for(fees_url)), issuer) as client:
        texts = [
            (await Desk(client, issuer).call("GET", f"/v1/versions/3/documents/{path}", "lan")).text
            for path in ("procedures/passport.yaml", PATH, "groups.yaml")
        ]
    assert texts == [mine, SUPPORT, old[1] + "# longer\n"]


async def test_a_release_that_contradicts_officers_leaves_the_law_in_force(
    fees_url: str, issuer: Issuer, folder: Path
) -> None:
    async with running(create_app(settings_for(fees_url)), issuer) as client:
        await Desk(client, issuer).published()
    (folder / PATH).with_name("same-rule.yaml").write_text(SUPPORT)

    publications = await _start(fees_url, issuer, folder)

    assert [number for number, _ in publications] == [2, 1]


# --- quotes compared -------------------------------------------------------------------------------


async def test_an_old_quote_is_worked_out_the_same_under_its_own_version(desk: Desk) -> None:
    old = await desk.quote()
    await desk.published()
    answer = await desk.call("GET", f"/v1/quotes/{old.id}/recomputation", "lan")

    difference = QuoteDifference.model_validate(answer.json())
    assert (difference.same, difference.lines) == (True, ())
    assert difference.before_version == difference.after_version == old.catalogue_version


async def test_a_requote_shows_the_difference_line_by_line_and_leaves_the_old_quote(desk: Desk) -> None:
    old = await desk.quote()
    await desk.published()
    answer = await desk.call("POST", f"/v1/quotes/{old.id}/requote", "lan")
    read = await desk.call("GET", f"/v1/quotes/{old.id}", "lan")

    new = Requote.model_validate(answer.json())
    (line,) = new.difference.lines
    assert (answer.status_code, new.quote.requote_of, new.quote.publication) == (201, old.id, 2)
    assert (new.difference.same, line.before_dong, line.after_dong) == (False, 200_000, 200_000)
    assert (line.citizen_before_dong, line.citizen_after_dong) == (200_000, 0)
    assert any("12/2026/NQ-HĐND" in reason.vi for reason in line.reasons)
    assert new.quote.inputs_hash == old.inputs_hash
    assert new.quote.answer_hash != old.answer_hash
    assert Quote.model_validate(read.json()) == old


async def test_an_explanation_keeps_nothing_and_can_be_asked_of_an_earlier_publication(
    desk: Desk, fees_url: str
) -> None:
    await desk.published()
    now = Explanation.model_validate((await desk.call("POST", "/v1/explanations", "lan", FILED)).json())
    then = Explanation.model_validate((await desk.call("POST", "/v1/explanations?publication=1", "lan", FILED)).json())
    nothing = await desk.call("POST", "/v1/explanations?publication=9", "lan", FILED)

    assert (now.publication, now.citizen_dong, then.publication, then.citizen_dong) == (2, 0, 1, 200_000)
    assert nothing.status_code == 404
    connection = await asyncpg.connect(fees_url)
    try:
        assert await connection.fetchval("select count(*) from quote") == 0
    finally:
        await connection.close()
