"""What `make ui` decides before it starts anything; the whole of it is in test_browser."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from binclf.errors import ConfigError
from deployments import ui
from tests.ranks import as_toml, small_job


def preset(folder: Path, name: str, uri: str) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(as_toml(small_job(folder / name, registry={"uri": uri})))
    return path


def test_the_pages_are_those_of_the_first_registry_that_is_a_file(tmp_path: Path) -> None:
    off, server = preset(tmp_path, "off", "off"), preset(tmp_path, "server", "http://mlflow.example:5000")
    own, other = preset(tmp_path, "own", ""), preset(tmp_path, "other", "")
    assert ui.registry_of([off, server]) == ui.registry_of([]) == ""
    assert ui.registry_of([off, own, other]) == f"sqlite:///{tmp_path}/own/runs/mlflow.db"
    assert (tmp_path / "own" / "runs").is_dir()  # else MLflow could not make it
    assert not (tmp_path / "other" / "runs").exists()
    own.write_text("name = 3")
    with pytest.raises(ConfigError, match=r"own\.toml"):
        ui.registry_of([own])


def test_nothing_of_the_users_prefect_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "https://somebody.example/api")
    monkeypatch.setenv("PREFECT_API_KEY", "secret")
    monkeypatch.setenv("AWS_PROFILE", "mine")
    found = ui.environment_for(tmp_path, "http://127.0.0.1:1/api")
    assert found["PREFECT_API_URL"] == "http://127.0.0.1:1/api"
    assert "PREFECT_API_KEY" not in found
    assert found["AWS_PROFILE"] == "mine"
    assert Path(found["PREFECT_HOME"]).is_relative_to(tmp_path)


def test_a_port_that_is_taken_is_replaced_by_a_free_one(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        assert ui._port(port) != port
    assert f"port {port} is taken" in capsys.readouterr().out
    assert ui._port(port) == port


def test_a_wrong_argument_ends_with_usage() -> None:
    with pytest.raises(SystemExit) as left:
        ui.main(["--nonsense"])
    assert left.value.code == 2
