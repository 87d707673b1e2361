"""Business refusals and bad input, each with a type, a status and a sentence in both languages (RFC 9457).

    Problem
    ├── BadInput          422  the request cannot be right, whatever the moment
    ├── MissingKey        400  a write without Idempotency-Key
    ├── Unauthenticated   401  no token, or a token we do not believe
    ├── Forbidden         403  a good token without the right
    ├── NotFound          404  not there, or not yours
    ├── WrongMoment       409  right request, wrong state
    │   └── InFlight      409  the same key is being worked on
    ├── StaleVersion      412  the thing changed since it was read
    ├── TooLarge          413
    ├── KeyReused         422  the same key with another body
    ├── TooMany           429
    └── Unavailable       503  a neighbour does not answer

Services subclass these with a `kind` of their own. Rendering lives in `kit.app`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: where it is, what is wrong, and what to send instead."""

    field: str
    vi: str
    en: str


class Problem(Exception):
    """A refusal that the caller can act on. `vi` and `en` say what happened, why, and what to do next."""

    kind: ClassVar[str] = "problem"
    status: ClassVar[int] = 400
    title_vi: ClassVar[str] = "Yêu cầu không thực hiện được"
    title_en: ClassVar[str] = "The request cannot be carried out"

    def __init__(
        self,
        vi: str,
        en: str,
        *,
        fields: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(en)
        self.vi = vi
        self.en = en
        self.fields = tuple(fields)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


class BadInput(Problem):
    kind = "bad-input"
    status = 422
    title_vi = "Dữ liệu gửi lên chưa đúng"
    title_en = "The input is not valid"


class MissingKey(Problem):
    kind = "idempotency-key-missing"
    status = 400
    title_vi = "Thiếu khóa chống gửi trùng"
    title_en = "Idempotency-Key is missing"


class Unauthenticated(Problem):
    kind = "unauthenticated"
    status = 401
    title_vi = "Chưa xác thực"
    title_en = "Not authenticated"


class Forbidden(Problem):
    kind = "forbidden"
    status = 403
    title_vi = "Không có quyền"
    title_en = "Not allowed"


class NotFound(Problem):
    kind = "not-found"
    status = 404
    title_vi = "Không tìm thấy"
    title_en = "Not found"


class WrongMoment(Problem):
    kind = "wrong-moment"
    status = 409
    title_vi = "Chưa đúng thời điểm"
    title_en = "Not possible in the present state"


class InFlight(WrongMoment):
    kind = "idempotency-key-in-flight"
    title_vi = "Yêu cầu cùng khóa đang được xử lý"
    title_en = "The same key is being worked on"


class StaleVersion(Problem):
    kind = "stale-version"
    status = 412
    title_vi = "Dữ liệu đã thay đổi"
    title_en = "The data has changed since it was read"


class TooLarge(Problem):
    kind = "too-large"
    status = 413
    title_vi = "Nội dung quá lớn"
    title_en = "The body is too large"


class KeyReused(Problem):
    kind = "idempotency-key-reused"
    status = 422
    title_vi = "Khóa chống gửi trùng đã dùng cho nội dung khác"
    title_en = "Idempotency-Key was used with another body"


class TooMany(Problem):
    kind = "too-many-requests"
    status = 429
    title_vi = "Quá nhiều yêu cầu"
    title_en = "Too many requests"


class Unavailable(Problem):
    kind = "unavailable"
    status = 503
    title_vi = "Dịch vụ tạm thời chưa sẵn sàng"
    title_en = "The service is not available for the moment"
