"""Labels read back as scanners read them: straight, turned, faded, blurred, small."""

import io
import shutil
import subprocess
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image, ImageEnhance, ImageFilter

from services.postal import label_images, labels
from tests.postal.conftest import Post

SECRET = "l" * 32
NUMBER = "RR123456785XX"
CONTENT = labels.qr_content("https://post.example", SECRET, NUMBER)
LABEL = labels.Label(
    NUMBER, "return", "H26.01", "00070", 60, CONTENT, "Nguyễn Thị Ánh Tuyết", "12 ngõ Gạch, phố Hàng Buồm, Hà Nội"
)


def read(image: Image.Image) -> dict[str, str]:
    """Everything a scanner finds, by kind of code."""
    found = zxingcpp.read_barcodes(image.convert("L"))
    return {"QR" if "QR" in str(code.format) else "128": code.text for code in found}


def faded(image: Image.Image, contrast: float) -> Image.Image:
    return ImageEnhance.Contrast(image.convert("L")).enhance(contrast)


def turned(image: Image.Image, degrees: float) -> Image.Image:
    return image.convert("L").rotate(degrees, expand=True, fillcolor=255, resample=Image.Resampling.BICUBIC)


@pytest.mark.parametrize("size", ["a6", "a5"])
@pytest.mark.parametrize(
    "as_seen",
    [
        lambda image: image,
        lambda image: turned(image, 10),
        lambda image: turned(image, -7),
        lambda image: turned(image, 90),
        lambda image: turned(image, 180),
        lambda image: faded(image, 0.5),
        lambda image: faded(image, 0.25),
        lambda image: image.convert("L").filter(ImageFilter.GaussianBlur(1.2)),
        lambda image: image.convert("L").resize((image.width * 2 // 3, image.height * 2 // 3)),
        lambda image: turned(faded(image, 0.5), 10).filter(ImageFilter.GaussianBlur(1)),
    ],
    ids=["straight", "10°", "-7°", "90°", "180°", "half faded", "faded", "blurred", "two thirds", "all at once"],
)
def test_both_codes_are_read_from_the_printers_dots(size: labels.LabelSize, as_seen: object) -> None:
    image = Image.open(io.BytesIO(label_images.render_image(LABEL, size)))

    assert callable(as_seen)
    assert read(as_seen(image)) == {"128": NUMBER, "QR": CONTENT}


def test_the_image_is_at_203_dpi_in_black_and_white() -> None:
    image = Image.open(io.BytesIO(label_images.render_image(LABEL)))

    assert (image.size, image.mode) == ((840, 1184), "1")
    assert [round(dots) for dots in image.info["dpi"]] == [203, 203]
    assert label_images.render_image(LABEL) == label_images.render_image(LABEL)


@pytest.mark.skipif(shutil.which("pdftoppm") is None, reason="needs pdftoppm")
@pytest.mark.parametrize("size", ["a6", "a5"])
def test_both_codes_are_read_from_the_pdf_at_the_printers_resolution(size: labels.LabelSize, tmp_path: Path) -> None:
    file = tmp_path / "label.pdf"
    file.write_bytes(labels.render_label(LABEL, size))
    command = ["pdftoppm", "-r", "203", "-png", "-singlefile", str(file), str(tmp_path / "page")]
    subprocess.run(command, check=True)

    page = Image.open(tmp_path / "page.png")

    assert read(page) == {"128": NUMBER, "QR": CONTENT}
    assert read(turned(faded(page, 0.5), 10)) == {"128": NUMBER, "QR": CONTENT}


def test_a_label_with_a_wrong_number_is_never_drawn() -> None:
    with pytest.raises(ValueError, match="valid item number"):
        label_images.render_image(labels.Label("RR123456786XX", "return", "H26", "00070", 60, "x"))


async def test_the_image_and_the_larger_paper_are_served(post: Post) -> None:
    shipment = await post.book("return")
    url = f"/v1/shipments/{shipment['id']}/label"

    image = await post.client.get(f"{url}.png", headers=post.courier())
    large = await post.client.get(f"{url}.pdf", params={"size": "a5"}, headers=post.courier())
    huge = await post.client.get(f"{url}.pdf", params={"size": "a0"}, headers=post.courier())
    stranger = await post.client.get(f"{url}.png")

    assert (image.status_code, image.headers["content-type"]) == (200, "image/png")
    scanned = labels.read_scan(read(Image.open(io.BytesIO(image.content)))["QR"], "l" * 32)
    assert scanned == labels.Scan(shipment["s10"], label_seen=True, label_false=False)
    assert b"/MediaBox [ 0 0 419.5276 595.2756 ]" in large.content
    assert (huge.status_code, stranger.status_code) == (422, 401)
