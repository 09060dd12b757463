"""The report's first words: what the ratings say, how surely, and on which choices it hangs. Nothing beyond the results."""

from __future__ import annotations

from typing import Any

from app.reports import wording as w
from app.reports.formats import bounded, interval, number, share
from app.reports.table_rows import exponential

Row = dict[str, Any]
FRAGILE = 0.002  # a difference that vanishes without this share of a construct's ratings is named


def conclusion(results: Row) -> list[str]:
    """The sentences in their order, each a paragraph."""
    models, alpha = w.estimable(results), w.alpha_of(results)
    if not models:
        return [
            "The primary model could not be fitted on any construct. Nothing is concluded about the conditions; the reasons are below."
        ]
    differ = w.differing(models, alpha)
    paragraphs = [_headline(results, models, differ), *_pairs(results, differ), _others(results, models, differ)]
    return [*paragraphs, *_covariates(results, models, differ), *_hangs(results, models, differ)]


def _headline(results: Row, models: list[Row], differ: list[Row]) -> str:
    total, alpha = len(models), w.alpha_of(results)
    several = f" after adjustment for {w.counted(total, 'test')}" if total > 1 else ""
    lost = len(results["data"]["constructs"]) - total
    missing = f" On {w.counted(lost, 'construct')} the model could not be fitted." if lost else ""
    if not differ:
        least = [m["p_holm"] for m in models if m.get("p_holm") is not None]
        smallest = f" (likelihood-ratio tests; the smallest {w.p_text(min(least))}{several})" if least else ""
        where = models[0]["construct"] if total == 1 else f"any of the {w.counted(total, 'construct')}"
        return (
            f"There is no sufficient evidence that the conditions were rated differently on {where}{smallest}.{missing}"
        )
    names = [m["construct"] for m in differ]
    same = [m["construct"] for m in models if m not in differ]
    rest = f" On {w.listed(same)} there is no sufficient evidence of a difference." if same else ""
    values = [m["p_holm"] for m in differ]
    return (
        f"The conditions were rated differently on {w.of_constructs(names, total)} (likelihood-ratio tests, {w.p_range(values)}{several}; "
        f"level of significance {bounded(alpha)}).{rest}{missing}"
    )


def _pairs(results: Row, differ: list[Row]) -> list[str]:
    """Which condition was rated higher than which, where and by how much; on differing constructs only."""
    alpha, level = w.alpha_of(results), w.level(results)
    adjusted = "; adjusted for all pairs" if len(w.order_of(results)) > 2 else ""
    clear = [(m, c) for m in differ for c in w.clear_contrasts(m, alpha)]
    if differ and not clear:
        return ["No single pair of conditions stands out on these constructs once all pairs are taken into account."]
    pairs = w.by_pair([(m["construct"], c["a"], c["b"]) for m, c in clear])
    out = []
    for (lower, higher), names in pairs.items():
        own = [(m, c) for m, c in clear if (c["a"], c["b"]) == (lower, higher)]
        ratios = [c["odds_ratio"] for _, c in own]
        ends = [ratio_interval(c.get("ci_tukey")) for _, c in own]
        sure = f"; {level} {'intervals' if len(own) > 1 else 'CI'} {', '.join(ends)}" if all(ends) else ""
        words = (
            f"{higher} was rated higher than {lower} on {_where(names, differ, results)}: the odds of a higher rating "
            f"were {w.span(ratios)} times as large ({w.p_range([c['p_tukey'] for _, c in own])}{sure}{adjusted})."
        )
        out.append(words + _in_shares(results, own) + _in_points(results, lower, higher))
    return out


def _where(names: list[str], differ: list[Row], results: Row) -> str:
    """The constructs of a pair; not all their names again where these are the ones named before."""
    total = len(w.estimable(results))
    if total > 1 and len(names) == len(differ) > 1:
        return f"{'both' if len(names) == 2 else f'all {w.word(len(names))}'} of them"
    return w.listed(names)


def ratio_interval(ends: list[float | None] | None) -> str:
    """An interval of log odds ratios as `[1.09, 3.08]`; nothing where there is none."""
    ratios = exponential(ends)
    return interval(ratios) if ratios and None not in ratios else ""


def _in_shares(results: Row, own: list[tuple[Row, Row]]) -> str:
    """The largest of the odds ratios as predicted shares of high ratings."""
    model, contrast = max(own, key=lambda pair: pair[1]["estimate"])
    low, high = (w.upper_share(model, contrast[key], results) for key in ("a", "b"))
    if low is None or high is None:
        return ""
    largest = f"on {model['construct']}, where it is largest," if len(own) > 1 else f"on {model['construct']}"
    return (
        f" In shares: {largest} the model expects about {100 * high:.0f} % of the ratings of {contrast['b']} to be "
        f"{w.upper_points(results)}, and {100 * low:.0f} % of those of {contrast['a']}."
    )


