"""The papers of the house as files: a receipt as PDF and as XML, and the refund voucher for the State Treasury."""

import io
from datetime import date
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, SimpleDocTemplate, Spacer, Table, TableStyle
from starlette.responses import Response

from kit.money import CURRENCY, dong_in_words, format_dong
from kit.web import LOCAL_ZONE
from services.payment import receipts
from services.payment.models import Receipt, Voucher
from services.payment.receipts import CENTRE, METHOD_NAMES, paragraph, style
from services.payment.till import Terms

RECEIPT_NAMESPACE = "urn:lienthong:receipt:1"
REASONS = {
    "refused": "Hồ sơ không được tiếp nhận hoặc bị từ chối giải quyết",
    "withdrawn": "Người nộp rút hồ sơ",
    "papers_lost": "Giấy tờ thất lạc khi vận chuyển",
    "overpaid": "Nộp thừa",
    "paid_twice": "Nộp hai lần cho cùng một hồ sơ",
    "paid_late": "Nộp sau khi hết hạn",
    "other": "Lý do khác",
}


def file_of(body: bytes, name: str) -> Response:
    """A paper as an answer that browsers show and nobody in between keeps; the name's ending says what it is."""
    headers = {"Content-Disposition": f'inline; filename="{name}"', "Cache-Control": "private, no-store"}
    return Response(body, media_type=f"application/{name.rpartition('.')[2]}", headers=headers)


def check_url(receipt: Receipt, terms: Terms) -> str:
    """Where anybody can check a receipt: its QR code leads there."""
    query = urlencode({"number": receipt.number, "code": receipt.check_code})
    return f"{terms.public_url}/receipts/check?{query}"


def receipt_pdf(receipt: Receipt, terms: Terms) -> bytes:
    """A receipt on paper; a cancelled one says so and why."""
    return receipts.receipt_pdf(
        receipt.content,
        number=receipt.number,
        check_code=receipt.check_code,
        check_url=check_url(receipt, terms),
        issued_at=receipt.issued_at,
        cancelled_at=receipt.cancelled_at,
        cancel_reason=receipt.cancel_reason,
    )


def receipt_xml(receipt: Receipt, terms: Terms) -> bytes:
    """A receipt for machines, in a format of our own: what the paper says, element by element.

    No list of fields of the tax authority's receipt format was at hand, so none of its names are used.
    """
    content = receipt.content
    local = receipt.issued_at.astimezone(LOCAL_ZONE)
    root = ET.Element(
        "receipt", {"xmlns": RECEIPT_NAMESPACE, "status": "cancelled" if receipt.cancelled_at else "valid"}
    )
    _texts(
        root,
        {
            "title": content.get("title", receipts.TITLE),
            "formCode": content.get("form_code", ""),
            "series": receipt.series,
            "number": f"{receipt.serial:07d}",
            "issuedOn": local.date().isoformat(),
            "issuedAt": local.isoformat(timespec="seconds"),
            "replaces": receipt.replaces or "",
        },
    )
    seller = ET.SubElement(root, "collectedBy")
    _texts(
        seller,
        {
            "name": content["agency_name"],
            "parent": content.get("parent_name", ""),
            "taxCode": content.get("tax_code", ""),
            "address": content.get("agency_address", ""),
        },
    )
    payer = ET.SubElement(root, "paidBy")
    _texts(payer, {"name": content["payer_name"], "address": content["payer_address"]})
    _texts(
        root,
        {
            "dossierCode": content["dossier_code"],
            "procedure": content["procedure"],
            "methods": ", ".join(content["methods"]),
            "paymentReferences": ", ".join(dict.fromkeys(content["references"])),
        },
    )
    lines = ET.SubElement(root, "lines")
    for number, line in enumerate(content["lines"], start=1):
        element = ET.SubElement(lines, "line", {"number": str(number), "kind": str(line["kind"])})
        _texts(element, {"name": line["label_vi"], "beneficiary": line["beneficiary"]})
        _texts(element, {"paidByBudgets": line["budget_dong"], "paidByCitizen": line["citizen_dong"]})
    total = ET.SubElement(root, "total", {"currency": CURRENCY})
    _texts(total, {"paidByBudgets": content["budget_dong"], "paidByCitizen": content["due_dong"]})
    _texts(total, {"inWords": dong_in_words(int(content["due_dong"]))})
    _texts(root, {"checkCode": receipt.check_code, "checkUrl": check_url(receipt, terms)})
    if receipt.cancelled_at is not None:
        cancelled = receipt.cancelled_at.astimezone(LOCAL_ZONE).isoformat(timespec="seconds")
        ended = ET.SubElement(root, "cancelled", {"at": cancelled})
        ended.text = receipt.cancel_reason
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _texts(parent: ET.Element, values: dict[str, object]) -> None:
    for name, value in values.items():
        ET.SubElement(parent, name).text = "".join(each for each in str(value) if each.isprintable())


