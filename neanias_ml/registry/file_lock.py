"""Waiting for other programs by a lock on a file, where the file system knows locks."""

from __future__ import annotations

import errno
import fcntl
from typing import IO, Any

NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK}
"""What file systems without locks answer: some of clusters (Lustre mounted without ``flock``, old NFS)."""


def wait_for_lock(stream: IO[Any]) -> bool:
    """Hold the only lock of an open file until it is closed; waits while another program holds it.

    Returns
    -------
    bool
        False where the file system knows no locks: then several programs may go on at the same time.
    """
    try:
        fcntl.flock(stream, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True
