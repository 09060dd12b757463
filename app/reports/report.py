"""The report of a rating study: report.html (one self-contained page), figures/ and tables/."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from app.reports import figures, text
from app.reports.saving import save_drawing, save_table
from app.reports.tables import all_tables, interval, number, p_value, share, whole
from app.settings import resource

Row = dict[str, Any]
environment = Environment(
    loader=FileSystemLoader(resource("templates")),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
environment.filters |= {f.__name__: f for f in (number, p_value, interval, whole, share)}


def scale_labels(results: Row) -> list[str]:
    """The labels of the scale's points: the study's own, else the numbers."""
    scale = results["data"]["scale"]
    study = results["data"].get("study") or {}
    points = [str(point) for point in range(scale["low"], scale["high"] + 1)]
    labels = study.get("labels") or points
    return list(labels) if len(labels) == len(points) else points


def write_report(results: Row, data: Any, out: Path, *, labels: Sequence[str] | None = None) -> Path:
    """Write report.html, figures/*.{svg,pdf,png,csv} and tables/*.{csv,tex} into `out`; the page's path.

    results: as `app.statistics.analysis.analyze` gives them. data: the RatingsData analysed (for the participants' means).
    Equal results and data give equal files.
    """
    labels = list(labels or scale_labels(results))
    for folder in ("figures", "tables"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    made = (
        figures.diverging(results, labels),
        figures.forest(results),
        figures.probabilities(results, labels),
        figures.raincloud(results, data),
        figures.caterpillar(results),
    )
    drawings = {drawing.name: drawing for drawing in made if drawing is not None}
    svgs = {name: save_drawing(drawing, out / "figures") for name, drawing in drawings.items()}
    tables = all_tables(results)
    for name, table in tables.items():
        save_table(table.values, table.shown, name, table.title, out / "tables")
    page = environment.get_template("reports/report.html").render(
        results=results,
        data=results["data"],
        study=results["data"].get("study") or {},
        drawings=drawings,
        svgs=svgs,
        tables=tables,
        conclusion=text.conclusion(results),
        methods=text.methods_paragraph(results),
        findings=text.results_paragraph(results),
        disagreements=text.disagreements(results),
        references=[text.REFERENCES[key] for key in sorted(text.REFERENCES)],
        failed=[m for m in results.get("ordinal") or [] if not m.get("estimable")],
        notes=[f"{m['construct']}: {note}" for m in text.estimable(results) for note in m.get("notes") or []],
    )
    path = out / "report.html"
    path.write_text(page, encoding="utf-8")
    return path
