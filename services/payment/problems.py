"""Refusals of the payment service, each with its own type."""

from kit.errors import Forbidden, NotFound, Problem, StaleVersion, Unavailable, WrongMoment


class PaymentUnknown(NotFound):
    kind = "payment-not-found"


class AttemptUnknown(NotFound):
    kind = "attempt-not-found"


class RefundUnknown(NotFound):
    kind = "refund-not-found"


class DisputeUnknown(NotFound):
    kind = "dispute-not-found"


class VoucherUnknown(NotFound):
    kind = "voucher-not-found"


class ReceiptUnknown(NotFound):
    kind = "receipt-not-found"


class MoneyDisputed(WrongMoment):
    kind = "money-disputed"
    title_vi = "Tiền đang bị tra soát"
    title_en = "The money is disputed"


class BillDiffers(WrongMoment):
    kind = "bill-reference-used"
    title_vi = "Số hiệu khoản thu đã dùng cho nội dung khác"
    title_en = "The bill reference was used for another bill"


class AttemptLive(WrongMoment):
    kind = "attempt-live"
    title_vi = "Đang có một lần thanh toán chưa kết thúc"
    title_en = "An attempt is still under way"


class NothingAuthorised(WrongMoment):
    kind = "nothing-authorised"
    title_vi = "Chưa có khoản tiền nào được giữ để thu"
    title_en = "No money is reserved that could be captured"


class AuthorisationEnded(WrongMoment):
    kind = "authorisation-ended"
    title_vi = "Việc giữ tiền đã kết thúc"
    title_en = "The authorisation has ended"


class CaptureDiffers(WrongMoment):
    kind = "capture-differs"
    title_vi = "Khoản giữ đã được thu với số tiền khác"
    title_en = "The authorisation was captured with another amount"


class CaptureRefused(WrongMoment):
    kind = "capture-refused"
    title_vi = "Cổng thanh toán từ chối thu"
    title_en = "The gateway refused the capture"


class MoneyCaptured(WrongMoment):
    kind = "money-captured"
    title_vi = "Tiền giữ trên thẻ đã được thu"
    title_en = "The reserved money has been captured"


class CashExpected(WrongMoment):
    kind = "cash-expected"
    title_vi = "Đang chờ nộp tiền mặt"
    title_en = "Cash is expected"


class NothingToCollect(WrongMoment):
    kind = "nothing-to-collect"
    title_vi = "Khoản thu không còn gì phải nộp"
    title_en = "Nothing is left to collect"


class RefundTooLarge(WrongMoment):
    kind = "refund-too-large"
    title_vi = "Số tiền hoàn vượt quá mức được hoàn"
    title_en = "The refund exceeds what can be given back"


class RefundKeyUsed(WrongMoment):
    kind = "refund-key-used"
    title_vi = "Khóa yêu cầu hoàn đã dùng cho nội dung khác"
    title_en = "The refund request key was used for another refund"


class EventDiffers(WrongMoment):
    kind = "event-differs"
    title_vi = "Sự kiện đã ghi nhận với nội dung khác"
    title_en = "The event was recorded with other content"


class RefundableChanged(StaleVersion):
    kind = "refundable-changed"


class ProposalChanged(StaleVersion):
    kind = "proposal-changed"
    title_vi = "Nội dung đề nghị đã thay đổi"
    title_en = "The proposal is not the one that was read"


class SamePerson(Forbidden):
    kind = "second-person-needed"
    title_vi = "Cần người thứ hai"
    title_en = "A second person is needed"


class GatewayAway(Unavailable):
    kind = "gateway-unavailable"
    title_vi = "Cổng thanh toán chưa trả lời"
    title_en = "The gateway does not answer"


class NotJson(Problem):
    kind = "not-json"
    status = 415
