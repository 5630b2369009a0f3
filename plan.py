"""What a recipe comes to, known before any weights are loaded: examples, tokens, steps, parameters, memory."""

import json
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import base
import hub
import qmd
from dataset import prepare_data
from dataset.schema import SchemaError, normalize
from recipe import Adapted, Recipe, RecipeError, Training

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

ROOT = Path(__file__).resolve().parent
GPU_SIZES = (8, 12, 16, 24, 40, 48, 80)  # GB
CPU_PARAMETERS = 5e8  # a bigger base takes days on a CPU: refused unless training.device says cpu
NEEDS_GPU = "needs a CUDA GPU or Apple MPS"
CHARACTERS_A_TOKEN = 3.2  # of this data under Qwen3's tokenizer, where that can't be loaded
# Architectures from their config.json, so that a dry run never waits for the network.
KNOWN_CONFIGS = {
    "Qwen/Qwen3-1.7B": {
        "model_type": "qwen3", "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28,
        "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
        "tie_word_embeddings": True,
    },
    "LiquidAI/LFM2-1.2B": {
        "model_type": "lfm2", "hidden_size": 2048, "intermediate_size": 12288, "num_hidden_layers": 16,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 65536,
        "full_attn_idxs": [2, 5, 8, 10, 12, 14], "tie_word_embeddings": True,
    },
}  # fmt: skip


def prepared_rows(
    data: Path,
    output: Path,
    limit: int | None,
    how: prepare_data.Preparation = prepare_data.USUAL,
    no_think_share: float = 1,
) -> tuple[dict[str, list[dict[str, str]]], dict]:
    """The prepared rows of both splits and dataset_info, prepared anew where they are missing or out of date.

    The repository's data goes to data/train/, which is what is published, unless the recipe wants other lines of it;
    that, and somebody's own data, goes into the run's folder. Data that comes prepared (from the Hub) is checked and
    taken as it is. What is prepared is what QMD serves, and held out for the loss; `/no_think` is left out of what is
    trained where the recipe wants that. Raises SchemaError, and RecipeError where data comes prepared with other lines.
    """
    rows, info = _served_rows(data, output, how)
    if not rows["train"]:
        raise SchemaError(data, None, "leaves no example to train on")
    learned = [_asked(row, no_think_share) for row in rows["train"][:limit]]
    return {"train": learned, "val": rows["val"][:limit]}, info


def learned_lines(training: Training) -> prepare_data.Preparation:
    """How a recipe wants the data prepared."""
    return prepare_data.Preparation(vec_lines=training.vec_lines, hyde_lines=training.hyde_lines)


