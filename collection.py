"""Collections to search in: documents, queries and judgements, in BEIR's layout.

A folder holds `corpus.jsonl` (`_id`, `title`, `text`, and a file's path in `metadata.path` where it has one),
`queries.jsonl` (`_id`, `text`) and `qrels.tsv` or `qrels/test.tsv` (query-id, corpus-id, score). A folder of markdown
notes has `*.md` in place of `corpus.jsonl`. A dataset on the hub has the same files.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hub
from dataset.schema import normalize

QRELS = ("qrels.tsv", "qrels/test.tsv")
_HEADING = re.compile(r"^##?\s+(.+)$", re.MULTILINE)
_SECOND_HEADING = re.compile(r"^##\s+(.+)$", re.MULTILINE)


class CollectionError(ValueError):
    """A collection that can't be read: says the file, the line and what is wrong."""


@dataclass(frozen=True)
class Document:
    """One document; `path` is what QMD's index would have as its file path."""

    id: str
    title: str
    text: str
    path: str


@dataclass(frozen=True)
class JudgedQuery:
    """A query with what was judged: grades by document id, at least one of them above 0."""

    id: str
    text: str
    grades: dict[str, int]
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Collection:
    """Documents and judged queries."""

    name: str
    documents: list[Document]
    queries: list[JudgedQuery]


def note_title(text: str, name: str) -> str:
    """The title that QMD gives a markdown file (store.js, extractTitle)."""
    found = _HEADING.search(text)
    title = found.group(1).strip() if found else ""
    if title in ("📝 Notes", "Notes") and (second := _SECOND_HEADING.search(text)):
        return second.group(1).strip()
    return title or name


def read_notes(folder: Path) -> list[Document]:
    """The markdown files of a folder and those below it as documents, sorted by path."""
    documents = []
    for path in sorted(folder.rglob("*.md")):
        inside = path.relative_to(folder)
        text = path.read_text(encoding="utf-8")
        documents.append(
            Document(
                inside.with_suffix("").as_posix(),
                note_title(text, path.stem),
                text,
                f"{folder.name}/{inside.as_posix()}",
            )
        )
    return documents


def corpus_rows(documents: list[Document]) -> Iterator[str]:
    """The lines of a corpus.jsonl of these documents."""
    for document in documents:
        row = {"_id": document.id, "title": document.title, "text": document.text, "metadata": {"path": document.path}}
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            try:
                row = json.loads(raw)
                if not isinstance(row, dict) or not isinstance(row["_id"], str) or not isinstance(row["text"], str):
                    raise ValueError("wants an object with the strings _id and text")
            except KeyError as error:
                raise CollectionError(f"{path}:{number}: has no {error}") from None
            except ValueError as error:
                raise CollectionError(f"{path}:{number}: {error}") from None
            yield number, row


def _read_corpus(path: Path) -> list[Document]:
    documents: dict[str, Document] = {}
    for number, row in _rows(path):
        if row["_id"] in documents:
            raise CollectionError(f"{path}:{number}: the document {row['_id']!r} stands twice")
        title, given = row.get("title") or "", (row.get("metadata") or {}).get("path")
        # Without a path there was no file: the title stands in the text, as in a note, and the path says nothing.
        text = row["text"] if given or not title else f"# {title}\n\n{row['text']}"
        documents[row["_id"]] = Document(row["_id"], title or row["_id"], text, given or row["_id"])
    return list(documents.values())


def _read_grades(path: Path) -> dict[str, dict[str, int]]:
    grades: dict[str, dict[str, int]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        cells = line.split("\t")
        header = number == 1 and len(cells) >= 3 and not cells[-1].strip().lstrip("-").isdigit()
        if header or not line.strip():
            continue
        try:
            query, document, grade = (cells[0], cells[2], cells[3]) if len(cells) == 4 else cells
            grades.setdefault(query, {})[document] = int(grade)
        except ValueError:
            raise CollectionError(f"{path}:{number}: wants query-id, corpus-id and score, with tabs") from None
    return grades


def _on_disk(source: str) -> tuple[Path, str]:
    """The folder of a collection and its name; of a dataset on the hub, downloaded, the name has its commit."""
    folder = Path(source)
    if folder.is_dir():
        return folder, folder.resolve().name
    if not hub.is_name(source):
        raise CollectionError(f"{source}: is no folder, nor the id of a dataset on the hub")
    name, revision = hub.split_revision(source)
    try:
        folder, commit = hub.snapshot(name, revision, ["corpus.jsonl", "queries.jsonl", *QRELS], "dataset")
    except hub.HubError as error:
        raise CollectionError(
            f"{source}: is no folder here, and the hub says: {str(error).removeprefix(f'{name}: ')}"
        ) from None
    return folder, f"{name}@{commit}"


def load_collection(source: str) -> Collection:
    """Read a folder, or a dataset on the hub (`owner/name`, `owner/name@revision`). Raises CollectionError.

    Queries without a document of positive grade are left out; of queries that say the same, the first one stays.
    """
    folder, name = _on_disk(source)
    qrels = next((folder / name for name in QRELS if (folder / name).is_file()), None)
    if qrels is None or not (folder / "queries.jsonl").is_file():
        raise CollectionError(f"{source}: has no queries.jsonl beside {' or '.join(QRELS)}")
    corpus = folder / "corpus.jsonl"
    documents = _read_corpus(corpus) if corpus.is_file() else read_notes(folder)
    if not documents:
        raise CollectionError(f"{source}: has neither corpus.jsonl nor markdown files")
    known = {document.id for document in documents}
    grades = _read_grades(qrels)
    for query, judged in grades.items():
        if missing := judged.keys() - known:
            raise CollectionError(f"{qrels}: judges {min(missing)!r} for {query!r}, a document that is not there")
    queries: dict[str, JudgedQuery] = {}
    for _, row in _rows(folder / "queries.jsonl"):
        judged = grades.get(row["_id"], {})
        if any(grade > 0 for grade in judged.values()):
            query = JudgedQuery(row["_id"], row["text"], judged, row.get("metadata") or {})
            queries.setdefault(normalize(query.text), query)
    if not queries:
        raise CollectionError(f"{source}: no query has a document of positive grade")
    return Collection(name, documents, list(queries.values()))
