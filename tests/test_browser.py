"""What a colleague does who does not program, in a real browser: `make browser`. Pictures of it are kept.

Everything is started by `python -m deployments.ui`, as `make ui` does it, and stopped by Ctrl-C at the end.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from binclf import registry
from tests.ports import free_port
from tests.ranks import as_toml, environment_of, is_alive, nothing_left, small_job, wait_until
from tests.servers import ROOT, background, environment

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
PICTURES = Path(os.environ.get("BINCLF_PICTURES", ROOT / "build" / "pictures"))
SECONDS = 300.0  # within which a run of a small job ends on a busy machine


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset of a small job, and other data of the same kind: newer ones."""
    folder = tmp_path_factory.mktemp("browser")
    job = small_job(folder / "old", registry={"uri": ""}, train={"epochs": 100, "ranks": 2})
    (folder / "small.toml").write_text(as_toml(job.model_copy(update={"store": str(folder / "runs")})))
    small_job(folder / "newer", seed=4)
    return folder


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[str]:
    """The address of Prefect's pages; after the last test, Ctrl-C leaves no process."""
    ports = [free_port(), free_port()]
    command = [sys.executable, "-m", "deployments.ui", str(folder)]
    command += ["--score", "small", str(folder / "newer" / "data"), str(folder / "night")]
    command += ["--port", str(ports[0]), "--mlflow-port", str(ports[1])]
    marker = f"browser-{time.time_ns()}"
    own = environment(folder / "home", BINCLF_TEST_MARKER=marker)
    log = folder / "ui.log"
    with nothing_left(marker), background(command, own, log, seconds=60) as process:
        wait_until(lambda: "Ctrl-C stops" in log.read_text() or process.poll() is not None, 400, "ready")
        assert process.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{ports[0]}"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    assert CHROMIUM, "no Chromium: `apt-get install chromium`, or `make browser`, which does so"
    with sync_playwright() as playwright:
        # no sandbox: the tests may run as root in a container, and open pages of this machine alone
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser: Any, site: str) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()


def keep(page: Any, name: str) -> None:
    """A picture of the page as it is."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png")


def deployed(page: Any, site: str, flow: str, deployment: str) -> Any:
    """A deployment's row in their list."""
    page.goto(f"{site}/v2/deployments")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=deployment, exact=True))
    return row.filter(has=page.get_by_role("link", name=flow, exact=True))


def custom_run(page: Any, site: str, flow: str, deployment: str) -> None:
    """From the list of deployments to the form."""
    row = deployed(page, site, flow, deployment)
    row.get_by_role("link", name=deployment, exact=True).click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Custom run").click()
    page.get_by_role("button", name="Submit").wait_for()
    page.locator("textarea").first.wait_for()  # the parameters come later


def fill(page: Any, label: str, value: str) -> None:
    """Fill in the one field of that label."""
    page.get_by_label(re.compile(rf"^({label})( \(Optional\))?$", re.IGNORECASE)).fill(value)


def submit(page: Any) -> str:
    """Submit the form and open the run; its id."""
    page.get_by_role("button", name="Submit").click()
    page.get_by_role("link", name="View run").click()
    page.wait_for_url("**/flow-run/*")
    return str(re.search(r"flow-run/([0-9a-f-]{36})", page.url)[1])  # type: ignore[index]


def open_artifact(page: Any, key: str) -> None:
    """From the run's artifacts to the newest of that key."""
    page.get_by_text(key, exact=True).first.click()
    page.locator("a[href*='/artifacts/artifact/']").first.click()


def wait_for_state(page: Any, state: str) -> None:
    """Until the badge above says so; pages are refreshed by themselves."""
    page.get_by_text(state, exact=True).first.wait_for(timeout=SECONDS * 1000)


def wait_for_epoch_of(page: Any, epochs: int) -> None:
    """Until the log of a run tells of an epoch; the newest lines first, for the page has those that fit."""
    page.get_by_text("Oldest to newest").click()
    page.get_by_role("option", name="Newest to oldest").click()
    page.get_by_text(re.compile(rf"epoch \d+ of {epochs}:")).first.wait_for(timeout=SECONDS * 1000)


def ranks_of(run: str) -> list[int]:
    processes = [(int(entry.name), environment_of(int(entry.name))) for entry in Path("/proc").glob("[0-9]*")]
    return [pid for pid, own in processes if own.get("PREFECT__FLOW_RUN_ID") == run and "RANK" in own]


