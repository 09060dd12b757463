"""The one door to pingouin, whose column names change between versions: numbers out, nothing else of it.

Imported late: pingouin takes a second to load, and the web pages need only a part. Its confidence intervals are rounded to
two or three digits, so none of them is used here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Vector = NDArray[np.float64]
NAMES = {
    "p": ("p_unc", "p-unc", "pval", "p"),
    "df": ("ddof1", "df", "DF"),
    "chi2": ("Chi2", "chi2", "Q"),
    "ss": ("SS",),
    "w": ("W",),
}


def _get(row: Any, what: str) -> Any:
    """The entry of a pingouin result that holds `what`, under whichever name this version gives it."""
    for name in NAMES[what]:
        if name in row:
            return row[name]
    raise KeyError(f"pingouin's result has none of {NAMES[what]}: {list(row.index)}")


def kruskal(values: Vector, groups: NDArray[np.str_]) -> tuple[float, int, float]:
    """(H corrected for ties, degrees of freedom, p) of Kruskal and Wallis' test."""
    import pingouin

    row = pingouin.kruskal(data=pd.DataFrame({"value": values, "group": groups}), dv="value", between="group").iloc[0]
    return float(row["H"]), int(_get(row, "df")), float(_get(row, "p"))


def friedman(matrix: Vector) -> tuple[float, int, float, float]:
    """(chi², df, p, Kendall's W), corrected for ties, of participants × conditions."""
    import pingouin

    row = pingouin.friedman(pd.DataFrame(matrix)).iloc[0]
    return float(_get(row, "chi2")), int(_get(row, "df")), float(_get(row, "p")), float(_get(row, "w"))


def cronbach_alpha(matrix: Vector) -> float:
    """Cronbach's alpha of rows × items."""
    import pingouin

    return float(pingouin.cronbach_alpha(pd.DataFrame(matrix))[0])


def shapiro(values: Vector) -> tuple[float, float]:
    """(W, p) of Shapiro and Wilk's test."""
    import pingouin

    row = pingouin.normality(values).iloc[0]
    return float(_get(row, "w")), float(_get(row, "p"))


def levene(groups: list[Vector]) -> tuple[float, float]:
    """(F, p) of Levene's test around the medians (Brown and Forsythe)."""
    import pingouin

    table = pingouin.homoscedasticity(dict(enumerate(groups)), method="levene", center="median")
    row = table.iloc[0]
    return float(_get(row, "w")), float(_get(row, "p"))


def box_m(values: Vector, groups: NDArray[np.str_]) -> tuple[float, float, float]:
    """(chi², df, p) of Box's test that the covariance matrices of `values` (n, k) are equal in all groups."""
    import pingouin

    frame = pd.DataFrame(values, columns=[f"v{at}" for at in range(values.shape[1])])
    row = pingouin.box_m(frame.assign(group=groups), dvs=list(frame.columns), group="group").iloc[0]
    return float(_get(row, "chi2")), float(_get(row, "df")), float(_get(row, "p"))


def henze_zirkler(values: Vector) -> tuple[float, float]:
    """(HZ, p) of Henze and Zirkler's test of multivariate normality of `values` (n, k)."""
    import pingouin

    result = pingouin.multivariate_normality(values)
    return float(result[0]), float(result[1])


def anova_two_way(values: Vector, a: NDArray[np.str_], b: NDArray[np.str_]) -> dict[str, tuple[float, int]]:
    """{'a', 'b', 'a:b', 'residual': (sum of squares, degrees of freedom)} of a two-way analysis of variance, type II."""
    import pingouin

    frame = pd.DataFrame({"value": values, "a": a, "b": b})
    table = pingouin.anova(data=frame, dv="value", between=["a", "b"], ss_type=2, detailed=True)
    names = ("a", "b", "a:b", "residual")
    return {
        name: (float(_get(row, "ss")), int(_get(row, "df")))
        for name, (_, row) in zip(names, table.iterrows(), strict=True)
    }
