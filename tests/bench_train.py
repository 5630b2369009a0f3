"""Trained tokens a second: this trainer, a plain SFTTrainer, and a bare forward and backward loop. `just bench-train`.

    uv run python tests/bench_train.py --examples 96 --rounds 2

Each round trains each of the three, from the same base, on the same examples for one epoch. Both trainers see the same
batches in the same order, so that their losses can be compared; the plain one has TRL's defaults but for fp32 and no
gradient checkpointing. The bare loop has this trainer's dtype, pads batches of similar length, scores the completions
alone, and neither optimises nor logs. Exit code 1 if this trainer is less than twice as fast as the plain one or below
80% of the bare loop.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
import transformers
from datasets import Dataset
from peft import get_peft_model
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import SFTConfig, SFTTrainer

import base
import plan
import sft
from recipe import Recipe, load_recipe

ROOT = Path(__file__).resolve().parent.parent
TIMES_PLAIN, OF_BARE = 2.0, 0.8
FULL_EXAMPLES = 3000


class Stopwatch(TrainerCallback):
    """Seconds from the first step's begin to the last one's end, and the losses."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.begun = self.seconds = 0.0

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self.begun = self.begun or time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self.seconds = time.perf_counter() - self.begun

    def on_log(self, args, state, control, logs: dict[str, float], **_: object) -> None:
        if "loss" in logs:
            self.losses.append(logs["loss"])


def _timed(trainer: SFTTrainer) -> Stopwatch:
    watch = Stopwatch()
    trainer.add_callback(watch)
    trainer.train()
    return watch


def ours(recipe: Recipe, rows: list[dict[str, str]], folder: str) -> Stopwatch:
    """One epoch of this trainer, as `train.py sft` runs it."""
    tokenizer = base.load_tokenizer(recipe.model.base)
    data = {"train": sft.encoded(rows, tokenizer, recipe.training.max_length), "val": []}
    return _timed(sft._trainer(recipe, sft._hardware(recipe), data, tokenizer, Path(folder)))


def plain(recipe: Recipe, rows: list[dict[str, str]], folder: str) -> Stopwatch:
    """One epoch of TRL's trainer on the same prompts and completions."""
    training = recipe.training
    arguments = SFTConfig(
        output_dir=folder,
        num_train_epochs=training.epochs,
        per_device_train_batch_size=training.batch_size,
        gradient_accumulation_steps=training.gradient_accumulation,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.scheduler,
        warmup_steps=training.warmup_share,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        seed=training.seed,
    )
    trainer = SFTTrainer(
        base.load_model(recipe.model.base, None, base.Hardware("cpu", "float32", "sdpa")),
        args=arguments,
        train_dataset=Dataset.from_list([{key: row[key] for key in ("prompt", "completion")} for row in rows]),
        processing_class=base.load_tokenizer(recipe.model.base),
        peft_config=plan.lora_config(recipe),
    )
    trainer.remove_callback(transformers.PrinterCallback)
    return _timed(trainer)


def bare(recipe: Recipe, rows: list[dict[str, str]]) -> float:
    """Seconds of forward and backward passes alone, over padded batches of similar length."""
    tokenizer = base.load_tokenizer(recipe.model.base)
    hardware = replace(sft._hardware(recipe), attention="sdpa")
    model = base.load_model(recipe.model.base, None, hardware)
    model = get_peft_model(model, plan.lora_config(recipe)).train()
    half = torch.autocast("cpu", torch.bfloat16, enabled=hardware.dtype == "bfloat16")
    data = [plan.encode(row, tokenizer, recipe.training.max_length) for row in rows]
    data.sort(key=lambda example: len(example["input_ids"]))
    size = recipe.training.batch_size
    seconds = 0.0
    for batch in (data[start : start + size] for start in range(0, len(data), size)):
        longest = max(len(example["input_ids"]) for example in batch)
        answer = max(sum(label != -100 for label in example["labels"]) for example in batch)
        # Padded on the left, so that all completions end at the end and the last positions alone have to be scored.
        ids = torch.tensor([[0] * (longest - len(e["input_ids"])) + e["input_ids"] for e in batch])
        labels = torch.tensor([[-100] * (longest - len(e["labels"])) + e["labels"] for e in batch])
        mask = torch.tensor([[0] * (longest - len(e["labels"])) + [1] * len(e["labels"]) for e in batch])
        begun = time.perf_counter()
        with half:
            logits = model(ids, attention_mask=mask, logits_to_keep=answer + 1, use_cache=False).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.float().transpose(1, 2), labels[:, -answer:])
        loss.backward()
        seconds += time.perf_counter() - begun
        model.zero_grad()
    return seconds


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    recipe = load_recipe(ROOT / "configs" / "sft-smollm2.yaml", ["training.epochs=1", "training.device=cpu"])
    rows = plan.prepared_rows(ROOT / "data", ROOT, args.examples)[0]["train"]
    tokenizer = base.load_tokenizer(recipe.model.base)
    encoded = [plan.encode(row, tokenizer, recipe.training.max_length) for row in rows]
    trained = sum(label != -100 for example in encoded for label in example["labels"])
    tokens = sum(len(example["input_ids"]) for example in encoded)
    print(f"{len(rows)} examples, {tokens:,} tokens, {trained:,} of them trained; {torch.get_num_threads()} threads; "
          f"{sft._hardware(recipe)}")  # fmt: skip
    seconds: dict[str, list[float]] = {"plain": [], "ours": [], "bare": []}
    losses = {}
    for number in range(args.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for name, train in (("plain", plain), ("ours", ours)):
                watch = train(recipe, rows, folder)
                seconds[name].append(watch.seconds)
                losses[name] = watch.losses
        seconds["bare"].append(bare(recipe, rows))
        said = ", ".join(f"{name} {trained / found[-1]:.0f}" for name, found in seconds.items())
        print(f"round {number + 1}: trained tokens a second: {said}", flush=True)
    rate = {name: trained * args.rounds / sum(found) for name, found in seconds.items()}
    print(f"loss, mean of the epoch and of its last four steps: {_summary(losses['plain'])} plain, "
          f"{_summary(losses['ours'])} ours")  # fmt: skip
    print(f"{rate['ours'] / rate['plain']:.2f} times plain, {rate['ours'] / rate['bare']:.0%} of bare")
    epochs = load_recipe(ROOT / "configs" / "sft-smollm2.yaml").training.epochs
    minutes = FULL_EXAMPLES * epochs * trained / len(rows) / rate["ours"] / 60
    print(f"{FULL_EXAMPLES:,} examples for {epochs:g} epochs would take {minutes:.0f} minutes")
    return 0 if rate["ours"] >= TIMES_PLAIN * rate["plain"] and rate["ours"] >= OF_BARE * rate["bare"] else 1


def _summary(losses: list[float]) -> str:
    return f"{sum(losses) / len(losses):.4f} and {sum(losses[-4:]) / 4:.4f}"


if __name__ == "__main__":
    sys.exit(main())
