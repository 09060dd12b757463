"""Simulated ratings for the mixed models' tests."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

CUTS = (-2.0, -1.0, 0.0, 1.5)
EFFECTS = {"A": 0.0, "B": 0.5, "C": 1.0}


def ratings(
    seed: int = 0,
    participants: int = 20,
    items: int = 12,
    trials: int = 9,
    effects: Mapping[str, float] = EFFECTS,
    cuts: tuple[float, ...] = CUTS,
    sd_participant: float = 1.0,
    sd_item: float = 0.6,
) -> pd.DataFrame:
    """One row per trial: participant, item, condition, y; conditions as even as the trials allow."""
    rng = np.random.default_rng(seed)
    names = list(effects)
    frame = pd.DataFrame(
        {
            "participant": np.repeat(np.arange(participants), trials),
            "item": np.concatenate([rng.permutation(np.resize(np.arange(items), trials)) for _ in range(participants)]),
            "condition": np.concatenate([rng.permutation(np.resize(names, trials)) for _ in range(participants)]),
        }
    )
    latent = (
        frame["condition"].map(effects).to_numpy(dtype=float)
        + rng.normal(0, sd_participant, participants)[frame["participant"]]
        + rng.normal(0, sd_item, items)[frame["item"]]
        + rng.logistic(size=len(frame))
    )
    return frame.assign(y=1 + np.digitize(latent, cuts))
