"""The folder of a training run: what lies where in it, and what a run may replace."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from neanias_ml.errors import InputError, ResourceError, UsageError
from neanias_ml.models.bundle_folder import DIGESTS_FILE
from neanias_ml.training.checkpoint_files import checkpoints_in
from neanias_ml.training.checkpoints import BEST_CHECKPOINT

METRICS_FILE = "metrics.csv"
"""Lightning's name of the file of metrics."""


@dataclass(frozen=True)
class RunFolder:
    """Places in the folder of a run."""

    path: Path

    @property
    def bundle(self) -> Path:
        """The model bundle that the run leaves."""
        return self.path / "bundle"

    @property
    def evaluation(self) -> Path:
        """Scores on the test data."""
        return self.path / "evaluation.json"

    @property
    def configuration(self) -> Path:
        """The recipe with every value."""
        return self.path / "config.yaml"

    @property
    def record(self) -> Path:
        """What is known of the run."""
        return self.path / "run.json"

    @property
    def log(self) -> Path:
        """Folder of ``metrics.csv``."""
        return self.path / "log"

    @property
    def pictures(self) -> Path:
        """Folder of the pictures."""
        return self.path / "pictures"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def best_checkpoint(self) -> Path:
        """The state of the lowest validation loss."""
        return self.checkpoints / BEST_CHECKPOINT

    @property
    def is_begun(self) -> bool:
        """Whether there is anything to resume."""
        return bool(self._old_checkpoints())

    def require_usable(self, *, resume: bool, overwrite: bool) -> None:
        """Check before hours of work that the run may leave its results here.

        Raises
        ------
        UsageError
            ``OutputExists`` if another run left a bundle or checkpoints and neither flag is set;
            ``ResumeOrOverwrite`` if both are; ``NotABundle`` or ``OutputNotADirectory`` if something else is in the
            way.
        InputError
            ``NoCheckpoint`` if there is nothing to resume.
        """
        if resume and overwrite:
            raise UsageError(
                "ResumeOrOverwrite", "--resume goes on with a run and --overwrite starts it anew; give one of the two"
            )
        if self.path.exists() and not self.path.is_dir():
            raise UsageError("OutputNotADirectory", f"{self.path} is not a folder; name another one with -o")
        if resume and not self.is_begun:
            raise InputError(
                "NoCheckpoint", f"there is no checkpoint in {self.checkpoints} to resume from; start without --resume"
            )
        if not (resume or overwrite) and (self.bundle.exists() or self._old_checkpoints()):
            raise UsageError(
                "OutputExists",
                f"{self.path} holds the bundle or checkpoints of another run; go on with it by --resume, replace it "
                "by --overwrite, or name another folder with -o",
            )
        if self.bundle.exists() and not (self.bundle / DIGESTS_FILE).is_file():
            raise UsageError(
                "NotABundle",
                f"{self.bundle} is no model bundle (it has no {DIGESTS_FILE}) and is not replaced; move it away or "
                "name another folder with -o",
            )

    def prepare(self, *, overwrite: bool) -> None:
        """Make the folder; what a run that is overwritten has left goes, lest ``--resume`` would mix the two.

        Its bundle alone stays until the new one takes its place.
        The metrics of an earlier piece of the run get a name of their own: the logger begins a new file.

        Raises
        ------
        ResourceError
            ``OutputNotWritable``.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for checkpoint in self._old_checkpoints() if overwrite else []:
                checkpoint.unlink(missing_ok=True)
            if overwrite:
                shutil.rmtree(self.log, ignore_errors=True)
                shutil.rmtree(self.pictures, ignore_errors=True)
                for file in (self.evaluation, self.record, self.configuration):
                    file.unlink(missing_ok=True)
            elif (self.log / METRICS_FILE).exists():
                pieces = len(list(self.log.glob("metrics-*.csv")))
                (self.log / METRICS_FILE).rename(self.log / f"metrics-{pieces + 1:04d}.csv")
        except OSError as error:
            raise ResourceError(
                "OutputNotWritable",
                f"{self.path} cannot be written to ({error.strerror}); change its permissions or name another folder "
                "with -o",
            ) from error

    def _old_checkpoints(self) -> list[Path]:
        return checkpoints_in(self.checkpoints)
