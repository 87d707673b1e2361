"""What couriers' phones say of themselves, so that a dispatcher knows what is still in a pocket before a shift ends."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from services.postal.models import Device

CLOCK_IS_WRONG = timedelta(minutes=5)
"""A phone further off than this is shown as wrong; its facts are corrected all the same."""


@dataclass(frozen=True, slots=True)
class Report:
    """One phone's account at one moment. Skew in milliseconds, positive when the phone's clock is ahead."""

    device_id: str
    last_seq: int
    unsent_events: int
    unsent_files: int
    clock_skew_ms: int


async def note_report(session: AsyncSession, report: Report, *, courier: str, at: datetime) -> None:
    """Remember what a phone said. Two phones of one courier, and two couriers of one phone, are kept apart."""
    values = {
        "last_seen_at": at,
        "last_seq": report.last_seq,
        "unsent_events": report.unsent_events,
        "unsent_files": report.unsent_files,
        "clock_skew_ms": report.clock_skew_ms,
    }
    statement = insert(Device).values(device_id=report.device_id, courier=courier, first_seen_at=at, **values)
    highest = func.greatest(col(Device.last_seq), statement.excluded.last_seq)
    await session.exec(
        statement.on_conflict_do_update(index_elements=["device_id", "courier"], set_={**values, "last_seq": highest})
    )


async def devices_in_debt(session: AsyncSession, *, silent_since: datetime, limit: int = 100) -> list[Device]:
    """Phones that held something unsent when last heard, or whose clock is wrong, or silent since a moment."""
    skew = func.abs(col(Device.clock_skew_ms)) > CLOCK_IS_WRONG // timedelta(milliseconds=1)
    owes = (col(Device.unsent_events) > 0) | (col(Device.unsent_files) > 0) | skew
    query = select(Device).where(owes | (col(Device.last_seen_at) < silent_since))
    return list(
        (await session.exec(query.order_by(col(Device.last_seen_at), col(Device.device_id)).limit(limit))).all()
    )
