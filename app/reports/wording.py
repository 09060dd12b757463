"""Numbers and lists as the report's sentences say them (APA style, 7th edition)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.reports.contrasts import condition_order, turned
from app.reports.formats import bounded, number, p_value

Row = dict[str, Any]
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def p_text(value: float | None) -> str:
    """`p = .012` or `p < .001`; an unknown one is said to be."""
    shown = p_value(value)
    return "p not available" if value is None else f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def p_range(values: Sequence[float]) -> str:
    """`p = .012`, or `p from < .001 to .015` for several."""
    low, high = p_value(min(values)), p_value(max(values))
    return p_text(values[0]) if low == high else f"p from {low} to {high}"


def span(values: Sequence[float], digits: int = 2) -> str:
    """`1.83`, or `1.83 to 2.23` for several."""
    low, high = number(min(values), digits), number(max(values), digits)
    return low if low == high else f"{low} to {high}"


def listed(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`; `none`."""
    return f"{', '.join(items[:-1])} and {items[-1]}" if len(items) > 1 else items[0] if items else "none"


def word(count: int) -> str:
    """`five`, `23`."""
    return WORDS[count] if 0 <= count < len(WORDS) else f"{count:,}"


def counted(count: int, one: str) -> str:
    """`five constructs`, `one construct`."""
    return f"{word(count)} {one if count == 1 else f'{one}s'}"


def on_constructs(names: Sequence[str], of: int) -> str:
    """`Plausibility`, `two of the five constructs (A and B)`, `all five constructs (A, B, …)`."""
    if of == 1:
        return names[0]
    if len(names) == of:
        return f"{'both' if of == 2 else f'all {word(of)}'} constructs ({listed(names)})"
    return f"{word(len(names))} of the {counted(of, 'construct')} ({listed(names)})"


def of_constructs(names: Sequence[str], of: int) -> str:
    """The same with the names after a colon, for a sentence of its own."""
    said = on_constructs(names, of)
    return said if of == 1 else said.replace(" (", ": ", 1).removesuffix(")")


def level(results: Row) -> str:
    """`95%`: the level of the intervals."""
    return f"{100 * (1 - results['data']['options']['alpha']):g}%"


def alpha_of(results: Row) -> float:
    """The level of significance."""
    return float(results["data"]["options"]["alpha"])


def estimable(results: Row) -> list[Row]:
    """The ordinal models that could be fitted."""
    return [m for m in results.get("ordinal") or [] if m.get("estimable")]


def below(value: float | None, alpha: float) -> bool:
    """Whether a p value is there and below alpha."""
    return value is not None and value < alpha


def differing(models: Sequence[Row], alpha: float) -> list[Row]:
    """The models with a Holm-adjusted p below alpha."""
    return [m for m in models if below(m.get("p_holm"), alpha)]


def clear_contrasts(model: Row, alpha: float) -> list[Row]:
    """A model's contrasts with a Tukey-adjusted p below alpha, each turned so that `b` is the higher one; the largest first."""
    found = [c for c in model.get("contrasts") or [] if below(c["p_tukey"], alpha) and c["estimate"] is not None]
    up = [turned(c, (c["a"], c["b"]) if c["estimate"] > 0 else (c["b"], c["a"])) for c in found]
    return sorted(up, key=lambda c: -c["estimate"])


def equivalent(models: Sequence[Row], alpha: float, order: Sequence[str]) -> list[tuple[str, str, str]]:
    """(construct, a, b) of the pairs that the equivalence test declares equivalent, `a` before `b` in `order`."""
    rows = [(m["construct"], turned(e, order)) for m in models for e in m.get("equivalence") or []]
    return [(construct, e["a"], e["b"]) for construct, e in rows if below(e["p_tost"], alpha)]


def by_pair(found: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str], list[str]]:
    """The constructs of each pair, in order of appearance."""
    pairs: dict[tuple[str, str], list[str]] = {}
    for construct, a, b in found:
        pairs.setdefault((a, b), []).append(construct)
    return pairs


def upper_share(model: Row, condition: str, results: Row) -> float | None:
    """The model's predicted share of ratings above the middle of the scale for a condition; None without predictions."""
    scale = results["data"]["scale"]
    found = [p for p in model.get("probabilities") or [] if p["condition"] == condition]
    middle = (scale["low"] + scale["high"]) / 2
    return sum(p["population"] for p in found if float(p["category"]) > middle) if found else None


def upper_points(results: Row) -> str:
    """`4 or 5`, `5, 6 or 7`: the points of the scale above its middle."""
    scale = results["data"]["scale"]
    points = [str(p) for p in range(scale["low"], scale["high"] + 1) if p > (scale["low"] + scale["high"]) / 2]
    return f"{', '.join(points[:-1])} or {points[-1]}" if len(points) > 1 else points[0]


def small(value: float | None, digits: int = 2) -> str:
    """A number that cannot exceed 1, without its leading zero."""
    return bounded(value, digits)


def order_of(results: Row) -> list[str]:
    """The conditions, the reference first."""
    return condition_order(results)
