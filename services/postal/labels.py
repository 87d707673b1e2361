"""The label of an envelope: A6, the item number as Code 128 and for people, a QR that proves the label was seen.

A label tells the round where to go and nothing else: no kind of dossier, no phone, and a name only where the
courier must hand the envelope to that very person.
"""

import base64
import hashlib
import hmac
import io
from dataclasses import dataclass
from functools import cache
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import font_roboto
from reportlab.graphics import renderPDF
from reportlab.graphics.barcode.code128 import Code128
from reportlab.graphics.barcode.qr import QrCodeWidget
from reportlab.graphics.shapes import Drawing
from reportlab.lib.pagesizes import A5, A6
from reportlab.lib.units import mm
from reportlab.lib.utils import simpleSplit
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from services.postal import s10
from services.postal.contract import Direction

_TOKEN_BYTES = 10
"""80 bits: short enough for a small QR, far too many to guess."""

_WIDTH, _HEIGHT = A6
_MARGIN = 6 * mm


@dataclass(frozen=True, slots=True)
class Label:
    """What is printed. `name` and `address` are of the addressee of a return leg, else empty."""

    s10: str
    direction: Direction
    agency: str
    commune: str
    weight_grams: int
    qr_content: str
    name: str = ""
    address: str = ""


def label_token(secret: str, number: str) -> str:
    """The short code of an item's label. Whoever shows it has held the label, or a picture of it."""
    digest = hmac.new(secret.encode(), f"label:{number}".encode(), hashlib.sha256).digest()
    return base64.b32encode(digest[:_TOKEN_BYTES]).decode()


def qr_content(public_url: str, secret: str, number: str) -> str:
    """An address that opens the tracking page on any phone and carries the label's code for the courier's page."""
    return f"{public_url}/track/{number}?k={label_token(secret, number)}"


@dataclass(frozen=True, slots=True)
class Scan:
    """What was typed or scanned: an item number, and whether a label's code came with it and was right."""

    number: str
    label_seen: bool
    label_false: bool


def read_scan(text: str, secret: str) -> Scan | None:
    """Read a typed number or the content of a label's QR; None when it holds no valid item number."""
    content = text.strip()
    try:
        parts = urlsplit(content)
    except ValueError:
        return None
    token = parse_qs(parts.query).get("k", [""])[0]
    parsed = s10.parse(parts.path.rsplit("/", 1)[-1] if parts.scheme else content)
    if parsed is None:
        return None
    right = hmac.compare_digest(token.encode(), label_token(secret, str(parsed)).encode())
    return Scan(str(parsed), label_seen=right, label_false=bool(token) and not right)


@cache
def _register_fonts() -> None:
    pdfmetrics.registerFont(TTFont("Roboto", font_roboto.Roboto))
    pdfmetrics.registerFont(TTFont("Roboto-Bold", font_roboto.RobotoBold))


LabelSize = Literal["a6", "a5"]


def render_label(label: Label, size: LabelSize = "a6") -> bytes:
    """The label as a one-page PDF with its fonts inside. A5 is the same, larger: both papers have the same shape."""
    _register_fonts()
    number = s10.parse(label.s10)
    if number is None:
        raise ValueError("a label needs a valid item number")
    sink = io.BytesIO()
    canvas = Canvas(sink, pagesize=A6 if size == "a6" else A5, invariant=True)
    if size == "a5":
        canvas.scale(A5[0] / _WIDTH, A5[1] / _HEIGHT)
    canvas.setTitle(label.s10)
    canvas.setAuthor("Liên Thông")
    _draw_head(canvas, label)
    _draw_addressee(canvas, label)
    _draw_number(canvas, number)
    canvas.showPage()
    canvas.save()
    return sink.getvalue()


def _draw_head(canvas: Canvas, label: Label) -> None:
    top = _HEIGHT - _MARGIN
    canvas.setFont("Roboto-Bold", 12)
    canvas.drawString(_MARGIN, top - 12, "BƯU CHÍNH CÔNG ÍCH")
    canvas.setFont("Roboto", 8.5)
    canvas.drawString(_MARGIN, top - 24, "Public postal service")
    way = ("GỬI CƠ QUAN", "To the agency") if label.direction == "outbound" else ("TRẢ NGƯỜI DÂN", "To the citizen")
    canvas.setFont("Roboto-Bold", 12)
    canvas.drawRightString(_WIDTH - _MARGIN, top - 12, way[0])
    canvas.setFont("Roboto", 8.5)
    canvas.drawRightString(_WIDTH - _MARGIN, top - 24, way[1])
    canvas.setLineWidth(1.2)
    canvas.line(_MARGIN, top - 31, _WIDTH - _MARGIN, top - 31)


def _draw_addressee(canvas: Canvas, label: Label) -> None:
    qr_size = 40 * mm
    left, width = _MARGIN, _WIDTH - 2 * _MARGIN - qr_size - 2 * mm
    y = _HEIGHT - _MARGIN - 45
    canvas.setFont("Roboto", 9)
    canvas.drawString(left, y, "Nơi nhận / Deliver to")
    y -= 19
    for line in simpleSplit(label.name or label.agency, "Roboto-Bold", 15, width)[:3]:
        canvas.setFont("Roboto-Bold", 15)
        canvas.drawString(left, y, line)
        y -= 18
    for line in simpleSplit(label.address, "Roboto", 11, width)[:6]:
        canvas.setFont("Roboto", 11)
        canvas.drawString(left, y, line)
        y -= 14
    canvas.setFont("Roboto", 9)
    canvas.drawString(left, 66 * mm, "Mã xã, phường / Commune")
    canvas.drawRightString(_WIDTH - _MARGIN, 66 * mm, "Khối lượng / Weight")
    canvas.setFont("Roboto-Bold", 36)
    canvas.drawString(left, 51 * mm, label.commune)
    canvas.setFont("Roboto-Bold", 15)
    canvas.drawRightString(_WIDTH - _MARGIN, 51 * mm, f"{label.weight_grams} g")
    _draw_qr(canvas, label.qr_content, _WIDTH - _MARGIN - qr_size, _HEIGHT - _MARGIN - 36 - qr_size, qr_size)


def _draw_qr(canvas: Canvas, content: str, x: float, y: float, size: float) -> None:
    widget = QrCodeWidget(content, barLevel="M")
    left, bottom, right, top = widget.getBounds()
    drawing = Drawing(size, size, transform=[size / (right - left), 0, 0, size / (top - bottom), 0, 0])
    drawing.add(widget)
    renderPDF.draw(drawing, canvas, x, y)


def _draw_number(canvas: Canvas, number: s10.ItemNumber) -> None:
    canvas.setLineWidth(0.6)
    canvas.line(_MARGIN, 42 * mm, _WIDTH - _MARGIN, 42 * mm)
    text = str(number)
    barcode = Code128(text, barHeight=20 * mm, barWidth=0.5 * mm, quiet=False)
    barcode.drawOn(canvas, (_WIDTH - barcode.width) / 2, 17 * mm)
    canvas.setFont("Roboto-Bold", 17)
    canvas.drawCentredString(_WIDTH / 2, 9 * mm, number.spaced)
