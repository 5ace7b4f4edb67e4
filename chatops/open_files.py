"""The limit of open files: each connection of a guest is one, and many systems begin with 1,024 a process."""

import contextlib
import resource

MOST = 200_000


def allow_many() -> None:
    """Raise this process's limit to what the system allows, up to `MOST`; its children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(MOST, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
