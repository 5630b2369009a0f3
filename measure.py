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
