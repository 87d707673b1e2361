"""The label as dots for a thermal printer: 203 dpi is eight dots a millimetre, and a bar is a whole number of them."""

import io
from typing import Any

import font_roboto
from PIL import Image, ImageDraw, ImageFont
from qrcode.constants import ERROR_CORRECT_M
from qrcode.main import QRCode
from reportlab.graphics.barcode.code128 import Code128

from services.postal import s10
from services.postal.labels import Label, LabelSize

DOTS_PER_MM = 8
_SIZES: dict[LabelSize, tuple[int, int]] = {"a6": (105, 148), "a5": (148, 210)}
_BAR_DOTS: dict[LabelSize, int] = {"a6": 4, "a5": 5}
"""Half a millimetre and more: wide enough for the oldest scanner."""

_QUIET = 10
"""Empty modules on both sides of Code 128 (ISO/IEC 15417)."""


def render_image(label: Label, size: LabelSize = "a6") -> bytes:
    """The label as a PNG of black and white dots. Raises ValueError without a valid item number."""
    number = s10.parse(label.s10)
    if number is None:
        raise ValueError("a label needs a valid item number")
    width, height = (side * DOTS_PER_MM for side in _SIZES[size])
    page = Image.new("1", (width, height), 1)
    draw = ImageDraw.Draw(page)
    scale = width / (105 * DOTS_PER_MM)
    margin = round(48 * scale)
    outbound = label.direction == "outbound"
    way = "GỬI CƠ QUAN / To the agency" if outbound else "TRẢ NGƯỜI DÂN / To the citizen"
    draw.text((margin, margin), "BƯU CHÍNH CÔNG ÍCH", font=_font(34 * scale, bold=True), fill=0)
    draw.text((margin, margin + 44 * scale), way, font=_font(30 * scale, bold=False), fill=0)
    top = round(margin + 96 * scale)
    draw.line((margin, top, width - margin, top), fill=0, width=round(4 * scale))
    code = _qr(label.qr_content, round(320 * scale))
    page.paste(code, (width - margin - code.width, top + round(16 * scale)))
    column = width - 2 * margin - code.width - round(16 * scale)
    y = top + 24 * scale
    y = _lines(draw, (margin, y), label.name or label.agency, _font(44 * scale, bold=True), column, most=3)
    _lines(draw, (margin, y + 8 * scale), label.address, _font(34 * scale, bold=False), column, most=5)
    draw.text((margin, 560 * scale), "Mã xã, phường / Commune", font=_font(28 * scale, bold=False), fill=0)
    draw.text((margin, 590 * scale), label.commune, font=_font(110 * scale, bold=True), fill=0)
    weight = f"{label.weight_grams} g"
    draw.text((width - margin, 640 * scale), weight, font=_font(48 * scale, bold=True), fill=0, anchor="ra")
    _bars(draw, str(number), (width, round(760 * scale), round(1010 * scale)), _BAR_DOTS[size])
    middle = (width / 2, 1040 * scale)
    draw.text(middle, number.spaced, font=_font(56 * scale, bold=True), fill=0, anchor="ma")
    sink = io.BytesIO()
    page.save(sink, "PNG", dpi=(203.2, 203.2), optimize=True)
    return sink.getvalue()


def _font(size: float, *, bold: bool) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_roboto.RobotoBold if bold else font_roboto.Roboto, round(size))


def _qr(content: str, side: int) -> Image.Image:
    """As many whole dots a module as fit, with the four empty modules that the standard asks for."""
    code = QRCode(error_correction=ERROR_CORRECT_M, border=4)
    code.add_data(content)
    rows = code.get_matrix()
    image = Image.new("1", (len(rows), len(rows)), 1)
    image.putdata([0 if dark else 1 for row in rows for dark in row])
    dots = max(1, side // len(rows))
    return image.resize((len(rows) * dots, len(rows) * dots), Image.Resampling.NEAREST)


def _bars(draw: ImageDraw.ImageDraw, text: str, place: tuple[int, int, int], dots: int) -> None:
    """Code 128, centred in the width: reportlab spells the widths as letters, capitals for bars, small for spaces."""
    barcode: Any = Code128(text, quiet=False)
    barcode.validate()
    barcode.encode()
    barcode.decompose()
    widths = [(letter.isupper(), ord(letter.lower()) - ord("a") + 1) for letter in barcode.decomposed]
    width, top, bottom = place
    x = (width - sum(modules for _, modules in widths) * dots) // 2
    if x < _QUIET * dots:
        raise ValueError("the item number does not fit on the label")
    for dark, modules in widths:
        if dark:
            draw.rectangle((x, top, x + modules * dots - 1, bottom), fill=0)
        x += modules * dots


def _lines(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    font: ImageFont.FreeTypeFont,
    width: float,
    *,
    most: int,
) -> float:
    """Text broken at spaces; gives the height at which the next may begin."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and draw.textlength(longer, font=font) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    x, y = place
    for line in lines[:most]:
        draw.text((x, y), line, font=font, fill=0)
        y += font.size * 1.25
    return y
