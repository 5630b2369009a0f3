"""GGUF files run by llama.cpp, held to QMD's grammar. llama-cpp-python is imported only when a file is opened."""

import os
import sys
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import base
import qmd
from expander import Decoding, Expander, Generation, sample_as_qmd, seed_of

if TYPE_CHECKING:
    import numpy
    import torch
    from llama_cpp import Llama


class LlamaExpander(Expander):
    """A GGUF run by llama.cpp, query by query, held to QMD's grammar."""

    def __init__(
        self,
        path: Path,
        commit: str | None = None,
        system: bool = True,
        *,
        grammar: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(name or str(path), None, system, path, commit)
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
        metadata = self.llama.metadata
        has_bos = "tokenizer.ggml.bos_token_id" in metadata and qmd.bos_first(metadata["general.architecture"])
        bos = [self.llama.token_bos()] if has_bos else []
        return bos + self.llama.tokenize(prompt, add_bos=False, special=True)

    def generate(
        self,
        queries: Sequence[str],
        *,
        decoding: Decoding = "qmd",
        seed: int = 0,
        max_tokens: int | None = None,
        temperature: float = qmd.SAMPLING.temperature,
    ) -> Iterator[tuple[int, Generation]]:
        """See Expander."""
        limit = max_tokens or qmd.SAMPLING.max_tokens
        for index, query in enumerate(queries):
            begun = time.monotonic()
            own_seed = seed_of(query, seed) if decoding == "qmd" else None
            said, finished = self._generate(self.prompt_tokens(query), own_seed, limit, temperature)
            text = self.llama.detokenize(said).decode("utf-8", errors="replace")
            yield index, Generation(text, len(said) + finished, time.monotonic() - begun, finished)

    def _generate(self, prompt: list[int], seed: int | None, limit: int, temperature: float) -> tuple[list[int], bool]:
        import torch

        generator = torch.Generator().manual_seed(seed) if seed is not None else None
        if self._grammar:
            self._grammar.reset()
        self._read(prompt)
        said: list[int] = []
        while len(said) < limit:
            token = self._next(generator, temperature)
            if token in (self.end, self.llama.token_eos()):
                return said, True
            said.append(token)
            if self._grammar:
                self._grammar.accept(token)
            self.llama.eval([token])
        return said, False

    def _next(self, generator: "torch.Generator | None", temperature: float) -> int:
        """Draw from all tokens; if the grammar forbids what came, from those it allows (AddonSampler.cpp, sample)."""
        import llama_cpp
        import numpy
        import torch

        logits = llama_cpp.llama_get_logits_ith(self.llama.ctx, -1)
        scores = torch.from_numpy(numpy.ctypeslib.as_array(logits, shape=(self.llama.n_vocab(),)).copy())

        def draw() -> int:
            return int(sample_as_qmd(scores[None], [generator], temperature) if generator else scores.argmax())

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
    """Open a .gguf file with llama.cpp. Raises LoadError, also where llama-cpp-python is not installed."""
    if not Path(path).is_file():
        raise base.LoadError(f"{path}: no such file")
    try:
        import llama_cpp
    except ImportError:
        raise base.LoadError(
            f"a .gguf file needs llama-cpp-python: uv run --with {base.LLAMA_CPP} {' '.join(sys.argv)}"
        ) from None
    with without_amx():
        try:
            return llama_cpp.Llama(str(path), verbose=False, **options)
        except (ValueError, AssertionError, OSError) as error:
            raise base.LoadError(f"{path}: cannot be loaded by llama.cpp: {error}") from None


@contextmanager
def without_amx() -> Iterator[None]:
    """Have llama-cpp-python leave the weights as they are in the file on processors with AMX.

    On some of them llama.cpp's AMX kernels crash (ggml-org/llama.cpp#20824).
    """
    import llama_cpp

    parameters = llama_cpp.llama_model_default_params()
    parameters.use_extra_bufts = b"AMX_INT8 = 1" not in llama_cpp.llama_print_system_info()
    # `Llama` has no option for it.
    with mock.patch.object(llama_cpp.llama_cpp, "llama_model_default_params", lambda: parameters):
        yield
