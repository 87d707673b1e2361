"""Cash at the door, deposits, compensation: each đồng once, each date by the law."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from kit.db import transaction
from kit.web import LOCAL_ZONE
from services.postal import cases, deadlines, rules
from tests.postal.conftest import PROOF, Post, event, journey

CASH = {"amount_dong": 167_000, "payment_id": "pay_1", "attempt_reference": "LTCASH1"}


async def _delivered_with_cash(post: Post, courier: str, amount: int = 167_000) -> dict[str, Any]:
    shipment = await post.book("return", cash=CASH)
    road = journey(shipment)
    road[-1]["cash_collected_dong"] = amount
    await post.send(*road, headers=post.courier(courier))
    return shipment


async def _outbox(post: Post, kind: str) -> list[dict[str, Any]]:
    rows = await post.rows("select data from outbox where kind = $1 order by id", kind)
    return [json.loads(row["data"]) for row in rows]


async def test_cash_at_the_door_is_recorded_once_and_announced_with_its_collector(post: Post) -> None:
    shipment = await _delivered_with_cash(post, "buu-ta-1")

    found = await post.get(shipment)
    assert (found["cash_due_dong"], found["cash_collected_dong"]) == (167_000, 167_000)
    [news] = await _outbox(post, "shipment.cash_collected")
    assert news["cash_collected_dong"] == 167_000
    assert news["collector"] == "buu-ta-1"
    assert news["dossier_code"] == shipment["dossier_code"]
    assert news["shipment_id"] == shipment["id"]


async def test_another_amount_is_an_anomaly_and_more_than_due_is_not_counted(post: Post) -> None:
    less = await post.get(await _delivered_with_cash(post, "buu-ta-1", 160_000))
    more = await post.get(await _delivered_with_cash(post, "buu-ta-1", 167_001))

    assert (less["cash_collected_dong"], less["events"][-1]["anomaly"]) == (160_000, "cash_differs")
    assert (more["cash_collected_dong"], more["events"][-1]["anomaly"]) == (0, "cash_above_due")
    assert less["status"] == more["status"] == "delivered"
    assert len(await _outbox(post, "shipment.anomaly")) == 2


async def test_cash_is_one_collection_a_shipment_whatever_is_sent(post: Post) -> None:
    shipment = await _delivered_with_cash(post, "buu-ta-1")
    twice = event(shipment, "handed_over", 9, evidence=PROOF["return"], cash_collected_dong=167_000)

    await post.send(twice, headers=post.courier("buu-ta-2"))

    assert await post.rows("select courier, amount_dong from cash_collection") == [
        {"courier": "buu-ta-1", "amount_dong": 167_000}
    ]
    with pytest.raises(asyncpg.UniqueViolationError):
        await post.rows("insert into cash_collection select * from cash_collection")


async def test_a_deposit_takes_all_cash_of_the_courier_once_and_records_the_difference(post: Post) -> None:
    mine = [await _delivered_with_cash(post, "buu-ta-1") for _ in range(2)]
    await _delivered_with_cash(post, "buu-ta-2")
    body = {"event_id": "shift-1", "courier": "buu-ta-1", "counted_dong": 330_000}

    first = await post.client.post("/v1/deposits", json=body, headers=post.courier("buu-ta-1"))
    again = await post.client.post("/v1/deposits", json=body, headers=post.courier("buu-ta-1"))
    other = await post.client.post(
        "/v1/deposits", json={**body, "counted_dong": 334_000}, headers=post.courier("buu-ta-1")
    )
    nothing = await post.client.post("/v1/deposits", json={**body, "event_id": "x"}, headers=post.courier("buu-ta-1"))

    deposit = first.json()
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == deposit
    assert deposit["expected_dong"] == 334_000
    assert deposit["difference_dong"] == -4_000
    assert deposit["dossier_codes"] == sorted(shipment["dossier_code"] for shipment in mine)
    assert (other.status_code, other.json()["differs"]) == (409, ["counted_dong"])
    assert (nothing.status_code, nothing.json()["type"]) == (409, "/problems/nothing-to-deposit")
    [news] = await _outbox(post, "deposit.made")
    assert news["amount_dong"] == 330_000
    assert news["reference"] == deposit["reference"]
    assert news["dossier_codes"] == deposit["dossier_codes"]
    assert news["collector"] == "buu-ta-1"
    open_cash = await post.rows("select courier from cash_collection where deposit_id is null")
    assert open_cash == [{"courier": "buu-ta-2"}]


async def test_two_deposits_at_once_never_count_the_same_cash(post: Post) -> None:
    await _delivered_with_cash(post, "buu-ta-1")

    answers = await asyncio.gather(
        *(
            post.client.post(
                "/v1/deposits",
                json={"event_id": f"shift-{n}", "courier": "buu-ta-1", "counted_dong": 167_000},
                headers=post.courier("buu-ta-1"),
            )
            for n in range(4)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert await post.rows("select expected_dong from deposit") == [{"expected_dong": 167_000}]


async def test_a_courier_deposits_only_his_own_cash_but_the_office_may_do_it_for_him(post: Post) -> None:
    await _delivered_with_cash(post, "buu-ta-1")
    body = {"event_id": "shift-1", "courier": "buu-ta-1", "counted_dong": 167_000}

    by_another = await post.client.post("/v1/deposits", json=body, headers=post.courier("buu-ta-2"))
    assert await post.rows("select 1 from deposit") == []
    by_office = await post.client.post("/v1/deposits", json=body, headers=post.office)

    assert (by_another.status_code, by_office.status_code) == (403, 201)


# --- claims --------------------------------------------------------------------------------------


async def _lost(post: Post, **changes: Any) -> dict[str, Any]:
    shipment = await post.book("return", **changes)
    await post.send(event(shipment, "collected", 1), event(shipment, "declared_lost", 2))
    return shipment


async def _claim(post: Post, shipment: dict[str, Any], key: str = "k", reason: str = "lost") -> Any:
    body = {"claim_key": key, "shipment_id": shipment["id"], "reason": reason}
    return await post.client.post("/v1/claims", json=body, headers=post.office)


async def test_loss_is_compensated_four_times_the_gross_postage_with_the_legal_dates(post: Post) -> None:
    shipment = await _lost(post, postage_dong=30_500)

    first, again = await _claim(post, shipment), await _claim(post, shipment)

    claim = first.json()
    today = datetime.now(LOCAL_ZONE).date()
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == claim
    assert claim["compensation_dong"] == 122_000
    assert claim["status"] == "submitted"
    assert claim["answer_by"] == rules.answer_by(today).isoformat()
    assert claim["pay_by"] is None
    [news] = await _outbox(post, "claim.submitted")
    assert (news["claim_id"], news["status"], news["dossier_code"]) == (claim["id"], "submitted", claim["dossier_code"])


async def test_a_claim_goes_from_decision_to_payment_once_each(post: Post) -> None:
    claim = (await _claim(post, await _lost(post))).json()
    url = f"/v1/claims/{claim['id']}"

    async def act(path: str, key: str, body: dict[str, str] | None = None) -> Any:
        return await post.client.post(url + path, json=body, headers=post.dispatcher | {"idempotency-key": key})

    too_soon = await act("/paid", "a")
    approved = await act("/decision", "b", {"decision": "approve", "note": "không tìm thấy"})
    approved_again = await act("/decision", "c", {"decision": "approve"})
    reversed_ = await act("/decision", "d", {"decision": "reject"})
    paid, paid_again = await act("/paid", "e"), await act("/paid", "f")

    assert (too_soon.status_code, too_soon.json()["type"]) == (409, "/problems/not-approved")
    assert approved.json()["status"] == "approved"
    decided = datetime.fromisoformat(approved.json()["decided_at"]).astimezone(LOCAL_ZONE).date()
    assert approved.json()["pay_by"] == (decided + timedelta(days=30)).isoformat()
    assert approved_again.json() == approved.json()
    assert (reversed_.status_code, reversed_.json()["type"]) == (409, "/problems/already-decided")
    assert paid.json() == paid_again.json()
    assert (await post.client.get(url, headers=post.office)).json() == paid.json()
    assert paid.json()["status"] == "paid"
    assert [kind for kind in await post.news() if kind.startswith("claim.")] == [
        "claim.submitted",
        "claim.approved",
        "claim.paid",
    ]


async def test_a_rejected_claim_owes_nothing_and_leaves_room_for_another(post: Post) -> None:
    shipment = await _lost(post)
    claim = (await _claim(post, shipment)).json()
    second_too_early = await _claim(post, shipment, key="k2")

    rejected = await post.client.post(
        f"/v1/claims/{claim['id']}/decision",
        json={"decision": "reject", "note": "sai bưu gửi"},
        headers=post.dispatcher | {"idempotency-key": "r"},
    )
    second = await _claim(post, shipment, key="k2")

    assert (second_too_early.status_code, second_too_early.json()["type"]) == (409, "/problems/already-claimed")
    assert (rejected.json()["status"], rejected.json()["compensation_dong"]) == ("rejected", 0)
    assert second.status_code == 201
    assert (await post.news())[-2:] == ["claim.rejected", "claim.submitted"]


async def test_nothing_is_claimed_for_what_is_not_lost_or_never_collected(post: Post) -> None:
    booked, on_the_way = await post.book(), await post.book()
    await post.send(event(on_the_way, "collected"))

    answers = [
        await _claim(post, on_the_way, "a"),
        await _claim(post, on_the_way, "b", "damaged"),
        await _claim(post, booked, "c", "late"),
    ]

    assert [(a.status_code, a.json()["type"]) for a in answers] == [(409, "/problems/nothing-to-claim")] * 3
    assert await post.rows("select 1 from claim") == []


def _later(monkeypatch: pytest.MonkeyPatch, **duration: float) -> None:
    """Claims are made so much later than everything else."""
    moment = datetime.now(UTC) + timedelta(**duration)
    monkeypatch.setattr("services.postal.claims.now", lambda: moment)


async def test_lateness_is_claimed_after_the_published_time_and_within_six_months(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    early, late, too_late = await post.book(), await post.book(), await post.book()
    for shipment in (early, late, too_late):
        await post.send(event(shipment, "collected"))

    first = await _claim(post, early, "a", "late")
    _later(monkeypatch, days=30)
    second = await _claim(post, late, "b", "late")
    _later(monkeypatch, days=230)
    third = await _claim(post, too_late, "c", "late")

    assert (first.status_code, first.json()["type"]) == (409, "/problems/not-late")
    assert (second.status_code, second.json()["compensation_dong"]) == (201, 26_000)
    assert (third.status_code, third.json()["type"]) == (409, "/problems/claim-too-late")
    assert await post.rows("select claim_key from claim") == [{"claim_key": "b"}]


async def test_an_item_delivered_in_time_was_not_late(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    shipment = await post.book("return")
    await post.send(*journey(shipment))
    _later(monkeypatch, days=60)

    refused = await _claim(post, shipment, "a", "late")

    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/not-late")


async def test_an_undecided_claim_for_lateness_gives_way_to_one_for_loss(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipment = await post.book("return")
    await post.send(event(shipment, "collected", 1))
    _later(monkeypatch, days=30)
    await _claim(post, shipment, "late", "late")
    await post.send(event(shipment, "declared_lost", 2))

    lost = await _claim(post, shipment, "lost")

    assert (lost.status_code, lost.json()["compensation_dong"]) == (201, 104_000)
    rows = await post.rows("select reason, status, compensation_dong from claim order by id")
    assert [tuple(row.values()) for row in rows] == [("late", "rejected", 0), ("lost", "submitted", 104_000)]


async def test_an_item_presumed_lost_can_be_claimed_before_it_is_declared(post: Post) -> None:
    shipment = await post.book("return")
    await post.send(*journey(shipment)[:3])
    refused = await _claim(post, shipment)
    async with transaction(post.app.state.sessions) as session:
        later = datetime.now(UTC) + timedelta(days=30)
        await cases.check_deadlines(session, shipment["id"], plan=post.app.state.plan, at=later)

    allowed = await _claim(post, shipment, shipment["id"])
    await post.send(event(shipment, "declared_lost", 8))
    of_the_workflow = await _claim(post, shipment, shipment["id"])

    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/nothing-to-claim")
    assert (allowed.status_code, of_the_workflow.status_code) == (201, 200)
    assert of_the_workflow.json()["id"] == allowed.json()["id"]


@pytest.mark.parametrize(
    ("reason", "published", "delivered", "until"),
    [
        ("lost", date(2026, 3, 12), None, date(2026, 9, 12)),
        ("late", date(2026, 8, 31), date(2026, 9, 5), date(2027, 2, 28)),
        ("damaged", date(2026, 3, 12), date(2026, 3, 10), date(2026, 4, 10)),
        ("damaged", date(2026, 3, 12), None, date(2026, 4, 20)),
        ("lost", None, None, date(2026, 9, 20)),
    ],
)
def test_the_time_to_complain_follows_the_law(
    reason: str, published: date | None, delivered: date | None, until: date
) -> None:
    found = deadlines.claim_until(
        reason, published_end=published, delivered_on=delivered, declared_on=date(2026, 3, 20)
    )

    assert found == until


# --- the shift at the counter --------------------------------------------------------------------


async def _count(post: Post, counted: int, cause: str = "none", **changes: Any) -> Any:
    body = {"event_id": "shift-1", "courier": "buu-ta-1", "counted_dong": counted, "cause": cause}
    headers = changes.pop("headers", post.dispatcher)
    return await post.client.post("/v1/shifts", json=body | changes, headers=headers)


async def test_a_shift_is_counted_by_somebody_else_and_deposited_once(post: Post) -> None:
    await _delivered_with_cash(post, "buu-ta-1")
    himself = post.headers("postal:dispatch", subject="buu-ta-1")

    alone = await _count(post, 167_000, headers=himself)
    first, again = await _count(post, 167_000), await _count(post, 167_000)

    assert alone.status_code == 403
    assert first.json() == again.json()
    assert (first.json()["counted_by"], first.json()["difference_dong"]) == ("dieu-phoi", 0)
    assert len(await _outbox(post, "deposit.made")) == 1
    assert await post.rows("select 1 from problem_case") == []


async def test_a_difference_needs_its_cause_and_becomes_a_case(post: Post) -> None:
    await _delivered_with_cash(post, "buu-ta-1")

    nameless = await _count(post, 160_000)
    groundless = await _count(post, 167_000, "courier_owes")
    assert await post.rows("select 1 from deposit") == []
    counted = await _count(post, 160_000, "courier_owes")

    assert (nameless.status_code, groundless.status_code) == (422, 422)
    assert nameless.json()["errors"][0]["field"] == "cause"
    assert (counted.status_code, counted.json()["difference_dong"]) == (200, -7_000)
    assert await post.rows("select kind, courier from problem_case") == [
        {"kind": "shift_difference", "courier": "buu-ta-1"}
    ]


async def test_what_a_courier_handed_in_alone_is_counted_afterwards(post: Post) -> None:
    await _delivered_with_cash(post, "buu-ta-1")
    body = {"event_id": "shift-1", "courier": "buu-ta-1", "counted_dong": 167_000}
    await post.client.post("/v1/deposits", json=body, headers=post.courier("buu-ta-1"))

    counted = await _count(post, 167_000)

    assert (counted.status_code, counted.json()["counted_by"]) == (200, "dieu-phoi")
    assert len(await post.rows("select 1 from deposit")) == 1
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await post.rows("update shift_count set counted_dong = 1")


async def test_floats_show_what_is_too_much_or_too_old(post: Post) -> None:
    await _delivered_with_cash(post, "buu-ta-1")
    await _delivered_with_cash(post, "buu-ta-2", 160_000)
    post.app.state.desk_terms = replace(post.app.state.desk_terms, float_limit_dong=165_000)

    found = (await post.client.get("/v1/floats", headers=post.office)).json()

    assert [(f["courier"], f["float_dong"], f["over_limit"], f["too_old"]) for f in found] == [
        ("buu-ta-1", 167_000, True, False),
        ("buu-ta-2", 160_000, False, False),
    ]


async def test_the_books_take_over_a_deposit_once(post: Post) -> None:
    await _delivered_with_cash(post, "buu-ta-1")
    deposit = (await _count(post, 167_000)).json()["deposit_id"]
    url = f"/v1/deposits/{deposit}/remitted"

    first, again = await post.client.post(url, headers=post.office), await post.client.post(url, headers=post.office)
    unknown = await post.client.post("/v1/deposits/dep_1/remitted", headers=post.office)

    assert first.json() == again.json()
    assert unknown.status_code == 404


async def test_the_claim_key_stands_for_one_claim(post: Post) -> None:
    one, two = await _lost(post), await _lost(post)
    await _claim(post, one)

    other = await _claim(post, two)

    assert (other.status_code, other.json()["differs"]) == (409, ["shipment_id"])


async def test_claims_are_listed_by_status_and_dossier(post: Post) -> None:
    made = [(await _claim(post, await _lost(post), f"k{n}")).json() for n in range(3)]
    await post.client.post(
        f"/v1/claims/{made[0]['id']}/decision",
        json={"decision": "approve"},
        headers=post.dispatcher | {"idempotency-key": "a"},
    )

    async def ids(**query: str | int) -> list[str]:
        page = (await post.client.get("/v1/claims", params=query, headers=post.office)).json()
        return [item["id"] for item in page["items"]]

    assert await ids() == [claim["id"] for claim in reversed(made)]
    assert await ids(limit=2) == [made[2]["id"], made[1]["id"]]
    assert await ids(status="approved") == [made[0]["id"]]
    assert await ids(dossier_code=made[1]["dossier_code"]) == [made[1]["id"]]


@pytest.mark.parametrize(
    ("submitted", "answer"),
    [
        (date(2026, 1, 15), date(2026, 3, 15)),
        (date(2025, 12, 31), date(2026, 2, 28)),
        (date(2027, 12, 31), date(2028, 2, 29)),
        (date(2026, 11, 30), date(2027, 1, 30)),
    ],
)
def test_two_months_end_on_the_same_day_or_the_last(submitted: date, answer: date) -> None:
    assert rules.answer_by(submitted) == answer


def test_compensation_follows_the_reason() -> None:
    assert [rules.compensation(reason, 26_000) for reason in ("lost", "damaged", "late")] == [104_000, 104_000, 26_000]


async def test_a_decision_needs_a_dispatcher(post: Post) -> None:
    claim = (await _claim(post, await _lost(post))).json()

    refused = await post.client.post(
        f"/v1/claims/{claim['id']}/decision",
        json={"decision": "approve"},
        headers=post.office | {"idempotency-key": "a"},
    )

    assert refused.status_code == 403
    assert (await post.client.get(f"/v1/claims/{claim['id']}", headers=post.office)).json() == claim
    assert claim["created_at"] <= datetime.now(UTC).isoformat()
