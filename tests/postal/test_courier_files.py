"""Evidence files: in parts, whole or not at all, to those who may see them, for as long as they are kept."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import qrcode
from moto.server import ThreadedMotoServer
from PIL import Image
from pydantic import SecretStr

from kit.settings import checked_url
from services.postal import codes, evidence, labels
from services.postal.app import create_app
from services.postal.storage import Bucket, EvidenceStore, FileGone, StorageError
from tests.conftest import Issuer, free_port, running
from tests.postal.conftest import Post, event, journey, postal_settings

PART = 64 * 1024
WHOLE = {"upload-offset": "0", "content-type": "application/octet-stream"}


def noise(seed: int = 1, *, place: bool = False, kind: str = "JPEG") -> bytes:
    """A picture of about 200 KB that compresses badly."""
    picture = Image.effect_noise((480, 400), 60 + seed).convert("RGB")
    exif = picture.getexif()
    if place:
        exif.get_ifd(0x8825)[1] = "N"
        exif.get_ifd(0x8825)[2] = (21.0, 1.0, 40.0)
    sink = io.BytesIO()
    picture.save(sink, kind, quality=95, exif=exif)
    return sink.getvalue()


def handed_over_with_a_photo(content: bytes) -> dict[str, Any]:
    files = [{"kind": "handover_photo", "sha256": name_of(content)}]
    return {"receiver": "addressee", "proof": "photo", "files": files}


def name_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    """An S3 server of its own, empty."""
    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    made = Bucket(f"http://127.0.0.1:{port}", "us-east-1", "key", "secret-of-no-worth")
    signed = "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request"
    assert httpx.put(f"{made.endpoint}/evidence", headers={"authorization": signed}).status_code == 200
    yield made
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, bucket: Bucket) -> EvidenceStore:
    """Both kinds of store."""
    return (
        EvidenceStore(str(tmp_path / "kept"))
        if request.param == "folder"
        else EvidenceStore("s3://evidence/a/b", bucket)
    )


@pytest.fixture(params=["folder", "s3"])
async def field(
    request: pytest.FixtureRequest, database: Callable[[str], Any], issuer: Issuer, tmp_path: Path, bucket: Bucket
) -> AsyncIterator[Post]:
    """A postal service that keeps evidence in a folder, or in a bucket."""
    url = await database("postal")
    chosen: dict[str, Any] = {"evidence_store": str(tmp_path / "kept"), "evidence_max_bytes": 512 * 1024}
    if request.param == "s3":
        chosen |= {
            "evidence_store": "s3://evidence/post",
            "evidence_endpoint": checked_url(bucket.endpoint or ""),
            "evidence_region": bucket.region,
            "evidence_access_key_id": bucket.access_key_id,
            "evidence_secret_access_key": SecretStr(bucket.secret_access_key or ""),
        }
    app = create_app(postal_settings(url).model_copy(update=chosen))
    async with running(app, issuer) as client:
        yield Post(app, client, issuer, url)


async def announce(post: Post, content: bytes, *, who: str = "buu-ta-1", **changes: Any) -> httpx.Response:
    body = {"sha256": name_of(content), "media_type": "image/jpeg", "size_bytes": len(content), **changes}
    return await post.client.post("/v1/evidence", json=body, headers=post.courier(who))


async def part(post: Post, content: bytes, start: int, size: int = PART, *, who: str = "buu-ta-1") -> httpx.Response:
    headers = {**post.courier(who), "upload-offset": str(start), "content-type": "application/octet-stream"}
    address = f"/v1/evidence/{name_of(content)}"
    return await post.client.patch(address, content=content[start : start + size], headers=headers)


async def upload(post: Post, content: bytes, *, who: str = "buu-ta-1") -> dict[str, Any]:
    """Announce and send everything from wherever the service says."""
    state: dict[str, Any] = (await announce(post, content, who=who)).json()
    while not state["complete"]:
        answer = await part(post, content, state["offset"], who=who)
        assert answer.status_code == 200, answer.text
        state = answer.json()
    return state


async def test_a_store_keeps_a_file_once_under_its_hash_and_gives_it_back(store: EvidenceStore) -> None:
    content = b"proof"

    assert await store.put(content) == name_of(content) == await store.put(content)
    assert await store.get(name_of(content)) == content
    await store.delete(name_of(content))
    await store.delete(name_of(content))
    with pytest.raises(FileGone):
        await store.get(name_of(content))


async def test_a_file_that_was_changed_in_the_store_is_not_given_out(tmp_path: Path) -> None:
    store = EvidenceStore(str(tmp_path / "kept"))
    name = await store.put(b"proof")
    (tmp_path / "kept" / name[:2] / name).write_bytes(b"prooF")

    with pytest.raises(StorageError, match="other content"):
        await store.get(name)


async def test_an_upload_that_dies_at_eighty_per_cent_goes_on_from_the_servers_offset(field: Post) -> None:
    content = noise()
    sent = 0
    await announce(field, content)
    while sent < 0.8 * len(content):
        sent = (await part(field, content, sent, len(content) // 10)).json()["offset"]
    assert 0.8 * len(content) <= sent < len(content)
    assert (await field.client.get(f"/v1/evidence/{name_of(content)}", headers=field.courier())).status_code == 404

    again = (await announce(field, content)).json()
    last = await part(field, content, again["offset"], len(content))

    assert again == {"sha256": name_of(content), "offset": sent, "complete": False}
    assert last.json() == {"sha256": name_of(content), "offset": len(content), "complete": True}
    given = await field.client.get(f"/v1/evidence/{name_of(content)}", headers=field.courier())
    assert (given.status_code, given.headers["content-type"], given.content) == (200, "image/jpeg", content)
    assert given.headers["cache-control"] == "private, no-store"
    assert await field.rows("select * from evidence_upload") == await field.rows("select * from evidence_chunk") == []
    assert (await announce(field, content)).json()["complete"] is True


async def test_a_part_at_the_wrong_place_is_told_where_to_go_on_and_changes_nothing(post: Post) -> None:
    content = noise()
    await announce(post, content)
    await part(post, content, 0)

    for start in (0, PART - 1, PART + 1):
        answer = await part(post, content, start)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/wrong-offset")
        assert answer.json()["offset"] == PART
    assert len(await post.rows("select * from evidence_chunk")) == 1


async def test_two_requests_with_the_same_part_at_once_keep_it_once(post: Post) -> None:
    content = noise()
    await announce(post, content)

    answers = await asyncio.gather(part(post, content, 0), part(post, content, 0))

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert [row["start_byte"] for row in await post.rows("select start_byte from evidence_chunk")] == [0]


@pytest.mark.parametrize(
    ("content", "media_type", "said"),
    [
        (noise(place=True), "image/jpeg", "the place where it was taken"),
        (noise(kind="PNG"), "image/jpeg", "not of the kind it claims"),
        (b"<script>alert(1)</script>", "image/png", "not of the kind it claims"),
        (b"%PDF-1.7 cut off", "application/pdf", "not of the kind it claims"),
        (noise()[:50_000], "image/jpeg", "not of the kind it claims"),
    ],
)
async def test_what_is_no_clean_picture_is_refused_and_not_kept(
    post: Post, content: bytes, media_type: str, said: str
) -> None:
    await announce(post, content, media_type=media_type)
    headers = {
        **post.courier(),
        "accept-language": "en",
        "upload-offset": "0",
        "content-type": "application/octet-stream",
    }

    answer = await post.client.patch(f"/v1/evidence/{name_of(content)}", content=content, headers=headers)

    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert await post.rows("select * from evidence_file") == await post.rows("select * from evidence_chunk") == []


async def test_content_that_is_not_what_was_announced_is_refused_and_the_right_one_may_follow(field: Post) -> None:
    right = noise()
    wrong = right[:-1] + b"x"
    await announce(field, right)
    headers = {**field.courier(), **WHOLE}
    answer = await field.client.patch(f"/v1/evidence/{name_of(right)}", content=wrong, headers=headers)
    assert answer.status_code == 422

    assert (await upload(field, right))["complete"] is True


async def test_one_courier_cannot_spoil_the_upload_of_another(post: Post) -> None:
    content = noise()
    await announce(post, content, who="buu-ta-2")
    headers = {**post.courier("buu-ta-2"), **WHOLE}
    await post.client.patch(f"/v1/evidence/{name_of(content)}", content=b"x" * PART, headers=headers)

    assert (await upload(post, content))["complete"] is True


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"size_bytes": 3 * 1024 * 1024}, 413),
        ({"size_bytes": 0}, 422),
        ({"media_type": "image/svg+xml"}, 422),
        ({"sha256": "ab"}, 422),
    ],
)
async def test_a_wrong_announcement_is_refused(post: Post, changes: dict[str, Any], status: int) -> None:
    assert (await announce(post, noise(), **changes)).status_code == status
    assert await post.rows("select * from evidence_upload") == []


async def test_a_part_of_an_unannounced_file_or_an_empty_or_a_too_large_one_is_refused(post: Post) -> None:
    content = noise()
    assert (await part(post, content, 0)).status_code == 404
    await announce(post, content)
    assert (await part(post, content, 0, 0)).status_code == 422
    headers = {**post.courier(), **WHOLE}
    large = await post.client.patch(f"/v1/evidence/{name_of(content)}", content=b"x" * 600_000, headers=headers)
    assert large.status_code == 413


async def test_evidence_is_shown_to_its_courier_and_to_dispatchers_and_to_nobody_else(post: Post) -> None:
    content = noise()
    shipment = await post.book("return")
    await post.send(*journey(shipment)[:5])
    await upload(post, content)
    proof = handed_over_with_a_photo(content)
    facts = [event(shipment, "out_for_delivery", 6), event(shipment, "handed_over", 7, evidence=proof)]
    await post.send(*facts, headers=post.courier("buu-ta-3"))
    address = f"/v1/evidence/{name_of(content)}"

    async def seen_by(headers: dict[str, str]) -> int:
        return (await post.client.get(address, headers=headers)).status_code

    assert await seen_by(post.courier("buu-ta-1")) == 200  # who brought it
    assert await seen_by(post.courier("buu-ta-3")) == 200  # who handed the item over
    assert await seen_by(post.dispatcher) == 200
    assert await seen_by(post.courier("buu-ta-2")) == 404
    assert await seen_by(post.office) == 403
    assert await seen_by({}) == 401


async def test_a_delivery_waits_for_its_photo_and_closes_when_the_photo_has_arrived(field: Post) -> None:
    content = noise()
    shipment = await field.book("return")
    await field.send(*journey(shipment)[:6])
    proof = handed_over_with_a_photo(content)
    await field.send(event(shipment, "handed_over", 7, evidence=proof))
    waiting = await field.get(shipment)

    await upload(field, content)

    assert (waiting["status"], waiting["files_missing"]) == ("delivered_pending_evidence", 1)
    closed = await field.get(shipment)
    assert (closed["status"], closed["files_missing"], closed["custodian"]) == ("delivered", 0, "citizen")


async def test_a_store_that_is_away_costs_nothing_but_time(post: Post, tmp_path: Path) -> None:
    content = noise()
    post.app.state.evidence = EvidenceStore("s3://nowhere", Bucket(f"http://127.0.0.1:{free_port()}", "x", "k", "s"))
    await announce(post, content)
    for start in range(0, len(content), PART):
        answer = await part(post, content, start)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert await post.rows("select * from evidence_file") == []

    post.app.state.evidence = EvidenceStore(str(tmp_path / "kept"))
    state = (await announce(post, content)).json()

    assert state == {"sha256": name_of(content), "offset": len(content), "complete": True}


async def test_evidence_past_its_time_is_taken_away_and_its_row_tells_when(field: Post) -> None:
    content = noise()
    await upload(field, content)
    limits = evidence.Limits(max_bytes=10**6, keep_days=180)
    sessions, store = field.app.state.sessions, field.app.state.evidence
    later = datetime.now(UTC) + timedelta(days=181)

    assert await evidence.purge(sessions, store, limits=limits, at=later - timedelta(days=2)) == 0
    assert await evidence.purge(sessions, store, limits=limits, at=later) == 1
    assert await evidence.purge(sessions, store, limits=limits, at=later) == 0

    [row] = await field.rows("select * from evidence_file")
    assert row["purged_at"] == later
    assert (await field.client.get(f"/v1/evidence/{name_of(content)}", headers=field.courier())).status_code == 404


async def test_evidence_of_an_item_on_its_way_outlasts_its_time(post: Post) -> None:
    content = noise()
    shipment = await post.book("return")
    proof = {"files": [{"kind": "door_photo", "sha256": name_of(content)}]}
    failed = event(shipment, "attempt_failed", 7, reason="R01", measure="M1", evidence=proof)
    await post.send(*journey(shipment)[:6], failed)
    await upload(post, content)
    later = datetime.now(UTC) + timedelta(days=4_000)
    limits = evidence.Limits(max_bytes=10**6, keep_days=180)

    assert await evidence.purge(post.app.state.sessions, post.app.state.evidence, limits=limits, at=later) == 0


async def test_the_database_lets_nobody_exchange_a_stored_file(post: Post) -> None:
    await upload(post, noise())

    for statement in ("update evidence_file set sha256 = repeat('a', 64)", "delete from evidence_file"):
        with pytest.raises(Exception, match="evidence stays as it was stored"):
            await post.rows(statement)


async def test_a_photo_of_a_label_is_read_by_the_server(post: Post) -> None:
    shipment = await post.book("return")
    sink = io.BytesIO()
    content = labels.qr_content("http://postal.test", "l" * 32, shipment["s10"])
    image = qrcode.make(content).get_image().convert("L").rotate(11, expand=True, fillcolor=255)
    image.save(sink, "JPEG", quality=60)
    headers = {**post.courier(), "content-type": "application/octet-stream"}

    answer = await post.client.post("/v1/scans", content=sink.getvalue(), headers=headers)
    blank = await post.client.post("/v1/scans", content=noise(), headers=headers)
    nothing = await post.client.post("/v1/scans", content=b"no picture", headers=headers)

    [code] = answer.json()["codes"]
    assert (code["s10"], code["label"], code["text"]) == (shipment["s10"], "right", content)
    assert (blank.status_code, blank.json()) == (200, {"codes": []})
    assert nothing.status_code == 422


def test_a_delivery_code_is_told_from_a_wrong_one_by_its_seal_alone() -> None:
    code = codes.receiver_code("l" * 32, "RR123456785XX")
    seal = codes.receiver_seal("l" * 32, "RR123456785XX")

    assert len(code) == 8
    assert codes.is_code(f"{code[:4]}-{code[4:]}".lower(), secret="l" * 32, number="RR123456785XX")
    assert codes.seal_of(code, salt=seal.salt).digest == seal.digest
    assert codes.seal_of("00000000", salt=seal.salt).digest != seal.digest
    assert codes.receiver_code("l" * 32, "RR123456776XX") != code
    assert code not in f"{seal.salt}{seal.digest}".upper()


async def test_a_citizen_sees_the_proof_of_his_own_papers_by_his_own_link_and_no_other(post: Post) -> None:
    content, foreign = noise(), noise()
    mine, other = await post.book("return"), await post.book("return")
    for shipment, proof in ((mine, content), (other, foreign)):
        handed = event(shipment, "handed_over", 7, evidence=handed_over_with_a_photo(proof))
        await post.send(*journey(shipment)[:6], handed)
        await upload(post, proof)
    links = f"/v1/shipments/{mine['id']}/links"
    made = await post.client.post(links, headers={**post.office, "idempotency-key": "link-1"})
    path = "/my/" + made.json()["url"].rsplit("/", 1)[1]
    desk = await post.rows("select 1 from event_file")

    page = await post.client.get(path, headers={"accept": "text/html"})
    seen = await post.client.get(f"{path}/evidence/{name_of(content)}")

    assert len(desk) == 2
    assert f'href="{path}/evidence/{name_of(content)}"' in page.text
    assert (seen.status_code, seen.content, seen.headers["cache-control"]) == (200, content, "private, no-store")
    assert (await post.client.get(f"{path}/evidence/{name_of(foreign)}")).status_code == 404
    assert (await post.client.get(f"/my/{'x' * 43}/evidence/{name_of(content)}")).status_code == 404
