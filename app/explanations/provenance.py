"""Where an explanation comes from, for a page: what is asked first as a short list, all the rest as text."""

from __future__ import annotations

from typing import Any

import yaml

# label: path in the provenance of a set or run
FACTS = {
    "File": "file",
    "File's sha256": "sha256",
    "Command": "command",
    "Seed of the distillation": "seed",
    "Code version": "code_version",
    "Configuration's sha256": "config_sha256",
    "Training questions' sha256": "questions.train.sha256",
    "Test questions' sha256": "questions.test.sha256",
}


def _at(provenance: Any, path: str) -> Any:
    for key in path.split("."):
        provenance = provenance.get(key) if isinstance(provenance, dict) else None
    return provenance


def of_run(provenance: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    """The provenance without the other runs of the same distillation: of `runs` and `metrics` only what has the `wanted` values."""
    runs = provenance.get("runs")
    if not isinstance(runs, dict):
        return provenance
    own = {name: run for name, run in runs.items() if all(run.get(key) == value for key, value in wanted.items())}
    metrics = {name: value for name, value in (provenance.get("metrics") or {}).items() if name in own}
    return provenance | {"runs": own} | ({"metrics": metrics} if metrics else {})


def facts(provenance: dict[str, Any]) -> list[tuple[str, str]]:
    """What is asked first, as (label, text): origin, command, seed, code version, hashes of configuration, data and models."""
    found = [(label, _at(provenance, path)) for label, path in FACTS.items()]
    models = {
        f"{source['model']}, sha256 {source['model_sha256']}"
        for part in (provenance.get("teacher") or {}).values()
        if isinstance(source := _at(part, "source"), dict) and source.get("model_sha256")
    }
    found += [("Teacher", model) for model in sorted(models)]
    return [(label, str(value)) for label, value in found if value not in (None, "")]


def as_text(provenance: dict[str, Any]) -> str:
    """All of it, as YAML."""
    return yaml.safe_dump(provenance, sort_keys=True, allow_unicode=True, width=100)
