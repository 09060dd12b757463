"""An explanation leads back to what made it, and to nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from app.explanations.provenance import as_text, facts, of_run

DEMO = json.loads((Path(__file__).resolve().parents[2] / "app" / "demo" / "provenance.json").read_text())


def test_only_the_run_that_wrote_it_stays() -> None:
    own = of_run(DEMO, objective="multitask", generation_method="few_shot", seed=0)
    assert [run["objective"] for run in own["runs"].values()] == ["multitask"]
    assert set(own["metrics"]) == set(own["runs"])
    assert own["config"] == DEMO["config"]


def test_the_facts_name_seed_code_version_configuration_and_the_models_hash() -> None:
    told = dict(facts(DEMO))
    assert told["Seed of the distillation"] == str(DEMO["seed"]) and told["Code version"] == DEMO["code_version"]
    assert told["Configuration's sha256"] == DEMO["config_sha256"]
    assert DEMO["teacher"]["few_shot"]["source"]["model_sha256"] in told["Teacher"]
    assert DEMO["code_version"] in as_text(DEMO)


def test_an_imported_file_has_its_name_and_hash() -> None:
    assert facts({"file": "a.csv", "sha256": "ab", "mapping": {}}) == [("File", "a.csv"), ("File's sha256", "ab")]
