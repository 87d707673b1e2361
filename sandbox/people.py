"""The people of the sandbox, acting through the same doors as real ones: citizens, couriers, agencies, finance."""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx

from sandbox.dossiers import Dossier

Found = TypeVar("Found")

_POLL_SECONDS = 0.25
_PATIENCE_SECONDS = 150
_SHORT_ATTEMPT_SECONDS = 2
_SHORT_BILL_SECONDS = 6
_RETRIES = 40


class WorldError(Exception):
    """The house answered something that a person cannot work with."""


class Door:
    """A person's or program's way in: a token, patience with a service that restarts, and no cleverness."""

    def __init__(self, http: httpx.AsyncClient, token_url: str, form: dict[str, str]) -> None:
        self._http = http
        self._token_url = token_url
        self._form = form
        self._token = ""
        self._until = 0.0

    async def call(
        self, method: str, url: str, *, body: object = None, key: str | None = None, expect: tuple[int, ...] = ()
    ) -> Any:  # noqa: ANN401 — JSON
        """Call until answered; a refusal is an error unless its status is expected."""
        for attempt in range(_RETRIES):
            try:
                headers = {"authorization": f"Bearer {await self._bearer()}"}
                if key is not None:
                    headers["idempotency-key"] = key
                response = await self._http.request(method, url, json=body, headers=headers)
            except httpx.HTTPError:
                await asyncio.sleep(min(0.1 * 2**attempt, 2))
                continue
            passing = response.status_code in (429, 500, 502, 503, 504) or (
                response.status_code == 409 and "in-flight" in response.text
            )
            if not passing:
                if not response.is_success and response.status_code not in expect:
                    raise WorldError(f"{method} {url}: {response.status_code} {response.text[:600]}")
                return response.json() if response.content else None
            await asyncio.sleep(min(0.1 * 2**attempt, 2))
        raise WorldError(f"{method} {url}: no answer")

    async def upload(self, url: str, content: bytes, *, key: str) -> Any:  # noqa: ANN401 — JSON
        """Send a file as the body."""
        headers = {
            "authorization": f"Bearer {await self._bearer()}",
            "idempotency-key": key,
            "content-type": "application/octet-stream",
        }
        response = await self._http.post(url, content=content, headers=headers)
        if not response.is_success:
            raise WorldError(f"POST {url}: {response.status_code} {response.text[:600]}")
        return response.json()

    async def _bearer(self) -> str:
        if time.monotonic() > self._until:
            response = await self._http.post(self._token_url, data=self._form)
            response.raise_for_status()
            document = response.json()
            self._token = str(document["access_token"])
            self._until = time.monotonic() + float(document["expires_in"]) - 60
        return self._token


