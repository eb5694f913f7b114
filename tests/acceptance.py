"""The full counts, seeded: `make acceptance`, or with the real sets `make acceptance REAL=DIR`.

Kills of the split and of a scoring at any moment, of any rank with resume on 1 to 3 ranks, flipped bits,
random orders against a plain list, exits of every command, every metric of a million rows against
scikit-learn on 1 to 3 ranks, a model of too many columns that must be told as such, simulated gates of
`compare`, two retrainings that promote at the same moment, simulated refits, intervals against the truth,
files with flipped labels, Prefect's server killed under a flow, and (REAL) minibatch defaults against
scikit-learn on the oracle's rows and on ten random splits of each set, and exports against predict_proba.
Prints what it found and exits with 1 if a law was broken.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from benchmarks import exports
from benchmarks.oracles import SETS, measure
from binclf.retrain import retrain
from binclf.storage import sha256_of
from tests import commands, gates, made
from tests.beside import KINDS, beside
from tests.coverage_of import covered
from tests.flips import flip
from tests.outages import outages
from tests.plans import plans
from tests.planted import planted
from tests.races import races
from tests.ranks import as_toml, children_of, environment_of, small_job
from tests.refits import simulate
from tests.registered import template
from tests.trained import on_disk
from tests.wide import wide

log = logging.getLogger("acceptance")

KILLS_OF_SPLIT = 20
KILLS_OF_SCORING = 100
KILLS_OF_RANKS = 12
FLIPS = 400
CORRUPTED = 1000
PLANS = 1000
EXITS = 50
ROWS_JUDGED = 10**6
GATES = 200
RACES = 100
REFITS = 200
GAINS = 10
FITS = 1000
SEEDS = 20
WITHIN = 0.02  # of scikit-learn's log-loss
FLIGHTS_AT_MOST = 0.4885
EXPORTS_WITHIN = 1e-6  # of a probability


def main() -> int:
    """Run all; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("real", nargs="?", type=Path, help="folder of the real sets")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    log.setLevel(logging.INFO)
    broken: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        broken += kills_of_split(Path(folder) / "split", random.Random(options.seed))
        broken += kills_of_scoring(Path(folder) / "scoring", options.seed)
        broken += kills_of_ranks(Path(folder) / "ranks", random.Random(options.seed))
        broken += flips(Path(folder) / "flips", options.seed)
        broken += corrupted(Path(folder) / "corrupt", options.seed)
        broken += exits(Path(folder) / "exits", EXITS)
        broken += promotions(Path(folder) / "races", options.seed)
        broken += refits(Path(folder) / "refits", options.seed)
        broken += intervals(Path(folder) / "intervals", options.seed)
        broken += flipped_labels(Path(folder) / "planted", options.seed)
        broken += outages(Path(folder) / "outages")
        broken += metrics_of_many(Path(folder) / "metrics")
        broken += many_columns(Path(folder) / "wide")
    broken += random_plans(options.seed)
    broken += simulated_gates(GATES)
    if options.real is not None:
        broken += real_sets(options.real)
        broken += exports_of_real_sets(options.real)
    for law in broken:
        log.error("BROKEN: %s", law)
    log.info("%d laws broken", len(broken))
    return 1 if broken else 0


def refits(folder: Path, seed: int) -> list[str]:
    """Without a change at most 5 % of tests advise a refit; with one the foretold gain is the real one."""
    advised = 0
    for number in range(REFITS):
        found = simulate(folder / str(number), seed * 10_000 + number, is_changed=False).found
        advised += found.is_advised
        shutil.rmtree(folder / str(number))
    log.info("refits: %d of %d advised where nothing changed", advised, REFITS)
    ratios: list[float] = []
    for number in range(GAINS):
        told = simulate(folder / "gain", seed * 10_000 + number, is_changed=True, is_refitted=True)
        ratios += [told.found.gain_on_these / (told.gain_on_these or 1), told.found.gain / (told.gain or 1)]
        shutil.rmtree(folder / "gain")
    log.info("refits: gains foretold are %.3f to %.3f of the real ones", min(ratios), max(ratios))
    found_wrong = [] if advised <= 0.05 * REFITS else [f"{advised} of {REFITS} refits advised for nothing"]
    return found_wrong + ([] if 0.8 <= min(ratios) <= max(ratios) <= 1.2 else ["gains are not as foretold"])


