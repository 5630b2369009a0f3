"""Whether the score predicts search: what is kept of a model's answers, what spoils an expansion, and the figures."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

import pytest

import agreement
import expand
import spoiled
from collection import JudgedQuery, load_collection
from evaluation import spread
from expander import Generation, TransformersExpander
from generations import Asking, generations, kept_in
from qmd import fts_query, parse
from retrieval import read_expansions
from reward import score_expansion
from tests.test_retrieval import NOTES, ROOT, write_collection

QUERY = "mqtt client drops connection"
WRITTEN = """hyde: An mqtt client that stays silent for one and a half times its keepalive is cut off by the broker.
lex: mqtt keepalive
lex: client disconnected broker
vec: mqtt client is disconnected by the broker after a while
vec: why does the connection between an mqtt client and its broker drop
"""

# --- What models said ----------------------------------------------------------------------------------


class Counted(TransformersExpander):
    """A model that notes what it is asked, and dies before the answer number `dies_at`."""

    def __init__(self, of: TransformersExpander, dies_at: int | None = None) -> None:
        super().__init__(of.model, of.tokenizer, of.name, files=of.files)
        self.asked: list[str] = []
        self.dies_at = dies_at

    def generate(self, queries: Sequence[str], **how: object) -> Iterator[tuple[int, Generation]]:
        self.asked += queries
        for number, answer in enumerate(super().generate(queries, **{**how, "max_tokens": 8})):
            if number == self.dies_at:
                raise KeyboardInterrupt
            yield answer


@pytest.fixture(scope="module")
def tiny(tiny_llama: Path) -> TransformersExpander:
    return expand.load_expander(tiny_llama)


def test_a_query_is_asked_once_under_one_way_of_asking(tiny: TransformersExpander, tmp_path: Path) -> None:
    model = Counted(tiny)
    first = generations(model, ["auth config", "zfs"], Asking(seed=3), tmp_path)
    again = generations(model, ["zfs", "new", "auth config"], Asking(seed=3), tmp_path)
    assert model.asked == ["auth config", "zfs", "new"]
    assert [again[2], again[0]] == first
    assert generations(model, ["zfs"], Asking(seed=4), tmp_path)[0].text != first[1].text
    generations(model, ["zfs"], Asking(seed=3, temperature=1.5), tmp_path)
    assert model.asked[3:] == ["zfs", "zfs"]


@pytest.mark.parametrize("torn", [b"", b'{"query": "two", "te', b'{"query": "two", "text": "\xe5\xb0'])
def test_what_was_said_before_a_kill_is_kept(tiny: TransformersExpander, tmp_path: Path, torn: bytes) -> None:
    queries = ["one", "two", "three"]
    with pytest.raises(KeyboardInterrupt):
        generations(Counted(tiny, dies_at=1), queries, Asking(), tmp_path)
    path = kept_in(tiny, Asking(), tmp_path)
    path.write_bytes(path.read_bytes() + torn)
    model = Counted(tiny)
    found = generations(model, queries, Asking(), tmp_path)
    assert len(model.asked) == 2
    assert generations(Counted(tiny, dies_at=0), queries, Asking(), tmp_path) == found


# --- Spoiling ------------------------------------------------------------------------------------------


def test_names_lost_takes_the_name_out_of_every_line() -> None:
    lines, _ = parse(spoiled.names_lost(QUERY, WRITTEN))
    assert len(lines) == 5
    assert not any("mqtt" in line.text for line in lines)
    # A query without a name loses its rarest word, in every form.
    lines, _ = parse(spoiled.names_lost("why is my sourdough flat", "lex: sourdough flat\nlex: sourdoughs\n"))
    assert [line.text for line in lines] == ["flat"]
    # Of a phrase the other word is left, without the quote that would make QMD refuse the line.
    quoted = spoiled.names_lost("why is my sourdough flat", 'lex: "sourdough starter" flat\n')
    assert quoted == "lex: starter flat\n"


def test_terms_added_makes_lex_lines_longer_and_no_other() -> None:
    before, after = (parse(text)[0] for text in (WRITTEN, spoiled.terms_added(QUERY, WRITTEN)))
    for old, new in zip(before, after, strict=True):
        added = len(new.text.split()) - len(old.text.split())
        assert added == (2 if old.type == "lex" else 0)


@pytest.mark.parametrize("spoil", spoiled.SPOILERS.values(), ids=list(spoiled.SPOILERS))
@pytest.mark.parametrize(
    ("query", "text"),
    [
        (QUERY, WRITTEN),
        ("Telegram 配置信息", "lex: Telegram 代理\nvec: 在 Telegram 里怎么设置代理服务器\n"),
        ("wie lange muss der teig gehen", "lex: teig gehen\nvec: wie lange ein hefeteig ruhen muss\n"),
    ],
)
def test_what_is_spoiled_scores_less(spoil: object, query: str, text: str) -> None:
    assert score_expansion(query, spoil(query, text)) < score_expansion(query, text)


# --- The figures ---------------------------------------------------------------------------------------

IDS = ["a", "b", "c", "d"]


def values(**kinds: Sequence[float | Sequence[float]]) -> dict[str, dict[str, list[float]]]:
    return {
        name: {id: [v] if isinstance(v, float) else list(v) for id, v in zip(IDS, found, strict=True)}
        for name, found in kinds.items()
    }


NDCG = values(tuned=(0.9, 0.8, 0.9, 0.7), plain=(0.5, 0.4, 0.5, 0.3), bad=(0.1, 0.2, 0.1, 0.2))


def test_a_score_that_orders_as_search_does_agrees_fully() -> None:
    rewards = values(tuned=(80.0,) * 4, plain=(70.0,) * 4, bad=(5.0,) * 4)
    found = agreement.agreement(rewards, NDCG, IDS)
    assert found["over_kinds"] == 1
    assert found["pairs"] == {"clear": 3, "ordered": 1.0, "wrong": []}
    assert found["within_queries"] == found["ceiling"] == 1


def test_a_score_that_prefers_the_worst_is_found_out() -> None:
    rewards = values(tuned=(80.0,) * 4, plain=(70.0,) * 4, bad=(97.0,) * 4)
    found = agreement.agreement(rewards, NDCG, IDS)
    assert found["over_kinds"] == -0.5
    assert found["pairs"]["ordered"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["pairs"]["wrong"] == [["tuned", "bad"], ["plain", "bad"]]
    assert found["within_queries"] == -0.5 < found["ceiling"]


def test_a_difference_that_may_be_chance_makes_no_clear_pair() -> None:
    ndcg = values(tuned=(0.9, 0.1, 0.8, 0.2), other=(0.1, 0.9, 0.3, 0.8))
    rewards = values(tuned=(50.0,) * 4, other=(60.0,) * 4)
    assert agreement.agreement(rewards, ndcg, IDS)["pairs"] == {"clear": 0, "ordered": None, "wrong": []}


def test_picking_the_best_sample_is_measured_against_chance_and_oracle() -> None:
    ndcg = values(tuned=[(0.0, 1.0)] * 3 + [(0.4, 0.2)])
    rewards = values(tuned=[(10.0, 90.0)] * 2 + [(50.0, 50.0), (10.0, 90.0)])
    found = agreement.best_of_samples(rewards, ndcg, "tuned", IDS)
    # Right twice (+0.5), a draw (0), wrong once (-0.1); the oracle is right every time.
    assert found["gain"][0] == pytest.approx((0.5 + 0.5 + 0 - 0.1) / 4, abs=1e-4)
    assert found["oracle"] == pytest.approx((0.5 + 0.5 + 0.5 + 0.1) / 4, abs=1e-4)
    assert found["share"] == pytest.approx(0.9 / 1.6, abs=1e-4)


def test_queries_are_halved_by_their_ids() -> None:
    halves = [agreement.half(JudgedQuery(f"n{number:03}", "", {})) for number in range(1, 201)]
    assert 80 < halves.count("even") < 120
    assert halves[:3] == ["even", "odd", "odd"]  # what `printf n001 | sha1sum` says


# --- The command ---------------------------------------------------------------------------------------


def test_the_written_expansions_are_of_the_queries_that_are_compared() -> None:
    queries = spread(load_collection(str(NOTES)).queries, agreement.QUERIES)
    written = read_expansions(NOTES / "written.jsonl", queries)
    assert all(len(texts) == 1 for texts in written.values())
    assert all(fts_query(line.text) for text in written.values() for line in parse(text[0])[0] if line.type == "lex")


@pytest.mark.parametrize("spoil", spoiled.SPOILERS.values(), ids=list(spoiled.SPOILERS))
def test_no_spoiled_kind_overtakes_the_written_one(spoil: object) -> None:
    queries = spread(load_collection(str(NOTES)).queries, agreement.QUERIES)
    written = {query: texts[0] for query, texts in read_expansions(NOTES / "written.jsonl", queries).items()}
    clean = mean(score_expansion(query, text) for query, text in written.items())
    assert mean(score_expansion(query, spoil(query, text)) for query, text in written.items()) < clean - 0.05


def test_kinds_are_scored_and_searched(tiny_llama: Path, tmp_path: Path) -> None:
    folder = write_collection(tmp_path / "small")
    rows = [{"query": query.text, "text": f"lex: {query.text}\n"} for query in load_collection(str(folder)).queries]
    rows[0]["text"] = WRITTEN
    (tmp_path / "written.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = tmp_path / "agreement.json"
    command = ["eval_retrieval.py", tiny_llama, "--collection", folder, "--agreement", "--untuned", tiny_llama]
    command += ["--expansions", tmp_path / "written.jsonl", "-o", output]
    done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = json.loads(output.read_text())
    assert {"tuned", "tuned, greedy", "untuned", "rare-pairs", "template", "written"} < set(results["kinds"])
    assert {found["clean"] for found in results["kinds"].values()} == {None, "written"}
    # A model without training says nothing that QMD would search with.
    assert results["kinds"]["tuned"]["samples"] == agreement.SAMPLES
    assert results["kinds"]["tuned"]["reward"] == 0 < results["kinds"]["written"]["reward"]
    assert results["kinds"]["untuned"]["ndcg"] == results["original"]
    assert sum(results["agreement"][half]["queries"] for half in ("even", "odd")) == 3
    assert "agreement of reward and search" in done.stdout
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
