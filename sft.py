"""Supervised fine-tuning of an adapter on query expansions; `train.py sft` is its command."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import base
from dataset.files import rows_so_far, write_whole
from plan import architecture, choose_device, encode, learned_lines, lora_config, prepared_rows
from recipe import Adapted, Fitting, Recipe, RecipeError

ROOT = Path(__file__).resolve().parent

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase, Trainer
    from trl import SFTTrainer


def encoded(rows: list[dict[str, str]], tokenizer: "PreTrainedTokenizerBase", max_length: int) -> "Dataset":
    """All rows of a split as a dataset for the trainer."""
    from datasets import Dataset

    return Dataset.from_list([encode(row, tokenizer, max_length) for row in rows])


def _hardware(recipe: Recipe) -> base.Hardware:
    training = recipe.training
    device = choose_device(
        recipe,
        "train the small model with uv run train.py sft --config configs/sft-smollm2.yaml, or configs/sft.yaml in the "
        "cloud with hf jobs uv run jobs/sft.py",
    )
    hardware = base.choose_hardware(device, training.dtype, training.attention, precise=False)
    from packing import PACKED, can_pack

    if training.attention not in ("auto", PACKED):
        return hardware
    if can_pack(architecture(recipe)):
        return replace(hardware, attention=PACKED)
    if training.attention == PACKED:
        raise RecipeError(
            f"training.attention is {PACKED}; {recipe.model.base} has layers that would mix the examples of a row: "
            "leave it at auto"
        )
    return hardware


def _batches(recipe: Recipe, hardware: base.Hardware) -> str:
    """How the examples of a batch lie, and why, for the user to read."""
    from packing import PACKED, can_pack

    if hardware.attention == PACKED:
        return "packed rows"
    return "padded batches" if can_pack(architecture(recipe)) else "padded batches (not all its layers are attention)"


def check_reporting(names: list[str]) -> None:
    """Raise RecipeError, before anything is loaded, for a tracker that is unknown or not installed."""
    from transformers.integrations import get_reporting_integration_callbacks

    for name in names:
        try:
            for callback in get_reporting_integration_callbacks([name]):
                callback()
        except ValueError as error:
            raise RecipeError(f"training.report_to: {error}") from None
        except (RuntimeError, ImportError) as error:
            raise RecipeError(
                f"training.report_to: {name}: {str(error).splitlines()[0]} (uv run --with {name} train.py ...)"
            ) from None


def arguments_of(training: Fitting, hardware: base.Hardware, output: Path) -> dict[str, Any]:
    """What every trainer of this project is told: transformers' TrainingArguments."""
    checkpointing = training.gradient_checkpointing
    return {
        "output_dir": str(output),
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": training.scheduler,
        "warmup_steps": training.warmup_share,
        "weight_decay": training.weight_decay,
        "seed": training.seed,
        "use_cpu": hardware.device == "cpu",
        "bf16": hardware.dtype == "bfloat16",
        "fp16": hardware.dtype == "float16",
        # Recomputing activations trades time for memory: worth it for a big model on a GPU, not for a small one on CPU.
        "gradient_checkpointing": hardware.device != "cpu" if checkpointing == "auto" else checkpointing,
        "save_strategy": "no",  # the clock saves, see callbacks.py
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": training.report_to or "none",
        "ddp_find_unused_parameters": False,
        "disable_tqdm": True,
        "log_level": "error",
    }


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
    arguments = SFTConfig(
        **arguments_of(training, hardware, output),
        num_train_epochs=training.epochs,
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=training.batch_size,
        gradient_accumulation_steps=training.gradient_accumulation,
        max_length=None,
        train_sampling_strategy="random" if packed else "group_by_length",
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


def finished(output: Path) -> bool:
    """Whether a run's folder holds its adapter."""
    return (output / base.ADAPTER).exists()


def open_run(recipe: Adapted, info: dict, output: Path, resume: bool = False, limit: int | None = None) -> Path | None:
    """The checkpoint to continue from, if this run was begun before.

    Raises RecipeError if it was another one, LoadError if nothing readable says which.
    """
    from callbacks import usable_checkpoint

    output.mkdir(parents=True, exist_ok=True)
    identity = {"recipe": recipe.digest(), "data": info["data_hash"], "limit": limit}
    checkpoint = usable_checkpoint(output)
    begun = checkpoint or finished(output)
    before = base.read_run(output) if begun else None
    if before and before.get("identity") != identity:
        state = "a finished" if finished(output) else "an unfinished"
        raise RecipeError(
            f"{output} holds {state} run of another recipe or other data: remove the folder, name another one with "
            "--output, or run the command that it was begun with"
        )
    if resume and not begun:
        raise RecipeError(f"{output} holds no unfinished run to resume")
    if int(os.environ.get("RANK", 0)) == 0:
        run = {"identity": identity, "recipe": recipe.model_dump(), "data": info}
        write_whole(output / base.RUN, json.dumps(run, indent=2) + "\n")
    return checkpoint


def save(trainer: "Trainer", recipe: Adapted, output: Path) -> None:
    """Write the finished adapter into the run's folder and remove what resuming needed."""
    building = Path(tempfile.mkdtemp(dir=output, prefix=".adapter-"))
    trainer.model.save_pretrained(building)
    _cast(building / base.ADAPTER, recipe.lora.saved_as)
    config = building / "adapter_config.json"
    # A base from a package is named as such, not by the folder that it was converted to on this machine.
    named = {**json.loads(config.read_text(encoding="utf-8")), "base_model_name_or_path": recipe.model.base}
    # The base's commit where it came from the hub, so that the adapter is always loaded on the weights it was made for.
    revision = getattr(trainer.model.config, "_commit_hash", None) or recipe.model.revision
    config.write_text(json.dumps({**named, "revision": revision}, indent=2) + "\n", encoding="utf-8")
    trainer.processing_class.save_pretrained(building)
    for card in (building, output):  # TRL's, which says nothing of this model
        (card / "README.md").unlink(missing_ok=True)
    # The weights last: a run that has them is finished.
    for file in sorted(building.iterdir(), key=lambda file: file.name == base.ADAPTER):
        file.replace(output / file.name)
    building.rmdir()
    for checkpoint in output.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)


