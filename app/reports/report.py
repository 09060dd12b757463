"""The report of a rating study: report.html (one self-contained page), figures/ and tables/."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.reports import disagreements, figures, formats, wording
from app.reports.conclusion import conclusion
from app.reports.paragraphs import methods_paragraph, results_paragraph
from app.reports.references import REFERENCES
from app.reports.saving import Job, Saved, save_drawings, save_table
from app.reports.tables import ReportTable, all_tables, covariate_rows
from app.settings import resource
from app.statistics.data import RatingsData

Row = dict[str, Any]
FILTERS = ("number", "one", "bounded", "bounded_interval", "p_value", "interval", "whole", "share", "precise")


def environment() -> Environment:
    """Templates that escape all that they print, and refuse names that are not there."""
    made = Environment(
        loader=FileSystemLoader(resource("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {name: getattr(formats, name) for name in FILTERS}
    made.filters |= {"p_text": wording.p_text, "listed": wording.listed}
    return made


def scale_labels(results: Row) -> list[str]:
    """The labels of the scale's points: the study's own, else the numbers."""
    scale = results["data"]["scale"]
    points = [str(point) for point in range(scale["low"], scale["high"] + 1)]
    labels = [str(label) for label in (results["data"].get("study") or {}).get("labels") or []]
    if len(labels) != len(points):
        return points
    return [
        label if label.startswith(point) else f"{point} {label}" for point, label in zip(points, labels, strict=True)
    ]


def write_report(
    results: Row, data: RatingsData, out: Path, *, labels: Sequence[str] | None = None, workers: int = 2
) -> Path:
    """Write report.html, figures/*.{svg,pdf,png,csv} and tables/*.{csv,tex} into `out`; the page's path.

    results: as `app.statistics.analysis.analyze` gives them. data: the ratings, excluded ones too; what rules exclude is left
    out here. labels: of the scale's points, lowest first (default: the study's).
    workers: processes that draw. Equal results and data give equal files.
    """
    kept = data.kept
    labels = list(labels or scale_labels(results))
    jobs: list[Job] = [  # the longest first
        (figures.forest, (results,)),
        (figures.diverging, (results, labels)),
        (figures.probabilities, (results, labels)),
        (figures.caterpillar, (results,)),
        (figures.raincloud, (results, kept)),
        (figures.flow, (results,)),
    ]
    saved = save_drawings(jobs, out, workers)
    tables = all_tables(results, {"covariates": covariate_rows(kept)})
    save_tables(tables, out)
    path = out / "report.html"
    path.write_text(render(results, saved, tables, labels), encoding="utf-8")
    return path


def render(
    results: Row,
    saved: dict[str, Saved],
    tables: dict[str, ReportTable],
    labels: Sequence[str],
) -> str:
    """The page, with the figures and tables that are given."""
    study = results["data"].get("study") or {}
    return environment().get_template("reports/report.html").render(
        results=results,
        data=results["data"],
        study=study,
        primary="preregistered" if study.get("preregistered") else "primary",
        level=wording.level(results),
        figures=saved,
        tables=tables,
        labels=labels,
        conclusion=conclusion(results),
        methods=methods_paragraph(results),
        findings=results_paragraph(results),
        disagreements=disagreements.disagreements(results),
        pair_disagreements=disagreements.pair_disagreements(results),
        agreement_summary=disagreements.summary(results),
        background=background(results),
        references=sorted(full for _, full in REFERENCES.values()),
        failed=[m for m in results.get("ordinal") or [] if not m.get("estimable")],
        notes=[f"{m['construct']}: {note}" for m in wording.estimable(results) for note in m.get("notes") or []],
        reasons=reasons(results),
    )  # fmt: skip


def save_tables(tables: dict[str, ReportTable], out: Path) -> None:
    """Write the tables into out/tables."""
    (out / "tables").mkdir(parents=True, exist_ok=True)
    for table in tables.values():
        save_table(table, out / "tables")


def background(results: Row) -> dict[str, str]:
    """Each background question with its answers: `male 59, female 57`."""
    answers: dict[str, list[str]] = {}
    for row in results["data"].get("background") or []:
        answers.setdefault(row["variable"], []).append(f"{row['value']} {row['participants']}")
    return {question: ", ".join(said) for question, said in answers.items()}


def reasons(results: Row) -> dict[str, list[str]]:
    """Why a part of the results is missing, by its key: what is not estimable is said, not left out."""
    out: dict[str, list[str]] = {}
    for key in ("reliability", "agreement", "linear", "multivariate"):
        found = results.get(key)
        for row in found if isinstance(found, list) else [found] if found else []:
            if not row.get("estimable") and row.get("reason") and row["reason"] not in out.get(key, []):
                out.setdefault(key, []).append(row["reason"])
    return out
