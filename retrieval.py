"""What expansions do to search over a collection: `eval_retrieval.py` is its command, retrieval_results.py its file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import qmd
from baselines import BASELINES
from collection import Collection, CollectionError, JudgedQuery, text_of
from dataset.console import tracked
from evaluation import mean_interval
from lines import new_terms, read_line
from query import read_query
from retrieval_results import MAIN, MEASURES, ORIGINAL
from search import Index, RankedList, fused

SHOWN = 5  # queries hurt most
JUDGED = 10  # documents of a ranking that should be judged: MAIN looks at no others

# The texts that an expander gave for a query; several samples are averaged.
Expansions = Mapping[str, Sequence[str]]


def read_expansions(path: Path, queries: Sequence[JudgedQuery]) -> dict[str, list[str]]:
    """Expansions made elsewhere: one JSON object a line with `query` and `text`, as `expand.py --json` prints them.

    Raises CollectionError on a bad line, or when a query of the collection has none.
    """
    found: dict[str, list[str]] = {query.text: [] for query in queries}
    for number, line in enumerate(text_of(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            query, text = row["query"], row["text"]
            f"{query}{text}".encode()  # half an emoji is none
            if not isinstance(query, str) or not isinstance(text, str):
                raise TypeError
        except UnicodeEncodeError:
            raise CollectionError(f"{path}:{number}: holds a lone surrogate") from None
        except (ValueError, KeyError, TypeError):
            raise CollectionError(f"{path}:{number}: wants an object with the strings query and text") from None
        if query in found:
            found[query].append(text)
    if missing := [query for query, texts in found.items() if not texts]:
        raise CollectionError(f"{path}: holds no expansion of {len(missing)} queries, such as {missing[0]!r}")
    return found


@dataclass(frozen=True)
class System:
    """One way of searching: the texts it has for each query, and how many lines of one type are used of them.

    An empty text is no expansion: the original query is searched alone.
    """

    name: str
    expansions: Expansions
    limited: str | None = None
    to: int = 0

    def lines(self, query: str) -> list[list[qmd.Line]]:
        """For each sample the lines that QMD searches."""
        return [self._within(qmd.served(query, text).kept) if text else [] for text in self.expansions[query]]

    def _within(self, lines: Sequence[qmd.Line]) -> list[qmd.Line]:
        places = [place for place, line in enumerate(lines) if line.type == self.limited]
        return [line for place, line in enumerate(lines) if place not in places[self.to :]]


def systems(queries: Sequence[JudgedQuery], name: str | None, expansions: Expansions | None) -> list[System]:
    """The baselines, and the expander `name`: whole, without each type of line in turn, with the first line of it."""
    found = [System(key, {query.text: [expand(query.text)] for query in queries}) for key, expand in BASELINES.items()]
    if name and expansions:
        found.append(System(name, expansions))
        found += [System(f"{name} without {kind}", expansions, kind) for kind in qmd.LINE_TYPES]
        found += [System(f"{name} with one {kind}", expansions, kind, 1) for kind in ("lex", "vec")]
    return found


def measure(grades: Mapping[str, Mapping[str, int]], runs: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """Each measure of each run: document ids, best first, under the ids that `grades` has."""
    import ir_measures

    wanted = {name: ir_measures.parse_measure(name) for name in MEASURES}
    names = {measure: name for name, measure in wanted.items()}
    # trec_eval orders by score, so a rank becomes one.
    scored = {key: {document: -float(rank) for rank, document in enumerate(ids)} for key, ids in runs.items()}
    judged = {key: dict(grades[key]) for key in runs}
    found: dict[str, dict[str, float]] = {key: dict.fromkeys(MEASURES, 0.0) for key in runs}
    for value in ir_measures.iter_calc(list(wanted.values()), judged, scored):
        found[value.query_id][names[value.measure]] = value.value
    return found


def search_with(
    index: Index, searches: Sequence[System], queries: Sequence[JudgedQuery], bypass: bool = False
) -> dict[str, Any]:
    """Search with every system: its `lines` and its ranked `lists`, by system and query, for each sample.

    With `bypass` a query of which BM25 alone is sure is not expanded, as in QMD.
    """
    lines = {system.name: {query.text: system.lines(query.text) for query in queries} for system in searches}
    if bypass:
        for query in (query for query in queries if index.is_sure(query.text)):
            for samples in lines.values():
                samples[query.text] = [[] for _ in samples[query.text]]
    texts = [query.text for query in queries]
    for samples in lines.values():
        texts += [line.text for found in samples.values() for sample in found for line in sample if line.type != "lex"]
    vectors = index.embed_queries(texts)
    found: dict[str, Any] = {system.name: {} for system in searches}
    for query in tracked(queries, "queries"):
        for system in searches:
            samples = lines[system.name][query.text]
            found[system.name][query.id] = [index.lists(query.text, sample, vectors) for sample in samples]
    return {"lines": lines, "lists": found}


def measures_of(
    lists: Mapping[str, Sequence[Sequence[RankedList]]], queries: Sequence[JudgedQuery]
) -> dict[str, list[dict[str, float]]]:
    """By query id, each measure of each sample of one system; `lists` as `search_with` gives them for it."""
    runs, grades = {}, {}
    for query in queries:
        for number, sample in enumerate(lists[query.id]):
            runs[f"{query.id}#{number}"] = [id for id, _ in fused(sample)]
            grades[f"{query.id}#{number}"] = query.grades
    found: dict[str, list[dict[str, float]]] = {query.id: [] for query in queries}
    for key, measured in measure(grades, runs).items():
        found[key.rpartition("#")[0]].append(measured)
    return found


def _culprit(query: JudgedQuery, samples: Sequence[Sequence[RankedList]]) -> dict[str, Any]:
    """The line without which the query would fare best, and how it would; None where no line alone does the harm."""
    runs, lines, wholes = {}, {}, {}
    for number, lists in enumerate(samples):
        wholes[number] = [id for id, _ in fused(lists)]
        for place, found in enumerate(lists):
            if not found.original:
                runs[number, place] = [id for id, _ in fused([*lists[:place], *lists[place + 1 :]])]
                lines[number, place] = found.line
    tried = {str(key): run for key, run in {**runs, **wholes}.items()}
    measured = {key: found[MAIN] for key, found in measure(dict.fromkeys(tried, query.grades), tried).items()}
    gains = {(number, place): measured[str((number, place))] - measured[str(number)] for number, place in runs}
    worst = max(gains, key=gains.__getitem__, default=None)
    if worst is None or gains[worst] <= 0:
        return {"line": None, "without": None}
    expanded = mean(measured[str(number)] for number in wholes)
    return {"line": str(lines[worst]), "without": round(expanded + gains[worst] / len(wholes), 4)}


def _group(query: str, line: qmd.Line) -> str:
    if line.type != "lex":
        return line.type
    asked = read_query(query)
    new = new_terms(asked, read_line(asked, line))
    return f"lex, {('all terms the query’s', '1 term that it lacks')[new] if new < 2 else '2 and more that it lacks'}"


def _beside_original(lists: Sequence[RankedList], line: qmd.Line) -> list[RankedList]:
    """The lists of the original query and the first one of a line, which may have come twice."""
    first = next((found for found in lists if not found.original and found.line == line), None)
    return [found for found in lists if found.original or found is first]


def line_gains(
    searched: Mapping[str, Any],
    name: str,
    queries: Sequence[JudgedQuery],
    original: Mapping[str, Mapping[str, float]],
) -> dict[str, dict[str, Any]]:
    """What one line alone, beside the original query, brings; the part `lines` of the results file.

    `original` holds the measures of the original query alone, by query id.
    """
    runs, grades = {}, {}
    groups: dict[str, dict[str, list[str]]] = {}  # the runs of each query
    silent: dict[str, int] = {}
    for query in queries:
        for number, lines in enumerate(searched["lines"][name][query.text]):
            lists = searched["lists"][name][query.id][number]
            for place, line in enumerate(dict.fromkeys(lines)):
                key = f"{query.id}#{number}.{place}"
                alone = _beside_original(lists, line)
                runs[key], grades[key] = [id for id, _ in fused(alone)], query.grades
                group = _group(query.text, line)
                groups.setdefault(group, {}).setdefault(query.id, []).append(key)
                silent[group] = silent.get(group, 0) + all(found.original for found in alone)
    measured = {key: found[MAIN] for key, found in measure(grades, runs).items()}
    shown = {}
    for group in sorted(groups):
        gains = [mean(measured[key] for key in keys) - original[id][MAIN] for id, keys in groups[group].items()]
        count = sum(map(len, groups[group].values()))
        zero = round(silent[group] / count, 4) if group.startswith("lex") else None
        shown[group] = {"lines": count, "queries": len(gains), "gain": _mean_gain(gains), "zero_hit": zero}
    return shown


def evaluate(
    collection: Collection, index: Index, searches: Sequence[System], expander: str | None, bypass: bool = False
) -> dict[str, Any]:
    """Search with every system and measure; the results file without its settings."""
    queries = collection.queries
    searched = search_with(index, searches, queries, bypass)
    scores = {
        system.name: {
            id: {name: mean(sample[name] for sample in samples) for name in MEASURES}
            for id, samples in measures_of(searched["lists"][system.name], queries).items()
        }
        for system in searches
    }
    summary = {
        system.name: {
            **_summary(scores[system.name], scores[ORIGINAL]),
            "zero_hit_lex": _zero_hits(searched, system.name),
        }
        for system in searches
    }
    results = {
        "systems": summary,
        "queries": [
            {"id": query.id, "text": query.text, **{name: _rounded(found[query.id]) for name, found in scores.items()}}
            for query in queries
        ],
    }
    results["unjudged"] = _unjudged(searched["lists"], queries)
    if expander:
        ours, alone = scores[expander], scores[ORIGINAL]
        results["categories"] = _categories(queries, scores, expander)
        results["lines"] = line_gains(searched, expander, queries, alone)
        worst = sorted(queries, key=lambda query: ours[query.id][MAIN] - alone[query.id][MAIN])[:SHOWN]
        results["hurt"] = [
            {
                "query": query.text,
                "original": round(alone[query.id][MAIN], 4),
                "expanded": round(ours[query.id][MAIN], 4),
                **_culprit(query, searched["lists"][expander][query.id]),
            }
            for query in worst
            if ours[query.id][MAIN] < alone[query.id][MAIN]
        ]
    return results


def _unjudged(
    lists: Mapping[str, Mapping[str, Sequence[Sequence[RankedList]]]], queries: Sequence[JudgedQuery]
) -> dict:
    """By query id, the documents that some system has in its top ten and nobody judged, the highest first."""
    found = {}
    for query in queries:
        tops = [fused(sample)[:JUDGED] for samples in lists.values() for sample in samples[query.id]]
        ranks = sorted((rank, id) for top in tops for rank, (id, _) in enumerate(top) if id not in query.grades)
        if ranks:
            found[query.id] = list(dict.fromkeys(id for _, id in ranks))
    return found


def _categories(
    queries: Sequence[JudgedQuery], scores: Mapping[str, Mapping[str, Mapping[str, float]]], expander: str
) -> dict[str, Any]:
    """For each category that the queries' metadata names, what the expander gains there, whole and without a type."""
    members: dict[str, list[str]] = {}
    for query in queries:
        if category := query.metadata.get("category"):
            members.setdefault(str(category), []).append(query.id)
    ours = [expander, *(f"{expander} without {kind}" for kind in qmd.LINE_TYPES)]
    return {
        category: {
            "queries": len(ids),
            **{name: _mean_gain([scores[name][id][MAIN] - scores[ORIGINAL][id][MAIN] for id in ids]) for name in ours},
        }
        for category, ids in sorted(members.items())
    }


def _mean_gain(gains: Sequence[float]) -> list[float]:
    """The mean of gains and its 95% interval, as a results file has them."""
    return [round(value, 4) for value in mean_interval(gains)]


def _rounded(found: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in found.items()}


def _summary(ours: Mapping[str, Mapping[str, float]], alone: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    differences = [ours[id][MAIN] - alone[id][MAIN] for id in ours]
    wins, losses = sum(value > 1e-9 for value in differences), sum(value < -1e-9 for value in differences)
    return {
        **{name: round(mean(found[name] for found in ours.values()), 4) for name in MEASURES},
        "gain": _mean_gain(differences),
        "wins": wins,
        "ties": len(differences) - wins - losses,
        "losses": losses,
    }


def _zero_hits(searched: Mapping[str, Any], name: str) -> float | None:
    """The share of lex lines that find nothing; None without lex lines."""
    asked = sum(line.type == "lex" for found in searched["lines"][name].values() for sample in found for line in sample)
    hit = sum(
        ranked.line.type == "lex" and not ranked.original
        for found in searched["lists"][name].values()
        for lists in found
        for ranked in lists
    )
    return round(1 - hit / asked, 4) if asked else None
