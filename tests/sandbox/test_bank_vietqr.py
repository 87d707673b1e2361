"""The bank reads VietQR codes by itself: published codes pass, damaged ones do not."""

import pytest

from sandbox.bank.vietqr import InvalidQrError, VietQr, crc16, decoded

STATIC = "00020101021138570010A00000072701270006970405011322082054793800208QRIBFTTA53037045802VN630497A6"
DYNAMIC = (
    "00020101021238530010A0000007270123000697041601092576788590208QRIBFTTA5303704540410005802VN"
    "62150811Chuyen tien6304BBB8"
)


def with_crc(body: str) -> str:
    return f"{body}6304{crc16(f'{body}6304'.encode()):04X}"


def test_the_checksum_is_ccitt_false() -> None:
    assert crc16(b"123456789") == 0x29B1


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (STATIC, VietQr("970405", "2208205479380", None, "", "", False)),
        (DYNAMIC, VietQr("970416", "257678859", 1000, "Chuyen tien", "", True)),
        (
            "00020101021138540010A00000072701240006970422011009119673630208QRIBFTTA53037045802VN63046ad9",
            VietQr("970422", "0911967363", None, "", "", False),
        ),
        (
            (
                "00020101021138540010A00000072701240006970407011014137171110208QRIBFTTA5204601153037045802VN5903TCB"
                "6005Hanoi6304bb7d"
            ),
            VietQr("970407", "1413717111", None, "", "", False),
        ),
        (
            (
                "00020101021238570010A000000727012700069704220113VQRQABRLS04480208QRIBFTTA5303704540420005802VN"
                "6224082018f8746b181045f0a2ce63040FC0"
            ),
            VietQr("970422", "VQRQABRLS0448", 2000, "18f8746b181045f0a2ce", "", True),
        ),
        (
            (
                "00020101021238570010A00000072701270006970403011300110123456780208QRIBFTTA530370454061800005802VN"
                "62340107NPS68690819thanh toan don hang63042E2E"
            ),
            VietQr("970403", "0011012345678", 180_000, "thanh toan don hang", "NPS6869", True),
        ),
    ],
)
def test_published_codes_are_read(payload: str, expected: VietQr) -> None:
    assert decoded(payload) == expected


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ("", "no field|first"),
        ("hello", "no field starts at character 1"),
        (STATIC[:-1] + "7", "it should be 97A6"),
        (STATIC.replace("2208205479380", "2208205479381"), "the checksum is 97A6"),
        (STATIC[:-8], "63"),
        ("000200" + STATIC[6:], "field 00"),
        (DYNAMIC.replace("54041000", "54061000"), "field|checksum"),
        (with_crc("00020101021138530010A0000007270123000697041601092576788590208QRIBFTTA53038405802VN"), "704"),
        (with_crc("00020101021138530010A0000007270123000697041601092576788590208QRIBFTTC53037045802VN"), "QRIBFTTA"),
        (with_crc("00020101021138530010A0000007280123000697041601092576788590208QRIBFTTA53037045802VN"), "A000000727"),
        (with_crc("00020101021153037045802VN"), "field 38"),
        (with_crc("0002010102115303704530370454041000"), "twice"),
        (with_crc(DYNAMIC[:-8].replace("54041000", "54041.50")), "whole đồng"),
        (with_crc(DYNAMIC[:-8].replace("54041000", "54040000")), "above zero"),
        (with_crc(DYNAMIC[:-8].replace("62150811Chuyen tien", "62300826Chuyen tien thue dat nam 2")), "25 characters"),
        (
            "00020101021238540010A00000072701240006970436011012345678900208QRIBFTTA53037045802VN6304ABCD",
            "it should be 8DF2",
        ),
    ],
)
def test_damaged_codes_are_refused(payload: str, why: str) -> None:
    with pytest.raises(InvalidQrError, match=why):
        decoded(payload)
