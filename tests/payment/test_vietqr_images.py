"""VietQR pictures read by a decoder that shares nothing with whoever drew them: small, turned, noisy, and on paper."""

import io
import re

import numpy as np
import pytest
import zxingcpp
from PIL import Image, ImageFilter

from kit.ids import new_reference
from services.payment.receipts import qr_png, qr_svg
from services.payment.vietqr import VietQr, read, write

DOTS_AN_INCH, SIDE_CM = 300, 3.0
SMALLEST_MODULE_MM, QUIET_MODULES = 0.4, 4


def payload_for(amount_dong: int = 150_000, account: str = "113366668888", content: str = "LTK7M2Q9XA4") -> str:
    return write(VietQr("970415", account, amount_dong=amount_dong, content=content, dynamic=True))


LONGEST = payload_for(10**13 - 1, "VQRQABRLS0448VQRQAB"[:19], "x" * 25)
"""The code with the most characters that any bill of ours can have."""


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("L")


def decoded(picture: Image.Image) -> str:
    """What the independent decoder reads; empty when it reads nothing."""
    found = zxingcpp.read_barcodes(np.asarray(picture))
    return found[0].text if found else ""


def matrix_of(svg: str) -> np.ndarray:
    """The dark modules of a picture in SVG, with its quiet zone."""
    side = int(re.findall(r'viewBox="0 0 (\d+) \1"', svg)[0])
    modules = np.zeros((side, side), dtype=bool)
    for x, y in re.findall(r"M(\d+) (\d+)h1v1h-1z", svg):
        modules[int(y), int(x)] = True
    return modules


def as_picture(modules: np.ndarray, pixels: int) -> Image.Image:
    return Image.fromarray(np.kron(np.where(modules, 0, 255), np.ones((pixels, pixels))).astype(np.uint8))


@pytest.mark.parametrize("payload", [payload_for(), payload_for(1), LONGEST], ids=["usual", "one đồng", "longest"])
def test_both_kinds_of_picture_say_the_same_and_what_was_written(payload: str) -> None:
    png = opened(qr_png(payload))
    modules = matrix_of(qr_svg(payload))

    assert decoded(png) == payload
    assert decoded(as_picture(modules, 8)) == payload
    assert np.array_equal(np.asarray(as_picture(modules, 8)) > 127, np.asarray(png) > 127)


@pytest.mark.parametrize("payload", [payload_for(), LONGEST], ids=["usual", "longest"])
def test_the_modules_are_large_enough_at_three_centimetres_and_the_edge_is_quiet(payload: str) -> None:
    modules = matrix_of(qr_svg(payload))
    side = len(modules)
    dark = np.argwhere(modules)

    assert dark.min() == QUIET_MODULES
    assert dark.max() == side - 1 - QUIET_MODULES
    assert SIDE_CM * 10 / side >= SMALLEST_MODULE_MM


def test_the_file_says_at_what_size_it_is_sharp_and_that_is_no_less_than_three_centimetres() -> None:
    picture = Image.open(io.BytesIO(qr_png(payload_for())))
    pixels = picture.size[0]

    assert round(picture.info["dpi"][0]) == DOTS_AN_INCH
    assert pixels / DOTS_AN_INCH * 2.54 >= SIDE_CM


PRINTED_PIXELS = round(SIDE_CM / 2.54 * DOTS_AN_INCH)


@pytest.mark.parametrize("payload", [payload_for(), LONGEST], ids=["usual", "longest"])
@pytest.mark.parametrize("degrees", [0, 3, 17, 45, 90, 180, 271])
def test_a_print_of_three_centimetres_is_read_turned_any_way(payload: str, degrees: int) -> None:
    printed = opened(qr_png(payload)).resize((PRINTED_PIXELS, PRINTED_PIXELS), Image.Resampling.BILINEAR)
    page = Image.new("L", (2 * PRINTED_PIXELS, 2 * PRINTED_PIXELS), 255)
    page.paste(printed, (PRINTED_PIXELS // 2, PRINTED_PIXELS // 2))

    assert decoded(page.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=255)) == payload


@pytest.mark.parametrize("pixels", [150, 200, 354, 900])
def test_a_screen_or_camera_of_any_sharpness_reads_it(pixels: int) -> None:
    payload = payload_for()

    assert decoded(opened(qr_png(payload)).resize((pixels, pixels), Image.Resampling.LANCZOS)) == payload


def test_noise_blur_faded_ink_and_a_stained_corner_do_not_hide_it() -> None:
    payload = payload_for()
    picture = opened(qr_png(payload))
    chance = np.random.default_rng(7)
    grains = np.asarray(picture, dtype=float) + chance.normal(0, 60, picture.size[::-1])
    sensor = Image.fromarray(np.clip(grains, 0, 255).astype(np.uint8))
    noisy = sensor.resize((picture.size[0] // 2, picture.size[1] // 2), Image.Resampling.BOX)
    faded = picture.point(lambda value: 120 + value * 100 // 255)
    stained = picture.copy()
    side = picture.size[0]
    stained.paste(255, (side // 2, side // 2, side // 2 + side // 10, side // 2 + side // 10))
    photographed = io.BytesIO()
    picture.filter(ImageFilter.GaussianBlur(3)).save(photographed, "JPEG", quality=30)

    read_back = [decoded(each) for each in (noisy, faded, stained, opened(photographed.getvalue()))]
    assert read_back == [payload] * 4


def test_a_hundred_bills_are_read_back_to_the_dong() -> None:
    for number in range(100):
        reference = new_reference("LT")
        payload = payload_for(1 + number * 98_765_431, content=reference)

        code = read(decoded(opened(qr_png(payload, scale=4))))
        assert (code.amount_dong, code.content, code.account) == (1 + number * 98_765_431, reference, "113366668888")
