"""The watch of a leg: each deadline is looked at when it is due, news moves it, and it ends with the leg."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle

from services.postal.contract import ShipmentStatus
from services.postal.deadlines import Journey, Stop
from services.postal.desk_contract import DeadlineCheck
from tests.workflows.journey import Journeys
from tests.workflows.test_side_workflows import ended, tell
from tests.workflows.world import PATIENCE_SECONDS, World
from workflows.contract import WORKFLOW_QUEUE, WatchInput, WatchResult, watch_workflow_id
from workflows.watch import WatchWorkflow

Watched = WorkflowHandle[WatchWorkflow, WatchResult]


async def begin(journeys: Journeys, code: str, **changes: Any) -> Watched:
    """Watch a leg as the webhook's receiver does."""
    shipment_id = f"shp_{code}_1"
    handle = await journeys.env.client.start_workflow(
        WatchWorkflow.run,
        WatchInput(shipment_id=shipment_id, dossier_code=code, **changes),
        id=watch_workflow_id(shipment_id),
        task_queue=WORKFLOW_QUEUE,
    )
    journeys.watch(handle)
    return handle


async def seen(handle: Watched, holds: Callable[[DeadlineCheck], bool] = lambda _: True) -> DeadlineCheck:
    """The last look, as soon as it holds what is expected."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            view = await handle.query(WatchWorkflow.view)
            if view is not None and holds(view):
                return view
            await asyncio.sleep(0.005)


async def leg(journeys: Journeys, status: ShipmentStatus, **changes: Any) -> Journey:
    """A leg that came into this state now."""
    now: datetime = await journeys.env.get_current_time()
    return Journey(status, now, now, now, **changes)


DUE: dict[str, tuple[ShipmentStatus, dict[str, Any], int]] = {
    "pickup": ("booked", {}, 20),
    "first_attempt": ("in_transit", {"collected_at": "now"}, 30),
    "delivery": ("out_for_delivery", {"collected_at": "now"}, 30),
    "next_attempt": ("attempt_failed", {"collected_at": "now", "first_attempt_at": "now"}, 20),
    "hold": ("ready_for_collection", {"collected_at": "now", "held_until": 10}, 20),
    "movement": ("collected", {"collected_at": "now"}, 20),
    "custody": ("at_origin_office", {"collected_at": "now", "release_since": "now"}, 20),
    "evidence": ("delivered_pending_evidence", {"collected_at": "now"}, 20),
    "presumed_lost": ("investigating", {"collected_at": "now"}, 40),
    "claim_answer": ("lost", {"claim_answer_by": 60}, 90),
    "claim_payment": ("lost", {"claim_pay_by": 30}, 60),
}
"""A state in which each deadline runs, and days after which it is over in any season."""


@pytest.mark.parametrize("kind", DUE)
async def test_a_deadline_is_looked_at_when_it_is_due(journeys: Journeys, world: World, code: str, kind: str) -> None:
    status, told, days = DUE[kind]
    now = await journeys.env.get_current_time()
    facts = {name: now if value == "now" else (now + timedelta(days=value)).date() for name, value in told.items()}
    desk = world.of(code)
    desk.journey = await leg(journeys, status, **facts)
    handle = await begin(journeys, code)
    await desk.called("check_deadlines")
    view = await seen(handle)
    due = next(clock.due_at for clock in view.clocks if clock.kind == kind)
    assert kind not in view.open_cases

    await journeys.env.sleep(timedelta(days=days))
    after = await seen(handle, lambda check: kind in check.open_cases)
    desk.journey = replace(desk.journey, status="delivered", claim_answer_by=None, claim_pay_by=None)
    await tell(journeys.env, handle, "shipment.delivered")
    result = await ended(handle)

    assert kind in after.open_cases
    assert any(due <= look < due + timedelta(minutes=5) for look in desk.looks)
    assert (kind in result.breaches, result.end) == (True, "ended")


async def test_a_leg_that_goes_well_is_watched_without_a_breach(
    journeys: Journeys, temporal: Client, world: World, code: str
) -> None:
    desk = world.of(code)
    desk.journey = await leg(journeys, "booked")
    handle = await begin(journeys, code)
    await desk.called("check_deadlines")
    desk.journey = replace(desk.journey, status="collected", collected_at=desk.journey.booked_at)
    await tell(journeys.env, handle, "shipment.collected")
    await tell(journeys.env, handle, "shipment.collected")  # said twice: looked at once
    await desk.called("check_deadlines", times=2)
    desk.journey = replace(desk.journey, status="delivered")
    await tell(journeys.env, handle, "shipment.delivered")

    result = await ended(handle)

    assert result == WatchResult(shipment_id=f"shp_{code}_1", breaches=(), end="ended")
    assert desk.done["check_deadlines"] == 3


async def test_a_stopped_clock_is_not_late_and_an_unreleased_stop_runs_out(
    journeys: Journeys, world: World, code: str
) -> None:
    desk = world.of(code)
    journey = await leg(journeys, "booked")
    desk.journey = replace(journey, stops=(Stop(journey.booked_at, None, "weather"),))
    handle = await begin(journeys, code, look_seconds=86_400)
    await seen(handle)

    await journeys.env.sleep(timedelta(days=10))
    during = await seen(handle)
    await journeys.env.sleep(timedelta(days=30))
    after = await seen(handle, lambda check: bool(check.open_cases))
    desk.journey = replace(desk.journey, status="cancelled")
    await tell(journeys.env, handle, "shipment.cancelled")
    result = await ended(handle)

    assert (during.open_cases, during.clocks[0].standing) == ((), "weather")
    assert after.open_cases == ("pickup",)
    assert result.breaches == ("pickup",)


async def test_a_leg_that_the_post_does_not_know_is_not_watched(journeys: Journeys, world: World, code: str) -> None:
    world.of(code).refuse("check_deadlines", "no-such-shipment")

    result = await ended(await begin(journeys, code))

    assert result.end == "no-such-shipment"


async def test_a_look_that_failed_is_repeated(journeys: Journeys, world: World, code: str) -> None:
    desk = world.of(code)
    desk.failures["check_deadlines"] = 2

    result = await ended(await begin(journeys, code))

    assert (result.end, desk.arrivals("check_deadlines")) == ("ended", 3)
