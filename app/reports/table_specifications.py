"""What each of the report's tables shows: title, note, and columns (header → field of a row and how it is printed)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.reports.formats import (
    bounded,
    bounded_interval,
    interval,
    number,
    one,
    p_value,
    precise,
    precise_interval,
    ratio,
    ratio_interval,
    share,
    share_interval,
    text,
    three,
    whole,
    yes,
)

Format = Callable[[Any], str]
Columns = dict[str, tuple[str, Format]]


@dataclass(frozen=True)
class Specification:
    """`more`: fields that only the CSV file has. In titles, notes and headers `95%` stands for the level of the intervals."""

    title: str
    columns: Columns
    note: str = ""
    more: tuple[str, ...] = field(default=())


CONSTRUCT: Columns = {"Construct": ("construct", text)}
PAIR: Columns = {"Pair (b − a)": ("pair", text)}
TEST: Columns = {"p": ("p", p_value), "p (Holm)": ("p_holm", p_value)}
RATIO: Columns = {
    "Estimate": ("estimate", number), "SE": ("se", number), "Odds ratio": ("odds_ratio", ratio),
    "95% CI": ("odds_ratio_ci_tukey", ratio_interval), "p (Tukey)": ("p_tukey", p_value), "p (Holm)": ("p_holm", p_value),
}  # fmt: skip
REASON: Columns = {"Remark": ("reason", text)}

SPECIFICATIONS: dict[str, Specification] = {
    "descriptives": Specification(
        "Ratings by construct and condition",
        CONSTRUCT | {
            "Condition": ("condition", text), "n": ("n", whole), "Mean": ("mean", number), "95% CI": ("mean_ci", interval),
            "SD": ("sd", number), "Median": ("median", one), "Q1": ("q1", one), "Q3": ("q3", one), "Top two": ("top2", share),
            "95% CI of it": ("top2_ci", share_interval),
        },
        "Top two: share of ratings at the two highest points of the scale. Intervals: bootstrap over participants.",
        ("participants",),
    ),
    "covariates": Specification(
        "Covariates by condition",
        {
            "Covariate": ("covariate", text), "Condition": ("condition", text), "n": ("n", whole), "Mean": ("mean", precise),
            "SD": ("sd", precise), "Median": ("median", precise), "Lowest": ("min", precise), "Highest": ("max", precise),
        },
        "Of the trials analysed. Where conditions differ in a covariate, comparisons with and without it answer different questions.",
    ),
    "reliability": Specification(
        "Items of the instrument",
        CONSTRUCT | {"α if dropped": ("alpha_if_dropped", bounded), "Item–rest r": ("item_rest", bounded), "Loading": ("loading", bounded)},
    ),
    "agreement": Specification(
        "Agreement of the raters of an explanation",
        CONSTRUCT | {
            "Explanations": ("explanations", whole), "Ratings": ("ratings", whole), "Krippendorff's α": ("krippendorff_alpha", bounded),
            "95% CI": ("krippendorff_ci", bounded_interval), "ICC": ("icc", bounded), "95% CI of the ICC": ("icc_ci", bounded_interval),
        } | REASON,
        "Explanations with at least two raters; ordinal α. Intervals: bootstrap over participants.",
    ),
    "ordinal": Specification(
        "Do the conditions differ? Likelihood-ratio tests of the ordinal mixed models",
        CONSTRUCT | {"n": ("n", whole), "χ²": ("lr", number), "df": ("df", whole)} | TEST | {
            "SD participant": ("sd.participant", number), "SD item": ("sd.item", number), "SD explanation": ("sd.explanation", number),
            "ICC participant": ("icc.participant", bounded),
        } | REASON,
        "Against the same model without condition. Holm: adjusted over constructs. SD: of the random effects, in logits. ICC: share in the "
        "variance that condition and covariates leave.",
        ("log_likelihood", "log_likelihood_null"),
    ),
    "contrasts": Specification(
        "Differences between conditions: contrasts of the ordinal mixed models",
        CONSTRUCT | PAIR | RATIO | {"p (equivalence)": ("p_tost", p_value)},
        "Estimate: log odds ratio; above 0 (odds ratio above 1), b was rated higher. Intervals and p (Tukey) hold for all pairs of a "
        "construct together. p (equivalence): two one-sided tests; small values speak for equivalence.",
        ("z", "p", "ci", "odds_ratio_ci"),
    ),
    "linear": Specification(
        "Differences on the mean of the constructs: contrasts of the linear mixed model",
        PAIR | {
            "Estimate": ("estimate", number), "SE": ("se", three), "df": ("df", one), "t": ("t", number), "95% CI": ("ci", interval),
            "p": ("p", p_value), "p (Tukey)": ("p_tukey", p_value), "p (Holm)": ("p_holm", p_value),
        },
        "In points of the scale; above 0, b was rated higher. REML, Satterthwaite's degrees of freedom. Intervals are for one pair each.",
    ),
    "multivariate": Specification(
        "All constructs at once: permutation test",
        CONSTRUCT | {"Statistic": ("statistic", number), "p": ("p", p_value), "p (max)": ("p_max", p_value)},
        "p (max): adjusted for looking at all constructs.",
    ),
    "kruskal": Specification(
        "Reference: Kruskal–Wallis tests",
        CONSTRUCT | {"n": ("n", whole), "H": ("H", number), "df": ("df", whole)} | TEST
        | {"ε²": ("epsilon_squared", lambda v: bounded(v, 3))} | REASON,
        "All ratings taken as independent, which the ratings of one person are not.",
    ),
    "friedman": Specification(
        "Friedman tests on participants' means",
        CONSTRUCT | {
            "n": ("n", whole), "Left out": ("left_out", whole), "χ²": ("chi2", number), "df": ("df", whole), "p": ("p", p_value),
            "Kendall's W": ("kendall_w", lambda v: bounded(v, 3)),
        } | REASON,
        "Each participant once; those without ratings in every condition are left out.",
    ),
    "ols_conditions": Specification(
        "Reference: regression of the mean of the constructs (ordinary least squares)",
        {
            "Model": ("model", text), "Term": ("term", text), "Estimate": ("estimate", precise), "SE": ("se", precise), "p": ("p", p_value),
            "SE (cluster)": ("se_cluster", precise), "p (cluster)": ("p_cluster", p_value),
        },
        "SE and p as the reference computed them, ratings taken as independent; (cluster): robust to ratings of one person belonging "
        "together. Outliers: means outside 1.5 interquartile ranges within a condition.",
    ),
    "sensitivity_models": Specification(
        "The primary test under other models: Holm-adjusted p",
        CONSTRUCT | {
            "Primary": ("primary", p_value), "Without covariates": ("without_covariates", p_value), "Random slopes": ("slopes", p_value),
            "High or low": ("binary", p_value),
        },
        "Random slopes: participants may differ in how they take to a condition. High or low: ratings cut above the middle of the scale.",
    ),
    "proportional_odds": Specification(
        "Is one odds ratio per condition enough for all points of the scale?",
        CONSTRUCT | {"χ²": ("lr", number), "df": ("df", whole), "p": ("p", p_value), "Doubtful": ("doubtful", yes)} | REASON,
        "Test of thresholds that differ between conditions. Where it is doubtful, the comparison of high and low ratings is the safer one.",
    ),
    "exclusions": Specification(
        "The primary tests with exclusion rules left out",
        {
            "Rule left out": ("without", text), "Construct": ("construct", text), "Participants": ("participants", whole),
            "Trials": ("trials", whole), "χ²": ("lr", number), "df": ("df", whole),
        } | TEST | REASON,
    ),
    "dropped": Specification(
        "How few ratings carry a significant difference",
        CONSTRUCT | PAIR | {
            "p (Tukey)": ("p_tukey", p_value), "Ratings": ("ratings", whole), "Share": ("share", share), "Confirmed": ("confirmed", yes),
        } | REASON,
        "The smallest number found, up to 1 %, without which the pair is no longer significant. Confirmed: by fitting again.",
        ("rows",),
    ),
    "levene": Specification(
        "Equal variances (Levene, around the median)",
        CONSTRUCT | {"F": ("F", number), "df1": ("df1", whole), "df2": ("df2", whole), "p": ("p", p_value)} | REASON,
    ),
    "joint": Specification(
        "All constructs together",
        {"Test": ("test", text), "Statistic": ("statistic", number), "df": ("df", whole), "p": ("p", p_value)} | REASON,
    ),
    "model_terms": Specification(
        "All terms of the primary models",
        CONSTRUCT | {
            "Term": ("term", text), "Estimate": ("estimate", precise), "SE": ("se", precise), "p": ("p", p_value),
            "Odds ratio": ("odds_ratio", precise), "95% CI": ("odds_ratio_ci", precise_interval),
        },
        "In logits. Not adjusted for several tests: the tests of the conditions are in the tables above.",
        ("z", "ci"),
    ),
    "contrasts_without_covariates": Specification(
        "Differences between conditions without covariates",
        CONSTRUCT | PAIR | RATIO,
        "The same models without covariates: the explanations as they were shown.",
        ("z", "p", "ci", "odds_ratio_ci"),
    ),
    "dunn": Specification(
        "Reference: Dunn's tests",
        CONSTRUCT | PAIR | {
            "z": ("z", number), "p": ("p", p_value), "p (Bonferroni)": ("p_bonferroni", p_value), "p (Holm)": ("p_holm", p_value),
            "A": ("vargha_delaney_a", bounded), "95% CI": ("vargha_delaney_ci", bounded_interval),
        },
        "A: probability that a rating of b is higher than one of a, ties counted half (Vargha and Delaney). Intervals: "
        "bootstrap over participants.",
        ("n_a", "n_b"),
    ),
    "leave_one_out": Specification(
        "Leaving out one participant at a time",
        CONSTRUCT | PAIR | {
            "Estimate": ("estimate", number), "Lowest": ("low", number), "without": ("low_without", text), "Highest": ("high", number),
            "without ": ("high_without", text),
        } | REASON,
        "Range of each estimate (log odds ratio) over all participants, and without whom its ends are reached.",
    ),
    "shapiro_wilk": Specification(
        "Normality (Shapiro–Wilk)",
        CONSTRUCT | {"Condition": ("condition", text), "n": ("n", whole), "W": ("W", lambda v: bounded(v, 3)), "p": ("p", p_value)}
        | REASON,
    ),
    "background": Specification(
        "Participants' background",
        {"Question": ("variable", text), "Answer": ("value", text), "Participants": ("participants", whole)},
    ),
    "ols": Specification(
        "Reference: regression, all terms",
        {
            "Model": ("model", text), "n": ("n", whole), "Term": ("term", text), "Estimate": ("estimate", precise), "SE": ("se", precise),
            "t": ("t", number), "p": ("p", p_value), "95% CI": ("ci", precise_interval), "SE (cluster)": ("se_cluster", precise),
            "p (cluster)": ("p_cluster", p_value), "95% CI (cluster)": ("ci_cluster", precise_interval),
        },
    ),
}  # fmt: skip
