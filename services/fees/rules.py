"""Works out what is owed, by whom, and the law that says so. Pure: a compiled catalogue and facts in, lines out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from kit.errors import FieldError
from kit.money import percent_of
from services.fees import sentences
from services.fees.amounts import amount_of
from services.fees.circumstances import Circumstances, NotQuotable, Vocabulary, circumstances_of
from services.fees.contract import FeeKind, Leg, QuoteLine, QuoteRequest, Share, Step, Text
from services.fees.places import Commune, Places, postal_zone
from services.fees.tariffs import (
    SCOPE_ORDER,
    STAGE,
    Adjustment,
    Agreement,
    Catalogue,
    FeeItem,
    Instrument,
    Legal,
    Procedure,
    Rate,
    Zoned,
    ZoneEntry,
    about,
    sha256_of,
)

CITIZEN = "citizen"
POST = "post"
ELSEWHERE = "other-places"
"""The one step that names what holds only in other places: a list of all councils would bury the law that counts."""


@dataclass(frozen=True, slots=True)
class RulePlan:
    """An adjustment with everything about it that does not depend on the request."""

    rule: Adjustment
    law: Text
    citation: str
    refusals: Mapping[str, Text]
    """Finished sentences for the obstacles that depend on the rule alone, by obstacle."""


@dataclass(frozen=True, slots=True)
class ItemPlan:
    """A fee item with its rates, narrowest place first, and the rules that speak of it, in the order of law."""

    item: FeeItem
    rates: tuple[Rate, ...]
    rules: tuple[RulePlan, ...]


@dataclass(frozen=True, slots=True)
class Assessment:
    """What one filing owes: the procedure it is, and its lines with their shares."""

    procedure: Procedure
    case: str | None
    lines: tuple[QuoteLine, ...]

    @property
    def total_dong(self) -> int:
        """Everything due, whoever pays."""
        return sum(line.due_dong for line in self.lines)

    def due_from(self, payer: str) -> int:
        """What one payer owes of all lines."""
        return sum(share.amount_dong for line in self.lines for share in line.shares if share.payer == payer)


class Tariff:
    """A catalogue compiled once, so that a quote touches only what concerns its procedure."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.content = catalogue.content()
        self.sha256 = sha256_of(self.content)
        self.version = self.sha256[:16]
        self.places = Places(catalogue.communes, catalogue.zones)
        self.vocabulary = Vocabulary(catalogue, self.places)
        self.instruments: Mapping[str, Instrument] = {i.id: i for i in catalogue.instruments}
        self._prepared: dict[str, RulePlan] = {}
        self._named = _by_name(catalogue.adjustments)
        self.plans = {p.slug: tuple(self._plan(p, item) for item in p.items) for p in catalogue.procedures}
        self.legs: dict[Leg, tuple[RulePlan, ...]] = {"send": self._leg("send"), "return": self._leg("return")}
        uses = [(use, agreement) for agreement in catalogue.agreements for use in agreement.applies]
        self.uses = sorted(uses, key=lambda pair: -SCOPE_ORDER[pair[0].scope.level])

    def law(self, entry: Legal) -> Text:
        """The article and instrument of an entry."""
        return sentences.law(entry, self.instruments)

    def citation(self, entry: Legal) -> str:
        """The number by which an instrument is cited."""
        return self.instruments[entry.instrument].number

    def _plan(self, procedure: Procedure, item: FeeItem) -> ItemPlan:
        rates = sorted(item.rates, key=lambda rate: -SCOPE_ORDER[rate.scope.level])
        names = (item.id, procedure.slug, item.category, item.set_by)
        named = (a for key in zip(_NAMED, names, strict=True) for a in self._named.get(key, ()))
        return ItemPlan(item, tuple(rates), self._rules(a for a in named if about(a, procedure, item)))

    def _leg(self, leg: Leg) -> tuple[RulePlan, ...]:
        about = (a for a in self.catalogue.adjustments if "postage" in a.targets.kinds and a.targets.leg in (None, leg))
        return self._rules(about)

    def _rules(self, adjustments: Iterable[Adjustment]) -> tuple[RulePlan, ...]:
        ordered = sorted(adjustments, key=lambda a: (STAGE[a.kind], a.valid_from, a.id))
        return tuple(self._rule(a) for a in ordered)

    def _rule(self, rule: Adjustment) -> RulePlan:
        """A rule is prepared once, however many fee items it speaks of."""
        if rule.id not in self._prepared:
            self._prepared[rule.id] = RulePlan(rule, self.law(rule), self.citation(rule), self._refusals(rule))
        return self._prepared[rule.id]

    def _refusals(self, rule: Adjustment) -> dict[str, Text]:
        reasons = {
            "unconfirmed": rule.unconfirmed,
            "not_begun": sentences.not_begun(rule),
            "expired": sentences.expired(rule),
            "channel": sentences.other_channel(rule),
            "appraisal": sentences.APPRAISAL,
            "people": sentences.other_people(rule.groups, self.vocabulary.groups),
        }
        law = self.law(rule)
        return {name: sentences.not_applied(rule, law, why) for name, why in reasons.items() if why is not None}


