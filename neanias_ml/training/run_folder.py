"""The folder of a training run: what lies where in it, and what a run may replace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neanias_ml.errors import InputError, ResourceError, UsageError
from neanias_ml.models.bundle import DIGESTS_FILE


@dataclass(frozen=True)
class RunFolder:
    """Places in the folder of a run."""

    path: Path

    @property
    def bundle(self) -> Path:
        """The model bundle that the run leaves."""
        return self.path / "bundle"

    @property
    def metrics(self) -> Path:
        """Scores on the test tiles."""
        return self.path / "metrics.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def last_checkpoint(self) -> Path:
        """Where ``--resume`` goes on."""
        return self.checkpoints / "last.ckpt"

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
        if resume and not self.last_checkpoint.is_file():
            raise InputError(
                "NoCheckpoint", f"there is no {self.last_checkpoint} to resume from; start without --resume"
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
        """Make the folder; checkpoints of a run that is overwritten go, lest ``--resume`` would mix the two.

        Raises
        ------
        ResourceError
            ``OutputNotWritable``.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for checkpoint in self._old_checkpoints() if overwrite else []:
                checkpoint.unlink(missing_ok=True)
        except OSError as error:
            raise ResourceError(
                "OutputNotWritable",
                f"{self.path} cannot be written to ({error.strerror}); change its permissions or name another folder "
                "with -o",
            ) from error

    def _old_checkpoints(self) -> list[Path]:
        return sorted(self.checkpoints.glob("*.ckpt"))
