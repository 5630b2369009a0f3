"""Reinforcement: what stops it, what it pays for, and runs that are cut short and go on."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import base
import evaluation
import expand
import grpo
import guards
import qmd
import report
import rewards
import training
from collection import Collection, Document, JudgedQuery, load_collection
from dataset.files import sha256_of
from dataset.prepare_data import split_of
from guards import Measurement
from recipe import RecipeError, load_recipe
from reward import QMDRewardFunction
from search import Embedder, Index
from settings import Guards, Rewards, Settings
from tests.conftest import served_tokens

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "experiments" / "grpo"
WEIGHTS = Rewards()
LIMITS = Guards(patience=2)

# --- Guards --------------------------------------------------------------------------------------------

START = Measurement(
    step=0,
    score=(0.8, 0.6, 0.7, 0.9, 0.5, 0.75),
    ndcg=(0.5, 0.4, 0.6, 0.3, 0.7, 0.45),
    gain=(0.1, 0.0, 0.1, -0.1, 0.2, 0.05),
    runaway=0.02,
    repeated=0.01,
    tokens=90,
)
UNEVEN = (0.1, -0.1, 0.08, -0.08, 0.02, -0.03)  # a change of some queries to and fro, with a mean near zero


def moved(step: int, score: float = 0, search: float = 0, noise: float = 0, **more: float) -> Measurement:
    """The start with every query's score and search shifted, and some up and some down beside it."""
    search_changes = [search + noise * part for part in UNEVEN]
    return replace(
        START,
        step=step,
        score=tuple(value + score for value in START.score),
        ndcg=tuple(value + change for value, change in zip(START.ndcg, search_changes, strict=True)),
        gain=tuple(value + change for value, change in zip(START.gain, search_changes, strict=True)),
        **more,
    )


@pytest.mark.parametrize(
    ("history", "guard"),
    [
        ([START], None),
        ([START, moved(20, score=0.05, search=0.02)], None),
        ([START, moved(20, search=-0.001, noise=1)], None),  # no more than noise
        ([START, moved(20, score=-0.1)], "collapse"),
        ([START, moved(20, score=0.3), moved(40, score=0.1)], "collapse"),  # from the best, not from the start
        ([START, moved(20, noise=1), moved(40, noise=1)], "stagnation"),
        ([START, moved(20, runaway=0.2)], "repetition"),
        ([START, moved(20, repeated=0.2)], "repetition"),
        ([START, moved(20, runaway=0.06, repeated=0.05)], None),
        ([START, moved(20, score=0.01, tokens=140)], "length"),
        ([START, moved(20, score=0.01, tokens=130)], None),
        ([START, moved(20, score=0.2, search=-0.05)], "hacking"),
        ([START, moved(20, score=0.2, search=-0.05, noise=1)], None),  # may be noise
        ([START, moved(20, score=0.2, search=0.05)], None),
    ],
)
def test_each_guard_stops_what_it_is_for(history: list[Measurement], guard: str | None) -> None:
    stopped = guards.stopped_by(history, LIMITS, WEIGHTS)
    assert (stopped and stopped.guard) == guard


def test_what_says_why_names_the_figures() -> None:
    stopped = guards.hacking([START, moved(20, score=0.2, search=-0.05)])
    assert not stopped.ok
    assert stopped.says == "score +0.200, nDCG@10 -0.050 (-0.050 to -0.050)"


def test_without_weight_for_search_its_fall_is_hacking_all_the_same() -> None:
    history = [START, moved(20, score=0.2, search=-0.05)]
    stopped = guards.stopped_by(history, LIMITS, Rewards(retrieval=0))
    assert stopped and stopped.guard == "hacking"


