"""The manifest of a distillation: everything needed to trace what is in its folder, and to make it again."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "accelerate", "peft")
ROOT = Path(__file__).resolve().parent.parent


def code_version() -> str:
    """The git commit of the code (with "+changes" if training/ differs from it), or the package's version outside a checkout."""
    version = importlib.metadata.version("blindrate")
    if not (ROOT / ".git").exists():
        return version

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        commit, changed = (
            git("rev-parse", "HEAD"),
            git("status", "--porcelain", "--untracked-files=no", "--", "training"),
        )
    except (OSError, subprocess.CalledProcessError):
        return version
    return commit + ("+changes" if changed else "")


def software() -> dict[str, str]:
    """Versions of what computes."""
    found = {"python": platform.python_version(), "blindrate": importlib.metadata.version("blindrate")}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def set_summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts over a teacher set: items, failures by reason, retries, tokens."""
    faults = Counter(str(row["fault"]) for row in rows if row["rationale"] is None)
    return {
        "items": len(rows),
        "written": sum(row["rationale"] is not None for row in rows),
        "failed": sum(faults.values()),
        "failures": dict(sorted(faults.items())),
        "regenerated": sum(int(row.get("retries", 0) > 0) for row in rows),
        "prompt_tokens": sum(int(row.get("prompt_tokens", 0)) for row in rows),
        "completion_tokens": sum(int(row.get("completion_tokens", 0)) for row in rows),
    }