def _cast(weights: Path, dtype: str) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    tensors = {name: tensor.to(getattr(torch, dtype)) for name, tensor in load_file(weights).items()}
    save_file(tensors, weights, metadata={"format": "pt"})


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


def train(
    recipe: Recipe,
    data: Path,
    output: Path,
    *,
    limit: int | None = None,
    resume: bool = False,
    minutes: float | None = None,
    when_saved: Callable[[int], None] | None = None,
) -> int:
    """Train, or go on with it. Returns the exit code: 0 when finished, 1 when stopped before the end.

    After `minutes` of training it saves and stops, as on a signal. `when_saved` is called with the step when all
    of a checkpoint is on disk. Raises RecipeError, SchemaError, LoadError.
    """
    import transformers

    transformers.logging.set_verbosity_error()
    check_reporting(recipe.training.report_to)
    hardware = _hardware(recipe)
    rows, info = prepared_rows(data, output, limit, learned_lines(recipe.training), recipe.training.no_think_share)
    checkpoint = open_run(recipe, info, output, resume, limit)
    if finished(output):
        print(f"{output} holds this run's adapter already: nothing to train")
        return 0
    return 0 if _fit(recipe, hardware, rows, output, checkpoint, minutes, when_saved) else 1


def _fit(
    recipe: Recipe,
    hardware: base.Hardware,
    rows: dict[str, list[dict[str, str]]],
    output: Path,
    checkpoint: Path | None,
    minutes: float | None,
    when_saved: Callable[[int], None] | None,
) -> bool:
    """Train to the end and save the adapter; False if a signal or the clock stopped it before."""
    from callbacks import CleanStop, ClockCheckpoints, Metrics, Progress, WhenSaved

    tokenizer = base.load_tokenizer(recipe.model.base, recipe.model.revision)
    splits = {split: encoded(found, tokenizer, recipe.training.max_length) for split, found in rows.items()}
    trainer = _trainer(recipe, hardware, splits, tokenizer, output)
    main = trainer.is_world_process_zero()
    if main:
        print(f"{recipe.model.base} on {hardware}, {_batches(recipe, hardware)}")
        print(f"{len(splits['train'])} examples, {len(splits['val'])} held out")
        print(f"continuing from {checkpoint}" if checkpoint else f"writing to {output}", flush=True)
    stop = CleanStop(minutes)
    metrics = output / "metrics.jsonl"
    clock = ClockCheckpoints(recipe.training.save_interval_minutes)
    told = [WhenSaved(when_saved)] if when_saved else []  # after the clock's, which marks the checkpoint as whole
    for callback in (clock, stop, Metrics(metrics), Progress(), *told):
        trainer.add_callback(callback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    stop.restore()
    if not stop.asked and len(splits["val"]):
        trainer.evaluate()
    # Several processes part here: a group that lives until the interpreter ends may abort one of them then.
    trainer.accelerator.end_training()
    if main and stop.asked:
        print(f"stopped at step {trainer.state.global_step}; the same command continues")
    elif main:
        save(trainer, recipe, output)
        plot_loss(rows_so_far(metrics), output / "loss.png")
        print(f"the adapter is in {output}", flush=True)
    return not stop.asked


def evaluate(recipe: Recipe, output: Path) -> None:
    """Ask the trained model the evaluation queries, print its scores and three expansions, and what to do next.

    Writes eval_results.json. An evaluation that was cut short goes on where it stopped. Raises LoadError. Of several
    processes the first one does it.
    """
    if int(os.environ.get("RANK", 0)) != 0:
        return
    import evaluation
    import expand
    from dataset.schema import load_queries

    asked = recipe.evaluation
    if asked.queries != 0:
        queries = evaluation.spread(load_queries(ROOT / "evals" / "queries.txt"), asked.queries)
        expander = expand.load_expander(output, device=recipe.training.device, dtype=recipe.training.dtype)
        seeds = asked.seeds if asked.decoding == "qmd" else [0]
        results = evaluation.evaluate_into(output / evaluation.RESULTS, expander, queries, asked.decoding, seeds)
        evaluation.print_results(results, worst=3)
        print("\nThree of its expansions:")
        expand.show_expansions(expander, [query.text for query in evaluation.spread(queries, 3)])
    print(
        f"""
next: uv run expand.py {output} "your query"
      uv run eval.py {output}
      uv run convert_gguf.py {output}"""
    )