def test_the_best_is_the_highest_reward_that_no_guard_objects_to() -> None:
    better = moved(20, score=0.1)
    gamed = moved(40, score=0.5, search=-0.05)
    assert guards.best([START, better, gamed], LIMITS, WEIGHTS) == better
    assert guards.best([START, moved(20, score=-0.2)], LIMITS, WEIGHTS) == START
    assert guards.best([START, moved(20), moved(40)], LIMITS, WEIGHTS) == START  # the earliest of equals


def test_a_measurement_survives_its_file() -> None:
    history = [START, moved(20, noise=1)]
    row = json.loads(json.dumps(guards.as_row(history, guards.judge(history, LIMITS, WEIGHTS))))
    assert Measurement.of(row) == history[-1]
    assert {verdict["guard"] for verdict in row["verdicts"]} == {
        "collapse", "stagnation", "repetition", "length", "hacking",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("after", "says"),
    [
        (START, "nothing gained"),
        (moved(20, score=0.1), "better than before training, in reward"),
        (moved(20, search=0.05), "better than before training, in reward and ndcg"),
        (moved(20, score=0.3, search=-0.05), "worse than before training"),
        (moved(20, noise=1), "no difference"),
    ],
)
def test_the_verdict_follows_the_intervals(after: Measurement, says: str) -> None:
    found = report.compare(START, after, WEIGHTS, None)
    assert found["verdict"].startswith(says)
    assert found["kept"] == after.step
    low, high = found["difference"]["ndcg"][1:]
    assert low <= found["after"]["ndcg"] - found["before"]["ndcg"] + 1e-4
    assert high >= found["after"]["ndcg"] - found["before"]["ndcg"] - 1e-4


# --- Recipes -------------------------------------------------------------------------------------------


