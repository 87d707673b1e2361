"""Gives stops to couriers. Two desks that give away the same stop at once: the first wins, the second is told."""

from collections import Counter

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.errors import WrongMoment
from services.postal import balance, desk_queries, queries
from services.postal.desk_contract import Assigned, AssignStop, AssignStops, PutCourier
from services.postal.desk_models import Assignment, AssignmentChange, Courier
from services.postal.models import Shipment


class CourierNotActive(WrongMoment):
    kind = "courier-not-active"


async def put_courier(session: AsyncSession, code: str, body: PutCourier, *, by: str) -> Courier:
    """Add a courier to the roster, or change name, communes or whether stops may be given to him."""
    values = {"code": code, **body.model_dump(), "communes": sorted(set(body.communes)), "added_by": by}
    statement = insert(Courier).values(**values, added_at=now())
    changed = {"name": body.name, "communes": values["communes"], "active": body.active}
    await session.exec(statement.on_conflict_do_update(index_elements=["code"], set_=changed))
    query = select(Courier).where(col(Courier.code) == code).execution_options(populate_existing=True)
    return (await session.exec(query)).one()


async def assign(session: AsyncSession, body: AssignStops, *, by: str) -> list[Assigned]:
    """Give stops to a courier or back to nobody, and say of each what became of it.

    A stop that somebody else gave away since the page was drawn is left as it is (`taken`). Raises NoSuchCourier,
    CourierNotActive.
    """
    if body.courier is not None and not (await desk_queries.courier(session, body.courier)).active:
        raise CourierNotActive(
            "Bưu tá này đang nghỉ; hãy chọn bưu tá khác hoặc cho hoạt động lại.",
            "This courier is not on duty; choose another or put him on duty again.",
        )
    seen = {stop.shipment_id: stop for stop in body.stops}
    rows = await _locked(session, sorted(seen))
    held = await _assignments(session, list(rows))
    results = []
    for shipment_id, stop in seen.items():
        row = rows.get(shipment_id)
        if row is None or row.status not in queries.TASK_OF:
            results.append(Assigned(shipment_id=shipment_id, result="not_a_stop", courier=None, version=0))
            continue
        results.append(await _give(session, body, stop, held.get(shipment_id), by=by))
    return results


async def _give(
    session: AsyncSession, body: AssignStops, stop: AssignStop, held: Assignment | None, *, by: str
) -> Assigned:
    holder = held.courier if held is not None else None
    version = held.version if held is not None else 0
    if holder == body.courier:
        return Assigned(shipment_id=stop.shipment_id, result="unchanged", courier=holder, version=version)
    if version != stop.seen_version:
        return Assigned(shipment_id=stop.shipment_id, result="taken", courier=holder, version=version)
    at = now()
    if held is None:
        session.add(Assignment(shipment_id=stop.shipment_id, courier=body.courier, assigned_by=by, assigned_at=at))
    else:
        held.courier, held.assigned_by, held.assigned_at, held.version = body.courier, by, at, version + 1
        session.add(held)
    session.add(
        AssignmentChange(
            shipment_id=stop.shipment_id,
            version=version + 1,
            from_courier=holder,
            to_courier=body.courier,
            changed_by=by,
            changed_at=at,
            reason=body.reason,
        )
    )
    await session.flush()
    return Assigned(shipment_id=stop.shipment_id, result="assigned", courier=body.courier, version=version + 1)


async def _locked(session: AsyncSession, ids: list[str]) -> dict[str, Shipment]:
    """The shipments, locked in one order: whoever comes second sees what the first has done."""
    query = select(Shipment).where(col(Shipment.id).in_(ids)).order_by(col(Shipment.id)).with_for_update()
    found = (await session.exec(query.execution_options(populate_existing=True))).all()
    return {row.id: row for row in found}


async def _assignments(session: AsyncSession, ids: list[str]) -> dict[str, Assignment]:
    query = select(Assignment).where(col(Assignment.shipment_id).in_(ids)).execution_options(populate_existing=True)
    return {row.shipment_id: row for row in (await session.exec(query)).all()}


async def share_out(session: AsyncSession, stops: list[desk_queries.OpenStop], *, by: str) -> list[Assigned]:
    """Give every stop that nobody has to an active courier, evenly and street by street."""
    free = [entry for entry in stops if entry.courier is None]
    loads = Counter(entry.courier for entry in stops if entry.courier is not None)
    carriers = [
        balance.Carrier(courier.code, frozenset(courier.communes), loads[courier.code])
        for courier in await desk_queries.couriers(session, active_only=True)
    ]
    places = [
        balance.Place(entry.stop.shipment_id, entry.stop.commune, desk_queries.street_of(entry.stop.address)[:40])
        for entry in free
    ]
    proposal = balance.propose(places, carriers)
    versions = {entry.stop.shipment_id: entry.version for entry in free}
    results: list[Assigned] = []
    for carrier in carriers:
        mine = [shipment_id for shipment_id, code in proposal.items() if code == carrier.code]
        for start in range(0, len(mine), 200):
            chosen = tuple(
                AssignStop(shipment_id=shipment_id, seen_version=versions[shipment_id])
                for shipment_id in mine[start : start + 200]
            )
            body = AssignStops(courier=carrier.code, stops=chosen, reason="Chia đều tự động")
            results += await assign(session, body, by=by)
    return results