_NAMED = ("items", "procedures", "categories", "set_by")


def _by_name(adjustments: Iterable[Adjustment]) -> dict[tuple[str, str], list[Adjustment]]:
    """Adjustments under the first thing they name, so that thousands of them are not asked about every fee item."""
    found: dict[tuple[str, str], list[Adjustment]] = {}
    for adjustment in adjustments:
        targets = adjustment.targets
        lists = (targets.items, targets.procedures, targets.categories, (targets.set_by,) if targets.set_by else ())
        kind, names = next(((kind, names) for kind, names in zip(_NAMED, lists, strict=True) if names), ("", ()))
        for name in set(names):
            found.setdefault((kind, name), []).append(adjustment)
    return found


def assess(tariff: Tariff, request: QuoteRequest) -> Assessment:
    """Price a filing under the law of the day it was filed.

    Raises NotQuotable when a name is unknown, a needed figure is missing, or the catalogue holds no rate for
    that day and place. Lines at 0 đồng stay; a line whose count does not begin (no third copy) does not arise.
    """
    facts = circumstances_of(tariff.vocabulary, request)
    lines: list[QuoteLine] = []
    for plan in tariff.plans[facts.procedure.slug]:
        if not plan.item.cases or facts.case in plan.item.cases:
            lines += _fee_line(tariff, plan, facts)
    lines += _postal_lines(tariff, facts, lines)
    return Assessment(facts.procedure, facts.case, tuple(lines))


# --- state fees ----------------------------------------------------------------------------------


def _fee_line(tariff: Tariff, plan: ItemPlan, facts: Circumstances) -> list[QuoteLine]:
    day, place, agency = facts.request.filed_on, facts.agency_commune, facts.request.agency
    rate = next((rate for rate in plan.rates if rate.covers(day) and place.within(rate.scope, day, agency)), None)
    if rate is None:
        raise _no_rate(plan, day, place)
    zone = _zone_of(tariff, rate, facts)
    amount, how = amount_of(rate, facts, zone)
    if amount is None:
        return []
    account = Account(item=plan.item.id, gross=amount)
    account.note(rate, tariff, sentences.tariff(rate, tariff.law(rate), amount, how), before=0)
    if zone is not None:
        account.note(zone, tariff, _zone_sentence(zone, facts, tariff.law(zone)), rule=f"zone:{zone.zone}")
    _settle(tariff, account, plan.rules, facts, appraisal=plan.item.appraisal)
    return [account.line(kind=plan.item.kind, label=plan.item.label, beneficiary=facts.request.agency)]


def _no_rate(plan: ItemPlan, day: date, place: Commune) -> NotQuotable:
    label, shown = plan.item.label, sentences.day(day)
    here = [rate for rate in plan.rates if place.within(rate.scope, day)]
    if here:
        first = sentences.day(min(rate.valid_from for rate in here))
        error = FieldError(
            "filed_on",
            f"danh mục chưa có mức thu “{label.vi}” cho ngày {shown}; mức sớm nhất có từ {first}",
            f"the catalogue has no rate of “{label.en}” for {shown}; the earliest begins on {first}",
        )
    else:
        province = place.province_name_on(day)
        error = FieldError(
            "province",
            f"danh mục chưa có mức thu “{label.vi}” của {province}; cần bổ sung nghị quyết của HĐND tỉnh vào danh mục",
            f"the catalogue has no rate of “{label.en}” for {province}; add the provincial resolution to the catalogue",
        )
    return NotQuotable(
        "Danh mục chưa có căn cứ pháp lý để tính khoản này.",
        "The catalogue holds no legal basis for this amount.",
        fields=[error],
    )


def _zone_of(tariff: Tariff, rate: Rate, facts: Circumstances) -> ZoneEntry | None:
    if not isinstance(rate, Zoned):
        return None
    zone = tariff.places.vehicle_zone(facts.applicant_commune, facts.request.filed_on)
    if zone is None:
        shown = sentences.day(facts.request.filed_on)
        error = FieldError(
            "filed_on",
            f"danh mục chưa chia khu vực đăng ký xe cho ngày {shown}; hãy chọn ngày sau",
            f"the catalogue has no vehicle zones for {shown}; choose a later day",
        )
        raise NotQuotable("Chưa xác định được khu vực.", "The vehicle zone is not known.", fields=[error])
    return zone


