"""Reads ISO 20022 cash management: camt.053 statements, camt.052 reports and camt.054 notices, any version. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from services.payment.reconciliation.statements.figures import day_of, whole_dong
from services.payment.reconciliation.statements.lines import (
    Format,
    ParsedLine,
    ParsedStatement,
    StatementUnreadable,
    numbered,
)

_KINDS: dict[str, Format] = {"Stmt": "camt.053", "Rpt": "camt.052", "Ntfctn": "camt.054"}
_REMITTANCE = ("Ustrd", "Ref", "AddtlRmtInf")


def read_camt(content: bytes) -> list[ParsedStatement]:
    """Every statement, report or notice of the message. Versions differ in namespace and wrapping; both are ignored.

    Raises StatementUnreadable, also for a document type definition: a bank sends none, an attacker does.
    """
    try:
        root = fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise StatementUnreadable(
            "Tệp không phải XML hợp lệ, có thể bị cắt cụt khi tải về.",
            "The file is not valid XML; it may have been cut short.",
        ) from error
    found = [_statement(node, _KINDS[_name(node)]) for node in root.iter() if _name(node) in _KINDS]
    if not found:
        raise StatementUnreadable(
            "Tệp XML không chứa sao kê camt.052, camt.053 hoặc camt.054.",
            "The XML holds no camt.052, camt.053 or camt.054 statement.",
        )
    return found


def _statement(node: Element, form: Format) -> ParsedStatement:
    account = _found(node, "Acct/Id/Othr/Id") or _found(node, "Acct/Id/IBAN") or _found(node, "Acct/Id/PrtryAcct/Id")
    if not account:
        raise StatementUnreadable("Sao kê thiếu số tài khoản.", "The statement lacks its account.")
    opening = _balance(node, "OPBD", "PRCD", "OPAV")
    closing = _balance(node, "CLBD", "CLAV")
    if form == "camt.053" and (opening is None or closing is None):
        raise StatementUnreadable(
            "Sao kê thiếu số dư đầu kỳ hoặc số dư cuối kỳ.",
            "The statement lacks its opening or closing balance.",
        )
    end = closing[1] if closing else _period(node, "ToDtTm", "ToDt") or _made(node)
    lines: list[ParsedLine] = []
    mismatch = 0
    for entry in node:
        if _name(entry) == "Ntry" and _is_booked(entry):
            found, lacking = _lines(entry, end)
            lines += found
            mismatch += lacking
    moved = sum(line.amount_dong for line in lines)
    opened = opening[0] if opening else 0
    return ParsedStatement(
        format=form,
        account=account,
        identity=_found(node, "Id"),
        business_date=end,
        begins_on=_period(node, "FrDtTm", "FrDt"),
        opening_dong=opened,
        closing_dong=closing[0] if closing and opening else opened + moved,
        lines=numbered(lines),
        mismatch_dong=mismatch,
    )


def _lines(entry: Element, fallback: date) -> tuple[list[ParsedLine], int]:
    """The lines of an entry, and what its parts lack to make it.

    A batch whose parts add up is the parts; one that tells nothing of them is a line of its own.
    """
    whole = _line(entry, None, fallback)
    parts = [detail for each in _children(entry, "NtryDtls") for detail in _children(each, "TxDtls")]
    if len(parts) < 2:
        return [_line(entry, parts[0] if parts else None, fallback)], 0
    amounts = [_part_amount(part, whole.amount_dong) for part in parts]
    if any(amount is None for amount in amounts):
        return [whole], 0
    expanded = []
    for number, (part, amount) in enumerate(zip(parts, amounts, strict=True), start=1):
        line = _line(entry, part, fallback)
        own = _found(part, "Refs/AcctSvcrRef") or _found(part, "Refs/TxId")
        reference = own if own and own != whole.bank_reference else f"{whole.bank_reference}/{number}"
        assert amount is not None
        expanded.append(replace(line, amount_dong=amount, bank_reference=reference if whole.bank_reference else own))
    lacking = whole.amount_dong - sum(line.amount_dong for line in expanded)
    return ([whole], lacking) if lacking else (expanded, 0)


def _part_amount(part: Element, whole: int) -> int | None:
    for path in ("Amt", "AmtDtls/TxAmt/Amt", "AmtDtls/InstdAmt/Amt"):
        node = _at(part, path)
        if node is not None:
            amount = _dong(node)
            indicator = _found(part, "CdtDbtInd")
            credit = indicator == "CRDT" if indicator else whole > 0
            return amount if credit else -amount
    return None


def _line(entry: Element, detail: Element | None, fallback: date) -> ParsedLine:
    amount = _signed(entry)
    side = "Dbtr" if amount > 0 else "Cdtr"
    booked = _found(entry, "BookgDt/Dt") or _found(entry, "BookgDt/DtTm")
    value = _found(entry, "ValDt/Dt") or _found(entry, "ValDt/DtTm")
    booked_on = day_of(booked) if booked else fallback
    return ParsedLine(
        number=0,
        booked_on=booked_on,
        value_on=day_of(value) if value else booked_on,
        amount_dong=amount,
        bank_reference=_found(entry, "AcctSvcrRef") or _found(entry, "NtryRef") or _of(detail, "Refs/AcctSvcrRef"),
        content=_content(entry, detail),
        payer_account=_account(detail, side),
        payer_name=_of(detail, f"RltdPties/{side}/Pty/Nm") or _of(detail, f"RltdPties/{side}/Nm"),
        payer_bin=_bank(detail, side),
    )


def _content(entry: Element, detail: Element | None) -> str:
    told = "".join(_texts(detail)) if detail is not None else ""
    return told or _of(detail, "AddtlTxInf") or _found(entry, "AddtlNtryInf")


def _texts(detail: Element) -> Iterator[str]:
    remittance = _child(detail, "RmtInf")
    if remittance is not None:
        for node in remittance.iter():
            if _name(node) in _REMITTANCE:
                yield node.text or ""


def _account(detail: Element | None, side: str) -> str:
    base = f"RltdPties/{side}Acct/Id"
    return _of(detail, f"{base}/Othr/Id") or _of(detail, f"{base}/IBAN")


def _bank(detail: Element | None, side: str) -> str:
    base = f"RltdAgts/{side}Agt/FinInstnId"
    return _of(detail, f"{base}/ClrSysMmbId/MmbId") or _of(detail, f"{base}/BICFI") or _of(detail, f"{base}/BIC")


def _is_booked(entry: Element) -> bool:
    return (_found(entry, "Sts/Cd") or _found(entry, "Sts") or "BOOK") == "BOOK"


def _signed(node: Element) -> int:
    amount = _child(node, "Amt")
    if amount is None:
        raise StatementUnreadable("Một dòng sao kê thiếu số tiền.", "A line of the statement lacks its amount.")
    dong = _dong(amount)
    return -dong if _found(node, "CdtDbtInd") == "DBIT" else dong


def _dong(amount: Element) -> int:
    currency = amount.get("Ccy", "VND")
    if currency != "VND":
        raise StatementUnreadable(
            f"Sao kê có số tiền bằng {currency}; tài khoản thu chỉ nhận đồng Việt Nam.",
            f"The statement holds an amount in {currency}; the collecting account is in đồng (VND).",
        )
    return whole_dong(amount.text or "")


def _balance(node: Element, *codes: str) -> tuple[int, date] | None:
    for code in codes:
        for balance in _children(node, "Bal"):
            if (_found(balance, "Tp/CdOrPrtry/Cd") or _found(balance, "Tp/Cd")) == code:
                return _signed(balance), day_of(_found(balance, "Dt/Dt") or _found(balance, "Dt/DtTm"))
    return None


def _period(node: Element, *names: str) -> date | None:
    for name in names:
        if told := _found(node, f"FrToDt/{name}"):
            return day_of(told)
    return None


def _made(node: Element) -> date:
    told = _found(node, "CreDtTm")
    if not told:
        raise StatementUnreadable("Sao kê thiếu ngày.", "The statement lacks its date.")
    return day_of(told)


def _name(node: Element) -> str:
    return str(node.tag).rpartition("}")[2]


def _children(node: Element, name: str) -> list[Element]:
    return [child for child in node if _name(child) == name]


def _child(node: Element, name: str) -> Element | None:
    return next((child for child in node if _name(child) == name), None)


def _at(node: Element, path: str) -> Element | None:
    found: Element | None = node
    for name in path.split("/"):
        if found is None:
            return None
        found = _child(found, name)
    return found


def _found(node: Element, path: str) -> str:
    found = _at(node, path)
    return (found.text or "").strip() if found is not None else ""


def _of(node: Element | None, path: str) -> str:
    return _found(node, path) if node is not None else ""
