"""The gateway's transaction API: questions about orders and refunds, and requests for refunds."""

import secrets
import sqlite3

from sandbox.redirect_gateway.book import Book
from sandbox.redirect_gateway.wire import QUERY, QUERY_ANSWER, REFUND, REFUND_ANSWER, Text, over, stamp

_MESSAGES = {
    "00": "Success",
    "02": "Invalid terminal",
    "03": "Invalid data format",
    "91": "Transaction not found",
    "94": "Duplicate request",
    "95": "Transaction cannot be refunded",
    "97": "Invalid checksum",
}


def answered(book: Book, document: Text) -> Text:
    """The sealed answer to one message."""
    command = document.get("vnp_Command", "")
    names = {"querydr": QUERY, "refund": REFUND}.get(command)
    if names is None:
        return _bare("03")
    if over(book.settings.secret, document, names) != document.get("vnp_SecureHash", "").lower():
        return _bare("97")
    if document.get("vnp_TmnCode") != book.settings.terminal:
        return _bare("02")
    if not all(document.get(f"vnp_{name}") for name in names if name != "TransactionNo"):
        return _bare("03")
    with book.state.transaction():
        book.settle_due_refunds()
        members = _queried(book, document) if command == "querydr" else _refund(book, document)
    answer = {
        "vnp_ResponseId": secrets.token_hex(16),
        "vnp_Command": command,
        "vnp_TmnCode": book.settings.terminal,
        "vnp_TxnRef": document["vnp_TxnRef"],
        "vnp_OrderInfo": document["vnp_OrderInfo"],
        **members,
    }
    answer["vnp_Message"] = _MESSAGES[answer["vnp_ResponseCode"]]
    fields = QUERY_ANSWER if command == "querydr" else REFUND_ANSWER
    return {**answer, "vnp_SecureHash": over(book.settings.secret, answer, fields)}


def _bare(code: str) -> Text:
    return {"vnp_ResponseCode": code, "vnp_Message": _MESSAGES[code]}


def _queried(book: Book, document: Text) -> Text:
    order = book.order(document["vnp_TxnRef"], document["vnp_TransactionDate"])
    if order is None:
        return {"vnp_ResponseCode": "91"}
    number = document.get("vnp_TransactionNo") or "0"
    if number != "0" and number != str(order["number"]):
        refund = book.state.row("SELECT * FROM refunds WHERE orders = ? AND number = ?", [order["seq"], number])
        return _of_refund(refund) if refund else {"vnp_ResponseCode": "91"}
    return {
        "vnp_ResponseCode": "00",
        "vnp_Amount": str(order["paid_hundredths"] or order["hundredths"]),
        "vnp_BankCode": "NCB" if order["number"] else "",
        "vnp_PayDate": order["pay_date"],
        "vnp_TransactionNo": str(order["number"]),
        "vnp_TransactionType": "01",
        "vnp_TransactionStatus": order["status"],
    }


def _refund(book: Book, document: Text) -> Text:
    order = book.order(document["vnp_TxnRef"], document["vnp_TransactionDate"])
    if order is None:
        return {"vnp_ResponseCode": "91"}
    known = book.state.row("SELECT * FROM refunds WHERE request = ?", [document["vnp_RequestId"]])
    if known is not None:
        return {**_of_refund(known), "vnp_ResponseCode": "94"}
    hundredths = int(document["vnp_Amount"]) if document["vnp_Amount"].isdigit() else 0
    left = order["paid_hundredths"] - book.refunded(order)
    whole = document["vnp_TransactionType"] == "02"
    if order["status"] != "00" or not 0 < hundredths <= left or (whole and hundredths != order["paid_hundredths"]):
        return {"vnp_ResponseCode": "95"}
    book.state.execute(
        "INSERT INTO refunds (request, orders, kind, hundredths, number, status, due_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            document["vnp_RequestId"],
            order["seq"],
            document["vnp_TransactionType"],
            hundredths,
            book.next_number(),
            "05",
            book.clock() + book.settings.refund_seconds,
        ],
    )
    made = book.state.row("SELECT * FROM refunds WHERE request = ?", [document["vnp_RequestId"]])
    assert made is not None
    return {**_of_refund(made), "vnp_PayDate": stamp(book.clock())}


def _of_refund(refund: sqlite3.Row) -> Text:
    return {
        "vnp_ResponseCode": "00",
        "vnp_Amount": str(refund["hundredths"]),
        "vnp_BankCode": "NCB",
        "vnp_TransactionNo": str(refund["number"]),
        "vnp_TransactionType": refund["kind"],
        "vnp_TransactionStatus": refund["status"],
    }
