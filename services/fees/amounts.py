"""How much a rate comes to for the facts of one filing, and in words how it was counted. Pure arithmetic."""

from kit.errors import FieldError
from kit.money import basis_points_of
from services.fees import sentences
from services.fees.circumstances import Circumstances, NotQuotable
from services.fees.contract import Text
from services.fees.tariffs import (
    ByApplicant,
    Fixed,
    NoFee,
    Package,
    Percentage,
    PerCopy,
    PerPage,
    Rate,
    Zoned,
    ZoneEntry,
)

Amount = tuple[int | None, Text | None]
"""Đồng, None when the count does not begin; and how it was counted, where there is something to say."""


def amount_of(rate: Rate, facts: Circumstances, zone: ZoneEntry | None) -> Amount:
    """The full tariff of a rate. Raises NotQuotable when a package is too small to be one."""
    if isinstance(rate, Fixed):
        return rate.amount_dong, None
    if isinstance(rate, NoFee):
        return 0, None
    if isinstance(rate, PerCopy):
        return _copies(rate, facts.quantities["copies"])
    if isinstance(rate, PerPage):
        return _pages(rate, facts.quantities["pages"], facts.quantities["copies"])
    if isinstance(rate, Package):
        return _package(rate, facts)
    if isinstance(rate, ByApplicant):
        return _by_applicant(rate, facts)
    if isinstance(rate, Percentage):
        return _share(rate, facts.facts[rate.of])
    if zone is None:
        raise AssertionError("a zoned rate is priced with its zone")
    return _zoned(rate, zone, facts)


def amounts_in(rate: Rate) -> set[int]:
    """The amounts a rate may start from, in đồng: for lists. Empty when it is a share of a value."""
    if isinstance(rate, Fixed | Package):
        return {rate.amount_dong}
    if isinstance(rate, NoFee):
        return {0}
    if isinstance(rate, PerCopy):
        return set() if rate.included else {rate.amount_dong}
    if isinstance(rate, PerPage):
        return {step.amount_dong for step in rate.steps}
    if isinstance(rate, ByApplicant):
        return {rate.person_dong, rate.business_dong}
    if isinstance(rate, Zoned):
        return {band.amount_dong for zone in rate.zones for band in zone.bands}
    return set()


def _copies(rate: PerCopy, copies: int) -> Amount:
    counted = copies - rate.included
    if counted <= 0:
        return None, None
    each = sentences.money(rate.amount_dong)
    return counted * rate.amount_dong, Text(
        vi=f"{counted} bản × {each.vi}" + (f", tính từ bản thứ {rate.included + 1}" if rate.included else ""),
        en=f"{counted} copies × {each.en}" + (f", counted from copy {rate.included + 1}" if rate.included else ""),
    )


def _pages(rate: PerPage, pages: int, copies: int) -> Amount:
    each = 0
    ends = [step.from_page for step in rate.steps[1:]] + [pages + 1]
    for step, end in zip(rate.steps, ends, strict=True):
        each += max(0, min(end, pages + 1) - step.from_page) * step.amount_dong
    capped = rate.cap_dong is not None and each > rate.cap_dong
    if capped and rate.cap_dong is not None:
        each = rate.cap_dong
    figure = sentences.money(each)
    how = Text(
        vi=f"{pages} trang, {figure.vi}/bản{' (mức tối đa)' if capped else ''} × {copies} bản",
        en=f"{pages} pages, {figure.en} a copy{' (the maximum)' if capped else ''} × {copies} copies",
    )
    return each * copies, how


def _package(rate: Package, facts: Circumstances) -> Amount:
    counted, times = facts.quantities[rate.counts], facts.quantities[rate.per]
    of, per = sentences.unit(rate.counts), sentences.unit(rate.per)
    if counted < rate.minimum:
        error = FieldError(
            f"quantities.{rate.counts}",
            f"gói này từ {rate.minimum} {of.vi} trở lên; hãy chọn cách mua lẻ hoặc sửa số lượng",
            f"this package begins at {rate.minimum} {of.en}; choose single items or correct the count",
        )
        raise NotQuotable("Số lượng chưa đủ một gói.", "This is not enough for a package.", fields=[error])
    each = sentences.money(rate.amount_dong)
    return times * rate.amount_dong, Text(
        vi=f"{times} {per.vi} × {each.vi}, gói từ {rate.minimum} {of.vi}",
        en=f"{times} × {each.en} a {per.en}, packages of {rate.minimum} {of.en} or more",
    )


def _by_applicant(rate: ByApplicant, facts: Circumstances) -> Amount:
    if facts.request.applicant_kind == "business":
        return rate.business_dong, Text(vi="mức của tổ chức", en="the rate of organisations")
    return rate.person_dong, Text(vi="mức của cá nhân, hộ gia đình", en="the rate of persons and households")


def _share(rate: Percentage, value: int) -> Amount:
    amount = basis_points_of(value, rate.basis_points)
    capped = rate.cap_dong is not None and amount > rate.cap_dong
    part, worth = sentences.share_in_words(rate), sentences.money(value)
    how = Text(
        vi=f"{part.vi} × {worth.vi}{' (mức tối đa)' if capped else ''}",
        en=f"{part.en} × {worth.en}{' (the maximum)' if capped else ''}",
    )
    return (rate.cap_dong if capped else amount), how


def _zoned(rate: Zoned, zone: ZoneEntry, facts: Circumstances) -> Amount:
    bands = next(entry.bands for entry in rate.zones if entry.zone == zone.zone)
    how = Text(vi=f"khu vực {zone.zone}", en=f"zone {zone.zone}")
    if len(bands) == 1:
        return bands[0].amount_dong, how
    value = facts.facts[rate.banded_by or ""]
    band = next(band for band in bands if band.up_to_dong is None or value <= band.up_to_dong)
    figure = sentences.money(value)
    return band.amount_dong, Text(vi=f"{how.vi}, xe trị giá {figure.vi}", en=f"{how.en}, vehicle worth {figure.en}")
