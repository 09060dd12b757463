"""What the report cites: key → (as cited in the text, the full reference in APA style)."""

from __future__ import annotations

REFERENCES: dict[str, tuple[str, str]] = {
    "barr": (
        "Barr et al., 2013",
        "Barr, D. J., Levy, R., Scheepers, C., & Tily, H. J. (2013). Random effects structure for confirmatory hypothesis testing: "
        "Keep it maximal. Journal of Memory and Language, 68(3), 255–278. https://doi.org/10.1016/j.jml.2012.11.001",
    ),
    "christensen": (
        "Christensen, 2019",
        "Christensen, R. H. B. (2019). ordinal: Regression models for ordinal data (R package version 2019.12-10). "
        "https://CRAN.R-project.org/package=ordinal",
    ),
    "hebenstreit": (
        "Hebenstreit et al., 2023",
        "Hebenstreit, K., Praas, R., Kiesewetter, L. P., & Samwald, M. (2023). An automatically discovered chain-of-thought prompt "
        "generalizes to novel models and datasets. arXiv. https://arxiv.org/abs/2305.02897",
    ),
    "heiberger": (
        "Heiberger & Robbins, 2014",
        "Heiberger, R. M., & Robbins, N. B. (2014). Design of diverging stacked bar charts for Likert scales and other applications. "
        "Journal of Statistical Software, 57(5), 1–32. https://doi.org/10.18637/jss.v057.i05",
    ),
    "hendriks": (
        "Hendriks et al., 2025",
        "Hendriks, D., Spitzer, P., Kühl, N., & Satzger, G. (2025). Honey, I shrunk the language model: Impact of knowledge distillation "
        "methods on performance and explainability. arXiv. https://arxiv.org/abs/2504.16056",
    ),
    "hoffman": (
        "Hoffman et al., 2023",
        "Hoffman, R. R., Mueller, S. T., Klein, G., & Litman, J. (2023). Measures for explainable AI: Explanation goodness, user "
        "satisfaction, mental models, curiosity, trust, and human-AI performance. Frontiers in Computer Science, 5, 1096257. "
        "https://doi.org/10.3389/fcomp.2023.1096257",
    ),
    "holm": (
        "Holm, 1979",
        "Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics, 6(2), 65–70.",
    ),
    "holzinger": (
        "Holzinger et al., 2020",
        "Holzinger, A., Carrington, A., & Müller, H. (2020). Measuring the quality of explanations: The System Causability Scale (SCS). "
        "KI – Künstliche Intelligenz, 34(2), 193–198. https://doi.org/10.1007/s13218-020-00636-z",
    ),
    "krippendorff": (
        "Krippendorff, 2018",
        "Krippendorff, K. (2018). Content analysis: An introduction to its methodology (4th ed.). SAGE.",
    ),
    "kuznetsova": (
        "Kuznetsova et al., 2017",
        "Kuznetsova, A., Brockhoff, P. B., & Christensen, R. H. B. (2017). lmerTest package: Tests in linear mixed effects models. "
        "Journal of Statistical Software, 82(13), 1–26. https://doi.org/10.18637/jss.v082.i13",
    ),
    "lakens": (
        "Lakens, 2017",
        "Lakens, D. (2017). Equivalence tests: A practical primer for t tests, correlations, and meta-analyses. Social Psychological "
        "and Personality Science, 8(4), 355–362. https://doi.org/10.1177/1948550617697177",
    ),
    "satterthwaite": (
        "Satterthwaite, 1946",
        "Satterthwaite, F. E. (1946). An approximate distribution of estimates of variance components. Biometrics Bulletin, 2(6), "
        "110–114. https://doi.org/10.2307/3002019",
    ),
    "vargha": (
        "Vargha & Delaney, 2000",
        "Vargha, A., & Delaney, H. D. (2000). A critique and improvement of the CL common language effect size statistics of McGraw and "
        "Wong. Journal of Educational and Behavioral Statistics, 25(2), 101–132. https://doi.org/10.3102/10769986025002101",
    ),
}  # fmt: skip


def cite(key: str) -> str:
    """`Holm, 1979`."""
    return REFERENCES[key][0]
