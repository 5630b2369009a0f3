# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic>=2.12", "qmd-expansion", "rich"]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# [tool.uv.sources]
# qmd-expansion = { path = "..", editable = true }
# ///
"""Turn data/*.jsonl into what the trainer reads: data/train/train.jsonl, val.jsonl and dataset_info.json.

    uv run dataset/prepare_data.py
    uv run dataset/prepare_data.py --data my_examples --output my_train --plain-share 0.5

Every example goes through the schema; of equal queries (Unicode, case and spaces aside) the first one stays. A row is
{"query", "prompt", "completion"}: the prompt in ChatML as `qmd.py` renders it (Qwen3 without thinking, SmolLM2 and LFM2
speak the same, so no tokenizer is needed), the completion with its last newline; the trainer appends the end-of-turn
token. QMD serves its prompt with a system turn; a share of the examples goes without, as Ollama and llama.cpp ask.

Of an example's vec lines the first one is kept, or as many as `--vec-lines` says; its hyde goes with `--hyde-lines 0`.
What `/only:TYPE` asks for all stays.

An example's place in train or val, and its system turn, hang on a hash of its query (without `/only:`), so adding data
moves no other example. Exit code 2 on the first bad line; no prepared file changes then.
"""

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import qmd
from dataset.console import run, tracked
from dataset.files import sha256_of
from dataset.schema import SchemaError, TrainingExample, data_files, normalize, read_rows

ROOT = Path(__file__).resolve().parent.parent
VAL_SHARE = 0.1
SPLITS = ("train", "val")


@dataclass(frozen=True)
class Preparation:
    """What is made of the examples; raises ValueError for a number that can't be."""

    val_share: float = VAL_SHARE
    """Of the queries, how many are held out."""
    plain_share: float = 0.2
    """Of the examples, how many go without the system turn that QMD serves."""
    vec_lines: int = 1
    """Of an example's vec lines, how many are learned: a second adds nothing to what one brings (SCORING.md, 7)."""
    hyde_lines: int = 1
    """1, or 0 for a model that knows too little of the world to invent passages (SCORING.md, 5)."""

    def __post_init__(self) -> None:
        if self.vec_lines < 1:
            raise ValueError(f"vec_lines is {self.vec_lines}; an expansion needs one at least")
        if self.hyde_lines not in (0, 1):
            raise ValueError(f"hyde_lines is {self.hyde_lines}; it is 0 or 1")
        for name in ("val_share", "plain_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it is a share from 0 to 1")


USUAL = Preparation()
LEARNED = ("vec_lines", "hyde_lines")  # of the parameters, those that say what is learned of an example