def _served_rows(
    data: Path, output: Path, how: prepare_data.Preparation
) -> tuple[dict[str, list[dict[str, str]]], dict]:
    if prepare_data.is_prepared(data):
        rows, info = prepare_data.read_prepared(data)
        for key in prepare_data.LEARNED:
            asked, found = getattr(how, key), info["parameters"][key]
            if asked != found:
                raise RecipeError(
                    f"training.{key} is {asked}; {data} was prepared with {found}: take it with --set "
                    f"training.{key}={found}"
                )
        return rows, {**info, "source": hub.source_of(data)}
    published = data.resolve() == ROOT / "data" and how == prepare_data.USUAL
    folder = ROOT / "data" / "train" if published else output / "data"
    if prepare_data.is_current(data, folder, how):
        info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    else:
        info = prepare_data.prepare(data, folder, how)
    rows = {
        split: [json.loads(row) for row in (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]
        for split in prepare_data.SPLITS
    }
    return rows, info


def _asked(row: dict[str, str], no_think_share: float) -> dict[str, str]:
    """A row with `/no_think` in its prompt or without, by a hash of its query; its system turn stays as it is."""
    if prepare_data.hash_share(normalize(row["query"]), "no_think") < no_think_share:
        return row
    system = qmd.SYSTEM_PROMPT in row["prompt"]
    return {**row, "prompt": qmd.chatml_prompt(row["query"], system=system, no_think=False)}


def encode(row: dict[str, str], tokenizer: "PreTrainedTokenizerBase", max_length: int) -> dict[str, list[int]]:
    """Token ids of prompt, completion and end of turn; labels on the completion and the end of turn alone.

    The prompt is tokenised by itself, as it is when the model is served. Raises RecipeError for an example of more than
    `max_length` tokens.
    """
    prompt = base.prompt_tokens(tokenizer, row["prompt"])
    answer = tokenizer(row["completion"], add_special_tokens=False).input_ids
    answer.append(tokenizer.convert_tokens_to_ids(qmd.TURN_END))
    if len(prompt) + len(answer) > max_length:
        raise RecipeError(
            f"the example of “{row['query']}” has {len(prompt) + len(answer)} tokens; "
            f"training.max_length is {max_length}"
        )
    return {"input_ids": prompt + answer, "labels": [-100] * len(prompt) + answer}


# --- A dry run -----------------------------------------------------------------------------------------


def architecture(recipe: Adapted) -> "PretrainedConfig":
    """The base model's configuration; a known one needs no network. Raises LoadError."""
    from transformers import AutoConfig

    if recipe.model.base in KNOWN_CONFIGS:
        known = dict(KNOWN_CONFIGS[recipe.model.base])
        return AutoConfig.for_model(known.pop("model_type"), **known)
    return base.load_config(recipe.model.base, recipe.model.revision)


def _token_counts(recipe: Recipe, rows: list[dict[str, str]]) -> tuple[int, int, str]:
    """Tokens of all examples, trained tokens among them, and a remark where they are an estimate."""
    try:
        known = recipe.model.base in KNOWN_CONFIGS
        tokenizer = base.load_tokenizer(recipe.model.base, recipe.model.revision, local_files_only=known)
    except base.LoadError:
        answers = sum(len(row["completion"]) for row in rows) / CHARACTERS_A_TOKEN
        prompts = sum(len(row["prompt"]) for row in rows) / CHARACTERS_A_TOKEN
        return int(prompts + answers), int(answers), " (estimated: the tokenizer is not in the cache)"
    data = [encode(row, tokenizer, recipe.training.max_length) for row in rows]
    return sum(len(d["input_ids"]) for d in data), sum(label != -100 for d in data for label in d["labels"]), ""


def memory_estimate(config: "PretrainedConfig", parameters: int, trainable: int, recipe: Recipe, length: int) -> float:
    """Peak memory of a training step in GB, within a third or so.

    Weights in two bytes; adapter weights, gradients and both Adam moments in four each; about 34 bytes an activation
    and hidden unit of each layer at half precision (Korthikanti et al. 2022), one kept tensor a layer and one layer's
    activations with checkpointing; and the scores of one batch's completions. One GB for the CUDA context.
    """
    text = config.get_text_config()
    unit = recipe.training.batch_size * length * text.hidden_size
    layers = text.num_hidden_layers
    checkpointed = recipe.training.gradient_checkpointing is True
    activations = (2 * layers + 34) * unit if checkpointed else 34 * layers * unit
    scores = recipe.training.batch_size * length * text.vocab_size * 4 / 2
    return (2 * parameters + 16 * trainable + activations + scores) / 1e9 + 1


def lora_config(recipe: Adapted) -> "LoraConfig":
    """PEFT's configuration of the adapter."""
    from peft import LoraConfig

    lora = recipe.lora
    return LoraConfig(
        r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=lora.targets, task_type="CAUSAL_LM"
    )


def count_parameters(config: "PretrainedConfig", recipe: Adapted) -> tuple[int, int]:
    """All parameters and the trainable ones, from the architecture alone."""
    import torch
    from peft import get_peft_model

    model = base.weightless(config)
    total = model.num_parameters()
    with torch.device("meta"):
        adapted = get_peft_model(model, lora_config(recipe))
    return total, sum(p.numel() for p in adapted.parameters() if p.requires_grad)


def choose_device(recipe: Adapted, instead: str) -> str:
    """The device to train on. Raises RecipeError for a big model on a CPU that nobody asked for; `instead` advises."""
    if recipe.training.device != "auto":
        return recipe.training.device
    device = base.available_device()
    if device == "cpu" and count_parameters(architecture(recipe), recipe)[0] > CPU_PARAMETERS:
        raise RecipeError(f"{recipe.model.base} {NEEDS_GPU}, and there is none here: {instead}")
    return device


def steps_of(recipe: Recipe, examples: int, processes: int = 1) -> int:
    """The number of optimiser steps."""
    batches = math.ceil(examples / (recipe.training.batch_size * processes))
    return math.ceil(batches / recipe.training.gradient_accumulation) * math.ceil(recipe.training.epochs)


def dry_run(recipe: Recipe, data: Path, limit: int | None) -> int:
    """Print what `train` would do; loads no weights."""
    import yaml

    asked = (learned_lines(recipe.training), recipe.training.no_think_share)
    with tempfile.TemporaryDirectory() as folder:
        rows, info = prepared_rows(data, Path(folder), limit, *asked)
    config = architecture(recipe)
    parameters, trainable = count_parameters(config, recipe)
    tokens, trained, estimated = _token_counts(recipe, rows["train"])
    length = math.ceil(tokens / len(rows["train"]))
    memory = memory_estimate(config, parameters, trainable, recipe, length)
    fitting = [f"{size} GB" for size in GPU_SIZES if size > memory]
    print(yaml.safe_dump(recipe.model_dump(), sort_keys=False, allow_unicode=True), end="")
    needs = NEEDS_GPU if parameters > CPU_PARAMETERS else "can do with a CPU"
    print(f"\nhardware    {base.available_device()}; the model {needs}")
    print(
        f"examples    {len(rows['train'])} to train on, {len(rows['val'])} held out; data hash {info['data_hash'][:12]}"
    )
    print(f"steps       {steps_of(recipe, len(rows['train'])):,}")
    print(f"tokens      {tokens:,} an epoch, {trained:,} of them trained{estimated}")
    print(f"parameters  {parameters:,}, {trainable:,} of them trained")
    print(f"memory      about {memory:.1f} GB; fits GPUs of {', '.join(fitting) or 'no usual size'}")
    return 0
