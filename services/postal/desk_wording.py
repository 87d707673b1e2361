"""What people read at the dispatcher's desk and on the citizen's page, in Vietnamese and English."""

from collections.abc import Mapping
from datetime import date

from services.postal.desk_contract import CaseKind, CaseStatus, StopReason, WishKind, WishStatus

Words = tuple[str, str]

CASE: Mapping[CaseKind, Words] = {
    "pickup": ("Quá hạn đến nhận", "Pickup overdue"),
    "first_attempt": ("Chưa phát lần đầu", "No first attempt"),
    "delivery": ("Quá thời gian công bố", "Past the published time"),
    "next_attempt": ("Chưa phát lại", "No second visit"),
    "hold": ("Hết hạn giữ tại bưu cục", "Keeping time is over"),
    "movement": ("Không di chuyển", "No movement"),
    "custody": ("Bàn giao chưa ai nhận", "Handover not accepted"),
    "evidence": ("Thiếu chứng từ phát", "Proof missing"),
    "presumed_lost": ("Coi như thất lạc", "Presumed lost"),
    "claim_answer": ("Quá hạn trả lời khiếu nại", "Claim not answered"),
    "claim_payment": ("Quá hạn chi trả", "Compensation not paid"),
    "stop_unreleased": ("Dừng thời hạn chưa cho chạy lại", "Stopped clock not released"),
    "dispute": ("Người dân nói không ai đến", "Citizen says nobody came"),
    "shift_difference": ("Tiền ca lệch", "Shift cash differs"),
}

CASE_STATUS: Mapping[CaseStatus, Words] = {
    "open": ("Chưa ai nhận", "Nobody sees to it"),
    "taken": ("Đang xử lý", "In hand"),
    "closed": ("Đã đóng", "Closed"),
}

CASE_NEXT: Mapping[CaseKind, Words] = {
    "pickup": (
        "Gọi người gửi, hẹn lại giờ hoặc giao bưu tá khác.",
        "Call the sender, agree another time or send another courier.",
    ),
    "first_attempt": ("Giao đi phát trong hôm nay.", "Have it taken out today."),
    "delivery": (
        "Ưu tiên phát; người dân có quyền khiếu nại chậm từ hôm nay.",
        "Deliver with priority; the citizen may claim lateness from today.",
    ),
    "next_attempt": ("Xếp vào tuyến ngày làm việc tới.", "Put it on the next working day's round."),
    "hold": (
        "Liên hệ người nhận lần cuối rồi quyết định giữ tiếp hoặc chuyển về cơ quan.",
        "Contact the receiver once more, then keep it or take it to the agency.",
    ),
    "movement": (
        "Hỏi nơi quét cuối cùng; không thấy thì mở tra soát.",
        "Ask the place of the last scan; if it is not there, open a search.",
    ),
    "custody": (
        "Hỏi cả bên giao và bên nhận; người giao vẫn chịu trách nhiệm.",
        "Ask both sides; whoever released it still answers for it.",
    ),
    "evidence": ("Đòi bưu tá gửi nốt ảnh, chữ ký trên máy.", "Have the courier send what is still on the phone."),
    "presumed_lost": (
        "Mở tra soát, mở kế hoạch cấp lại giấy tờ; khiếu nại đã điền sẵn.",
        "Open a search and the recovery plan; the claim lies ready.",
    ),
    "claim_answer": ("Quyết định khiếu nại ngay.", "Decide the claim at once."),
    "claim_payment": ("Chi trả và ghi nhận.", "Pay and note it."),
    "stop_unreleased": (
        "Cho chạy lại; lần dừng này không được tính nữa.",
        "Release it; this stop no longer counts.",
    ),
    "dispute": (
        "Đối chiếu cuộc gọi, ảnh cửa, thời gian dừng; trả lời người dân.",
        "Compare call, door photo and dwell time; answer the citizen.",
    ),
    "shift_difference": ("Đối chiếu từng khoản thu với bưu tá.", "Go through each collection with the courier."),
}

STOP: Mapping[StopReason, Words] = {
    "weather": ("Thiên tai, thời tiết, đường hỏng", "Disaster, weather or road"),
    "citizen_asked": ("Người dân hẹn lại", "The citizen asked for later"),
    "office_closed": ("Cơ quan đóng cửa", "The agency is closed"),
    "authority": ("Cơ quan có thẩm quyền giữ", "Held by an authority"),
    "deceased": ("Người nhận đã mất", "The receiver has died"),
}

WISH: Mapping[WishKind, Words] = {
    "redelivery": ("Hẹn ngày phát lại", "Deliver again on a day"),
    "hold": ("Giữ tại bưu cục để tôi đến nhận", "Keep at the post office"),
    "redirect": ("Phát đến địa chỉ khác", "Deliver to another address"),
    "authorise": ("Ủy quyền người khác nhận", "Let somebody else receive"),
}

WISH_STATUS: Mapping[WishStatus, Words] = {
    "waiting_for_code": ("Chờ mã xác nhận", "Waiting for the code"),
    "accepted": ("Đã ghi nhận", "Accepted"),
    "done": ("Đã thực hiện", "Done"),
    "withdrawn": ("Đã thay bằng yêu cầu mới", "Replaced by a newer one"),
    "overtaken": ("Không kịp thực hiện", "Came too late"),
    "failed": ("Không xác nhận được", "Not confirmed"),
}

OWNER_KIND: Mapping[str, Words] = {
    "fee": ("Phí", "Fee"),
    "charge": ("Lệ phí", "Charge"),
    "postage": ("Cước bưu chính", "Postage"),
    "collection": ("Cước thu hộ", "Collection charge"),
}

CAUSE: Mapping[str, Words] = {
    "none": ("Khớp", "Balanced"),
    "change_error": ("Nhầm tiền thối", "Change given wrongly"),
    "false_note": ("Tiền giả, tiền rách", "False or torn note"),
    "courier_owes": ("Bưu tá còn thiếu", "The courier owes it"),
    "citizen_overpaid": ("Người dân nộp thừa", "The citizen overpaid"),
    "under_inquiry": ("Đang xác minh", "Being looked into"),
}


def instruction(kind: str, on_day: date | None, person_name: str | None, person_id_tail: str | None) -> Words:
    """What a courier must heed because the citizen asked for it."""
    if kind == "redelivery" and on_day is not None:
        return f"Hẹn phát ngày {on_day:%d/%m}", f"Deliver on {on_day:%d/%m}"
    if kind == "authorise":
        return (
            f"Giao cho {person_name}, căn cước có 4 số cuối {person_id_tail}",
            f"Hand to {person_name}, identity card ending in {person_id_tail}",
        )
    if kind == "redirect":
        return "Địa chỉ mới do người nhận đổi", "New address given by the receiver"
    return "Giữ tại bưu cục, người nhận đến lấy", "Keep at the office, the receiver comes for it"
