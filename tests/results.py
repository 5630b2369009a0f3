"""Results files of evaluations that nobody ran, for what compares and publishes them."""

import evaluation
from evaluation import Settings

CATEGORIES = ("code", "home")
TEXT = "lex: broker keepalive\nvec: the keepalive of a broker\n"


def results(scores: dict[str, list[float]], *, weights: str | None = None, **summary: float) -> dict:
    """A results file of 20 queries a category; `scores` are those of a category's queries, in turn."""
    rows = []
    for category in CATEGORIES:
        for number in range(20):
            score = scores[category][number % len(scores[category])]
            rows.append(
                {
                    "query": f"{category} {number}", "category": category, "seed": 1, "score": score, "text": TEXT,
                    "tokens": 1, "seconds": 1, "finished": True, "valid": True, "kept": 4, "dropped": 0,
                    "duplicates": 0,
                }
            )  # fmt: skip
    settings = Settings(
        model="m", revision=None, weights=weights, base=None, training_data=None, queries=40, queries_hash="q",
        prompt="served", decoding="qmd", grammar=True, seeds=(1,),
    )  # fmt: skip
    found = evaluation.results_of(settings, rows)
    found["summary"].update(summary)
    return found
