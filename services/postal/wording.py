"""What people read about a shipment, in Vietnamese and English: states, next steps, facts, anomalies."""

from collections.abc import Mapping

from services.postal.contract import Custodian, Direction, EventKind, PickupStatus, ShipmentStatus

Words = tuple[str, str]
"""Vietnamese, English."""

STATUS: Mapping[ShipmentStatus, Words] = {
    "draft": ("Nháp", "Draft"),
    "booked": ("Chờ bưu tá đến nhận", "Waiting for the courier"),
    "pickup_in_progress": ("Bưu tá đang đến", "Courier on the way"),
    "pickup_failed": ("Chưa nhận được hồ sơ", "Not picked up yet"),
    "collected_pending_evidence": (
        "Đã nhận hồ sơ, đang chờ đủ ảnh và chữ ký",
        "Picked up, photos and signatures still on their way",
    ),
    "collected": ("Đã nhận và niêm phong hồ sơ", "Picked up and sealed"),
    "at_origin_office": ("Hồ sơ ở bưu cục nhận", "At the office of posting"),
    "in_transit": ("Đang vận chuyển", "On its way"),
    "at_delivery_office": ("Đã đến bưu cục phát", "At the delivery office"),
    "held": ("Tạm giữ tại bưu cục", "Kept back at the post office"),
    "out_for_delivery": ("Bưu tá đang đi phát", "Out for delivery"),
    "attempt_failed": ("Phát chưa thành công", "Delivery attempt failed"),
    "ready_for_collection": ("Mời đến bưu cục nhận", "Ready for collection at the post office"),
    "delivered_pending_evidence": ("Đã phát, đang đối chiếu chứng từ", "Handed over, proof being checked"),
    "delivered": ("Đã phát thành công", "Delivered"),
    "returning": ("Đang chuyển hoàn", "On its way back"),
    "returned": ("Đã hoàn về người gửi", "Returned to the sender"),
    "investigating": ("Đang tra soát", "Being searched for"),
    "lost": ("Xác định thất lạc", "Declared lost"),
    "damaged": ("Xác định hư hỏng", "Declared damaged"),
    "cancelled": ("Đã hủy", "Cancelled"),
}

NEXT: Mapping[ShipmentStatus, Words] = {
    "draft": ("Phiếu gửi chưa hoàn tất.", "The booking is not complete."),
    "booked": (
        "Bưu tá sẽ đến nhận; hãy chuẩn bị đủ giấy tờ theo danh mục.",
        "A courier will come; have all papers of the checklist ready.",
    ),
    "pickup_in_progress": (
        "Bưu tá đang trên đường đến nhận hồ sơ.",
        "The courier is on the way to pick up the papers.",
    ),
    "pickup_failed": (
        "Bưu điện sẽ hẹn lại lịch đến nhận hồ sơ.",
        "The post will arrange another visit to pick up the papers.",
    ),
    "collected_pending_evidence": (
        "Máy của bưu tá sẽ gửi ảnh niêm phong và chữ ký khi có sóng.",
        "The courier's phone sends the photo of the seal and the signatures once it has signal.",
    ),
    "collected": ("Hồ sơ sẽ được nhập bưu cục nhận.", "The envelope goes to the office of posting next."),
    "at_origin_office": (
        "Hồ sơ sẽ được chuyển đến bưu cục phát.",
        "The envelope goes to the delivery office next.",
    ),
    "in_transit": ("Hồ sơ đang đến bưu cục phát.", "The envelope is on its way to the delivery office."),
    "at_delivery_office": ("Bưu tá sẽ đưa hồ sơ đi phát.", "A courier will take the envelope out for delivery."),
    "held": (
        "Bưu cục đang giữ hồ sơ và sẽ phát tiếp khi hết lý do tạm giữ.",
        "The post office keeps the envelope and goes on once the reason has passed.",
    ),
    "out_for_delivery": (
        "Hồ sơ sẽ được phát trong ngày; người nhận chuẩn bị giấy tờ tùy thân.",
        "Delivery is due today; the receiver should have an identity paper at hand.",
    ),
    "attempt_failed": (
        "Bưu điện sẽ phát lại hoặc mời đến bưu cục nhận.",
        "The post will try again or invite collection at the post office.",
    ),
    "ready_for_collection": (
        "Hãy mang giấy tờ tùy thân đến bưu cục để nhận trước ngày hết hạn giữ.",
        "Bring an identity paper to the post office before the last day of keeping.",
    ),
    "delivered_pending_evidence": (
        "Bưu điện đang bổ sung chứng từ phát; hồ sơ chưa được coi là đã phát.",
        "The post is adding the proof of delivery; until then the item does not count as delivered.",
    ),
    "delivered": ("Hành trình đã kết thúc.", "The journey is over."),
    "returning": ("Hồ sơ đang được trả về người gửi.", "The envelope is being taken back to the sender."),
    "returned": ("Hành trình đã kết thúc.", "The journey is over."),
    "investigating": (
        "Bưu điện đang tra soát; kết quả sẽ được thông báo.",
        "The post is searching; the result will be announced.",
    ),
    "lost": (
        "Có thể gửi khiếu nại để được bồi thường và hướng dẫn cấp lại giấy tờ.",
        "A claim can be made for compensation; ask how to have the papers reissued.",
    ),
    "damaged": (
        "Có thể gửi khiếu nại để được bồi thường và hướng dẫn cấp lại giấy tờ.",
        "A claim can be made for compensation; ask how to have the papers reissued.",
    ),
    "cancelled": ("Không còn bước nào tiếp theo.", "Nothing follows."),
}

