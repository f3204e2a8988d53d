"""Errors that a user can act on.

Every error carries a short machine-readable ``code`` (``BeamMissing``), a sentence that says what is
wrong, where, and what to do next, and the exit code that the command line ends with.
"""

from __future__ import annotations


class NeaniasError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    code
        Short name of the condition, stable across versions (for programs).
    message
        One sentence for a person: what is wrong, where, and what to do next.
    """

    exit_code = 1
    family = "InternalError"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type[NeaniasError], tuple[str, str]]:
        """How an error of a worker comes back to the process that asked: with both of its arguments."""
        return type(self), (self.code, self.message)

    @property
    def qualified_code(self) -> str:
        """Family and code together, for example ``InputError:BeamMissing``."""
        return f"{self.family}:{self.code}"


class UsageError(NeaniasError):
    """The command or call was put together wrongly (exit code 2)."""

    exit_code = 2
    family = "UsageError"


class InputError(NeaniasError):
    """A file or map that cannot be used as it is (exit code 3)."""

    exit_code = 3
    family = "InputError"


class ResourceError(NeaniasError):
    """Disk, memory or time ran out (exit code 4)."""

    exit_code = 4
    family = "ResourceError"


class ModelError(NeaniasError):
    """A model bundle that is missing, damaged or does not fit (exit code 5)."""

    exit_code = 5
    family = "ModelError"
