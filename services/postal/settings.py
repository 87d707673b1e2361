"""What the postal service is told by its environment (`POSTAL_…`)."""

from typing import Annotated, Self

from pydantic import Field, HttpUrl, SecretStr, model_validator

from kit.settings import ServiceSettings, settings_config

TEST_COUNTRIES = ("XX", "ZZ")
"""Codes that ISO 3166-1 leaves to users: numbers under them can never belong to a real operator."""

Days = Annotated[int, Field(ge=1, le=120)]

_TEST_RANGE = (10_000_000, 19_999_999)


class PostalSettings(ServiceSettings):
    """Settings of the postal service. Hours and days are whole numbers."""

    model_config = settings_config(env_prefix="POSTAL_")

    max_body_bytes: Annotated[int, Field(gt=0)] = 4 * 1024 * 1024
    """A full batch of 3,000 courier events with evidence is about 2.5 MiB."""
    label_secret: SecretStr
    """Key of the short code in a label's QR: whoever shows it has seen the envelope. At least 32 characters."""
    s10_indicator: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "RR"
    """Service indicator of the item numbers (UPU S10): RA–RZ are registered items."""
    s10_country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "VN"
    """Country of the designated operator who lent the range; XX or ZZ outside production."""
    s10_first_serial: Annotated[int, Field(ge=0, le=99_999_999)] | None = None
    s10_last_serial: Annotated[int, Field(ge=0, le=99_999_999)] | None = None
    silence_hours: Annotated[int, Field(ge=1, le=24 * 30)] = 48
    """An item on its way that nobody has scanned for so long is shown as a problem."""
    vnpost_url: HttpUrl | None = None
    """Address of the carrier's partner interface; none, when this installation works without it."""
    vnpost_token: SecretStr | None = None
    vnpost_webhook_secret: SecretStr | None = None
    """Key of the carrier's signature under its messages. At least 32 characters."""
    hold_days: Annotated[int, Field(ge=1, le=60)] = 10
    """How long a post office keeps an item for its receiver."""

    evidence_store: str = ".run/evidence"
    """Where photos, signatures and receipts lie: a folder, or `s3://bucket/prefix` of any S3-compatible store."""
    evidence_endpoint: HttpUrl | None = None
    """Address of an S3-compatible store other than Amazon's."""
    evidence_region: str | None = None
    evidence_access_key_id: str | None = None
    evidence_secret_access_key: SecretStr | None = None
    evidence_max_bytes: Annotated[int, Field(ge=64 * 1024, le=100 * 1024 * 1024)] = 2 * 1024 * 1024
    evidence_keep_days: Annotated[int, Field(ge=180)] = 3_650
    """Evidence is taken away so long after it was stored; six months is the time in which a claim can be made."""

    saturdays_worked: bool = False
    """Whether the post's working week has six days; deadlines in working days are then shorter."""
    pickup_days: Days = 2
    """Working days from booking to pickup, when no time was agreed."""
    first_attempt_days: Days = 6
    first_attempt_days_near: Days = 3
    """Working days from pickup to the first attempt; `near` when both ends are in one commune."""
    delivery_days: Days = 8
    delivery_days_near: Days = 5
    """The published transit time in working days from pickup: a claim for lateness is counted from its end."""
    next_attempt_days: Days = 2
    movement_hours: Annotated[int, Field(ge=1, le=24 * 30)] = 48
    movement_hours_near: Annotated[int, Field(ge=1, le=24 * 30)] = 24
    """Hours on working days after which an item that nobody scanned becomes a case."""
    custody_hours: Annotated[int, Field(ge=1, le=24 * 7)] = 4
    """How long a handover may lack its acceptance."""
    evidence_hours: Annotated[int, Field(ge=1, le=24 * 7)] = 24
    """How long a delivery may lack its proof."""
    presumed_lost_days: Days = 10
    """Working days without a scan after which an item is presumed lost and its claim lies ready."""
    longest_stop_days: Days = 14
    """How long a stopped clock stands still while nobody releases it; days of the calendar."""
    link_days: Annotated[int, Field(ge=1, le=365)] = 60
    """How long a citizen's link opens the page of a shipment."""
    float_limit_dong: Annotated[int, Field(ge=0)] = 20_000_000
    """Cash that a courier may carry; more is shown as a problem."""
    float_hours: Annotated[int, Field(ge=1, le=24 * 14)] = 24
    """How long cash may stay in a courier's bag before it is shown as a problem."""

    @model_validator(mode="after")
    def _the_secret_is_long(self) -> Self:
        if len(self.label_secret.get_secret_value()) < 32:
            raise ValueError("label_secret needs at least 32 characters")
        return self

    @model_validator(mode="after")
    def _the_carrier_is_complete(self) -> Self:
        parts = (self.vnpost_url, self.vnpost_token, self.vnpost_webhook_secret)
        if any(part is not None for part in parts) and None in parts:
            raise ValueError("vnpost_url, vnpost_token and vnpost_webhook_secret go together")
        if self.vnpost_webhook_secret is not None and len(self.vnpost_webhook_secret.get_secret_value()) < 32:
            raise ValueError("vnpost_webhook_secret needs at least 32 characters")
        return self

    @model_validator(mode="after")
    def _numbers_are_lent_not_guessed(self) -> Self:
        first, last = self.s10_first_serial, self.s10_last_serial
        if (first is None) != (last is None):
            raise ValueError("s10_first_serial and s10_last_serial go together")
        if first is None and self.s10_country not in TEST_COUNTRIES:
            raise ValueError("take a range of item numbers from the operator: s10_first_serial and s10_last_serial")
        if first is not None and last is not None and last < first:
            raise ValueError("s10_last_serial is below s10_first_serial")
        return self

    @property
    def s10_range(self) -> tuple[int, int]:
        """First and last serial of the range in use."""
        if self.s10_first_serial is None or self.s10_last_serial is None:
            return _TEST_RANGE
        return self.s10_first_serial, self.s10_last_serial