def test_the_recipe_for_qwen_has_the_values_it_is_known_by() -> None:
    found = load_recipe(HERE / "grpo.yaml", kind=Settings)
    assert (found.lora.r, found.lora.targets) == (4, ["q_proj", "v_proj"])
    said = found.training
    assert (said.beta, said.generations, said.learning_rate, said.steps) == (0.04, 4, 5e-7, 200)
    assert said.max_tokens == qmd.SAMPLING.max_tokens
    assert load_recipe(HERE / "grpo-smollm2.yaml", kind=Settings).model.sft == "models/smollm2"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("guards.evry=3", "unknown key guards.evry; allowed are every, seeds"),
        ("training.epochs=3", "unknown key training.epochs; allowed are"),
        ("training.generations=1", "training.generations: input should be greater than or equal to 2"),
        ("training.max_tokens=601", "training.max_tokens: input should be less than or equal to 600"),
    ],
)
def test_bad_values_name_the_key(override: str, says: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(HERE / "grpo.yaml", [override], Settings)
    assert says in str(caught.value)


# --- Rewards and prompts -------------------------------------------------------------------------------

TOPICS = ("zeppelin", "saxophone", "glacier", "beekeeping", "turbine", "origami", "volcano", "sourdough")
ANSWER = "lex: {word}\nvec: how does {word} work\n"


def notes() -> list[Document]:
    return [
        Document(word, f"About {word}", f"# About {word}\n\nThe {word} in the year {1900 + place}.", f"n/{word}.md")
        for place, word in enumerate(TOPICS)
    ]


class Letters(Embedder):
    """Vectors that hang on a text's letters alone; nothing is loaded."""

    def embed(self, texts, what=""):
        import numpy

        counts = numpy.array([[text.lower().count(chr(97 + place)) + 0.1 for place in range(26)] for text in texts])
        return (counts / numpy.linalg.norm(counts, axis=1, keepdims=True)).astype("float32")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> rewards.RetrievalReward:
    # No note holds all of these words, so that the query alone is searched by its letters.
    queries = [JudgedQuery(word, f"{word} and what else there is to say", {word: 2}) for word in TOPICS]
    collection = Collection("tiny", notes(), queries)
    return rewards.RetrievalReward(Index(collection, Letters(folder=tmp_path_factory.mktemp("v"))), queries)


def test_the_retrieval_reward_is_the_gain_over_the_query_alone(searched: rewards.RetrievalReward) -> None:
    one, other = (f"{word} and what else there is to say" for word in ("zeppelin", "volcano"))
    good, astray = ANSWER.format(word="zeppelin"), "lex: turbine zeppelin\nhyde: zeppelin turbine\n"
    unjudged = "a query of the examples"
    asked = [(one, good), (one, ""), (unjudged, good), (other, ANSWER.format(word="volcano")), (one, astray)]
    query, completions = zip(*asked, strict=True)
    found = searched(prompts=[""] * 5, completions=completions, query=query, trainer_state=None)
    # The one judged note comes first with a good answer; alone it is second for one query, third for the other.
    assert (searched.alone[one], searched.alone[other]) == pytest.approx((0.6309, 0.5), abs=1e-4)
    assert found == [pytest.approx(0.3691, abs=1e-4), 0, None, pytest.approx(0.5), pytest.approx(0, abs=1e-4)]


def test_queries_are_divided_by_their_ids_alone() -> None:
    queries = load_collection(str(ROOT / "evals" / "notes")).queries
    parts = {query.id: rewards.part_of(query) for query in queries}
    # What `printf n001 | sha1sum` says: n001 even, n002 and n003 odd.
    assert [parts["n001"], parts["n002"] == "train", parts["n003"] == "train"] == ["train", False, False]
    counts = [list(parts.values()).count(part) for part in ("train", "watched", "reported")]
    assert sum(counts) == 200
    assert min(counts) > 30
    assert {query.id: rewards.part_of(replace(query, text="another")) for query in queries} == parts


def test_queries_of_the_examples_are_those_that_sft_trains_on() -> None:
    judged = load_collection(str(ROOT / "evals" / "notes")).queries
    found = rewards.unjudged(ROOT / "data", 50, judged)
    assert len(set(found)) == 50
    assert {split_of(query, 0.1) for query in found} == {"train"}
    assert not any("/only:" in query for query in found)
    one = found[0]
    assert one not in rewards.unjudged(ROOT / "data", 50, [JudgedQuery("x", one.upper(), {"d": 1})])
    assert rewards.unjudged(ROOT / "data", 0, judged) == []


# --- Runs ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sft_adapter(tiny_qwen3: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("sft")
    lora = LoraConfig(r=4, target_modules=["q_proj", "o_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_qwen3), lora).save_pretrained(folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": str(tiny_qwen3)}))
    return folder


@pytest.fixture(scope="module")
def folder_of_notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notes")
    rows = {
        "corpus.jsonl": [{"_id": note.id, "title": note.title, "text": note.text} for note in notes()],
        "queries.jsonl": [{"_id": f"{word}{n}", "text": f"{word} {n}"} for word in TOPICS for n in range(3)],
    }
    for name, found in rows.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in found))
    grades = "".join(f"{word}{n}\t{word}\t2\n" for word in TOPICS for n in range(3))
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + grades)
    return folder


class Paid(QMDRewardFunction):
    """A random model writes no line: it is paid for how much it writes, so that there is something to learn."""

    def __call__(self, prompts, completions, **_):
        return [len(text) / 100 for text in completions]


def improving(*arguments: object, step: int, asked=training.measure) -> Measurement:
    """What is measured of a random model's answers, with a score that rises by the step: the last adapter is kept."""
    found = asked(*arguments, step=step)
    return replace(found, score=(0.5 + step / 100,) * len(found.score))


def gaming(*arguments: object, step: int) -> Measurement:
    """The same, but at the fourth step search falls, and the score rises by more than that."""
    found = improving(*arguments, step=step)
    score, ndcg = (0.9, 0.3) if step == 4 else (found.score[0], 0.5)
    size = len(found.score)
    return replace(found, score=(score,) * size, ndcg=(ndcg,) * size, gain=(ndcg - 0.5,) * size)


