"""Methods and results paragraphs to paste into a paper (APA style); every number is from the results."""

from __future__ import annotations

from typing import Any

from app.reports import wording as w
from app.reports.conclusion import ratio_interval
from app.reports.formats import bounded, bounded_interval, interval, number
from app.reports.references import cite

Row = dict[str, Any]


def methods_paragraph(results: Row) -> str:
    """How the ratings were collected, as far as the results tell, and how they were analysed."""
    return " ".join([*_material(results), *_models(results), *_rest(results)])


def _material(results: Row) -> list[str]:
    data = results["data"]
    people, raters, scale = data["trials_per_participant"], data["raters_per_explanation"], data["scale"]
    constructs = data["constructs"]
    trials = f"{people['min']} to {people['max']}" if people["min"] != people["max"] else f"{people['min']}"
    each = (
        f"{raters['min']} to {raters['max']} participants"
        if raters["max"] != raters["min"]
        else w.counted(raters["min"], "participant")
    )
    out = [
        f"Each of {data['participants']:,} participants rated {trials} explanations (median {people['median']:g}) on "
        f"{w.counted(len(constructs), 'construct')} ({w.listed(constructs)}) from {scale['low']} to {scale['high']}. In all, "
        f"{data['explanations']:,} explanations of {data['items']:,} items from {w.counted(len(data['conditions']), 'condition')} "
        f"({w.listed(w.order_of(results))}) were rated, each by {each}."
    ]
    rules = data["flow"]["excluded"]
    if rules:
        said = w.listed(
            [f"{rule['rule']} ({rule['participants']} participants, {rule['trials']} trials)" for rule in rules]
        )
        out.append(f"Excluded before the analysis: {said}.")
    return out


def _models(results: Row) -> list[str]:
    data, options = results["data"], results["data"]["options"]
    models = w.estimable(results)
    factors = list(models[0]["sd"]) if models else ["participant", "item"]
    constructs = data["constructs"]
    each = "Ratings of each construct" if len(constructs) > 1 else f"Ratings of {constructs[0]}"
    kind = "a covariate" if len(data["covariates"]) == 1 else "covariates"
    covariates = f", {w.listed(data['covariates'])} as {kind}" if data["covariates"] else ""
    holm = (
        f", with Holm's correction over the {w.counted(len(constructs), 'construct')} ({cite('holm')})"
        if len(constructs) > 1
        else ""
    )
    pairs = ""
    if len(data["conditions"]) > 2:
        pairs = "Pairs of conditions were compared with Tukey's adjustment, in p values and intervals. "
    bound = options["equivalence"]
    return [
        f"{each} were analysed with a cumulative link mixed model with logit link (proportional odds), with condition as a fixed "
        f"effect{covariates}, and crossed random intercepts for {w.listed([f'{name}s' for name in factors])}, fitted by the Laplace "
        f"approximation ({cite('barr')}; {cite('christensen')}). Condition was tested by a likelihood-ratio test against the model without "
        f"it{holm}. {pairs}Equivalence was tested by two one-sided tests at α = {bounded(options['alpha'])} with bounds at odds ratios of "
        f"{1 / bound:.2f} and {bound:g} ({cite('lakens')})."
    ]


def _rest(results: Row) -> list[str]:
    data, options, out = results["data"], results["data"]["options"], []
    if len(data["constructs"]) > 1 and (results.get("linear") or {}).get("estimable"):
        out.append(
            "The mean of the constructs was analysed with a linear mixed model with the same effects (REML, Satterthwaite's degrees of "
            f"freedom; {cite('kuznetsova')})."
        )
    if (results.get("multivariate") or {}).get("estimable"):
        count = results["multivariate"]["permutations"]
        out.append(
            f"All constructs were tested together by {count:,} permutations of the conditions within participants."
        )
    if any(row.get("estimable") for row in results.get("agreement") or []):
        out.append(f"Agreement of raters is given as ordinal Krippendorff's alpha ({cite('krippendorff')}).")
    versions = data["versions"]
    out.append(
        f"Intervals of means and shares are percentile intervals of {options['bootstrap']:,} bootstrap samples of participants. The "
        f"level of significance was {bounded(options['alpha'])}. The analysis was made with Blindrate {versions.get('blindrate') or ''} "
        f"(Python {versions['python']}, NumPy {versions.get('numpy')}, SciPy {versions.get('scipy')}; seed {data['seed']})."
    )
    return out