CUSTODIAN: Mapping[Custodian, Words] = {
    "citizen": ("Người dân", "The citizen"),
    "courier": ("Bưu tá", "The courier"),
    "post_office": ("Bưu cục", "The post office"),
    "transport": ("Xe vận chuyển bưu điện", "Postal transport"),
    "agency": ("Cơ quan giải quyết hồ sơ", "The agency"),
    "nobody_known": ("Chưa xác định được người giữ", "Nobody known"),
}

EVENT: Mapping[EventKind, Words] = {
    "pickup_accepted": ("Bưu tá đã nhận yêu cầu thu gom", "A courier has accepted the pickup"),
    "pickup_rejected": ("Bưu tá không nhận yêu cầu thu gom", "The courier has turned the pickup down"),
    "pickup_expired": ("Quá hạn thu gom", "The pickup has expired"),
    "pickup_started": ("Bưu tá lên đường đến nhận", "Courier set out to pick up"),
    "pickup_failed": ("Chưa nhận được hồ sơ", "Pickup failed"),
    "collected": ("Đã kiểm đếm, niêm phong và nhận đủ hồ sơ", "Counted, sealed and picked up in full"),
    "partially_collected": ("Đã kiểm đếm, niêm phong và nhận một phần hồ sơ", "Counted, sealed and picked up in part"),
    "arrived_origin_office": ("Đến bưu cục nhận", "Arrived at the office of posting"),
    "departed": ("Rời bưu cục", "Left the post office"),
    "arrived_delivery_office": ("Đến bưu cục phát", "Arrived at the delivery office"),
    "held": ("Tạm giữ tại bưu cục", "Kept back at the post office"),
    "released": ("Hết tạm giữ", "No longer kept back"),
    "out_for_delivery": ("Giao cho bưu tá đi phát", "Taken out for delivery"),
    "attempt_failed": ("Phát chưa thành công", "Delivery attempt failed"),
    "ready_for_collection": ("Chờ nhận tại bưu cục", "Ready for collection"),
    "handed_over": ("Đã giao cho người nhận", "Handed over"),
    "evidence_added": ("Bổ sung chứng từ phát", "Proof of delivery added"),
    "return_started": ("Bắt đầu chuyển hoàn", "Return started"),
    "returned": ("Đã hoàn về người gửi", "Returned to the sender"),
    "investigation_opened": ("Mở tra soát", "Search opened"),
    "found": ("Tìm thấy bưu gửi", "Item found"),
    "declared_lost": ("Xác định thất lạc", "Declared lost"),
    "declared_damaged": ("Xác định hư hỏng", "Declared damaged"),
    "cancelled": ("Hủy yêu cầu", "Cancelled"),
    "custody_released": ("Bàn giao, chờ bên nhận xác nhận", "Handed on, not accepted yet"),
    "custody_accepted": ("Bên nhận đã xác nhận giữ hồ sơ", "Accepted by the next holder"),
    "missing_from_bag": ("Không có trong túi khi mở", "Not in the bag when it was opened"),
    "evidence_stored": ("Tệp chứng từ đã được lưu", "An evidence file has arrived"),
    "corrected": ("Đính chính do hai người thực hiện", "Corrected by two people"),
    "unmapped": ("Đơn vị vận chuyển gửi mã chưa có trong bảng", "The carrier sent a code that no map knows"),
}

PICKUP: Mapping[PickupStatus, Words] = {
    "requested": ("Chờ bưu tá nhận yêu cầu", "Waiting for a courier to accept"),
    "accepted": ("Bưu tá đã nhận yêu cầu", "Accepted by a courier"),
    "rejected": ("Bưu tá không nhận, chờ phân công lại", "Turned down, to be assigned again"),
    "collected": ("Đã thu gom đủ", "Collected in full"),
    "partially_collected": ("Đã thu gom một phần", "Collected in part"),
    "failed": ("Thu gom chưa thành công", "Pickup failed"),
    "cancelled": ("Đã hủy thu gom", "Cancelled"),
    "expired": ("Quá hạn thu gom", "Expired"),
}