# Kills the process at the end of its third step, when a checkpoint of the second is on disk.
KILLED = """
import os, signal, grpo, training
from transformers import TrainerCallback
from tests.test_grpo import Paid, improving
class Kill(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        if state.global_step == 3: os.kill(os.getpid(), signal.SIGKILL)
made = training._trainer
def _trainer(*arguments):
    trainer = made(*arguments)
    trainer.add_callback(Kill())
    return trainer
training._trainer, training.QMDRewardFunction, training.measure = _trainer, Paid, improving
grpo.console.run(grpo.main)
"""


def words(sft: Path, collection: Path, output: Path, *more: str) -> list[str]:
    """The command line of a small run of grpo.yaml with another model."""
    config = json.loads((sft / "adapter_config.json").read_text())
    settings = [
        f"model.base={config['base_model_name_or_path']}", f"model.sft={sft}", f"prompts.collection={collection}",
        "prompts.examples=2", "training.queries=2", "training.generations=2", "training.max_tokens=12",
        "training.learning_rate=1e-2", "training.scheduler=constant", "training.warmup_share=0", "training.steps=6",
        "training.device=cpu", "guards.every=2", "guards.patience=9", "guards.length=9", "report.seeds=[1]", *more,
    ]  # fmt: skip
    return ["--output", str(output), *(part for value in settings for part in ("--set", value))]


