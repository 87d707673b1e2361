"""What the payment service is told by its environment: `PAYMENT_…`."""

from typing import Annotated, Literal

from pydantic import Field, HttpUrl, SecretStr

from kit.settings import ServiceSettings, settings_config

Seconds = Annotated[int, Field(ge=1, le=30 * 86_400)]


class PaymentSettings(ServiceSettings):
    """Every variable of the payment service. Times in seconds unless the name says otherwise."""

    model_config = settings_config(env_prefix="PAYMENT_")

    max_body_bytes: Annotated[int, Field(gt=0)] = 32 * 1024 * 1024
    """Largest request; a busy day's bank statement has to fit."""

    gateway_url: HttpUrl
    """Base address of the card gateway (Stripe wire)."""
    gateway_key: SecretStr
    """Secret key of our account at the gateway."""
    gateway_webhook_secret: SecretStr
    """Signs what the gateway tells us. An empty one is refused at start-up."""
    gateway_version: str = "2022-11-15"
    """Wire version asked for with every call."""
    gateway_pay_page: HttpUrl | None = None
    """Base address of the hosted pay page as browsers reach it; the gateway's own address when unset."""
    gateway_timeout_seconds: Annotated[float, Field(gt=0, le=30)] = 8.0
    """One call, without an answer for this long, has an unknown effect."""
    gateway_total_seconds: Annotated[float, Field(gt=0, le=45)] = 20.0
    """All retries of one call together."""

    card_gateway: Literal["wire", "redirect"] = "wire"
    """Where new card attempts go: the gateway above, or the redirect gateway below. Old ones stay where they are."""
    redirect_pay_url: HttpUrl | None = None
    """Page of a redirect gateway (VNPAY's wire 2.1.0) to which payers are led. Unset: there is none."""
    redirect_api_url: HttpUrl | None = None
    """Address of its transaction API (queries and refunds)."""
    redirect_terminal: Annotated[str, Field(min_length=1, max_length=20)] | None = None
    """Our terminal code there."""
    redirect_secret: SecretStr | None = None
    """Signs links, notices and answers of the redirect gateway."""

    bank_url: HttpUrl
    """Base address of the collecting bank's API (transfer orders)."""
    bank_key: SecretStr
    """Bearer key for transfer orders."""
    bank_notice_secret: SecretStr
    """Signs the bank's credit notices (Standard Webhooks). An empty one is refused at start-up."""
    bank_bin: Annotated[str, Field(pattern=r"^\d{6}$")]
    """BIN of the collecting bank in the NAPAS list."""
    bank_account: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{4,19}$")]
    """Collecting account."""
    bank_holder: Annotated[str, Field(min_length=1, max_length=70)]
    """Holder of the collecting account as the bank writes it."""

    collecting_agency_name: str
    """Named on receipts and pay pages as the body that collects."""
    receipt_series: Annotated[str, Field(pattern=r"^[A-Z0-9\-]{2,12}$")] = "LT26"
    """Receipt numbers are gap-free within a series."""
    receipt_secret: SecretStr
    """Makes receipt check codes and pay-page tokens unguessable. At least 32 characters."""

    card_attempt_seconds: Seconds = 30 * 60
    """Life of a card attempt when the caller names none."""
    card_authorisation_seconds: Seconds = 6 * 86_400
    """How long money reserved on a card waits for its capture before it is released; never beyond the bill's own time.
    Card networks let an authorisation lapse after about seven days."""
    vietqr_attempt_seconds: Seconds = 15 * 60
    """Life of a VietQR attempt when the caller names none."""
    cash_attempt_seconds: Seconds = 30 * 86_400
    """Life of a cash attempt when the caller names none; never beyond the bill's own."""
    sweep_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    """Pause between two rounds of expiry, re-queries and refund execution."""
    refund_after_settlement: Literal["treasury_voucher", "gateway"] = "treasury_voucher"
    """How a card's money goes back once the gateway has settled it: by an order to the State Treasury, or still by the
    gateway where the agency keeps its revenue on the collecting account."""
    bank_overdue_days: Annotated[int, Field(ge=1, le=30)] = 3
    """Days after which money expected on a statement and not seen there is a break."""
