"""The commit of a job: every part gets its name, then the manifest is written, which is what readers need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from binclf import commit
from binclf.errors import ArtifactError, DataError
from binclf.score.ledger import Ledger
from binclf.score.records import MANIFEST, STAGING, BadFile, Job, Part, Plan
from binclf.score.work import read_receipt, staged_path
from binclf.storage import remove_tree

FORMAT = 1

Receipts = Mapping[str, Mapping[str, Any]]  # by the part's name


def receipts_of(job: Job, plan: Plan) -> Receipts:
    """The receipts that there are of a plan's parts, as this job would write them.

    A part whose file was touched or replaced since is as good as not scored: those of one file are of one
    content, whoever scored them.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for part in plan.parts:
        receipt = read_receipt(job, part.name)
        if receipt.get("key") == job.key(part) and part.is_of(receipt):
            found[part.name] = receipt
    return found


def missing(ledger: Ledger, plan: Plan, receipts: Receipts) -> list[str]:
    """The parts that nobody has scored yet."""
    return [part.name for part in plan.parts if part.name not in receipts and part.name not in ledger.parts]


def seal(
    ledger: Ledger, plan: Plan, receipts: Receipts, skewed: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Give all parts their names and write the manifest; one that says so already is left as it is.

    Args:
        ledger: of the output.
        plan: of the input.
        receipts: of the plan's parts.
        skewed: columns that the files new to the output have, beyond limits that only warn.

    Returns:
        The entries of this input's files, of which the sums are told.

    Raises:
        DataError: more is left out than the limit allows; nothing is left.
        ArtifactError: two models' scores.
    """
    job = ledger.job
    bad = bad_files(plan, receipts)
    names = {file.input for file in bad}
    parts = [part for part in plan.parts if part.input not in names]
    files = _entries(ledger, parts, receipts, skewed)
    _refuse_too_many(job, plan, bad, files)
    _place(job, parts)
    listed = ledger.files | {str(file["input"]): file for file in files}
    manifest = {
        "format": FORMAT,
        "address": job.address,
        "settings": job.shape,
        "files": [listed[name] for name in sorted(listed)],
        "quarantined_files": _left_out(ledger, bad, listed),
    }
    if manifest != ledger.manifest:
        commit.write_json(job.output / MANIFEST, manifest)
    remove_tree(job.output / STAGING)
    return {"files": files, "bad": bad}


def _left_out(ledger: Ledger, bad: Sequence[BadFile], listed: Collection[str]) -> list[Mapping[str, Any]]:
    """Every file that this commit or an earlier one has left out, and that was not scored since."""
    before = ledger.manifest["quarantined_files"] if ledger.manifest else ()
    known: dict[str, Mapping[str, Any]] = {str(file["file"]): file for file in before}
    known |= {file.input: file.as_json() for file in bad}
    return [known[name] for name in sorted(known) if name not in listed]


def _entries(
    ledger: Ledger, parts: Sequence[Part], receipts: Receipts, skewed: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What the manifest says of each file; of those that it lists already it goes on saying so."""
    job = ledger.job
    by_file: dict[str, list[Part]] = {}
    for part in parts:
        by_file.setdefault(part.input, []).append(part)
    entries = []
    for name, own in by_file.items():
        if name in ledger.files:
            entries.append(dict(ledger.files[name]))
            continue
        told = [receipts[part.name] for part in own]
        quarantined: Counter[str] = Counter()
        for receipt in told:
            quarantined.update(receipt["quarantined"])
        entry = {
            "input": name,
            "input_footer": own[0].footer,
            "model": job.model.id,
            "rows": sum(receipt["rows"] for receipt in told),
            "scored": sum(receipt["scored"] for receipt in told),
            "quarantined": dict(sorted(quarantined.items())),
            "positive_decisions": sum(receipt["positive_decisions"] for receipt in told),
            "parts": [
                {
                    "name": part.name,
                    "row_groups": list(part.groups),
                    "rows": receipt["scored"],
                    "sha256": receipt["output_sha256"],
                }
                for part, receipt in zip(own, told, strict=True)
            ],
        }
        if entry["rows"] != entry["scored"] + sum(quarantined.values()):
            raise AssertionError(f"{name}: rows were lost: {entry}")
        entries.append(entry | ({"skewed": list(skewed)} if skewed else {}))
    return entries


def bad_files(plan: Plan, receipts: Receipts) -> list[BadFile]:
    """The files that are left out: by their footers, or as their pages were read."""
    found = {file.input: file for file in plan.bad}
    for part in plan.parts:
        reason = receipts.get(part.name, {}).get("bad")
        if reason is not None and part.input not in found:
            found[part.input] = BadFile(part.input, reason, plan.rows_of[part.input])
    return [found[name] for name in sorted(found)]


def _refuse_too_many(
    job: Job, plan: Plan, bad: Sequence[BadFile], files: Sequence[Mapping[str, Any]]
) -> None:
    limit = job.settings.bad_limit
    if bad and len(bad) == plan.files:
        why = "; ".join(f"{file.input}: {file.reason}" for file in bad[:3])
        raise DataError(f"all {len(bad)} files are bad, none is left: {why}")
    rows = sum(file["rows"] for file in files)
    left_out = sum(sum(file["quarantined"].values()) for file in files)
    for count, of, what in ((len(bad), plan.files, "files"), (left_out, rows, "rows")):
        if count > limit * of:
            reasons = Counter[str]()
            for file in files:
                reasons.update(file["quarantined"])
            words = [f"{file.input}: {file.reason}" for file in bad] if what == "files" else list(reasons)
            raise DataError(
                f"{count:,} of {of:,} {what} are bad, and score.bad_limit = {limit:g}: mend them, or raise "
                f"it. {'; '.join(words[:3])}"
            )


def _place(job: Job, parts: Sequence[Part]) -> None:
    """Staged parts to where they belong."""
    folders: set[Path] = set()
    for part in parts:
        staged, target = staged_path(job, part.name), job.output / part.name
        if staged.exists():
            commit.move(staged, target)
            if isinstance(target, Path):
                folders.add(target.parent)
        elif not target.exists():
            raise ArtifactError(f"{target} is gone since it was scored: run it again.")
    for folder in sorted(folders):
        commit.flush(folder)
