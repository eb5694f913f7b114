"""The section [train]."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from binclf.config.section import Names, Section

# settings that not every solver reads: where train.solver is auto, those that are set rule others out
READS: dict[str, frozenset[str]] = {
    "newton": frozenset(
        {"l1", "choose_l2", "l2_rule", "tolerance", "nonnegative", "nonpositive", "errors", "warm_start"}
    ),
    "lbfgs": frozenset({"l1", "choose_l2", "l2_rule", "tolerance"}),
    "minibatch": frozenset(
        {
            "batch_rows", "epochs", "shuffle", "window_rows", "optimizer", "learning_rate", "momentum",
            "patience",
        }
    ),
}  # fmt: skip
# and those that say how the work is done, or what is told of it, and not which model comes out
MEANS: dict[str, frozenset[str]] = {
    "newton": frozenset({"influence"}),
    "lbfgs": frozenset({"checkpoint_seconds"}),
    "minibatch": frozenset({"workers", "checkpoint_seconds"}),
}


class Train(Section):
    """How the weights are found."""

    solver: Literal["auto", "newton", "lbfgs", "minibatch"] = Field(
        "auto",
        description="newton: the optimum itself, proven, with standard errors; up to 4096 weights. lbfgs: "
        "the optimum of millions of weights, in more passes. minibatch: stochastic gradient descent under "
        "DDP. auto: newton up to 2048 weights, lbfgs beyond where rows are kept and memory allows, unless "
        "settings of minibatch (epochs, batch_rows, optimizer ...) or device = 'cuda' ask for that.",
    )
    l1: float = Field(
        0.0, ge=0.0, le=1e6, description="newton, lbfgs: penalty l1 |w| beside the mean log-loss. 0: none."
    )
    l2: float = Field(
        -1.0,
        ge=-1.0,
        le=1e6,
        description="Penalty l2/2 |w|^2 beside the mean log-loss; the intercept is free. 0: none. "
        "-1: one over the training weight (scikit-learn's C = 1), within 1e-6 and 1e-3; but of more than "
        "2048 weights that lbfgs finds, and without l1, chosen by validation rows, if there are any.",
    )
    choose_l2: bool = Field(
        False,
        description="newton, lbfgs: let validation rows choose the penalty, of some ten that are tried, each "
        "by a few passes. With l1 both are scaled, and keep their ratio.",
    )
    l2_rule: Literal["least", "one_standard_error"] = Field(
        "least",
        description="Which penalty choose_l2 takes. least: of the least validation log-loss. "
        "one_standard_error: the strongest whose log-loss is within one standard error of that.",
    )
    tolerance: float = Field(
        1e-6,
        ge=0.0,
        le=1.0,
        description="newton: stop when every weight is within so many standard errors of the optimum; "
        "lbfgs: within the square root of it, by the curvature seen, and the objective within a thousandth "
        "of it of the least. 0: when no float is better.",
    )
    nonnegative: Names = Field((), description="newton: numeric columns whose weight is at least 0.")
    nonpositive: Names = Field((), description="newton: numeric columns whose weight is at most 0.")
    errors: Literal["model", "hc0", "hc1", "clustered"] = Field(
        "model",
        description="newton: standard errors that hold if the model is right and rows are independent "
        "(model), whether or not it is right (hc0; hc1 with a correction for few rows), or where rows of one "
        "data.group depend on each other (clustered).",
    )
    influence: bool = Field(
        True,
        description="newton: tell which files disagree with the model and how far each moved the "
        "coefficients, by one more pass over the rows.",
    )
    warm_start: Literal["off", "auto"] = Field(
        "off",
        description="newton. auto: begin where the newest finished run of this model in the store ended, by "
        "what it keeps of each file, and look at new files first; and keep the same for the next run. The "
        "result is within train.tolerance of a fit from scratch, not the same bits.",
    )
    class_weight: Literal["none", "balanced"] = Field(
        "none",
        description="balanced: both classes weigh as much in training. Probabilities are corrected back.",
    )
    calibration: Literal["none", "platt", "isotonic"] = Field(
        "none",
        description="Map of the model's log-odds, fitted on the validation rows: platt (a line) or isotonic "
        "(steps). Kept only if it lowers log-loss there beyond noise.",
    )
    ranks: int = Field(
        0,
        ge=0,
        le=65536,
        description="Processes to train on. 0: one per GPU, and on CPU as many as pay.",
    )
    batch_rows: int = Field(
        0, ge=0, le=2**30, description="Rows of a step, all ranks together. 0: from the row count."
    )
    epochs: int = Field(20, ge=1, le=1_000_000, description="Passes over the rows, at most.")
    shuffle: bool = Field(True, description="A new order in each epoch; false: the files' order.")
    workers: int = Field(
        0,
        ge=0,
        le=256,
        description="DataLoader processes. 0: one prefetch thread, which is faster.",
    )
    lanes: int = Field(
        32,
        ge=1,
        le=65536,
        description="Streams a step draws from; ranks share them: ranks <= lanes.",
    )
    window_rows: int = Field(16384, ge=1, le=2**30, description="Rows of a lane that are shuffled together.")
    optimizer: Literal["sgd", "adam", "adagrad"] = Field("adam", description="Rule of a step.")
    learning_rate: float = Field(
        0.0,
        ge=0.0,
        le=1000.0,
        description="Constant step size. 0: the optimiser's own, decaying to nothing.",
    )
    momentum: float = Field(0.0, ge=0.0, le=0.999, description="Momentum of sgd.")
    patience: int = Field(
        3,
        ge=0,
        le=1_000_000,
        description="Epochs without gain on validation before stopping. 0: never stop early.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto: CUDA where there is a device, else the CPU."
    )
    seed: int = Field(
        42,
        ge=0,
        le=2**63 - 1,
        description="Seed of the order of the rows, and of those that data.downsample_majority keeps.",
    )
    cache: Literal["auto", "ram", "disk", "none"] = Field(
        "auto",
        description="Where decoded rows are kept: in memory, on disk for later runs too, or nowhere. "
        "auto: the first that memory_bytes and cache_bytes allow. The result is the same.",
    )
    memory_bytes: int = Field(
        0, ge=0, le=2**60, description="Memory of a rank beside Python's and torch's own. 0: what is free."
    )
    cache_bytes: int = Field(
        0, ge=0, le=2**60, description="Disk for decoded rows, all runs together. 0: half of what is free."
    )
    checkpoint_seconds: float = Field(
        30.0,
        ge=0.0,
        le=86400.0,
        description="Time between checkpoints, beside one after each epoch. 0: after each step.",
    )
    stall_seconds: float = Field(
        1800.0,
        ge=1.0,
        le=604800.0,
        description="A rank that others wait for, and whose work stands still for so long, ends the run. "
        "More, where a single row group takes longer than that.",
    )

    @property
    def able(self) -> tuple[str, ...]:
        """The solvers that read all that is set, and compute where they are to; none, if it contradicts."""
        if self.solver != "auto":
            return (self.solver,)
        asked = {key for keys in READS.values() for key in keys if self.changed(key)}
        found = tuple(name for name, keys in READS.items() if asked <= keys)
        return tuple(name for name in found if name == "minibatch" or self.device != "cuda")

    @property
    def leaves_l2(self) -> bool:
        """Whether the penalty of many weights is left to validation rows."""
        return self.l2 == -1 and not self.l1

    @property
    def asked(self) -> str:
        """The solver that the settings ask for; auto where the number of weights decides."""
        return self.able[0] if len(self.able) == 1 else "auto"
