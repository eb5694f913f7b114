"""A sealed run to an MLflow run and a registered version, once, wherever an earlier attempt was cut off.

Each step finds what an earlier attempt left: the MLflow run and the version by the tag `binclf.run`; metrics
carry the moment of the run itself, so that logging them twice is logging them once. The version is created
last, when all that it stands for is there.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from binclf import artifact
from binclf.registry import pyfunc, record
from binclf.registry.server import EXISTS, Server, tag_of
from binclf.registry.window import Window
from binclf.storage import scratch

ARTIFACTS = "mlflow"  # beside mlflow.db: what was logged
RUN_FOLDER = "run"
PAGES = ("report.html", "card.md")  # of a run, beside its numbers on MLflow's page
PICTURES = "pictures"
REQUIRED = ("binclf", "numpy", "pandas", "pyarrow", "pydantic", "safetensors")
KIND = {"mlflow.experimentKind": "custom_model_development"}  # which of its pages MLflow shows first
AT_ONCE = 100  # parameters, tags or metrics in a request


def ensure_version(server: Server, run: artifact.Run, window: Window, pictures: Mapping[str, bytes]) -> Any:  # noqa: ANN401 - mlflow ModelVersion
    """The registered version of a run; it is made if there is none. Be in a `turn` of the server.

    `pictures` are files to be seen beside the report.

    Raises:
        StorageError: the registry cannot be reached.
    """
    name = run.config.name
    with server.asked() as client:
        _ensure_model(client, name)
    if found := _of_run(server, run):
        return found[0]
    with scratch() as folder:
        copy = folder / RUN_FOLDER
        write_files(run.contents, copy)
        with server.asked() as client:
            mlflow_run = _mlflow_run(server, client, run, window)
            _show(client, mlflow_run.info.run_id, run, pictures)
            logged = _log(client, mlflow_run, run, copy, folder / "model")
            tags = {f"binclf.{key}": value for key, value in record.tags(run, window).items()}
            client.set_terminated(mlflow_run.info.run_id)
            client.create_model_version(
                name, logged.artifact_location, mlflow_run.info.run_id, tags=tags, model_id=logged.model_id
            )
    first, *others = _of_run(server, run)  # more than one: another machine registered the run, too
    with server.asked() as client:
        for other in others:
            client.delete_model_version(name, other.version)
    return first


def write_files(contents: Mapping[str, bytes], folder: Path) -> None:
    """Files by their names, in a folder of this machine."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _of_run(server: Server, run: artifact.Run) -> list[Any]:
    return [v for v in server.versions(run.config.name) if tag_of(v, "run") == run.id]


def _ensure_model(client: Any, name: str) -> None:  # noqa: ANN401 - mlflow.MlflowClient
    try:
        client.create_registered_model(name)
    except Exception as error:
        if getattr(error, "error_code", "") != EXISTS:
            raise


def _experiment(server: Server, client: Any, name: str) -> str:  # noqa: ANN401
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    place = server.database.with_name(ARTIFACTS).as_uri() if server.database else None
    try:
        return str(client.create_experiment(name, artifact_location=place, tags=KIND))
    except Exception as error:
        if getattr(error, "error_code", "") != EXISTS:
            raise
        return str(client.get_experiment_by_name(name).experiment_id)


def _mlflow_run(server: Server, client: Any, run: artifact.Run, window: Window) -> Any:  # noqa: ANN401
    """The MLflow run, with parameters, metrics, tags and data sets."""
    from mlflow.entities import Metric, Param, RunTag

    experiment = _experiment(server, client, run.config.name)
    known = client.search_runs([experiment], f"tags.`binclf.run` = '{run.id}'", max_results=1)
    found = known[0] if known else client.create_run(experiment, run_name=run.id, tags={"binclf.run": run.id})
    run_id, moment = found.info.run_id, _milliseconds(run)
    metrics = [Metric(name, value, moment, step) for name, value, step in record.metrics(run)]
    parameters = [Param(key, value) for key, value in record.parameters(run).items()]
    told = record.tags(run, window) | record.data_tags(run)
    tags = [RunTag(f"binclf.{key}", value) for key, value in told.items()]
    for first in range(0, max(len(metrics), len(parameters)), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        client.log_batch(run_id, metrics=metrics[some], params=parameters[some])
    client.log_batch(run_id, tags=tags)
    client.log_inputs(run_id, _data_sets(run))
    return found


def _data_sets(run: artifact.Run) -> list[Any]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = str({"uri": run.config.data.path})
    return [
        DatasetInput(
            Dataset(f"{run.config.name} {part}", record.fingerprint(run, part), "parquet", source),
            [InputTag("mlflow.data.context", part)],
        )
        for part in run.split.parts
    ]


def _show(client: Any, run_id: str, run: artifact.Run, pictures: Mapping[str, bytes]) -> None:  # noqa: ANN401
    """What people look at: the report and the card, and beside them pictures."""
    files = {name: run.contents[name] for name in PAGES}
    files |= {f"{PICTURES}/{name}": content for name, content in pictures.items()}
    with scratch() as folder:
        write_files(files, folder)
        client.log_artifacts(run_id, str(folder), RUN_FOLDER)


def _log(client: Any, mlflow_run: Any, run: artifact.Run, copy: Path, folder: Path) -> Any:  # noqa: ANN401
    """The model that scores, which has all of the run's files."""
    import mlflow.pyfunc
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    run_id = mlflow_run.info.run_id
    logged = client.create_logged_model(
        mlflow_run.info.experiment_id,
        run.config.name.replace(".", "_"),  # MLflow takes no dots here; the registered model keeps them
        source_run_id=run_id,
        model_type="binclf",
        tags={"binclf.run": run.id},
    )
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    mlflow.pyfunc.save_model(
        str(folder),
        loader_module=pyfunc.__name__,
        data_path=str(copy),
        mlflow_model=Model(
            artifact_path=logged.artifact_location,
            model_uuid=logged.model_id,
            run_id=run_id,
            model_id=logged.model_id,
        ),
        signature=_signature(run),
        input_example=_example(run),
        pip_requirements=[f"{name}=={version_of(name)}" for name in REQUIRED],
    )
    client.log_model_artifacts(logged.model_id, str(folder))
    return client.finalize_logged_model(logged.model_id, "READY")


def _signature(run: artifact.Run) -> Any:  # noqa: ANN401 - mlflow.models.ModelSignature
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    make_any: Any = AnyType
    inputs: list[Any] = [ColSpec(kind or make_any(), name) for name, kind in record.inputs(run)]
    outputs: list[Any] = [ColSpec(kind, name) for name, kind in pyfunc.OUTPUTS.items()]
    return ModelSignature(Schema(inputs), Schema(outputs))


def _example(run: artifact.Run) -> Any:  # noqa: ANN401 - pandas.DataFrame
    import pandas as pd

    return pd.DataFrame([record.example(run)])


def _milliseconds(run: artifact.Run) -> int:
    return round(datetime.datetime.fromisoformat(run.record["created"]).timestamp() * 1000)
