"""Finds where a catalogue contradicts itself: overlaps, gaps, unknown references, rates above the tariff."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from services.fees.faults import CatalogueFault, at
from services.fees.tariffs import (
    Adjustment,
    ByApplicant,
    Catalogue,
    FeeItem,
    Fixed,
    Legal,
    Node,
    NoFee,
    Package,
    PerCopy,
    PerPage,
    Procedure,
    Scope,
    about,
)

Faults = Iterator[CatalogueFault]


@dataclass(frozen=True, slots=True)
class Doubts:
    """What the check must bear in mind: a fault elsewhere is not to be blamed on those who refer to it.

    `presumed`: names declared in documents that could not be read whole; `incomplete`: those documents, whose
    missing entries make no gap; `drafts`: documents under correction, where a contradiction with the rest is shown;
    `cited`: instruments named in faulty documents, each with its `file:line`.
    """

    presumed: frozenset[str] = frozenset()
    incomplete: frozenset[str] = frozenset()
    drafts: frozenset[str] = frozenset()
    cited: tuple[tuple[str, str], ...] = ()

    def mine_first(self, one: Node, other: Node) -> tuple[Node, Node]:
        """Two contradicting entries, the one under correction first; otherwise as given."""
        if _file(other) in self.drafts and _file(one) not in self.drafts:
            return other, one
        return one, other


_NO_DOUBTS = Doubts()


def _file(node: Node) -> str:
    return node.where.rpartition(":")[0]


def check(catalogue: Catalogue, doubts: Doubts = _NO_DOUBTS) -> list[CatalogueFault]:
    """Everything wrong between the entries of a catalogue; empty when it can be used."""
    return [
        *_repeated_names(catalogue, doubts),
        *_unknown_references(catalogue, doubts),
        *_broken_items(catalogue, doubts),
        *_contradicting_adjustments(catalogue, doubts),
        *_contradicting_places(catalogue, doubts),
        *_pointless_entries(catalogue, doubts),
        *_rates_above_tariff(catalogue),
    ]


def _repeated_names(catalogue: Catalogue, doubts: Doubts) -> Faults:
    lists: dict[str, list[tuple[str, Node]]] = {
        "procedure": [(p.slug, p) for p in catalogue.procedures],
        "procedure code": [(c.code, c) for p in catalogue.procedures for c in p.codes],
        "fee item": [(i.id, i) for _, i in catalogue.fee_items()],
        "adjustment": [(a.id, a) for a in catalogue.adjustments],
        "agreement": [(a.id, a) for a in catalogue.agreements],
        "group": [(g.slug, g) for g in catalogue.groups],
        "instrument": [(i.id, i) for i in catalogue.instruments],
        "instrument number": [(i.number, i) for i in catalogue.instruments],
        "source": [(s.id, s) for s in catalogue.sources],
    }
    for noun, named in lists.items():
        seen: dict[str, Node] = {}
        for name, node in named:
            if name in seen:
                mine, other = doubts.mine_first(node, seen[name])
                yield at(
                    mine.where,
                    f"{_NOUNS[noun]} {name!r} đã có tại {other.where}; hãy đặt tên khác hoặc bỏ một mục",
                    f"the {noun} {name!r} exists more than once, also at {other.where}; rename or remove one",
                )
            seen.setdefault(name, node)
    for code, count in Counter(row[0] for row in catalogue.communes).items():
        if count > 1:
            yield at("places/communes.csv:1", f"mã xã {code} ghi hai lần", f"the commune {code} exists more than once")


_NOUNS = {
    "procedure": "thủ tục",
    "procedure code": "mã thủ tục",
    "fee item": "khoản thu",
    "adjustment": "quy định giảm, miễn, hỗ trợ",
    "agreement": "bảng cước",
    "group": "nhóm đối tượng",
    "instrument": "văn bản",
    "instrument number": "số, ký hiệu văn bản",
    "source": "nguồn",
    "case": "trường hợp",
    "category": "loại khoản thu",
    "quantity": "số lượng (khai ở thủ tục)",
}


def _unknown_references(catalogue: Catalogue, doubts: Doubts) -> Faults:
    instruments = {i.id for i in catalogue.instruments}
    sources = {s.id for s in catalogue.sources}
    places = _known_places(catalogue)
    incomplete = doubts.incomplete
    named = [(e.instrument, e.where) for e in _legal_entries(catalogue) if _file(e) not in incomplete]
    for name, where in [*named, *doubts.cited]:
        if name not in instruments | doubts.presumed:
            yield at(
                where,
                f"không có văn bản {name!r}; hãy thêm vào danh sách instruments hoặc sửa tên",
                f"unknown instrument {name!r}; add it to a list of instruments or correct the name",
            )
    for entry in _legal_entries(catalogue):
        yield from _not_among(entry.sources, sources | doubts.presumed, "source", entry.where)
        yield from _unknown_place(places, entry.scope, entry.where)
    for instrument in catalogue.instruments:
        given = [part.strip() for part in instrument.source.split(",")]
        yield from _not_among(given, sources | doubts.presumed, "source", instrument.where)
    groups = {g.slug for g in catalogue.groups} | doubts.presumed
    procedures = {p.slug for p in catalogue.procedures} | doubts.presumed
    items = {i.id for _, i in catalogue.fee_items()} | doubts.presumed
    categories = {i.category for _, i in catalogue.fee_items()} | doubts.presumed
    for group in catalogue.groups:
        yield from _not_among(group.implies, groups, "group", group.where)
    for adjustment in catalogue.adjustments:
        targets = adjustment.targets
        yield from _not_among(adjustment.groups, groups, "group", adjustment.where)
        yield from _not_among(targets.items, items, "fee item", adjustment.where)
        yield from _not_among(targets.procedures, procedures, "procedure", adjustment.where)
        yield from _not_among(targets.categories, categories, "category", adjustment.where)
    for procedure in catalogue.procedures:
        yield from _procedure_references(procedure)


def _procedure_references(procedure: Procedure) -> Faults:
    for code in procedure.codes:
        if code.case is not None:
            yield from _not_among([code.case], set(procedure.cases), "case", code.where)
    quantities = {quantity.name for quantity in procedure.quantities}
    for item in procedure.items:
        yield from _not_among(item.cases, set(procedure.cases), "case", item.where)
        for rate in item.rates:
            yield from _not_among(_counted(rate), quantities, "quantity", rate.where)


def _counted(rate: Legal) -> list[str]:
    """The counts a rate needs."""
    if isinstance(rate, PerPage):
        return ["copies", "pages"]
    if isinstance(rate, Package):
        return [rate.counts, rate.per]
    return ["copies"] if isinstance(rate, PerCopy) else []


def _known_places(catalogue: Catalogue) -> dict[str, set[str]]:
    # A province that the merger ended is still the province of its own time.
    former = {row[6] for row in catalogue.communes}
    return {
        "commune": {row[0] for row in catalogue.communes},
        "province": {row[2] for row in catalogue.communes} | former,
        "old_province": former,
    }


def _unknown_place(places: dict[str, set[str]], scope: Scope, where: str) -> Faults:
    if scope.level in places and scope.code not in places[scope.level]:
        yield at(
            where,
            f"không có địa bàn {scope.level} mã {scope.code!r}; hãy dùng mã của Quyết định 19/2025/QĐ-TTg",
            f"unknown {scope.level} {scope.code!r}; use a code of Decision 19/2025/QĐ-TTg",
        )


def _not_among(names: Iterable[str], known: set[str] | frozenset[str], noun: str, where: str) -> Faults:
    for name in names:
        if name not in known:
            listed = ", ".join(sorted(known)[:30]) or "—"
            yield at(
                where,
                f"không có {_NOUNS[noun]} {name!r}; hãy thêm hoặc dùng một trong: {listed}",
                f"unknown {noun} {name!r}; add it or use one of: {listed}",
            )


def _legal_entries(catalogue: Catalogue) -> Iterator[Legal]:
    for _, item in catalogue.fee_items():
        yield from item.rates
    yield from catalogue.adjustments
    yield from catalogue.zones
    for agreement in catalogue.agreements:
        yield from agreement.applies


def _broken_items(catalogue: Catalogue, doubts: Doubts) -> Faults:
    for _, item in catalogue.fee_items():
        by_place: defaultdict[str, list[Legal]] = defaultdict(list)
        for rate in item.rates:
            by_place[str(rate.scope)].append(rate)
        for rates in by_place.values():
            yield from _overlaps_and_gaps(item, sorted(rates, key=lambda rate: rate.valid_from), doubts)


def _overlaps_and_gaps(item: FeeItem, rates: Sequence[Legal], doubts: Doubts) -> Faults:
    for earlier, later in pairwise(rates):
        if earlier.overlaps(later):
            day = later.valid_from - timedelta(days=1)
            yield at(
                later.where,
                f"trùng thời hạn với mức thu tại {earlier.where}; hãy kết thúc mức đó ngày {day}",
                f"overlaps the rate at {earlier.where}; end that one on {day}, the day before this begins",
            )
        elif not item.gaps_allowed and earlier.valid_to is not None and _file(later) not in doubts.incomplete:
            expected = earlier.valid_to + timedelta(days=1)
            if later.valid_from != expected:
                yield at(
                    later.where,
                    f"thiếu mức thu từ {expected} đến trước ngày này; hãy lấp khoảng trống hoặc ghi gaps_allowed: true",
                    f"no rate from {expected} until here; close the gap or set gaps_allowed: true",
                )


def _contradicting_adjustments(catalogue: Catalogue, doubts: Doubts) -> Faults:
    alike: defaultdict[tuple[object, ...], list[Adjustment]] = defaultdict(list)
    for adjustment in catalogue.adjustments:
        if adjustment.unconfirmed is None:
            targets = adjustment.targets.model_dump_json()
            key = (adjustment.kind, str(adjustment.scope), targets, adjustment.channels, frozenset(adjustment.groups))
            alike[key].append(adjustment)
    for entries in alike.values():
        by_day = sorted(entries, key=lambda entry: (entry.valid_from, entry.id))
        for earlier, later in pairwise(by_day):
            if earlier.overlaps(later):
                mine, other = doubts.mine_first(later, earlier)
                names = {later: later.id, earlier: earlier.id}
                yield at(
                    mine.where,
                    f"{names[mine]} có hiệu lực cùng ngày với {names[other]} ({other.where}) cho cùng người, nơi và "  # type: ignore[index]
                    "khoản thu; hãy kết thúc một quy định",
                    f"{names[mine]} holds on the same days as {names[other]} ({other.where}) "  # type: ignore[index]
                    "for the same people, place and fees; end one of them",
                )


def _contradicting_places(catalogue: Catalogue, doubts: Doubts) -> Faults:
    for index, entry in enumerate(catalogue.zones):
        for other in catalogue.zones[:index]:
            same_place = str(entry.scope) == str(other.scope) and entry.old_district_kind == other.old_district_kind
            if same_place and entry.overlaps(other):
                mine, theirs = doubts.mine_first(entry, other)
                yield at(
                    mine.where,
                    f"{entry.scope} đã thuộc một khu vực trong những ngày này ({theirs.where}); hãy kết thúc một mục",
                    f"{entry.scope} is already in a zone on these days, at {theirs.where}; end one of them",
                )
    if catalogue.zones and not any(z.scope.level == "country" and not z.old_district_kind for z in catalogue.zones):
        yield at(
            catalogue.zones[0].where,
            "thiếu khu vực cho phần còn lại của cả nước (scope country)",
            "a zone for the rest of the country is missing (scope country)",
        )
    uses = [use for agreement in catalogue.agreements for use in agreement.applies]
    for index, use in enumerate(uses):
        for other_use in uses[:index]:
            if str(use.scope) == str(other_use.scope) and use.overlaps(other_use):
                mine, theirs = doubts.mine_first(use, other_use)
                yield at(
                    mine.where,
                    f"đã có bảng cước khác cho {use.scope} trong những ngày này: {theirs.where}; hãy kết thúc một bảng",
                    f"another postal agreement is used for {use.scope} on these days: {theirs.where}; end one of them",
                )
    everywhere = [entry for entry in catalogue.zones if entry.old_district_kind is None]
    yield from _gaps_of_the_country(everywhere, doubts)
    yield from _gaps_of_the_country(uses, doubts)


def _gaps_of_the_country(entries: Sequence[Legal], doubts: Doubts) -> Faults:
    """What holds for the rest of the country must hold every day from its first to its last."""
    country = sorted((e for e in entries if e.scope.level == "country"), key=lambda entry: entry.valid_from)
    for earlier, later in pairwise(country):
        expected = earlier.valid_to + timedelta(days=1) if earlier.valid_to is not None else later.valid_from
        if later.valid_from > expected and _file(later) not in doubts.incomplete:
            yield at(
                later.where,
                f"cả nước không có mục nào từ {expected} đến trước ngày này; hãy lấp khoảng trống",
                f"nothing holds for the country from {expected} until here; close the gap",
            )


def _pointless_entries(catalogue: Catalogue, doubts: Doubts) -> Faults:
    """Entries that can never do what they were written for: a case without a fee, a rule without a target."""
    payers = {row[2] for row in catalogue.communes} | {row[6] for row in catalogue.communes} | {"central"}
    for adjustment in catalogue.adjustments:
        payer = (adjustment.payer or "budget:central").partition(":")[2]
        if payer not in payers:
            yield at(
                adjustment.where,
                f"không có ngân sách của tỉnh mã {payer}; hãy sửa payer",
                f"there is no province {payer} whose budget could pay; correct payer",
            )
        if adjustment.unconfirmed is None and not doubts.presumed and not _speaks(adjustment, catalogue):
            yield at(
                adjustment.where,
                f"{adjustment.id} không nói tới khoản thu nào; hãy sửa targets",
                f"{adjustment.id} speaks of no fee item; correct its targets",
            )
    for procedure in catalogue.procedures:
        without = set(procedure.cases) - {case for item in procedure.items for case in item.cases}
        if without and all(item.cases for item in procedure.items) and _file(procedure) not in doubts.incomplete:
            named = ", ".join(sorted(without))
            yield at(
                procedure.where,
                f"trường hợp {named} không có khoản thu; hãy thêm khoản thu (không thu phí thì ghi shape: none)",
                f"the case {named} has no fee item; add one (shape: none where nothing is charged)",
            )


def _speaks(adjustment: Adjustment, catalogue: Catalogue) -> bool:
    if "postage" in adjustment.targets.kinds:
        return True
    return any(about(adjustment, procedure, item) for procedure, item in catalogue.fee_items())


def _rates_above_tariff(catalogue: Catalogue) -> Faults:
    for adjustment in catalogue.adjustments:
        if adjustment.amount_dong is None:
            continue
        if not adjustment.targets.items:
            yield at(
                adjustment.where,
                "số tiền tuyệt đối phải nêu rõ khoản thu được thay (targets.items)",
                "an absolute amount must name the fee items it replaces (targets.items)",
            )
        for _, item in catalogue.fee_items():
            if item.id in adjustment.targets.items:
                yield from _amount_fits(adjustment, item)


def _amount_fits(adjustment: Adjustment, item: FeeItem) -> Faults:
    for rate in item.rates:
        if not rate.overlaps(adjustment):
            continue
        if not isinstance(rate, Fixed | NoFee | ByApplicant):
            yield at(
                adjustment.where,
                f"số tiền tuyệt đối không thay được {item.id}, khoản tính theo lượng, khu vực; hãy dùng pay_percent",
                f"an absolute amount cannot replace {item.id}, which is counted, zoned or a share; use pay_percent",
            )
        elif isinstance(rate, Fixed) and (adjustment.amount_dong or 0) > rate.amount_dong:
            yield at(
                adjustment.where,
                f"{adjustment.id} ({adjustment.amount_dong:,} đồng) cao hơn mức thu của {item.id} "
                f"({rate.amount_dong:,} đồng tại {rate.where}); hãy sửa số tiền",
                f"{adjustment.id} ({adjustment.amount_dong:,} đồng) is above the tariff of {item.id} "
                f"({rate.amount_dong:,} đồng at {rate.where}); correct the amount",
            )
