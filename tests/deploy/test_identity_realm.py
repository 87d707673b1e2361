"""The Keycloak realm grants exactly what the code asks for, to the clients of the house, and holds no secret."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from sandbox.plan import CLIENT_SCOPES, PEOPLE
from tests.deploy import composition

REALM = composition.ROOT / "deploy" / "keycloak" / "lien-thong-realm.json"
HOUSE_SCOPES = {"lien-thong", "profile", "basic", "roles", "web-origins"}
PROGRAMS = {client: set(scopes.split()) for client, scopes in CLIENT_SCOPES.items()}
"""Programs hold here what they hold in the embedded stack, where the system tests use it."""
GROUPS = {role: set(scopes.split()) for _, role, scopes in PEOPLE.values()}
PAGES = {"pages-fees": "fees:", "pages-payment": "payments:", "pages-postal": "postal:"}
GUARDS = {"require", "signed_in", "may"}


@pytest.fixture(scope="module")
def realm() -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(REALM.read_text(encoding="utf-8")))


def python_files() -> Iterator[Path]:
    for folder in ("kit", "services", "workflows"):
        yield from sorted((composition.ROOT / folder).rglob("*.py"))


def scopes_asked_for(source: str) -> set[str]:
    """The literal arguments of every call of a guard; a computed one must be a `*NAME` of literals in the same file."""
    found: set[str] = set()
    tree = ast.parse(source)
    constants = {
        target.id: value.value
        for value in ast.walk(tree)
        if isinstance(value, ast.Assign)
        for target in value.targets
        if isinstance(target, ast.Name)
    }
    parameters = {"scope", "scopes"}
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        if name not in GUARDS:
            continue
        for argument in call.args:
            node: ast.AST = argument.value if isinstance(argument, ast.Starred) else argument
            if isinstance(node, ast.Name) and node.id in parameters:
                continue  # a guard passing on what it was given
            if isinstance(node, ast.Name):
                node = constants[node.id]
            found |= {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return found


def code_scopes() -> set[str]:
    return {scope for path in python_files() for scope in scopes_asked_for(path.read_text(encoding="utf-8"))}


def realm_scopes(realm: dict[str, Any]) -> set[str]:
    return {scope["name"] for scope in realm["clientScopes"]} - HOUSE_SCOPES


def test_the_scan_sees_every_way_of_asking() -> None:
    lines = ('require("a:x", "b:x")', 'web.signed_in("c:x")', "require(*ALL)", 'caller.may("g:x")', 'other("f:x")')
    source = "\n".join(('ALL = ("d:x", "e:x")', *lines))

    assert scopes_asked_for(source) == {"a:x", "b:x", "c:x", "d:x", "e:x", "g:x"}


def test_the_realm_offers_exactly_the_scopes_the_code_requires(realm: dict[str, Any]) -> None:
    assert code_scopes() == realm_scopes(realm)


def test_clients_hold_their_scopes_and_no_other(realm: dict[str, Any]) -> None:
    granted = {c["clientId"]: set(c["defaultClientScopes"]) - HOUSE_SCOPES for c in realm["clients"]}

    held_by_people = {scope for scopes in GROUPS.values() for scope in scopes}
    pages = {c: {s for s in held_by_people if s.startswith(prefix) or s == "ops"} for c, prefix in PAGES.items()}
    assert granted == {**PROGRAMS, **pages}
    assert all(client["optionalClientScopes"] == [] for client in realm["clients"])


def test_scopes_go_only_to_those_who_hold_the_role_of_the_same_name(realm: dict[str, Any]) -> None:
    scopes = realm_scopes(realm)

    assert {role["name"] for role in realm["roles"]["realm"]} == scopes
    assert realm["scopeMappings"] == [
        {"clientScope": m["clientScope"], "roles": [m["clientScope"]]} for m in realm["scopeMappings"]
    ]
    assert {mapping["clientScope"] for mapping in realm["scopeMappings"]} == scopes
    accounts = {user["serviceAccountClientId"]: set(user["realmRoles"]) for user in realm["users"]}
    assert accounts == PROGRAMS
    assert {group["name"]: set(group["realmRoles"]) for group in realm["groups"]} == GROUPS


def test_nobody_both_requests_and_approves_refunds(realm: dict[str, Any]) -> None:
    for group in realm["groups"]:
        assert not {"payments:refund", "payments:approve"} <= set(group["realmRoles"]), group["name"]
        assert not {"fees:draft", "fees:approve"} <= set(group["realmRoles"]), group["name"]


def test_access_tokens_are_meant_for_our_services(realm: dict[str, Any]) -> None:
    house = next(scope for scope in realm["clientScopes"] if scope["name"] == "lien-thong")
    (mapper,) = house["protocolMappers"]

    assert mapper["protocolMapper"] == "oidc-audience-mapper"
    assert mapper["config"]["included.custom.audience"] == "lien-thong"
    assert mapper["config"]["access.token.claim"] == "true"
    for client in realm["clients"]:
        assert "lien-thong" in client["defaultClientScopes"], client["clientId"]


def test_tokens_carry_the_claims_that_kit_reads(realm: dict[str, Any]) -> None:
    def claims(mappers: list[dict[str, Any]]) -> set[str]:
        named = {m["config"]["claim.name"] for m in mappers if "claim.name" in m["config"]}
        return named | ({"name"} if any(m["protocolMapper"] == "oidc-full-name-mapper" for m in mappers) else set())

    profile = next(scope for scope in realm["clientScopes"] if scope["name"] == "profile")
    assert claims(profile["protocolMappers"]) == {"sub", "preferred_username", "name", "org", "roles"}
    for client in realm["clients"]:
        if client["clientId"] in PROGRAMS:
            fixed = {m["config"]["claim.name"]: m["config"]["claim.value"] for m in client["protocolMappers"]}
            assert fixed["sub"] == client["clientId"]
            assert fixed["org"] == "*"


@pytest.mark.parametrize("service", ["fees", "payment", "postal"])
def test_pages_sign_in_with_pkce_and_come_back_to_their_own_address(realm: dict[str, Any], service: str) -> None:
    client = next(client for client in realm["clients"] if client["clientId"] == f"pages-{service}")
    pages_client = composition.services()[service]["environment"][f"{service.upper()}_PAGES_CLIENT_ID"]

    assert client["clientId"] == pages_client
    assert client["publicClient"] is True
    assert client["standardFlowEnabled"] is True
    assert client["serviceAccountsEnabled"] is False
    assert client["directAccessGrantsEnabled"] is False
    assert client["attributes"]["pkce.code.challenge.method"] == "S256"
    assert client["redirectUris"] == [f"${{{service.upper()}_PUBLIC_URL}}/auth/callback"]
    assert "profile" in client["defaultClientScopes"]


def test_programs_use_client_credentials_and_nothing_else(realm: dict[str, Any]) -> None:
    for client in realm["clients"]:
        if client["clientId"] not in PROGRAMS:
            continue
        assert client["publicClient"] is False
        assert client["serviceAccountsEnabled"] is True
        assert client["standardFlowEnabled"] is False
        assert client["directAccessGrantsEnabled"] is False
        assert client["secret"] == f"${{{client['clientId'].upper()}_CLIENT_SECRET}}"
        assert client["fullScopeAllowed"] is False


def test_variables_of_the_realm_reach_keycloak(realm: dict[str, Any]) -> None:
    used = {n for text in composition.texts(realm) for n in re.findall(r"\$\{([^}]+)\}", text)} - {"client_id"}

    assert used <= set(composition.services()["identity"]["environment"])
    assert len(used) == 7


def test_the_realm_holds_no_person_and_no_secret(realm: dict[str, Any]) -> None:
    assert all("serviceAccountClientId" in user and "credentials" not in user for user in realm["users"])
    assert "privateKey" not in REALM.read_text(encoding="utf-8")
    assert realm["registrationAllowed"] is False
    assert realm["accessTokenLifespan"] == 600
    assert realm["sslRequired"] == "external"


def test_people_cannot_change_their_own_agency_or_name(realm: dict[str, Any]) -> None:
    (provider,) = realm["components"]["org.keycloak.userprofile.UserProfileProvider"]
    attributes = json.loads(provider["config"]["kc.user.profile.config"][0])["attributes"]
    editors = {attribute["name"]: attribute["permissions"]["edit"] for attribute in attributes}

    assert editors == {"username": ["admin"], "email": ["admin", "user"], "firstName": ["admin"], "org": ["admin"]}
    assert realm["editUsernameAllowed"] is False
