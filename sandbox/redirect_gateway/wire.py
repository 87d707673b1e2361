"""The wire of VNPAY-type gateways as the gateway speaks it: written from its public description, sharing nothing with
whoever integrates it, so that a wrong signature fails here as it would there."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime
from urllib.parse import parse_qsl, urlencode

from sandbox.wire import VIETNAM

Text = dict[str, str]


def digest(secret: str, data: str) -> str:
    return hmac.new(secret.encode(), data.encode(), hashlib.sha512).hexdigest()


def with_hash(secret: str, parameters: Mapping[str, str]) -> str:
    """A query string signed over its sorted parameters."""
    data = urlencode(sorted((name, value) for name, value in parameters.items() if value))
    return f"{data}&vnp_SecureHash={digest(secret, data)}"


def checked_query(secret: str, query: str) -> Text | None:
    """The parameters of a query string; None when its signature is not right."""
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    given = parameters.pop("vnp_SecureHash", "")
    parameters.pop("vnp_SecureHashType", None)
    data = urlencode(sorted((name, value) for name, value in parameters.items() if value))
    return parameters if hmac.compare_digest(digest(secret, data), given.lower()) else None


def over(secret: str, document: Mapping[str, str], names: Iterable[str]) -> str:
    """The hash of a message: the named members joined by bars."""
    return digest(secret, "|".join(document.get(f"vnp_{name}", "") for name in names))


QUERY = ["RequestId", "Version", "Command", "TmnCode", "TxnRef", "TransactionDate", "CreateDate", "IpAddr", "OrderInfo"]
REFUND = [
    "RequestId",
    "Version",
    "Command",
    "TmnCode",
    "TransactionType",
    "TxnRef",
    "Amount",
    "TransactionNo",
    "TransactionDate",
    "CreateBy",
    "CreateDate",
    "IpAddr",
    "OrderInfo",
]
QUERY_ANSWER = [
    "ResponseId",
    "Command",
    "ResponseCode",
    "Message",
    "TmnCode",
    "TxnRef",
    "Amount",
    "BankCode",
    "PayDate",
    "TransactionNo",
    "TransactionType",
    "TransactionStatus",
    "OrderInfo",
    "PromotionCode",
    "PromotionAmount",
]
REFUND_ANSWER = QUERY_ANSWER[:-2]


def stamp(moment: float) -> str:
    """Unix time as the wire writes it: fourteen digits on the wall in Việt Nam."""
    return datetime.fromtimestamp(moment, VIETNAM).strftime("%Y%m%d%H%M%S")
