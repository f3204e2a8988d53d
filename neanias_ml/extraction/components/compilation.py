"""How the loops of the component stage are compiled: at first use, kept on disk, other threads running meanwhile.

A division by 0 gives inf, not an error. Entries that nobody calls take a good part of the time to compile, so they are
left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def _compiler(**options: Any) -> Callable[[Function], Function]:
    decorator: Callable[[Function], Function] = njit(
        cache=True, nogil=True, error_model="numpy", **{"no_cfunc_wrapper": True, **options}
    )
    return decorator


compiled = _compiler()
"""Without the entry for C."""

compiled_part = _compiler(no_cpython_wrapper=True)
"""For functions that only compiled ones call: without the entry for Python, too."""

compiled_leaf = _compiler(no_cpython_wrapper=True, forceinline=True)
"""For short loops over plain arrays, merged into their callers: around a call, references to arrays are counted, which
takes longer than a pass over a small island."""

compiled_sum = _compiler(no_cpython_wrapper=True, forceinline=True, fastmath={"reassoc"})
"""The same with sums in the order of vector lanes, which depends on their length and the machine alone."""

inlined = _compiler(inline="always")
"""For functions that hand the members of named tuples on to such that take plain arrays, for the same reason."""