def _in_points(results: Row, lower: str, higher: str) -> str:
    """The pair's difference on the mean of the constructs, in points of the scale."""
    linear = results.get("linear") or {}
    if not linear.get("estimable") or len(results["data"]["constructs"]) < 2:
        return ""
    for contrast in linear.get("contrasts") or []:
        if {contrast["a"], contrast["b"]} == {lower, higher} and contrast.get("ci"):
            c = w.turned(contrast, (lower, higher))
            scale = results["data"]["scale"]
            several = len(w.order_of(results)) > 2
            ends = f"{w.level(results)} CI{' for this pair alone' if several else ''} {interval(c['ci'])}"
            return (
                f" On the mean of the constructs the difference is {number(c['estimate'])} points of the {scale['low']}–{scale['high']} "
                f"scale ({ends}; {w.p_text(c['p_tukey'])}{' adjusted for all pairs' if several else ''})."
            )
    return ""


def _others(results: Row, models: list[Row], differ: list[Row]) -> str:
    """The pairs without a difference, and which of them are shown to be equivalent: absence of evidence is not evidence of absence."""
    alpha, bound = w.alpha_of(results), results["data"]["options"]["equivalence"]
    pairs = sum(len(m.get("contrasts") or []) for m in models)
    clear = sum(len(w.clear_contrasts(m, alpha)) for m in differ)
    within = f"an odds ratio between {1 / bound:.2f} and {bound:g}"
    same = w.by_pair(w.equivalent(models, alpha, w.order_of(results)))
    rest = pairs - clear
    if not rest:
        start = ""
    elif clear:
        start = f"For the other {rest} of {pairs} comparisons of a pair on a construct there is no sufficient evidence of a difference. "
    else:
        start = ""
    start += "That alone does not make conditions equal. " if rest else ""
    if not same:
        return f"{start}No pair could be shown to be equivalent, which here means {within}."
    said = "; ".join(f"{a} and {b} on {w.listed(names)}" for (a, b), names in same.items())
    return (
        f"{start}Shown to be equivalent, which here means {within}: {said} (two one-sided tests, each at {alpha:g}, not adjusted for their "
        "number)."
    )


def _covariates(results: Row, models: list[Row], differ: list[Row]) -> list[str]:
    """What changes when the covariates are left out: a condition may act through them."""
    plain = [m for m in (results.get("sensitivity") or {}).get("without_covariates") or [] if m.get("estimable")]
    names = results["data"]["covariates"]
    if not plain or not names:
        return []
    alpha = w.alpha_of(results)
    found = w.differing(plain, alpha)
    gone = [m["construct"] for m in differ if m["construct"] not in {p["construct"] for p in found}]
    added = _added(results, differ, found)
    where = f"on {w.on_constructs([m['construct'] for m in found], len(plain))}" if found else "on no construct"
    lost = f", no longer on {w.listed(gone)}" if gone else ""
    more = f"; further pairs differ: {added}" if added else ""
    return [
        f"These comparisons hold at equal {w.listed(names)}. Without this adjustment, with explanations as they were shown, the conditions "
        f"differ {where}{lost}{more}. If a condition itself changes {w.listed(names)}, that comparison tells its whole effect, and the "
        "adjusted one tells the part that does not come through it."
    ]


def _added(results: Row, differ: list[Row], found: list[Row]) -> str:
    """The pairs that differ only without covariates."""
    alpha = w.alpha_of(results)
    known = {(m["construct"], c["a"], c["b"]) for m in differ for c in w.clear_contrasts(m, alpha)}
    new = [(m["construct"], c["a"], c["b"]) for m in found for c in w.clear_contrasts(m, alpha)]
    pairs = w.by_pair([entry for entry in new if entry not in known])
    return "; ".join(f"{higher} above {lower} on {w.listed(names)}" for (lower, higher), names in pairs.items())


def _hangs(results: Row, models: list[Row], differ: list[Row]) -> list[str]:
    """Other models, and differences that a few ratings carry."""
    found, alpha = results.get("sensitivity") or {}, w.alpha_of(results)
    sentences = []
    kinds = {
        "participant_condition": "where participants may differ in how they take to each condition (random slopes)",
        "binary": f"where ratings are only high ({w.upper_points(results)}) or low",
    }
    for key, name in kinds.items():
        other = [m for m in found.get(key) or [] if m.get("estimable")]
        if other and differ:
            kept = {m["construct"] for m in w.differing(other, alpha)} & {m["construct"] for m in differ}
            of = len([m for m in differ if m["construct"] in {o["construct"] for o in other}])
            sentences.append(f"on {w.word(len(kept))} of {w.counted(of, 'construct')} {name}")
    weak = [
        row
        for row in found.get("dropped") or []
        if row.get("ratings") is not None
        and row.get("share") is not None
        and (row["share"] <= FRAGILE or row["ratings"] == 1)
    ]
    out = []
    if sentences:
        out.append(f"In other models the difference between conditions remains significant {' and '.join(sentences)}.")
    if weak:
        said = "; ".join(
            f"the difference between {row['b']} and {row['a']} on {row['construct']} would no longer be significant without "
            f"{w.counted(row['ratings'], 'rating')} of the {row['n']:,} ({share(row['share'])})"
            if row.get("n")
            else f"the difference between {row['b']} and {row['a']} on {row['construct']} hangs on {w.counted(row['ratings'], 'rating')} "
            f"({share(row['share'])} of all)"
            for row in weak
        )
        out.append(f"Fragile: {said}.")
    return [" ".join(out)] if out else []
