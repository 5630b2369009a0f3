"""GRPO of a fresh adapter on top of a merged one, watched by guards; `grpo.py` is its command."""

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import GRPOConfig, GRPOTrainer

import base
import evaluation
import guards
import qmd
import report
import rewards
import sft
from callbacks import CleanStop, ClockCheckpoints, Metrics, keep_until
from collection import Collection, JudgedQuery, load_collection
from dataset.files import rows_so_far
from dataset.schema import EvalQuery
from expander import TransformersExpander
from guards import Measurement
from plan import choose_device, lora_config
from recipe import RecipeError
from reward import QMDRewardFunction
from search import Embedder, Index
from settings import Settings

GUARDS = "guards.jsonl"
MEASURED = "measured"  # the adapter of each measurement, until the best one is known


# --- What is trained, and on what ----------------------------------------------------------------------


@dataclass(frozen=True)
class Questions:
    """The queries of a run: those that are trained on, and the judged ones that are not."""

    train: list[str]
    watched: list[JudgedQuery]
    reported: list[JudgedQuery]


def _here(name: str) -> str:
    """A folder of this repository under its name there, wherever the command runs."""
    return str(base.ROOT / name) if (base.ROOT / name).is_dir() and not Path(name).is_dir() else name


def questions(settings: Settings, collection: Collection) -> Questions:
    """Divide a collection's queries. Raises RecipeError if a part would be empty."""
    parts: dict[str, list[JudgedQuery]] = {"train": [], "watched": [], "reported": []}
    for query in collection.queries:
        parts[rewards.part_of(query)].append(query)
    for name, found in parts.items():
        if not found:
            raise RecipeError(f"prompts.collection: {collection.name} leaves no query to be {name}")
    more = rewards.unjudged(base.ROOT / "data", settings.prompts.examples, collection.queries)
    train = [query.text for query in parts["train"]] + more
    if len(train) < settings.training.queries:
        raise RecipeError(f"training.queries: there are {len(train)} to train on")
    return Questions(train, parts["watched"], parts["reported"])


def find_sft(settings: Settings) -> base.Source:
    """The adapter to go on from. Raises RecipeError, LoadError."""
    source = base.find_source(_here(settings.model.sft))
    if not source.adapter or source.sft:
        raise RecipeError(f"model.sft: {settings.model.sft} is no adapter that train.py sft made")
    if source.base != settings.model.base:
        raise RecipeError(f"model.sft: {settings.model.sft} is an adapter of {source.base}, not {settings.model.base}")
    return source


def described(source: base.Source, collection: Collection, asked: Questions) -> dict[str, Any]:
    """What run.json says of the data: the hash is of all that the run hangs on beside its recipe."""
    weights, data = evaluation.identity(source.folder)
    judged = {query.text: query.grades for query in collection.queries}
    documents = [(document.id, document.title, document.text) for document in collection.documents]
    everything = json.dumps([weights, asked.train, judged, documents])
    return {
        "data_hash": hashlib.sha256(everything.encode()).hexdigest(),
        "collection": collection.name,
        "counts": {"train": len(asked.train), "watched": len(asked.watched), "reported": len(asked.reported)},
        "sft": {"weights": weights, "training_data": data},
    }


# --- Asking --------------------------------------------------------------------------------------------