def _zone_sentence(zone: ZoneEntry, facts: Circumstances, law: Text) -> Text:
    commune, day = facts.applicant_commune, facts.request.filed_on
    place = f"{commune.name}, {commune.province_name_on(day)}"
    return Text(
        vi=f"Khu vực {zone.zone} theo nơi cư trú hoặc trụ sở của chủ xe ({place}), {law.vi}.",
        en=f"Zone {zone.zone} by the owner's residence or head office ({place}), {law.en}.",
    )


# --- reductions and supports ----------------------------------------------------------------------


@dataclass(slots=True)
class Account:
    """One line while it is being worked out."""

    item: str
    gross: int
    due: int = -1
    verified: bool = True
    steps: list[Step] = field(default_factory=list)
    budget: list[Share] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.due = self.gross

    @property
    def citizen(self) -> int:
        """What is left for the citizen."""
        return self.due - sum(share.amount_dong for share in self.budget)

    def note(self, entry: Legal, tariff: Tariff, text: Text, *, before: int | None = None, rule: str = "") -> None:
        """Write down the tariff, a zone or an agreement: what the line starts from."""
        self.verified = self.verified and entry.verified
        self.steps.append(
            Step(
                rule=rule or self.item,
                outcome="applied",
                before_dong=self.gross if before is None else before,
                after_dong=self.gross,
                instrument=tariff.citation(entry),
                article=entry.article,
                text=text,
            )
        )

    def apply(self, plan: RulePlan, text: Text, *, before: int) -> None:
        """Write down a rule that changed what the citizen pays."""
        self.verified = self.verified and plan.rule.verified
        self._step(plan, text, before=before, applied=True)

    def refuse(self, plan: RulePlan, reason: Text) -> None:
        """Write down a rule that was considered and does not hold here."""
        self.leave(plan, sentences.not_applied(plan.rule, plan.law, reason))

    def leave(self, plan: RulePlan, sentence: Text) -> None:
        """Write down a rule that was considered and left, with the finished sentence."""
        self._step(plan, sentence, before=self.citizen, applied=False)

    def leave_elsewhere(self, plans: Sequence[RulePlan]) -> None:
        """Write down, in one sentence, the rules of this day that hold only in other places."""
        self.steps.append(
            Step(
                rule=ELSEWHERE,
                outcome="not_applied",
                before_dong=self.citizen,
                after_dong=self.citizen,
                instrument="; ".join(dict.fromkeys(plan.citation for plan in plans)),
                article="",
                text=sentences.elsewhere(
                    dict.fromkeys(plan.law.vi for plan in plans), dict.fromkeys(plan.law.en for plan in plans)
                ),
            )
        )

    def _step(self, plan: RulePlan, text: Text, *, before: int, applied: bool) -> None:
        self.steps.append(
            Step(
                rule=plan.rule.id,
                outcome="applied" if applied else "not_applied",
                before_dong=before,
                after_dong=self.citizen,
                instrument=plan.citation,
                article=plan.rule.article,
                text=text,
            )
        )

    def line(self, *, kind: FeeKind, label: Text, beneficiary: str, leg: Leg | None = None) -> QuoteLine:
        """The finished line. The citizen's share is always there, even at 0 đồng."""
        return QuoteLine(
            item=self.item,
            kind=kind,
            leg=leg,
            label=label,
            beneficiary=beneficiary,
            gross_dong=self.gross,
            due_dong=self.due,
            shares=(Share(payer=CITIZEN, amount_dong=self.citizen), *self.budget),
            steps=tuple(self.steps),
            verified=self.verified,
        )


def _settle(
    tariff: Tariff, account: Account, rules: Sequence[RulePlan], facts: Circumstances, *, appraisal: bool = False
) -> None:
    """Apply the law in its order: the best single reduction, then the best single support of what is left."""
    day, place = facts.request.filed_on, facts.agency_commune
    reductions: list[RulePlan] = []
    supports: list[RulePlan] = []
    elsewhere: list[RulePlan] = []
    for plan in rules:
        rule = plan.rule
        if not place.within(rule.scope, day, facts.request.agency):
            if rule.covers(day) and rule.unconfirmed is None:
                elsewhere.append(plan)
            continue
        obstacle = _obstacle(rule, facts, appraisal=appraisal)
        if obstacle is not None:
            account.leave(plan, plan.refusals[obstacle])
        elif rule.kind == "support":
            supports.append(plan)
        else:
            reductions.append(plan)
    exempt = _reduce(tariff, account, reductions, facts)
    _support(tariff, account, supports, exempt=exempt)
    if elsewhere:
        account.leave_elsewhere(elsewhere)


