"""Runs: started, watched, cancelled, and found again after a restart. The work itself is done by a worker process."""

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import update
from sqlalchemy.exc import DBAPIError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.app import background
from kit.db import Sessions, now, transaction
from kit.errors import BadInput, FieldError, NotFound, TooMany, WrongMoment
from kit.ids import new_id
from services.fees.contract import Text
from services.fees.models import SimulationRun
from services.fees.reading import CatalogueFault
from services.fees.simulation.terms import RunStatus, Simulation, SimulationRequest, SimulationResult
from services.fees.simulation.uploads import Uploads
from services.fees.simulation.worker import STAGES, Job, drafted
from services.fees.tariffs import Catalogue

log = logging.getLogger(__name__)

NEXT: Mapping[RunStatus, frozenset[RunStatus]] = {
    "running": frozenset({"done", "failed", "cancelled", "interrupted"}),
    "done": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
    "interrupted": frozenset(),
}
"""Every way a run can go. The database refuses to change a run that has ended."""

HEARTBEAT_SECONDS = 2.0
SILENT_AFTER = timedelta(seconds=20)
AT_ONCE = 2
"""Workers of one process: each takes a core and a few hundred megabytes."""

WORKER_MESSAGE_BYTES = 16 * 1024 * 1024
_ROOT = Path(__file__).parents[3]
_STARTING = Text(vi="Đang khởi động", en="Starting")
_ENDED = {
    "done": Text(vi="Đã xong", en="Done"),
    "failed": Text(vi="Không có kết quả", en="No result"),
    "cancelled": Text(vi="Đã hủy", en="Cancelled"),
    "interrupted": Text(
        vi="Bị gián đoạn khi dịch vụ khởi động lại; hãy chạy lại", en="Interrupted by a restart; run it again"
    ),
}
_CRASHED = Text(
    vi="Tiến trình mô phỏng dừng bất thường (có thể do thiếu bộ nhớ); hãy giảm số hồ sơ rồi chạy lại.",
    en="The simulation's process ended unexpectedly (perhaps for want of memory); use fewer dossiers and run again.",
)


class FaultyDraft(BadInput):
    """A draft cannot be simulated as it is written."""

    kind = "faulty-draft"
    title_vi = "Dự thảo có lỗi"
    title_en = "The draft has faults"


