"""Reads a quote request against the catalogue: every name is resolved or refused, with what to send instead."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kit.errors import BadInput, FieldError
from services.fees.contract import QuoteRequest
from services.fees.places import Commune, Places
from services.fees.tariffs import Catalogue, Group, Procedure

PROCEDURE_REF = re.compile(r"^(?P<code>[1-3]\.\d{6})(\.000\.00\.00)?(\.[HG]\d{2}(\.\d{2,3})*)?$")
"""National codes as they are written: bare, long and local (`2.000488.000.00.00.H55.02`), short (`1.000948.H38`)."""

_SHOWN = 30


class NotQuotable(BadInput):
    """The request names something the catalogue does not know, or leaves out what the tariff needs."""

    kind = "not-quotable"
    title_vi = "Chưa đủ căn cứ để tính phí, lệ phí"
    title_en = "The fee cannot be worked out from this request"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The facts of one filing, each known to the catalogue."""

    request: QuoteRequest
    procedure: Procedure
    case: str | None
    agency_commune: Commune
    applicant_commune: Commune
    groups: frozenset[str]
    quantities: Mapping[str, int]
    facts: Mapping[str, int]


class Vocabulary:
    """The names a request may use: procedures, codes, groups, communes."""

    def __init__(self, catalogue: Catalogue, places: Places) -> None:
        self.places = places
        self.procedures = {procedure.slug: procedure for procedure in catalogue.procedures}
        self.codes = {c.code: (p, c.case) for p in catalogue.procedures for c in p.codes}
        self.groups = {group.slug: group for group in catalogue.groups}
        self.implied = {slug: _closure(slug, self.groups) for slug in self.groups}
        self.quantities = {quantity.name for p in catalogue.procedures for quantity in p.quantities}
        self.facts = {fact for procedure in catalogue.procedures for fact in facts_of(procedure)}

    def procedure_of(self, reference: str) -> tuple[Procedure, str | None] | None:
        """The procedure a slug or national code means, and the case a code implies."""
        if reference in self.procedures:
            return self.procedures[reference], None
        match = PROCEDURE_REF.match(reference)
        return self.codes.get(match["code"]) if match else None


def _closure(slug: str, groups: Mapping[str, Group]) -> frozenset[str]:
    found: set[str] = set()
    waiting = [slug]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += groups[current].implies
    return frozenset(found)


def facts_of(procedure: Procedure, case: str | None = None) -> tuple[str, ...]:
    """Facts the tariff of a procedure may need, in all its cases or in one."""
    names = {
        rate.fact
        for item in procedure.items
        if case is None or not item.cases or case in item.cases
        for rate in item.rates
        if rate.fact is not None
    }
    return tuple(sorted(names))


def circumstances_of(vocabulary: Vocabulary, request: QuoteRequest) -> Circumstances:
    """Resolve a request. Raises NotQuotable naming every wrong field at once."""
    errors: list[FieldError] = []
    found = vocabulary.procedure_of(request.procedure)
    procedure: Procedure | None = None
    case: str | None = None
    if found is None:
        errors.append(
            FieldError(
                "procedure",
                f"không có thủ tục {request.procedure!r} trong danh mục; xem GET /v1/procedures",
                f"there is no procedure {request.procedure!r} in the catalogue; see GET /v1/procedures",
            )
        )
    else:
        procedure, implied_case = found
        case = request.case or implied_case
        errors += _case_errors(procedure, case)
    agency = _commune(vocabulary, request, errors)
    applicant = agency
    if request.applicant_commune is not None:
        applicant = vocabulary.places.get(request.applicant_commune)
        if applicant is None:
            errors.append(_unknown_commune("applicant_commune", request.applicant_commune))
    groups = _groups(vocabulary, request, errors)
    quantities, facts = _measures(vocabulary, procedure, case, request, errors)
    errors += _postal_errors(request)
    if not request.agency.isprintable():
        errors.append(
            FieldError("agency", "mã cơ quan có ký tự không in được", "the agency code holds unprintable characters")
        )
    if errors or procedure is None or agency is None or applicant is None:
        raise NotQuotable(
            "Yêu cầu tính phí có trường chưa đúng hoặc còn thiếu; hãy sửa các trường nêu dưới đây rồi gửi lại.",
            "Some fields are wrong or missing; correct the fields named below and send again.",
            fields=errors,
        )
    return Circumstances(request, procedure, case, agency, applicant, groups, quantities, facts)


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:_SHOWN]) + (", …" if len(ordered) > _SHOWN else "")


