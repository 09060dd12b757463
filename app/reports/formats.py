"""How a value is printed in tables and sentences: real minus signs, APA's p values, an en dash for what there is not."""

from __future__ import annotations

from typing import Any

NONE = "–"


def missing(value: Any) -> bool:
    """None or NaN."""
    return value is None or value != value


def number(value: Any, digits: int = 2) -> str:
    """A number with so many decimals; never a negative zero."""
    if missing(value):
        return NONE
    shown = f"{value:,.{digits}f}"
    return (shown[1:] if shown.startswith("-") and not shown.strip("-0.,") else shown).replace("-", "−")


def three(value: Any) -> str:
    """A number with three decimals."""
    return number(value, 3)


def one(value: Any) -> str:
    """A number with one decimal."""
    return number(value, 1)


def precise(value: Any) -> str:
    """A number with three significant digits, for what may be far from 1."""
    if missing(value):
        return NONE
    shown = f"{value:#.3g}".removesuffix(".")
    return (f"{value:,.0f}" if "e+" in shown or abs(value) >= 1000 else shown).replace("-", "−")


def ratio(value: Any) -> str:
    """An odds ratio: two decimals, or three significant digits where it is far from 1."""
    return precise(value) if not missing(value) and not 0.1 <= value < 100 else number(value)


def ratio_interval(pair: Any) -> str:
    """`[low, high]` of an odds ratio."""
    return NONE if not pair or any(missing(end) for end in pair) else f"[{ratio(pair[0])}, {ratio(pair[1])}]"


def bounded(value: Any, digits: int = 2) -> str:
    """A number that cannot exceed 1 in size (a correlation, a reliability): without its leading zero."""
    shown = number(value, digits)
    return shown.replace("0.", ".", 1) if shown.lstrip("−").startswith("0.") else shown


def p_value(value: Any) -> str:
    """Exact to three decimals without the leading zero; `< .001` below that and `> .999` above."""
    if missing(value):
        return NONE
    return "< .001" if value < 0.001 else "> .999" if value > 0.999 else f"{value:.3f}".removeprefix("0")


def interval(pair: Any, digits: int = 2) -> str:
    """`[low, high]`."""
    return (
        NONE
        if not pair or any(missing(end) for end in pair)
        else f"[{number(pair[0], digits)}, {number(pair[1], digits)}]"
    )


def precise_interval(pair: Any) -> str:
    """`[low, high]` with three significant digits."""
    return NONE if not pair or any(missing(end) for end in pair) else f"[{precise(pair[0])}, {precise(pair[1])}]"


def bounded_interval(pair: Any) -> str:
    """`[low, high]` without leading zeros."""
    return NONE if not pair or any(missing(end) for end in pair) else f"[{bounded(pair[0])}, {bounded(pair[1])}]"


def share_interval(pair: Any) -> str:
    """`[low, high]` as percentages."""
    return NONE if not pair or any(missing(end) for end in pair) else f"[{100 * pair[0]:.0f}, {100 * pair[1]:.0f}]"


def whole(value: Any) -> str:
    """An integer."""
    return NONE if missing(value) else f"{value:,.0f}"


def share(value: Any) -> str:
    """A share as a percentage."""
    return NONE if missing(value) else f"{100 * value:.1f} %"


def yes(value: Any) -> str:
    """`yes` or `no`."""
    return NONE if missing(value) else "yes" if value else "no"


def text(value: Any) -> str:
    """Text as it is."""
    return NONE if missing(value) or value == "" else str(value)
