"""A time-skipping server for each journey, with workers whose activities are the world's.

One server for all would not do: while a result is awaited the clock also jumps over what ended workflows have left
behind (their ten-year limits), so that it runs away by decades, and a clock
that another test has stopped stays stopped.
"""

import itertools
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

from tests.workflows.doubles import activities
from tests.workflows.journey import Journeys
from tests.workflows.world import World
from workflows.contract import WORKFLOW_QUEUE
from workflows.worker import WORKFLOWS

BINARIES = Path(sys.executable).parent
_codes = itertools.count(1)


def sandbox() -> SandboxedWorkflowRunner:
    """The sandbox of production, and an error where a definition imports what it should pass through."""
    policy = SandboxImportNotificationPolicy
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_import_notification_policy(
            policy.WARN_ON_DYNAMIC_IMPORT | policy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
        )
    )


@asynccontextmanager
async def time_skipping(world: World, *, cached_workflows: int = 1000) -> AsyncIterator[WorkflowEnvironment]:
    """A time-skipping server and workers whose activities are the world's."""
    async with AsyncExitStack() as stack:
        env = await WorkflowEnvironment.start_time_skipping(
            test_server_existing_path=str(BINARIES / "temporal-test-server"),
            data_converter=pydantic_data_converter,
            identity="tests",
        )
        await stack.enter_async_context(env)
        for queue, work in activities(world).items():
            await stack.enter_async_context(Worker(env.client, task_queue=queue, activities=work))
        definitions = Worker(
            env.client,
            task_queue=WORKFLOW_QUEUE,
            workflows=WORKFLOWS,
            workflow_runner=sandbox(),
            max_cached_workflows=cached_workflows,
        )
        await stack.enter_async_context(definitions)
        yield env


@pytest.fixture
def world() -> World:
    """The services behind the journeys of a test."""
    return World()


@pytest.fixture
async def env(world: World) -> AsyncIterator[WorkflowEnvironment]:
    """The server whose clock jumps."""
    async with time_skipping(world) as running:
        yield running


@pytest.fixture
def temporal(env: WorkflowEnvironment) -> Client:
    """A client of the server whose clock jumps."""
    return env.client


@pytest.fixture
async def journeys(request: pytest.FixtureRequest, env: WorkflowEnvironment, world: World) -> AsyncIterator[Journeys]:
    """Starts dossiers. Afterwards no history may hold a name, phone or address, and nothing is left running."""
    recorder = request.config.pluginmanager.get_plugin("tests.workflows.record")
    opened = Journeys(env, world, name=request.node.name.removeprefix("test_"))
    yield opened
    await opened.close(recorder.FRESH if recorder is not None else None)


@pytest.fixture
def code() -> str:
    """A dossier code that no other test uses."""
    return f"T.{next(_codes):04d}"
