"""Figures and tables as files: SVG, PDF, PNG and CSV; CSV and LaTeX. Equal content gives equal bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf

from app.reports.drawing import Drawing
from app.reports.style import styled, svg
from app.reports.tables import ReportTable

LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "–": "--", "α": r"$\alpha$", "χ": r"$\chi$",
        "ε": r"$\varepsilon$", "ω": r"$\omega$", "η": r"$\eta$", "²": r"\textsuperscript{2}", "<": r"\textless{}", ">": r"\textgreater{}",
        "|": r"\textbar{}", "…": r"\ldots{}", "×": r"$\times$", "\n": " ",
    }
)  # fmt: skip
PNG_DPI = 200
LONG = 40  # rows above which a LaTeX table may break over pages


@dataclass(frozen=True)
class Saved:
    """A figure that was written: what a page shows of it."""

    name: str
    title: str
    description: str
    svg: str


def save_drawing(drawing: Drawing, folder: Path) -> Saved:
    """Write the figure's four files into `folder`. The SVG that is given back has ids that no other figure of a page has."""
    figure = drawing.figure
    with styled():
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once for the three forms
        text = svg(figure, drawing.title, drawing.description)
        FigureCanvasPdf(figure).print_pdf(folder / f"{drawing.name}.pdf", metadata={"CreationDate": None})
        figure.set_dpi(PNG_DPI)  # the other forms have set it to points
        FigureCanvasAgg(figure).print_png(str(folder / f"{drawing.name}.png"), metadata={"Software": None})
    (folder / f"{drawing.name}.svg").write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{text}', encoding="utf-8")
    drawing.data.to_csv(folder / f"{drawing.name}.csv", index=False, lineterminator="\n")
    own = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{drawing.name}-", text)
    return Saved(drawing.name, drawing.title, drawing.description, own)


Make = Callable[..., Drawing | None]
Job = tuple[Make, tuple[Any, ...]]


def save_drawings(jobs: Sequence[Job], out: Path, workers: int = 2) -> dict[str, Saved]:
    """Draw (a function and its arguments each; None: nothing to draw) and write into out/figures, in the jobs' order.

    workers: processes, which change nothing in the files; where the system cannot fork, one is used.
    """
    folder = out / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    if workers < 2 or "fork" not in get_all_start_methods():
        saved = [_draw(make, arguments, folder) for make, arguments in jobs]
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
            saved = [future.result() for future in [pool.submit(_draw, make, args, folder) for make, args in jobs]]
    return {figure.name: figure for figure in saved if figure is not None}


def _draw(make: Make, arguments: tuple[Any, ...], folder: Path) -> Saved | None:
    drawing = make(*arguments)
    return None if drawing is None else save_drawing(drawing, folder)


def latex(table: ReportTable) -> str:
    """A table in booktabs form (a long one with longtable); every cell escaped, numbers to the right."""
    head = " & ".join(str(name).translate(LATEX) for name in table.shown.columns) + r" \\"
    columns = "".join("l" if is_text else "r" for is_text in table.texts)
    rows = [" & ".join(str(cell).translate(LATEX) for cell in row) + r" \\" for row in table.shown.to_numpy()]
    caption = rf"\caption{{{table.title.translate(LATEX)}}}\label{{tab:{table.name}}}"
    note = [rf"\par\footnotesize {table.note.translate(LATEX)}"] if table.note else []
    if len(rows) > LONG:
        lines = [
            rf"\begin{{longtable}}{{{columns}}}",
            rf"{caption}\\",
            r"\toprule",
            head,
            r"\midrule",
            r"\endhead",
            *rows,
            r"\bottomrule",
        ]
        return "\n".join([*lines, r"\end{longtable}", *note, ""])
    lines = [
        r"\begin{table}[htbp]",
        r"\centering",
        caption,
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        head,
        r"\midrule",
        *rows,
    ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *note, r"\end{table}", ""])


def save_table(table: ReportTable, folder: Path) -> None:
    """Write a table's exact values as CSV, and what the report prints of it as LaTeX."""
    table.values.to_csv(folder / f"{table.name}.csv", index=False, lineterminator="\n")
    (folder / f"{table.name}.tex").write_text(latex(table), encoding="utf-8")