class World:
    """Everybody outside the house."""

    def __init__(self, stack: dict[str, Any], http: httpx.AsyncClient) -> None:
        self.stack = stack
        self.http = http
        self.cash: Counter[str] = Counter()
        """Notes in each courier's bag, counted by the courier."""
        token_url = stack["identity"]["token_url"]
        self._doors = {
            name: Door(http, token_url, {"grant_type": "client_credentials", **_credentials(client)})
            for name, client in stack["clients"].items()
        }
        for name, person in stack["people"].items():
            form = {"grant_type": "password", "username": person["username"], "password": person["password"]}
            client = _credentials(stack["clients"]["portal"])
            self._doors[name] = Door(http, token_url, {**form, **client})

    def door(self, name: str) -> Door:
        """The way in of a client or person."""
        return self._doors[name]

    def url(self, service: str, path: str) -> str:
        """Address of a path of a service."""
        return f"{self.stack[service]['url']}{path}"

    async def read(self, service: str, path: str) -> Any:  # noqa: ANN401 — JSON
        """What the portal may read."""
        return await self.door("portal").call("GET", self.url(service, path))

    # --- money ---------------------------------------------------------------------------------

    async def payment(self, dossier: Dossier) -> dict[str, Any] | None:
        """The dossier's bill, once it is open."""
        page = await self.read("payment", f"/v1/payments?dossier_code={dossier.code}")
        return page["items"][0] if page["items"] else None

    async def payment_when(
        self, dossier: Dossier, condition: Callable[[dict[str, Any]], bool], what: str
    ) -> dict[str, Any]:
        """Wait until the bill is as wished."""

        async def look() -> dict[str, Any] | None:
            payment = await self.payment(dossier)
            return payment if payment is not None and condition(payment) else None

        return await until(look, f"{dossier.code}: {what}")

    async def live_attempt(self, dossier: Dossier) -> dict[str, Any]:
        """The try at paying that is open now."""

        def is_live(payment: dict[str, Any]) -> bool:
            return any(a["status"] in ("pending", "requires_action") for a in payment["attempts"])

        payment = await self.payment_when(dossier, is_live, "a live attempt")
        return next(a for a in payment["attempts"] if a["status"] in ("pending", "requires_action"))

    async def pay_by_card(self, dossier: Dossier, attempt: dict[str, Any]) -> None:
        """Press the button of the gateway's page, after asking the gateway to misbehave if the line says so."""
        gateway = self.stack["gateway"]
        wish = {"webhook_lost": "lost", "webhook_duplicated": "duplicate"}.get(dossier.says("fault"))
        if wish:
            response = await self.http.post(
                f"{gateway['url']}/v1/payment_intents/{attempt['gateway_intent_id']}",
                data={"metadata[sandbox_webhook]": wish},
                headers={"authorization": f"Bearer {gateway['key']}"},
            )
            response.raise_for_status()
        response = await self.http.post(attempt["pay_url"].split("?")[0], data={"action": "pay", "lang": "vi"})
        if response.status_code >= 400:
            raise WorldError(f"{dossier.code}: the pay page answered {response.status_code}")

    async def transfer(self, qr: str, amount_dong: int | None = None) -> None:
        """Scan a VietQR and send money, the amount overridden when a line says so."""
        body = {"qr": qr, "amount_dong": amount_dong, "payer_name": "NGUYEN VAN AN", "payer_account": "0123456789"}
        response = await self.http.post(self.url("bank", "/transfers"), json=body)
        response.raise_for_status()

    async def pay(self, dossier: Dossier) -> None:
        """Pay the way the line says; cash at the door is the courier's."""
        behaviour = dossier.says("citizen")
        method = dossier.says("pay_by")
        if behaviour in ("nothing_due", "never_pays") or method == "cash_on_delivery":
            return
        attempt = await self.live_attempt(dossier)
        special = _PAYING.get(behaviour)
        if special is not None:
            await special(self, dossier, attempt)
        else:
            await self.pay_attempt(dossier, attempt)

    async def pay_attempt(self, dossier: Dossier, attempt: dict[str, Any]) -> None:
        """Pay exactly what an attempt asks for."""
        if attempt["method"] == "card":
            await self.pay_by_card(dossier, attempt)
        elif attempt["method"] == "vietqr":
            await self.transfer(attempt["qr_payload"])
        else:
            await self.pay_at_counter(dossier, attempt)

    async def pay_at_counter(self, dossier: Dossier, attempt: dict[str, Any]) -> None:
        """The agency's cashier takes the money and writes it down."""
        payment = await self.payment_when(dossier, lambda _: True, "a bill")
        body = {
            "event_id": f"counter/{attempt['id']}",
            "amount_dong": attempt["amount_dong"],
            "collected_at": datetime.now(UTC).isoformat(),
            "collector": "quay-thu",
            "place": "counter",
        }
        url = self.url("payment", f"/v1/payments/{payment['id']}/cash")
        await self.door("agency").call("POST", url, body=body, key=body["event_id"])

    async def another_attempt(self, dossier: Dossier, number: int) -> dict[str, Any]:
        """Ask the portal for another try at paying."""
        url = self.url("workflows", f"/v1/dossiers/{dossier.code}/attempts")
        method = dossier.says("pay_by")
        attempt: dict[str, Any] = await self.door("portal").call(
            "POST", url, body={"method": method}, key=f"{dossier.code}:again:{number}"
        )
        return attempt

    # --- papers --------------------------------------------------------------------------------

    async def shipment(self, dossier: Dossier, direction: str) -> dict[str, Any]:
        """A leg, once it is booked."""

        async def look() -> dict[str, Any] | None:
            page = await self.read("postal", f"/v1/shipments?dossier_code={dossier.code}&direction={direction}")
            return page["items"][0] if page["items"] else None

        return await until(look, f"{dossier.code}: the {direction} leg")

    async def carry(self, dossier: Dossier, direction: str, behaviour: str) -> None:
        """Couriers scan a leg from door to door, in the way the line says."""
        shipment = await self.shipment(dossier, direction)
        courier = courier_of(dossier)
        pieces = len(shipment["pieces"])
        steps = _steps(direction, behaviour, pieces=pieces, cash=shipment["cash_due_dong"])
        started = datetime.now(UTC)
        for number, step in enumerate(steps):
            # Only the dispatcher may declare an item lost; couriers report what they see.
            who = "dieu-phoi" if step["kind"] == "declared_lost" else courier
            event = {
                "event_id": _event_id(shipment["id"], number),
                "s10": shipment["s10"],
                "occurred_at": (started + timedelta(milliseconds=number)).isoformat(),
                "device_id": f"{who}/{shipment['s10']}",
                "device_seq": 1 if who == "dieu-phoi" else number + 1,
                "place": "Bưu cục trung tâm",
                **step,
            }
            answer = await self.door(who).call("POST", self.url("postal", "/v1/events"), body={"events": [event]})
            result = answer["results"][0]
            if not result["applied"]:
                raise WorldError(f"{dossier.code}: the post refused {event['kind']}: {result}")
            self.cash[courier] += int(event.get("cash_collected_dong", 0))

    # --- the agency ----------------------------------------------------------------------------

    async def report(self, dossier: Dossier, *kinds: str) -> None:
        """The agency's system reports facts."""
        url = self.url("workflows", f"/v1/dossiers/{dossier.code}/facts")
        for kind in kinds:
            body = {
                "event_id": f"{dossier.code}:{kind}",
                "kind": kind,
                "occurred_at": datetime.now(UTC).isoformat(),
            }
            await self.door("agency").call("POST", url, body=body)


