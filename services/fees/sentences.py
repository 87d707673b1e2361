"""Puts rules into sentences, Vietnamese and English, each naming the instrument, the article and the dates."""

import re
from collections.abc import Iterable, Mapping
from datetime import date

from kit.money import format_dong
from services.fees.contract import Text
from services.fees.tariffs import (
    Adjustment,
    Band,
    ByApplicant,
    Fixed,
    Group,
    Instrument,
    Legal,
    NoFee,
    Package,
    Percentage,
    PerCopy,
    PerPage,
    Rate,
    Zoned,
    ZoneRate,
)

_ARTICLE_WORDS = (("Điều", "Article"), ("khoản", "clause"), ("điểm", "point"), ("Biểu mức thu", "the fee schedule"))
_CHANNELS = {
    "online": Text(vi="nộp trực tuyến", en="filed online"),
    "counter": Text(vi="nộp trực tiếp", en="filed at the counter"),
    "postal": Text(vi="nộp qua bưu chính", en="filed by post"),
}
NO_FEE = Text(vi="Không thu phí", en="No fee is charged")


def day(value: date) -> str:
    """A day as `21/11/2026`, in both languages of the house."""
    return value.strftime("%d/%m/%Y")


def money(amount: int) -> Text:
    """An amount as each language writes it."""
    return Text(vi=format_dong(amount, "vi"), en=format_dong(amount, "en"))


def law(entry: Legal, instruments: Mapping[str, Instrument]) -> Text:
    """`Điều 5 Thông tư 63/2023/TT-BTC` and `Article 5 of Circular 63/2023/TT-BTC`."""
    name = instruments[entry.instrument].name
    if not entry.article:
        return name
    return Text(vi=f"{entry.article} {name.vi}", en=f"{article_in_english(entry.article)} of {name.en}")


def article_in_english(article: str) -> str:
    """`Điều 4 khoản 1` as `Article 4 clause 1`."""
    for vietnamese, english in _ARTICLE_WORDS:
        article = re.sub(rf"\b{vietnamese}\b", english, article)
    return article


def window(entry: Legal) -> Text:
    """`từ 01/01/2024 đến 31/12/2025`, or only from when."""
    if entry.valid_to is None:
        return Text(vi=f"từ {day(entry.valid_from)}", en=f"from {day(entry.valid_from)}")
    return Text(
        vi=f"từ {day(entry.valid_from)} đến {day(entry.valid_to)}",
        en=f"from {day(entry.valid_from)} to {day(entry.valid_to)}",
    )


def people(slugs: Iterable[str], groups: Mapping[str, Group]) -> Text:
    """Groups by name, joined by semicolons."""
    names = [groups[slug].name for slug in slugs]
    return Text(vi="; ".join(name.vi for name in names), en="; ".join(name.en for name in names))


def channels(slugs: Iterable[str]) -> Text:
    """`nộp trực tuyến`, several joined by *or*."""
    names = [_CHANNELS[slug] for slug in slugs]
    return Text(vi=" hoặc ".join(name.vi for name in names), en=" or ".join(name.en for name in names))


def ruling(adjustment: Adjustment) -> Text:
    """What a rule grants, as a noun: `mức giảm 10%`, `mức thu 115.000 ₫`, `mức thu 0 đồng`."""
    if adjustment.kind == "exemption":
        return Text(vi="quy định miễn", en="the exemption")
    if adjustment.kind == "waiver":
        return Text(vi="mức thu 0 đồng", en="the rate of 0 đồng")
    if adjustment.kind == "support":
        if adjustment.ceiling_dong is not None:
            most = money(adjustment.ceiling_dong)
            return Text(vi=f"mức hỗ trợ tối đa {most.vi}", en=f"the support of up to {most.en}")
        return Text(vi=f"mức hỗ trợ {adjustment.support_percent}%", en=f"the support of {adjustment.support_percent}%")
    if adjustment.amount_dong is not None:
        amount = money(adjustment.amount_dong)
        return Text(vi=f"mức thu {amount.vi}", en=f"the rate of {amount.en}")
    if adjustment.pay_percent is None:
        return Text(vi="quy định giảm", en="the reduction")
    if adjustment.pay_percent == 0:
        return Text(vi="quy định miễn cước", en="the free carriage")
    cut = 100 - adjustment.pay_percent
    return Text(vi=f"mức giảm {cut}%", en=f"the reduction of {cut}%")


def applied(adjustment: Adjustment, source: Text, matched: Text | None) -> Text:
    """`Giảm 10% theo Điều 5 Thông tư 63/2023/TT-BTC: nộp trực tuyến từ 01/01/2024 đến 31/12/2025.`"""
    when = _condition(adjustment, matched)
    granted = ruling(adjustment)
    if adjustment.kind == "exemption":
        granted = Text(vi="miễn", en="exempt")
    elif adjustment.pay_percent == 0:
        granted = Text(vi="miễn cước", en="carried free")
    elif adjustment.pay_percent is not None:
        cut = 100 - adjustment.pay_percent
        granted = Text(vi=f"giảm {cut}%", en=f"reduced by {cut}%")
    return Text(
        vi=_opened(f"{granted.vi} theo {source.vi}: {when.vi}."),
        en=_opened(f"{granted.en} under {source.en}: {when.en}."),
    )


