"""What compose.yaml tells our processes is what their settings classes ask for, no more and no less."""

from collections.abc import Mapping

import pytest
from pydantic_settings import BaseSettings

from services.fees.settings import FeesSettings
from services.payment.settings import PaymentSettings
from services.postal.settings import PostalSettings
from tests.deploy import composition
from workflows.settings import ApiSettings, WorkerSettings

SETTINGS: dict[str, tuple[type[BaseSettings], str]] = {
    "fees": (FeesSettings, "FEES_"),
    "payment": (PaymentSettings, "PAYMENT_"),
    "postal": (PostalSettings, "POSTAL_"),
    "workflows-api": (ApiSettings, "WORKFLOWS_"),
    "worker": (WorkerSettings, "WORKFLOWS_"),
}


def settings_of(process: str, environment: Mapping[str, str], patch: pytest.MonkeyPatch) -> BaseSettings:
    """The settings object of a process started with what compose would give it."""
    settings, prefix = SETTINGS[process]
    for name, value in composition.environment_of(process, environment).items():
        assert name.startswith(prefix), f"{process}: {name}"
        patch.setenv(name, value)
    return settings()


def test_every_process_has_a_settings_class_here() -> None:
    assert set(composition.processes()) == set(SETTINGS)


@pytest.mark.parametrize("process", sorted(SETTINGS))
def test_every_variable_is_a_field(process: str) -> None:
    settings, prefix = SETTINGS[process]
    names = {name.removeprefix(prefix).lower() for name in composition.services()[process]["environment"]}

    assert names - set(settings.model_fields) == set()


@pytest.mark.parametrize("process", sorted(SETTINGS))
def test_every_required_field_is_set(process: str) -> None:
    settings, prefix = SETTINGS[process]
    required = {name for name, field in settings.model_fields.items() if field.is_required()}
    names = {name.removeprefix(prefix).lower() for name in composition.services()[process]["environment"]}

    assert required - names == set()


@pytest.mark.parametrize("process", sorted(SETTINGS))
def test_settings_are_built_from_the_composed_environment(
    process: str, dotenv: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(process, dotenv, monkeypatch)

    given = settings.model_dump()
    for name, value in composition.environment_of(process, dotenv).items():
        field = name.removeprefix(SETTINGS[process][1]).lower()
        assert (given[field] is None) == (value == ""), name


@pytest.mark.parametrize("process", ["fees", "payment", "postal", "workflows-api"])
def test_the_issuer_is_the_realm_that_is_imported(
    process: str, dotenv: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(process, dotenv, monkeypatch).model_dump()

    assert str(settings["issuer"]) == "https://dangnhap.example.gov.vn/realms/lien-thong"
    assert settings["audience"] == "lien-thong"


def test_services_and_workflow_api_share_the_webhook_secrets(dotenv: dict[str, str]) -> None:
    api = composition.environment_of("workflows-api", dotenv)
    for service in ("fees", "payment", "postal"):
        own = composition.environment_of(service, dotenv)

        assert own[f"{service.upper()}_WEBHOOK_SECRET"] == api[f"WORKFLOWS_{service.upper()}_WEBHOOK_SECRET"]
        assert own[f"{service.upper()}_WEBHOOK_URL"] == f"http://workflows-api:8000/webhooks/{service}"


@pytest.mark.parametrize("service", ["fees", "payment", "postal"])
def test_migrations_go_to_the_database_of_the_service(service: str, dotenv: dict[str, str]) -> None:
    job = composition.environment_of(f"{service}-migrations", dotenv)
    process = composition.environment_of(service, dotenv)
    name = f"{service.upper()}_DATABASE_URL"

    assert job == {name: process[name]}


def test_the_account_reconciled_is_the_account_that_collects(dotenv: dict[str, str]) -> None:
    api = composition.environment_of("workflows-api", dotenv)
    payment = composition.environment_of("payment", dotenv)

    assert api["WORKFLOWS_COLLECTING_ACCOUNT"] == payment["PAYMENT_BANK_ACCOUNT"]


@pytest.mark.parametrize("name", ["PAYMENT_GATEWAY_KEY", "FEES_DATABASE_PASSWORD", "IDENTITY_PUBLIC_URL"])
def test_a_missing_value_stops_the_start(name: str, dotenv: dict[str, str]) -> None:
    incomplete = {key: value for key, value in dotenv.items() if key != name}

    with pytest.raises(composition.MissingVariableError, match=f"{name} is not set"):
        [composition.environment_of(service, incomplete) for service in composition.services()]