def _obstacle(rule: Adjustment, facts: Circumstances, *, appraisal: bool) -> str | None:
    """Which condition of a rule of this place the filing does not meet; None when it meets all."""
    if rule.unconfirmed is not None:
        return "unconfirmed"
    if rule.valid_from > facts.request.filed_on:
        return "not_begun"
    if not rule.covers(facts.request.filed_on):
        return "expired"
    if rule.channels and facts.request.channel not in rule.channels:
        return "channel"
    if rule.excludes_appraisal and appraisal:
        return "appraisal"
    if rule.groups and facts.groups.isdisjoint(rule.groups):
        return "people"
    return None


def _result(rule: Adjustment, gross: int) -> int:
    if rule.kind in ("exemption", "waiver"):
        return 0
    if rule.amount_dong is not None:
        return rule.amount_dong
    return percent_of(gross, 100 if rule.pay_percent is None else rule.pay_percent)


def _rank(rule: Adjustment, gross: int) -> tuple[int, int, int, str]:
    """What leaves least comes first; then the order of law; then the newer law; then a fixed order."""
    return _result(rule, gross), STAGE[rule.kind], -rule.valid_from.toordinal(), rule.id


def _reduce(tariff: Tariff, account: Account, reductions: Sequence[RulePlan], facts: Circumstances) -> bool:
    """Apply the exemption, or else the reduction that leaves least; say why the others were left. True when exempt."""
    if not reductions:
        return False
    exemption = next((plan for plan in reductions if plan.rule.kind == "exemption"), None)
    best = exemption or min(reductions, key=lambda plan: _rank(plan.rule, account.gross))
    before, result = account.gross, _result(best.rule, account.gross)
    lowers = result < account.gross
    if lowers:
        account.due = result
        mine = [group for group in best.rule.groups if group in facts.groups]
        matched = sentences.people(mine, tariff.vocabulary.groups) if mine else None
        account.apply(best, sentences.applied(best.rule, best.law, matched), before=before)
    for plan in reductions:
        if not lowers:
            account.refuse(plan, sentences.NOT_LOWER if account.gross else sentences.NOTHING_DUE)
        elif plan is not best:
            account.refuse(plan, sentences.ALREADY_EXEMPT if exemption else sentences.better(best.law))
    return exemption is not None and lowers


def _support(tariff: Tariff, account: Account, supports: Sequence[RulePlan], *, exempt: bool) -> None:
    if not supports:
        return
    left = account.citizen
    best = max(supports, key=lambda plan: _supported(plan.rule, left))
    paid = _supported(best.rule, left)
    if paid and best.rule.payer is not None:
        account.budget.append(Share(payer=best.rule.payer, amount_dong=paid))
        payer = payer_name(tariff, best.rule.payer)
        text = sentences.supported(best.rule, best.law, payer=payer, paid=paid, rest=account.citizen)
        account.apply(best, text, before=left)
    for plan in supports:
        if exempt:
            account.refuse(plan, sentences.ALREADY_EXEMPT)
        elif not paid:
            account.refuse(plan, sentences.NOTHING_DUE)
        elif plan is not best:
            account.refuse(plan, sentences.better(best.law))


def _supported(rule: Adjustment, left: int) -> int:
    paid = percent_of(left, rule.support_percent or 0)
    return paid if rule.ceiling_dong is None else min(paid, rule.ceiling_dong)


def payer_name(tariff: Tariff, payer: str) -> Text:
    """A payer in words: the citizen, or the budget of a province or of the state."""
    if payer == CITIZEN:
        return Text(vi="Người nộp", en="The citizen")
    code = payer.partition(":")[2]
    if code == "central":
        return Text(vi="Ngân sách trung ương", en="The central budget")
    name = tariff.places.provinces.get(code) or tariff.places.old_provinces.get(code, code)
    plain = name.removeprefix("Thành phố ").removeprefix("Tỉnh ")
    return Text(vi=f"Ngân sách {name[:1].lower()}{name[1:]}", en=f"The budget of {plain}")


# --- the post ------------------------------------------------------------------------------------

