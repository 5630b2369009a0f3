"""The model in the real QMD: the prompt it is asked, what it answers, what QMD finds with that."""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy
import pytest

import qmd
import qmd_search
import search
from baselines import rare_pairs, template
from collection import load_collection
from dataset.schema import load_queries
from evaluation import spread
from llama import LlamaExpander
from tests.e2e.conftest import HERE, NOTES, ROOT, Index, Install, run

HANGUL = re.compile("[\uac00-\ud7a3]")
QUERIES = [query.text for query in spread(load_queries(ROOT / "evals" / "queries.txt"), 40)]

# The note in evals/notes/ that each of these queries is after.
ANSWERS = {
    "pgbouncer prepared statements in transaction mode": "postgres-connection-pooling.md",
    "checkout returned 500 after pressing pay": "incident-2026-03-11-checkout-database.md",
    "intermediate expired and x509 errors on a sunday": "incident-2025-11-09-nobody-could-log-in.md",
    "esp32 battery life soil probes": "mqtt-bed-sensors.md",
    "that exercise on the treadmill that is switched off": "knee-plan.md",
    "how long does dough proof in the fridge before baking in a pot": "country-loaf.md",
    "Ochsenherz Eisheilige hinaus": "tomaten-aussaat.md",
    "睡袋 温标": "luying-qingdan.md",
}


@dataclass(frozen=True)
class Expansion:
    """One of QMD's: what it asked the model (`session`, see preload.mjs), and the lines it would search with."""

    query: str
    kept: list[list[str]]
    session: dict