@contextmanager
def asking(trainer: GRPOTrainer) -> Iterator[TransformersExpander]:
    """The model that is being trained as an expander, which asks as QMD does."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    training = model.training
    yield TransformersExpander(model, trainer.processing_class, "policy")
    model.train(training)


def rollout(prompts: list[str], trainer: GRPOTrainer) -> dict[str, Any]:
    """TRL's `rollout_func`: an answer a prompt, sampled as QMD does from the prompt tokens that it serves.

    transformers' `generate` would cut by top-p after the temperature, where llama.cpp cuts before it, and carry every
    answer to the end of the longest. The seeds come from torch's generator, whose state is in the checkpoints.
    """
    seeds = torch.randint(2**31, (len(prompts),)).tolist()
    with asking(trainer) as expander:
        asked = [base.prompt_tokens(expander.tokenizer, prompt) for prompt in prompts]
        said = expander.answers(asked, seeds, trainer.max_completion_length, qmd.SAMPLING.temperature)
    return {"prompt_ids": asked, "completion_ids": said, "logprobs": None}


def measure(
    expander: TransformersExpander,
    searched: rewards.RetrievalReward,
    queries: Sequence[JudgedQuery],
    seeds: Sequence[int],
    max_tokens: int,
    step: int,
) -> Measurement:
    """Ask a model the queries, score what it says, and search with it."""
    texts = [query.text for query in queries]
    judged = [
        (texts[index], evaluation.judge(EvalQuery(texts[index], ""), seed, said))
        for seed in seeds
        for index, said in expander.generate(texts, seed=seed, max_tokens=max_tokens)
    ]
    rows = {text: [row for asked, row in judged if asked == text] for text in texts}
    found = searched.ndcg({text: [row["text"] for row in said] for text, said in rows.items()})
    ndcg = {text: mean(values) for text, values in found.items()}
    summary = evaluation.summarize([row for _, row in judged])
    return Measurement(
        step=step,
        score=tuple(mean(row["score"] for row in rows[text]) / 100 for text in texts),
        ndcg=tuple(ndcg[text] for text in texts),
        gain=tuple(ndcg[text] - searched.alone[text] for text in texts),
        runaway=summary["runaway"],
        repeated=summary["duplicates"],
        tokens=mean(row["tokens"] for _, row in judged),
    )


# --- Beside the steps ----------------------------------------------------------------------------------


class Watch(TrainerCallback):
    """Measures every so many steps, keeps that step's adapter, and stops training when a guard says so.

    A checkpoint follows each measurement, so that the guards' history is never ahead of the model for long.
    """

    def __init__(
        self, settings: Settings, trainer: GRPOTrainer, output: Path, ask: Callable[[int], Measurement], at: int
    ) -> None:
        self.settings, self.trainer, self.ask = settings, trainer, ask
        self.log, self.adapters = output / GUARDS, output / MEASURED
        self.history = [Measurement.of(row) for row in keep_until(self.log, at)]

    @property
    def stopped(self) -> guards.Verdict | None:
        """The guard that ended training."""
        return guards.stopped_by(self.history, self.settings.guards, self.settings.rewards)

    @property
    def over(self) -> bool:
        """Whether there is nothing left to train."""
        done = bool(self.history) and self.history[-1].step >= self.settings.training.steps
        return done or self.stopped is not None

    def _measure(self, step: int) -> None:
        self.history.append(self.ask(step))
        self.trainer.accelerator.unwrap_model(self.trainer.model).save_pretrained(self.adapters / str(step))
        verdicts = guards.judge(self.history, self.settings.guards, self.settings.rewards)
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(guards.as_row(self.history, verdicts)) + "\n")
        print(f"step {step}, {len(self.history[-1].score)} queries that are not trained on:")
        for verdict in verdicts:
            print(f"  {'ok  ' if verdict.ok else 'STOP'} {verdict.guard:11} {verdict.says}", flush=True)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Measure the model as it was."""
        if not self.history:
            self._measure(0)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Measure when it is time, and at the end."""
        if state.global_step % self.settings.guards.every == 0 or state.global_step == state.max_steps:
            self._measure(state.global_step)
            control.should_save = True
            control.should_training_stop |= self.over


class Steps(TrainerCallback):
    """A line a step on a terminal."""

    def __init__(self) -> None:
        self.begun, self.first = 0.0, 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Start the clock."""
        self.begun, self.first = time.monotonic(), state.global_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: object,
    ) -> None:
        """Say what the step brought, and how long the rest will take."""
        if not logs or "loss" not in logs or not sys.stderr.isatty():
            return
        a_step = (time.monotonic() - self.begun) / (state.global_step - self.first)
        found = [f"{name} {logs[key]:.3f}" for name, key in report.CURVES.items() if logs.get(key) is not None]
        left = (state.max_steps - state.global_step) * a_step / 60
        print(
            f"step {state.global_step} of {state.max_steps}: {', '.join(found)}, kl {logs.get('kl', 0):.4f}, "
            f"{logs['completions/mean_length']:.0f} tokens, {a_step:.0f} s a step, {left:.0f} min left",
            file=sys.stderr,
        )


# --- The run -------------------------------------------------------------------------------------------


