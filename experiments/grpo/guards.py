"""What stops reinforcement before it does harm: judged from measurements on queries that are not trained on.

Differences between two measurements are paired by query. A fall counts where the whole 95% interval of its mean lies
below zero: single means of some dozen queries go up and down by themselves.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

from evaluation import mean_interval
from settings import Guards, Rewards

STAGNATION = "stagnation"  # ends training, but says nothing against what was measured


@dataclass(frozen=True)
class Measurement:
    """What the model of one step says to the watched queries.

    `score` (reward.py's, 0 to 1), `ndcg` (nDCG@10) and `gain` (over the original query alone) have a value a query, in
    one order; `runaway` is the share of answers stopped by the token limit, `repeated` that of lines that repeat an
    earlier one, `tokens` the mean length.
    """

    step: int
    score: tuple[float, ...]
    ndcg: tuple[float, ...]
    gain: tuple[float, ...]
    runaway: float
    repeated: float
    tokens: float

    def rewards(self, weights: Rewards) -> list[float]:
        """The weighted sum that is trained for, a query."""
        return [weights.rubric * s + weights.retrieval * g for s, g in zip(self.score, self.gain, strict=True)]

    def reward(self, weights: Rewards) -> float:
        """Its mean."""
        return mean(self.rewards(weights))

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Measurement":
        """Read what `asdict` made, after JSON."""
        lists = {key: tuple(row[key]) for key in ("score", "ndcg", "gain")}
        return cls(**lists, **{key: row[key] for key in ("step", "runaway", "repeated", "tokens")})


@dataclass(frozen=True)
class Verdict:
    """What one guard says."""

    guard: str
    ok: bool
    says: str


def difference(now: Sequence[float], then: Sequence[float]) -> tuple[float, float, float]:
    """The mean paired difference, and its 95% bootstrap interval."""
    return mean_interval([a - b for a, b in zip(now, then, strict=True)])


def collapse(history: Sequence[Measurement], weights: Rewards) -> Verdict:
    """The reward must not fall below the best one measured."""
    best, now = max(history, key=lambda m: m.reward(weights)), history[-1]
    change, low, high = difference(now.rewards(weights), best.rewards(weights))
    says = f"reward {now.reward(weights):.3f}, {change:+.3f} ({low:+.3f} to {high:+.3f}) on step {best.step}"
    return Verdict("collapse", high >= 0, says)


def stagnation(history: Sequence[Measurement], limits: Guards, weights: Rewards) -> Verdict:
    """There has to be a new best reward now and then."""
    best = max(range(len(history)), key=lambda place: history[place].reward(weights))
    waited = len(history) - 1 - best
    says = f"best reward at step {history[best].step}, {waited} measurements ago"
    return Verdict(STAGNATION, waited < limits.patience, says)


def repetition(history: Sequence[Measurement], limits: Guards) -> Verdict:
    """No more answers that run on, or repeat themselves, than at the start."""
    start, now = history[0], history[-1]
    rise = max(now.runaway - start.runaway, now.repeated - start.repeated)
    says = f"{now.runaway:.1%} ran into the token limit, {now.repeated:.1%} of the lines repeated"
    return Verdict("repetition", rise <= limits.repetition, says)


def length(history: Sequence[Measurement], limits: Guards) -> Verdict:
    """Answers must not creep longer."""
    start, now = history[0], history[-1]
    says = f"{now.tokens:.0f} tokens, {start.tokens:.0f} at the start"
    return Verdict("length", now.tokens <= limits.length * start.tokens, says)


def hacking(history: Sequence[Measurement]) -> Verdict:
    """Search must not get worse while the rubric's score rises: then the rubric is served, not the search."""
    start, now = history[0], history[-1]
    rise = mean(now.score) - mean(start.score)
    change, low, high = difference(now.ndcg, start.ndcg)
    says = f"score {rise:+.3f}, nDCG@10 {change:+.3f} ({low:+.3f} to {high:+.3f})"
    return Verdict("hacking", not (rise > 0 and high < 0), says)


def judge(history: Sequence[Measurement], limits: Guards, weights: Rewards) -> list[Verdict]:
    """What every guard says of the last measurement in the light of those before it, the gravest first."""
    return [
        hacking(history),
        collapse(history, weights),
        repetition(history, limits),
        length(history, limits),
        stagnation(history, limits, weights),
    ]


def stopped_by(history: Sequence[Measurement], limits: Guards, weights: Rewards) -> Verdict | None:
    """The guard that ends training with the last measurement, if one does."""
    return next((verdict for verdict in judge(history, limits, weights) if not verdict.ok), None) if history else None


def best(history: Sequence[Measurement], limits: Guards, weights: Rewards) -> Measurement:
    """The measurement of the highest reward that no guard had anything against; the first one never has."""
    sound = [
        now
        for place, now in enumerate(history)
        if all(verdict.ok or verdict.guard == STAGNATION for verdict in judge(history[: place + 1], limits, weights))
    ]
    return max(sound, key=lambda m: m.reward(weights))


def as_row(history: Sequence[Measurement], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """A line of guards.jsonl: the last measurement, and what was said of it."""
    return {**asdict(history[-1]), "verdicts": [asdict(verdict) for verdict in verdicts]}