def granted(adjustment: Adjustment, source: Text, people_named: Text | None) -> Text:
    """A rule in one sentence, for the catalogue: what it grants, to whom, when, under which law."""
    if adjustment.kind != "support":
        return applied(adjustment, source, people_named)
    when, what = _condition(adjustment, None), titled(ruling(adjustment))
    return Text(vi=f"{what.vi} theo {source.vi}: {when.vi}.", en=f"{what.en} under {source.en}: {when.en}.")


def titled(words: Text) -> Text:
    """The same words with a capital first letter."""
    return Text(vi=_opened(words.vi), en=_opened(words.en))


def supported(adjustment: Adjustment, source: Text, *, payer: Text, paid: int, rest: int) -> Text:
    """Who pays how much instead of the citizen, under which law, and what the citizen still pays."""
    when, amount, left = _condition(adjustment, None), money(paid), money(rest)
    return Text(
        vi=f"{payer.vi} hỗ trợ {amount.vi} theo {source.vi}: {when.vi}; người nộp còn trả {left.vi}.",
        en=f"{payer.en} pays {amount.en} under {source.en}: {when.en}; the citizen still pays {left.en}.",
    )


def not_applied(adjustment: Adjustment, source: Text, reason: Text) -> Text:
    """`Không áp dụng mức giảm 10% theo Điều 5 Thông tư 63/2023/TT-BTC: thời hạn đã hết ngày 31/12/2025.`"""
    what = ruling(adjustment)
    return Text(
        vi=f"Không áp dụng {what.vi} theo {source.vi}: {reason.vi}.",
        en=_opened(f"{what.en} under {source.en} does not apply: {reason.en}."),
    )


def _condition(adjustment: Adjustment, matched: Text | None) -> Text:
    how = channels(adjustment.channels) if adjustment.channels else Text(vi="mọi hình thức nộp", en="any channel")
    days = window(adjustment)
    vi, en = f"{how.vi} {days.vi}", f"{how.en} {days.en}"
    if matched is not None:
        return Text(
            vi=f"người nộp thuộc nhóm {matched.vi}, {vi}", en=f"the applicant is in the group {matched.en}, {en}"
        )
    return Text(vi=vi, en=en)


