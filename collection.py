"""Collections to search in: documents, queries and judgements, in BEIR's layout.

A folder holds `corpus.jsonl` (`_id`, `title`, `text`, and a file's path in `metadata.path` where it has one),
`queries.jsonl` (`_id`, `text`) and `qrels.tsv` or `qrels/test.tsv` (query-id, corpus-id, score; what stands behind
them is a remark, and a row without a score not judged yet). A folder of markdown notes has `*.md` in place of
`corpus.jsonl`. A dataset on the hub has `corpus.jsonl`.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hub
import qmd
from dataset.schema import normalize

QRELS = ("qrels.tsv", "qrels/test.tsv")
HEADER = ["query-id", "corpus-id", "score"]
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


def collection_hash(collection: Collection) -> str:
    """Tells whether two searches are over the same documents with the same judgements."""
    digest = hashlib.sha256()
    for document in collection.documents:
        digest.update(repr(document).encode())
    for query in collection.queries:
        digest.update(repr((query.id, query.text, sorted(query.grades.items()))).encode())
    return digest.hexdigest()[:16]


def note_title(text: str, name: str) -> str:
    """The title that QMD gives a markdown file (store.js, extractTitle)."""
    found = _HEADING.search(text)
    title = found.group(1).strip() if found else ""
    if title in ("📝 Notes", "Notes") and (second := _SECOND_HEADING.search(text)):
        return second.group(1).strip()
    return title or name


def read_notes(folder: Path) -> list[Document]:
    """The markdown files of a folder and below it that QMD would index, sorted by path. Raises CollectionError."""
    documents = []
    for path in sorted(folder.rglob("*.md")):
        inside = path.relative_to(folder)
        if set(qmd.EXCLUDED_FOLDERS) & set(inside.parts[:-1]) or any(part.startswith(".") for part in inside.parts):
            continue
        text = text_of(path)
        if not text.strip():
            continue
        documents.append(
            Document(
                inside.with_suffix("").as_posix(),
                note_title(text, path.stem),
                text,
                f"{folder.name}/{inside.as_posix()}",
            )
        )
    return documents


def text_of(path: Path) -> str:
    """What a UTF-8 file holds. Raises CollectionError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CollectionError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CollectionError(f"{path}: is not UTF-8") from None


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
                _check(row)
            except KeyError as error:
                raise CollectionError(f"{path}:{number}: has no {error}") from None
            except ValueError as error:
                raise CollectionError(f"{path}:{number}: {error}") from None
            yield number, row


def _check(row: dict[str, Any]) -> None:
    """Raise ValueError for half a character, or a title or metadata that are not what they should be."""
    metadata = row.get("metadata") or {}
    json.dumps(row, ensure_ascii=False).encode()  # half an emoji is none
    if not isinstance(row.get("title") or "", str):
        raise ValueError("wants a string as title")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("path") or "", str):
        raise ValueError("wants an object as metadata, a string as its path")


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
    """Grades by query and document, of three columns, or four as trec_eval has them; what more there is are remarks."""
    grades: dict[str, dict[str, int]] = {}
    for number, line in enumerate(text_of(path).splitlines(), 1):
        cells = line.split("\t")
        if len(cells) == 4 and cells[1] in ("0", "Q0"):
            del cells[1]
        score = cells[2].strip() if len(cells) >= 3 else None
        header = number == 1 and score and not score.lstrip("-").isdigit()
        if header or cells[:3] == HEADER or score == "" or not line.strip():
            continue
        try:
            query, document, grade = cells[:3]
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
    rows = [row for _, row in _rows(folder / "queries.jsonl")]
    if unasked := grades.keys() - {row["_id"] for row in rows}:
        raise CollectionError(f"{qrels}: judges for {min(unasked)!r}, a query that is not there")
    queries: dict[str, JudgedQuery] = {}
    for row in rows:
        judged = grades.get(row["_id"], {})
        if any(grade > 0 for grade in judged.values()):
            query = JudgedQuery(row["_id"], row["text"], judged, row.get("metadata") or {})
            queries.setdefault(normalize(query.text), query)
    if not queries:
        raise CollectionError(f"{source}: no query has a document of positive grade")
    return Collection(name, documents, list(queries.values()))
