"""Tables that leave the house as files: their heads and cells, in Vietnamese, as finance officers read them."""

from collections.abc import AsyncIterator
from datetime import date

from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import Sessions
from kit.errors import NotFound
from services.payment.exports import Row
from services.payment.queries import accounts, lists
from services.payment.queries.desk import BillFilter

BILL_HEAD = (
    "Mã hồ sơ",
    "Số hiệu khoản thu",
    "Thủ tục",
    "Tình trạng",
    "Cách nộp",
    "Nội dung chuyển khoản",
    "Phải nộp",
    "Ngân sách trả",
    "Đã nộp",
    "Tiền thừa đang giữ",
    "Đã hoàn",
    "Đang bị tra soát",
    "Mất do tra soát",
    "Biên lai",
    "Lập lúc",
    "Hạn nộp",
    "Nộp đủ lúc",
    "Mã khoản thu",
)
MOVEMENT_HEAD = (
    "Ngày sổ",
    "Ngày giá trị",
    "Phát sinh lúc",
    "Bút toán",
    "Hồ sơ",
    "Ghi có",
    "Ghi nợ",
    "Số dư",
    "Mã bút toán",
)
KINDS = {
    "bill_opened": "Lập khoản thu",
    "unpaid_reversed": "Đảo phần không thu nữa",
    "refund_approved": "Duyệt hoàn trả",
    "refund_failed": "Hoàn trả không thành",
}
"""What the movements of an agency's account are called in files; any other journal keeps its code."""


async def bill_table(sessions: Sessions, wanted: BillFilter) -> AsyncIterator[Row]:
    """Bills of a filter as the cells of BILL_HEAD."""
    async for found in lists.bill_rows(sessions, wanted):
        row = found.payment
        yield (
            row.dossier_code,
            row.bill_reference,
            row.procedure,
            row.status,
            found.methods,
            found.references,
            row.due_dong,
            row.budget_dong,
            row.paid_dong,
            row.excess_dong,
            row.refunded_dong,
            row.disputed_dong,
            row.lost_dong,
            found.receipt,
            row.created_at,
            row.expires_at,
            found.paid_at,
            row.id,
        )


async def movement_table(
    sessions: Sessions, summary: accounts.AccountSummary, first: date | None, last: date | None
) -> AsyncIterator[Row]:
    """Movements of an agency's account as the cells of MOVEMENT_HEAD, between its opening and its closing balance."""
    yield (first, None, None, "Dư đầu kỳ", "", None, None, summary.opening_dong, "")
    opening = summary.opening_dong
    async for each in accounts.movements(sessions, summary.agency, first, last, opening_dong=opening):
        yield (
            each.business_date,
            each.value_date,
            each.occurred_at,
            KINDS.get(each.kind, each.kind),
            each.dossier_code,
            each.credit_dong or None,
            each.debit_dong or None,
            each.balance_dong,
            each.journal_id,
        )
    yield (last, None, None, "Cộng phát sinh và dư cuối kỳ", "", *_sums(summary), "")


def _sums(summary: accounts.AccountSummary) -> tuple[int, int, int]:
    return summary.credit_dong, summary.debit_dong, summary.closing_dong


async def agency_summary(
    session: AsyncSession, agency: str, first: date | None, last: date | None
) -> accounts.AccountSummary:
    """An agency's account over a period. Raises NotFound when nothing was ever posted to it."""
    summary = await accounts.agency_account(session, agency, first, last)
    if summary is None:
        raise NotFound(
            "Sổ cái chưa có khoản thu nào của cơ quan này; hãy kiểm tra lại mã cơ quan.",
            "The books hold nothing of this agency; check the agency's code.",
        )
    return summary