def _opened(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


# --- reasons why a rule was not applied -----------------------------------------------------------


def expired(entry: Legal) -> Text:
    """The period is over."""
    ended = day(entry.valid_to) if entry.valid_to else ""
    return Text(vi=f"thời hạn đã hết ngày {ended}", en=f"its period ended on {ended}")


def not_begun(entry: Legal) -> Text:
    """The period begins on a later day."""
    begins = day(entry.valid_from)
    return Text(vi=f"chưa đến thời hạn, bắt đầu từ {begins}", en=f"its period begins only on {begins}")


def elsewhere(laws_vi: Iterable[str], laws_en: Iterable[str]) -> Text:
    """Rules that hold on the day, but in other places."""
    return Text(
        vi=f"Không áp dụng quy định của địa phương hoặc cơ quan khác: {'; '.join(laws_vi)}.",
        en=f"Rules of other places or agencies do not apply: {'; '.join(laws_en)}.",
    )


def other_channel(adjustment: Adjustment) -> Text:
    """Only for another way of filing."""
    how = channels(adjustment.channels)
    return Text(vi=f"chỉ áp dụng khi {how.vi}", en=f"it holds only when {how.en}")


def other_people(slugs: Iterable[str], groups: Mapping[str, Group]) -> Text:
    """The applicant is none of those it is for."""
    names = people(slugs, groups)
    return Text(
        vi=f"người nộp không thuộc nhóm được hưởng ({names.vi})",
        en=f"the applicant is in none of its groups ({names.en})",
    )


APPRAISAL = Text(vi="quy định này không áp dụng cho phí thẩm định", en="it leaves appraisal fees out")
ALREADY_EXEMPT = Text(vi="người nộp đã được miễn theo luật", en="the applicant is already exempt by law")
NOTHING_DUE = Text(vi="khoản này đã là 0 đồng", en="nothing is due on this line")
NOT_LOWER = Text(vi="không thấp hơn mức thu đang áp dụng", en="it is not lower than the tariff")


def better(other: Text) -> Text:
    """A more favourable rule was applied; reductions are never added up."""
    return Text(
        vi=f"đã áp dụng quy định có lợi hơn hoặc ngang bằng ({other.vi}); các mức giảm không cộng dồn",
        en=f"a rule at least as favourable was applied ({other.en}); reductions are never added up",
    )


# --- the tariff itself ----------------------------------------------------------------------------


def tariff(rate: Legal, source: Text, amount: int, how: Text | None) -> Text:
    """The full tariff of a line, and how it was counted."""
    if isinstance(rate, NoFee):
        return Text(vi=f"{NO_FEE.vi} theo {source.vi}.", en=f"{NO_FEE.en} under {source.en}.")
    figure = money(amount)
    detail = how or Text(vi="", en="")
    return Text(
        vi=f"Mức thu {figure.vi} theo {source.vi}{': ' if how else ''}{detail.vi}.",
        en=f"Tariff of {figure.en} under {source.en}{': ' if how else ''}{detail.en}.",
    )


def postage(source: Text, amount: int, how: Text) -> Text:
    """What the post takes for one leg."""
    figure = money(amount)
    return Text(
        vi=f"Cước {figure.vi} theo {source.vi}: {how.vi}.", en=f"Postage of {figure.en} under {source.en}: {how.en}."
    )


def collection(source: Text, amount: int, how: Text) -> Text:
    """What the post takes for collecting the state's money."""
    figure = money(amount)
    return Text(
        vi=f"Cước thu hộ {figure.vi} theo {source.vi}: {how.vi}.",
        en=f"Collection charge of {figure.en} under {source.en}: {how.en}.",
    )


def description(rate: Rate) -> Text:
    """A rate in a few words, for lists."""
    if isinstance(rate, NoFee):
        return NO_FEE
    if isinstance(rate, Fixed):
        return money(rate.amount_dong)
    if isinstance(rate, PerCopy):
        amount = money(rate.amount_dong)
        first = rate.included + 1
        if rate.included:
            return Text(vi=f"{amount.vi}/bản, từ bản thứ {first}", en=f"{amount.en} a copy, from copy {first}")
        return Text(vi=f"{amount.vi}/bản", en=f"{amount.en} a copy")
    if isinstance(rate, PerPage):
        return _pages(rate)
    if isinstance(rate, Zoned):
        return _zones(rate)
    return _share_or_package(rate)


def _share_or_package(rate: Package | ByApplicant | Percentage) -> Text:
    if isinstance(rate, Package):
        amount = money(rate.amount_dong)
        return Text(
            vi=f"{amount.vi}/{unit(rate.per).vi}, gói từ {rate.minimum} {unit(rate.counts).vi}",
            en=f"{amount.en} a {unit(rate.per).en}, packages of {rate.minimum} {unit(rate.counts).en} or more",
        )
    if isinstance(rate, ByApplicant):
        person, business = money(rate.person_dong), money(rate.business_dong)
        return Text(
            vi=f"cá nhân, hộ gia đình {person.vi}; tổ chức {business.vi}",
            en=f"persons and households {person.en}; organisations {business.en}",
        )
    most = money(rate.cap_dong) if rate.cap_dong is not None else None
    part = share_in_words(rate)
    return Text(
        vi=f"{part.vi} giá trị" + (f", tối đa {most.vi}" if most else ""),
        en=f"{part.en} of the value" + (f", at most {most.en}" if most else ""),
    )


_UNITS = {
    "copies": Text(vi="bản", en="copies"),
    "pages": Text(vi="trang", en="pages"),
    "months": Text(vi="tháng", en="month"),
}


def unit(name: str) -> Text:
    """A count in words; a name the house has no word for stands as it is."""
    return _UNITS.get(name, Text(vi=name, en=name))


def share_in_words(rate: Percentage) -> Text:
    """`0,5%` and `0.5%`."""
    whole, rest = divmod(rate.basis_points, 100)
    decimals = f"{rest:02}".rstrip("0")
    return Text(vi=f"{whole},{decimals}%" if rest else f"{whole}%", en=f"{whole}.{decimals}%" if rest else f"{whole}%")


def _pages(rate: PerPage) -> Text:
    vi, en = [], []
    for step in rate.steps:
        amount = money(step.amount_dong)
        vi.append(f"{amount.vi}/trang từ trang {step.from_page}")
        en.append(f"{amount.en} a page from page {step.from_page}")
    if rate.cap_dong is not None:
        cap = money(rate.cap_dong)
        vi.append(f"tối đa {cap.vi}/bản")
        en.append(f"at most {cap.en} a copy")
    return Text(vi=", ".join(vi), en=", ".join(en))


def _zones(rate: Zoned) -> Text:
    parts = [_zone(zone) for zone in rate.zones]
    return Text(vi="; ".join(part.vi for part in parts), en="; ".join(part.en for part in parts))


def _zone(rate: ZoneRate) -> Text:
    if len(rate.bands) == 1:
        amount = money(rate.bands[0].amount_dong)
        return Text(vi=f"khu vực {rate.zone}: {amount.vi}", en=f"zone {rate.zone}: {amount.en}")
    bands = [_band(band) for band in rate.bands]
    return Text(
        vi=f"khu vực {rate.zone}: {', '.join(band.vi for band in bands)}",
        en=f"zone {rate.zone}: {', '.join(band.en for band in bands)}",
    )


def _band(band: Band) -> Text:
    amount = money(band.amount_dong)
    if band.up_to_dong is None:
        return Text(vi=f"trên mức đó {amount.vi}", en=f"above that {amount.en}")
    end = money(band.up_to_dong)
    return Text(vi=f"xe đến {end.vi}: {amount.vi}", en=f"up to {end.en}: {amount.en}")
