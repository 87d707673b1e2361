"""VietQR codes (EMVCo TLV, NAPAS specification 1.5.2) and the search for our reference in what banks make of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kit.ids import is_reference

GUID = "A000000727"
SERVICES = ("QRIBFTTA", "QRIBFTTC", "QRCASH")
REFERENCE_PREFIX = "LT"
_REFERENCE_LENGTH = 8
CONTENT_LENGTH = 25
"""Longest purpose of transfer (tag 62.08)."""


class InvalidQr(ValueError):
    """Not a VietQR code that a bank would accept; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class VietQr:
    """What a code asks for. `amount_dong` None: the payer types it."""

    bin: str
    account: str
    service: str = "QRIBFTTA"
    amount_dong: int | None = None
    content: str = ""
    dynamic: bool = False


def crc16(text: str) -> str:
    """CRC-16/CCITT-FALSE (polynomial 0x1021, start 0xFFFF) in four upper-case hexadecimal digits."""
    crc = 0xFFFF
    for byte in text.encode():
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return f"{crc:04X}"


def write(code: VietQr) -> str:
    """The payload of a code. Raises InvalidQr when a part does not fit its field."""
    if not re.fullmatch(r"\d{6}", code.bin) or not re.fullmatch(r"[A-Za-z0-9]{1,19}", code.account):
        raise InvalidQr("the BIN has six digits, the account up to 19 letters and digits")
    if code.service not in SERVICES:
        raise InvalidQr("the service is none of the scheme's")
    if not re.fullmatch(rf"[ -~]{{0,{CONTENT_LENGTH}}}", code.content):
        raise InvalidQr(f"the content has at most {CONTENT_LENGTH} printable ASCII characters")
    if code.amount_dong is not None and not 0 < code.amount_dong < 10**13:
        raise InvalidQr("the amount has 1 to 13 digits")
    beneficiary = _field("00", code.bin) + _field("01", code.account)
    merchant = _field("00", GUID) + _field("01", beneficiary) + _field("02", code.service)
    payload = _field("00", "01") + _field("01", "12" if code.dynamic else "11") + _field("38", merchant)
    payload += _field("53", "704")
    if code.amount_dong is not None:
        payload += _field("54", str(code.amount_dong))
    payload += _field("58", "VN")
    if code.content:
        payload += _field("62", _field("08", code.content))
    payload += "6304"
    return payload + crc16(payload)


def read(payload: str) -> VietQr:
    """Read a code as a bank would. Raises InvalidQr for a broken structure, a wrong checksum or another scheme."""
    if not re.fullmatch(r".*6304[0-9A-Fa-f]{4}", payload, re.DOTALL) or not payload.isascii():
        raise InvalidQr("the code does not end with a checksum")
    if crc16(payload[:-4]) != payload[-4:].upper():
        raise InvalidQr("the checksum is wrong")
    root = _fields(payload)
    if next(iter(root)) != "00" or root["00"] != "01":
        raise InvalidQr("the code does not begin with version 01")
    if root.get("01") not in (None, "11", "12"):
        raise InvalidQr("the point of initiation is neither 11 nor 12")
    if root.get("53") != "704" or root.get("58") != "VN":
        raise InvalidQr("the code is not in đồng for Việt Nam")
    merchant = _fields(_needed(root, "38"))
    service = _needed(merchant, "02")
    if merchant.get("00") != GUID or service not in SERVICES:
        raise InvalidQr("the code belongs to another scheme")
    beneficiary = _fields(_needed(merchant, "01"))
    bin_, account = _needed(beneficiary, "00"), _needed(beneficiary, "01")
    if not re.fullmatch(r"\d{6}", bin_) or not re.fullmatch(r"[A-Za-z0-9]{1,19}", account):
        raise InvalidQr("the beneficiary is not a BIN and an account")
    amount = root.get("54")
    if amount is not None and not re.fullmatch(r"[1-9]\d{0,12}", amount):
        raise InvalidQr("the amount is not a whole number of đồng")
    additional = _fields(root["62"]) if "62" in root else {}
    return VietQr(
        bin=bin_,
        account=account,
        service=service,
        amount_dong=int(amount) if amount else None,
        content=additional.get("08", ""),
        dynamic=root.get("01") == "12",
    )


def _field(tag: str, value: str) -> str:
    if not 0 < len(value) < 100:
        raise InvalidQr(f"field {tag} has {len(value)} characters")
    return f"{tag}{len(value):02d}{value}"


def _fields(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    at = 0
    while at < len(text):
        head = text[at : at + 4]
        if not re.fullmatch(r"[0-9]{4}", head):
            raise InvalidQr(f"no field begins at character {at + 1}")
        tag, length = head[:2], int(head[2:])
        value = text[at + 4 : at + 4 + length]
        if length == 0 or len(value) != length or tag in fields:
            raise InvalidQr(f"field {tag} is cut short, empty or repeated")
        fields[tag] = value
        at += 4 + length
    return fields


def _needed(fields: Mapping[str, str], tag: str) -> str:
    if tag not in fields:
        raise InvalidQr(f"field {tag} is missing")
    return fields[tag]


CONFUSED = str.maketrans("OIL", "011")
"""Letters that Crockford's alphabet leaves out, as people mistype them."""


def squeezed(content: str) -> str:
    """A transfer's content as the strictest bank leaves it: capital letters and digits, nothing between them."""
    return re.sub(r"[^A-Z0-9]", "", content.upper())


def references_in(content: str) -> tuple[str, ...]:
    """Every string in a transfer's content that could be one of our references, in order, each once.

    Banks capitalise, drop punctuation and wrap the content in their own words; people read O for 0. The check
    character rules out 30 of 31 accidents; the rest name no attempt and are ruled out by looking them up.
    """
    text = squeezed(content)
    size = _REFERENCE_LENGTH + 1
    found: dict[str, None] = {}
    for match in re.finditer(REFERENCE_PREFIX, text):
        body = text[match.end() : match.end() + size].translate(CONFUSED)
        candidate = REFERENCE_PREFIX + body
        if len(body) == size and is_reference(candidate, REFERENCE_PREFIX, _REFERENCE_LENGTH):
            found[candidate] = None
    return tuple(found)