def intervals(folder: Path, seed: int) -> list[str]:
    """Of 1,000 fits 95 % intervals hold the truth in 93.5 to 96.5 %, whichever errors fit the rows."""
    wrong = []
    for kind in ("model", "hc0", "clustered"):
        shares = [covered(folder / str(number), seed * 10_000 + number, kind) for number in range(FITS)]
        log.info("intervals: %s errors hold the truth in %.2f %%", kind, 100 * np.mean(shares))
        wrong += [] if 0.935 <= np.mean(shares) <= 0.965 else [f"intervals of {kind} errors"]
    return wrong


def flipped_labels(folder: Path, seed: int) -> list[str]:
    """The file with 3 % flipped labels of 16 is named first, and no other below 1e-4."""
    wrong, largest, least = [], 0.0, 1.0
    for number in range(SEEDS):
        file, told = planted(folder, seed * 100 + number)
        first, *others = told["worst"]
        largest, least = max(largest, first["p"]), min([least, *(one["p"] for one in others)])
        wrong += [] if first["file"] == file else [f"seed {number} names {first['file']} first, not {file}"]
    log.info("files: p at most %.1e of the wrong one, at least %.1e of others", largest, least)
    return wrong + ([] if least >= 1e-4 else [f"a clean file has p = {least:.1e}"])


def kills_of_split(folder: Path, draw: random.Random) -> list[str]:
    """SIGKILL at a random moment, run again: the parts of an undisturbed split, bit for bit."""
    data = made.mixed_files(folder / "data", [20_000] * 8)
    path = folder / "made.toml"
    path.write_text(as_toml(made.config(data, folder / "runs")))
    command = [sys.executable, "-m", "binclf", "split", str(path)]
    parts = folder / "runs" / "split"
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    seconds, expected = time.monotonic() - began, _sums(parts)
    fired, wrong = 0, 0
    for _ in range(KILLS_OF_SPLIT):
        shutil.rmtree(folder / "runs")
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            time.sleep(draw.uniform(0.4, 1.1) * seconds)
            fired += process.poll() is None
            process.kill()
        subprocess.run(command, check=True, capture_output=True)
        wrong += _sums(parts) != expected
    log.info("split: %d of %d kills hit it at work, %d wrong after the rerun", fired, KILLS_OF_SPLIT, wrong)
    found = ["a killed split and its rerun differ from an undisturbed one"] if wrong else []
    return found + ([] if fired else ["no kill hit the split at work"])


def kills_of_scoring(folder: Path, seed: int) -> list[str]:
    """SIGKILL at a random moment, run again: the scores and the manifest of an undisturbed scoring."""
    run, source = retrain(small_job(folder)), folder / "new"
    for copy in range(3):
        shutil.copytree(folder / "data", source / f"day={copy}")
    command = [sys.executable, "-m", "tests.kills", str(run), str(source), str(folder)]
    counts = [str(KILLS_OF_SCORING), str(seed)]
    told = json.loads(subprocess.run([*command, *counts], check=True, capture_output=True).stdout)
    log.info(
        "scoring: %d of %d kills hit it at work, %d with parts done, %d committed, %d wrong after the rerun",
        told["killed"], KILLS_OF_SCORING, told["with_parts"], told["committed"], len(told["wrong"]),
    )  # fmt: skip
    found: list[str] = told["wrong"][:3]
    return found + ([] if told["with_parts"] else ["no kill hit a scoring with some parts done"])


