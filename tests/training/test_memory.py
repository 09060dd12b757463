"""Memory: advice where it does not suffice; what is kept and what goes back."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from training.errors import TrainingInputError
from training.memory import memory_advice

KEPT_IN = """
import sys, threading
from pathlib import Path
import torch
from training.memory import freed_memory_is_kept, share_one_heap

def resident():
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmRSS"))
    return int(line.split()[1]) // 1024

def measure():
    torch.ones(10)
    before = resident()
    with freed_memory_is_kept():
        tensor = torch.ones(100 * 1024 * 1024)
        del tensor
        print(resident() - before)
    print(resident() - before)

if sys.argv[1] == "thread":
    share_one_heap()
    thread = threading.Thread(target=measure)
    thread.start()
    thread.join()
else:
    measure()
"""
"""MiB that a process holds more than before: after it freed 400 within the block, and after the block."""


def test_too_little_memory_is_an_error_that_says_what_to_change() -> None:
    with pytest.raises(TrainingInputError, match=r"memory does not suffice\. Lower it"), memory_advice("Lower it."):
        torch.empty(1 << 50)
    with pytest.raises(RuntimeError, match=r"must match"), memory_advice("Lower it."):
        torch.zeros(2) + torch.zeros(3)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and sets glibc's allocator")
@pytest.mark.parametrize("where", ["main", "thread"])
def test_freed_memory_is_kept_within_the_block_and_given_back_after_it(where: str) -> None:
    done = subprocess.run([sys.executable, "-c", KEPT_IN, where], check=True, capture_output=True, text=True)
    kept, left = map(int, done.stdout.split())
    assert kept > 300
    assert left < 100
