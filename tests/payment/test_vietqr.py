# ruff: noqa: E501 (codes are one line each)
"""VietQR payloads: the published codes, the refused ones, and references found in what banks leave of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.ids import new_reference
from sandbox.bank.content import BANKS, LONGEST, mangled
from services.payment.vietqr import InvalidQr, VietQr, crc16, read, references_in, write

# fmt: off
VALID = {
    "00020101021138530010A0000007270123000697041601092576788590208QRIBFTTA53037045802VN6304AE9F":
        VietQr("970416", "257678859"),
    "00020101021138570010A00000072701270006970405011322082054793800208QRIBFTTA53037045802VN630497A6":
        VietQr("970405", "2208205479380"),
    "00020101021138540010A00000072701240006970422011009119673630208QRIBFTTA53037045802VN63046ad9":
        VietQr("970422", "0911967363"),
    "00020101021138540010A00000072701240006970407011014137171110208QRIBFTTA5204601153037045802VN5903TCB6005Hanoi6304bb7d":
        VietQr("970407", "1413717111"),
    "00020101021238530010A0000007270123000697041601092576788590208QRIBFTTA5303704540410005802VN62150811Chuyen tien6304BBB8":
        VietQr("970416", "257678859", amount_dong=1_000, content="Chuyen tien", dynamic=True),
    "00020101021238570010A000000727012700069704220113VQRQABRLS04480208QRIBFTTA5303704540420005802VN6224082018f8746b181045f0a2ce63040FC0":
        VietQr("970422", "VQRQABRLS0448", amount_dong=2_000, content="18f8746b181045f0a2ce", dynamic=True),
    "00020101021238570010A00000072701270006970403011300110123456780208QRIBFTTA530370454061800005802VN62340107NPS68690819thanh toan don hang63042E2E":
        VietQr("970403", "0011012345678", amount_dong=180_000, content="thanh toan don hang", dynamic=True),
    "00020101021238560010A0000007270126000697041501121133666688880208QRIBFTTA53037045405790005802VN62220818Ung Ho Quy Vac Xin63043ACF":
        VietQr("970415", "113366668888", amount_dong=79_000, content="Ung Ho Quy Vac Xin", dynamic=True),
    "00020101021238600010A00000072701300006970403011697040311012345670208QRIBFTTC530370454061800005802VN62340107NPS68690819thanh toan don hang6304A203":
        VietQr("970403", "9704031101234567", service="QRIBFTTC", amount_dong=180_000, content="thanh toan don hang", dynamic=True),
}
# fmt: on
BEGINNING = "00020101021138530010A0000007270123000697041601092576788590208QRIBFTTA"


def sealed(payload: str) -> str:
    """A payload with the checksum it deserves."""
    return payload + "6304" + crc16(payload + "6304")


def test_the_checksum_is_crc_16_ccitt_false() -> None:
    assert crc16("123456789") == "29B1"


@pytest.mark.parametrize(("payload", "meaning"), VALID.items())
def test_published_codes_are_read(payload: str, meaning: VietQr) -> None:
    assert read(payload) == meaning


@pytest.mark.parametrize(
    "payload",
    [
        # Seen in real code: tag 54 announces six characters and has seven, and the checksum is wrong.
        BEGINNING + "5303704540625000005802VN62060802Qr63044274",
        # Right structure, invented checksum (8DF2 would be right).
        "00020101021238540010A00000072701240006970436011012345678900208QRIBFTTA53037045802VN6304ABCD",
        "",
        "6304",
        "hello",
        sealed("000200" + BEGINNING[6:] + "53037045802VN"),  # version 00
        sealed(BEGINNING + "53038405802VN"),  # dollars
        sealed(BEGINNING + "53037045802US"),  # another country
        sealed(BEGINNING.replace("A000000727", "A000000728") + "53037045802VN"),  # another scheme
        sealed(BEGINNING.replace("QRIBFTTA", "QRIBFTTX") + "53037045802VN"),
        sealed(BEGINNING + "5303704540410.05802VN"),  # a fraction
        sealed(BEGINNING + "53037045802VN5802VN"),  # a field twice
        sealed(BEGINNING + "530370454065000005802VN"[:-3]),  # cut short
        sealed("0002010102113853001"),
        VALID and next(iter(VALID)).replace("AE9F", "AE9E"),
        sealed(BEGINNING + "53037045802VN5902Đ1"),
    ],
)
def test_what_a_bank_would_refuse_is_refused(payload: str) -> None:
    with pytest.raises(InvalidQr):
        read(payload)


def test_a_written_code_is_the_published_one() -> None:
    code = VietQr("970415", "113366668888", amount_dong=79_000, content="Ung Ho Quy Vac Xin", dynamic=True)

    assert write(code) in VALID


@given(
    st.from_regex(r"[0-9]{6}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9]{1,19}", fullmatch=True),
    st.one_of(st.none(), st.integers(1, 10**13 - 1)),
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ", max_size=25),
    st.booleans(),
)
def test_what_is_written_is_read_back(bin_: str, account: str, amount: int | None, content: str, dynamic: bool) -> None:
    code = VietQr(bin_, account, amount_dong=amount, content=content, dynamic=dynamic)

    assert read(write(code)) == code


@given(st.integers(0, 89), st.characters(codec="ascii", min_codepoint=33))
def test_a_changed_character_is_noticed(position: int, other: str) -> None:
    payload = next(iter(VALID))
    changed = payload[:position] + other + payload[position + 1 :]
    if changed.upper() == payload.upper():
        return

    with pytest.raises(InvalidQr):
        read(changed)


@pytest.mark.parametrize("amount", [0, -5, 10**13])
def test_amounts_outside_the_field_are_not_written(amount: int) -> None:
    with pytest.raises(InvalidQr):
        write(VietQr("970415", "113366668888", amount_dong=amount))


LAYOUTS = (
    "{r}",
    "MBVCB.1234567890.{r}.CT tu 0123456789 NGUYEN VAN A toi 113366668888",
    "{r} Ma giao dich Trace123456 Trace 123456",
    "NGUYEN THI LT chuyen tien {r} FT1234567890",
    "REM Tfr Ac 0123456789 O@L_1234567890_{r}",
    "CT DEN:1234567890 {r}",
    "1234567890-{r}-NGUYEN VAN A",
)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_our_reference_is_found_in_every_banks_layout(layout: str) -> None:
    for _ in range(50):
        reference = new_reference("LT")

        assert reference in references_in(layout.format(r=reference))
        assert reference in references_in(layout.format(r=reference).lower())
        spread = "-".join(reference[i : i + 3] for i in range(0, len(reference), 3))
        assert reference in references_in(layout.format(r=spread))


@given(st.text(max_size=100))
def test_any_content_can_be_searched(content: str) -> None:
    for found in references_in(content):
        assert found.startswith("LT")
        assert len(found) == 11


@pytest.mark.parametrize(
    "code",
    [
        VietQr("97041", "113366668888"),
        VietQr("97041A", "113366668888"),
        VietQr("970415", ""),
        VietQr("970415", "1" * 20),
        VietQr("970415", "1133-6666"),
        VietQr("970415", "113366668888", service="QRIBFTTX"),
        VietQr("970415", "113366668888", content="x" * 26),
        VietQr("970415", "113366668888", content="Lệ phí"),
        VietQr("970415", "113366668888", content="a\nb"),
    ],
)
def test_what_does_not_fit_its_field_is_not_written(code: VietQr) -> None:
    with pytest.raises(InvalidQr):
        write(code)


LIES = {
    "the account template longer than the code": BEGINNING.replace("3853", "3899") + "53037045802VN",
    "the account template shorter": BEGINNING.replace("3853", "3852") + "53037045802VN",
    "the beneficiary longer than its template": BEGINNING.replace("0123", "0199") + "53037045802VN",
    "the account longer than the beneficiary": BEGINNING.replace("0109257", "0119257") + "53037045802VN",
    "the BIN longer": BEGINNING.replace("0006970416", "0007970416") + "53037045802VN",
    "the content longer": BEGINNING + "53037045802VN" + "62150899Chuyen tien",
    "an empty field": BEGINNING + "53037045802VN" + "6200",
    "a length without digits": BEGINNING + "53037045802VN" + "62AB0811Chuyen tien",
    "a length of other digits": BEGINNING + "53037045802VN" + "62\u0661\u0665",
    "an amount of nothing": BEGINNING + "530370454010" + "5802VN",
    "an amount below nothing": BEGINNING + "5303704540650000"[:-8] + "5405-1000" + "5802VN",
    "an amount that begins with nothing": BEGINNING + "5303704540500500" + "5802VN",
    "an amount in powers": BEGINNING + "530370454031e5" + "5802VN",
    "an amount of fourteen digits": BEGINNING + "53037045414" + "9" * 14 + "5802VN",
    "the checksum not at the end": BEGINNING + "53037045802VN" + "63049999" + "5303704",
    "no account": "000201010211" + "53037045802VN",
}


@pytest.mark.parametrize("name", LIES)
def test_a_code_that_lies_is_refused_although_its_checksum_is_right(name: str) -> None:
    with pytest.raises(InvalidQr):
        read(sealed(LIES[name]))


def test_the_checksum_counts_in_either_case() -> None:
    payload = next(payload for payload in VALID if payload.endswith("6ad9"))

    assert read(payload) == read(payload[:-4] + "6AD9")


def test_a_published_code_with_the_wrong_version_is_refused_although_its_checksum_is_right() -> None:
    payload = next(iter(VALID))

    with pytest.raises(InvalidQr, match="version"):
        read(sealed("000200" + payload[6:-8]))


NAMES = ("NGUYEN VAN AN", "LÊ THỊ LT", "Trần Thị Thanh Thủy Đoàn Lê Hoàng Phương Ngọc Bảo Trân", "O")


def test_our_reference_survives_what_every_bank_of_the_sandbox_does_to_it() -> None:
    seen = set()
    for number in range(400):
        reference = new_reference("LT")
        content = mangled(
            reference.lower() if number % 3 == 0 else reference,
            seed="s",
            number=number,
            payer_name=NAMES[number % len(NAMES)],
            payer_account=f"{number:010d}",
            payer_bin=BANKS[number % len(BANKS)],
            account="113366668888",
        )
        seen.add(content.replace(reference, "").rstrip("0123456789")[:6])

        assert reference in references_in(content)
        assert content.isascii()
        assert len(content) <= LONGEST
    assert len(seen) > 10


def test_a_content_cut_inside_the_reference_names_nobody() -> None:
    reference = new_reference("LT")

    assert [references_in(f"CT DEN:123 {reference[:length]}") for length in range(len(reference))] == [()] * 11