async def until(look: Callable[[], Awaitable[Found | None]], what: str) -> Found:
    """Look again and again until something is found. Raises WorldError when patience ends."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    pause = _POLL_SECONDS
    while time.monotonic() < deadline:
        found = await look()
        if found is not None:
            return found
        await asyncio.sleep(pause)
        pause = min(pause * 1.3, 2.0)
    raise WorldError(f"waited in vain for {what}")


def courier_of(dossier: Dossier) -> str:
    """Which of the two couriers serves a dossier."""
    return "buu-ta-1" if int(dossier.says("applicant_ward") or 0) % 2 else "buu-ta-2"


def _credentials(client: dict[str, Any]) -> dict[str, str]:
    return {"client_id": client["client_id"], "client_secret": client["client_secret"]}


# --- how people pay ------------------------------------------------------------------------------


async def _pays_after_first_attempt_expired(world: World, dossier: Dossier, attempt: dict[str, Any]) -> None:
    await _attempt_has_expired(world, dossier, attempt)
    again = await world.another_attempt(dossier, 1)
    await world.pay_attempt(dossier, again)


async def _pays_after_expiry(world: World, dossier: Dossier, attempt: dict[str, Any]) -> None:
    await _attempt_has_expired(world, dossier, attempt)
    await world.transfer(attempt["qr_payload"])


async def _pays_after_bill_expired(world: World, dossier: Dossier, attempt: dict[str, Any]) -> None:
    await world.payment_when(dossier, lambda p: p["status"] in ("expired", "cancelled"), "the bill's end")
    await world.transfer(attempt["qr_payload"])


async def _pays_twice(world: World, dossier: Dossier, attempt: dict[str, Any]) -> None:
    await world.pay_attempt(dossier, attempt)
    await world.payment_when(dossier, lambda p: p["status"] == "paid", "the first payment")
    body = {"content": f"nop phi {attempt['reference']}", "amount_dong": attempt["amount_dong"]}
    response = await world.http.post(world.url("bank", "/transfers/plain"), json=body)
    response.raise_for_status()


async def _overpays(world: World, dossier: Dossier, attempt: dict[str, Any]) -> None:
    del dossier
    await world.transfer(attempt["qr_payload"], attempt["amount_dong"] + 10_000)


async def _underpays_then_tops_up(world: World, dossier: Dossier, attempt: dict[str, Any]) -> None:
    await world.transfer(attempt["qr_payload"], attempt["amount_dong"] - 10_000)
    await world.payment_when(dossier, lambda p: p["status"] == "partially_paid", "the first part")
    rest = await world.another_attempt(dossier, 1)
    if rest["amount_dong"] != 10_000:
        raise WorldError(f"{dossier.code}: the rest should be 10,000, not {rest['amount_dong']}")
    await world.pay_attempt(dossier, rest)


async def _attempt_has_expired(world: World, dossier: Dossier, attempt: dict[str, Any]) -> None:
    def expired(payment: dict[str, Any]) -> bool:
        return any(a["id"] == attempt["id"] and a["status"] == "expired" for a in payment["attempts"])

    await world.payment_when(dossier, expired, "the expiry of the first attempt")


_PAYING = {
    "pays_after_first_attempt_expired": _pays_after_first_attempt_expired,
    "pays_after_expiry": _pays_after_expiry,
    "pays_after_bill_expired": _pays_after_bill_expired,
    "pays_twice": _pays_twice,
    "overpays": _overpays,
    "underpays_then_tops_up": _underpays_then_tops_up,
}


def deadlines_of(dossier: Dossier) -> dict[str, int]:
    """Lines about expiry get short lives; all others the house's own."""
    behaviour = dossier.says("citizen")
    if behaviour in ("pays_after_first_attempt_expired", "pays_after_expiry"):
        return {"attempt_seconds": _SHORT_ATTEMPT_SECONDS}
    if behaviour in ("never_pays", "pays_after_bill_expired"):
        return {"payment_seconds": _SHORT_BILL_SECONDS}
    return {}


