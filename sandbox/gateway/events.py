"""Events, the endpoints that subscribe to them, and the signature each delivery carries."""

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Literal

from sandbox.gateway.account import (
    API_VERSION,
    Account,
    Call,
    Document,
    encoded,
    merged,
    new_id,
    new_secret,
)
from sandbox.wire import Deliveries, Message

RETENTION_SECONDS = 30 * 24 * 3600
COMMAND_LINE_ENDPOINT = "we_commandline"


@dataclass(frozen=True)
class Chaos:
    """What goes wrong on the way: how many copies arrive, and how late."""

    copies: int = 1
    delay_seconds: float = 0.0


Wish = Literal["lost", "duplicate", "delay"]


def chaos_asked_for(account: Account, metadata: dict[str, str]) -> Chaos:
    """How news of a payment travels: as its metadata wishes, or as a script for its metadata says.

    The wish is `sandbox_webhook`, one of lost, duplicate and delay; a delay lasts
    `sandbox_webhook_seconds`, or five seconds.
    """
    if wish := metadata.get("sandbox_webhook"):
        return _chaos(wish, seconds(metadata.get("sandbox_webhook_seconds"), 5.0))
    for key, value in metadata.items():
        row = account.state.row("SELECT * FROM webhook_wishes WHERE key = ? AND value = ?", [key, value])
        if row:
            return _chaos(row["wish"], row["seconds"])
    return Chaos()


def script_chaos(account: Account, metadata: dict[str, str], wish: Wish, delay_seconds: float) -> None:
    """Let the news of every payment that has one of these metadata values travel as wished."""
    with account.state.transaction():
        for key, value in metadata.items():
            account.state.execute(
                "INSERT OR REPLACE INTO webhook_wishes VALUES (?, ?, ?, ?)", [key, value, wish, delay_seconds]
            )


def _chaos(wish: str, delay_seconds: float) -> Chaos:
    by_wish = {"lost": Chaos(copies=0), "duplicate": Chaos(copies=3), "delay": Chaos(delay_seconds=delay_seconds)}
    return by_wish.get(wish, Chaos())


def seconds(text: str | None, default: float) -> float:
    """A waiting time given as metadata; anything that is not a number means the default."""
    try:
        return max(0.0, float(text)) if text is not None else default
    except ValueError:
        return default


@dataclass
class Announcer:
    """Writes events down and queues them for every endpoint that wants them."""

    account: Account
    deliveries: Deliveries

    def announce(
        self,
        call: Call,
        event_type: str,
        subject: Document,
        *,
        metadata: dict[str, str] | None = None,
        previous: Document | None = None,
    ) -> None:
        """Record that `event_type` happened to `subject`, inside the transaction in which it did.

        `metadata` decides the chaos of delivery; it is the subject's own unless given.
        """
        wanting = [row for row in self._endpoints() if _wants(json.loads(row[2]), event_type)]
        data: Document = {"object": subject}
        if previous:
            data["previous_attributes"] = previous
        event: Document = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.account.now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": len(wanting),
            "request": {"id": call.request_id, "idempotency_key": call.idempotency_key},
            "type": event_type,
        }
        self.account.insert(event, type=event_type)
        chaos = chaos_asked_for(self.account, subject.get("metadata") or {} if metadata is None else metadata)
        body = encoded(event) if wanting else ""
        for endpoint, secret, document in wanting:
            url = json.loads(document)["url"]
            message = Message(event["id"], event_type, endpoint, url, secret, body)
            for _ in range(chaos.copies):
                self.deliveries.add(message, delay_seconds=chaos.delay_seconds)
            if chaos.copies == 0:
                self.deliveries.suppress(message)

    def event(self, identifier: str) -> Document:
        """One event of the last 30 days, with the number of deliveries still outstanding."""
        event = self.account.load("evt", identifier, "id")
        event["pending_webhooks"] = self.deliveries.waiting_for(identifier)
        return event

    def _endpoints(self) -> list[tuple[str, str, str]]:
        rows = self.account.state.rows("SELECT id, secret, document FROM webhook_endpoints")
        return [(row["id"], row["secret"], row["document"]) for row in rows]


def _wants(endpoint: Document, event_type: str) -> bool:
    enabled = endpoint["enabled_events"]
    return endpoint["status"] == "enabled" and ("*" in enabled or event_type in enabled)


def signed(message: Message, timestamp: int) -> dict[str, str]:
    """The `Stripe-Signature` header: HMAC-SHA256 over the time of sending and the body."""
    signature = hmac.new(message.secret.encode(), f"{timestamp}.{message.body}".encode(), hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={timestamp},v1={signature}"}


def create_endpoint(account: Account, parameters: Document) -> Document:
    """Subscribe a URL; only this answer shows the signing secret."""
    secret = new_secret("whsec")
    endpoint = _endpoint(account, new_id("we"), parameters["url"], tuple(parameters["enabled_events"]))
    endpoint["description"] = parameters.get("description")
    endpoint["metadata"] = merged({}, parameters.get("metadata", {}))
    account.insert(endpoint, secret=secret)
    return {**endpoint, "secret": secret}


def delete_endpoint(account: Account, identifier: str) -> Document:
    account.load("we", identifier, "webhook_endpoint")
    account.state.execute("DELETE FROM webhook_endpoints WHERE id = ?", [identifier])
    return {"id": identifier, "object": "webhook_endpoint", "deleted": True}


def subscribe_command_line(account: Account) -> None:
    """Make the endpoint given at start-up the current one, whatever an earlier start said."""
    settings = account.settings
    with account.state.transaction():
        account.state.execute("DELETE FROM webhook_endpoints WHERE id = ?", [COMMAND_LINE_ENDPOINT])
        if settings.webhook_url:
            endpoint = _endpoint(account, COMMAND_LINE_ENDPOINT, settings.webhook_url, settings.webhook_events)
            account.insert(endpoint, secret=settings.webhook_secret)
            # What an earlier start could not deliver goes where this start says.
            account.state.execute(
                "UPDATE deliveries SET url = ?, secret = ? WHERE endpoint = ? AND state = 'waiting'",
                [settings.webhook_url, settings.webhook_secret, COMMAND_LINE_ENDPOINT],
            )


def forget_old(account: Account) -> None:
    """Drop events past the 30 days for which they can be listed."""
    with account.state.transaction():
        account.state.execute("DELETE FROM events WHERE created < ?", [account.now() - RETENTION_SECONDS])


def _endpoint(account: Account, identifier: str, url: str, enabled_events: tuple[str, ...]) -> Document:
    return {
        "id": identifier,
        "object": "webhook_endpoint",
        "api_version": None,
        "application": None,
        "created": account.now(),
        "description": None,
        "enabled_events": list(enabled_events),
        "livemode": False,
        "metadata": {},
        "status": "enabled",
        "url": url,
    }