def hash_share(text: str, purpose: str) -> float:
    """A number in [0, 1) that hangs on the text alone, another one for each purpose."""
    digest = hashlib.sha256(f"{purpose}\0{text}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / (1 << 56)


def split_of(query: str, val_share: float) -> str:
    """ "train" or "val", the same for a query with and without `/only:TYPE`."""
    base = normalize(qmd.split_mode(query)[0])
    return "val" if hash_share(base, "split") < val_share else "train"


def target_of(example: TrainingExample, how: Preparation) -> str:
    """The text to learn: an example with the first so many of its vec and hyde lines; all under `/only:TYPE`."""
    if qmd.split_mode(example.query)[1]:
        return example.render()
    of_type = {kind: [line for line in example.output if line.type == kind] for kind in ("vec", "hyde")}
    spare = of_type["vec"][how.vec_lines :] + of_type["hyde"][how.hyde_lines :]
    return qmd.render([line for line in example.output if line not in spare] or example.output)


def row_of(example: TrainingExample, how: Preparation = USUAL) -> dict[str, str]:
    """One row of the prepared files."""
    served = hash_share(normalize(example.query), "system") >= how.plain_share
    return {
        "query": example.query,
        "prompt": qmd.chatml_prompt(example.query, system=served),
        "completion": target_of(example, how),
    }


def combined_hash(hashes: Mapping[str, str]) -> str:
    """The data hash: one hash of those of both splits."""
    return hashlib.sha256("".join(hashes[split] for split in SPLITS).encode()).hexdigest()


@dataclass
class Report:
    """What was read and written; `as_dict` is dataset_info.json."""

    how: Preparation
    sources: list[dict[str, str | int]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    hashes: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict:
        """Counts, parameters, and the hashes that tell whether the files are these and whether they are up to date."""
        return {
            "qmd_version": qmd.QMD_VERSION,
            "parameters": asdict(self.how),
            "counts": dict(self.counts),
            "sources": self.sources,
            "files": {f"{split}.jsonl": self.hashes[split] for split in SPLITS},
            "data_hash": combined_hash(self.hashes),
        }


def _unique_examples(path: Path, report: Report) -> Iterator[TrainingExample]:
    """All examples, the first of each query; fills in the report's sources and counts."""
    seen: set[bytes] = set()
    for file in data_files(path):
        count = 0
        for row in read_rows(file):
            if row.error:
                raise row.error
            count += 1
            key = hashlib.blake2b(normalize(row.example.query).encode(), digest_size=16).digest()
            if key in seen:
                report.counts["duplicates"] += 1
                continue
            seen.add(key)
            yield row.example
        report.sources.append({"file": file.name, "examples": count, "sha256": sha256_of(file)})


def _write(path: Path, output: Path, report: Report) -> None:
    """Write the three files into `output` under temporary names, then rename them, the one with the hashes last."""
    for left_over in output.glob(".preparing-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".preparing-") as folder:
        files = {split: (Path(folder) / f"{split}.jsonl").open("wb") for split in SPLITS}
        hashes = {split: hashlib.sha256() for split in SPLITS}
        for example in tracked(_unique_examples(path, report), "examples"):
            split = split_of(example.query, report.how.val_share)
            row = row_of(example, report.how)
            line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
            files[split].write(line)
            hashes[split].update(line)
            report.counts[split] += 1
            report.counts["with system turn"] += qmd.SYSTEM_PROMPT in row["prompt"]
        if not report.counts["train"] + report.counts["val"]:
            raise SchemaError(path, None, "holds no examples")
        for split in SPLITS:
            files[split].close()
            report.hashes[split] = hashes[split].hexdigest()
        info = Path(folder) / "dataset_info.json"
        info.write_text(json.dumps(report.as_dict(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        for name in (*(f"{split}.jsonl" for split in SPLITS), info.name):
            (Path(folder) / name).replace(output / name)


def prepare(path: Path, output: Path, how: Preparation = USUAL) -> dict:
    """Prepare the data of a file or folder into `output`; returns what dataset_info.json holds.

    Raises SchemaError on a bad line; what `output` held stays as it was.
    """
    for file in data_files(path):
        if file.resolve().parent == output.resolve():
            raise SchemaError(output, None, f"holds the source {file.name}; what is prepared needs a folder of its own")
    report = Report(how)
    report.counts.update(dict.fromkeys((*SPLITS, "duplicates", "with system turn"), 0))
    output.mkdir(parents=True, exist_ok=True)
    _write(path, output, report)
    return report.as_dict()


def is_current(path: Path, output: Path, how: Preparation = USUAL) -> bool:
    """Whether `output` holds what `prepare` would make of `path` now."""
    try:
        info = json.loads((output / "dataset_info.json").read_text(encoding="utf-8"))
        sources = [(file.name, sha256_of(file)) for file in data_files(path)]
        return (
            info["parameters"] == asdict(how)
            and info["qmd_version"] == qmd.QMD_VERSION
            and [(source["file"], source["sha256"]) for source in info["sources"]] == sources
            and all(sha256_of(output / name) == digest for name, digest in info["files"].items())
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def is_prepared(folder: Path) -> bool:
    """Whether a folder is one that `prepare` wrote, as data/train/ is, or the dataset repository on the Hub."""
    return (folder / "dataset_info.json").is_file()


def read_prepared(folder: Path) -> tuple[dict[str, list[dict[str, str]]], dict]:
    """The rows of both splits and what dataset_info.json holds, of a folder that may come from anywhere.

    Raises SchemaError unless the files are those of dataset_info.json, every prompt is one that QMD serves, and every
    completion is the rendered lines of an example that passes the schema.
    """
    noted = folder / "dataset_info.json"
    try:
        info = json.loads(noted.read_text(encoding="utf-8"))
        digests = {split: info["files"][f"{split}.jsonl"] for split in SPLITS}
        counts = {split: info["counts"][split] for split in (*SPLITS, "with system turn")}
        if info["data_hash"] != combined_hash(digests):
            raise ValueError("data_hash")
        parameters = dict(info["parameters"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SchemaError(noted, None, f"is not what prepare_data.py writes: {error!r}") from None
    if not parameters.keys() >= set(LEARNED):
        raise SchemaError(noted, None, "is of an older version of prepare_data.py: prepare the data again")
    rows = {}
    for split, digest in digests.items():
        path = folder / f"{split}.jsonl"
        if not path.is_file() or sha256_of(path) != digest:
            raise SchemaError(path, None, "is not the file that dataset_info.json describes")
        lines = path.read_bytes().split(b"\n")[:-1]
        rows[split] = [_checked(path, number, line) for number, line in enumerate(lines, 1)]
        if len(rows[split]) != counts[split]:
            raise SchemaError(noted, None, f"counts {counts[split]} rows of {split}; there are {len(rows[split])}")
    if not rows["train"]:
        raise SchemaError(folder, None, "leaves no example to train on")
    return rows, info


def _checked(path: Path, number: int, line: bytes) -> dict[str, str]:
    """A prepared row, if it is one that `row_of` could have made."""
    try:
        row = json.loads(line)
        if not all(isinstance(row[key], str) for key in ("query", "prompt", "completion")):
            raise TypeError("query, prompt and completion have to be strings")
        lines, other = qmd.parse(row["completion"])
        example = TrainingExample.model_validate({"query": row["query"], "output": lines})
    except (ValueError, KeyError, TypeError) as error:
        raise SchemaError(path, number, f"is no prepared example: {' '.join(str(error).split())[:160]}") from None
    if other or example.render() != row["completion"]:
        raise SchemaError(path, number, "the completion is not made of whole hyde, lex and vec lines")
    if row["prompt"] not in (qmd.chatml_prompt(example.query, system=served) for served in (True, False)):
        raise SchemaError(path, number, f"the prompt is not the one that QMD {qmd.QMD_VERSION} serves for the query")
    return {key: row[key] for key in ("query", "prompt", "completion")}


def main() -> int:
    """Prepare the data and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="a data file or a folder of them")
    parser.add_argument("--output", type=Path, default=ROOT / "data" / "train", help="the folder to write into")
    for flag, kind, what in (
        ("val_share", float, "share of val"),
        ("plain_share", float, "share without the system turn"),
        ("vec_lines", int, "vec lines kept of an example"),
        ("hyde_lines", int, "hyde lines kept of an example, 0 or 1"),
    ):
        parser.add_argument(
            f"--{flag.replace('_', '-')}",
            type=kind,
            default=getattr(USUAL, flag),
            help=f"{what} (%(default)s)",
        )
    args = parser.parse_args()
    try:
        how = Preparation(args.val_share, args.plain_share, args.vec_lines, args.hyde_lines)
        info = prepare(args.data, args.output, how)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    counts = info["counts"]
    total = counts["train"] + counts["val"]
    print(f"{args.output}: {counts['train']} train, {counts['val']} val, {counts['duplicates']} duplicates left out")
    print(f"{counts['with system turn']} of {total} with the system turn that QMD serves")
    print(f"data hash {info['data_hash']}")
    return 0


if __name__ == "__main__":
    run(main)
