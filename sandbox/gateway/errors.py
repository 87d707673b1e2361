"""How the gateway refuses: one exception per error type of its wire format."""

from typing import Any


class ApiError(Exception):
    """A refusal, with the HTTP status and the members of the wire's `error` object.

    `kept` says whether the answer is remembered under the request's Idempotency-Key: the gateway
    remembers what happened once work began, not that a request was malformed.
    """

    def __init__(
        self,
        status: int,
        error_type: str,
        message: str,
        *,
        kept: bool = True,
        **members: Any,  # noqa: ANN401 - whatever JSON the wire carries
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kept = kept
        self.error = {"type": error_type, "message": message, **members}

    def body(self) -> dict[str, Any]:
        return {"error": self.error}


def invalid_parameter(message: str, param: str, code: str | None = None) -> ApiError:
    """A parameter that is unknown, missing or of the wrong type."""
    members = {"code": code} if code else {}
    return ApiError(400, "invalid_request_error", message, kept=False, param=param, **members)


def unexpected_state(message: str) -> ApiError:
    """The right request at the wrong moment."""
    return ApiError(400, "invalid_request_error", message, code="payment_intent_unexpected_state")


def no_such(noun: str, identifier: str, param: str, *, status: int = 404) -> ApiError:
    return ApiError(
        status,
        "invalid_request_error",
        f"No such {noun}: '{identifier}'",
        code="resource_missing",
        param=param,
        kept=False,
    )
