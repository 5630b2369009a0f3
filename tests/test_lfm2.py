"""experiments/lfm2/: convolutions beside attention, asked without `/no_think`, from training to what QMD runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import base
import gguf_files
import packing
import plan
import qmd
import sft
from dataset.prepare_data import Preparation, row_of
from dataset.schema import load_examples
from evaluation import read_results
from expand import load_expander
from llama import LlamaExpander
from recipe import RecipeError, load_recipe

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "experiments" / "lfm2" / "sft_lfm2.yaml"


def train(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, RECIPE.with_suffix(".py"), *map(str, arguments)]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)


# --- What is asked -------------------------------------------------------------------------------------


def prompts(no_think_share: float, folder: Path, split: str = "train") -> dict[str, str]:
    rows, _ = plan.prepared_rows(ROOT / "data", folder, None, no_think_share=no_think_share)
    return {row["query"]: row["prompt"] for row in rows[split]}


def test_the_recipe_says_how_many_prompts_hold_no_think(tmp_path: Path) -> None:
    served, half, never = (prompts(share, tmp_path) for share in (1, 0.5, 0))
    for query, prompt in served.items():
        system = qmd.SYSTEM_PROMPT in prompt
        assert prompt == qmd.chatml_prompt(query, system=system)
        assert never[query] == qmd.chatml_prompt(query, system=system, no_think=False)
        assert half[query] in (prompt, never[query])
    assert qmd.user_prompt("auth config", no_think=False) == "Expand this search query: auth config"
    assert not any("/no_think" in prompt for prompt in never.values())
    assert 0.45 < sum("/no_think" in prompt for prompt in half.values()) / len(half) < 0.55
    # Neither hangs on the other: the prompts without a system turn are divided as those with one.
    plain = [query for query, prompt in served.items() if qmd.SYSTEM_PROMPT not in prompt]
    assert 0.4 < sum("/no_think" in half[query] for query in plain) / len(plain) < 0.6
    assert prompts(0.5, tmp_path) == half
    # The held-out loss is that of what QMD serves, whatever was learned.
    assert prompts(0, tmp_path, "val") == prompts(1, tmp_path, "val")


# --- How it is trained ---------------------------------------------------------------------------------


def test_a_padded_batch_has_the_loss_of_its_examples_and_a_packed_one_has_not(tiny_lfm2: Path, tmp_path: Path) -> None:
    import torch
    from torch.nn.functional import cross_entropy

    recipe = load_recipe(RECIPE, [f"model.base={tiny_lfm2}", "training.dtype=float32"])
    tokenizer = base.load_tokenizer(str(tiny_lfm2))
    rows = [row_of(example, Preparation(plain_share=0.3)) for example in load_examples(ROOT / "data")[::500]]
    data = sft.encoded(rows, tokenizer, 1024)
    trainer = sft._trainer(recipe, sft._hardware(recipe), {"train": data, "val": data}, tokenizer, tmp_path)
    model = trainer.model.eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data *= 8  # random weights are so small that no token would count for the next ones
    examples = list(data)
    assert len({len(example["input_ids"]) for example in examples}) > 3
    with torch.inference_mode():
        alone = sum(
            cross_entropy(
                model(torch.tensor([example["input_ids"]])).logits[0, :-1], torch.tensor(example["labels"][1:]),
                reduction="sum",
            )
            for example in examples
        ) / sum(label != -100 for example in examples for label in example["labels"])  # fmt: skip
        together = trainer.compute_loss(model, trainer.data_collator(examples))
        assert together.item() == pytest.approx(alone.item(), rel=1e-5)
        # Side by side in one row, convolutions see the end of the example before: why `can_pack` refuses.
        model.get_base_model().set_attn_implementation(packing.PACKED)
        row = packing.pack(examples)
        labels = row.pop("labels")[0]
        packed = cross_entropy(model(**row, use_cache=False).logits[0], labels)
    assert packed.item() != pytest.approx(alone.item(), rel=1e-5)


def test_it_is_not_packed_when_the_recipe_asks_for_that_either(tiny_lfm2: Path) -> None:
    recipe = load_recipe(RECIPE, [f"model.base={tiny_lfm2}", "training.attention=packed"])
    with pytest.raises(RecipeError, match=r"training\.attention is packed; .* would mix the examples of a row"):
        sft._hardware(recipe)


@pytest.fixture(scope="module")
def trained(tiny_lfm2: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The script's run with a tiny base, and what it printed."""
    output = tmp_path_factory.mktemp("lfm2") / "run"
    settings = [
        f"model.base={tiny_lfm2}", "training.epochs=1", "training.batch_size=2", "training.gradient_accumulation=1",
        "training.learning_rate=1e-2", "evaluation.queries=1", "evaluation.seeds=[1]",
    ]  # fmt: skip
    overrides = [part for value in settings for part in ("--set", value)]
    done = train(*overrides, "--limit", "12", "--output", output)
    assert done.returncode == 0, done.stderr
    return output, done.stdout


