"""Task runners, retries and events of the flows, as far as they need no server."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from prefect.automations import Automation
from prefect.client.schemas.objects import Flow as StoredFlow
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

from binclf.errors import BusyError, ConfigError, DataError, RankError, StorageError
from flows import events, failures, retries
from flows.parts import chunks
from flows.runners import runner


def test_the_environment_names_the_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BINCLF_TASK_RUNNER", raising=False)
    assert isinstance(runner(), ThreadPoolTaskRunner)
    monkeypatch.setenv("BINCLF_TASK_RUNNER", "processes")
    assert isinstance(runner(), ProcessPoolTaskRunner)
    for wrong in ("thread", "threads 4", "", "spark"):
        with pytest.raises(ConfigError, match="write threads, processes, dask"):
            runner(wrong)
    monkeypatch.setattr("flows.runners.ENGINES", {"ray": ("no_such_module", "Runner")})
    with pytest.raises(ConfigError, match=r"needs no_such_module: pip install 'binclf\[ray\]'"):
        runner("ray ray://head:10001")


@pytest.mark.parametrize(("count", "most"), [(0, 3), (1, 3), (3, 3), (10, 3), (1000, 1000), (2500, 1000)])
def test_parts_are_dealt_to_few_tasks_each_once_and_in_order(count: int, most: int) -> None:
    dealt = chunks(range(count), most)
    assert [one for some in dealt for one in some] == list(range(count))
    assert len(dealt) == min(count, most)
    assert {len(some) for some in dealt} <= {count // most, count // most + 1}


@pytest.mark.parametrize(
    ("error", "is_repeated"),
    [
        (StorageError("the disk is full"), True),
        (RankError("rank 1 was killed by SIGKILL"), True),
        (BusyError("in use"), True),
        (DataError("no such column"), False),
        (ConfigError("no such key"), False),
        (AssertionError("our own fault"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error: Exception, is_repeated: bool) -> None:
    class Failed:
        def result(self, *, raise_on_failure: bool) -> Exception:
            assert not raise_on_failure
            return error

    state: Any = Failed()
    nothing: Any = None
    assert retries.may_pass(nothing, nothing, state) == is_repeated


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"name": "churn"}, "churn"),
        ({"model": "models:/churn@champion"}, "churn"),
        ({"model": "models:/churn/3"}, "churn"),
        ({"model": "s3://here/late-flights-20260101-000000-abcdef/"}, "late-flights"),
    ],
)
def test_a_failure_is_told_of_its_model(
    monkeypatch: pytest.MonkeyPatch, parameters: dict[str, str], name: str
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(events, "emit_event", lambda event, **rest: told.append((event, rest)))

    class Run:
        id = "1"

    run: Any = Run()
    run.parameters = parameters

    class State:
        message = None

    state: Any = State()
    stored = StoredFlow(name="score", labels={})
    flow: Any = stored
    failures.failed(flow=flow, flow_run=run, state=state)
    ((event, rest),) = told
    assert (event, rest["resource"]["prefect.resource.id"]) == (events.FAILED, f"binclf.model.{name}")
    assert rest["payload"] == {"flow": "score", "flow_run": "1", "message": ""}


def test_the_automation_of_the_docs_is_one_and_waits_for_our_events() -> None:
    yaml: Any = import_module("yaml")
    page = (Path(__file__).parents[1] / "docs" / "prefect.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    automation = Automation.model_validate(yaml.safe_load(block))
    trigger: Any = automation.trigger
    assert trigger.expect == {events.PROMOTED, events.FAILED, events.DRIFTED}
    assert trigger.match.matches({"prefect.resource.id": "binclf.model.churn"})
    for name in (events.PROMOTED, events.KEPT, events.FAILED, events.DRIFTED):
        assert f"`{name}`" in page
    for key in events.SHOWN:
        assert f"`{key}`" in page