ANOMALY: Mapping[str, Words] = {
    "missing_scan": ("thiếu lần quét trước đó", "an earlier scan is missing"),
    "out_of_order": ("ghi nhận muộn so với lần quét sau", "recorded after a later scan"),
    "repeated": ("đã ghi nhận trạng thái này", "this state is already recorded"),
    "illegal_transition": ("không đúng trình tự", "does not fit the present state"),
    "after_end": ("hành trình đã kết thúc", "the journey is already over"),
    "contradicts_end": ("trái với kết cục đã ghi trước", "contradicts the end recorded before"),
    "moved_after_cancel": ("bưu gửi đã hủy nhưng bưu điện đang giữ", "cancelled, yet the post holds the item"),
    "nothing_collected": ("bưu điện chưa nhận hồ sơ", "the post has not picked up the papers"),
    "evidence_missing": ("thiếu chứng từ bắt buộc", "required evidence is missing"),
    "fact_missing": ("chứng từ đến trước khi có lần giao", "evidence without a handover"),
    "wrong_receiver": ("người nhận không đúng đối tượng được nhận", "this receiver may not take the item"),
    "reason_missing": ("thiếu lý do hoặc biện pháp xử lý", "reason or measure is missing"),
    "measure_not_allowed": ("biện pháp không phù hợp với lý do", "the measure does not go with the reason"),
    "not_authorised": ("bưu tá không được ghi nhận việc này", "a courier may not record this"),
    "clock_ahead": ("đồng hồ thiết bị chạy trước quá 26 giờ", "the device clock is over 26 hours ahead"),
    "clock_behind": ("thời điểm trước khi lập phiếu gửi", "dated before the booking"),
    "clock_corrected": ("giờ của thiết bị sai, đã hiệu chỉnh", "the device clock was wrong and has been corrected"),
    "clock_jumped": ("giờ của thiết bị bị đổi giữa chừng", "the device clock was moved between two facts"),
    "code_wrong": ("mã nhận không đúng", "the delivery code is wrong"),
    "code_missing": ("chưa có mã nhận của người nhận", "the receiver's delivery code is missing"),
    "photo_missing": ("chưa có ảnh giao nhận", "the photo of the handover is missing"),
    "files_missing": ("tệp chứng từ chưa được gửi lên", "evidence files have not arrived yet"),
    "not_the_holder": ("bưu gửi đang do bưu tá khác giữ", "another courier holds the item"),
    "same_person": ("người giao không thể tự xác nhận nhận", "whoever hands over cannot accept as well"),
    "release_missing": ("bên giao chưa quét bàn giao", "the side that handed over has not scanned"),
    "corrected": ("đã được đính chính, không tính", "set aside by a correction"),
    "unmapped": ("mã của đơn vị vận chuyển chưa có trong bảng", "the carrier's code is in no map"),
    "cash_missing": ("chưa thu tiền phải thu", "the amount due was not collected"),
    "cash_differs": ("số tiền thu khác số phải thu", "the amount collected differs from the amount due"),
    "cash_above_due": ("số tiền thu vượt số phải thu, chưa ghi nhận", "more cash than due; not counted"),
    "cash_twice": ("đã thu tiền trước đó, không ghi thêm", "cash was collected before; not counted again"),
    "cash_out_of_place": ("việc này không kèm thu tiền, chưa ghi nhận", "no cash belongs here; not counted"),
}

QUIET_ANOMALIES = frozenset(
    {
        "missing_scan",
        "repeated",
        "out_of_order",
        "clock_corrected",
        "clock_jumped",
        "files_missing",
        "release_missing",
        "corrected",
    }
)
"""Measured for quality, but nothing anybody must act on."""

CLAIM_REASON: Mapping[str, Words] = {
    "lost": ("Thất lạc", "Lost"),
    "damaged": ("Hư hỏng", "Damaged"),
    "late": ("Chậm so với thời gian công bố", "Late"),
}

CLAIM_STATUS: Mapping[str, Words] = {
    "submitted": ("Mới nhận", "Submitted"),
    "in_review": ("Đang xem xét", "In review"),
    "approved": ("Chấp nhận, chờ chi trả", "Approved, to be paid"),
    "rejected": ("Không chấp nhận", "Rejected"),
    "paid": ("Đã chi trả", "Paid"),
}

DIRECTION: Mapping[Direction, Words] = {
    "outbound": ("Gửi hồ sơ đến cơ quan", "Papers to the agency"),
    "return": ("Trả kết quả cho người dân", "Result to the citizen"),
}

RECEIVER: Mapping[str, Words] = {
    "addressee": ("Chính người nhận", "The addressee"),
    "authorised_person": ("Người được ủy quyền", "An authorised person"),
    "agency_officer": ("Cán bộ tiếp nhận của cơ quan", "Receiving officer of the agency"),
}

PROOF: Mapping[str, Words] = {
    "code": ("Mã nhận do người nhận đọc", "Code read out by the receiver"),
    "signature": ("Chữ ký trên phiếu phát", "Signature on the delivery slip"),
    "photo": ("Ảnh giao nhận", "Photo of the handover"),
}


def anomaly_words(anomaly: str | None) -> Words | None:
    """The sentence for an anomaly of the log, which may hold several codes."""
    if not anomaly:
        return None
    pairs = [ANOMALY[code] for code in anomaly.split(",")]
    return "; ".join(vi for vi, _ in pairs), "; ".join(en for _, en in pairs)


def needs_attention(anomaly: str | None) -> bool:
    """Whether somebody has to look at an event with this anomaly."""
    return anomaly is not None and not set(anomaly.split(",")) <= QUIET_ANOMALIES
