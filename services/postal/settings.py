"""What the postal service is told by its environment (`POSTAL_…`)."""

from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from kit.settings import ServiceSettings, settings_config

TEST_COUNTRIES = ("XX", "ZZ")
"""Codes that ISO 3166-1 leaves to users: numbers under them can never belong to a real operator."""

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
    hold_days: Annotated[int, Field(ge=1, le=60)] = 10
    """How long a post office keeps an item for its receiver."""

    @model_validator(mode="after")
    def _the_secret_is_long(self) -> Self:
        if len(self.label_secret.get_secret_value()) < 32:
            raise ValueError("label_secret needs at least 32 characters")
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