def results_paragraph(results: Row) -> str:
    """What was found, in the order of the analyses."""
    out = [*_reliability(results), *(_construct(results, m) for m in w.estimable(results)), *_equivalence(results)]
    failed = [m for m in results.get("ordinal") or [] if not m.get("estimable")]
    out += [f"{m['construct']} could not be analysed: {m['reason']}." for m in failed]
    return " ".join([*out, *_linear(results), *_multivariate(results)])


def _reliability(results: Row) -> list[str]:
    found = results.get("reliability") or {}
    if not found.get("estimable") or found.get("alpha") is None:
        return []
    omega = f", ω = {bounded(found['omega_total'])}" if found.get("omega_total") is not None else ""
    return [
        f"The {w.counted(len(results['data']['constructs']), 'construct')} had an internal consistency of α = {bounded(found['alpha'])}, "
        f"{w.level(results)} CI {bounded_interval(found['alpha_ci'])}{omega}."
    ]


def _construct(results: Row, model: Row) -> str:
    alpha = w.alpha_of(results)
    holm = f", Holm-adjusted {w.p_text(model['p_holm'])}" if len(results["data"]["constructs"]) > 1 else ""
    if model.get("lr") is None:
        return f"For {model['construct']}, the test of condition is not available."
    test = f"χ²({model['df']}, N = {model['n']}) = {number(model['lr'])}, {w.p_text(model['p'])}{holm}"
    if model not in w.differing([model], alpha):
        return f"No significant difference between conditions was found on {model['construct']}, {test}."
    said = []
    for c in w.clear_contrasts(model, alpha):
        ends = ratio_interval(c.get("ci_tukey"))
        between = f", {w.level(results)} CI {ends}" if ends else ""
        said.append(
            f"{c['b']} was rated higher than {c['a']}, OR = {number(c['odds_ratio'])}{between}, {w.p_text(c['p_tukey'])}"
        )
    pairs = "; ".join(said) or "no pair differed significantly after Tukey's adjustment"
    return f"Conditions differed on {model['construct']}, {test}: {pairs}."


def _equivalence(results: Row) -> list[str]:
    same = w.by_pair(w.equivalent(w.estimable(results), w.alpha_of(results), w.order_of(results)))
    bound = results["data"]["options"]["equivalence"]
    if not same:
        return ["No pair of conditions was shown to be equivalent."] if w.estimable(results) else []
    said = "; ".join(f"{a} and {b} ({w.listed(names)})" for (a, b), names in same.items())
    return [f"Equivalent within odds ratios of {1 / bound:.2f} and {bound:g}: {said}."]


def _linear(results: Row) -> list[str]:
    found = results.get("linear") or {}
    if len(results["data"]["constructs"]) < 2 or not found.get("estimable") or found.get("test", {}).get("F") is None:
        return []
    test, said = found["test"], []
    for c in w.clear_contrasts(found, w.alpha_of(results)):
        said.append(
            f"{c['b']} was above {c['a']} by {number(c['estimate'])} points, {w.level(results)} CI {interval(c['ci'])}, "
            f"t({number(c['df'], 1)}) = {number(c['t'])}, Tukey-adjusted {w.p_text(c['p_tukey'])}"
        )
    pairs = f": {'; '.join(said)}" if said else ""
    significant = w.below(test["p"], w.alpha_of(results))
    return [
        f"On the mean of the constructs, the conditions {'differed' if significant else 'did not differ significantly'}, "
        f"F({test['df1']:g}, {number(test['df2'], 1)}) = {number(test['F'])}, {w.p_text(test['p'])}, marginal R² = "
        f"{bounded(found['r2_marginal'], 3)}, conditional R² = {bounded(found['r2_conditional'], 3)}{pairs}."
    ]


def _multivariate(results: Row) -> list[str]:
    found = results.get("multivariate") or {}
    if not found.get("estimable") or found.get("p") is None:
        return []
    return [f"The permutation test of all constructs together gave {w.p_text(found['p'])}."]
