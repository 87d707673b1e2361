"""The log proves itself: daily seals, receipts verified offline, and every way of rewriting it found."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from playwright.async_api import Page, async_playwright

from kit.db import transaction
from services.postal import chain, merkle, queries, roots, verify
from tests.postal.conftest import Post, event, journey

SCRIPT = Path(roots.__file__).parent / "static" / "verify_receipt.py"
CHROMIUM = Path("/usr/bin/chromium")


async def seal(post: Post) -> list[dict[str, Any]]:
    """Seal today, as it happens the day after tomorrow."""
    async with transaction(post.app.state.sessions) as session:
        await roots.publish_roots(session, at=datetime.now(UTC) + timedelta(days=2))
    answer = await post.client.get("/v1/custody/roots")
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def bundle_of(post: Post, shipment: dict[str, Any]) -> dict[str, Any]:
    answer = await post.client.get(f"/v1/shipments/{shipment['id']}/receipt/bundle", headers=post.office)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def delivered(post: Post, *, others: int = 3) -> dict[str, Any]:
    """A leg gone well, among others."""
    for _ in range(others):
        other = await post.book()
        await post.send(*journey(other))
    shipment = await post.book()
    await post.send(*journey(shipment))
    return shipment


async def as_superuser(post: Post, *statements: str) -> None:
    """What only somebody with all rights over the database can do."""
    connection = await asyncpg.connect(post.database_url)
    try:
        await connection.execute("set session_replication_role = replica")
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def run_script(folder: Path, bundle: dict[str, Any], *arguments: str) -> tuple[int, str]:
    """The public script, as a citizen runs it: alone, isolated from everything installed."""
    file = folder / "receipt.json"
    file.write_text(json.dumps(bundle), encoding="utf-8")
    command = [sys.executable, "-I", "-S", str(SCRIPT), str(file), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONIOENCODING": "utf-8"})
    return done.returncode, done.stdout + done.stderr


async def test_every_day_is_sealed_once_and_bound_to_the_day_before(post: Post) -> None:
    await delivered(post)

    first = await seal(post)
    again = await seal(post)

    newest, today = first
    assert again == first
    assert (today["size"], newest["size"]) == (28, 0)
    assert (today["previous_seal"], today["previous_day"]) == ("0" * 64, None)
    assert (newest["previous_day"], newest["previous_seal"]) == (today["day"], today["seal"])
    assert newest["root"] == merkle.EMPTY
    leaves = sorted(row["hash"] for row in await post.rows("select hash from event"))
    assert today["root"] == merkle.root_of([bytes.fromhex(leaf) for leaf in leaves])
    text = f"custody-root/1\n{today['day']}\n28\n{today['root']}\n{'0' * 64}\n"
    assert today["seal"] == chain.text_hash(text)
    assert (await post.client.get(f"/v1/custody/roots/{today['day']}")).json() == today
    assert (await post.client.get("/v1/custody/roots/2001-01-01")).status_code == 404


async def test_a_day_is_not_sealed_before_it_is_over(post: Post) -> None:
    await delivered(post, others=0)
    async with transaction(post.app.state.sessions) as session:
        _, midnight = roots.bounds_of(roots.day_of(datetime.now(UTC)))
        early = await roots.publish_roots(session, at=midnight + timedelta(minutes=9))
        in_time = await roots.publish_roots(session, at=midnight + timedelta(minutes=10))

    assert (early, [row.size for row in in_time]) == ([], [7])


async def test_published_seals_cannot_be_changed_or_taken_away(post: Post) -> None:
    await delivered(post, others=0)
    await seal(post)
    for statement in (
        "update custody_root set size = 1",
        "delete from custody_root",
        "truncate custody_root",
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="only grows"):
            await post.rows(statement)


async def test_a_receipt_is_verified_by_the_public_script_without_a_network(post: Post, tmp_path: Path) -> None:
    shipment = await delivered(post)
    fresh = await bundle_of(post, shipment)
    [_, today] = await seal(post)
    sealed = await bundle_of(post, shipment)

    assert (fresh["root"], fresh["proof"]) == (None, None)
    assert run_script(tmp_path, fresh)[0] == 0
    assert "CHƯA / wait" in run_script(tmp_path, fresh)[1]
    code, said = run_script(tmp_path, sealed, today["seal"])
    assert (code, said.count("ĐÚNG / yes")) == (0, 5)
    assert run_script(tmp_path, sealed, "0" * 64)[0] == 1
    assert run_script(tmp_path, {"format": "something else"})[0] == 2


async def test_any_change_of_a_receipt_is_found_by_the_public_script(post: Post, tmp_path: Path) -> None:
    shipment = await delivered(post)
    await seal(post)
    right = await bundle_of(post, shipment)
    changes: dict[str, Any] = {
        "receipt.seal_number": "NP-8",
        "receipt.page_count": 6,
        "receipt.collected_by": "somebody",
        "receipt.collected_at": "2026-01-01T00:00:00Z",
        "receipt.event_hash": "0" * 64,
        "fact.body": right["fact"]["body"].replace("NP-7", "NP-8"),
        "fact.prev_hash": "1" * 64,
        "fact.hash": "2" * 64,
        "root.root": "3" * 64,
        "root.size": 29,
        "root.previous_seal": "4" * 64,
        "proof.index": right["proof"]["index"] ^ 1,
        "proof.path": right["proof"]["path"][:-1],
    }
    for path, value in changes.items():
        forged = json.loads(json.dumps(right))
        part, field = path.split(".")
        forged[part][field] = value

        assert run_script(tmp_path, forged)[0] == 1, path


async def test_a_receipt_is_given_to_whoever_holds_it_and_to_nobody_else(post: Post) -> None:
    shipment = await delivered(post, others=0)
    code = (await post.get(shipment))["receipt_code"]

    right = await post.client.get(f"/v1/receipts/{code}", params={"s10": shipment["s10"].lower()})
    wrong = await post.client.get(f"/v1/receipts/{code}", params={"s10": "RB123456785GB"})

    assert (right.status_code, right.json()["receipt"]["receipt_code"]) == (200, code)
    assert wrong.status_code == 404


async def rewrite_history(post: Post, shipment: dict[str, Any]) -> None:
    """A thorough forger: changes one fact, then makes every later hash and the head of the chain fit again."""
    await as_superuser(
        post, f"update event set note = 'x' where shipment_id = '{shipment['id']}' and chain_position = 3"
    )
    async with post.app.state.sessions() as session:
        log = (await queries.events_of(session, [shipment["id"]]))[shipment["id"]]
    previous = log[1].event.hash
    statements = []
    for entry in log[2:]:
        link = chain.link_hash(previous, queries.log_body(entry.event))
        statements.append(f"update event set prev_hash = '{previous}', hash = '{link}' where id = '{entry.event.id}'")
        previous = link
    await as_superuser(
        post, *statements, f"update shipment set chain_head = '{previous}' where id = '{shipment['id']}'"
    )


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("update event set note = 'x' where id = '{event}'", "the log is not as it was written, from fact 3 on"),
        ("update event set actor = 'me' where id = '{event}'", "the log is not as it was written, from fact 3 on"),
        ("delete from verdict where event_id = '{event}'", "the log is not as it was written, from fact 3 on"),
        (
            "update shipment set status = 'returned', custodian = 'citizen' where s10 = '{s10}'",
            "the list says returned",
        ),
    ],
)
async def test_the_verify_command_finds_one_changed_row(post: Post, statement: str, found: str) -> None:
    shipment = await delivered(post, others=1)
    await seal(post)
    [row] = await post.rows("select id from event where shipment_id = $1 and chain_position = 3", shipment["id"])

    before = await verify.look_through(post.database_url, {})
    await as_superuser(post, statement.format(event=row["id"], s10=shipment["s10"]))
    after = await verify.look_through(post.database_url, {})

    assert before == []
    assert after[0].what == shipment["s10"]
    assert after[0].words.startswith(found)


async def test_a_history_rewritten_with_all_its_hashes_is_found_by_the_seal(post: Post) -> None:
    shipment = await delivered(post)
    [_, today] = await seal(post)

    await rewrite_history(post, shipment)

    day = today["day"]
    assert [(f.what, f.words) for f in await verify.look_through(post.database_url, {})] == [
        (day, "the stored facts are not those that were sealed")
    ]


async def test_a_forger_who_also_replaces_the_seals_is_found_by_a_seal_kept_elsewhere(
    post: Post, tmp_path: Path
) -> None:
    shipment = await delivered(post)
    [_, today] = await seal(post)
    kept = await bundle_of(post, shipment)

    await rewrite_history(post, shipment)
    await as_superuser(post, "truncate custody_root")
    [_, forged] = await seal(post)
    new = await bundle_of(post, shipment)

    known = {date.fromisoformat(today["day"]): today["seal"]}
    assert await verify.look_through(post.database_url, {}) == []
    [finding] = await verify.look_through(post.database_url, known)
    assert (finding.what, finding.words) == (today["day"], "the seal you know is not the one that is stored")
    assert run_script(tmp_path, kept, forged["seal"])[0] == 1
    assert run_script(tmp_path, new, today["seal"])[0] == 1


async def test_the_verify_command_ends_with_one_when_something_is_wrong(post: Post) -> None:
    shipment = await delivered(post, others=0)
    command = [sys.executable, "-m", "services.postal.verify"]
    environment = {"POSTAL_DATABASE_URL": post.database_url, "PATH": "/usr/bin"}

    def look() -> tuple[int, str]:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        return done.returncode, done.stdout

    intact = look()
    await as_superuser(post, "update event set place = 'elsewhere' where chain_position = 2")

    assert intact == (0, "intact\n")
    code, said = look()
    assert code == 1
    assert said == f"{shipment['s10']}: the log is not as it was written, from fact 2 on\n1 finding(s)\n"


async def test_a_fact_slipped_into_a_sealed_day_is_found(post: Post) -> None:
    shipment = await delivered(post, others=0)
    await seal(post)

    await post.send(event(shipment, "departed", 9))

    [finding] = await verify.look_through(post.database_url, {})
    assert finding.words == "7 facts were sealed, 8 are stored"


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        context = await browser.new_context(offline=True, viewport={"width": 360, "height": 740}, locale="vi-VN")
        yield await context.new_page()
        await browser.close()


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium")
async def test_the_saved_page_verifies_a_receipt_offline_and_finds_a_changed_row(
    post: Post, page: Page, tmp_path: Path
) -> None:
    shipment = await delivered(post)
    [_, today] = await seal(post)
    right = await bundle_of(post, shipment)
    await as_superuser(
        post,
        "update event set evidence = jsonb_set(evidence, '{page_count}', '4') "
        f"where shipment_id = '{shipment['id']}' and chain_position = 2",
    )
    tampered = await bundle_of(post, shipment)
    saved = tmp_path / "verify.html"
    answer = await post.client.get("/verify/offline.html")
    saved.write_bytes(answer.content)
    await page.goto(saved.as_uri())

    async def verdict(bundle: dict[str, Any], seal_known: str = "") -> tuple[str | None, list[str | None]]:
        await page.fill("#receipt-text", json.dumps(bundle))
        await page.fill("#known-seal", seal_known)
        await page.click("button")
        await page.wait_for_function("!document.getElementById('result').hidden")
        lines = await page.locator("#checks li").all()
        return (
            await page.get_attribute("#verdict", "data-verdict"),
            [await line.get_attribute("data-passed") for line in lines],
        )

    assert answer.headers["content-disposition"].startswith("attachment")
    assert await verdict(right, today["seal"]) == ("right", ["true"] * 5)
    assert (await verdict(right, "0" * 64))[0] == "wrong"
    assert (await verdict({**right, "root": None}))[0] == "waits"
    assert (await verdict(tampered))[1][0] == "false"
    assert (await verdict(tampered))[0] == "wrong"
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_the_public_page_needs_no_sign_in_and_shows_the_seals(post: Post) -> None:
    await delivered(post, others=0)
    [_, today] = await seal(post)

    answer = await post.client.get("/verify", headers={"accept": "text/html"})

    assert answer.status_code == 200
    assert today["seal"] in answer.text
    assert "verify_receipt.py" in answer.text
    assert (await post.client.get("/static/postal/verify_receipt.py")).content == SCRIPT.read_bytes()
