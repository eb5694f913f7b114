"""Secrets come from the environment, and go nowhere: not into a run, a log, an error or a cache."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import run
from tests.mishaps import raise_in_rank_1
from tests.ranks import as_toml, at_the_start_of_each_rank, small_job

SECRETS = {
    name: f"s3cret-of-{name.lower()}"
    for name in (
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING", "PGPASSWORD",
        "GOOGLE_APPLICATION_CREDENTIALS",
    )
}  # fmt: skip


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    monkeypatch.setenv("BINCLF_CACHE", str(tmp_path / "home"))
    path = tmp_path / "small.toml"
    path.write_text(as_toml(small_job(tmp_path, train={"solver": "newton"})))
    return path


def held(folder: Path, text: str) -> list[str]:
    """Files with any of the secrets, and whether a text has one."""
    found = [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in SECRETS.values())
    ]
    return found + [name for name, secret in SECRETS.items() if secret in text]


def test_a_job_that_ends_well_keeps_none(
    config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("retrain", config, "--json") == 0
    told = capfd.readouterr()
    sealed = json.loads(told.out.splitlines()[-1])["run"]
    assert run("score", sealed, tmp_path / "data", tmp_path / "scored") == 0
    assert run("export", sealed, "--format", "sql", "--output", tmp_path / "model.sql") == 0
    more = capfd.readouterr()
    assert held(tmp_path, told.out + told.err + more.out + more.err) == []
    (tmp_path / "control").write_text(SECRETS["PGPASSWORD"])
    assert held(tmp_path, SECRETS["PGPASSWORD"]) == [str(tmp_path / "control"), "PGPASSWORD"]


@pytest.mark.slow
def test_a_job_that_fails_tells_none(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """By the config, by the data, in a rank of its own, in the registry, and by a fault of ours."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert run("retrain", config, "train.epohcs=1") == 2
    assert run("retrain", config, f"data.path={tmp_path / 'nowhere'}") == 10
    with monkeypatch.context() as patch:
        at_the_start_of_each_rank(raise_in_rank_1, tmp_path, patch)
        assert run("retrain", config, "--ranks", "2") == 10
    assert run("retrain", config, "registry.uri=http://127.0.0.1:9") == 13

    def broken(_path: str) -> str:
        raise AssertionError("rows were lost")

    monkeypatch.setattr("binclf.report.read", broken)
    assert run("report", "run") == 70
    told = capfd.readouterr()
    assert held(tmp_path, told.out + told.err) == []


@pytest.mark.parametrize(
    "override",
    [
        "registry.uri=https://me:{0}@mlflow", "registry.uri=postgresql://db/x?password={0}",
        "data.path=s3://key:{0}@bucket/x", "store=s3://bucket/x?secret_key={0}", "store=https://me:{0}@host/x",
        "data.path=abfs://:{0}@account/x",
    ],
)  # fmt: skip
def test_one_that_is_written_into_a_config_is_refused_and_not_repeated(
    override: str, config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("retrain", config, override.format(SECRETS["PGPASSWORD"])) == 2
    told = capfd.readouterr()
    assert held(tmp_path, told.out + told.err) == []
