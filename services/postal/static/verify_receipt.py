#!/usr/bin/env python3
"""Verify a receipt of the public postal service without any network: `python3 verify_receipt.py receipt.json`.

Needs Python 3.9 or newer and nothing else. Exit status 0: nothing was changed; 1: something was; 2: not a receipt.
Give the day's seal as a second argument when you have it from elsewhere (a newspaper, a web page, a neighbour's
receipt of the same day): then even whoever runs the service cannot have changed the record.

Kiểm tra biên nhận mà không cần mạng; chỉ cần Python 3.9 trở lên.
"""

import hashlib
import json
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, List, Optional, Tuple  # noqa: UP035 — Python 3.9 reads this file too

Result = Tuple[Optional[bool], str, str]  # noqa: UP006, UP045


def sha256(content: bytes) -> bytes:
    """SHA-256 of some bytes."""
    return hashlib.sha256(content).digest()


def leads_to(entry: bytes, index: int, size: int, path: List[str], root: str) -> bool:  # noqa: UP006
    """RFC 6962: a leaf is hashed behind 00, a node behind 01."""
    if not 0 <= index < size:
        return False
    found, last, steps = sha256(b"\x00" + entry), size - 1, [bytes.fromhex(step) for step in path]
    while last:
        if index % 2 or index < last:
            if not steps:
                return False
            neighbour = steps.pop(0)
            found = sha256(b"\x01" + (neighbour + found if index % 2 else found + neighbour))
        index, last = index // 2, last // 2
    return not steps and found.hex() == root


def moment(text: str) -> datetime:
    """A time as JSON writes it."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))  # noqa: FURB162 — Python 3.9 knows no Z


def same_facts(receipt: "dict[str, Any]", body: "dict[str, Any]") -> bool:
    """What the receipt says, and what the sealed fact says."""
    evidence = body["evidence"]
    ticked = sorted(piece["position"] for piece in receipt["pieces"] if piece["collected"])
    return (
        body["shipment_id"] == receipt["shipment_id"]
        and body["kind"] in ("collected", "partially_collected")
        and body["actor"] == receipt["collected_by"]
        and moment(body["occurred_at"]) - timedelta(milliseconds=body.get("skew_ms", 0))
        == moment(receipt["collected_at"])
        and evidence["seal_number"] == receipt["seal_number"]
        and evidence["page_count"] == receipt["page_count"]
        and sorted(evidence["collected_positions"]) == ticked
        and evidence["citizen_signature_sha256"] == receipt["sender_signature_sha256"]
        and evidence["courier_signature_sha256"] == receipt["courier_signature_sha256"]
    )


def check(bundle: "dict[str, Any]", known_seal: Optional[str] = None) -> List[Result]:  # noqa: UP006, UP045
    """Every check with its result, in order: (passed, Vietnamese, English). None: cannot be checked yet."""
    receipt, fact, root, proof = (bundle[name] for name in ("receipt", "fact", "root", "proof"))
    link = sha256(fact["prev_hash"].encode() + b"\n" + fact["body"].encode()).hex()
    results: List[Result] = [  # noqa: UP006
        (
            link == fact["hash"] == receipt["event_hash"],
            "Sự kiện nhận hồ sơ còn nguyên như khi ghi",
            "The record of the pickup is as it was written",
        ),
        (
            same_facts(receipt, json.loads(fact["body"])),
            "Biên nhận khớp với sự kiện đã ghi",
            "The receipt says what the record says",
        ),
    ]
    if root is None or proof is None:
        waits = "Ngày này chưa niêm phong; tải lại biên nhận vào ngày mai", "The day is not sealed: download again"
        return [*results, (None, *waits)]
    text = f"custody-root/1\n{root['day']}\n{root['size']}\n{root['root']}\n{root['previous_seal']}\n"
    inside = proof["size"] == root["size"] and leads_to(
        bytes.fromhex(fact["hash"]), proof["index"], proof["size"], proof["path"], root["root"]
    )
    results += [
        (inside, "Sự kiện nằm trong sổ của ngày " + root["day"], "The record is in the book of " + root["day"]),
        (
            sha256(text.encode()).hex() == root["seal"],
            "Dấu niêm phong của ngày khớp với sổ",
            "The seal of the day fits its book",
        ),
    ]
    if known_seal is not None:
        seal = known_seal.strip().lower()
        results.append((seal == root["seal"], "Trùng dấu niêm phong bạn đã biết", "It is the seal you know"))
    return results


def main() -> int:
    """Run the command line."""
    if len(sys.argv) not in (2, 3):
        sys.stderr.write("usage: python3 verify_receipt.py receipt.json [seal]\n")
        return 2
    try:
        bundle = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        results = check(bundle, sys.argv[2] if len(sys.argv) == 3 else None)
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"not a receipt / không phải biên nhận: {error!r}\n")
        return 2
    for passed, vi, en in results:
        mark = {True: "ĐÚNG / yes", False: "SAI / NO ", None: "CHƯA / wait"}[passed]
        sys.stdout.write(f"{mark}  {vi} ({en})\n")
    if bundle["root"]:
        sys.stdout.write(f"Dấu niêm phong / seal {bundle['root']['day']}: {bundle['root']['seal']}\n")
    return 1 if any(passed is False for passed, _, _ in results) else 0


if __name__ == "__main__":
    sys.exit(main())
