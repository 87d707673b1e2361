"""What to do about a lost paper: who issues it anew, by which steps, at what price, on which legal ground.

A plan for people, not a promise: the law obliges the post to compensate by multiples of the postage only, so who pays
for a reissue beyond that is decided with the claim. No entry's text was verified against the law's own.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

Words = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Reissue:
    """One kind of paper. `signs`: how a checklist names it, without diacritics. `cost_dong` None: unknown."""

    kind: str
    signs: tuple[str, ...]
    name: Words
    issuer: Words
    steps: tuple[Words, ...]
    source: str
    cost_dong: int | None = None
    cost_source: str = ""
    verified: bool = False


@dataclass(frozen=True, slots=True)
class PaperPlan:
    """The plan for one paper of a checklist."""

    position: int
    paper: str
    reissue: Reissue


_REPORT: Words = ("Lấy biên bản xác nhận thất lạc của bưu điện", "Take the post's record of the loss")
_PORTAL: Words = ("Nộp hồ sơ cấp lại trên Cổng dịch vụ công", "Apply for the reissue on the public service portal")

_COPY = Reissue(
    "certified_copy",
    ("ban sao", "chung thuc", "photo"),
    ("Bản sao, bản chứng thực", "Copy or certified copy"),
    ("UBND cấp xã hoặc tổ chức hành nghề công chứng", "Commune people's committee or notary"),
    (
        ("Mang bản chính đi chứng thực lại", "Have the original certified again"),
        ("Giao bản mới cho bưu tá hoặc cơ quan", "Hand the new copy to the courier or the agency"),
    ),
    "Nghị định 23/2015/NĐ-CP về chứng thực",
)

PAPERS: tuple[Reissue, ...] = (
    _COPY,
    Reissue(
        "birth_certificate",
        ("khai sinh",),
        ("Giấy khai sinh", "Birth certificate"),
        ("UBND nơi lưu sổ hộ tịch hoặc nơi cư trú", "Committee that keeps the civil register, or of residence"),
        (
            _REPORT,
            ("Xin trích lục khai sinh tại bất kỳ UBND có cơ sở dữ liệu hộ tịch", "Ask for an extract of the register"),
            ("Chỉ đăng ký lại khi cả sổ gốc không còn", "Register anew only when the register itself is gone"),
        ),
        "Luật Hộ tịch 60/2014/QH13, Điều 63, 64; Nghị định 123/2015/NĐ-CP, Điều 24",
    ),
    Reissue(
        "marriage_certificate",
        ("ket hon",),
        ("Giấy chứng nhận kết hôn", "Marriage certificate"),
        ("UBND nơi đăng ký kết hôn", "Committee where the marriage was registered"),
        (_REPORT, ("Xin trích lục kết hôn", "Ask for an extract of the marriage register")),
        "Luật Hộ tịch 60/2014/QH13, Điều 63, 64",
    ),
    Reissue(
        "identity_card",
        ("can cuoc", "cccd", "chung minh"),
        ("Thẻ căn cước", "Identity card"),
        ("Cơ quan công an", "Police"),
        (_REPORT, _PORTAL, ("Đến chụp ảnh, thu vân tay nếu được yêu cầu", "Have picture and prints taken if asked")),
        "Luật Căn cước 26/2023/QH15, Điều 24",
        70_000,
        "Thông tư 73/2024/TT-BTC",
    ),
    Reissue(
        "passport",
        ("ho chieu",),
        ("Hộ chiếu", "Passport"),
        ("Cơ quan quản lý xuất nhập cảnh", "Immigration office"),
        (
            ("Trình báo mất hộ chiếu trong 48 giờ", "Report the loss within 48 hours"),
            _PORTAL,
            ("Dùng biên bản thất lạc của bưu điện làm căn cứ", "Use the post's record of the loss as grounds"),
        ),
        "Luật Xuất cảnh, nhập cảnh 49/2019/QH14, Điều 28",
        400_000,
        "Thông tư 25/2021/TT-BTC",
    ),
    Reissue(
        "driving_licence",
        ("giay phep lai xe", "bang lai", "gplx"),
        ("Giấy phép lái xe", "Driving licence"),
        ("Cơ quan cảnh sát giao thông", "Traffic police"),
        (_REPORT, _PORTAL),
        "Luật Trật tự, an toàn giao thông đường bộ 36/2024/QH15",
        135_000,
        "Thông tư 37/2023/TT-BTC",
    ),
    Reissue(
        "criminal_record",
        ("ly lich tu phap",),
        ("Phiếu lý lịch tư pháp", "Criminal record certificate"),
        ("Cơ quan công an cấp phiếu", "The police that issue it"),
        (_REPORT, _PORTAL),
        "Luật Lý lịch tư pháp 28/2009/QH12",
        200_000,
        "Thông tư 16/2025/TT-BTC",
    ),
    Reissue(
        "degree",
        ("bang tot nghiep", "van bang", "bang dai hoc", "bang cap"),
        ("Văn bằng, chứng chỉ", "Degree or certificate"),
        ("Cơ sở giáo dục đã cấp", "School or university that issued it"),
        (
            _REPORT,
            ("Xin bản sao từ sổ gốc; bản chính chỉ cấp một lần", "Ask for a copy from the register; issued once only"),
            ("Đề nghị cơ quan thụ lý chấp nhận bản sao từ sổ gốc", "Ask the agency to accept that copy"),
        ),
        "Thông tư 21/2019/TT-BGDĐT",
    ),
    Reissue(
        "land_certificate",
        ("quyen su dung dat", "so do", "so hong", "quyen so huu nha"),
        ("Giấy chứng nhận quyền sử dụng đất", "Land use certificate"),
        ("Văn phòng đăng ký đất đai", "Land registration office"),
        (
            _REPORT,
            ("Khai báo mất tại UBND cấp xã để niêm yết", "Report the loss to the commune, which posts it publicly"),
            ("Nộp hồ sơ cấp lại sau thời gian niêm yết", "Apply for the reissue after the posting period"),
        ),
        "Luật Đất đai 31/2024/QH15; Nghị định 101/2024/NĐ-CP",
    ),
    Reissue(
        "form",
        ("to khai", "don ", "don de nghi", "phieu", "ho so", "mau"),
        ("Tờ khai, đơn", "Form or application"),
        ("Người nộp", "The applicant"),
        (
            ("In và ký lại từ hồ sơ điện tử", "Print again from the electronic dossier and sign"),
            ("Giao bản mới cho bưu tá, không thu cước", "Hand it to the courier; no postage is charged"),
        ),
        "Thỏa thuận phục vụ của bưu điện",
        0,
        "Thỏa thuận phục vụ của bưu điện",
    ),
    Reissue(
        "photo",
        ("anh ",),
        ("Ảnh chân dung", "Portrait"),
        ("Người nộp", "The applicant"),
        (("Chụp và gửi lại ảnh", "Take and send the portrait again"),),
        "Thỏa thuận phục vụ của bưu điện",
    ),
    Reissue(
        "result",
        ("ket qua",),
        ("Kết quả giải quyết", "The result of the procedure"),
        ("Cơ quan đã giải quyết hồ sơ", "The agency that decided"),
        (
            _REPORT,
            ("Cơ quan cấp lại kết quả theo đề nghị của bưu điện", "The agency issues it again at the post's request"),
            ("Phát lại ưu tiên, không thu cước", "Delivered again with priority, without postage"),
        ),
        "Nghị định 118/2025/NĐ-CP; chưa đối chiếu điều khoản",
    ),
)

UNKNOWN = Reissue(
    "other",
    (),
    ("Giấy tờ khác", "Another paper"),
    ("Cơ quan đã cấp", "Whoever issued it"),
    (_REPORT, ("Hỏi cơ quan đã cấp về thủ tục cấp lại", "Ask the issuer how it is issued again")),
    "Pháp luật về từng loại giấy tờ",
)

PAYS: Words = (
    "Bưu điện bồi thường theo cước. Chi phí cấp lại vượt mức này được quyết định cùng khiếu nại.",
    "The post compensates by the postage. What a reissue costs beyond that is decided with the claim.",
)


def kind_of(paper: str) -> Reissue:
    """The plan for a paper as a checklist names it. A certified copy is a copy, whatever it is a copy of."""
    plain = without_marks(paper) + " "
    return next((entry for entry in PAPERS if any(sign in plain for sign in entry.signs)), UNKNOWN)


def without_marks(text: str) -> str:
    """Lower case without diacritics: `Giấy khai sinh` becomes `giay khai sinh`."""
    parts = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return "".join(character for character in parts if not unicodedata.combining(character))


def plan_for(pieces: Sequence[tuple[int, str]]) -> list[PaperPlan]:
    """The recovery plan of an envelope: `pieces` are position and name of the papers that were in it."""
    return [PaperPlan(position, name, kind_of(name)) for position, name in pieces]
