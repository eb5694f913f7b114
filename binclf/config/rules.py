"""What no single field can check: settings that contradict each other or have no effect.

A setting is without effect if it differs from its default and the chosen method does not read it. (Equal to
the default it passes: a form submits every default.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from binclf.config.threshold import Rule
from binclf.config.training import MEANS, READS
from binclf.storage import options_with_secrets

if TYPE_CHECKING:
    from binclf.config.sections import Config

# which settings of [split] each method reads
SPLIT_READS: dict[str, frozenset[str]] = {
    "random": frozenset({"test_fraction", "validation_fraction", "seed", "stratify"}),
    "hash": frozenset({"test_fraction", "validation_fraction", "seed", "key"}),
    "time": frozenset({"test_fraction", "validation_fraction", "test_from", "validation_from"}),
    "column": frozenset({"column"}),
    "none": frozenset(),
}


def problems(config: Config) -> list[str]:
    """Every contradiction and every setting without effect, each as one sentence that names its key."""
    return [
        *_split_problems(config),
        *_group_problems(config),
        *_column_problems(config),
        *_leak_problems(config),
        *_solver_problems(config),
        *_penalty_problems(config),
        *_error_problems(config),
        *_train_problems(config),
        *_evaluate_problems(config),
        *_score_problems(config),
        *_registry_problems(config),
    ]


def _split_problems(config: Config) -> Iterator[str]:
    split, data, method = config.split, config.data, config.split.method
    for key in type(split).model_fields:
        if key != "method" and key not in SPLIT_READS[method] and split.changed(key):
            yield f"split.{key} has no effect with split.method = '{method}': remove it"
    if method == "hash" and not split.key:
        yield "split.method = 'hash' needs split.key: the columns whose rows stay together"
    if method == "column" and not split.column:
        yield "split.method = 'column' needs split.column: the column that names the part"
    if method == "time" and not data.time:
        yield "split.method = 'time' needs data.time: the column to cut on"
    if split.test_from and split.changed("test_fraction"):
        yield "split.test_fraction has no effect beside split.test_from: remove one of them"
    if split.validation_from and split.changed("validation_fraction"):
        yield "split.validation_fraction has no effect beside split.validation_from: remove one"


def _group_problems(config: Config) -> Iterator[str]:
    """Rows of a group never straddle parts: not every method can keep that."""
    split, data, method = config.split, config.data, config.split.method
    if data.group and method == "time":
        yield (
            "data.group cannot hold with split.method = 'time': a cut in time parts the rows of a "
            "group. Leave data.group empty (list the column in data.exclude), or split by hash"
        )
    if data.group and method == "hash" and split.key != (data.group,):
        yield f"data.group = '{data.group}' holds only if split.key = ['{data.group}']"
    if data.group and method == "random" and not split.stratify:
        yield "split.stratify has no effect with data.group: groups are dealt whole. Remove it"


def _column_problems(config: Config) -> Iterator[str]:
    data, features = config.data, config.features
    roles: dict[str, str] = {}
    for role, names in (
        ("data.label", (data.label,)),
        ("data.weight", (data.weight,)),
        ("data.ids", data.ids),
        ("data.exclude", data.exclude),
        ("features.numeric", features.numeric),
        ("features.categorical", features.categorical),
    ):
        for name in filter(None, names):
            if name in roles:
                yield f"column '{name}' is in {roles[name]} and in {role}: it can be only one"
            roles[name] = role
    for role, name in (
        ("data.time", data.time),
        ("data.group", data.group),
        ("split.column", config.split.column),
    ):
        if name and roles.get(name) in ("data.label", "data.weight"):
            yield f"column '{name}' is {roles[name]} and {role}: it can be only one"
        if name and roles.get(name, "").startswith("features."):
            yield f"column '{name}' is {role}, so it is never a feature: remove it from {roles[name]}"
    for name in features.log1p:
        if roles.get(name, "features.numeric") != "features.numeric":
            yield f"features.log1p names '{name}', which is in {roles[name]}: it must be numeric"


def _leak_problems(config: Config) -> Iterator[str]:
    data = config.data
    for key in ("leak_auc", "not_leaks"):
        if data.on_leak == "ignore" and data.changed(key):
            yield f"data.{key} has no effect with data.on_leak = 'ignore': remove it"


def _solver_problems(config: Config) -> Iterator[str]:
    train = config.train
    exact, steps = (sorted(filter(train.changed, READS[name])) for name in ("newton", "minibatch"))
    if train.solver == "auto" and exact and steps:
        readers = " or ".join(name for name, keys in READS.items() if exact[0] in keys)
        yield (
            f"train.{exact[0]} is read by {readers} and train.{steps[0]} by minibatch: remove one, or set "
            "train.solver"
        )
    if train.solver != "auto":
        every = frozenset().union(*READS.values(), *MEANS.values())
        for key in sorted(every - READS[train.solver] - MEANS[train.solver]):
            if train.changed(key):
                yield f"train.{key} has no effect with train.solver = '{train.solver}': remove it"
    is_exact = train.solver in ("newton", "lbfgs") or (train.solver == "auto" and exact)
    if is_exact and train.device == "cuda":
        yield "train.device = 'cuda' has no effect with newton and lbfgs, which compute on the CPU: remove it"
    if train.changed("warm_start") and train.class_weight == "balanced":
        yield (
            "train.warm_start has no effect with train.class_weight = 'balanced', whose factors change with "
            "each file: remove one of them"
        )
    for name in sorted({*train.nonnegative} & {*train.nonpositive}):
        yield f"column '{name}' is in train.nonnegative and in train.nonpositive: list it in data.exclude"


def _error_problems(config: Config) -> Iterator[str]:
    """Standard errors that cannot be had."""
    train = config.train
    if train.errors == "clustered" and not config.data.group:
        yield "train.errors = 'clustered' needs data.group: the column whose rows depend on each other"
    for key in ("l1", "nonnegative", "nonpositive"):
        if train.changed("errors") and train.changed(key):
            yield f"train.errors has no effect beside train.{key}, with which no errors are known: remove it"


def _penalty_problems(config: Config) -> Iterator[str]:
    train = config.train
    if -1 < train.l2 < 0:
        yield f"train.l2 = {train.l2}: it is at least 0, or -1 to be chosen from the training weight"
    if not train.choose_l2:
        if train.changed("l2_rule"):
            yield f"train.l2_rule = '{train.l2_rule}' has no effect without train.choose_l2: remove it"
        return
    if train.changed("l2") and not train.l1:
        yield "train.l2 has no effect with train.choose_l2, unless train.l1 sets a ratio: remove it"
    if _has_no_validation(config):
        yield "train.choose_l2 is judged on validation rows: set split.validation_fraction, or remove it"


def _train_problems(config: Config) -> Iterator[str]:
    train = config.train
    if train.momentum and train.optimizer != "sgd":
        yield f"train.momentum has no effect with train.optimizer = '{train.optimizer}': remove it"
    if not train.shuffle:
        is_sampled = config.data.changed("downsample_majority")  # which rows are kept is drawn by the seed
        for key in ("window_rows",) if is_sampled else ("seed", "window_rows"):
            if train.changed(key):
                yield f"train.{key} has no effect with train.shuffle = false: remove it"
    if _has_no_validation(config) and train.changed("patience") and train.patience > 0:
        yield "train.patience has no effect without validation rows: remove it"
    if _has_no_validation(config) and train.changed("calibration"):
        yield (
            f"train.calibration = '{train.calibration}' has no effect without validation rows: set "
            "split.validation_fraction, or remove it"
        )
    if train.ranks > train.lanes:
        yield f"train.ranks = {train.ranks} needs train.lanes >= {train.ranks}, not {train.lanes}"


def _evaluate_problems(config: Config) -> Iterator[str]:
    if Rule.parse(config.evaluate.threshold).is_chosen and _has_no_validation(config):
        yield (
            f"evaluate.threshold = '{config.evaluate.threshold}' is chosen on validation rows, and there are "
            "none: set split.validation_fraction, or a number"
        )
    for name in config.evaluate.slices:
        if name in (config.data.label, config.data.weight):
            yield f"evaluate.slices names '{name}', which is the label or the weight: name another column"


def _has_no_validation(config: Config) -> bool:
    """Whether the settings leave no rows for validation; of method column only the data say."""
    split = config.split
    return split.method == "none" or (
        split.method in ("random", "hash", "time")
        and split.validation_fraction == 0
        and not split.validation_from
    )


def _score_problems(config: Config) -> Iterator[str]:
    score = config.score
    if score.changed("bad_limit") and not (score.changed("on_bad_file") or score.changed("on_bad_row")):
        yield "score.bad_limit has no effect where nothing is quarantined: remove it"
    for name in score.columns:
        if name in config.data.ids:
            yield f"score.columns names '{name}', which is in data.ids and so is carried anyway: remove it"
    if len(set(score.columns)) < len(score.columns):
        yield "score.columns names a column twice: remove one"


def _registry_problems(config: Config) -> Iterator[str]:
    registry = config.registry
    for key in ("promote", "margin"):
        if not registry.is_on and registry.changed(key):
            yield f"registry.{key} has no effect with registry.uri = 'off': remove it"
    if registry.promote in ("always", "never") and registry.margin:
        yield f"registry.margin has no effect with registry.promote = '{registry.promote}': remove it"
    user = re.match(r"([^/]+)://([^/@]*)@", registry.uri)
    has_password = user is not None and (":" in user[2] or user[1].startswith("http"))
    if has_password or options_with_secrets(registry.uri):
        yield (
            "registry.uri holds a password, which each run would keep: remove it, and set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN (a database "
            "takes it from its own environment, such as PGPASSWORD, or put `mlflow server` before it)"
        )
