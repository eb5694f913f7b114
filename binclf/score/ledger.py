"""What an output holds already: whose it is, which parts are done, and which of them can be trusted.

A part is known by its receipt, a finished file by the manifest. What the manifest lists is never written
over: it must be of this model and of these bytes. What it does not list is nobody's yet, and is done again
unless it is exactly what is wanted now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from binclf import commit
from binclf.errors import ArtifactError, reading_back
from binclf.score.records import MANIFEST, QUARANTINE, Job, Part
from binclf.score.work import Crew, read_receipt, receipt_path, staged_path, work
from binclf.storage import sha256_of


class Ledger:
    """One output, as a job finds it."""

    def __init__(self, job: Job) -> None:
        """Read the manifest, if there is one.

        Raises:
            ArtifactError: the output is another model's, or was made with other settings; or what stands
                there is no manifest of ours.
        """
        self.job = job
        path = job.output / MANIFEST
        self.manifest: dict[str, Any] | None = commit.read_json(path) if path.exists() else None
        with reading_back(path, "choose another output"):
            files: Sequence[Mapping[str, Any]] = self.manifest["files"] if self.manifest is not None else ()
            self.files = {str(file["input"]): file for file in files}
            self.parts = {str(part["name"]): (file, part) for file in files for part in file["parts"]}
            if self.manifest is not None:
                self._refuse_foreign(self.manifest)

    def _refuse_foreign(self, manifest: Mapping[str, Any]) -> None:
        job = self.job
        if manifest["address"] != job.address:
            raise ArtifactError(
                f"{job.output} was scored by {manifest['address']}, not by {job.address}: choose another "
                "output."
            )
        for name, value in job.shape.items():
            if manifest["settings"][name] != value:
                raise ArtifactError(
                    f"{job.output} was scored with {name} = {manifest['settings'][name]}, not {value}: "
                    "choose another output."
                )

    def refuse_strangers(self, parts: Sequence[Part]) -> None:
        """Raise ArtifactError if a file that is nobody's stands where scores would go."""
        for part in parts:
            if part.name in self.parts or receipt_path(self.job, part.name).exists():
                continue
            if (self.job.output / part.name).exists():
                raise ArtifactError(
                    f"{self.job.output / part.name} exists and has no receipt, so it is not this model's: "
                    "choose another output."
                )

    def carry_out(self, part: Part, crew: Crew) -> tuple[dict[str, Any], bool]:
        """Score a part unless that is done; returns its receipt, and whether it was done before.

        Raises:
            ArtifactError: what was scored before is of other content, or was altered.
            DataError, Stopped: as `work`.
        """
        job, receipt = self.job, read_receipt(self.job, part.name)
        if part.name in self.parts:
            return self._committed(part, receipt, crew)
        is_same = receipt.get("key") == job.key(part) and _is_untouched(part, receipt)
        if is_same and "bad" not in receipt and self._is_whole(part, receipt):
            return receipt, True
        target = job.output / part.name
        if target.exists():  # of a commit that was cut short
            if receipt.get("output_sha256") != sha256_of(target):
                raise ArtifactError(f"{target} is not what its receipt says: remove it and score again.")
            target.unlink()
        return work(job, part, crew), False

    def _committed(self, part: Part, receipt: dict[str, Any], crew: Crew) -> tuple[dict[str, Any], bool]:
        """A part that the manifest lists."""
        job, target = self.job, self.job.output / part.name
        file, known = self.parts[part.name]
        if file["input_footer"] != part.footer or known["row_groups"] != list(part.groups):
            raise self._changed(part)
        if not target.exists() or not receipt:
            if file["model"] != job.model.id:
                raise ArtifactError(
                    f"{target} or its receipt is missing, which {file['model']} scored; now it would be "
                    f"{job.model.id}: choose another output."
                )
            done = work(job, part, crew)
            self._refuse_other_bytes(part, done, known)
            return done, False
        if sha256_of(target) != known["sha256"]:
            raise ArtifactError(f"{target} was altered since it was scored: remove it and score again.")
        if not _is_untouched(part, receipt) and file["model"] == job.model.id:
            # the input was touched, copied or replaced: whether its content is the same, its scores tell
            self._refuse_other_bytes(part, work(job, part, crew), known)
            staged_path(job, part.name).unlink()
        return receipt, True

    def _refuse_other_bytes(self, part: Part, done: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        if done.get("output_sha256") != known["sha256"]:
            staged_path(self.job, part.name).unlink(missing_ok=True)
            receipt_path(self.job, part.name).unlink(missing_ok=True)
            raise self._changed(part)

    def _changed(self, part: Part) -> ArtifactError:
        return ArtifactError(
            f"{self.job.output / part.name} was scored from other content than its input has now: choose "
            "another output."
        )

    def _is_whole(self, part: Part, receipt: Mapping[str, Any]) -> bool:
        """Whether what a receipt speaks of is there, staged or in place."""
        job = self.job
        listed = receipt["quarantine_sha256"]
        if listed and not (job.output / QUARANTINE / part.name).exists():
            return False
        places = (staged_path(job, part.name), job.output / part.name)
        return any(place.exists() and sha256_of(place) == receipt["output_sha256"] for place in places)


def _is_untouched(part: Part, receipt: Mapping[str, Any]) -> bool:
    """Whether the input is, by all signs, the file that was scored: the inode, too."""
    return part.is_of(receipt) and receipt.get("input_stamp") == list(part.stamp)
