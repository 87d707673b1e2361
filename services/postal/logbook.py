"""Writes a batch of facts and what follows from them in a handful of statements, however many shipments it touches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

from sqlalchemy import Table, delete, inspect
from sqlalchemy.orm.attributes import set_committed_value
from sqlmodel import SQLModel, col
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.bulk import insert_many, update_many
from kit.ids import new_reference
from services.postal import custody, wording
from services.postal.models import CashCollection, Event, EventFile, LogRow, Piece, Shipment, Verdict


@dataclass(frozen=True, slots=True)
class Grown:
    """A shipment whose log has just grown."""

    row: Shipment
    before: Mapping[str, tuple[bool, str | None]]
    """What was thought of the facts already there, by id."""
    known: Sequence[custody.Fact]
    """Facts that were there and counted."""
    added: Sequence[LogRow]
    result: custody.Custody
    pieces: Sequence[Piece]


async def write(session: AsyncSession, grown: Sequence[Grown]) -> None:
    """Store new facts and verdicts; bring lists, checklists and cash in line with the fold."""
    await insert_many(session, _table(Event), [_columns(event) for one in grown for event in one.added])
    files = [file for one in grown for event in one.added for file in _file_rows(event)]
    await insert_many(session, _table(EventFile), files)
    verdicts = [verdict for one in grown for verdict in _changed_verdicts(one)]
    await insert_many(session, _table(Verdict), verdicts, update_on=("event_id",))
    await _project_checklists(session, grown)
    for one in grown:
        await _take_back_cash(session, one)
    await insert_many(session, _table(CashCollection), [cash for one in grown for cash in _new_cash(one)])
    await update_many(session, _table(Shipment), [_projection(one) for one in grown], key="id")


_FIELDS = tuple(part.name for part in fields(LogRow))


def _columns(event: LogRow) -> dict[str, Any]:
    return {name: getattr(event, name) for name in _FIELDS}


def _table(model: type[SQLModel]) -> Table:
    return cast("Table", inspect(model).local_table)


def _file_rows(event: LogRow) -> list[dict[str, Any]]:
    if event.kind == "evidence_stored" or event.evidence is None:
        return []
    kinds = {file["sha256"]: file["kind"] for file in event.evidence.get("files", ())}
    return [
        {"event_id": event.id, "sha256": sha256, "shipment_id": event.shipment_id, "kind": kind}
        for sha256, kind in kinds.items()
    ]


def _changed_verdicts(one: Grown) -> list[dict[str, Any]]:
    """A late fact may alter what was thought of facts before it."""
    return [
        {
            "event_id": verdict.fact.event_id,
            "shipment_id": one.row.id,
            "applied": verdict.applied,
            "anomaly": verdict.anomaly,
        }
        for verdict in one.result.verdicts
        if one.before.get(verdict.fact.event_id) != (verdict.applied, verdict.anomaly)
    ]


def _projection(one: Grown) -> dict[str, Any]:
    """The shipment's row as the fold says; the loaded object is brought along without another statement."""
    row, result = one.row, one.result
    release = result.release
    fresh_receipt = result.collection is not None and row.receipt_code is None
    values: dict[str, Any] = {
        "status": result.status,
        "custodian": result.custodian,
        "seal_number": result.seal_number,
        "attempts": result.attempts,
        "held_until": result.held_until,
        "last_seen_at": result.last_seen_at,
        "pickup_status": result.pickup,
        "files_missing": len(result.files_missing),
        "release_since": release.since if release is not None else None,
        "release_to": (release.name or wording.CUSTODIAN[release.to][0]) if release is not None else None,
        "version": row.version + 1,
        "receipt_code": new_reference("BN") if fresh_receipt else row.receipt_code,
        "cash_collected_dong": row.cash_collected_dong,
        "chain_length": row.chain_length,
        "chain_head": row.chain_head,
    }
    for name, value in values.items():
        set_committed_value(row, name, value)
    return {"id": row.id, **values}


async def _project_checklists(session: AsyncSession, grown: Sequence[Grown]) -> None:
    changed = []
    for one in grown:
        for piece in one.pieces:
            ticked = piece.position in one.result.collected_positions
            if ticked != piece.collected:
                set_committed_value(piece, "collected", ticked)
                changed.append(piece.model_dump())
    await insert_many(session, _table(Piece), changed, update_on=("shipment_id", "position"))


async def _take_back_cash(session: AsyncSession, one: Grown) -> None:
    """A correction takes cash back only while nobody has counted it into a deposit."""
    row = one.row
    if one.result.cash is None and row.cash_collected_dong:
        undeposited = delete(CashCollection).where(
            col(CashCollection.shipment_id) == row.id, col(CashCollection.deposit_id).is_(None)
        )
        gone = await session.exec(undeposited.returning(col(CashCollection.shipment_id)))
        if gone.first() is not None:
            set_committed_value(row, "cash_collected_dong", 0)


def _new_cash(one: Grown) -> list[dict[str, Any]]:
    """Cash in the courier's hands, once a shipment."""
    row, cash = one.row, one.result.cash
    if cash is None or row.cash_collected_dong:
        return []
    set_committed_value(row, "cash_collected_dong", cash.counted_cash_dong)
    collection = CashCollection(
        shipment_id=row.id,
        event_id=cash.fact.event_id,
        dossier_code=row.dossier_code,
        courier=cash.fact.actor,
        amount_dong=cash.counted_cash_dong,
        collected_at=cash.fact.occurred_at,
    )
    return [collection.model_dump()]
