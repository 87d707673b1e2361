"""What compose.yaml promises: no secret inside, nothing runs as root, each database seen by its service alone."""

import re

import pytest
import yaml

from deploy.secrets import TEMPLATE, unfilled
from tests.deploy import composition
from tests.deploy.conftest import ANSWERS, variables_of

SECRET_NAME = re.compile(r"(PASSWORD|SECRET|_KEY|_PWD|TOKEN|DATABASE_URL)$")
NOT_SECRET = {"WORKFLOWS_TOKEN_URL"}
OPTIONAL = {"PAYMENT_REDIRECT_SECRET"}
"""Only where there is a redirect gateway; the service refuses to start with half of one."""
DATABASE_USERS = {
    "fees-db": {"fees-db", "fees", "fees-migrations"},
    "payment-db": {"payment-db", "payment", "payment-migrations"},
    "postal-db": {"postal-db", "postal", "postal-migrations"},
    "temporal-db": {"temporal-db", "temporal", "temporal-schema"},
    "identity-db": {"identity-db", "identity"},
}


def test_every_secret_is_put_in_from_outside_and_must_be_there() -> None:
    seen = 0
    for name, service in composition.services().items():
        for variable, value in service.get("environment", {}).items():
            if not SECRET_NAME.search(variable) or variable in NOT_SECRET:
                continue
            found = composition.references(value)
            seen += 1

            assert len(found) == 1, f"{name}.{variable} is not a reference"
            assert found[0][1] == "?" or variable in OPTIONAL, f"{name}.{variable} may be empty"
            if variable.endswith("DATABASE_URL"):
                assert re.fullmatch(r"postgresql://(\w+):\$\{[^}]+\}@\1-db:5432/\1", value), value
            else:
                assert value.startswith("${"), f"{name}.{variable} has literal text"
                assert value.endswith("}"), f"{name}.{variable} has literal text"
    assert seen >= 30


def test_every_required_variable_says_what_to_do() -> None:
    for text in composition.texts(composition.services()):
        for name, kind, message in composition.references(text):
            if kind == "?":
                assert message.startswith(f"{name} is not set, "), name


def test_example_env_lists_every_variable_and_no_other() -> None:
    used = {n for text in composition.texts(composition.load()) for n, _, _ in composition.references(text)}

    assert set(variables_of(TEMPLATE.read_text(encoding="utf-8"))) == used


def test_example_env_marks_as_required_what_compose_requires_and_we_do_not_generate() -> None:
    template = TEMPLATE.read_text(encoding="utf-8")
    generated = set(re.findall(r"# generated: \w+\n([A-Z0-9_]+)=", template))
    required = {
        n
        for text in composition.texts(composition.services())
        for n, kind, _ in composition.references(text)
        if kind == "?"
    }

    assert set(unfilled(template)) == required - generated
    assert set(unfilled(template)) == set(ANSWERS)


def test_example_env_holds_no_secret() -> None:
    for name, value in variables_of(TEMPLATE.read_text(encoding="utf-8")).items():
        if SECRET_NAME.search(name) and name != "STRIPE_MOCK_KEY":
            assert value == "", name


def test_every_service_tells_its_health_or_ends() -> None:
    jobs = {name for name, service in composition.services().items() if composition.is_job(service)}

    assert jobs == {
        "temporal-schema",
        "temporal-namespace",
        "fees-migrations",
        "payment-migrations",
        "postal-migrations",
        "gateway-check",
    }
    for name, service in composition.services().items():
        assert ("healthcheck" in service) == (name not in jobs), name


def test_health_checks_use_what_the_images_have() -> None:
    tools = {name: s["healthcheck"]["test"][1] for name, s in composition.services().items() if "healthcheck" in s}

    assert set(tools.values()) == {"pg_isready", "nc", "bash", "python"}
    for name, service in composition.processes().items():
        assert tools[name] == "python"
        code = service["healthcheck"]["test"][3]
        compile(code, name, "exec")
        assert "urllib.request" in code


def test_dependencies_exist_and_wait_for_the_right_thing() -> None:
    everything = composition.services()
    for name, service in everything.items():
        for target, wanted in service.get("depends_on", {}).items():
            assert target in everything, f"{name} waits for {target}"
            job = composition.is_job(everything[target])
            expected = "service_completed_successfully" if job else "service_healthy"
            assert wanted["condition"] == expected, f"{name} waits for {target}"
            same_profile = set(everything[target].get("profiles", [])) <= set(service.get("profiles", []))
            assert same_profile, f"{name} waits for {target}, which its profile does not start"


