"""Training: recipes, what is trained on, runs that are cut short and go on."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import base
import packing
import plan
import qmd
import sft
from dataset import prepare_data
from dataset.prepare_data import Preparation, row_of
from dataset.schema import SchemaError, load_examples
from evaluation import read_results
from recipe import RecipeError, load_recipe
from tests.conftest import served_tokens

ROOT = Path(__file__).resolve().parent.parent
SFT = ROOT / "configs" / "sft.yaml"

# --- Recipes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_committed_recipes_are_valid(path: Path) -> None:
    assert load_recipe(path).lora.targets


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("training.epoch=1", "unknown key training.epoch; allowed are learning_rate,"),
        ("optimizer=x", "unknown key optimizer; allowed are model, lora, training"),
        ("lora.r=0", "lora.r: input should be greater than or equal to 1, not 0"),
        ("training.scheduler=step", "training.scheduler: input should be 'cosine'"),
        ("training.epochs", "write it as key=value"),
        ("model.base.x=1", "base is a value"),
    ],
)
def test_bad_values_name_the_key_and_what_is_allowed(override: str, says: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(SFT, [override])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_overrides_apply() -> None:
    recipe = load_recipe(SFT, ["training.learning_rate=1e-4", "model.base=x/y", 'training.report_to=["tensorboard"]'])
    assert recipe.training.learning_rate == 1e-4
    assert recipe.model.base == "x/y"
    assert recipe.training.report_to == ["tensorboard"]
    assert recipe.digest() != load_recipe(SFT).digest()


@pytest.mark.parametrize("text", ["[1]", "a: [", "", "\x00"])
def test_unreadable_recipes(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=str(path)):
        load_recipe(path)


# --- What is trained on --------------------------------------------------------------------------------


@pytest.mark.parametrize("tokenizer", ["qwen3_tokenizer", "smollm2_tokenizer"])
def test_trained_tokens_are_the_served_prompt_the_target_and_the_end_of_turn(
    tokenizer: str, request: pytest.FixtureRequest
) -> None:
    real = request.getfixturevalue(tokenizer)
    for example in load_examples(ROOT / "data")[::9]:
        row = row_of(example, Preparation(plain_share=0, vec_lines=3))
        encoded = sft.encode(row, real, 512)
        prompt = served_tokens(real, example.query)
        ids, labels = encoded["input_ids"], encoded["labels"]
        assert ids[: len(prompt)] == prompt
        assert labels == [-100] * len(prompt) + ids[len(prompt) :]
        assert real.decode(ids[len(prompt) :]) == example.render() + qmd.TURN_END
        assert "<think>" not in real.decode(ids)
        # Tokenised together, prompt and target give the same tokens: nothing merges over the border.
        together = real(row["prompt"] + row["completion"] + qmd.TURN_END, add_special_tokens=False).input_ids
        assert ids[-len(together) :] == together


def test_too_long_an_example_is_named(qwen3_tokenizer) -> None:
    row = {"query": "long one", "prompt": "a " * 40, "completion": "b " * 40}
    with pytest.raises(ValueError, match=r"“long one” has \d+ tokens; training.max_length is 64"):
        sft.encode(row, qwen3_tokenizer, 64)


# --- Runs ----------------------------------------------------------------------------------------------


QUICK = [
    "evaluation.queries=2",
    "evaluation.seeds=[1]",
    "training.batch_size=2",
    "training.gradient_accumulation=1",
    "training.epochs=1",
    "training.learning_rate=1e-2",
    "training.dtype=float32",  # so that losses can be compared to the fourth digit
]


def run(base: Path, output: Path, *more: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run `train.py sft` with configs/sft.yaml and another base; `before` is Python to run first."""
    settings = [part for value in (f"model.base={base}", *QUICK) for part in ("--set", value)]
    arguments = ["sft", *settings, "--limit", "12", "--output", str(output), *more]
    command = [sys.executable, "-c", f"{before}\nimport train; train.console.run(train.main)"]
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.run([*command, *arguments], cwd=ROOT, env=env, capture_output=True, text=True)