def kills_of_ranks(folder: Path, draw: random.Random) -> list[str]:
    """SIGKILL of a random rank at random, resume on 1 to 3 ranks: the undisturbed weights to 1e-5."""
    folder.mkdir()
    config = small_job(
        folder,
        split={"validation_fraction": 0.0},
        train={"epochs": 60, "batch_rows": 32, "checkpoint_seconds": 0.0},
    )
    path = folder / "small.toml"
    path.write_text(as_toml(config))
    command = [sys.executable, "-m", "binclf", "train", str(path)]
    runs = Path(config.store)
    subprocess.run([*command, "--ranks", "1"], check=True, capture_output=True)
    expected = _weights(_newest(runs))
    fired, furthest, slowest = 0, 0.0, 0.0
    for trial in range(KILLS_OF_RANKS):
        ranks = draw.choice([2, 3])
        with subprocess.Popen([*command, "--ranks", str(ranks)], stderr=subprocess.DEVNULL) as process:
            victim = _rank(process, draw.randrange(ranks))
            time.sleep(draw.uniform(2.0, 6.0))
            run = _newest(runs)
            if process.poll() is None and victim:
                os.kill(victim, signal.SIGKILL)
                killed = time.monotonic()
                code = process.wait(timeout=60)
                slowest = max(slowest, time.monotonic() - killed)
                fired += code == 14 and not (run / "manifest.json").exists()
        if not (run / "manifest.json").exists():
            again = [*command, "--resume", str(run), "--ranks", str(1 + trial % 3)]
            subprocess.run(again, check=True, capture_output=True)
        furthest = max(furthest, float(np.abs(_weights(run) - expected).max()))
    log.info(
        "ranks: %d of %d kills ended the command with 14 and no manifest, at most %.1f s later; resumed "
        "weights differ by at most %.1e", fired, KILLS_OF_RANKS, slowest, furthest,
    )  # fmt: skip
    found = [f"resumed weights differ by {furthest}"] if furthest > 1e-5 else []
    return found + ([] if fired > KILLS_OF_RANKS / 2 else ["too few kills hit a rank at work"])


def flips(folder: Path, seed: int) -> list[str]:
    """Single flipped bits in files that split wrote."""
    folder.mkdir()
    found = flip(folder, FLIPS, seed)
    log.info("flips: %d of %d refused by name, %d harmless, %d silent", found.refused, FLIPS, found.harmless,
             found.silent)  # fmt: skip
    is_broken = found.silent > 0 or found.refused + found.harmless != FLIPS
    return ["a flipped bit was read in silence, or refused without the file's name"] if is_broken else []


def corrupted(folder: Path, seed: int) -> list[str]:
    """Files flipped, cut, zeroed, with pages exchanged and footers made anew: no crash, no hang, no lie."""
    folder.mkdir()
    command = [sys.executable, "-m", "tests.corrupt", str(folder), str(CORRUPTED), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=3600)
    if done.returncode:
        return [f"reading damaged files ended with {done.returncode}: {done.stderr[-500:]}"]
    told = json.loads(done.stdout)
    log.info("corrupt: %d files, read each way: %s; slowest %.1f s, %d wrong", CORRUPTED, told["seen"],
             told["slowest"], len(told["wrong"]))  # fmt: skip
    found: list[str] = told["wrong"][:3]
    return found


def metrics_of_many(folder: Path) -> list[str]:
    """Every metric of a million rows beside scikit-learn's, and the same bits on 1, 2 and 3 ranks."""
    broken: list[str] = []
    for number, kind in enumerate(KINDS):
        wrong = beside(folder / str(number), ROWS_JUDGED, (1, 2, 3), **kind)
        log.info("metrics of %s rows (%s): %d wrong", f"{ROWS_JUDGED:,}", kind, len(wrong))
        broken += wrong[:3]
        shutil.rmtree(folder / str(number))
    return broken


def many_columns(folder: Path) -> list[str]:
    """8,000 rows, 1,500 columns: a good ROC-AUC, a log-loss above the base rate's, a page that says so."""
    first, found = wide(folder, 8_000, 1_500)
    log.info("1,500 columns: ROC-AUC %.3f, log-loss %.3f where the base rate has %.3f: '%s'",
             found["roc_auc"], found["log_loss"], found["base_log_loss"], first)  # fmt: skip
    is_made = found["roc_auc"] > 0.75 and found["log_loss"] > found["base_log_loss"]
    told = "Do not trust the probabilities: they are no better than telling everyone the base rate"
    broken = [] if is_made else ["the data of too many columns are not what they are meant to be"]
    return broken + ([] if first.startswith(told) else [f"of too many columns the report says '{first}'"])


def random_plans(seed: int) -> list[str]:
    """Random row groups, lanes, windows, ranks, batches and kill points against a plain list."""
    wrong = plans(PLANS, seed)
    log.info("plans: %d random epochs, %d wrong", PLANS, len(wrong))
    return wrong[:3]


def exits(folder: Path, times: int) -> list[str]:
    """Every command: its own code, and gone within 5 s of its last line."""
    found: list[str] = []
    for place, run in (("local", commands.exits), ("S3", commands.exits_from_a_store)):
        slowest, wrong = run(folder / place, times)
        log.info("exits (%s): %d times each command, at most %.1f s after the last line, %d wrong", place,
                 times, slowest, len(wrong))  # fmt: skip
        found += wrong[:3]
    return found


