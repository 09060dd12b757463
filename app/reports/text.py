"""The report's sentences: conclusion, methods and results paragraphs. Every number comes from the results."""

from __future__ import annotations

from typing import Any

from app.reports.tables import number, p_value

Row = dict[str, Any]

REFERENCES = {
    "barr2013": "Barr, D. J., Levy, R., Scheepers, C., & Tily, H. J. (2013). Random effects structure for confirmatory hypothesis testing: "
    "Keep it maximal. Journal of Memory and Language, 68(3), 255–278.",
    "christensen2019": "Christensen, R. H. B. (2019). ordinal: Regression models for ordinal data [R package].",
    "hebenstreit2023": "Hebenstreit, K., Praas, R., Kiesewetter, L. P., & Samwald, M. (2023). An automatically discovered chain-of-thought "
    "prompt generalizes to novel models and datasets. arXiv 2305.02897.",
    "hoffman2023": "Hoffman, R. R., Mueller, S. T., Klein, G., & Litman, J. (2023). Measures for explainable AI. Frontiers in Computer "
    "Science, 5, 1096257.",
    "holm1979": "Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of "
    "Statistics, 6(2), 65–70.",
    "holzinger2020": "Holzinger, A., Carrington, A., & Müller, H. (2020). Measuring the quality of explanations: The System Causability "
    "Scale (SCS). KI – Künstliche Intelligenz, 34, 193–198.",
    "honey2025": "Honey, I shrunk the language model: Impact of knowledge distillation methods on performance and explainability (2025). "
    "arXiv 2504.16056.",
    "krippendorff2011": "Krippendorff, K. (2011). Computing Krippendorff's alpha-reliability. University of Pennsylvania.",
    "kuznetsova2017": "Kuznetsova, A., Brockhoff, P. B., & Christensen, R. H. B. (2017). lmerTest package: Tests in linear mixed effects "
    "models. Journal of Statistical Software, 82(13), 1–26.",
    "lakens2017": "Lakens, D. (2017). Equivalence tests: A practical primer for t tests, correlations, and meta-analyses. Social "
    "Psychological and Personality Science, 8(4), 355–362.",
    "robbins2011": "Robbins, N. B., & Heiberger, R. M. (2011). Plotting Likert and other rating scales. JSM Proceedings, 1058–1066.",
    "vargha2000": "Vargha, A., & Delaney, H. D. (2000). A critique and improvement of the CL common language effect size statistics of "
    "McGraw and Wong. Journal of Educational and Behavioral Statistics, 25(2), 101–132.",
}