class Runs:
    """The runs of this process. Their rows are in the database, their workers are children of this process."""

    def __init__(self, sessions: Sessions, uploads: Uploads) -> None:
        self.sessions = sessions
        self.uploads = uploads
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._workers: dict[str, asyncio.subprocess.Process] = {}

    async def start(
        self, request: SimulationRequest, *, author: str, version: str, documents: Mapping[str, str]
    ) -> Simulation:
        """Check the drafts, write the run down, begin. Raises FaultyDraft, NotFound for a file, TooMany."""
        faults = await asyncio.to_thread(_faults_of, request, documents)
        if faults:
            raise FaultyDraft(
                "Dự thảo chưa dùng được; hãy sửa các dòng nêu dưới đây rồi chạy lại. Chưa có gì được tính.",
                "The draft cannot be used; correct the lines below and run again. Nothing was computed.",
                fields=faults,
            )
        file = self.uploads.path_of(request.file) if request.file is not None else None
        if len(self._tasks) >= AT_ONCE:
            raise TooMany(
                f"Đang có {AT_ONCE} mô phỏng chạy; hãy chờ xong hoặc hủy một mô phỏng rồi thử lại.",
                f"{AT_ONCE} simulations are running; wait, or cancel one, and try again.",
                headers={"Retry-After": "10"},
            )
        moment = now()
        asked = request.model_dump(mode="json")
        run = SimulationRun(
            id=new_id("sim"),
            status="running",
            stage=_STARTING.model_dump(),
            author=author,
            created_at=moment,
            heartbeat_at=moment,
            input_sha256=input_hash(asked, version),
            catalogue_version=version,
            request=asked,
        )
        shown = simulation_of(run)
        seed = int(run.input_sha256[:8], 16)
        job = Job(
            request=request, documents=dict(documents), version=version, file=str(file) if file else None, seed=seed
        )
        async with transaction(self.sessions) as session:
            session.add(run)
        task = asyncio.create_task(self._work(shown.id, job))
        self._tasks[shown.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(shown.id, None))
        return shown

    async def cancel(self, identity: str) -> Simulation:
        """Stop a run. A run that was cancelled before is answered as it is. Raises NotFound, WrongMoment."""
        ended = await self._end(identity, "cancelled")
        worker = self._workers.get(identity)
        if worker is not None and worker.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                worker.kill()
        async with transaction(self.sessions) as session:
            found = await run_by_id(session, identity)
            shown = simulation_of(found)
        if not ended and shown.status != "cancelled":
            raise WrongMoment(
                "Mô phỏng này đã kết thúc nên không hủy được nữa.", "This simulation has ended; it cannot be cancelled."
            )
        return shown

    async def close(self) -> None:
        """Stop all workers of this process; their runs are interrupted."""
        for identity in list(self._tasks):
            await self._end(identity, "interrupted")
        for task in list(self._tasks.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def sweep(self) -> None:
        """Mark runs as interrupted whose process has gone silent, and forget old files, until cancelled."""
        while True:
            try:
                await self.interrupt_silent(now())
                await asyncio.to_thread(self.uploads.forget_old)
            except (OSError, DBAPIError):
                log.warning("simulations could not be swept; trying again", exc_info=True)
            await asyncio.sleep(SILENT_AFTER.total_seconds() / 2)

    async def interrupt_silent(self, moment: datetime) -> None:
        """Runs that nobody works on any more are interrupted."""
        async with transaction(self.sessions) as session:
            await (await session.connection()).execute(
                update(SimulationRun)
                .where(col(SimulationRun.status) == "running", col(SimulationRun.heartbeat_at) < moment - SILENT_AFTER)
                .values(status="interrupted", finished_at=moment, stage=_ENDED["interrupted"].model_dump())
            )

    async def _work(self, identity: str, job: Job) -> None:
        try:
            outcome = await self._run_worker(identity, job)
        except (OSError, asyncio.IncompleteReadError):
            log.exception("a simulation's worker could not be run")
            outcome = {}
        finally:
            worker = self._workers.pop(identity, None)
            if worker is not None and worker.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    worker.kill()
                await worker.wait()
        if "result" in outcome:
            result = SimulationResult.model_validate(outcome["result"])
            await self._end(identity, "done", result=result.model_dump(mode="json"))
        else:
            failure = outcome.get("failure") or _CRASHED.model_dump()
            await self._end(identity, "failed", failure=failure)

    async def _run_worker(self, identity: str, job: Job) -> dict[str, Any]:
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.fees.simulation.worker",
            cwd=_ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=WORKER_MESSAGE_BYTES,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self._workers[identity] = worker
        if worker.stdin is None or worker.stdout is None:
            raise AssertionError("the worker was started with pipes")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            worker.stdin.write(job.model_dump_json().encode())
            await worker.stdin.drain()
        worker.stdin.close()
        outcome: dict[str, Any] = {}
        percent, stage = 0, STAGES["law"].model_dump()
        reading = asyncio.create_task(worker.stdout.readline())
        try:
            while True:
                done, _ = await asyncio.wait({reading}, timeout=HEARTBEAT_SECONDS)
                if done:
                    line = reading.result()
                    if not line:
                        break
                    message = json.loads(line)
                    if "percent" in message:
                        percent, stage = message["percent"], message["stage"]
                    else:
                        outcome = message
                    reading = asyncio.create_task(worker.stdout.readline())
                if not await self._beat(identity, percent, stage):
                    worker.kill()  # cancelled, perhaps through another process
        finally:
            reading.cancel()
        await worker.wait()
        return outcome

    async def _beat(self, identity: str, percent: int, stage: dict[str, str]) -> bool:
        """Say that the run lives and how far it is. False when it has ended meanwhile."""
        try:
            async with transaction(self.sessions) as session:
                done = await (await session.connection()).execute(
                    update(SimulationRun)
                    .where(col(SimulationRun.id) == identity, col(SimulationRun.status) == "running")
                    .values(heartbeat_at=now(), progress_percent=percent, stage=stage)
                )
        except (OSError, DBAPIError):
            log.warning("a simulation's progress could not be written", exc_info=True)
            return True
        return bool(done.rowcount)

    async def _end(
        self,
        identity: str,
        status: RunStatus,
        *,
        result: dict[str, Any] | None = None,
        failure: dict[str, str] | None = None,
    ) -> bool:
        """Take a run to an end it may go to from where it is; False when it is already elsewhere."""
        sources = [source for source, targets in NEXT.items() if status in targets]
        values: dict[str, Any] = {"status": status, "finished_at": now(), "stage": _ENDED[status].model_dump()}
        if result is not None:
            values |= {"result": result, "progress_percent": 100}
        if failure is not None:
            values["failure"] = failure
        async with transaction(self.sessions) as session:
            done = await (await session.connection()).execute(
                update(SimulationRun)
                .where(col(SimulationRun.id) == identity, col(SimulationRun.status).in_(sources))
                .values(**values)
            )
        return bool(done.rowcount)


@asynccontextmanager
async def runs_held(runs: Runs) -> AsyncIterator[None]:
    """Sweep beside the app; stop this process's workers when it ends."""
    async with background(runs.sweep()):
        try:
            yield
        finally:
            await runs.close()


def _faults_of(request: SimulationRequest, documents: Mapping[str, str]) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, terms in request.drafts().items():
        found = drafted(documents, name, terms)
        if not isinstance(found, Catalogue):
            errors += [_field_of(f"draft_{name}", fault) for fault in found]
    return errors


def _field_of(field: str, fault: CatalogueFault) -> FieldError:
    return FieldError(f"{field}.yaml:{fault.line}", f"dòng {fault.line}: {fault.vi}", f"line {fault.line}: {fault.en}")


def input_hash(asked: Mapping[str, Any], version: str) -> str:
    """SHA-256 of what was asked and of the version it was asked of: the same hash gives the same figures."""
    canonical = json.dumps(
        {"asked": asked, "version": version}, ensure_ascii=False, sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


async def run_by_id(session: AsyncSession, identity: str) -> SimulationRun:
    """One run. Raises NotFound."""
    run = await session.get(SimulationRun, identity) if identity.isascii() and identity.isprintable() else None
    if run is None:
        raise NotFound("Không có mô phỏng với mã này.", "There is no simulation with this id.")
    return run


async def runs_before(session: AsyncSession, before: str | None, limit: int) -> Sequence[SimulationRun]:
    """Runs, the newest first (ids carry their time)."""
    wanted = select(SimulationRun).order_by(col(SimulationRun.id).desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(col(SimulationRun.id) < before)
    return (await session.exec(wanted)).all()


def simulation_of(run: SimulationRun, *, with_result: bool = True) -> Simulation:
    """The contract's view of a run."""
    return Simulation.model_validate(
        {
            "id": run.id,
            "status": run.status,
            "progress_percent": run.progress_percent,
            "stage": run.stage,
            "author": run.author,
            "created_at": run.created_at,
            "finished_at": run.finished_at,
            "input_sha256": run.input_sha256,
            "catalogue_version": run.catalogue_version,
            "request": run.request,
            "failure": run.failure,
            "result": run.result if with_result else None,
        }
    )
