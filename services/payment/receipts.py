"""The paper a citizen keeps: a receipt as PDF, with the amount in words and a code that anybody can check."""

import io
from datetime import datetime
from functools import cache
from typing import Any, Literal

import font_roboto
import qrcode
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, Image, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from kit.money import dong_in_words, format_dong
from kit.web import LOCAL_ZONE, format_when

Alignment = Literal[0, 1, 2]
CENTRE: Alignment = 1
RIGHT: Alignment = 2
KIND_NAMES = {"fee": "Phí", "charge": "Lệ phí", "postage": "Cước bưu chính", "collection": "Cước thu hộ"}
METHOD_NAMES = {
    "card": "Thẻ ngân hàng",
    "vietqr": "Chuyển khoản VietQR",
    "cash_on_delivery": "Tiền mặt, bưu điện thu hộ",
    "cash_at_counter": "Tiền mặt tại quầy",
    "none": "Không phải nộp",
}


@cache
def _fonts() -> tuple[str, str]:
    """Register the fonts once; their names."""
    pdfmetrics.registerFont(TTFont("Roboto", font_roboto.Roboto))
    pdfmetrics.registerFont(TTFont("Roboto-Bold", font_roboto.RobotoBold))
    return "Roboto", "Roboto-Bold"


def receipt_pdf(
    content: dict[str, Any],
    *,
    number: str,
    check_code: str,
    check_url: str,
    issued_at: datetime,
    cancelled_at: datetime | None = None,
) -> bytes:
    """A receipt on one A4 page from its stored content: the same content always gives the same text."""
    out = io.BytesIO()
    document = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=20 * mm,
        rightMargin=20 * mm,
        topMargin=16 * mm,
        bottomMargin=16 * mm,
        title=f"Biên lai {number}",
        author=str(content["agency_name"]),
    )
    document.build(
        [
            *_heading(content, number=number, issued_at=issued_at, cancelled_at=cancelled_at),
            _payer(content),
            Spacer(1, 4 * mm),
            _lines(content),
            *_sum(content),
            Spacer(1, 8 * mm),
            _foot(content, check_code=check_code, check_url=check_url, issued_at=issued_at),
        ]
    )
    return out.getvalue()


def _style(size: float = 10, *, bold: bool = False, align: Alignment = 0) -> ParagraphStyle:
    regular, strong = _fonts()
    return ParagraphStyle(
        f"s{size}{bold}{align}",
        fontName=strong if bold else regular,
        fontSize=size,
        leading=size * 1.4,
        alignment=align,
    )


def _text(text: object, style: ParagraphStyle) -> Paragraph:
    escaped = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return Paragraph(escaped, style)


def _heading(
    content: dict[str, Any], *, number: str, issued_at: datetime, cancelled_at: datetime | None
) -> list[Flowable]:
    centre = _style(10, align=CENTRE)
    strong = _style(10, bold=True, align=CENTRE)
    top = Table(
        [
            [
                [_text(str(content["agency_name"]).upper(), strong)],
                [
                    _text("CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", strong),
                    _text("Độc lập - Tự do - Hạnh phúc", strong),
                ],
            ]
        ],
        colWidths=[80 * mm, 90 * mm],
    )
    top.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP")]))
    local = issued_at.astimezone(LOCAL_ZONE)
    parts: list[Flowable] = [
        top,
        Spacer(1, 8 * mm),
        _text("BIÊN LAI THU PHÍ, LỆ PHÍ", _style(16, bold=True, align=CENTRE)),
        _text(f"Số: {number}", centre),
        _text(f"Ngày {local:%d} tháng {local:%m} năm {local:%Y}", centre),
        Spacer(1, 5 * mm),
    ]
    if cancelled_at is not None:
        style = _style(12, bold=True, align=CENTRE)
        style.textColor = colors.HexColor("#b3261e")
        parts += [
            _text(f"ĐÃ HỦY ngày {format_when(cancelled_at)}: toàn bộ số tiền đã hoàn trả", style),
            Spacer(1, 4 * mm),
        ]
    return parts


