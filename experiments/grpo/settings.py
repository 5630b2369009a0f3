"""What a recipe of `grpo.py` may say: recipe.py's model, adapter and training, and what reinforcement adds to them."""

from typing import Annotated

from pydantic import Field

import qmd
from recipe import Adapted, Fitting, Model, Strict
from search import MINILM


class Policy(Model):
    """The model that is trained further."""

    sft: Annotated[str, Field(min_length=1)]
    """The adapter of the base that is merged into it first: a folder or a hub id."""


class Reinforcement(Fitting):
    """GRPO: how long, how fast, on how many answers (TRL's GRPOConfig)."""

    steps: Annotated[int, Field(ge=1)] = 200
    queries: Annotated[int, Field(ge=1)] = 4
    """Queries a step."""
    generations: Annotated[int, Field(ge=2)] = 4
    """Answers a query, which are compared with each other; they go through the model together."""
    beta: Annotated[float, Field(ge=0)] = 0.04
    """Weight of the KL divergence from the model before training."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 5e-7
    max_tokens: Annotated[int, Field(ge=1, le=qmd.SAMPLING.max_tokens)] = qmd.SAMPLING.max_tokens
    """Of an answer; the rest of QMD's sampling is fixed."""


class Rewards(Strict):
    """What each reward weighs in the sum; one that weighs nothing is measured all the same."""

    rubric: Annotated[float, Field(ge=0)] = 1.0
    """reward.py's score, 0 to 1."""
    retrieval: Annotated[float, Field(ge=0)] = 1.0
    """The gain in nDCG@10 over the original query alone."""


class Prompts(Strict):
    """What is asked."""

    collection: str = "evals/notes"
    """Judged queries: half are trained on, a quarter is watched by the guards, a quarter is kept for the report."""
    embedding: str = MINILM
    examples: Annotated[int, Field(ge=0)] = 0
    """Queries of data/ beside them, which nothing judges: for these the rubric alone counts."""


class Guards(Strict):
    """When training stops before its end, by what is measured on the watched queries."""

    every: Annotated[int, Field(ge=1)] = 20
    """Steps between measurements."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (1,)
    """Of QMD's sampling; the same ones each time, so that equal models measure equal."""
    patience: Annotated[int, Field(ge=1)] = 5
    """Measurements without a better reward than before."""
    repetition: Annotated[float, Field(ge=0, le=1)] = 0.05
    """What the share of answers that run into the token limit, or of repeated lines, may rise by."""
    length: Annotated[float, Field(ge=1)] = 1.5
    """How many times as long as at the start answers may be."""


class Report(Strict):
    """What is measured at the end, on queries that nothing was chosen by."""

    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (1, 2, 3)


class Settings(Adapted):
    """One YAML of this folder."""

    model: Policy
    training: Reinforcement
    rewards: Rewards = Rewards()
    prompts: Prompts = Prompts()
    guards: Guards = Guards()
    report: Report = Report()
