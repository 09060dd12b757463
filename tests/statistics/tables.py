"""Small tables of ratings for tests, made by a formula or a seeded simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from app.statistics.data import Columns, RatingsData, from_frame

COLUMNS = Columns(participant="who", item="item", condition="method", constructs=("Clear", "Useful"))
HEADER = "who,item,method,Clear,Useful,length,age"


def good_rows(participants: int = 4, items: int = 2) -> list[list[str]]:
    """Rows under HEADER: every participant rates every item under methods A and B, in a way that varies."""
    rows = []
    for who in range(1, participants + 1):
        for item in range(1, items + 1):
            for at, method in enumerate("AB"):
                clear, useful = 1 + (who + item + at) % 5, 1 + (2 * who + item + 3 * at) % 5
                row = [who, f"q{item}", method, clear, useful, 100 + 10 * item + at, 20 + who]
                rows.append([str(cell) for cell in row])
    return rows


def write(path: Path, rows: list[list[str]], header: str = HEADER) -> Path:
    """Write a CSV file."""
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8")
    return path


def simulated(
    seed: int = 0,
    *,
    participants: int = 12,
    trials: int = 6,
    conditions: tuple[str, ...] = ("A", "B", "C"),
    constructs: tuple[str, ...] = ("Clear", "Useful", "Sound"),
    raters: int = 1,
    points: int = 5,
    effect: float = 0.5,
) -> pd.DataFrame:
    """Ratings with a participant's and an item's own level; later conditions are better by `effect` each."""
    rng = np.random.default_rng(seed)
    count = participants * trials
    who = np.repeat(np.arange(participants), trials)
    code = np.arange(count) % len(conditions)
    item = (np.arange(count) // len(conditions)) % -(-count // (len(conditions) * raters))
    level = rng.normal(size=participants)[who] + 0.5 * rng.normal(size=item.max() + 1)[item] + effect * code
    frame = pd.DataFrame({"who": who, "item": item, "method": np.array(conditions)[code]})
    for name in constructs:
        latent = level + rng.logistic(size=count)
        cuts = np.quantile(latent, np.linspace(0, 1, points + 1)[1:-1])
        frame[name] = 1 + (latent[:, None] > cuts).sum(axis=1)
    frame["length"] = rng.integers(50, 400, count)
    frame["age"] = np.array(["young", "old"])[who % 2]
    return frame


def simulated_data(seed: int = 0, *, reference: str | None = "A", **options: object) -> RatingsData:
    """`simulated` as checked ratings."""
    frame = simulated(seed, **options)  # type: ignore[arg-type]
    constructs = tuple(name for name in frame.columns if name not in ("who", "item", "method", "length", "age"))
    columns = Columns("who", "item", "method", constructs, covariates=("length",), background=("age",))
    points = int(options.get("points", 5))  # type: ignore[call-overload]
    return from_frame(frame, columns, reference=reference, scale=(1, points))
