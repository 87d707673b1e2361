"""Histories recorded from every branch replay under today's definitions: dossiers under way survive a deployment."""

import base64
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from tests.workflows.conftest import sandbox
from tests.workflows.journey import personal_data_in
from workflows.contract import DossierView, Outcome, Phase
from workflows.texts import PHASES
from workflows.worker import WORKFLOWS

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


def replayer() -> Replayer:
    return Replayer(workflows=WORKFLOWS, data_converter=pydantic_data_converter, workflow_runner=sandbox())


def history_of(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text(encoding="utf-8"))


def events_of(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text(encoding="utf-8"))["events"])


def result_of(path: Path) -> DossierView | None:
    """The view with which a dossier's history ended; None for other workflows and cancelled ones."""
    events = events_of(path)
    kind = events[0]["workflowExecutionStartedEventAttributes"]["workflowType"]["name"]
    end = events[-1].get("workflowExecutionCompletedEventAttributes")
    if kind != "Dossier" or end is None:
        return None
    return DossierView.model_validate_json(base64.b64decode(end["result"]["payloads"][0]["data"]))


async def test_every_recorded_history_replays() -> None:
    async def histories() -> Any:
        for path in HISTORIES:
            yield history_of(path)

    results = await replayer().replay_workflows(histories(), raise_on_replay_failure=False)

    assert results.replay_failures == {}
    assert len(HISTORIES) > 60


def test_every_phase_and_every_outcome_is_recorded() -> None:
    views = [view for path in HISTORIES if (view := result_of(path)) is not None]
    entered = {moment.en for view in views for moment in view.history}

    phases = {phase for phase, (_, english) in PHASES.items() if english in entered} | {"quoting"}  # each begins there
    assert phases == set(get_args(Phase))
    assert {view.outcome for view in views} == set(get_args(Outcome))


def test_every_way_back_and_every_workflow_is_recorded() -> None:
    scheduled: set[str] = set()
    kinds: set[str] = set()
    ends: set[str] = set()
    for path in HISTORIES:
        events = events_of(path)
        kinds.add(events[0]["workflowExecutionStartedEventAttributes"]["workflowType"]["name"])
        ends.add(events[-1]["eventType"])
        scheduled |= {
            event["activityTaskScheduledEventAttributes"]["activityType"]["name"]
            for event in events
            if "activityTaskScheduledEventAttributes" in event
        }

    assert kinds == {"Dossier", "Refund", "Claim", "Remittance", "ReconcileDay", "Watch"}
    assert {
        "cancel_payment",
        "cancel_shipment",
        "request_refund",
        "submit_claim",
        "record_cash",
        "check_deadlines",
        "note_remitted",
    } <= scheduled
    assert ends == {"EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED", "EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED"}


def test_no_recorded_history_holds_personal_data() -> None:
    assert [
        path.name for path in HISTORIES if list(personal_data_in(json.loads(path.read_text(encoding="utf-8"))))
    ] == []


def test_personal_data_inside_a_payload_is_found() -> None:
    payload = base64.b64encode('{"name": "Nguyễn Thị Hồng Hoa"}'.encode()).decode()
    escaped = base64.b64encode(json.dumps({"name": "Nguyễn Thị Hồng Hoa"}).encode()).decode()

    assert list(personal_data_in({"events": [{"input": {"payloads": [{"data": payload}]}}]})) == ["Nguyễn Thị Hồng Hoa"]
    assert list(personal_data_in({"payloads": [{"data": escaped}]})) == ["Nguyễn Thị Hồng Hoa"]


async def test_a_history_that_does_not_fit_the_definition_is_refused() -> None:
    (path,) = [path for path in HISTORIES if path.name == "dossier-both_ways_by_post.json"]
    text = path.read_text(encoding="utf-8")
    assert "book_shipment" in text

    with pytest.raises(NondeterminismError):
        await replayer().replay_workflow(
            WorkflowHistory.from_json("changed", text.replace("book_shipment", "fold_paper_plane"))
        )
