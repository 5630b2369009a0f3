"""What an answer is paid for, and what is asked: the reward of search beside reward.py's, and the prompts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import qmd
from agreement import half
from collection import JudgedQuery
from dataset.prepare_data import VAL_SHARE, hash_share, split_of
from dataset.schema import load_examples, normalize
from retrieval import System, measures_of, search_with
from retrieval_results import MAIN
from search import Index

Part = Literal["train", "watched", "reported"]
_POLICY = "policy"  # the name of its answers among the systems of a search


def part_of(query: JudgedQuery) -> Part:
    """What a judged query is for. The even half is trained on, as it may calibrate the rubric (agreement.py)."""
    if half(query) == "even":
        return "train"
    return "watched" if hash_share(query.id, "grpo") < 0.5 else "reported"


def unjudged(data: Path, count: int, judged: Sequence[JudgedQuery]) -> list[str]:
    """`count` queries of the examples that SFT trains on, by a hash; none that is judged, none with `/only:`."""
    known = {normalize(query.text) for query in judged}
    found: dict[str, str] = {}
    for example in load_examples(data) if count else []:
        plain = qmd.split_mode(example.query)[1] is None and split_of(example.query, VAL_SHARE) == "train"
        if plain and normalize(example.query) not in known:
            found.setdefault(normalize(example.query), example.query)
    return sorted(found.values(), key=lambda query: hash_share(query, "grpo"))[:count]


def rows(queries: Sequence[str]) -> list[dict[str, str]]:
    """The trainer's rows: the prompt that QMD serves, and the query in it for the rewards."""
    return [{"prompt": qmd.chatml_prompt(query), "query": query} for query in queries]


class RetrievalReward:
    """A reward function for TRL's GRPOTrainer: the gain in nDCG@10 that an answer brings over its query alone.

    None for a query without judgements, which TRL leaves out of the sum.
    """

    __name__ = "retrieval_gain"

    def __init__(self, index: Index, queries: Sequence[JudgedQuery]) -> None:
        self.index = index
        self.queries = {query.text: query for query in queries}
        self.alone = {text: found[0] for text, found in self.ndcg({text: [""] for text in self.queries}).items()}

    def ndcg(self, answers: Mapping[str, Sequence[str]]) -> dict[str, list[float]]:
        """nDCG@10 of each answer, by the query's text; an empty answer is the query alone."""
        queries = [self.queries[text] for text in answers]
        found = search_with(self.index, [System(_POLICY, answers)], queries)
        measured = measures_of(found["lists"][_POLICY], queries)
        return {query.text: [sample[MAIN] for sample in measured[query.id]] for query in queries}

    def __call__(
        self, prompts: Sequence[str], completions: Sequence[str], query: Sequence[str], **_: object
    ) -> list[float | None]:
        """Search with a batch of answers; `query` is the dataset's column."""
        answers: dict[str, list[str]] = {}
        for text, completion in zip(query, completions, strict=True):
            if text in self.queries:
                answers.setdefault(text, []).append(completion)
        found = {text: iter(values) for text, values in self.ndcg(answers).items()} if answers else {}
        return [next(found[text]) - self.alone[text] if text in found else None for text in query]
