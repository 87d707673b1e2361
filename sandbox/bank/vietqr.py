"""The bank's own reader of VietQR codes: EMVCo merchant-presented QR with the NAPAS account template.

Written from the published format and sharing nothing with whoever drew the code, so that a wrong
code fails here as it would in a payer's banking app.
"""

from dataclasses import dataclass

NAPAS_GUID = "A000000727"


class InvalidQrError(ValueError):
    """The text is not a VietQR code that can be paid to an account."""


@dataclass(frozen=True)
class VietQr:
    """What a code asks the payer to do; `amount_dong` is None when the payer may choose."""

    bin: str
    account: str
    amount_dong: int | None
    content: str
    reference: str
    dynamic: bool


def decoded(payload: str) -> VietQr:
    """The code in `payload`; raises `InvalidQrError` saying what is wrong with it."""
    payload = payload.strip()
    fields = _fields(payload)
    _check_frame(payload, fields)
    if fields.get("53") != "704":
        raise InvalidQrError("field 53 (currency) must be 704, the đồng")
    if fields.get("58") != "VN":
        raise InvalidQrError("field 58 (country) must be VN")
    if "38" not in fields:
        raise InvalidQrError("field 38 (NAPAS account) is missing")
    template = _fields(fields["38"])
    if template.get("00") != NAPAS_GUID:
        raise InvalidQrError(f"field 38.00 must be {NAPAS_GUID}")
    if template.get("02") != "QRIBFTTA":
        raise InvalidQrError("field 38.02 must be QRIBFTTA: only accounts can be paid here")
    beneficiary = _fields(template.get("01", ""))
    bank, account = beneficiary.get("00", ""), beneficiary.get("01", "")
    if not (len(bank) == 6 and bank.isdecimal()):
        raise InvalidQrError("field 38.01.00 (BIN) must have six digits")
    if not (1 <= len(account) <= 19 and account.isascii() and account.isalnum()):
        raise InvalidQrError("field 38.01.01 (account) must have 1 to 19 letters and digits")
    additional = _fields(fields.get("62", ""))
    content = additional.get("08", "")
    if len(content) > 25:
        raise InvalidQrError("field 62.08 (purpose) has more than 25 characters")
    dynamic = fields.get("01") == "12"
    return VietQr(bank, account, _amount(fields.get("54")), content, additional.get("01", ""), dynamic)


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, initial value 0xFFFF, nothing reflected."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
        crc &= 0xFFFF
    return crc


def _check_frame(payload: str, fields: dict[str, str]) -> None:
    order = list(fields)
    if order[:1] != ["00"] or fields["00"] != "01":
        raise InvalidQrError("field 00 (format) must come first and be 01")
    if order[-1] != "63" or len(fields["63"]) != 4:
        raise InvalidQrError("field 63 (checksum) must come last and have four characters")
    if fields.get("01", "11") not in ("11", "12"):
        raise InvalidQrError("field 01 must be 11 (static) or 12 (dynamic)")
    expected = f"{crc16(payload[:-4].encode()):04X}"
    # Banks print the checksum in either case.
    if fields["63"].upper() != expected:
        raise InvalidQrError(f"the checksum is {fields['63']}, it should be {expected}")


def _fields(text: str) -> dict[str, str]:
    """The tag-length-value fields of `text`, in order."""
    fields: dict[str, str] = {}
    position = 0
    while position < len(text):
        header = text[position : position + 4]
        if len(header) < 4 or not (header.isascii() and header.isdecimal()):
            raise InvalidQrError(f"no field starts at character {position + 1}")
        tag, length = header[:2], int(header[2:])
        value = text[position + 4 : position + 4 + length]
        if len(value) < length:
            raise InvalidQrError(f"field {tag} says {length} characters and has {len(value)}")
        if tag in fields:
            raise InvalidQrError(f"field {tag} occurs twice")
        fields[tag] = value
        position += 4 + length
    return fields


def _amount(text: str | None) -> int | None:
    if text is None:
        return None
    whole, dot, fraction = text.partition(".")
    if not (whole.isascii() and whole.isdecimal()) or (dot and fraction.strip("0")):
        raise InvalidQrError("field 54 (amount) must be whole đồng")
    if int(whole) == 0:
        raise InvalidQrError("field 54 (amount) must be above zero")
    return int(whole)