def _case_errors(procedure: Procedure, case: str | None) -> list[FieldError]:
    allowed = _listed(procedure.cases)
    if procedure.cases and case is None:
        vi, en = f"thiếu trường hợp; chọn một trong: {allowed}", f"the case is missing; choose one of: {allowed}"
    elif procedure.cases and case not in procedure.cases:
        vi = f"thủ tục {procedure.slug} không có trường hợp {case!r}; chọn một trong: {allowed}"
        en = f"{procedure.slug} has no case {case!r}; choose one of: {allowed}"
    elif not procedure.cases and case is not None:
        vi = f"thủ tục {procedure.slug} không chia trường hợp; hãy bỏ trường này"
        en = f"{procedure.slug} has no cases; leave this field out"
    else:
        return []
    return [FieldError("case", vi, en)]


def _unknown_commune(field: str, code: str) -> FieldError:
    return FieldError(
        field,
        f"không có xã, phường, đặc khu mã {code}; dùng mã 5 chữ số theo Quyết định 19/2025/QĐ-TTg",
        f"there is no commune {code}; use a five-digit code of Decision 19/2025/QĐ-TTg",
    )


def _commune(vocabulary: Vocabulary, request: QuoteRequest, errors: list[FieldError]) -> Commune | None:
    places = vocabulary.places
    commune = places.get(request.commune)
    if request.province not in places.provinces and request.province not in places.old_provinces:
        allowed = ", ".join(sorted(places.provinces))
        errors.append(
            FieldError(
                "province",
                f"không có tỉnh, thành phố mã {request.province}; mã hợp lệ: {allowed}",
                f"there is no province {request.province}; codes: {allowed}",
            )
        )
    if commune is None:
        errors.append(_unknown_commune("commune", request.commune))
        return None
    if not commune.belongs_to(request.province, request.filed_on):
        name = commune.province_name
        errors.append(
            FieldError(
                "commune",
                f"{commune.name} ({commune.code}) thuộc {name}, mã tỉnh {commune.province}, "
                f"không thuộc tỉnh {request.province}",
                f"{commune.name} ({commune.code}) is in {name}, province code {commune.province}, "
                f"not in province {request.province}",
            )
        )
    return commune


def _groups(vocabulary: Vocabulary, request: QuoteRequest, errors: list[FieldError]) -> frozenset[str]:
    found: set[str] = set()
    for index, slug in enumerate(request.applicant_groups):
        if slug not in vocabulary.groups:
            allowed = _listed(vocabulary.groups)
            errors.append(
                FieldError(
                    f"applicant_groups.{index}",
                    f"không có nhóm {slug!r}; các nhóm: {allowed}",
                    f"there is no group {slug!r}; groups: {allowed}",
                )
            )
        else:
            found |= vocabulary.implied[slug]
    if request.applicant_groups and request.applicant_kind == "business":
        errors.append(
            FieldError(
                "applicant_groups",
                "nhóm đối tượng chỉ áp dụng cho cá nhân; hãy bỏ trống khi người nộp là doanh nghiệp",
                "applicant groups are for persons; leave this empty when the applicant is a business",
            )
        )
    return frozenset(found)


def _measures(
    vocabulary: Vocabulary,
    procedure: Procedure | None,
    case: str | None,
    request: QuoteRequest,
    errors: list[FieldError],
) -> tuple[dict[str, int], dict[str, int]]:
    quantities = dict(request.quantities)
    facts: dict[str, int] = {}
    for known, sent, field in (
        (vocabulary.quantities, request.quantities, "quantities"),
        (vocabulary.facts, request.facts, "facts"),
    ):
        for name in set(sent) - known:
            allowed = _listed(known)
            errors.append(
                FieldError(
                    f"{field}.{name}",
                    f"danh mục không dùng tên {name!r}; các tên: {allowed}",
                    f"the catalogue does not use the name {name!r}; names: {allowed}",
                )
            )
    for name, value in request.facts.items():
        if isinstance(value, int):
            facts[name] = value
        elif name in vocabulary.facts:
            errors.append(FieldError(f"facts.{name}", "phải là số nguyên", "must be a whole number"))
    if procedure is not None:
        for quantity in procedure.quantities:
            if quantity.name not in quantities and quantity.default is not None:
                quantities[quantity.name] = quantity.default
            elif quantity.name not in quantities:
                errors.append(_missing(f"quantities.{quantity.name}"))
        if case is not None or not procedure.cases:
            errors += [_missing(f"facts.{name}") for name in facts_of(procedure, case) if name not in request.facts]
    return quantities, facts


def _missing(field: str) -> FieldError:
    return FieldError(
        field,
        "thiếu số liệu này; hãy gửi một số nguyên",
        "this is missing; send a whole number",
    )


def _postal_errors(request: QuoteRequest) -> list[FieldError]:
    postal = request.postal
    if postal.cash_on_delivery and not (postal.send or postal.return_result):
        return [
            FieldError(
                "postal.cash_on_delivery",
                "chỉ thu hộ khi có gửi hồ sơ hoặc trả kết quả qua bưu chính; hãy chọn send hoặc return_result",
                "the post collects money only on a leg it carries; choose send or return_result",
            )
        ]
    return []