_LEG_LABELS: dict[Leg, Text] = {
    "send": Text(vi="Cước gửi hồ sơ qua bưu chính công ích", en="Postage, sending the dossier"),
    "return": Text(vi="Cước trả kết quả qua bưu chính công ích", en="Postage, returning the result"),
}
_COLLECTION_LABEL = Text(vi="Cước thu hộ, chuyển phí và lệ phí", en="Collection of fees by the post")
_ZONE_NAMES = {
    "same_district": Text(vi="nội quận, huyện cũ", en="within the former district"),
    "other_district": Text(vi="liên quận, huyện cũ cùng tỉnh", en="between former districts of one former province"),
    "same_region": Text(vi="liên tỉnh nội vùng", en="between provinces of one region"),
    "other_region": Text(vi="liên tỉnh liên vùng", en="between regions"),
}


def _postal_lines(tariff: Tariff, facts: Circumstances, fees: Sequence[QuoteLine]) -> list[QuoteLine]:
    postal = facts.request.postal
    legs: list[tuple[Leg, int]] = []
    if postal.send:
        legs.append(("send", postal.send_weight_grams))
    if postal.return_result:
        legs.append(("return", postal.return_weight_grams))
    if not legs:
        return []
    use, agreement = _agreement(tariff, facts)
    both = len(legs) == 2
    lines = [_postage_line(tariff, facts, use, agreement, leg=leg, grams=grams, both=both) for leg, grams in legs]
    if postal.cash_on_delivery and agreement.collection is not None:
        lines.append(_collection_line(tariff, use, agreement, fees))
    return lines


def _agreement(tariff: Tariff, facts: Circumstances) -> tuple[Legal, Agreement]:
    day, place = facts.request.filed_on, facts.agency_commune
    for use, agreement in tariff.uses:
        if use.covers(day) and place.within(use.scope, day, facts.request.agency):
            return use, agreement
    shown = sentences.day(day)
    error = FieldError(
        "filed_on",
        f"danh mục chưa có bảng cước bưu chính cho ngày {shown}; hãy bỏ phần bưu chính hoặc chọn ngày sau",
        f"the catalogue has no postal tariff for {shown}; leave the post out or choose a later day",
    )
    raise NotQuotable("Chưa có bảng cước.", "There is no postal tariff.", fields=[error])


def _postage_line(
    tariff: Tariff, facts: Circumstances, use: Legal, agreement: Agreement, *, leg: Leg, grams: int, both: bool
) -> QuoteLine:
    zone = postal_zone(facts.applicant_commune, facts.agency_commune)
    table = agreement.send if leg == "send" else agreement.return_
    pair = next((price for price in agreement.two_way if both and price.zone == zone), None)
    gross = table.price(zone, grams)
    if pair is not None:
        gross = pair.send_dong if leg == "send" else pair.return_dong
    account = Account(item=f"postage-{leg}", gross=gross)
    name, law = _ZONE_NAMES[zone], tariff.law(use)
    two = Text(vi=", cước hai chiều" if pair else "", en=", two-way price" if pair else "")
    how = Text(vi=f"{name.vi}, {grams} g{two.vi}", en=f"{name.en}, {grams} g{two.en}")
    account.note(use, tariff, sentences.postage(law, gross, how), before=0, rule=agreement.id)
    _settle(tariff, account, tariff.legs[leg], facts)
    return account.line(kind="postage", label=_LEG_LABELS[leg], beneficiary=POST, leg=leg)


def _collection_line(tariff: Tariff, use: Legal, agreement: Agreement, fees: Sequence[QuoteLine]) -> QuoteLine:
    collection = agreement.collection
    if collection is None:
        raise AssertionError("only called for an agreement with a collection charge")
    carried = sum(line.due_from("citizen") for line in fees)
    law, figure = tariff.law(use), sentences.money(carried)
    free = collection.free_under_dong is not None and carried < collection.free_under_dong
    if carried == 0 or free:
        why = Text(vi=f"miễn cước thu hộ khi thu {figure.vi}", en=f"no charge for collecting {figure.en}")
        amount = 0
    elif collection.amount_dong is None:
        error = FieldError(
            "postal.cash_on_delivery",
            f"danh mục chưa có mức cước thu hộ cho số tiền {figure.vi}; hãy chọn cách nộp tiền khác",
            f"the catalogue has no collection charge for {figure.en}; choose another way of paying",
        )
        raise NotQuotable("Chưa có mức cước thu hộ.", "The collection charge is not known.", fields=[error])
    else:
        amount = collection.amount_dong
        why = Text(vi=f"thu hộ {figure.vi} phí, lệ phí", en=f"collecting {figure.en} of fees")
    account = Account(item="collection", gross=amount)
    account.note(use, tariff, sentences.collection(law, amount, why), before=0, rule=agreement.id)
    return account.line(kind="collection", label=_COLLECTION_LABEL, beneficiary=POST)