def voucher_pdf(voucher: Voucher, terms: Terms) -> bytes:
    """The order to the State Treasury on one page: who is paid back what, for which payment, on whose decision."""
    out = io.BytesIO()
    document = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=22 * mm,
        rightMargin=18 * mm,
        topMargin=16 * mm,
        bottomMargin=16 * mm,
        title=f"Chứng từ hoàn trả {voucher.number}",
        author=terms.agency_name,
    )
    document.build([*_voucher_heading(voucher, terms), _voucher_body(voucher), Spacer(1, 6 * mm), _signatures()])
    return out.getvalue()


def _voucher_heading(voucher: Voucher, terms: Terms) -> list[Flowable]:
    strong, centre = style(10, bold=True, align=CENTRE), style(10, align=CENTRE)
    top = Table(
        [
            [
                [paragraph(terms.agency_name.upper(), strong), paragraph(f"Số: {voucher.number}", centre)],
                [
                    paragraph("CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", strong),
                    paragraph("Độc lập - Tự do - Hạnh phúc", strong),
                ],
            ]
        ],
        colWidths=[80 * mm, 90 * mm],
    )
    top.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP")]))
    local = voucher.prepared_at.astimezone(LOCAL_ZONE)
    return [
        top,
        Spacer(1, 8 * mm),
        paragraph("GIẤY ĐỀ NGHỊ HOÀN TRẢ KHOẢN THU NGÂN SÁCH NHÀ NƯỚC", style(14, bold=True, align=CENTRE)),
        paragraph(f"Ngày {local:%d} tháng {local:%m} năm {local:%Y}", centre),
        paragraph("Kính gửi: Kho bạc Nhà nước nơi mở tài khoản thu", centre),
        Spacer(1, 6 * mm),
    ]


def _voucher_body(voucher: Voucher) -> Flowable:
    content = voucher.content
    account = content["payer_account"]
    by_transfer = f"{account} tại ngân hàng có mã {content['payer_bin']}" if account else "Chi tiền mặt tại Kho bạc"
    rows: list[tuple[str, Any]] = [
        ("Người được hoàn trả", content["payer_name"] or content["payer_account_name"] or "………………………………"),
        ("Địa chỉ", content["payer_address"] or "………………………………"),
        ("Tài khoản nhận", by_transfer),
        ("Mã hồ sơ", content["dossier_code"]),
        ("Mã giao dịch thanh toán", content["transaction_code"]),
        ("Mã tham chiếu", content["payment_reference"] or "–"),
        ("Hình thức đã nộp", METHOD_NAMES.get(str(content["method"]), str(content["method"]))),
        ("Ngày nộp", _day(content["paid_on"])),
        ("Số tiền đã nộp", format_dong(int(content["paid_dong"]))),
        ("Biên lai thu", content["receipt_number"] or "–"),
        ("Lý do hoàn trả", REASONS.get(str(content["reason"]), str(content["reason"]))),
        ("Số tiền đề nghị hoàn trả", format_dong(voucher.amount_dong)),
        ("Bằng chữ", f"{dong_in_words(voucher.amount_dong)}."),
        ("Người đề nghị", content["requested_by"]),
        ("Người duyệt", content["decided_by"] or "………………………………"),
    ]
    label, value, strong = style(10), style(10), style(10, bold=True)
    heavy = ("Số tiền đề nghị hoàn trả", "Bằng chữ")
    table = Table(
        [[paragraph(name, label), paragraph(text, strong if name in heavy else value)] for name, text in rows],
        colWidths=[52 * mm, 118 * mm],
    )
    table.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LINEBELOW", (0, 0), (-1, -1), 0.25, receipts.GREY),
                ("TOPPADDING", (0, 0), (-1, -1), 3),
            ]
        )
    )
    return table


def _day(text: object) -> str:
    return date.fromisoformat(str(text)).strftime("%d/%m/%Y")


def _signatures() -> Flowable:
    strong, plain = style(10, bold=True, align=CENTRE), style(9, align=CENTRE)
    names = ("Người lập", "Kế toán trưởng", "Thủ trưởng đơn vị", "Kho bạc Nhà nước")
    row = [[paragraph(name, strong), paragraph("(ký, ghi rõ họ tên)", plain), Spacer(1, 20 * mm)] for name in names]
    return Table([row], colWidths=[42.5 * mm] * 4)
