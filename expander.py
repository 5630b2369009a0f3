"""What expands queries: one interface, and the models that transformers runs. llama.py has those of llama.cpp."""

import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import base
import qmd

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Queries expanded side by side. A step takes a GPU about the same time for one as for many; of Qwen3-1.7B, 64 answers
# that all run into the token limit hold 5 GB of keys and values.
BATCH_SIZE, CUDA_BATCH_SIZE = 32, 64

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
    """A model that expands queries. `grammar` says whether its decoding is held to QMD's.

    `files` is the folder or file that it was loaded from, `commit` that of its repository, if it came from the hub.
    """

    grammar: bool

    def __init__(
        self, name: str, base_model: str | None, system: bool, files: Path | None = None, commit: str | None = None
    ) -> None:
        self.name = name
        self.files = files
        self.commit = commit
        self.base_model = base_model
        self.system = system

    @abstractmethod
    def prompt_tokens(self, query: str) -> list[int]:
        """The token ids that the model is given for a query."""

    @abstractmethod
    def generate(
        self,
        queries: Sequence[str],
        *,
        decoding: Decoding = "qmd",
        seed: int = 0,
        max_tokens: int | None = None,
        temperature: float = qmd.SAMPLING.temperature,
    ) -> Iterator[tuple[int, Generation]]:
        """Yield (index of the query, generation) as they are done.

        "qmd" samples as QMD does, "greedy" takes the likeliest token. What a query gets depends on the query and the
        seed, not on the queries beside it. `max_tokens` is QMD's limit unless given, `temperature` QMD's.
        """

    def expand(self, queries: Sequence[str], *, decoding: Decoding = "qmd", seed: int = 0) -> list[str]:
        """The raw text for each query."""
        texts = [""] * len(queries)
        for index, generation in self.generate(queries, decoding=decoding, seed=seed):
            texts[index] = generation.text
        return texts


def seed_of(query: str, seed: int) -> int:
    """A seed of its own for each query, so that no answer hangs on the queries beside it."""
    return zlib.crc32(f"{seed}\n{query}".encode())


def sample_as_qmd(
    scores: "torch.Tensor",
    generators: Sequence["torch.Generator"],
    temperature: float = qmd.SAMPLING.temperature,
) -> "torch.Tensor":
    """Draw one token a row from logits [rows, vocabulary]; each row has its own generator.

    Top-k, top-p and temperature in llama.cpp's order: top-p cuts the distribution before the temperature sharpens it
    (node-llama-cpp, AddonSampler.cpp). The draw is Gumbel's: the maximum of logit plus noise.
    """
    import torch

    values, tokens = scores.float().topk(min(qmd.SAMPLING.top_k, scores.shape[-1]), dim=-1)
    shares = values.softmax(-1)
    values = values.masked_fill(shares.cumsum(-1) - shares >= qmd.SAMPLING.top_p, -torch.inf) / temperature
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
        files: Path | None = None,
        commit: str | None = None,
    ) -> None:
        super().__init__(name, base_model, system, files, commit)
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.end = tokenizer.convert_tokens_to_ids(qmd.TURN_END)

    def prompt_tokens(self, query: str) -> list[int]:
        """See Expander."""
        return base.prompt_tokens(self.tokenizer, qmd.chatml_prompt(query, system=self.system))

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
        prompts = [self.prompt_tokens(query) for query in queries]
        order = sorted(range(len(queries)), key=lambda index: len(prompts[index]))
        size = CUDA_BATCH_SIZE if self.model.device.type == "cuda" else BATCH_SIZE
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            begun = time.monotonic()
            seeds = [seed_of(queries[index], seed) for index in batch] if decoding == "qmd" else None
            limit = max_tokens or qmd.SAMPLING.max_tokens
            answers = self.answers([prompts[i] for i in batch], seeds, limit, temperature)
            seconds = (time.monotonic() - begun) / len(batch)
            for index, answer in zip(batch, answers, strict=True):
                finished = self.end in answer
                said = answer[: answer.index(self.end)] if finished else answer
                text = self.tokenizer.decode(said, skip_special_tokens=True)
                yield index, Generation(text, len(said) + finished, seconds, finished)

    def answers(
        self, prompts: list[list[int]], seeds: list[int] | None, max_tokens: int, temperature: float
    ) -> list[list[int]]:
        """Tokens of the answers up to and with the end of turn, all side by side; without seeds the likeliest ones.

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
                own = [generators[row] for row in rows] if generators else []
                drawn = sample_as_qmd(scores, own, temperature) if own else scores.argmax(-1)
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
