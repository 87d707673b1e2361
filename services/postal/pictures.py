"""What is in a picture: whether it is one, whether it tells where it was taken, and which labels it shows."""

import asyncio
import io
from dataclasses import dataclass

import zxingcpp
from PIL import ExifTags, Image, UnidentifiedImageError

from services.postal.wording import Words

MEDIA_TYPES = ("image/jpeg", "image/png", "application/pdf")
MAX_PIXELS = 25_000_000
"""More than any phone sends after shrinking; a small file must not unfold into gigabytes."""

_FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG"}
_NOT_WHAT_IT_SAYS: Words = (
    "tệp không đúng loại đã khai hoặc bị hỏng; hãy chụp lại",
    "the file is not of the kind it claims, or is damaged; take the picture again",
)
_TOO_MANY_PIXELS: Words = (
    "ảnh quá lớn; hãy thu nhỏ dưới 25 triệu điểm ảnh",
    "the picture is too large; shrink it below 25 million pixels",
)
_TELLS_A_PLACE: Words = (
    "ảnh còn mang tọa độ nơi chụp; hãy gửi qua trang bưu tá, trang tự bỏ tọa độ",
    "the picture carries the place where it was taken; send it through the courier's page, which removes it",
)
LABEL_FORMATS = zxingcpp.barcode_formats_from_str("QRCode,Code128,DataMatrix")


def refusal(content: bytes, media_type: str) -> Words | None:
    """Why this may not be kept as evidence, or None. Location in a picture is refused: it is nobody's proof."""
    if media_type == "application/pdf":
        whole = content.startswith(b"%PDF-") and b"%%EOF" in content[-1024:]
        return None if whole else _NOT_WHAT_IT_SAYS
    try:
        with Image.open(io.BytesIO(content), formats=[_FORMATS[media_type]]) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                return _TOO_MANY_PIXELS
            picture.load()
            if picture.getexif().get_ifd(ExifTags.IFD.GPSInfo):
                return _TELLS_A_PLACE
    except (KeyError, UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return _NOT_WHAT_IT_SAYS
    return None


@dataclass(frozen=True, slots=True)
class Code:
    """A bar code found in a picture."""

    format: str
    text: str


def codes_in(content: bytes) -> list[Code] | None:
    """Every label code in a photo, rotated and inverted ones too; None when it is no picture we can read."""
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG", "PNG", "WEBP"]) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                return None
            grey = picture.convert("L")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    found = zxingcpp.read_barcodes(grey, formats=LABEL_FORMATS, try_rotate=True, try_downscale=True, try_invert=True)
    return [Code(str(code.format).rsplit(".", 1)[-1], code.text) for code in found if code.valid and code.text]


async def read_codes(content: bytes) -> list[Code] | None:
    """`codes_in`, beside the event loop: reading takes tens of milliseconds."""
    return await asyncio.to_thread(codes_in, content)
