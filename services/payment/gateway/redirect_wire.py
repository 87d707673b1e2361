"""The wire of redirect gateways (VNPAY's 2.1.0): sorted parameters under HMAC-SHA512, amounts times a hundred.

What comes from outside is believed only after its secure hash has been compared, before anything in it is looked at.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl, quote_plus
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
"""Times on this wire are wall-clock times of Việt Nam without an offset."""
VERSION = "2.1.0"
HASH = "vnp_SecureHash"

QUERY_FIELDS = (
    "vnp_RequestId",
    "vnp_Version",
    "vnp_Command",
    "vnp_TmnCode",
    "vnp_TxnRef",
    "vnp_TransactionDate",
    "vnp_CreateDate",
    "vnp_IpAddr",
    "vnp_OrderInfo",
)
REFUND_FIELDS = (
    "vnp_RequestId",
    "vnp_Version",
    "vnp_Command",
    "vnp_TmnCode",
    "vnp_TransactionType",
    "vnp_TxnRef",
    "vnp_Amount",
    "vnp_TransactionNo",
    "vnp_TransactionDate",
    "vnp_CreateBy",
    "vnp_CreateDate",
    "vnp_IpAddr",
    "vnp_OrderInfo",
)
QUERY_ANSWER_FIELDS = (
    "vnp_ResponseId",
    "vnp_Command",
    "vnp_ResponseCode",
    "vnp_Message",
    "vnp_TmnCode",
    "vnp_TxnRef",
    "vnp_Amount",
    "vnp_BankCode",
    "vnp_PayDate",
    "vnp_TransactionNo",
    "vnp_TransactionType",
    "vnp_TransactionStatus",
    "vnp_OrderInfo",
    "vnp_PromotionCode",
    "vnp_PromotionAmount",
)
REFUND_ANSWER_FIELDS = (
    "vnp_ResponseId",
    "vnp_Command",
    "vnp_ResponseCode",
    "vnp_Message",
    "vnp_TmnCode",
    "vnp_TxnRef",
    "vnp_Amount",
    "vnp_BankCode",
    "vnp_PayDate",
    "vnp_TransactionNo",
    "vnp_TransactionType",
    "vnp_TransactionStatus",
    "vnp_OrderInfo",
)


class NotGenuine(ValueError):
    """The secure hash is missing, wrong, or covers something ambiguous."""


@dataclass(frozen=True, slots=True)
class Callback:
    """What a genuine IPN or return says. `amount_hundredths` is as it came; only an amount of whole đồng is a multiple
    of a hundred."""

    terminal: str
    reference: str
    amount_hundredths: int
    response_code: str
    transaction_status: str
    transaction_no: str
    digest: str
    """The secure hash: the same for a repeat, another for anything else."""

    @property
    def paid(self) -> bool:
        """Whether it says that the money was taken."""
        return self.response_code == "00" and self.transaction_status == "00"


def mac(secret: str, data: str) -> str:
    """HMAC-SHA512 in lower-case hexadecimal digits."""
    return hmac.new(secret.encode(), data.encode(), hashlib.sha512).hexdigest()


def encoded(parameters: Mapping[str, str]) -> str:
    """Parameters in the order of their names, form-encoded: what is signed, and what is sent."""
    return "&".join(f"{quote_plus(name)}={quote_plus(parameters[name])}" for name in sorted(parameters))


def signed_query(secret: str, parameters: Mapping[str, str]) -> str:
    """A query string with its secure hash. Empty parameters are left out, as the wire asks."""
    data = encoded({name: value for name, value in parameters.items() if value != ""})
    return f"{data}&{HASH}={mac(secret, data)}"


def verified_callback(secret: str, query: str) -> Callback:
    """What the query string of an IPN or a return says. Raises NotGenuine before anything in it is believed.

    Parameters of others (a return address's own) are neither signed nor read.
    """
    if not secret:
        raise ValueError("an empty secret would believe everybody")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=60, errors="strict")
    except (ValueError, UnicodeDecodeError) as error:
        raise NotGenuine("not a query string") from error
    if "\x00" in query or "%00" in query:
        raise NotGenuine("a character that is not text")
    ours = [(name, value) for name, value in pairs if name.startswith("vnp_")]
    parameters = dict(ours)
    if len(parameters) != len(ours):
        raise NotGenuine("a parameter occurs twice")
    given = parameters.pop(HASH, "")
    parameters.pop("vnp_SecureHashType", None)
    expected = mac(secret, encoded({name: value for name, value in parameters.items() if value != ""}))
    if not hmac.compare_digest(expected.encode(), given.lower().encode()):
        raise NotGenuine("the secure hash is wrong")
    amount = parameters.get("vnp_Amount", "")
    return Callback(
        terminal=parameters.get("vnp_TmnCode", ""),
        reference=parameters.get("vnp_TxnRef", ""),
        amount_hundredths=int(amount) if re.fullmatch(r"[0-9]{1,17}", amount) else 0,
        response_code=parameters.get("vnp_ResponseCode", ""),
        transaction_status=parameters.get("vnp_TransactionStatus", ""),
        transaction_no=parameters.get("vnp_TransactionNo", ""),
        digest=expected,
    )


def sealed(secret: str, document: Mapping[str, str], fields: Sequence[str]) -> dict[str, str]:
    """A message of the query and refund calls with its secure hash over `fields`, joined by bars."""
    return {**document, HASH: mac(secret, "|".join(document.get(name, "") for name in fields))}


def is_sealed(secret: str, document: Mapping[str, str], fields: Sequence[str]) -> bool:
    """Whether a message carries the right secure hash over `fields`."""
    expected = mac(secret, "|".join(document.get(name, "") for name in fields))
    return hmac.compare_digest(expected.encode(), document.get(HASH, "").lower().encode())


def stamp(moment: datetime) -> str:
    """A time as this wire writes it: `yyyyMMddHHmmss` on the wall in Việt Nam."""
    return moment.astimezone(ZONE).strftime("%Y%m%d%H%M%S")


def moment_of(text: str) -> datetime:
    """The time behind a stamp. Raises ValueError."""
    return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=ZONE)