def p_text(value: float | None) -> str:
    """`p = .012` or `p < .001`."""
    shown = p_value(value)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def listed(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def estimable(results: Row) -> list[Row]:
    """The ordinal models that could be fitted."""
    return [m for m in results.get("ordinal") or [] if m.get("estimable")]


def differing(results: Row) -> list[Row]:
    """The constructs on which the conditions differ: Holm-adjusted p below alpha."""
    alpha = results["data"]["options"]["alpha"]
    return [m for m in estimable(results) if m["p_holm"] is not None and m["p_holm"] < alpha]


def clear_contrasts(model: Row, alpha: float) -> list[Row]:
    """A model's contrasts with Tukey-adjusted p below alpha, the largest first."""
    found = [c for c in model.get("contrasts") or [] if c["p_tukey"] is not None and c["p_tukey"] < alpha]
    return sorted(found, key=lambda c: -abs(c["estimate"]))


def contrast_sentence(contrast: Row) -> str:
    """`b was rated higher than a (odds ratio 1.59, 95 % CI [1.12, 2.26], p = .046)`, the higher one first."""
    higher, lower, ratio, ends = contrast["b"], contrast["a"], contrast["odds_ratio"], contrast["odds_ratio_ci"]
    if contrast["estimate"] < 0:
        higher, lower, ratio = lower, higher, 1 / ratio
        ends = [1 / ends[1], 1 / ends[0]] if ends and None not in ends else ends
    between = f", 95 % CI [{number(ends[0])}, {number(ends[1])}]" if ends and None not in ends else ""
    return f"{higher} was rated higher than {lower} (odds ratio {number(ratio)}{between}, Tukey-adjusted {p_text(contrast['p_tukey'])})"


def conclusion(results: Row) -> list[str]:
    """What the study says, in plain words, with its uncertainty: the first thing a reader sees."""
    models = estimable(results)
    alpha = results["data"]["options"]["alpha"]
    if not models:
        return [
            "The ordinal mixed model could not be fitted on any construct, so nothing is concluded about the conditions; "
            "see the reasons below."
        ]
    differ = differing(results)
    same = [m["construct"] for m in models if m not in differ]
    sentences = []
    if differ:
        sentences.append(
            f"The conditions were rated differently on {listed([m['construct'] for m in differ])} "
            f"(likelihood-ratio tests, adjusted for {len(models)} constructs)."
        )
        for model in differ:
            clear = clear_contrasts(model, alpha)
            said = (
                "; ".join(contrast_sentence(c) for c in clear[:3])
                or "no single pair stands out once all pairs are taken into account"
            )
            sentences.append(
                f"{model['construct']}: {said}{f'; and {len(clear) - 3} more pairs' if len(clear) > 3 else ''}."
            )
    if same:
        sentences.append(
            f"On {listed(same)} there is no sufficient evidence of a difference. That is not evidence that the conditions are equal."
        )
    equal = [
        (m["construct"], row)
        for m in models
        for row in m.get("equivalence") or []
        if row["p_tost"] is not None and row["p_tost"] < alpha
    ]
    bound = results["data"]["options"]["equivalence"]
    if equal:
        pairs = listed([f"{row['a']} and {row['b']} on {construct}" for construct, row in equal])
        sentences.append(
            f"Equivalent within odds ratios of {1 / bound:.2f} and {bound:g}: {pairs} (TOST, not adjusted for several tests)."
        )
    else:
        sentences.append(
            f"No pair of conditions could be shown to be equivalent within odds ratios of {1 / bound:.2f} and {bound:g}."
        )
    return sentences


def methods_paragraph(results: Row) -> str:
    """A paragraph for a paper's methods section."""
    data = results["data"]
    options = data["options"]
    sd = estimable(results)[0]["sd"] if estimable(results) else {}
    random = listed([f"{name}s" for name in sd]) if sd else "participants and items"
    covariates = f", with {listed(data['covariates'])} as covariates" if data["covariates"] else ""
    return (
        f"Ratings were analysed with cumulative link mixed models with a logit link, one for each of the {len(data['constructs'])} constructs, with "
        f"condition as a fixed effect{covariates}, and crossed random intercepts for {random}, fitted by the Laplace approximation "
        f"(Christensen, 2019). Each was tested against the model without condition by a likelihood-ratio test, adjusted over the constructs "
        f"after Holm (1979). Pairs of conditions were compared with Tukey's adjustment, and equivalence was tested by two one-sided tests "
        f"(Lakens, 2017) with bounds at odds ratios of {1 / options['equivalence']:.2f} and {options['equivalence']:g}. The mean of the constructs was "
        f"analysed with a linear mixed model with the same random effects (REML, Satterthwaite's degrees of freedom; Kuznetsova et al., "
        f"2017). Intervals of descriptive statistics are from {options['bootstrap']:,} bootstrap resamples of participants. Alpha was "
        f"{options['alpha']:g}. The analysis was done with Blindrate {data['versions'].get('blindrate') or ''} (seed {data['seed']})."
    )


def results_paragraph(results: Row) -> str:
    """A paragraph for a paper's results section."""
    data = results["data"]
    alpha = data["options"]["alpha"]
    parts = [
        f"{data['participants']} participants gave {data['ratings']:,} ratings of {data['explanations']:,} explanations of {data['items']:,} questions."
    ]
    reliability = results.get("reliability") or {}
    if reliability.get("estimable"):
        parts.append(
            f"The {len(data['constructs'])} constructs were internally consistent to a degree of α = {number(reliability['alpha'])}, "
            f"95 % CI [{number(reliability['alpha_ci'][0])}, {number(reliability['alpha_ci'][1])}], "
            f"ω = {number(reliability['omega_total'])}."
        )
    for model in estimable(results):
        test = (
            f"χ²({model['df']}) = {number(model['lr'])}, {p_text(model['p'])}, Holm-adjusted {p_text(model['p_holm'])}"
        )
        if model in differing(results):
            clear = clear_contrasts(model, alpha)
            pairs = "; ".join(contrast_sentence(c) for c in clear)
            parts.append(f"Conditions differed on {model['construct']}, {test}{f': {pairs}' if pairs else ''}.")
        else:
            parts.append(f"On {model['construct']} no difference was found, {test}.")
    linear = results.get("linear") or {}
    if linear.get("estimable"):
        test = linear["test"]
        parts.append(
            f"On the mean of the constructs, F({test['df1']}, {number(test['df2'], 1)}) = {number(test['F'])}, {p_text(test['p'])}, "
            f"marginal R² = {number(linear['r2_marginal'], 3)}, conditional R² = {number(linear['r2_conditional'], 3)}."
        )
    return " ".join(parts)


def disagreements(results: Row) -> list[Row]:
    """Per construct: what the primary test and the reference's say, whether they agree, and why they may not."""
    alpha = results["data"]["options"]["alpha"]
    reference = {row["construct"]: row for row in results.get("kruskal") or []}
    rows = []
    for model in estimable(results):
        other = reference.get(model["construct"])
        if other is None or other["p"] is None or model["p_holm"] is None:
            continue
        primary, old = model["p_holm"] < alpha, other["p"] < alpha
        if primary == old:
            why = "Both say the same."
        elif primary:
            why = (
                "Participants differ much in how high they rate (their SD is in the table of the models). The reference's test takes that "
                "as noise; the mixed model compares conditions within participants and so sees a difference."
            )
        elif other["p_holm"] is not None and other["p_holm"] >= alpha:
            why = "The reference's test does not adjust for several constructs; adjusted, it does not find a difference either."
        else:
            why = "The reference's test takes the ratings of one person as independent and so is too certain."
        rows.append(
            {
                "construct": model["construct"],
                "primary": model["p_holm"],
                "reference": other["p"],
                "agree": primary == old,
                "why": why,
            }
        )
    return rows
