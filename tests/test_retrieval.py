"""Searching a collection with expansions: what is read, what is found, what is measured, and the command."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import qmd
import qmd_search
import retrieval
import retrieval_results
from baselines import BASELINES, rare_pairs
from collection import (
    Collection,
    CollectionError,
    Document,
    JudgedQuery,
    collection_hash,
    load_collection,
    note_title,
    read_notes,
)
from evaluation import mean_interval
from language import query_language, stems, stop_words, words
from qmd import split_mode
from search import Embedder, Index, fused

ROOT = Path(__file__).resolve().parent.parent
NOTES = ROOT / "evals" / "notes"

DOCUMENTS = {
    "keepalive": (
        "Broker timeouts",
        "The broker closes a connection whose client stays silent longer than its keepalive.",
    ),
    "wills": ("Last will", "A last will is published by the broker when a client is gone without saying goodbye."),
    "sourdough": ("Country loaf", "The dough rests in the fridge overnight and is baked in a pot with the lid on."),
    "tomatoes": ("Tomatoes", "Plant them out after the last frost, and water the soil, never the leaves."),
    "telegram": ("Telegram 代理", "在 Telegram 的设置里填写代理服务器和端口。"),
}
QUERIES = {
    "q1": ("mqtt client drops connection", {"keepalive": 2, "wills": 1}),
    "q2": ("bread from the icebox", {"sourdough": 2}),
    "q3": ("Telegram 配置信息", {"telegram": 2}),
}


def write_collection(folder: Path, qrels: str = "qrels.tsv") -> Path:
    folder.mkdir(exist_ok=True)
    rows = [{"_id": id, "title": title, "text": text} for id, (title, text) in DOCUMENTS.items()]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    queries = [{"_id": id, "text": text} for id, (text, _) in QUERIES.items()]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in queries), encoding="utf-8")
    lines = [
        f"{id}\t{document}\t{grade}\n" for id, (_, grades) in QUERIES.items() for document, grade in grades.items()
    ]
    (folder / qrels).parent.mkdir(exist_ok=True)
    (folder / qrels).write_text("query-id\tcorpus-id\tscore\n" + "".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return load_collection(str(write_collection(tmp_path_factory.mktemp("collection"))))


@pytest.fixture(scope="module")
def index(collection: Collection, tmp_path_factory: pytest.TempPathFactory) -> Index:
    return Index(collection, Embedder(folder=tmp_path_factory.mktemp("vectors")))


# --- Reading -------------------------------------------------------------------------------------------


def test_our_own_collection_is_whole() -> None:
    notes = load_collection(str(NOTES))
    assert (len(notes.documents), len(notes.queries)) == (150, 200)
    texts = {document.id: f"{document.title} {document.text}" for document in notes.documents}
    strangers = 0
    for query in notes.queries:
        answers = [texts[id] for id, grade in query.grades.items() if grade == 2]
        spoken = query_language(query.text)
        asked = stems(set(words(split_mode(query.text)[0])) - stop_words(spoken) - stop_words("en"))
        strangers += not any(asked & stems(words(answer)) for answer in answers)
    assert strangers >= 200 / 3, "queries that share no content word with any answer"
    assert all(max(query.grades.values()) == 2 for query in notes.queries)


def test_the_corpus_of_our_collection_is_what_its_notes_say(tmp_path: Path) -> None:
    build = [sys.executable, "dataset/build_corpus.py"]
    done = subprocess.run([*build, NOTES, "--check"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "one.md").write_text("# One\n\nfirst\n")
    subprocess.run([*build, tmp_path], cwd=ROOT, check=True, capture_output=True)
    (tmp_path / "one.md").write_text("# One\n\nsecond\n")
    done = subprocess.run([*build, tmp_path, "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("build_corpus.py: ") and "corpus.jsonl is not what the notes say" in done.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    assert subprocess.run([*build, empty], cwd=ROOT, capture_output=True).returncode == 2


def test_notes_are_read_like_their_corpus(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a b.md").write_text("## A *title*\n\ntext\n")
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "what"}\n')
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\tdeep/a b\t1\n")
    from_notes = load_collection(str(tmp_path))
    path = f"{tmp_path.name}/deep/a b.md"
    assert from_notes.documents == [Document("deep/a b", "A *title*", "## A *title*\n\ntext\n", path)]
    subprocess.run([sys.executable, ROOT / "dataset" / "build_corpus.py", tmp_path], check=True, capture_output=True)
    assert load_collection(str(tmp_path)) == from_notes


def test_what_qmd_does_not_index_is_no_document(tmp_path: Path) -> None:
    for name in ("a.md", "deep/b.md", ".trash/old.md", "node_modules/readme.md", "deep/build/c.md", ".hidden.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("# Some note\n")
    (tmp_path / "empty.md").write_text("\n")
    assert [document.id for document in read_notes(tmp_path)] == ["a", "deep/b"]
    (tmp_path / "a.md").write_bytes("# Gr\u00fc\u00dfe\n".encode("latin-1"))
    build = subprocess.run([sys.executable, ROOT / "dataset" / "build_corpus.py", tmp_path], capture_output=True)
    assert (build.returncode, build.stderr.decode()) == (2, f"build_corpus.py: {tmp_path}/a.md: is not UTF-8\n")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# One\n\n# Two\n", "One"),
        ("intro\n## Two\n", "Two"),
        ("### Three\n", "name"),
        ("# Notes\n\n## The real title\n", "The real title"),
        ("# Notes\n", "Notes"),
    ],
)
def test_titles_are_qmds(text: str, title: str) -> None:
    assert note_title(text, "name") == title


@pytest.mark.parametrize("qrels", ["qrels.tsv", "qrels/test.tsv"])
def test_judgements_are_found_in_either_place(tmp_path: Path, qrels: str) -> None:
    read = load_collection(str(write_collection(tmp_path / "beir", qrels)))
    assert {query.id: query.grades for query in read.queries} == {id: grades for id, (_, grades) in QUERIES.items()}


def test_a_dataset_of_the_hub_is_read_from_its_clients_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "datasets--somebody--notes"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40)
    (repository / "snapshots").mkdir()
    write_collection(repository / "snapshots" / ("a" * 40))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert len(load_collection("somebody/notes").documents) == len(DOCUMENTS)
    with pytest.raises(CollectionError, match="somebody/nothing: is no folder here, and the hub says"):
        load_collection("somebody/nothing")


@pytest.mark.parametrize(
    ("file", "text", "error"),
    [
        ("corpus.jsonl", '{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}\n', "corpus.jsonl:2: the document 'a'"),
        ("corpus.jsonl", '{"_id": "a"}\n', "corpus.jsonl:1: has no 'text'"),
        ("corpus.jsonl", "[]\n", "corpus.jsonl:1: wants an object"),
        ("corpus.jsonl", "{\n", "corpus.jsonl:1: "),
        ("queries.jsonl", '{"_id": 3, "text": "x"}\n', "queries.jsonl:1: wants an object"),
        ("qrels.tsv", "q1\tkeepalive\tmuch\nq2\tsourdough\tmuch\n", "qrels.tsv:2: wants query-id"),
        ("qrels.tsv", "q1\tkeepalive\n", "qrels.tsv:1: wants query-id"),
        ("qrels.tsv", "q1\tno-such\t1\n", "judges 'no-such' for 'q1'"),
        ("qrels.tsv", "q01\tkeepalive\t1\n", "judges for 'q01', a query that is not there"),
        ("corpus.jsonl", '{"_id": "a", "text": "x", "title": 1984}\n', "corpus.jsonl:1: wants a string as title"),
        ("corpus.jsonl", '{"_id": "a", "text": "x", "metadata": "b"}\n', "corpus.jsonl:1: wants an object as metadata"),
        ("corpus.jsonl", '{"_id": "a", "text": "x", "title": "\\ud83d"}\n', "corpus.jsonl:1: "),
        ("qrels.tsv", "q1\tkeepalive\t0\n", "no query has a document of positive grade"),
        ("corpus.jsonl", "", "has neither corpus.jsonl nor markdown files"),
    ],
)
def test_a_bad_collection_is_told_by_file_and_line(tmp_path: Path, file: str, text: str, error: str) -> None:
    folder = write_collection(tmp_path / "bad")
    (folder / file).write_text(text)
    with pytest.raises(CollectionError) as raised:
        load_collection(str(folder))
    assert error in str(raised.value)


# --- Searching -----------------------------------------------------------------------------------------


def test_a_lex_line_finds_what_holds_all_its_terms(index: Index) -> None:
    assert [id for id, _ in index.lex("broker client")] == ["keepalive", "wills"]
    assert [id for id, _ in index.lex("broker keepalive")] == ["keepalive"]
    assert index.lex("broker sourdough") == []
    assert [id for id, _ in index.lex("broker -keepalive")] == ["wills"]
    assert [id for id, _ in index.lex("代理")] == ["telegram"]
    assert index.lex("-broker") == []


def test_a_vec_line_finds_what_means_the_same(index: Index) -> None:
    line = "bread that proofs in the refrigerator"
    assert index.vec(line, index.embed_queries([line]))[0] == "sourdough"


def test_lists_stand_in_qmds_order_and_weigh_as_in_qmd(index: Index) -> None:
    query = "broker client"
    lines = [qmd.Line("vec", "silent client"), qmd.Line("lex", "keepalive"), qmd.Line("lex", "nowhere")]
    vectors = index.embed_queries([query, "silent client"])
    lists = index.lists(query, lines, vectors)
    assert [(found.line.type, found.original) for found in lists] == [
        ("lex", True), ("lex", False), ("vec", True), ("vec", False),
    ]  # fmt: skip
    expected = qmd_search.fuse([found.ids for found in lists], [2.0, 1.0, 2.0, 1.0])
    assert fused(lists) == expected


def test_a_strong_signal_leaves_the_expansion_out() -> None:
    # A word that one document of many holds often: BM25 is sure.
    filler = [Document(f"d{n}", f"note {n}", "soup and bread and rain", f"d{n}") for n in range(400)]
    target = Document("target", "zeppelin zeppelin zeppelin", "zeppelin " * 5, "target")
    searched = Collection("many", [*filler, target], [])

    class NoVectors(Embedder):
        def embed(self, texts, what=""):
            import numpy

            return numpy.ones((len(texts), 2), dtype="float32")

    index = Index(searched, NoVectors())
    assert qmd_search.strong_signal([score for _, score in index.lex("zeppelin")])
    queries = [JudgedQuery("z", "zeppelin", {"target": 2})]
    systems = [retrieval.System("ours", {"zeppelin": ["lex: zeppelin soup\nlex: zeppelin bread\nlex: zeppelin\n"]})]
    searched = retrieval.search_with(index, systems, queries)
    assert len(searched["lines"]["ours"]["zeppelin"][0]) > 0
    searched = retrieval.search_with(index, systems, queries, bypass=True)
    assert searched["lines"]["ours"]["zeppelin"] == [[]]
    assert [found.original for found in searched["lists"]["ours"]["z"][0]] == [True, True]


def test_vectors_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["one text", "another text", "one text"]
    first = Embedder(folder=tmp_path).embed(texts)
    long = Collection("long", [Document("a", "A", "many words of a long note. " * 200, "a")], [])
    Index(long, Embedder(folder=tmp_path))
    assert first.shape == (3, 384) and (first[0] == first[2]).all()
    assert abs(first.astype(float) ** 2).sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-5)

    def unwanted(self: Embedder) -> None:
        raise AssertionError("the model is loaded although nothing is left to embed")

    monkeypatch.setattr(Embedder, "_load", unwanted)
    assert (Embedder(folder=tmp_path).embed(texts) == first).all()
    Index(long, Embedder(folder=tmp_path))


def test_of_a_long_text_its_first_known_tokens_are_embedded(tmp_path: Path) -> None:
    embedder = Embedder(folder=tmp_path)
    words = ["broker", "silence", "client"] * 169 + ["frost"]  # 508 tokens
    text = " ".join(words)
    long, cut, shorter = embedder.embed([text + " bread" * 50, text, " ".join(words[:-1])])
    assert long @ cut == pytest.approx(1, abs=1e-6)
    assert long @ shorter < 1 - 1e-5
    # Tokens that the tokenizer does not know are lost on QMD's way, but only of a text that it cuts.
    unknown, short = embedder.embed(["鷲 " * 9 + text, "鷲 " * 9 + "frost"])
    assert unknown @ embedder.embed([" ".join(words[:499])])[0] == pytest.approx(1, abs=1e-5)
    assert short @ embedder.embed(["frost"])[0] < 0.9


# --- Measuring -----------------------------------------------------------------------------------------


def test_measures_are_trec_evals() -> None:
    grades = {"a": {"x": 2, "y": 1}, "b": {"x": 2, "y": 1}, "c": {"x": 1}}
    found = retrieval.measure(grades, {"a": ["x", "y"], "b": ["z", "y", "x"], "c": ["z"]})
    assert found["a"] == pytest.approx({"nDCG@10": 1, "RR": 1, "R@20": 1})
    ideal = 2 + 1 / math.log2(3)
    assert found["b"] == pytest.approx({"nDCG@10": (1 / math.log2(3) + 2 / 2) / ideal, "RR": 1 / 2, "R@20": 1})
    assert found["c"] == {"nDCG@10": 0, "RR": 0, "R@20": 0}


def test_an_interval_holds_its_mean_and_tells_sign() -> None:
    mean, low, high = mean_interval([0.1, 0.2, 0.3, 0.2, 0.1, 0.3])
    assert 0 < low < mean < high and mean == pytest.approx(0.2)
    assert mean_interval([0.5]) == (0.5, 0.5, 0.5)
    low, high = mean_interval([-1, 1] * 20)[1:]
    assert low < 0 < high


def test_each_line_type_is_left_out_in_turn(collection: Collection, index: Index) -> None:
    said = {
        "mqtt client drops connection": "hyde: tomatoes and mqtt\nlex: connection keepalive\nlex: mqtt nowhere\n",
        "bread from the icebox": "vec: dough that rests in the fridge, bread\nlex: unrelated\n",
        "Telegram 配置信息": "lex: Telegram 代理\nlex: 代理\n",
    }
    searches = retrieval.systems(collection.queries, "ours", {query: [text] for query, text in said.items()})
    names = ["original", "rare-pairs", "template", "ours", "ours without hyde", "ours without lex", "ours without vec"]
    names += ["ours with one lex", "ours with one vec"]
    assert [system.name for system in searches] == names
    results = retrieval.evaluate(collection, index, searches, "ours")
    assert list(results["systems"]) == names
    # Of three lex lines that QMD keeps ("unrelated" and "代理" hold no word of their query) one finds nothing.
    assert results["systems"]["ours"]["zero_hit_lex"] == pytest.approx(1 / 3, abs=1e-4)
    assert results["systems"]["original"]["zero_hit_lex"] is None
    assert results["systems"]["ours without lex"]["zero_hit_lex"] is None
    kept = {system.name: system.lines("mqtt client drops connection") for system in searches}
    assert [[line.type for line in sample] for sample in kept["ours without hyde"]] == [["lex", "lex"]]
    assert [[line.text for line in sample] for sample in kept["ours with one lex"]] == [
        ["tomatoes and mqtt", "connection keepalive"]
    ]
    for system in results["systems"].values():
        assert system["wins"] + system["ties"] + system["losses"] == 3


def test_each_line_is_measured_alone(collection: Collection, index: Index) -> None:
    lex = "lex: client connection\nlex: connection keepalive\nlex: client x y\n"
    said = {
        "mqtt client drops connection": f"hyde: mqtt will\n{lex}",
        "bread from the icebox": "",
        "Telegram 配置信息": "lex: Telegram 代理\nvec: 在 Telegram 的设置里\n",
    }
    searches = retrieval.systems(collection.queries, "ours", {query: [text] for query, text in said.items()})
    found = retrieval.evaluate(collection, index, searches, "ours")["lines"]
    own, one, two = "lex, all terms the query’s", "lex, 1 term that it lacks", "lex, 2 and more that it lacks"
    assert {name: (row["lines"], row["queries"], row["zero_hit"]) for name, row in found.items()} == {
        "hyde": (1, 1, None), own: (1, 1, 0), one: (2, 2, 0), two: (1, 1, 1), "vec": (1, 1, None)
    }  # fmt: skip
    assert found[two]["gain"] == [0, 0, 0]


def test_the_query_hurt_most_is_named_with_the_line_that_did_it(collection: Collection, index: Index) -> None:
    bad = "hyde: the tomatoes want water on the soil, not on the leaves\nlex: the soil\n"
    said = {query.text: [bad if query.id == "q2" else ""] for query in collection.queries}
    results = retrieval.evaluate(collection, index, retrieval.systems(collection.queries, "ours", said), "ours")
    (hurt,) = results["hurt"] or [None]
    # Two lists put the tomatoes first, against the one that has the bread there: without either, all is well again.
    assert hurt["query"] == "bread from the icebox" and hurt["line"] in bad.splitlines()
    assert hurt["expanded"] < hurt["original"] == hurt["without"]


def test_of_several_samples_the_line_that_did_it_is_named(collection: Collection, index: Index) -> None:
    good = "lex: bread dough\n"
    bad = "hyde: the tomatoes want water on the soil, not on the leaves\nlex: the soil\n"
    said = {query.text: [good, bad] if query.id == "q2" else [""] for query in collection.queries}
    results = retrieval.evaluate(collection, index, retrieval.systems(collection.queries, "ours", said), "ours")
    (hurt,) = results["hurt"]
    assert hurt["line"] in bad.splitlines()
    assert hurt["expanded"] < hurt["without"] <= 1


def test_gains_are_told_by_category(collection: Collection, index: Index) -> None:
    named = [replace(query, metadata={"category": "zh" if query.id == "q3" else "en"}) for query in collection.queries]
    said = {query.text: ["hyde: bread\nlex: mqtt keepalive\n"] for query in named}
    whole = Collection("small", collection.documents, named)
    found = retrieval.evaluate(whole, index, retrieval.systems(named, "ours", said), "ours")
    assert {name: row["queries"] for name, row in found["categories"].items()} == {"en": 2, "zh": 1}
    alone = {row["id"]: row["ours without hyde"]["nDCG@10"] - row["original"]["nDCG@10"] for row in found["queries"]}
    mean = (alone["q1"] + alone["q2"]) / 2
    assert found["categories"]["en"]["ours without hyde"][0] == pytest.approx(mean, abs=1e-4)


def test_samples_of_a_query_are_averaged(collection: Collection, index: Index) -> None:
    good, none = "lex: connection keepalive\n", ""
    means = []
    for samples in ([good], [none], [good, none]):
        said = {query.text: samples for query in collection.queries}
        found = retrieval.evaluate(collection, index, retrieval.systems(collection.queries, "ours", said), "ours")
        means.append([row["ours"]["nDCG@10"] for row in found["queries"]])
    assert means[2] == pytest.approx([(one + two) / 2 for one, two in zip(means[0], means[1], strict=True)], abs=1e-4)


# --- Baselines -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        ("auth", []),
        ("the broker keepalive", ["the broker", "the keepalive", "broker keepalive"]),
        (
            "why does the mqtt broker drop a silent esp32 client",
            ["mqtt broker", "mqtt silent", "mqtt esp32", "broker silent", "broker esp32", "silent esp32"],
        ),
        ("wo ist die Gebrauchsanweisung vom Geschirrspüler", None),
        (
            "when does the broker drop /only:vec",
            ["when does", "when broker", "when drop", "does broker", "does drop", "broker drop"],
        ),
        ("iPhone 18 の 発売", ["iphone 18", "iphone 発", "iphone 売", "18 発", "18 売", "発 売"]),
    ],
)
def test_rare_pairs_pair_the_four_rarest_words(query: str, lines: list[str] | None) -> None:
    found = [line.text for line in qmd.parse(rare_pairs(query))[0]]
    if lines is None:
        assert "gebrauchsanweisung geschirrspüler" in found and len(found) == 6
    else:
        assert found == lines


def test_the_template_is_the_one_that_the_contract_warns_of() -> None:
    lines = qmd.parse(BASELINES["template"]("mqtt broker"))[0]
    for line in (
        "lex: mqtt broker tutorial guide",
        "lex: mqtt broker best practices",
        "vec: how to mqtt broker step by step",
    ):
        assert line in [str(found) for found in lines]
    assert BASELINES["original"]("mqtt broker") == ""


# --- The command ---------------------------------------------------------------------------------------


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "eval_retrieval.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_expansions_made_elsewhere_are_measured(tmp_path: Path) -> None:
    folder = write_collection(tmp_path / "small")
    rows = [{"query": text, "text": f"vec: {text} explained well\n"} for text, _ in QUERIES.values()]
    rows.append({"query": "of another collection", "text": "lex: x\n"})
    (tmp_path / "theirs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = tmp_path / "out" / "results.json"
    done = run("--collection", folder, "--expansions", tmp_path / "theirs.jsonl", "-o", output)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for shown in ("small: 5 documents, 3 queries", "rare-pairs", "theirs without vec"):
        assert shown in done.stdout
    results = json.loads(output.read_text())
    assert results["format"] == retrieval_results.FORMAT
    assert [row["id"] for row in results["queries"]] == list(QUERIES)
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_what_nobody_judged_can_be_judged_and_added(tmp_path: Path) -> None:
    folder = write_collection(tmp_path / "small")
    done = run("--collection", folder, "--pool", tmp_path / "pool.tsv")
    assert done.returncode == 0, done.stderr
    assert "not judged" in done.stdout
    header, *rows = [line.split("\t") for line in (tmp_path / "pool.tsv").read_text("utf-8").splitlines()]
    assert header == ["query-id", "corpus-id", "score", "query", "title"]
    judged = {(id, document) for id, (_, grades) in QUERIES.items() for document in grades}
    assert rows and not judged & {(id, document) for id, document, *_ in rows}
    assert {(QUERIES[id][0], DOCUMENTS[document][0]) for id, document, *_ in rows} == {tuple(row[3:]) for row in rows}
    # As they are they say nothing; with a score they count.
    before = load_collection(str(folder))
    with (folder / "qrels.tsv").open("a", encoding="utf-8") as file:
        file.write((tmp_path / "pool.tsv").read_text("utf-8"))
    assert load_collection(str(folder)) == before
    with (folder / "qrels.tsv").open("a", encoding="utf-8") as file:
        file.write("\t".join([*rows[0][:2], "1", *rows[0][3:]]) + "\n")
    after = load_collection(str(folder))
    assert {query.id: query.grades for query in after.queries}[rows[0][0]][rows[0][1]] == 1
    assert collection_hash(after) != collection_hash(before)


def test_a_model_expands_the_queries_once(tiny_llama: Path, tmp_path: Path) -> None:
    folder = write_collection(tmp_path / "small")
    outputs = [tmp_path / "one.json", tmp_path / "two.json"]
    for output in outputs:
        done = run(tiny_llama, "--collection", folder, "--limit", "2", "-o", output)
        assert done.returncode == 0, done.stderr
    first, second = (json.loads(output.read_text()) for output in outputs)
    assert first == second
    assert first["settings"]["queries"] == 2
    assert first["expander"]["weights"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--collection", "no-such-folder"], "no-such-folder: is no folder, nor the id of a dataset on the hub"),
        (["--collection", "data"], "data: has no queries.jsonl beside qrels.tsv or qrels/test.tsv"),
        (["--collection", NOTES, "--expansions", "no.jsonl"], "no.jsonl: cannot be read: No such file or directory"),
        (["--collection", NOTES, "--expansions", "README.md"], "README.md:1: wants an object with the strings query"),
        (["no-such-model", "--collection", NOTES], "no-such-model"),
        (["--collection", NOTES, "--expansions", "template.jsonl"], "template is the name of something else"),
        (["outputs/original", "--collection", NOTES], "original is the name of something else in the results"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str | Path], error: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert error in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [["-o", "search.png"], ["--pool", "p.tsv", "--agreement", "models/smollm2"], ["--pool", NOTES / "qrels.tsv"]],
)
def test_what_would_be_lost_is_refused(words: list[str | Path]) -> None:
    done = run("--collection", NOTES, *words)
    assert done.returncode == 2
    assert "error: " in done.stderr


def test_expansions_may_hold_any_character(tmp_path: Path) -> None:
    path = tmp_path / "theirs.jsonl"
    text = "vec: a line\u2028separator and a next\x85line\n"
    path.write_text(json.dumps({"query": "q", "text": text}, ensure_ascii=False) + "\n\n", encoding="utf-8")
    queries = [JudgedQuery("q", "q", {"a": 1})]
    assert retrieval.read_expansions(path, queries) == {"q": [text]}
    path.write_text('\n{"query": "q", "text": "vec: \\ud83d"}\n')
    with pytest.raises(CollectionError, match="holds a lone surrogate"):
        retrieval.read_expansions(path, queries)


def test_expansions_must_cover_the_queries(tmp_path: Path, collection: Collection) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text(json.dumps({"query": "Telegram 配置信息", "text": "lex: Telegram\n"}) + "\n")
    with pytest.raises(
        CollectionError, match="holds no expansion of 2 queries, such as 'mqtt client drops connection'"
    ):
        retrieval.read_expansions(path, collection.queries)
    queries = [JudgedQuery("q3", "Telegram 配置信息", {"telegram": 2})]
    assert retrieval.read_expansions(path, queries) == {"Telegram 配置信息": ["lex: Telegram\n"]}