def metrics(output: Path) -> list[dict[str, float]]:
    return [json.loads(row) for row in (output / "metrics.jsonl").read_text().splitlines()]


# Sends the training process a signal at the end of its third step.
SIGNAL = """
import os, signal, sft
from transformers import TrainerCallback
class Signal(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        if state.global_step == 3: os.kill(os.getpid(), signal.{})
made = sft._trainer
def _trainer(*arguments):
    trainer = made(*arguments)
    trainer.add_callback(Signal())
    return trainer
sft._trainer = _trainer
"""
EVERY_STEP = ("--set", "training.save_interval_minutes=1e-9")


@pytest.fixture(scope="module")
def undisturbed(tiny_qwen3: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "undisturbed"
    done = run(tiny_qwen3, output, *EVERY_STEP)
    assert done.returncode == 0, done.stderr
    return output


def test_the_production_recipe_trains_on_cpu_with_another_base(undisturbed: Path, tiny_qwen3: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    losses = [row["loss"] for row in metrics(undisturbed) if "loss" in row]
    assert len(losses) == 6
    assert losses[-1] < losses[0]
    assert (undisturbed / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert not list(undisturbed.glob("checkpoint-*"))
    adapter = json.loads((undisturbed / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == str(tiny_qwen3)
    assert (adapter["r"], adapter["lora_alpha"]) == (16, 32)
    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_qwen3), undisturbed)
    assert AutoTokenizer.from_pretrained(undisturbed).eos_token == qmd.TURN_END
    results = read_results(undisturbed / "eval_results.json")
    assert results["settings"]["queries"] == 2
    assert (
        results["settings"]["training_data"]
        == json.loads((undisturbed / "run.json").read_text())["identity"]["data"][:16]
    )


def test_bfloat16_learns_as_float32_does(undisturbed: Path, tiny_qwen3: Path, tmp_path: Path) -> None:
    done = run(tiny_qwen3, tmp_path / "run", "--set", "training.dtype=bfloat16", "--set", "evaluation.queries=0")
    assert done.returncode == 0, done.stderr
    assert "cpu, bfloat16, packed attention, packed rows" in done.stdout
    losses = [[row["loss"] for row in metrics(folder) if "loss" in row] for folder in (undisturbed, tmp_path / "run")]
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.02)


@pytest.mark.parametrize(
    ("device", "capable", "precise", "dtype"),
    [
        ("cpu", {"avx512_bf16": True}, False, "bfloat16"),
        ("cpu", {"amx_bf16": True}, False, "bfloat16"),
        ("cpu", {"avx2": True}, False, "float32"),
        ("cpu", {"amx_bf16": True}, True, "float32"),
        ("mps", {}, True, "bfloat16"),
    ],
)
def test_the_dtype_is_the_hardwares(
    device: str, capable: dict[str, bool], precise: bool, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capable)
    assert base.choose_hardware(device, precise=precise).dtype == dtype
    assert base.choose_hardware(device, "float16", "eager", precise=precise).dtype == "float16"


def test_a_finished_run_is_not_trained_again(undisturbed: Path, tiny_qwen3: Path) -> None:
    output = undisturbed
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    again = run(tiny_qwen3, output, *EVERY_STEP)
    assert again.returncode == 0, again.stderr
    assert "nothing to train" in again.stdout
    assert f"uv run convert_gguf.py {output}" in again.stdout
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    other = run(tiny_qwen3, output, "--set", "lora.r=4")
    assert other.returncode == 2
    assert "holds a finished run of another recipe or other data" in other.stderr


def test_an_evaluation_that_was_cut_short_is_made_up_for(undisturbed: Path, tiny_qwen3: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    shutil.copytree(undisturbed, output)
    expected = read_results(output / "eval_results.json")
    (output / "eval_results.json").unlink()
    done = run(tiny_qwen3, output, *EVERY_STEP)
    assert done.returncode == 0, done.stderr
    found = read_results(output / "eval_results.json")
    assert [row["text"] for row in found["expansions"]] == [row["text"] for row in expected["expansions"]]


def test_two_processes_train_as_one_with_batches_of_twice_the_size(tiny_qwen3: Path, tmp_path: Path) -> None:
    settings = [f"model.base={tiny_qwen3}", *QUICK, "evaluation.queries=0"]
    overrides = [part for value in settings for part in ("--set", value)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    both = subprocess.run(
        [*torchrun, "train.py", "sft", *overrides, "--limit", "12", "--output", str(tmp_path / "two"), *EVERY_STEP],
        cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert both.returncode == 0, both.stderr
    assert both.stdout.count("the adapter is in") == 1
    one = run(tiny_qwen3, tmp_path / "one", "--set", "training.batch_size=4", "--set", "evaluation.queries=0")
    assert one.returncode == 0, one.stderr
    expected = [(row["step"], row["loss"]) for row in metrics(tmp_path / "one") if "loss" in row]
    assert len(expected) == 3
    assert [(row["step"], row["loss"]) for row in metrics(tmp_path / "two") if "loss" in row] == [
        (step, pytest.approx(loss, rel=1e-4)) for step, loss in expected
    ]


def test_the_tracker_of_the_recipe_gets_the_metrics(tiny_qwen3: Path, tmp_path: Path) -> None:
    more = ("--set", "evaluation.queries=0", "--set", 'training.report_to=["tensorboard"]')
    done = run(tiny_qwen3, tmp_path / "run", *more)
    assert done.returncode == 0, done.stderr
    events = (tmp_path / "run").rglob("events.out.tfevents.*")
    assert "train/loss" in str([path.read_bytes() for path in events])


@pytest.mark.parametrize(
    ("tracker", "says"), [("nothing", "nothing is not supported"), ("comet_ml", "uv run --with comet_ml train.py")]
)
def test_a_tracker_that_is_not_there_is_one_line(tracker: str, says: str, tiny_qwen3: Path, tmp_path: Path) -> None:
    done = run(tiny_qwen3, tmp_path / "run", "--set", f'training.report_to=["{tracker}"]')
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


# --- Packing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_one_go", [False, True])  # as on a CPU, as on a GPU
@pytest.mark.parametrize("base", ["tiny_qwen3", "tiny_llama"])
def test_a_packed_batch_has_the_loss_and_gradients_of_a_padded_one(
    base: str, in_one_go: bool, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = request.getfixturevalue(base)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    examples = [
        sft.encode(row_of(example, Preparation(plain_share=0.3, vec_lines=2)), tokenizer, 1024)
        for example in load_examples(ROOT / "data")[::200]
    ]
    longest = max(len(example["input_ids"]) for example in examples)
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa")
    padded = model(
        input_ids=torch.tensor([e["input_ids"] + [0] * (longest - len(e["input_ids"])) for e in examples]),
        attention_mask=torch.tensor(
            [[1] * len(e["labels"]) + [0] * (longest - len(e["labels"])) for e in examples]
        ),
        labels=torch.tensor([e["labels"] + [-100] * (longest - len(e["labels"])) for e in examples]),
    )  # fmt: skip
    padded.loss.backward()
    expected = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    model.set_attn_implementation(packing.PACKED)
    row = packing.pack(examples)
    assert row["input_ids"].shape[1] < sum(len(example["input_ids"]) for example in examples)
    labels = row.pop("labels")[0]
    if in_one_go:
        row["attention_mask"] = packing.tree_mask(row["branches"])
    calls = []
    attend = packing.sdpa_attention_forward
    monkeypatch.setattr(packing, "sdpa_attention_forward", lambda *a, **k: (calls.append(1), attend(*a, **k))[1])
    logits = model(**row, use_cache=False).logits[0]
    layers = model.config.num_hidden_layers
    assert len(calls) == (layers if in_one_go else layers * len(examples))
    loss = torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100)
    assert loss.item() == pytest.approx(padded.loss.item(), rel=1e-5)
    loss.backward()
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter.grad, expected[name], atol=1e-6), name


def test_only_models_of_full_attention_are_packed(tiny_qwen3: Path, tiny_llama: Path, tiny_lfm2: Path) -> None:
    from transformers import AutoConfig

    found = [packing.can_pack(AutoConfig.from_pretrained(folder)) for folder in (tiny_qwen3, tiny_llama, tiny_lfm2)]
    assert found == [True, True, False]


@pytest.mark.parametrize(("signal", "code"), [("SIGKILL", -9), ("SIGTERM", 1)])
def test_a_run_that_was_cut_short_ends_like_an_undisturbed_one(
    signal: str, code: int, undisturbed: Path, tiny_qwen3: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    cut = run(tiny_qwen3, output, *EVERY_STEP, before=SIGNAL.format(signal))
    assert cut.returncode == code, cut.stderr
    with pytest.raises(RecipeError, match="unfinished run of another recipe"):
        sft.train(load_recipe(SFT, [f"model.base={tiny_qwen3}", *QUICK, "lora.r=4"]), ROOT / "data", output, limit=12)
    # A kill in the middle of a save leaves a folder like this one.
    shutil.copytree(next(output.glob("checkpoint-*")), output / "checkpoint-99")
    (output / "checkpoint-99" / "complete").unlink()
    done = run(tiny_qwen3, output, *EVERY_STEP)
    assert done.returncode == 0, done.stderr
    assert "continuing from" in done.stdout
    expected = [(row["step"], row["loss"]) for row in metrics(undisturbed) if "loss" in row]
    assert [(row["step"], row["loss"]) for row in metrics(output) if "loss" in row] == [
        (step, pytest.approx(loss, rel=1e-4)) for step, loss in expected
    ]


def test_resume_wants_an_unfinished_run(tiny_qwen3: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no unfinished run to resume"):
        sft.train(load_recipe(SFT, [f"model.base={tiny_qwen3}"]), ROOT / "data", tmp_path / "run", resume=True)


def test_somebodys_own_data(tiny_qwen3: Path, tmp_path: Path) -> None:
    data = tmp_path / "mine.jsonl"
    rows = [
        {"query": f"{n} apples", "output": [["lex", f"apples {n} pie"], ["vec", f"what to bake from {n} apples"]]}
        for n in range(9)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run(tiny_qwen3, tmp_path / "run", "--data", str(data))
    assert done.returncode == 0, done.stderr
    noted = json.loads((tmp_path / "run" / "run.json").read_text())
    assert noted["data"]["sources"][0]["file"] == "mine.jsonl"
    data.write_text("{}\n")
    with pytest.raises(SchemaError, match=f"{data}:1: "):
        sft.train(load_recipe(SFT, [f"model.base={tiny_qwen3}"]), data, tmp_path / "run2")


def test_the_published_data_is_not_what_one_recipe_wants(tmp_path: Path) -> None:
    published = prepare_data.prepare(ROOT / "data", tmp_path / "usual")
    plan.prepared_rows(ROOT / "data", tmp_path / "run", None)
    rows, info = plan.prepared_rows(ROOT / "data", tmp_path / "run", None, Preparation(hyde_lines=0))
    assert json.loads((ROOT / "data" / "train" / "dataset_info.json").read_text()) == published
    assert json.loads((tmp_path / "run" / "data" / "dataset_info.json").read_text()) == info
    plain = [row for row in rows["train"] if not qmd.split_mode(row["query"])[1]]
    assert plain and not any(line.type == "hyde" for row in plain for line in qmd.parse(row["completion"])[0])
    with pytest.raises(RecipeError, match=r"hyde_lines is 1; .* was prepared with 0: take it with --set"):
        plan.prepared_rows(tmp_path / "run" / "data", tmp_path, None)


def test_the_big_model_is_refused_on_cpu(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "train.py", "sft", "--output", str(tmp_path / "run")],
        cwd=ROOT, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "configs/sft-smollm2.yaml" in done.stderr
    assert "hf jobs uv run jobs/sft.py" in done.stderr
    assert not (tmp_path / "run").exists()


def test_dry_run_knows_the_production_run_without_weights() -> None:
    done = subprocess.run(
        [sys.executable, "train.py", "sft", "--dry-run"], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Qwen3-1.7B, and r x (in + out) summed over its seven projections and 28 layers.
    assert "parameters  1,720,574,976, 17,432,576 of them trained" in done.stdout
    assert "fits GPUs of" in done.stdout
