"""Time-skipping servers with workers whose activities are the world's; each journey has a code and a desk of its own.

Most journeys share one server. Its clock may stop jumping for good after a workflow was terminated or cancelled with a
task in hand, so modules whose tests need time to pass override `env` with `fresh_env`: a server for every test.
"""
import itertools
import sys
from collections.abc import AsyncIterator, Iterator
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
async def time_skipping(world: World, *, cached_workflows: int) -> AsyncIterator[WorkflowEnvironment]:
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


@pytest.fixture(scope="session")
def world() -> World:
    """The services behind all journeys."""
    return World()


@pytest.fixture(scope="session")
async def env(world: World) -> AsyncIterator[WorkflowEnvironment]:
    """The server whose clock jumps."""
    async with time_skipping(world, cached_workflows=1000) as running:
        yield running


@pytest.fixture
async def fresh_env(world: World) -> AsyncIterator[WorkflowEnvironment]:
    """A server of a test's own."""
    async with time_skipping(world, cached_workflows=1000) as running:
        yield running


@pytest.fixture(scope="session")
async def forgetful_env(world: World) -> AsyncIterator[WorkflowEnvironment]:
    """The same with workers that remember nothing: every task replays the whole history."""
    async with time_skipping(world, cached_workflows=0) as running:
        yield running


@pytest.fixture
def temporal(env: WorkflowEnvironment) -> Client:
    """A client of the server whose clock jumps."""
    return env.client


@pytest.fixture
async def journeys(request: pytest.FixtureRequest, env: WorkflowEnvironment, world: World) -> AsyncIterator[Journeys]:
    """Starts dossiers. Afterwards no history may hold a name, phone or address, and nothing is left running."""
    async for opened in _journeys(request, env, world):
        yield opened


@pytest.fixture
async def forgetful_journeys(
    request: pytest.FixtureRequest, forgetful_env: WorkflowEnvironment, world: World
) -> AsyncIterator[Journeys]:
    """The same without a cache."""
    async for opened in _journeys(request, forgetful_env, world):
        yield opened


async def _journeys(
    request: pytest.FixtureRequest, env: WorkflowEnvironment, world: World
) -> AsyncIterator[Journeys]:
    recorder = request.config.pluginmanager.get_plugin("history-recorder")
    folder = recorder.folder if recorder is not None else None
    opened = Journeys(env, world, name=request.node.name.removeprefix("test_"))
    yield opened
    await opened.close(folder)


@pytest.fixture
def code() -> Iterator[str]:
    """A dossier code that no other test uses."""
    yield f"T.{next(_codes):04d}"
