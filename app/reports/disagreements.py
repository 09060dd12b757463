"""Where the reference's tests and the primary analysis disagree, and what in the results tells why."""

from __future__ import annotations

from typing import Any

from app.reports import wording as w
from app.reports.contrasts import in_order
from app.reports.formats import bounded, p_value

Row = dict[str, Any]


def disagreements(results: Row) -> list[Row]:
    """[construct, primary, plain, reference, reference_holm, agree, why] per construct: p values of each, and a sentence."""
    alpha = w.alpha_of(results)
    reference = {row["construct"]: row for row in results.get("kruskal") or []}
    plain = _plain(results)
    rows = []
    for model in w.estimable(results):
        old = reference.get(model["construct"])
        if old is None or old["p"] is None or model.get("p_holm") is None:
            continue
        without = plain.get(model["construct"], {}).get("p_holm")
        rows.append(
            {
                "construct": model["construct"], "primary": model["p_holm"], "plain": without, "reference": old["p"],
                "reference_holm": old["p_holm"], "agree": w.below(model["p_holm"], alpha) == w.below(old["p"], alpha),
                "why": _why(results, model, without, old, alpha),
            }
        )  # fmt: skip
    return rows


def _plain(results: Row) -> dict[str, Row]:
    """The models without covariates, by construct."""
    rows = (results.get("sensitivity") or {}).get("without_covariates") or []
    return {row["construct"]: row for row in rows if row.get("estimable")}


def _why(results: Row, model: Row, without: float | None, old: Row, alpha: float) -> str:
    """The reason that the results support, for one construct."""
    primary, reference = w.below(model["p_holm"], alpha), w.below(old["p"], alpha)
    covariates = w.listed(results["data"]["covariates"])
    if primary and reference:
        return "Both find a difference."
    if not primary and not reference:
        return "Neither finds a difference."
    if primary:
        if without is not None and not w.below(without, alpha):
            return (
                f"The difference appears only at equal {covariates}: the reference's test does not adjust for it, and without it the mixed "
                f"model finds no difference either ({w.p_text(without)})."
            )
        within = model.get("icc", {}).get("participant")
        part = f" ({100 * within:.0f} % of the variance left by the conditions)" if within is not None else ""
        return (
            f"Participants differ in how high they rate{part}. The reference's test counts that as noise; the mixed model compares the "
            "conditions within participants, and sees more."
        )
    if old["p_holm"] is not None and not w.below(old["p_holm"], alpha):
        return (
            "The reference does not adjust for the number of constructs; adjusted, it finds no difference either "
            f"({w.p_text(old['p_holm'])})."
        )
    if without is not None and w.below(without, alpha):
        return (
            f"The difference is there in the explanations as shown ({w.p_text(without)} in the mixed model), but not at equal "
            f"{covariates}."
        )
    return "The reference takes the ratings of one participant as independent of each other, and so is too certain."


def pair_disagreements(results: Row) -> list[Row]:
    """[construct, a, b, primary, plain, reference] of the pairs on which Dunn's test (Bonferroni) and the primary analysis disagree.

    Dunn's test counts only on constructs where the reference's overall test is significant, as the reference did.
    """
    alpha, order = w.alpha_of(results), w.order_of(results)
    overall = {row["construct"] for row in results.get("kruskal") or [] if w.below(row["p"], alpha)}
    dunn = {
        (row["construct"], frozenset((row["a"], row["b"]))): row["p_bonferroni"] for row in results.get("dunn") or []
    }
    plain = _plain(results)
    rows = []
    for model in w.estimable(results):
        name = model["construct"]
        counts = w.below(model.get("p_holm"), alpha)
        without = {frozenset((c["a"], c["b"])): c["p_tukey"] for c in plain.get(name, {}).get("contrasts") or []}
        for c in in_order(model.get("contrasts") or [], order):
            pair = frozenset((c["a"], c["b"]))
            old = dunn.get((name, pair))
            if old is None or c["p_tukey"] is None:
                continue
            if (counts and w.below(c["p_tukey"], alpha)) != (name in overall and w.below(old, alpha)):
                tested = old if name in overall else None
                rows.append(
                    {
                        "construct": name,
                        "a": c["a"],
                        "b": c["b"],
                        "primary": c["p_tukey"],
                        "plain": without.get(pair),
                        "reference": tested,
                    }
                )
    return rows


def summary(results: Row) -> str:
    """In a sentence: on how many constructs the two agree."""
    rows = disagreements(results)
    if not rows:
        return "The two cannot be compared here."
    agree = sum(row["agree"] for row in rows)
    shares = [m["icc"]["participant"] for m in w.estimable(results) if m.get("icc", {}).get("participant") is not None]
    people = (
        f" Ratings of one person are alike: participants account for {bounded(min(shares))} to {bounded(max(shares))} of the variance that "
        "conditions and covariates leave, which the reference's tests do not take into account."
        if shares
        else ""
    )
    return f"They agree on {w.word(agree)} of {w.counted(len(rows), 'construct')}.{people}"


def shown(value: float | None) -> str:
    """A p value, or `not tested`."""
    return "not tested" if value is None else p_value(value)
