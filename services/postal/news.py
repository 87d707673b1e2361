"""What the world is told about shipments: each piece of news once, collected over a batch and written together."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, delete, inspect
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.bulk import insert_many
from kit.ids import new_id
from kit.webhooks import News
from services.postal import contract, custody, wording
from services.postal.contract import PostalEvent
from services.postal.models import Announcement, Shipment, outbox

_REPEATABLE: Mapping[contract.EventKind, str] = {
    "pickup_rejected": "shipment.pickup_rejected",
    "pickup_expired": "shipment.pickup_expired",
    "corrected": "shipment.corrected",
    "missing_from_bag": "shipment.missing_from_bag",
    "pickup_failed": "shipment.pickup_failed",
    "attempt_failed": "shipment.attempt_failed",
    "held": "shipment.held",
    "ready_for_collection": "shipment.held",
}


def milestone(verdict: custody.Verdict, direction: contract.Direction) -> str | None:
    """News of a state that a leg reaches at most once in its life."""
    if verdict.recorded_collection:
        return f"shipment.{verdict.fact.kind}"
    match verdict.entered:
        case "delivered":
            return "shipment.arrived" if direction == "outbound" else "shipment.delivered"
        case "returned" | "lost" | "cancelled" as end:
            return f"shipment.{end}"
        case _:
            return None


class Bulletin:
    """News of one transaction, gathered while shipments change and written at its end."""

    def __init__(self, told: Mapping[str, set[str]], *, at: datetime) -> None:
        self._told = told
        self._at = at
        self._news: list[News] = []
        self._announcements: list[dict[str, Any]] = []
        self._untrue: list[tuple[str, str]] = []

    @classmethod
    async def begin(cls, session: AsyncSession, shipment_ids: Iterable[str], *, at: datetime) -> "Bulletin":
        """A bulletin that knows what was told of these shipments before."""
        query = select(Announcement.shipment_id, Announcement.news).where(
            col(Announcement.shipment_id).in_(list(shipment_ids))
        )
        told: dict[str, set[str]] = defaultdict(set)
        for shipment_id, news in (await session.exec(query)).all():
            told[shipment_id].add(news)
        return cls(told, at=at)

    def gather(
        self, row: Shipment, result: custody.Custody, *, log: Sequence[custody.Fact], added: Mapping[str, str]
    ) -> None:
        """Take note of what a shipment's new facts are worth telling.

        `log`: facts that counted before; `added`: the kinds of the new ones by id. A fact that only fills in history
        is news only if a milestone was untold.
        """
        direction = cast("contract.Direction", row.direction)
        newest = max((fact.order for fact in log), default=None)
        if "corrected" in added.values():
            self._take_back(row, {milestone(verdict, direction) for verdict in result.verdicts})
        for verdict in result.verdicts:
            fact = verdict.fact
            reached = milestone(verdict, direction)
            if reached is not None:
                self._tell(row, reached, reached, verdict)
            if verdict.counted_cash_dong:
                self._tell(row, "shipment.cash_collected", "shipment.cash_collected", verdict)
            if fact.event_id not in added:
                continue
            again = _REPEATABLE.get(fact.kind)
            if again is not None and verdict.applied and (newest is None or fact.order > newest):
                self._tell(row, again, f"{again}:{fact.event_id}", verdict)
            if wording.needs_attention(verdict.anomaly) or verdict.entered == "damaged":
                self._tell(row, "shipment.anomaly", f"shipment.anomaly:{fact.event_id}", verdict)

    def _take_back(self, row: Shipment, reached: AbstractSet[str | None]) -> None:
        """After a correction, milestones that did not happen may be told again when they do."""
        told = self._told[row.id]
        milestones = {news for news in told if ":" not in news and news != "shipment.cash_collected"}
        for news in milestones - reached:
            told.discard(news)
            self._untrue.append((row.id, news))

    def _tell(self, row: Shipment, kind: str, news: str, verdict: custody.Verdict) -> None:
        told = self._told[row.id]
        if news in told:
            return
        told.add(news)
        cash = kind == "shipment.cash_collected"
        self._announcements.append({"shipment_id": row.id, "news": news, "announced_at": self._at})
        self._news.append(
            news_of(
                row,
                kind,
                status=verdict.status,
                occurred_at=verdict.fact.occurred_at,
                cash_collected_dong=row.cash_collected_dong if cash else 0,
                collector=verdict.fact.actor if cash else "",
            )
        )

    async def publish(self, session: AsyncSession) -> None:
        """Write everything gathered, in the transaction that made it true."""
        for shipment_id, news in self._untrue:
            await session.exec(
                delete(Announcement).where(col(Announcement.shipment_id) == shipment_id, col(Announcement.news) == news)
            )
        await insert_many(session, cast("Table", inspect(Announcement).local_table), self._announcements)
        await outbox.announce_many(session, self._news)


def news_of(
    row: Shipment,
    kind: str,
    *,
    status: str,
    occurred_at: datetime,
    cash_collected_dong: int = 0,
    collector: str = "",
    claim_id: str | None = None,
) -> News:
    """One piece of news of a shipment, with an id of its own."""
    identity = new_id("evt")
    event = PostalEvent(
        event_id=identity,
        dossier_code=row.dossier_code,
        shipment_id=row.id,
        direction=cast("contract.Direction", row.direction),
        status=status,
        cash_collected_dong=cash_collected_dong,
        collector=collector,
        claim_id=claim_id,
        occurred_at=occurred_at,
    )
    return News(identity, kind, row.dossier_code, event.model_dump(mode="json"))


async def tell(
    session: AsyncSession,
    row: Shipment,
    kind: str,
    *,
    status: str,
    occurred_at: datetime,
    claim_id: str | None = None,
) -> None:
    """Put one piece of news of a shipment into the outbox."""
    one = news_of(row, kind, status=status, occurred_at=occurred_at, claim_id=claim_id)
    await outbox.announce_many(session, [one])
