"""Reads a statement file in whichever form a bank sends it. Pure."""

from services.payment.reconciliation.statements.camt import read_camt
from services.payment.reconciliation.statements.lines import ParsedStatement, StatementUnreadable, by_day
from services.payment.reconciliation.statements.sheets import read_sheet
from services.payment.reconciliation.statements.swift import read_swift
from services.payment.reconciliation.statements.tables import decoded


def read_statements(content: bytes) -> list[ParsedStatement]:
    """The statements of a file, one a day and account, oldest first.

    camt.052, .053 and .054 of any version, MT940 and MT942, and the CSV, XLSX or HTML tables of banks. Raises
    StatementUnreadable: a file is read whole or not at all.
    """
    head = content.lstrip(b"\xef\xbb\xbf \r\n\t")[:2_000]
    if not head:
        raise StatementUnreadable("Tệp trống.", "The file is empty.")
    if _is_xml(head):
        found = read_camt(content)
    elif head.startswith((b":20:", b"{1:")) or b"\n:25:" in head or b"\n:60F:" in head:
        found = read_swift(decoded(content))
    else:
        found = read_sheet(content)
    days = [day for statement in found for day in by_day(statement)]
    return sorted(days, key=lambda each: (each.account, each.business_date, each.identity))


def _is_xml(head: bytes) -> bool:
    start = head.lower()
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return b"<\x00?" in start or b"\x00<\x00?" in start
    return start.startswith(b"<") and not any(tag in start for tag in (b"<html", b"<table", b"<!doctype html"))
