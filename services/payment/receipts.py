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
TITLE = "BIÊN LAI THU PHÍ, LỆ PHÍ"
GREY = colors.HexColor("#8a8f98")
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
    cancel_reason: str = "refunded",
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
            *_heading(content, number=number, issued_at=issued_at),
            *_cancelled(cancelled_at, cancel_reason),
            _payer(content),
            Spacer(1, 4 * mm),
            _lines(content),
            *_sum(content),
            Spacer(1, 8 * mm),
            _foot(content, check_code=check_code, check_url=check_url, issued_at=issued_at),
        ]
    )
    return out.getvalue()


def style(size: float = 10, *, bold: bool = False, align: Alignment = 0) -> ParagraphStyle:
    """How text on our papers is set, by its size in points."""
    regular, strong = _fonts()
    return ParagraphStyle(
        f"s{size}{bold}{align}",
        fontName=strong if bold else regular,
        fontSize=size,
        leading=size * 1.4,
        alignment=align,
    )


def paragraph(text: object, set_in: ParagraphStyle) -> Paragraph:
    """A text as it is, whatever signs it holds."""
    escaped = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return Paragraph(escaped, set_in)


def _heading(content: dict[str, Any], *, number: str, issued_at: datetime) -> list[Flowable]:
    centre = style(10, align=CENTRE)
    strong = style(10, bold=True, align=CENTRE)
    top = Table(
        [
            [
                [
                    paragraph(str(content[name]).upper(), strong)
                    for name in ("parent_name", "agency_name")
                    if content.get(name)
                ]
                + [
                    paragraph(f"{label}: {content[name]}", centre)
                    for name, label in (("tax_code", "Mã số thuế"), ("form_code", "Mẫu số"))
                    if content.get(name)
                ],
                [
                    paragraph("CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", strong),
                    paragraph("Độc lập - Tự do - Hạnh phúc", strong),
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
        paragraph(content.get("title", TITLE), style(16, bold=True, align=CENTRE)),
        paragraph(f"Số: {number}", centre),
        paragraph(f"Ngày {local:%d} tháng {local:%m} năm {local:%Y}", centre),
        Spacer(1, 5 * mm),
    ]
    if content.get("replaces"):
        parts += [paragraph(f"Thay thế biên lai số {content['replaces']}", centre), Spacer(1, 3 * mm)]
    return parts


def _cancelled(cancelled_at: datetime | None, reason: str) -> list[Flowable]:
    if cancelled_at is None:
        return []
    alarm = style(12, bold=True, align=CENTRE)
    alarm.textColor = colors.HexColor("#b3261e")
    why = "toàn bộ số tiền đã hoàn trả" if reason == "refunded" else reason
    return [paragraph(f"ĐÃ HỦY ngày {format_when(cancelled_at)}: {why}", alarm), Spacer(1, 4 * mm)]


def _payer(content: dict[str, Any]) -> Flowable:
    label, value = style(10), style(10, bold=True)
    rows = [
        ("Họ tên người nộp:", content["payer_name"] or "………………………………"),
        ("Địa chỉ:", content["payer_address"] or "………………………………"),
        ("Mã hồ sơ:", content["dossier_code"]),
        ("Hình thức nộp:", ", ".join(METHOD_NAMES.get(m, m) for m in content["methods"])),
        ("Mã thanh toán:", ", ".join(dict.fromkeys(content["references"])) or "–"),
    ]
    table = Table([[paragraph(a, label), paragraph(b, value)] for a, b in rows], colWidths=[40 * mm, 130 * mm])
    table.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5)]))
    return table


def _lines(content: dict[str, Any]) -> Flowable:
    regular, strong = style(9.5), style(9.5, bold=True)
    right, strong_right = style(9.5, align=RIGHT), style(9.5, bold=True, align=RIGHT)
    head = [paragraph("Nội dung", strong), paragraph("Loại", strong)]
    head += [paragraph("Ngân sách hỗ trợ", strong_right), paragraph("Người nộp trả", strong_right)]
    rows = [head]
    for line in content["lines"]:
        name = paragraph(line["label_vi"], regular)
        kind = paragraph(KIND_NAMES.get(line["kind"], line["kind"]), regular)
        rows.append(
            [
                name,
                kind,
                paragraph(format_dong(line["budget_dong"]), right),
                paragraph(format_dong(line["citizen_dong"]), right),
            ]
        )
    rows.append(
        [
            paragraph("Cộng", strong),
            paragraph("", strong),
            paragraph(format_dong(content["budget_dong"]), strong_right),
            paragraph(format_dong(content["due_dong"]), strong_right),
        ]
    )
    table = Table(rows, colWidths=[76 * mm, 30 * mm, 32 * mm, 32 * mm], repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("LINEABOVE", (0, 0), (-1, 0), 0.8, GREY),
                ("LINEBELOW", (0, 0), (-1, 0), 0.8, GREY),
                ("LINEBELOW", (0, 1), (-1, -2), 0.25, GREY),
                ("LINEBELOW", (0, -1), (-1, -1), 0.8, GREY),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ]
        )
    )
    return table


def _sum(content: dict[str, Any]) -> list[Flowable]:
    return [
        Spacer(1, 4 * mm),
        paragraph(f"Số tiền người nộp đã trả: {format_dong(content['due_dong'])}", style(11, bold=True)),
        paragraph(f"Bằng chữ: {dong_in_words(content['due_dong'])}.", style(10.5)),
    ]


def _foot(content: dict[str, Any], *, check_code: str, check_url: str, issued_at: datetime) -> Flowable:
    picture = io.BytesIO(qr_png(check_url, scale=6))
    note = [
        paragraph("Quét mã để kiểm tra biên lai", style(9, bold=True)),
        paragraph(f"Mã kiểm tra: {check_code}", style(9)),
        paragraph(f"Lập lúc {format_when(issued_at)}", style(9)),
    ]
    sign = [
        paragraph("ĐƠN VỊ THU", style(10, bold=True, align=CENTRE)),
        paragraph(str(content["agency_name"]), style(10, align=CENTRE)),
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
    """A QR code as PNG, `scale` pixels a module, with its quiet zone; printed at 300 dots an inch it is sharp."""
    code = _matrix(payload)
    code.box_size = scale
    out = io.BytesIO()
    code.make_image().save(out, dpi=(300, 300))
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
