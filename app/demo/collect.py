"""Collect the demo's content from a finished distillation: explanations.jsonl and provenance.json beside this file.

    blindrate distill examples/demo.yaml --out out/demo && python -m app.demo.collect out/demo

Explanations are taken as the students wrote them. A question stays out when one of the runs wrote nothing for it, so that
every condition has the same questions.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
MANIFEST_PARTS = (
    "name", "dataset", "command", "config", "config_sha256", "seed", "code_version", "code_versions", "software", "started",
    "updated", "questions", "teacher", "runs",
)  # fmt: skip


def collect(out: Path, folder: Path) -> dict[str, Any]:
    """Write both files into `folder`; the provenance. Raises ValueError when a run of the manifest is not evaluated."""
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    unfinished = [name for name, run in manifest["runs"].items() if run["state"] != "evaluated"]
    if unfinished or not manifest["runs"]:
        raise ValueError(f"{out}: not evaluated yet: {', '.join(unfinished) or 'any run'}")
    rows: dict[str, list[dict[str, Any]]] = {}
    metrics = {}
    for name in manifest["runs"]:
        run = out / "runs" / name
        lines = (run / "explanations.jsonl").read_text(encoding="utf-8").splitlines()
        rows[name] = [json.loads(line) | {"run": name} for line in lines]
        found = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        metrics[name] = {key: value for key, value in found.items() if key not in ("config", "evaluation")}
    empty = {row["question_id"] for run_rows in rows.values() for row in run_rows if not row["explanation"].strip()}
    kept = [row for run_rows in rows.values() for row in run_rows if row["question_id"] not in empty]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
    (folder / "explanations.jsonl").write_text(text, encoding="utf-8")
    provenance = {part: manifest[part] for part in MANIFEST_PARTS if part in manifest} | {
        "metrics": metrics,
        "explanations": {
            "count": len(kept),
            "questions": len({row["question_id"] for row in kept}),
            "left_out_as_empty": sorted(empty),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        },
    }
    (folder / "provenance.json").write_text(
        json.dumps(provenance, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return provenance


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder of the finished distillation")
    parser.add_argument("--into", type=Path, default=FOLDER, help="where the files go (default: app/demo)")
    arguments = parser.parse_args()
    print(json.dumps(collect(arguments.out, arguments.into)["explanations"]))
