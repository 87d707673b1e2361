"""Some journeys once more with a worker that remembers nothing: each task replays the history from its beginning."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from temporalio.testing import WorkflowEnvironment

from tests.workflows import test_deadlines, test_happy_paths, test_way_back
from tests.workflows.conftest import time_skipping
from tests.workflows.journey import Journeys
from tests.workflows.world import World

STORIES: list[Callable[[Journeys, str], Awaitable[None]]] = [
    test_happy_paths.test_both_ways_by_post,
    test_happy_paths.test_facts_said_twice_and_out_of_order_change_nothing,
    test_deadlines.test_a_partial_payment_that_expires_is_given_back,
    test_way_back.test_papers_collected_in_the_moment_of_withdrawal_come_back_by_the_return_leg,
    test_way_back.test_papers_lost_on_the_way_are_claimed_for_and_the_unused_leg_refunded,
    test_way_back.test_a_cancellation_on_the_way_back_does_not_stop_it,
]


@pytest.fixture
async def env(world: World) -> AsyncIterator[WorkflowEnvironment]:
    """A server whose workers keep no workflow in memory."""
    async with time_skipping(world, cached_workflows=0) as running:
        yield running


@pytest.mark.parametrize("story", STORIES, ids=[story.__name__.removeprefix("test_") for story in STORIES])
async def test_it_ends_the_same(
    story: Callable[[Journeys, str], Awaitable[None]], journeys: Journeys, code: str
) -> None:
    await story(journeys, code)
