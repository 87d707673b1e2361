"""The day's statement in three forms: camt.053.001.08, MT940, and the bank's own CSV."""

import csv
import io
from datetime import datetime
from xml.etree import ElementTree as ET

from sandbox.bank.book import Day, Entry, Settings
from sandbox.wire import VIETNAM

CAMT = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"
USTRD_LENGTH = 140
MT940_LINE = 65
BANK_NAME = "NGÂN HÀNG THỬ NGHIỆM (SANDBOX)"


def camt053(day: Day, settings: Settings, *, made_at: datetime) -> bytes:
    """ISO 20022 BankToCustomerStatement; text longer than 140 goes on in a second Ustrd."""
    document = ET.Element("Document", xmlns=CAMT)
    root = ET.SubElement(document, "BkToCstmrStmt")
    identifier = f"{settings.account[-12:]}-{day.on:%Y%m%d}"
    made = made_at.astimezone(VIETNAM).isoformat(timespec="seconds")
    header = ET.SubElement(root, "GrpHdr")
    _text(header, "MsgId", f"STMT-{identifier}")
    _text(header, "CreDtTm", made)
    statement = ET.SubElement(root, "Stmt")
    _text(statement, "Id", identifier)
    _text(statement, "ElctrncSeqNb", f"{day.on:%j}".lstrip("0"))
    _text(statement, "CreDtTm", made)
    _text(statement, "FrToDt/FrDtTm", f"{day.on}T00:00:00+07:00")
    _text(statement, "FrToDt/ToDtTm", f"{day.on}T23:59:59+07:00")
    account = ET.SubElement(statement, "Acct")
    _text(account, "Id/Othr/Id", settings.account)
    _text(account, "Ccy", "VND")
    _text(account, "Ownr/Nm", settings.holder)
    _text(account, "Svcr/FinInstnId/ClrSysMmbId/MmbId", settings.bin)
    _camt_balance(statement, "OPBD", day.opening_dong, day)
    _camt_balance(statement, "CLBD", day.closing_dong, day)
    _camt_summary(statement, day)
    for entry in day.entries:
        _camt_entry(statement, entry, settings)
    ET.indent(document)
    return bytes(ET.tostring(document, encoding="utf-8", xml_declaration=True))


def mt940(day: Day, settings: Settings) -> str:
    """SWIFT MT940; the text of field 86 is wrapped every 65 characters, even within a word."""
    opening, closing = (
        f"{'C' if amount >= 0 else 'D'}{day.on:%y%m%d}VND{abs(amount)},"
        for amount in (day.opening_dong, day.closing_dong)
    )
    lines = [
        f":20:{day.on:%y%m%d}{settings.account[-10:]}",
        f":25:{settings.bin}/{settings.account}",
        f":28C:{day.on:%j}/1",
        f":60F:{opening}",
    ]
    for entry in day.entries:
        mark = "C" if entry.amount_dong > 0 else "D"
        lines.append(f":61:{day.on:%y%m%d%m%d}{mark}{abs(entry.amount_dong)},NTRFNONREF//{entry.bank_reference}")
        party = entry.counterparty
        text = f"/REMI/{entry.content}/CNTP/{party.account}/{party.bin}/{party.name}"
        wrapped = [text[at : at + MT940_LINE] for at in range(0, len(text), MT940_LINE)]
        lines.append(f":86:{wrapped[0]}")
        lines += wrapped[1:6]
    lines += [f":62F:{closing}", f":64:{closing}", "-"]
    return "\r\n".join(lines) + "\r\n"


def bank_csv(day: Day, settings: Settings) -> str:
    """What officers download: lines of header, dates as dd/MM/yyyy, thousands separated by commas."""
    output = io.StringIO(newline="")
    writer = csv.writer(output, lineterminator="\r\n")
    on = f"{day.on:%d/%m/%Y}"
    writer.writerow([BANK_NAME])
    writer.writerow(["SAO KÊ TÀI KHOẢN / ACCOUNT STATEMENT"])
    writer.writerow([])
    writer.writerow(["Số tài khoản / Account No.", settings.account, "", "Loại tiền", "VND"])
    writer.writerow(["Chủ tài khoản / Account name", settings.holder])
    writer.writerow(["Từ ngày / From", on, "", "Đến ngày / To", on])
    writer.writerow(["Số dư đầu kỳ / Opening balance", _thousands(day.opening_dong)])
    writer.writerow([])
    writer.writerow(
        [
            "STT",
            "Ngày giao dịch",
            "Ngày hiệu lực",
            "Số tham chiếu",
            "Ghi nợ",
            "Ghi có",
            "Số dư",
            "Nội dung",
            "Tên đối ứng",
            "Số tài khoản đối ứng",
            "Ngân hàng đối ứng",
        ]
    )
    running = total_debit = total_credit = 0
    for row, entry in enumerate(day.entries, start=1):
        running += entry.amount_dong
        amount = _thousands(abs(entry.amount_dong))
        total_credit += max(entry.amount_dong, 0)
        total_debit += max(-entry.amount_dong, 0)
        writer.writerow(
            [
                row,
                f"{entry.booked_at.astimezone(VIETNAM):%d/%m/%Y %H:%M:%S}",
                on,
                entry.bank_reference,
                amount if entry.amount_dong < 0 else "",
                amount if entry.amount_dong > 0 else "",
                _thousands(day.opening_dong + running),
                entry.content,
                entry.counterparty.name,
                entry.counterparty.account,
                entry.counterparty.bin,
            ]
        )
    writer.writerow(["", "Tổng cộng / Total", "", "", _thousands(total_debit), _thousands(total_credit)])
    writer.writerow(["Số dư cuối kỳ / Closing balance", _thousands(day.closing_dong)])
    writer.writerow(["Chứng từ điện tử, không cần chữ ký / Electronic document, no signature"])
    return "\ufeff" + output.getvalue()


