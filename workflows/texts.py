"""The words of a dossier's journey in both languages, and how its outcomes are named to the services."""

from services.payment.contract import RefundReason
from workflows.contract import AgencyFactKind, Phase

LEG_NAME: dict[str, str] = {"outbound": "send", "return": "return"}
CANCEL_REASON: dict[str, str] = {
    "refused": "refused",
    "withdrawn": "withdrawn",
    "expired_unpaid": "expired",
    "papers_lost": "papers_lost",
}
REFUND_REASON: dict[str, RefundReason] = {
    "refused": "refused",
    "withdrawn": "withdrawn",
    "expired_unpaid": "paid_late",
    "papers_lost": "papers_lost",
}
PHASES: dict[Phase, tuple[str, str]] = {
    "quoting": ("Xác định phí, lệ phí", "Assessing fees"),
    "collecting": ("Thu phí, lệ phí", "Collecting payment"),
    "picking_up": ("Bưu điện nhận hồ sơ tại nhà", "The post picks up the papers"),
    "accepting": ("Chờ cơ quan tiếp nhận", "With the agency for acceptance"),
    "supplementing": ("Chờ bổ sung giấy tờ", "Waiting for missing papers"),
    "processing": ("Cơ quan đang giải quyết", "The agency is deciding"),
    "returning": ("Bưu điện trả kết quả", "The post returns the result"),
    "handing_over": ("Trao kết quả", "Handing over the result"),
    "undoing": ("Hoàn trả tiền và giấy tờ", "Returning money and papers"),
    "finished": ("Kết thúc", "Finished"),
}
NEXT_STEPS: dict[Phase, tuple[str, str]] = {
    "quoting": ("Thông báo số tiền phải nộp", "Say what is owed"),
    "collecting": ("Nộp tiền rồi chuyển hồ sơ tới cơ quan", "Payment, then the dossier goes to the agency"),
    "picking_up": ("Giao hồ sơ cho cơ quan", "The papers reach the agency"),
    "accepting": ("Cơ quan tiếp nhận hoặc yêu cầu bổ sung", "The agency accepts or asks for more"),
    "supplementing": ("Cơ quan xem lại hồ sơ", "The agency looks again"),
    "processing": ("Trả kết quả", "The result is returned"),
    "returning": ("Bưu tá phát kết quả tận tay", "The courier delivers the result in person"),
    "handing_over": ("Nhận kết quả", "The result is received"),
    "undoing": ("Hoàn tất hoàn trả", "The return is completed"),
    "finished": ("Không còn bước nào", "Nothing more"),
}
AGENCY_FACTS: dict[AgencyFactKind, tuple[str, str]] = {
    "accepted": ("Cơ quan đã tiếp nhận hồ sơ", "The agency accepted the dossier"),
    "supplement_requested": ("Cơ quan yêu cầu bổ sung giấy tờ", "The agency asked for missing papers"),
    "supplement_received": ("Cơ quan đã nhận giấy tờ bổ sung", "The agency received the missing papers"),
    "refused": ("Cơ quan từ chối hồ sơ", "The agency refused the dossier"),
    "extended": ("Cơ quan gia hạn giải quyết", "The agency extended the due date"),
    "result_ready": ("Đã có kết quả giải quyết", "The result is ready"),
    "handed_over": ("Đã trao kết quả", "The result is handed over"),
}
LEG_END_WORDS: dict[str, tuple[str, str]] = {
    "delivered": ("đã phát", "delivered"),
    "returned": ("đã chuyển hoàn người gửi", "returned to the sender"),
    "lost": ("đã mất", "lost"),
    "damaged": ("bị hư hỏng", "damaged"),
    "cancelled": ("đã hủy", "cancelled"),
}
STEP_NAMES: dict[str, tuple[str, str]] = {
    "payment": ("nộp tiền", "payment"),
    "acceptance": ("tiếp nhận hồ sơ", "acceptance"),
    "supplement": ("bổ sung giấy tờ", "supplement"),
    "processing": ("giải quyết hồ sơ", "processing"),
}