def simulated_gates(times: int) -> list[str]:
    """Champion against challenger: equals, of one process, better by 0.5 %, and with too few rows to tell.

    Two samples of one process give models of which one is better by chance. With half as many test rows as
    training rows 4 % are promoted on average (`docs/compare.md`), and 5 % is what is stated; a count beyond
    three standard deviations of that is a broken law. Where neither is better it is 2.5 %.
    """
    equal = gates.equals(times, 10_000)
    same, _ = gates.promoted(times, 20_000, 10_000)
    better, gain = gates.promoted(times, 20_000, 200_000, gates.BETTER)
    tried, hits = gates.decided(times, 600, 50_000)
    log.info(
        "gates: of %d of which neither is better %d promoted; of %d of one process %d; of %d better by %.2f "
        "%% on 200,000 rows %d; of %d that could not tell %d decided by the further rows that they name",
        times, equal, times, same, times, 100 * gain, better, tried, hits,
    )  # fmt: skip
    broken = (
        [f"{same} of {times} gates between samples of one process promote"] if same > 0.05 * times + 9 else []
    )
    if equal > 0.025 * times + 3 * (0.025 * times) ** 0.5:
        broken.append(f"{equal} of {times} gates promote though neither model is better")
    if better < 0.9 * times or not 0.004 < gain < 0.006:
        broken.append(f"{better} of {times} better challengers ({gain:.2%}) are promoted")
    if abs(hits - 0.9 * tried) > 3 * (0.09 * tried) ** 0.5:
        broken.append(f"the further rows decide {hits} of {tried} gates, and 90 % is stated")
    return broken


def promotions(folder: Path, seed: int) -> list[str]:
    """Two retrainings that promote at the same moment: with a store's lock, and as from two stores."""
    run = on_disk(retrain(small_job(folder)))
    wrong = races(template(folder), run, 2 * RACES, seed)
    log.info("promotions from one store and from two: %d rounds, %d wrong", 2 * RACES, len(wrong))
    return wrong[:3]


def real_sets(folder: Path) -> list[str]:
    """Minibatch defaults within 2 % of scikit-learn."""
    broken: list[str] = []
    logging.disable(logging.WARNING)
    for name in SETS:
        found = measure(folder, name, splits=10)
        logging.disable(logging.NOTSET)
        log.info("%s: oracle rows %.6f (oracle %.6f), %s", name, found.ours, found.oracle, found.told())
        logging.disable(logging.WARNING)
        if found.ours > (1 + WITHIN) * found.oracle:
            broken.append(f"{name}: {found.ours} on the oracle's rows, above 2 % of {found.oracle}")
        if max(found.ratios) > WITHIN:
            broken.append(f"{name}: a random split is {max(found.ratios):.2%} above scikit-learn")
        if name == "nycflights13" and found.ours > FLIGHTS_AT_MOST:
            broken.append(f"{name}: {found.ours} on the oracle's rows, above {FLIGHTS_AT_MOST}")
    logging.disable(logging.NOTSET)
    return broken


def exports_of_real_sets(folder: Path) -> list[str]:
    """Every format on all rows, and on rows with levels that were never seen."""
    broken: list[str] = []
    logging.disable(logging.WARNING)
    for name in exports.SETS:
        for told, largest in exports.measure(folder, name):
            logging.disable(logging.NOTSET)
            log.info("%s: %s", name, told)
            logging.disable(logging.WARNING)
            if not largest <= EXPORTS_WITHIN:
                broken.append(f"{name}: an export is {largest} off")
    logging.disable(logging.NOTSET)
    return broken


def _sums(parts: Path) -> dict[str, str]:
    return {p.name: sha256_of(p) for p in sorted((parts / "parts").iterdir()) if p.suffix == ".parquet"}


def _newest(runs: Path) -> Path:
    return max((p.parent for p in runs.glob("*/config.json")), key=lambda p: p.stat().st_mtime_ns)


def _weights(run: Path) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    arrays = load_file(run / "model.safetensors")
    return np.concatenate([arrays[name] for name in sorted(arrays)])


def _rank(process: subprocess.Popen[bytes], rank: int) -> int:
    """The pid of a rank of the command, once it has started; 0 if it never does."""
    for _ in range(400):
        for pid in children_of(process.pid):
            if environment_of(pid).get("RANK") == str(rank):
                return pid
        time.sleep(0.05)
    return 0


if __name__ == "__main__":
    sys.exit(main())
