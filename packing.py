"""One row a batch: examples side by side, what they begin with in common only once, nothing padded.

Nearly every prompt begins with the same system turn, and in a padded batch about half of the positions are that turn
again or padding. Here a batch is the tree of its examples: tokens that an example has in common with the one before it
are computed once, each token attends to its own branch alone and has the position that it has in its example. Loss and
gradients are those of the padded batch, to rounding (tests/test_train.py compares them).

Only attention can be held apart like that: a layer that mixes neighbouring tokens in another way (LFM2's convolutions)
would see across branches, so models with such layers are trained on padded batches (`can_pack`).
"""

from typing import TYPE_CHECKING, Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from trl import SFTTrainer

if TYPE_CHECKING:
    from transformers import PretrainedConfig

IGNORED = -100  # PyTorch's label of a position that is not trained
PACKED = "packed"  # the name of this attention for transformers and for `training.attention`

# One example: where its tokens, in order, stand in the row [n], and how many of them an example before it brought.
Branch = tuple[torch.Tensor, int]


def can_pack(config: "PretrainedConfig") -> bool:
    """Whether every layer of a model is full attention, so that packed examples can be kept apart."""
    layers = getattr(config.get_text_config(), "layer_types", None) or []
    return all(layer == "full_attention" for layer in layers)


def pack(examples: list[dict[str, list[int]]]) -> dict[str, Any]:
    """Collate examples (`input_ids` and `labels` of one length) into one row of N tokens.

    Returns `input_ids` and `position_ids` [1, N]; `labels` [1, N], at each position the token to be predicted *from* it
    (so they are shifted already) or IGNORED; `branches`, one Branch an example, whose own tokens fill the row in turn.
    """
    tokens: list[int] = []
    positions: list[int] = []
    targets: list[int] = []
    branches: list[Branch] = []
    branch: list[int] = []
    before: list[int] = []
    for example in sorted(examples, key=lambda example: example["input_ids"]):
        ids, labels = example["input_ids"], example["labels"]
        # The last token of a prompt predicts the first of the answer: from it on, all is the example's own.
        prompt = next(i for i, label in enumerate(labels) if label != IGNORED) - 1
        common = zip(before, ids[:prompt], strict=False)
        shared = next((i for i, (a, b) in enumerate(common) if a != b), min(len(before), prompt))
        branch = branch[:shared] + list(range(len(tokens), len(tokens) + len(ids) - shared))
        tokens += ids[shared:]
        positions += range(shared, len(ids))
        targets += [*labels[shared + 1 :], IGNORED]
        branches.append((torch.tensor(branch), shared))
        before = ids
    return {
        "input_ids": torch.tensor([tokens]),
        "position_ids": torch.tensor([positions]),
        "labels": torch.tensor([targets]),
        "branches": branches,
    }


def tree_mask(branches: list[Branch], device: torch.device | str = "cpu") -> torch.Tensor:
    """Which tokens of a row each one attends to, bool [1, 1, N, N]: those of its own branch, up to itself."""
    own = [len(places) - shared for places, shared in branches]
    mask = torch.zeros(sum(own), sum(own), dtype=torch.bool, device=device)
    start = 0
    for (places, shared), count in zip(branches, own, strict=True):
        seen = torch.ones(count, len(places), dtype=torch.bool, device=device).tril(shared)
        mask[start : start + count, places.to(device)] = seen
        start += count
    return mask[None, None]


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    branches: list[Branch],
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each branch; query, key and value are [1, heads, N, dimension].

    With the `tree_mask` in one go, which suits a GPU: it takes small kernels one by one hardly faster than big ones.
    Without it branch by branch, which suits a CPU: nothing is computed that the mask would throw away.

    A model that does not hand `branches` down to its attention layers fails here, with a TypeError, before it learns
    anything wrong.
    """
    if attention_mask is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)[0], None
    outputs = []
    own_queries = query.split([len(places) - shared for places, shared in branches], dim=2)
    for (places, shared), own in zip(branches, own_queries, strict=True):
        mask = torch.ones(own.shape[2], len(places), dtype=torch.bool, device=query.device).tril(shared)
        held = (own, key[:, :, places], value[:, :, places])
        outputs.append(sdpa_attention_forward(module, *held, mask[None, None], **kwargs)[0])
    return torch.cat(outputs, dim=1), None


AttentionInterface.register(PACKED, packed_attention)


class PaddedTrainer(SFTTrainer):
    """TRL's trainer, which also logs how many tokens a step trains."""

    def _count(self, trained: torch.Tensor | int | None) -> None:
        if self.model.training and trained is not None:
            self._metrics["train"]["trained_tokens"].append(int(trained))

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """TRL's loss."""
        self._count(num_items_in_batch)
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)


class PackedTrainer(PaddedTrainer):
    """The same on packed rows: scores the trained positions alone and computes no metric but the loss."""

    _loss_shifts_labels = False  # `pack` has shifted them

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """The mean cross entropy of the trained tokens of all processes and accumulated batches."""
        self._count(num_items_in_batch)
        labels = inputs["labels"][0]
        trained = (labels != IGNORED).nonzero().squeeze(1)
        rows = {name: value for name, value in inputs.items() if name != "labels"}
        if labels.device.type != "cpu":
            rows["attention_mask"] = tree_mask(rows["branches"], labels.device)
        # Through the model's own forward, which DistributedDataParallel wraps; it keeps the logits asked for alone.
        logits = model(**rows, logits_to_keep=trained, use_cache=False).logits[0]
        loss = torch.nn.functional.cross_entropy(logits.float(), labels[trained], reduction="sum")
        if num_items_in_batch is None:
            return loss / len(trained)
        # The number is that of all processes, whose gradients DistributedDataParallel averages.
        return loss / num_items_in_batch * self.accelerator.num_processes