def test_the_script_trains_evaluates_and_names_the_next_command(trained: tuple[Path, str]) -> None:
    from safetensors import safe_open

    output, said = trained
    assert "sdpa attention, padded batches (not all its layers are attention)" in said
    assert f"uv run convert_gguf.py {output}" in said
    rows = [json.loads(row) for row in (output / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert len(losses) == 6
    assert losses[-1] < losses[0]
    with safe_open(output / "adapter_model.safetensors", "pt") as weights:
        names = {key.split(".lora_")[0].split("layers.")[1] for key in weights.keys()}  # noqa: SIM118
    assert names == {
        "0.conv.in_proj", "0.conv.out_proj",
        *(f"1.self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "out_proj")),
        *(f"{layer}.feed_forward.{name}" for layer in (0, 1) for name in ("w1", "w2", "w3")),
    }  # fmt: skip
    assert json.loads((output / "run.json").read_text())["recipe"]["training"]["no_think_share"] < 1
    # It is asked what QMD serves all the same.
    assert read_results(output / "eval_results.json")["settings"]["prompt"] == "served"


def test_what_qmd_runs(trained: tuple[Path, str], tmp_path: Path) -> None:
    gguf_files.make(str(trained[0]), [], ["q8_0"], tmp_path)
    expander = LlamaExpander(tmp_path / "q8_0.gguf")
    assert expander.llama.metadata["general.architecture"] == "lfm2"
    gguf_files.check_metadata(expander, load_expander(trained[0]))
    tokenizer = base.load_tokenizer(str(tmp_path / "merged"))
    prompt = expander.prompt_tokens("auth config")
    assert prompt == tokenizer.apply_chat_template(qmd.messages("auth config"), add_generation_prompt=True)["input_ids"]
    assert prompt.count(tokenizer.convert_tokens_to_ids("<|startoftext|>")) == 1
    assert "/no_think Expand this search query: auth config" in tokenizer.decode(prompt)
    ((_, generation),) = expander.generate(["auth config"], max_tokens=24)
    lines, other = qmd.parse(generation.text)
    assert lines
    assert not other


# --- Without a GPU, without the hub --------------------------------------------------------------------


def test_the_real_one_is_refused_on_cpu(tmp_path: Path) -> None:
    done = train("--output", tmp_path / "run")
    assert done.returncode == 2
    assert done.stderr.startswith("sft_lfm2.py: LiquidAI/LFM2-1.2B needs a CUDA GPU")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_dry_run_knows_the_architecture_without_the_hub() -> None:
    done = train("--dry-run")
    assert done.returncode == 0, done.stderr
    # As LFM2-1.2B's card has it, and r x (in + out) summed over 10 convolution, 6 attention, 16 feed-forward blocks.
    assert "parameters  1,170,340,608, 11,108,352 of them trained" in done.stdout
    bad = train("--dry-run", "--set", "training.no_think_share=2")
    assert bad.returncode == 2
    assert bad.stderr.startswith(f"sft_lfm2.py: {RECIPE}: training.no_think_share: input should be less than or equal")