def _camt_balance(statement: ET.Element, code: str, amount: int, day: Day) -> None:
    balance = ET.SubElement(statement, "Bal")
    _text(balance, "Tp/CdOrPrtry/Cd", code)
    _amount(balance, amount)
    _text(balance, "Dt/Dt", day.on.isoformat())


def _camt_summary(statement: ET.Element, day: Day) -> None:
    summary = ET.SubElement(statement, "TxsSummry")
    credited = [entry.amount_dong for entry in day.entries if entry.amount_dong > 0]
    debited = [-entry.amount_dong for entry in day.entries if entry.amount_dong < 0]
    for name, amounts in (("TtlCdtNtries", credited), ("TtlDbtNtries", debited)):
        _text(summary, f"{name}/NbOfNtries", str(len(amounts)))
        _text(summary, f"{name}/Sum", str(sum(amounts)))


def _camt_entry(statement: ET.Element, entry: Entry, settings: Settings) -> None:
    credit = entry.amount_dong > 0
    node = ET.SubElement(statement, "Ntry")
    _text(node, "NtryRef", str(entry.number))
    _amount(node, entry.amount_dong)
    _text(node, "Sts/Cd", "BOOK")
    booked = entry.booked_at.astimezone(VIETNAM).isoformat(timespec="seconds")
    _text(node, "BookgDt/DtTm", booked)
    _text(node, "ValDt/Dt", entry.business_date.isoformat())
    _text(node, "AcctSvcrRef", entry.bank_reference)
    _text(node, "BkTxCd/Domn/Cd", "PMNT")
    _text(node, "BkTxCd/Domn/Fmly/Cd", "RCDT" if credit else "ICDT")
    _text(node, "BkTxCd/Domn/Fmly/SubFmlyCd", "DMCT")
    details = ET.SubElement(ET.SubElement(node, "NtryDtls"), "TxDtls")
    _text(details, "Refs/AcctSvcrRef", entry.bank_reference)
    _text(details, "Refs/EndToEndId", (entry.end_to_end_reference or "NOTPROVIDED")[:35])
    _amount(details, entry.amount_dong)
    party = entry.counterparty
    other, own = ("Dbtr", "Cdtr") if credit else ("Cdtr", "Dbtr")
    parties = {
        other: (party.name, party.account),
        own: (settings.holder, settings.account),
    }
    for role in ("Dbtr", "Cdtr"):
        name, account = parties[role]
        _text(details, f"RltdPties/{role}/Pty/Nm", name)
        _text(details, f"RltdPties/{role}Acct/Id/Othr/Id", account)
    _text(details, f"RltdAgts/{other}Agt/FinInstnId/ClrSysMmbId/MmbId", party.bin)
    if not entry.content:
        return
    remittance = ET.SubElement(details, "RmtInf")
    for at in range(0, len(entry.content), USTRD_LENGTH):
        ET.SubElement(remittance, "Ustrd").text = entry.content[at : at + USTRD_LENGTH]


def _amount(parent: ET.Element, amount: int) -> None:
    ET.SubElement(parent, "Amt", Ccy="VND").text = str(abs(amount))
    _text(parent, "CdtDbtInd", "CRDT" if amount >= 0 else "DBIT")


def _text(parent: ET.Element, path: str, text: str) -> None:
    """Put `text` at `path` below `parent`, going on in elements that an earlier call began."""
    *steps, last = path.split("/")
    for step in steps:
        found = parent.find(step)
        parent = found if found is not None else ET.SubElement(parent, step)
    ET.SubElement(parent, last).text = text


def _thousands(amount: int) -> str:
    return f"{amount:,}"