def _trainer(
    settings: Settings,
    hardware: base.Hardware,
    source: base.Source,
    queries: list[str],
    searched: rewards.RetrievalReward,
    output: Path,
) -> GRPOTrainer:
    from datasets import Dataset
    from transformers import PrinterCallback

    training = settings.training
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # of `rollout_func`, on whose interface TRL keeps a reserve
    arguments = GRPOConfig(
        **sft.arguments_of(training, hardware, output),
        max_steps=training.steps,
        per_device_train_batch_size=training.generations,
        gradient_accumulation_steps=training.queries,
        num_generations=training.generations,
        beta=training.beta,
        reward_weights=[settings.rewards.rubric, settings.rewards.retrieval],
        # `rollout` samples; the probabilities that are trained hang on the temperature, too.
        max_completion_length=training.max_tokens,
        temperature=qmd.SAMPLING.temperature,
        top_k=qmd.SAMPLING.top_k,
        top_p=qmd.SAMPLING.top_p,
    )
    model, tokenizer = base.load_tuned(source, hardware.device, hardware.dtype)
    trainer = GRPOTrainer(
        model,
        [QMDRewardFunction(), searched],
        args=arguments,
        train_dataset=Dataset.from_list(rewards.rows(queries)),
        processing_class=tokenizer,
        peft_config=lora_config(settings),
        rollout_func=rollout,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def train(settings: Settings, output: Path, *, resume: bool = False) -> int:
    """Train, or go on with it, and report. Returns the exit code: 0 when finished, 1 when stopped before the end.

    Raises RecipeError, LoadError, CollectionError, EmbeddingError.
    """
    import transformers

    transformers.logging.set_verbosity_error()
    sft.check_reporting(settings.training.report_to)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise RecipeError("the guards measure in one process: run it without torchrun")
    device = choose_device(
        settings, "train the small model with --config experiments/grpo/grpo-smollm2.yaml, which a CPU can do"
    )
    # On a CPU float32, even where it has bfloat16: one token at a time gains nothing by it.
    hardware = base.choose_hardware(device, settings.training.dtype)
    source = find_sft(settings)
    collection = load_collection(_here(settings.prompts.collection))
    asked = questions(settings, collection)
    checkpoint = sft.open_run(settings, described(source, collection, asked), output, resume)
    if sft.finished(output):
        print(f"{output} holds this run's adapter already: nothing to train")
        return 0
    index = Index(collection, Embedder(settings.prompts.embedding))
    searched = rewards.RetrievalReward(index, collection.queries)
    trainer = _trainer(settings, hardware, source, asked.train, searched, output)
    print(f"{settings.model.base} with {settings.model.sft} on {hardware}; {len(asked.train)} queries to train on")
    print(f"continuing from {checkpoint}" if checkpoint else f"writing to {output}", flush=True)
    watch = _fit(settings, trainer, searched, asked.watched, output, checkpoint)
    if watch is None:
        print(f"stopped at step {trainer.state.global_step}; the same command continues")
        return 1
    _finish(settings, trainer, searched, asked.reported, source, watch, output)
    return 0


def _fit(
    settings: Settings,
    trainer: GRPOTrainer,
    searched: rewards.RetrievalReward,
    watched: Sequence[JudgedQuery],
    output: Path,
    checkpoint: Path | None,
) -> Watch | None:
    """Train until the last step or until a guard stops it; None if a signal did."""

    def ask(step: int) -> Measurement:
        with asking(trainer) as expander:
            return measure(expander, searched, watched, settings.guards.seeds, settings.training.max_tokens, step=step)

    at = int(checkpoint.name.rpartition("-")[2]) if checkpoint else -1
    watch = Watch(settings, trainer, output, ask, at)
    if watch.over:  # and what follows it was cut short
        return watch
    stop = CleanStop()
    clock = ClockCheckpoints(settings.training.save_interval_minutes)
    for callback in (watch, clock, stop, Metrics(output / "metrics.jsonl"), Steps()):
        trainer.add_callback(callback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    stop.restore()
    return None if stop.asked and not watch.over else watch


def _finish(
    settings: Settings,
    trainer: GRPOTrainer,
    searched: rewards.RetrievalReward,
    reported: Sequence[JudgedQuery],
    source: base.Source,
    watch: Watch,
    output: Path,
) -> None:
    """Go back to the best adapter, compare it with the model before training, and save it."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    kept = guards.best(watch.history, settings.guards, settings.rewards)
    model = trainer.accelerator.unwrap_model(trainer.model)
    set_peft_model_state_dict(model, load_file(output / MEASURED / str(kept.step) / base.ADAPTER))
    asked = (searched, reported, settings.report.seeds, settings.training.max_tokens)
    with asking(trainer) as expander:
        with model.disable_adapter():
            before = measure(expander, *asked, step=0)
        after = measure(expander, *asked, step=kept.step)
    found = report.compare(before, after, settings.rewards, watch.stopped)
    report.write(found, output)
    report.draw(rows_so_far(output / "metrics.jsonl"), watch.history, settings.rewards, output / report.CURVE)
    below = output / base.SFT
    below.mkdir(exist_ok=True)
    for name in ("adapter_config.json", base.ADAPTER):
        shutil.copyfile(source.adapter / name, below / name)
    sft.save(trainer, settings, output)
    shutil.rmtree(output / MEASURED)
    report.show(found)
    print(
        f"""the adapter is in {output}

next: uv run expand.py {output} "your query"
      uv run eval.py {output}
      uv run convert_gguf.py --base {source.base} --sft {settings.model.sft} --grpo {output} --output {output}/gguf"""
    )