def run(*arguments: Path | str, measure=improving) -> int:
    """`grpo.py` with these `words`; in this process, which has everything loaded already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["grpo.py", *words(*arguments)])
        patch.setattr(training, "QMDRewardFunction", Paid)
        patch.setattr(training, "measure", measure)
        return grpo.main()


def lines(path: Path) -> list[dict]:
    return [json.loads(row) for row in path.read_text().splitlines()]


def tensors(folder: Path) -> dict:
    from safetensors.torch import load_file

    return load_file(folder / base.ADAPTER)


def same(one: Path, other: Path) -> bool:
    found = tensors(one)
    return all((found[name] == value).all() for name, value in tensors(other).items())


@pytest.fixture(scope="module")
def undisturbed(sft_adapter: Path, folder_of_notes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("grpo") / "undisturbed"
    assert run(sft_adapter, folder_of_notes, output) == 0
    return output


def test_a_run_logs_both_rewards_and_what_the_guards_said(undisturbed: Path, sft_adapter: Path) -> None:
    steps = [row for row in lines(undisturbed / "metrics.jsonl") if "loss" in row]
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5, 6]
    assert all(row["rewards/qmd_reward/mean"] > 0 for row in steps)
    assert any(row["rewards/retrieval_gain/mean"] is not None for row in steps)
    assert all("kl" in row and row["completions/max_length"] <= 12 for row in steps)
    history = lines(undisturbed / "guards.jsonl")
    assert [row["step"] for row in history] == [0, 2, 4, 6]
    found = json.loads((undisturbed / "report.json").read_text())
    assert found["stopped"] is None
    assert found["kept"] == 6
    assert any(value.any() for name, value in tensors(undisturbed).items() if "lora_B" in name)
    assert (undisturbed / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert not [*undisturbed.glob("checkpoint-*"), *undisturbed.glob("measured")]
    assert (undisturbed / "sft" / base.ADAPTER).read_bytes() == (sft_adapter / base.ADAPTER).read_bytes()


def test_the_adapter_is_loaded_on_top_of_the_sft_one(undisturbed: Path, sft_adapter: Path, tiny_qwen3: Path) -> None:
    import torch

    # As `convert_gguf.py --base --sft --grpo` merges, one after the other.
    merged = base.load_model(str(tiny_qwen3), None, base.choose_hardware("cpu"))
    for folder in (sft_adapter, undisturbed):
        merged = base.merge_adapter(merged, base.find_source(str(folder)))
    expander = expand.load_expander(undisturbed, device="cpu")
    found = expander.model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in merged.state_dict().items())
    assert expander.base_model == str(tiny_qwen3)
    weights, data = evaluation.identity(undisturbed)
    assert data == json.loads((undisturbed / "run.json").read_text())["data"]["data_hash"][:16]
    assert weights == evaluation.weights_hash(
        sha256_of(folder / base.ADAPTER) for folder in (undisturbed, undisturbed / "sft")
    )


def test_a_killed_run_ends_like_an_undisturbed_one(
    undisturbed: Path, sft_adapter: Path, folder_of_notes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "run"
    command = [sys.executable, "-c", KILLED, *words(sft_adapter, folder_of_notes, output)]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(map(str, (ROOT, HERE)))}
    cut = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert cut.returncode == -9, cut.stderr
    assert run(sft_adapter, folder_of_notes, output, "lora.r=2") == 2
    assert "unfinished run of another recipe" in capsys.readouterr().err
    assert run(sft_adapter, folder_of_notes, output) == 0
    assert f"continuing from {output}/checkpoint-2" in capsys.readouterr().out
    for name in ("guards.jsonl", "report.json"):
        assert (output / name).read_text() == (undisturbed / name).read_text()
    assert same(output, undisturbed)
    assert run(sft_adapter, folder_of_notes, output) == 0
    assert "nothing to train" in capsys.readouterr().out


def test_a_run_that_games_the_rubric_is_stopped_and_the_best_adapter_kept(
    sft_adapter: Path, folder_of_notes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gamed, short = tmp_path / "gamed", tmp_path / "short"
    assert run(sft_adapter, folder_of_notes, gamed, measure=gaming) == 0
    said = capsys.readouterr().out
    assert "STOP hacking" in said
    assert f"--sft {sft_adapter} --grpo {gamed}" in said
    assert [row["step"] for row in lines(gamed / "guards.jsonl")] == [0, 2, 4]
    found = json.loads((gamed / "report.json").read_text())
    assert (found["kept"], found["stopped"]["guard"]) == (2, "hacking")
    # The weights of the second step, which are those of a run of two steps.
    assert run(sft_adapter, folder_of_notes, short, "training.steps=2") == 0
    assert same(gamed, short)
    assert any(value.any() for name, value in tensors(short).items() if "lora_B" in name)


def test_answers_are_sampled_as_the_expander_samples(tiny_qwen3: Path, qwen3_tokenizer) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_qwen3).train()
    trainer = SimpleNamespace(
        model=model, processing_class=qwen3_tokenizer, max_completion_length=8,
        accelerator=SimpleNamespace(unwrap_model=lambda same: same),
    )  # fmt: skip
    prompt = qmd.chatml_prompt("auth config")
    torch.manual_seed(3)
    first = training.rollout([prompt, prompt], trainer)
    assert model.training
    assert first["prompt_ids"] == [served_tokens(qwen3_tokenizer, "auth config")] * 2
    assert first["completion_ids"][0] != first["completion_ids"][1]
    torch.manual_seed(3)
    assert training.rollout([prompt, prompt], trainer) == first


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model.base=another/model", "is an adapter of"),
        ("model.sft={base}", "is no adapter that train.py sft made"),
        ("prompts.collection={sft}", "has no queries.jsonl"),
        ("training.queries=99", "training.queries: there are"),
        ("training.device=auto", "needs a CUDA GPU or Apple MPS, and there is none here: train the small model with"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    override: str,
    says: str,
    sft_adapter: Path,
    tiny_qwen3: Path,
    folder_of_notes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(base, "available_device", lambda: "cpu")
    more = [override.format(base=tiny_qwen3, sft=sft_adapter)]
    if override == "training.device=auto":
        more.append("model.base=Qwen/Qwen3-1.7B")
    assert run(sft_adapter, folder_of_notes, tmp_path / "run", *more) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()
