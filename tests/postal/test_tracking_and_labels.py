"""What the public may see, and what is printed: the item number, never the person."""

import json
import logging
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from services.postal import labels
from tests.postal.conftest import CHECKLIST, PERSON, Post, event, journey

SECRET = "l" * 32


async def test_tracking_needs_no_token_and_tells_state_custodian_and_next_step(post: Post) -> None:
    shipment = await post.book("return")
    await post.send(*journey(shipment)[:5])

    answer = await post.client.get(f"/v1/tracking/{shipment['s10']}")

    found = answer.json()
    assert answer.status_code == 200
    assert (found["status"], found["custodian"]) == ("at_delivery_office", "post_office")
    assert found["status_vi"] == "Đã đến bưu cục phát"
    assert found["next_en"] == "A courier will take the envelope out for delivery."
    assert [(e["text_en"], e["place"]) for e in found["events"]] == [
        ("Courier set out to pick up", ""),
        ("Counted, sealed and picked up in full", ""),
        ("Arrived at the office of posting", "BC Hoàn Kiếm"),
        ("Left the post office", "BC Hoàn Kiếm"),
        ("Arrived at the delivery office", "BC Ba Đình"),
    ]
    spelled = await post.client.get(f"/v1/tracking/{shipment['s10'][:2].lower()} {shipment['s10'][2:]}")
    assert spelled.json() == found


async def test_tracking_shows_only_facts_that_count(post: Post) -> None:
    shipment = await post.book()
    await post.send(event(shipment, "attempt_failed", reason="R01", measure="M1"))

    assert (await post.client.get(f"/v1/tracking/{shipment['s10']}")).json()["events"] == []


async def test_tracking_tells_a_wrong_number_from_an_unknown_one(post: Post) -> None:
    wrong = await post.client.get("/v1/tracking/RB123456786GB")
    unknown = await post.client.get("/v1/tracking/RB123456785GB")

    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "s10")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "/problems/no-such-shipment")


async def test_no_personal_data_in_tracking_news_or_logs(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shipment = await post.book("return", cash={"amount_dong": 1_000, "payment_id": "p", "attempt_reference": "a"})
    road = journey(shipment)
    road[-1] |= {"note": f"giao cho {PERSON['name']}", "place": PERSON["address"], "cash_collected_dong": 1_000}
    await post.send(*road)

    tracking = (await post.client.get(f"/v1/tracking/{shipment['s10']}")).text
    page = (await post.client.get(f"/track/{shipment['s10']}")).text
    news = json.dumps(await post.rows("select kind, subject, data from outbox"), ensure_ascii=False)

    await post.client.put("/v1/contacts/x", json=PERSON | {"commune": "no"}, headers=post.office)
    logging.getLogger("services.postal").info("marker")
    logs = "\n".join(f"{r.getMessage()} {r.__dict__}" for r in caplog.records if r.name != "asyncio")
    assert "marker" in logs
    for name, text in (("tracking", tracking), ("page", page), ("news", news), ("logs", logs)):
        for value in (*PERSON.values(), *CHECKLIST):
            assert value not in text, f"{value} in {name}"
    assert shipment["dossier_code"] not in tracking
    assert shipment["dossier_code"] not in page


# --- labels --------------------------------------------------------------------------------------


def _text_of(pdf: bytes, folder: Path) -> str:
    tool = shutil.which("pdftotext")
    if tool is None:
        pytest.skip("needs pdftotext")
    file = folder / "label.pdf"
    file.write_bytes(pdf)
    return subprocess.run([tool, "-layout", str(file), "-"], capture_output=True, text=True, check=True).stdout


def _size_of(pdf: bytes) -> tuple[float, float]:
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", pdf)
    assert box is not None
    return float(box[1]), float(box[2])


async def test_the_label_of_a_return_leg_names_the_addressee_and_no_dossier(post: Post, tmp_path: Path) -> None:
    shipment = await post.book("return")

    answer = await post.client.get(f"/v1/shipments/{shipment['id']}/label.pdf", headers=post.courier())

    assert answer.headers["content-type"] == "application/pdf"
    width, height = _size_of(answer.content)
    assert (round(width / 72 * 25.4), round(height / 72 * 25.4)) == (105, 148)
    text = _text_of(answer.content, tmp_path)
    number = shipment["s10"]
    assert f"{number[:2]} {number[2:6]} {number[6:10]} {number[10]} {number[11:]}" in text
    assert PERSON["name"] in text
    assert PERSON["commune"] in text
    for hidden in (PERSON["phone"], shipment["dossier_code"], *CHECKLIST):
        assert hidden not in text


async def test_the_label_of_an_outbound_leg_names_only_the_agency(post: Post, tmp_path: Path) -> None:
    shipment = await post.book("outbound")

    answer = await post.client.get(f"/v1/shipments/{shipment['id']}/label.pdf", headers=post.office)

    text = _text_of(answer.content, tmp_path)
    assert "H26.01" in text
    assert "00004" in text
    for hidden in (*PERSON.values(), shipment["dossier_code"]):
        assert hidden not in text


def test_a_label_carries_its_fonts_and_is_the_same_each_time() -> None:
    label = labels.Label("RB123456785GB", "return", "H26", "00070", 60, "http://x/track/RB123456785GB?k=A", "Ấ", "Ở")

    first = labels.render_label(label)

    assert first == labels.render_label(label)
    assert first.count(b"/FontFile2") == 2


def test_a_label_with_a_wrong_number_is_never_printed() -> None:
    with pytest.raises(ValueError, match="valid item number"):
        labels.render_label(labels.Label("RB123456786GB", "return", "H26", "00070", 60, "x"))


def test_a_scan_proves_the_label_only_with_its_own_code() -> None:
    content = labels.qr_content("https://post.example", SECRET, "RB123456785GB")
    other = labels.label_token(SECRET, "RB123456785US")

    assert labels.read_scan(content, SECRET) == labels.Scan("RB123456785GB", label_seen=True, label_false=False)
    assert labels.read_scan("rb 123456785 gb", SECRET) == labels.Scan("RB123456785GB", False, False)
    for false in (content[:-1], content.split("?")[0] + f"?k={other}"):
        assert labels.read_scan(false, SECRET) == labels.Scan("RB123456785GB", label_seen=False, label_false=True)
    assert labels.read_scan(content, "x" * 32) == labels.Scan("RB123456785GB", label_seen=False, label_false=True)
    assert labels.read_scan("RB123456786GB", SECRET) is None
    assert labels.read_scan("http://[", SECRET) is None
    assert labels.label_token(SECRET, "RB123456785GB") not in "RB123456785GB"
    assert len(labels.label_token(SECRET, "RB123456785GB")) == 16
