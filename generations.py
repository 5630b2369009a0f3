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