def champion(folder: Path) -> str:
    found = registry.champion_of("small", f"sqlite:///{folder}/runs/mlflow.db")
    assert found is not None
    return str(found.id)


def test_a_colleague_retrains_from_the_form_watches_it_and_opens_the_report(
    page: Any, site: str, folder: Path
) -> None:
    custom_run(page, site, "retrain", "small")
    fill(page, "Path", str(folder / "newer" / "data"))
    fill(page, "Label", "late")
    keep(page, "form")
    fill(page, "Test Fraction", "0.3")
    submit(page)
    wait_for_state(page, "Running")
    wait_for_epoch_of(page, 100)
    keep(page, "running")
    wait_for_state(page, "Completed")
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("small-report").first.wait_for()
    keep(page, "completed")
    open_artifact(page, "small-report")
    page.locator("img[src^='data:image/svg']").first.wait_for()
    keep(page, "report")
    (run,) = (folder / "runs").glob("small-*/manifest.json")
    assert champion(folder) == run.parent.name
    # the changed number, and the data that were named, are what was trained on
    assert '"test_fraction": 0.3' in (run.parent / "config.json").read_text()
    assert str(folder / "newer") in (run.parent / "config.json").read_text()


def test_a_colleague_scores_a_batch_from_the_form(page: Any, site: str, folder: Path) -> None:
    (run,) = (folder / "runs").glob("small-*/manifest.json")
    custom_run(page, site, "score", "by-hand")
    fill(page, "run|model", str(run.parent))
    fill(page, "source", str(folder / "old" / "data"))
    fill(page, "output", str(folder / "scored"))
    keep(page, "score-form")
    submit(page)
    wait_for_state(page, "Completed")
    page.get_by_role("tab", name="Artifacts").click()
    open_artifact(page, "score-receipt")
    page.get_by_text("1,031 rows scored by").first.wait_for()
    keep(page, "scored")
    assert pq.read_table(folder / "scored").num_rows == 1031


def test_the_night_is_on_schedule_and_a_colleague_runs_it_from_the_form(
    page: Any, site: str, folder: Path
) -> None:
    deployed(page, site, "nightly", "small-nightly").get_by_text("At 02:00 AM").wait_for()
    keep(page, "deployments")
    custom_run(page, site, "nightly", "small")
    keep(page, "night-form")
    submit(page)
    wait_for_state(page, "Completed")
    keep(page, "night")
    # what is scored and where to stood in the form
    assert pq.read_table(folder / "night").num_rows == 1031


def test_a_wrong_value_is_refused_before_anything_runs(page: Any, site: str, folder: Path) -> None:
    before = set((folder / "runs").glob("small-*"))
    custom_run(page, site, "retrain", "small")
    fill(page, "Test Fraction", "5")
    page.get_by_role("button", name="Submit").click()
    field = page.get_by_label(re.compile("^Test Fraction"))
    assert field.evaluate("field => field.validationMessage").endswith("less than or equal to 0.499.")
    keep(page, "refused")
    time.sleep(1)  # in which a run would have been made
    assert page.get_by_role("link", name="View run").count() == 0
    assert page.url.split("?")[0].endswith("/run")
    assert set((folder / "runs").glob("small-*")) == before


def test_a_run_is_cancelled_and_the_champion_stays(page: Any, site: str, folder: Path) -> None:
    champion_before = champion(folder)
    custom_run(page, site, "retrain", "small")
    fill(page, "Epochs", "100000")
    run = submit(page)
    wait_for_epoch_of(page, 100_000)
    ranks = ranks_of(run)
    assert len(ranks) == 2
    page.locator("button[aria-haspopup='menu']").first.click()
    # (a page that shows each epoch is never at rest)
    page.get_by_role("menuitem", name="Cancel", exact=True).click(no_wait_after=True)
    button = page.get_by_role("alertdialog").get_by_role("button", name="Cancel Flow Run")
    button.wait_for()
    keep(page, "cancel")
    button.click(no_wait_after=True)
    wait_until(lambda: not any(map(is_alive, ranks)), 10, "no rank is alive")
    wait_for_state(page, "Cancelled")
    keep(page, "cancelled")
    assert list((folder / "runs").glob("small-*/checkpoints/*"))
    assert champion(folder) == champion_before


def test_the_pages_of_the_registry_answer(site: str, folder: Path) -> None:
    address = re.search(r"MLflow +(\S+)", (folder / "ui.log").read_text())
    assert address is not None
    done = subprocess.run(["curl", "--fail", "--silent", address[1]], capture_output=True, check=False)
    assert b"MLflow" in done.stdout