def test_nobody_waits_in_a_circle() -> None:
    waiting = {name: set(service.get("depends_on", {})) for name, service in composition.services().items()}
    while waiting:
        free = {name for name, targets in waiting.items() if not targets & set(waiting)}
        assert free, f"a circle among {sorted(waiting)}"
        waiting = {name: targets for name, targets in waiting.items() if name not in free}


def test_services_start_only_on_a_migrated_database() -> None:
    everything = composition.services()
    for service in ("fees", "payment", "postal"):
        assert everything[service]["depends_on"][f"{service}-migrations"] == {
            "condition": "service_completed_successfully"
        }
        assert everything[f"{service}-migrations"]["command"] == ["alembic", "-n", service, "upgrade", "head"]


def test_our_images_run_as_an_ordinary_user_on_a_read_only_disk() -> None:
    assert len(composition.our_services()) == 9
    for name, service in composition.our_services().items():
        assert service["user"] == "10001:10001", name
        assert service["read_only"] is True, name


def test_only_two_containers_may_write_their_own_disk() -> None:
    writable = {name for name, service in composition.services().items() if service["read_only"] is False}

    assert writable == {"identity", "temporal-ui"}


def test_ports_are_published_on_loopback_by_the_five_that_need_it() -> None:
    published = {name: service["ports"] for name, service in composition.services().items() if "ports" in service}

    assert sorted(published) == ["fees", "identity", "payment", "postal", "workflows-api"]
    for name, ports in published.items():
        assert len(ports) == 1, name
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-80\d\d\}:80[08]0", ports[0]), ports


@pytest.mark.parametrize("database", sorted(DATABASE_USERS))
def test_a_database_is_reached_by_its_own_service_only(database: str) -> None:
    members = {name for name, service in composition.services().items() if database in service["networks"]}

    assert members == DATABASE_USERS[database]
    assert composition.load()["networks"][database] == {"internal": True}


def test_only_the_edge_leads_outside() -> None:
    document = composition.load()
    outside = {name for name, network in document["networks"].items() if not network.get("internal")}
    on_edge = {name for name, service in document["services"].items() if "edge" in service["networks"]}

    assert outside == {"edge"}
    assert on_edge == {"fees", "payment", "postal", "workflows-api", "identity"}


def test_every_neighbour_named_in_the_environment_is_on_a_shared_network(dotenv: dict[str, str]) -> None:
    everything = composition.services()
    looked_at = 0
    for name, service in everything.items():
        for value in composition.environment_of(name, dotenv).values():
            for host in re.findall(r"(?:^|@|//)([a-z][a-z-]+)(?::\d+|$)", value):
                if host not in everything:
                    continue
                shared = set(service["networks"]) & set(everything[host]["networks"])
                looked_at += 1
                assert shared or host == name, f"{name} cannot reach {host}"
    assert looked_at >= 20


def test_temporal_is_set_up_for_ever_and_for_thirty_days() -> None:
    everything = composition.services()

    assert everything["temporal"]["environment"]["NUM_HISTORY_SHARDS"] == "512"
    assert everything["temporal-namespace"]["environment"]["NAMESPACE"] == "dvctt"
    assert everything["temporal-namespace"]["environment"]["RETENTION"] == "30d"
    assert everything["temporal-ui"]["environment"]["TEMPORAL_DISABLE_WRITE_ACTIONS"] == "true"
    file = everything["temporal"]["environment"]["DYNAMIC_CONFIG_FILE_PATH"].rpartition("/")[2]
    dynamic = yaml.safe_load((composition.ROOT / "deploy" / "temporal" / file).read_text(encoding="utf-8"))
    assert dynamic == {"limit.maxIDLength": [{"value": 255}]}


def test_scripts_named_in_compose_exist_and_can_be_run() -> None:
    for name in ("temporal-schema", "temporal-namespace"):
        script = composition.services()[name]["entrypoint"][1].removeprefix("/scripts/")
        path = composition.ROOT / "deploy" / "temporal" / script

        assert path.stat().st_mode & 0o555 == 0o555, path
