"""Memory: advice when it does not suffice, and holding on to it while one shape of work is repeated."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from training.errors import TrainingInputError

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
TRIM_THRESHOLD_DEFAULT, MMAP_MAX_DEFAULT, NEVER = 128 * 1024, 65_536, 2**31 - 1


@contextmanager
def memory_advice(advice: str) -> Iterator[None]:
    """Within this block, running out of memory (of a GPU, or what the system grants) is an error that says what to change.

    Raises:
        TrainingInputError: the memory does not suffice.
    """
    try:
        yield
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        device = "CUDA" if torch.cuda.is_available() else "CPU"
        raise TrainingInputError(f"the {device}'s memory does not suffice. {advice}") from error


def _glibc() -> Any:
    """The C library, if it is one with mallopt(3), else None."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


def share_one_heap() -> None:
    """Give threads that start from now on the main thread's heap: only that one can keep large pieces of memory (see
    freed_memory_is_kept), and a worker trains in a thread of its own.
    """
    if libc := _glibc():
        libc.mallopt(M_ARENA_MAX, 1)


@contextmanager
def freed_memory_is_kept() -> Iterator[None]:
    """Within this block, memory that was freed stays with the process, to be used again; afterwards it goes back.

    A training step on a CPU frees and asks for the same hundreds of megabytes again and again. glibc hands such large
    pieces back at once, and the system clears every page anew: up to a sixth of a step's time. Other C libraries are
    left as they are.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, NEVER)
    try:
        yield
    finally:
        libc.mallopt(M_MMAP_MAX, MMAP_MAX_DEFAULT)
        libc.mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD_DEFAULT)
        libc.malloc_trim(0)
