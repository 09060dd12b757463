"""A figure with what is said about it and the data that it shows."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawing:
    """`name` is that of the files; `description` tells what the figure shows, for its caption and for screen readers."""

    name: str
    title: str
    description: str
    figure: Figure
    data: pd.DataFrame
