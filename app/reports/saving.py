"""Figures and tables as files: SVG, PDF, PNG and CSV; CSV and LaTeX. Equal content gives equal bytes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf

from app.reports.drawing import Drawing
from app.reports.style import styled, svg

PNG_DPI = 200
LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "–": "--", "α": r"$\alpha$", "χ": r"$\chi$",
        "ε": r"$\varepsilon$", "ω": r"$\omega$", "η": r"$\eta$", "²": r"\textsuperscript{2}", "<": r"\textless{}", ">": r"\textgreater{}",
    }
)  # fmt: skip


def save_drawing(drawing: Drawing, folder: Path) -> str:
    """Write the figure's four files into `folder`; the SVG's text, for the page."""
    with styled():
        drawing.figure.draw_without_rendering()
    drawing.figure.set_layout_engine("none")  # laid out once for the three forms
    text = svg(drawing.figure, drawing.title, drawing.description)
    (folder / f"{drawing.name}.svg").write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{text}', encoding="utf-8")
    with styled():
        FigureCanvasPdf(drawing.figure).print_pdf(folder / f"{drawing.name}.pdf", metadata={"CreationDate": None})
        drawing.figure.set_dpi(PNG_DPI)
        FigureCanvasAgg(drawing.figure).print_png(str(folder / f"{drawing.name}.png"), metadata={"Software": None})
    drawing.data.to_csv(folder / f"{drawing.name}.csv", index=False, lineterminator="\n")
    return text


def latex(table: pd.DataFrame, caption: str, label: str) -> str:
    """A table in booktabs form; every cell escaped."""
    numeric = [bool(pd.api.types.is_numeric_dtype(kind)) for kind in table.dtypes]
    lines = [
        r"\begin{table}",
        rf"\caption{{{caption.translate(LATEX)}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{''.join('r' if n else 'l' for n in numeric)}}}",
        r"\toprule",
        " & ".join(str(name).translate(LATEX) for name in table.columns) + r" \\",
        r"\midrule",
    ]
    for row in table.itertuples(index=False):
        lines.append(" & ".join("" if cell is None else str(cell).translate(LATEX) for cell in row) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def save_table(table: pd.DataFrame, shown: pd.DataFrame, name: str, title: str, folder: Path) -> None:
    """Write `table` (full precision) as CSV and `shown` (rounded, as the report prints it) as LaTeX."""
    table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    (folder / f"{name}.tex").write_text(latex(shown, title, name), encoding="utf-8")