# --- how the post moves --------------------------------------------------------------------------


def _steps(direction: str, behaviour: str, *, pieces: int, cash: int) -> list[dict[str, Any]]:
    """The events of a leg. Cash is taken where the citizen stands: at pickup outbound, at delivery on return."""
    outbound = direction == "outbound"
    taken = _collection(pieces, cash if outbound else 0)
    if behaviour == "partially_collected":
        taken = {**_collection(pieces - 1, cash), "kind": "partially_collected"}
    steps: list[dict[str, Any]] = [{"kind": "pickup_started"}] if outbound else []
    if behaviour == "failed_then_collected":
        steps += [{"kind": "pickup_failed", "reason": "R23", "measure": "M1"}, {"kind": "pickup_started"}]
    steps += [taken, {"kind": "departed"}]
    if behaviour == "lost":
        return [*steps, {"kind": "investigation_opened", "reason": "R15", "measure": "M6"}, {"kind": "declared_lost"}]
    steps += [{"kind": "arrived_delivery_office"}, {"kind": "out_for_delivery"}]
    if behaviour == "failed_then_delivered":
        steps += [{"kind": "attempt_failed", "reason": "R01", "measure": "M1"}, {"kind": "out_for_delivery"}]
    if behaviour == "held_then_collected":
        steps += [{"kind": "attempt_failed", "reason": "R01", "measure": "M2"}, {"kind": "ready_for_collection"}]
    receiver = {"receiver": "agency_officer", "proof": "signature"} if outbound else _ADDRESSEE
    return [
        *steps,
        {"kind": "handed_over", "evidence": receiver, "cash_collected_dong": 0 if outbound else cash},
    ]


_ADDRESSEE = {"receiver": "addressee", "proof": "signature"}


def _collection(pieces: int, cash: int) -> dict[str, Any]:
    return {
        "kind": "collected",
        "cash_collected_dong": cash,
        "evidence": {
            "collected_positions": list(range(1, pieces + 1)),
            "page_count": 4 * pieces,
            "seal_number": "NP-2026-0001",
            "citizen_signature_sha256": hashlib.sha256(b"citizen").hexdigest(),
            "courier_signature_sha256": hashlib.sha256(b"courier").hexdigest(),
        },
    }