def expanded(queries: list[str], install: Install, environment: dict[str, str], folder: Path) -> list[Expansion]:
    (folder / "queries.json").write_text(json.dumps(queries), encoding="utf-8")
    names = [folder / name for name in ("queries.json", "result.json", "expansions.sqlite")]
    run([install.node, HERE / "expand.mjs", *names], env=environment)
    return [Expansion(**row) for row in json.loads((folder / "result.json").read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def expansions(qmd_install: Install, model_environment: dict[str, str], tmp_path_factory) -> list[Expansion]:
    return expanded(QUERIES, qmd_install, model_environment, tmp_path_factory.mktemp("expansions"))


def test_the_prompt_is_ours_to_the_token(expansions: list[Expansion], smollm2_q8: Path) -> None:
    ours = LlamaExpander(smollm2_q8)
    assert len(expansions) == 40
    for expansion in expansions:
        session = expansion.session
        assert session["user"] == qmd.user_prompt(expansion.query)
        assert session["system"] == [qmd.SYSTEM_PROMPT]
        prompt = ours.prompt_tokens(expansion.query)
        assert session["tokens"][: len(prompt)] == prompt
        # Nothing stands between the prompt and the answer.
        assert session["tokens"][len(prompt) :][:20] == session["answer"][:20]


@pytest.mark.parametrize("base", ["tiny_qwen3", "tiny_lfm2"])
def test_other_models_are_asked_our_prompt_too(
    base: str, qmd_install: Install, model_environment: dict[str, str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    command = [sys.executable, "convert_gguf.py", request.getfixturevalue(base), "--quants", "q8_0", "--check", "1"]
    run([*command, "--output", tmp_path / "tiny"], cwd=ROOT)
    model = tmp_path / "tiny" / "tiny-q8_0.gguf"
    environment = {**model_environment, "QMD_GENERATE_MODEL": str(model), "QMD_E2E_TOKENS": "3"}
    (found,) = expanded(["auth config"], qmd_install, environment, tmp_path)
    prompt = LlamaExpander(model).prompt_tokens("auth config")
    assert found.session["tokens"][: len(prompt)] == prompt
    assert found.session["tokens"][len(prompt) :][:2] == found.session["answer"][:2]


def test_qmd_decodes_as_we_do(expansions: list[Expansion]) -> None:
    for expansion in expansions:
        asked = expansion.session["sampling"]
        found = [asked[name] for name in ("maxTokens", "temperature", "topK", "topP")]
        sampling = qmd.SAMPLING
        assert found == [sampling.max_tokens, sampling.temperature, sampling.top_k, sampling.top_p]
        assert not [name for name in ("minP", "dryRepeatPenalty", "xtc") if asked.get(name)]
        # A presence penalty without a repeat penalty has no effect: node-llama-cpp then builds no penalty sampler.
        assert "penalty" not in (asked.get("repeatPenalty") or {})
        assert expansion.session["grammar"].split() == qmd.GRAMMAR.split()
        assert expansion.session["contextSize"] >= qmd.CONTEXT_SIZE


def test_qmd_keeps_the_lines_that_we_say_it_keeps(expansions: list[Expansion]) -> None:
    for expansion in expansions:
        served = qmd.served(expansion.query, expansion.session["raw"])
        assert expansion.kept == [list(line) for line in served.kept]


def test_the_model_stops_and_wastes_few_lines(expansions: list[Expansion]) -> None:
    runaways = [e.query for e in expansions if len(e.session["answer"]) >= qmd.SAMPLING.max_tokens]
    assert len(runaways) <= 1, runaways
    served = [qmd.served(e.query, e.session["raw"]) for e in expansions]
    assert not [e.query for e, found in zip(expansions, served, strict=True) if found.fallback]
    dropped = [line for found in served for line in found.dropped]
    duplicates = [line for found in served for line in found.duplicates]
    lines = len(dropped) + sum(len(found.kept) for found in served)
    assert lines >= 3 * len(expansions)
    assert len(dropped) <= 0.05 * lines, dropped
    assert len(duplicates) <= 0.05 * lines, duplicates


def test_query_ranks_notes(index: Index) -> None:
    ranks = {}
    for query, note in ANSWERS.items():
        found = json.loads(index.qmd("query", query, "--json", "--no-rerank", "-n", "10"))
        files = [Path(result["file"]).name for result in found]
        assert len(files) == len(set(files)) >= 3, query
        assert [result["score"] for result in found] == sorted((r["score"] for r in found), reverse=True)
        ranks[query] = files.index(note) + 1 if note in files else None
    assert all(ranks.values()), ranks
    assert sum(rank == 1 for rank in ranks.values()) >= 6, ranks


class Recorded:
    """QMD's own vectors in the place of an Embedder's."""

    model = search.MINILM

    def __init__(self, embedder: search.Embedder) -> None:
        self.count_tokens = embedder.count_tokens
        self.vectors: dict[str, numpy.ndarray] = {}

    def record(self, text: str, vector: list[float]) -> None:
        found = numpy.array(vector, dtype="float32")
        self.vectors[text] = found / numpy.linalg.norm(found)

    def embed(self, texts: list[str], what: str = "") -> numpy.ndarray:
        return numpy.stack([self.vectors[text] for text in texts])


def test_our_search_is_qmds(index: Index, tmp_path: Path) -> None:
    collection = load_collection(str(NOTES))
    asked = []
    for query in collection.queries:
        text = template(query.text) + rare_pairs(query.text)
        lines = [list(line) for line in qmd.served(query.text, text).kept]
        asked.append({"query": query.text, "lines": lines})
    (tmp_path / "queries.json").write_text(json.dumps(asked), encoding="utf-8")
    run(
        [index.install.node, HERE / "search.mjs", tmp_path / "queries.json", tmp_path / "result.json"],
        env=index.environment,
    )
    theirs = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert len(asked) == len(theirs["rows"]) == 200

    embedder = search.Embedder(folder=tmp_path / "vectors")
    recorded = Recorded(embedder)
    for document in collection.documents:
        chunks = qmd_search.chunks(document.text, embedder.count_tokens)
        for chunk, vector in zip(chunks, theirs["chunks"][document.id + ".md"], strict=True):
            recorded.record(qmd_search.embedding_document(document.title, chunk.text), vector)
    for text, vector in theirs["texts"].items():
        recorded.record(qmd_search.embedding_query(text), vector)

    # The vectors are the same, except of Korean: llama.cpp's tokenizer doesn't take its syllables apart.
    texts = list(recorded.vectors)
    nearness = (embedder.embed(texts) * recorded.embed(texts)).sum(axis=1)
    assert not [text for text, near in zip(texts, nearness, strict=True) if near < 0.9999 and not HANGUL.search(text)]

    def ranked(used: search.Embedder | Recorded) -> list[list[str]]:
        ours = search.Index(collection, used)
        texts = [row["query"] for row in asked] + [
            text for row in asked for kind, text in row["lines"] if kind != "lex"
        ]
        vectors = ours.embed_queries([text for text in texts if text in theirs["texts"]])
        found = []
        for row in asked:
            lines = [] if ours.is_sure(row["query"]) else [qmd.Line(*line) for line in row["lines"]]
            lists = ours.lists(row["query"], lines, vectors)
            found.append([id for id, _ in search.fused(lists)][:10])
        return found

    expected = [
        [file.removeprefix("qmd://notes/").removesuffix(".md") for file in row["files"]][:10] for row in theirs["rows"]
    ]
    # With QMD's vectors all is the same. What is left between the two ways to compute them changes near ties.
    assert ranked(recorded) == expected
    same = [set(ours) == set(row) for ours, row in zip(ranked(embedder), expected, strict=True)]
    assert sum(same) >= 0.95 * len(same)