def _payer(content: dict[str, Any]) -> Flowable:
    label, value = _style(10), _style(10, bold=True)
    rows = [
        ("Họ tên người nộp:", content["payer_name"] or "………………………………"),
        ("Địa chỉ:", content["payer_address"] or "………………………………"),
        ("Mã hồ sơ:", content["dossier_code"]),
        ("Hình thức nộp:", ", ".join(METHOD_NAMES.get(m, m) for m in content["methods"])),
        ("Mã thanh toán:", ", ".join(dict.fromkeys(content["references"])) or "–"),
    ]
    table = Table([[_text(a, label), _text(b, value)] for a, b in rows], colWidths=[40 * mm, 130 * mm])
    table.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5)]))
    return table


def _lines(content: dict[str, Any]) -> Flowable:
    regular, strong = _style(9.5), _style(9.5, bold=True)
    right, strong_right = _style(9.5, align=RIGHT), _style(9.5, bold=True, align=RIGHT)
    head = [_text("Nội dung", strong), _text("Loại", strong)]
    head += [_text("Ngân sách hỗ trợ", strong_right), _text("Người nộp trả", strong_right)]
    rows = [head]
    for line in content["lines"]:
        name = _text(line["label_vi"], regular)
        kind = _text(KIND_NAMES.get(line["kind"], line["kind"]), regular)
        rows.append(
            [
                name,
                kind,
                _text(format_dong(line["budget_dong"]), right),
                _text(format_dong(line["citizen_dong"]), right),
            ]
        )
    rows.append(
        [
            _text("Cộng", strong),
            _text("", strong),
            _text(format_dong(content["budget_dong"]), strong_right),
            _text(format_dong(content["due_dong"]), strong_right),
        ]
    )
    table = Table(rows, colWidths=[76 * mm, 30 * mm, 32 * mm, 32 * mm], repeatRows=1)
    grey = colors.HexColor("#8a8f98")
    table.setStyle(
        TableStyle(
            [
                ("LINEABOVE", (0, 0), (-1, 0), 0.8, grey),
                ("LINEBELOW", (0, 0), (-1, 0), 0.8, grey),
                ("LINEBELOW", (0, 1), (-1, -2), 0.25, grey),
                ("LINEBELOW", (0, -1), (-1, -1), 0.8, grey),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ]
        )
    )
    return table


def _sum(content: dict[str, Any]) -> list[Flowable]:
    return [
        Spacer(1, 4 * mm),
        _text(f"Số tiền người nộp đã trả: {format_dong(content['due_dong'])}", _style(11, bold=True)),
        _text(f"Bằng chữ: {dong_in_words(content['due_dong'])}.", _style(10.5)),
    ]


def _foot(content: dict[str, Any], *, check_code: str, check_url: str, issued_at: datetime) -> Flowable:
    picture = io.BytesIO(qr_png(check_url, scale=6))
    note = [
        _text("Quét mã để kiểm tra biên lai", _style(9, bold=True)),
        _text(f"Mã kiểm tra: {check_code}", _style(9)),
        _text(f"Lập lúc {format_when(issued_at)}", _style(9)),
    ]
    sign = [
        _text("ĐƠN VỊ THU", _style(10, bold=True, align=CENTRE)),
        _text(str(content["agency_name"]), _style(10, align=CENTRE)),
    ]
    table = Table([[Image(picture, 28 * mm, 28 * mm), note, sign]], colWidths=[32 * mm, 68 * mm, 70 * mm])
    table.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP")]))
    return table


def _matrix(payload: str) -> "qrcode.QRCode[Any]":
    code: qrcode.QRCode[Any] = qrcode.QRCode(border=4, error_correction=qrcode.constants.ERROR_CORRECT_M)
    code.add_data(payload)
    code.make(fit=True)
    return code


def qr_png(payload: str, *, scale: int = 8) -> bytes:
    """A QR code as PNG, `scale` pixels a module, with its quiet zone."""
    code = _matrix(payload)
    code.box_size = scale
    out = io.BytesIO()
    code.make_image().save(out)
    return out.getvalue()


def qr_svg(payload: str) -> str:
    """A QR code as SVG, sharp at any size."""
    matrix = _matrix(payload).get_matrix()
    size = len(matrix)
    path = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(matrix) for x, dark in enumerate(row) if dark)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" shape-rendering="crispEdges">'
        f'<path fill="#fff" d="M0 0h{size}v{size}H0z"/><path d="{path}"/></svg>'
    )
