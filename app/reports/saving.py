"""Figures and tables as files: SVG, PDF, PNG and CSV; CSV and LaTeX. Equal content gives equal bytes."""

from __future__ import annotations

from pathlib import Path

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


def save_drawing(drawing: Drawing, folder: Path) -> str:
    """Write the figure's four files into `folder`; the SVG's text, for the page."""
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
    return text


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
