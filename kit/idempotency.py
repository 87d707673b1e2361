"""Once, in effect: a write with the same `Idempotency-Key` is done once and answered every time.

The key row commits in the same transaction as the effect. A transaction-scoped advisory lock tells a
second request that the first is still in flight; it vanishes with a dead process, so no key is ever stuck.
After 'Idempotency-Key HTTP Header Field', IETF draft-ietf-httpapi-idempotency-key-header: 400 missing,
409 in flight, 422 other body.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import Request, Response
from sqlalchemy import Column, DateTime, LargeBinary, MetaData, String, Table, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.errors import BadInput, FieldError, InFlight, KeyReused, MissingKey

HEADER = "Idempotency-Key"
MAX_KEY_LENGTH = 255

_table_definition = MetaData()

_keys = Table(
    "idempotency_key",
    _table_definition,
    Column("caller", String(200), primary_key=True),
    Column("route", String(300), primary_key=True),
    Column("key", String(MAX_KEY_LENGTH), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("status", String(3), nullable=False),
    Column("content_type", String(100), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# Built once: to build a statement anew costs every write more than to run it.
_LOCK = text("select pg_try_advisory_xact_lock(:n)")
_LOOK_UP = select(_keys.c.fingerprint, _keys.c.status, _keys.c.content_type, _keys.c.body).where(
    _keys.c.caller == bindparam("caller"), _keys.c.route == bindparam("route"), _keys.c.key == bindparam("key")
)
_STORE = insert(_keys)


def add_idempotency_table(metadata: MetaData) -> Table:
    """Give a service its own `idempotency_key` table."""
    return _keys.to_metadata(metadata)


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A key that this request holds: who calls, on what route, with which body."""

    caller: str
    route: str
    key: str
    fingerprint: str


def fingerprint_of(body: bytes) -> str:
    """SHA-256 of a body; JSON is put in canonical form first, so that spacing and order do not matter."""
    try:
        canonical = json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        canonical = body
    return hashlib.sha256(canonical).hexdigest()


async def begin_once(
    request: Request, session: AsyncSession, *, caller: str, required: bool
) -> tuple[IdempotencyKey | None, Response | None]:
    """Take the key of a write, or answer from store when the work was done before.

    `caller` is the verified client and subject: one caller never sees another's answers.
    Raises MissingKey (400), InFlight (409) or KeyReused (422).
    """
    value = request.headers.get(HEADER)
    if value is None:
        if required:
            raise MissingKey(
                f"Hãy gửi kèm tiêu đề {HEADER} (chuỗi duy nhất cho mỗi thao tác) rồi thử lại.",
                f"Send an {HEADER} header (a string unique to this operation) and try again.",
            )
        return None, None
    if not value or len(value) > MAX_KEY_LENGTH or not value.isascii() or not value.isprintable():
        message = f"1–{MAX_KEY_LENGTH} ASCII"
        raise BadInput(
            f"Tiêu đề {HEADER} không hợp lệ.",
            f"The {HEADER} header is not valid.",
            fields=[FieldError(HEADER, message, message)],
        )
    key = IdempotencyKey(
        caller=caller,
        route=f"{request.method} {request.url.path}"[:300],
        key=value,
        fingerprint=fingerprint_of(await request.body()),
    )
    lock = hashlib.sha256(f"{key.caller}\n{key.route}\n{key.key}".encode()).digest()
    number = int.from_bytes(lock[:8], "big", signed=True)
    connection = await session.connection()
    taken = await connection.scalar(_LOCK, {"n": number})
    if not taken:
        raise InFlight(
            "Yêu cầu trước với cùng khóa chưa xử lý xong; hãy chờ rồi gửi lại y nguyên.",
            "An earlier request with this key is not finished; wait, then send the same again.",
            headers={"Retry-After": "1"},
        )
    stored = (
        await connection.execute(_LOOK_UP, {"caller": key.caller, "route": key.route, "key": key.key})
    ).one_or_none()
    if stored is None:
        return key, None
    if stored.fingerprint != key.fingerprint:
        raise KeyReused(
            "Khóa này đã dùng cho một nội dung khác; hãy dùng khóa mới cho thao tác mới.",
            "This key was used with another body; use a new key for a new operation.",
        )
    replay = Response(
        content=stored.body,
        status_code=int(stored.status),
        media_type=stored.content_type,
        headers={"Idempotent-Replayed": "true"},
    )
    return key, replay


async def finish_once(session: AsyncSession, key: IdempotencyKey, response: Response) -> None:
    """Store the answer beside the effect. Only successes are stored: a refusal changed nothing."""
    if not 200 <= response.status_code < 300:
        return
    connection = await session.connection()
    await connection.execute(
        _STORE,
        {
            "caller": key.caller,
            "route": key.route,
            "key": key.key,
            "fingerprint": key.fingerprint,
            "status": str(response.status_code),
            "content_type": response.headers.get("content-type", "application/json"),
            "body": bytes(response.body),
            "created_at": datetime.now(UTC),
        },
    )
