"""Supervised fine-tuning of an adapter on query expansions; `train.py sft` is its command."""

import json
import math
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import base
import qmd
from dataset import prepare_data
from dataset.schema import SchemaError
from recipe import Recipe, RecipeError

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase
    from trl import SFTTrainer

ROOT = Path(__file__).resolve().parent
GPU_SIZES = (8, 12, 16, 24, 40, 48, 80)  # GB
CPU_PARAMETERS = 5e8  # a bigger base takes days on a CPU: refused unless training.device says cpu
NEEDS_GPU = "needs a CUDA GPU or Apple MPS"
CHARACTERS_A_TOKEN = 3.2  # of this data under Qwen3's tokenizer, where that can't be loaded
# Qwen3-1.7B's architecture (its config.json), so that a dry run never waits for the network.
KNOWN_CONFIGS = {
    "Qwen/Qwen3-1.7B": {
        "model_type": "qwen3", "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28,
        "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
        "tie_word_embeddings": True,
    },
}  # fmt: skip


def prepared_rows(data: Path, output: Path, limit: int | None) -> tuple[dict[str, list[dict[str, str]]], dict]:
    """The prepared rows of both splits and dataset_info, prepared anew where they are missing or out of date.

    The repository's data goes to data/train/, somebody's own into the run's folder. Raises SchemaError.
    """
    folder = ROOT / "data" / "train" if data.resolve() == ROOT / "data" else output / "data"
    if prepare_data.is_current(data, folder):
        info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    else:
        info = prepare_data.prepare(data, folder)
    rows = {
        split: [json.loads(row) for row in (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()][:limit]
        for split in prepare_data.SPLITS
    }
    if not rows["train"]:
        raise SchemaError(data, None, "leaves no example to train on")
    return rows, info


def encode(row: dict[str, str], tokenizer: "PreTrainedTokenizerBase", max_length: int) -> dict[str, list[int]]:
    """Token ids of prompt, completion and end of turn; labels on the completion and the end of turn alone.

    The prompt is tokenised by itself, as it is when the model is served, and without special tokens of the tokenizer's
    own. Raises ValueError for an example of more than `max_length` tokens.
    """
    prompt = tokenizer(row["prompt"], add_special_tokens=False).input_ids
    answer = tokenizer(row["completion"], add_special_tokens=False).input_ids
    answer.append(tokenizer.convert_tokens_to_ids(qmd.TURN_END))
    if len(prompt) + len(answer) > max_length:
        raise ValueError(
            f"the example of “{row['query']}” has {len(prompt) + len(answer)} tokens; "
            f"training.max_length is {max_length}"
        )
    return {"input_ids": prompt + answer, "labels": [-100] * len(prompt) + answer}


def encoded(rows: list[dict[str, str]], tokenizer: "PreTrainedTokenizerBase", max_length: int) -> "Dataset":
    """All rows of a split as a dataset for the trainer."""
    from datasets import Dataset

    return Dataset.from_list([encode(row, tokenizer, max_length) for row in rows])


# --- A dry run -----------------------------------------------------------------------------------------


def _architecture(recipe: Recipe) -> "base.PretrainedConfig":
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


def memory_estimate(
    config: "base.PretrainedConfig", parameters: int, trainable: int, recipe: Recipe, length: int
) -> float:
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


def count_parameters(config: "base.PretrainedConfig", recipe: Recipe) -> tuple[int, int]:
    """All parameters and the trainable ones, from the architecture alone."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
        total = model.num_parameters()
        adapted = get_peft_model(model, lora_config(recipe))
    return total, sum(p.numel() for p in adapted.parameters() if p.requires_grad)


def steps_of(recipe: Recipe, examples: int, processes: int = 1) -> int:
    """The number of optimiser steps."""
    batches = math.ceil(examples / (recipe.training.batch_size * processes))
    return math.ceil(batches / recipe.training.gradient_accumulation) * math.ceil(recipe.training.epochs)


def dry_run(recipe: Recipe, data: Path, output: Path, limit: int | None) -> int:
    """Print what `train` would do; loads no weights."""
    import yaml

    with tempfile.TemporaryDirectory() as folder:
        if data.resolve() != ROOT / "data":
            output = Path(folder)
        rows, info = prepared_rows(data, output, limit)
    config = _architecture(recipe)
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


# --- Training ------------------------------------------------------------------------------------------


def lora_config(recipe: Recipe) -> "LoraConfig":  # noqa: F821
    """PEFT's configuration of the adapter."""
    from peft import LoraConfig

    lora = recipe.lora
    return LoraConfig(
        r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=lora.targets, task_type="CAUSAL_LM"
    )


def _hardware(recipe: Recipe) -> base.Hardware:
    training = recipe.training
    device = base.available_device() if training.device == "auto" else training.device
    if (
        device == "cpu"
        and training.device == "auto"
        and count_parameters(_architecture(recipe), recipe)[0] > CPU_PARAMETERS
    ):
        raise RecipeError(
            f"{recipe.model.base} {NEEDS_GPU}, and there is none here: train the small model with "
            "--config configs/sft-smollm2.yaml"
        )
    hardware = base.choose_hardware(device, training.dtype, training.attention)
    if training.attention == "auto":
        from packing import PACKED, can_pack

        if can_pack(_architecture(recipe)):
            return replace(hardware, attention=PACKED)
    return hardware


def _trainer(
    recipe: Recipe,
    hardware: base.Hardware,
    data: dict[str, "Dataset"],
    tokenizer: "PreTrainedTokenizerBase",
    output: Path,
) -> "SFTTrainer":
    from transformers import PrinterCallback
    from trl import SFTConfig

    from packing import PACKED, PackedTrainer, PaddedTrainer, pack

    training = recipe.training
    packed = hardware.attention == PACKED
    checkpointing = training.gradient_checkpointing
    arguments = SFTConfig(
        output_dir=str(output),
        num_train_epochs=training.epochs,
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=training.batch_size,
        gradient_accumulation_steps=training.gradient_accumulation,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.scheduler,
        warmup_steps=training.warmup_share,
        weight_decay=training.weight_decay,
        max_length=None,
        seed=training.seed,
        use_cpu=hardware.device == "cpu",
        bf16=hardware.dtype == "bfloat16",
        fp16=hardware.dtype == "float16",
        # Recomputing activations trades time for memory: worth it for a big model on a GPU, not for a small one on CPU.
        gradient_checkpointing=hardware.device != "cpu" if checkpointing == "auto" else checkpointing,
        train_sampling_strategy="random" if packed else "group_by_length",
        save_strategy="no",  # the clock saves, see callbacks.py
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to=training.report_to or "none",
        ddp_find_unused_parameters=False,
        disable_tqdm=True,
        log_level="error",
    )
    model = base.load_model(recipe.model.base, recipe.model.revision, hardware)
    trainer = (PackedTrainer if packed else PaddedTrainer)(
        model,
        data_collator=pack if packed else None,
        args=arguments,
        train_dataset=data["train"],
        eval_dataset=data["val"] if len(data["val"]) else None,
        processing_class=tokenizer,
        peft_config=lora_config(recipe),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _open_run(recipe: Recipe, info: dict, output: Path, resume: bool, limit: int | None) -> Path | None:
    """The checkpoint to continue from, if this run was begun before. Raises RecipeError if it was another one."""
    from callbacks import usable_checkpoint

    output.mkdir(parents=True, exist_ok=True)
    identity = {"recipe": recipe.digest(), "data": info["data_hash"], "limit": limit}
    noted = output / "run.json"
    checkpoint = usable_checkpoint(output)
    if checkpoint and noted.exists() and json.loads(noted.read_text(encoding="utf-8"))["identity"] != identity:
        raise RecipeError(
            f"{output} holds an unfinished run of another recipe or other data: finish it as it was begun, remove the "
            "folder, or name another one with --output"
        )
    if resume and not checkpoint:
        raise RecipeError(f"{output} holds no unfinished run to resume")
    if int(os.environ.get("RANK", 0)) == 0:
        _write(noted, json.dumps({"identity": identity, "recipe": recipe.model_dump(), "data": info}, indent=2) + "\n")
    return checkpoint


def _write(path: Path, text: str) -> None:
    building = path.with_name(f".{path.name}")
    building.write_text(text, encoding="utf-8")
    building.replace(path)


def _save(trainer: "SFTTrainer", recipe: Recipe, output: Path) -> None:
    """Write the finished adapter into the run's folder and remove what resuming needed."""
    building = Path(tempfile.mkdtemp(dir=output, prefix=".adapter-"))
    trainer.model.save_pretrained(building)
    config = building / "adapter_config.json"
    # A base from a package is named as such, not by the folder that it was converted to on this machine.
    named = {**json.loads(config.read_text(encoding="utf-8")), "base_model_name_or_path": recipe.model.base}
    config.write_text(json.dumps({**named, "revision": recipe.model.revision}, indent=2) + "\n", encoding="utf-8")
    trainer.processing_class.save_pretrained(building)
    for file in building.iterdir():
        if file.name != "README.md":
            file.replace(output / file.name)
    shutil.rmtree(building)
    for checkpoint in output.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)


def plot_loss(metrics: list[dict[str, float]], path: Path) -> None:
    """Draw the training loss, and the validation loss where there is one, into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for key, label in (("loss", "training"), ("eval_loss", "held out")):
        points = [(row["step"], row[key]) for row in metrics if key in row]
        if points:
            axis.plot(*zip(*points, strict=True), label=label, marker="o" if len(points) < 3 else None)
    axis.set(xlabel="step", ylabel="loss a trained token")
    axis.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def train(recipe: Recipe, data: Path, output: Path, *, limit: int | None = None, resume: bool = False) -> int:
    """Train, or go on training. Returns the exit code: 0 when finished, 1 when stopped before the end."""
    import transformers

    from callbacks import CleanStop, ClockCheckpoints, Metrics, Progress, read_metrics

    transformers.logging.set_verbosity_error()
    hardware = _hardware(recipe)
    rows, info = prepared_rows(data, output, limit)
    checkpoint = _open_run(recipe, info, output, resume, limit)
    try:
        tokenizer = base.load_tokenizer(recipe.model.base, recipe.model.revision)
        splits = {split: encoded(found, tokenizer, recipe.training.max_length) for split, found in rows.items()}
        trainer = _trainer(recipe, hardware, splits, tokenizer, output)
    except base.LoadError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    main = trainer.is_world_process_zero()
    if main:
        print(f"{recipe.model.base} on {hardware}; {len(splits['train'])} examples, {len(splits['val'])} held out")
        print(f"continuing from {checkpoint}" if checkpoint else f"writing to {output}")
    stop = CleanStop()
    metrics = output / "metrics.jsonl"
    for callback in (ClockCheckpoints(recipe.training.save_interval_minutes), stop, Metrics(metrics), Progress()):
        trainer.add_callback(callback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    stop.restore()
    if stop.asked:
        if main:
            print(f"stopped at step {trainer.state.global_step}; the same command continues")
        return 1
    if len(splits["val"]):
        trainer.evaluate()
    if main:
        _save(trainer, recipe, output)
        plot_loss(read_metrics(metrics), output / "loss.png")
        print(f"the adapter is in {output}")
    return 0
