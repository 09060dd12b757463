"""How far our mixed models are from R's, quantity by quantity; writes its part of docs/statistics-agreement.md.

    python -m benchmarks.agreement_mixed
    python -m benchmarks.agreement_mixed --csv ../shared/data/paper/study.csv --r-results study_r.json

The second form adds the reference study, whose R results the oracle script makes from the file and which are not kept here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import pandas as pd

from app.statistics.linear_mixed import fit_linear
from app.statistics.ordinal import fit_ordinal
from tests.statistics.mixed_oracle import golden, linear_differences, linear_of, ordinal_differences, ordinal_of

PAGE = Path(__file__).resolve().parent.parent / "docs" / "statistics-agreement.md"
BEGIN, END = "<!-- mixed models: begin -->", "<!-- mixed models: end -->"
STUDY = {"condition": "model", "participant": "CASE", "item": "rationale_id"}


def as_table(differences: dict[str, dict[str, float]]) -> list[str]:
    """A row per data set, a column per quantity."""
    quantities = list(dict.fromkeys(q for row in differences.values() for q in row))
    lines = ["| data | " + " | ".join(quantities) + " |", "| --- |" + " --- |" * len(quantities)]
    for name, row in differences.items():
        lines.append(f"| {name} | " + " | ".join(f"{row[q]:.0e}" if q in row else "-" for q in quantities) + " |")
    return lines


def of_study(csv: Path, results: Path) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """(ordinal, linear) differences on the reference study."""
    frame, theirs = pd.read_csv(csv), json.loads(results.read_text())
    constructs = [name for name in theirs if name not in ("versions", "Quality")]
    frame["Quality"] = frame[constructs].mean(axis=1)
    ordinal = {
        f"reference study, {name}": ordinal_differences(
            fit_ordinal(frame, response=name, **STUDY), theirs[name]["ordinal"]
        )
        for name in constructs
    }
    linear = linear_differences(fit_linear(frame, response="Quality", **STUDY), theirs["Quality"]["linear"])
    return ordinal, {"reference study, Quality": linear}


def block(csv: Path | None, results: Path | None) -> list[str]:
    """This script's part of the page."""
    made: dict[str, Any] = golden()
    ordinal = {name: ordinal_differences(ordinal_of(case), case["ordinal"]) for name, case in made["cases"].items()}
    linear = {
        name: linear_differences(linear_of(case), case["linear"])
        for name, case in made["cases"].items()
        if "linear" in case
    }
    command = "python -m benchmarks.agreement_mixed"
    if csv and results:
        more_ordinal, more_linear = of_study(csv, results)
        ordinal |= more_ordinal
        linear |= more_linear
        command += " --csv study.csv --r-results study_r.json"
    versions = made["versions"]
    return [
        BEGIN,
        "## Mixed models",
        "",
        f"Written by `{command}`; R's side by `tests/statistics/oracle/oracle_mixed.R` ({versions['R']}, ordinal {versions['ordinal']}, "
        f"lme4 {versions['lme4']}, lmerTest {versions['lmerTest']}, emmeans {versions['emmeans']}).",
        "Each number is the largest absolute difference of a quantity in a data set (degrees of freedom: relative).",
        "",
        "Ordinal: our Laplace fit against `clmm`, contrasts against `emmeans`. clmm's standard errors come from a numerical Hessian.",
        "",
        *as_table(ordinal),
        "",
        "Linear: our REML fit against `lmer` (bobyqa, rhoend 1e-10), Satterthwaite's degrees of freedom against `lmerTest`, contrasts",
        "against `emmeans`.",
        "",
        *as_table(linear),
        "",
        "Where an item standard deviation is 0, clmm stops near 0 with a numerical Hessian that it may not be able to invert; its side is",
        "then the model without that effect, which has the same likelihood. Where a condition is rated at the top throughout",
        "(`separated`), R's side is the data without it. Both are tested in `tests/statistics/test_mixed_golden.py`.",
        END,
    ]


@click.command(epilog="Example: python -m benchmarks.agreement_mixed --csv study.csv --r-results study_r.json")
@click.option(
    "--csv", type=click.Path(exists=True, path_type=Path), default=None, help="The reference study's ratings."
)
@click.option(
    "--r-results",
    type=click.Path(exists=True, path_type=Path),
    default=None,
    help="What oracle_mixed.R made of that file.",
)
def main(csv: Path | None, r_results: Path | None) -> None:
    """Compare and write the mixed models' part of docs/statistics-agreement.md."""
    text = "\n".join(block(csv, r_results))
    page = PAGE.read_text() if PAGE.exists() else "# Agreement with R\n"
    if BEGIN in page:
        page = re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: text, page, flags=re.DOTALL)
    else:
        page = page.rstrip() + "\n\n" + text + "\n"
    PAGE.write_text(page)
    click.echo(text)


if __name__ == "__main__":
    main()