def _event_id(shipment_id: str, number: int) -> str:
    """The same scan always has the same id, so that a repeat after a broken connection is one scan."""
    digest = hashlib.sha256(f"{shipment_id}/{number}".encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-7{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"


# --- the whole journey of one dossier, seen from outside ----------------------------------------------


async def play(world: World, dossier: Dossier) -> dict[str, Any]:
    """Start a dossier, do everything the line says, wait for its end. Returns its final view."""
    if dossier.says("fault") == "gateway_timeout":
        script = {"match": {"metadata.dossier_code": dossier.code}, "effect": "timeout_after", "seconds": 12}
        (await world.http.post(world.url("gateway", "/_sandbox/faults"), json=script)).raise_for_status()
    await world.door("portal").call(
        "POST", world.url("workflows", "/v1/dossiers"), body=dossier.start_request(deadlines_of(dossier))
    )
    pay_when = dossier.says("pay_when")
    if pay_when == "before_acceptance":
        await world.pay(dossier)
    if not _never_reaches_the_agency(dossier):
        if pay_when == "before_acceptance" and dossier.says("pay_by") not in ("none", "cash_on_delivery"):
            await world.payment_when(dossier, lambda p: p["status"] == "paid", "the payment")
        if dossier.sends:
            await world.carry(dossier, "outbound", dossier.says("pickup"))
        await _agency_acts(world, dossier)
    return await _final_view(world, dossier)


def _never_reaches_the_agency(dossier: Dossier) -> bool:
    return dossier.says("citizen") in ("never_pays", "pays_after_bill_expired")


async def _agency_acts(world: World, dossier: Dossier) -> None:
    if dossier.says("pickup") == "lost":
        return
    acts = dossier.says("agency_acts")
    if acts == "refuses":
        await world.report(dossier, "refused")
        await _papers_back(world, dossier)
        return
    if acts == "supplement_then_accepts":
        await world.report(dossier, "supplement_requested", "supplement_received")
    await world.report(dossier, "accepted")
    if dossier.says("citizen") == "withdraws":
        url = world.url("workflows", f"/v1/dossiers/{dossier.code}/withdrawal")
        await world.door("portal").call("POST", url, body={"reason": "đổi ý"})
        await _papers_back(world, dossier)
        return
    if dossier.says("pay_when") == "after_acceptance":
        await world.pay(dossier)
    await world.report(dossier, "result_ready")
    if dossier.says("pay_when") == "on_return":
        await world.pay(dossier)
    if dossier.returns:
        await world.carry(dossier, "return", dossier.says("delivery"))
    else:
        await world.report(dossier, "handed_over")


async def _papers_back(world: World, dossier: Dossier) -> None:
    if dossier.sends and dossier.returns:
        await world.carry(dossier, "return", dossier.says("delivery"))


async def _final_view(world: World, dossier: Dossier) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        view: dict[str, Any] = await world.read("workflows", f"/v1/dossiers/{dossier.code}")
        return view if view["phase"] == "finished" else None

    return await until(look, f"{dossier.code}: its end")


# --- the officers who decide -----------------------------------------------------------------------


@asynccontextmanager
async def officers_at_work(world: World) -> AsyncIterator[None]:
    """A chief accountant who decides on refunds, a dispatcher who decides on claims: until the block ends."""
    tasks = [
        asyncio.create_task(_forever(_decide_refunds, world)),
        asyncio.create_task(_forever(_decide_claims, world)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _forever(work: Callable[[World], Any], world: World) -> None:
    while True:
        await work(world)
        await asyncio.sleep(1.0)


async def _decide_refunds(world: World) -> None:
    chief = world.door("ke-toan-truong")
    for refund in (await chief.call("GET", world.url("payment", "/v1/refunds?status=requested&limit=200")))["items"]:
        body = {"decision": "approve", "proposal_hash": refund["proposal_hash"], "note": "Đúng hồ sơ"}
        url = world.url("payment", f"/v1/refunds/{refund['id']}/decision")
        await chief.call("POST", url, body=body, key=f"decide:{refund['id']}", expect=(409,))
    for refund in (await chief.call("GET", world.url("payment", "/v1/refunds?status=processing&limit=200")))["items"]:
        if refund["route"] == "treasury_voucher":
            body = {"event_id": f"voucher/{refund['id']}", "reference": f"KB-{refund['id'][-8:]}"}
            url = world.url("payment", f"/v1/refunds/{refund['id']}/settle")
            await chief.call("POST", url, body=body, key=f"settle:{refund['id']}", expect=(409,))


async def _decide_claims(world: World) -> None:
    dispatcher = world.door("dieu-phoi")
    for claim in (await dispatcher.call("GET", world.url("postal", "/v1/claims?limit=200")))["items"]:
        base = world.url("postal", f"/v1/claims/{claim['id']}")
        if claim["status"] in ("submitted", "in_review"):
            body = {"decision": "approve", "note": "Đã xác minh thất lạc"}
            await dispatcher.call("POST", f"{base}/decision", body=body, key=f"claim:{claim['id']}", expect=(409,))
        elif claim["status"] == "approved":
            await dispatcher.call("POST", f"{base}/paid", body={}, key=f"claim-paid:{claim['id']}", expect=(409,))
