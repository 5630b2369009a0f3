"""What reinforcement came to: report.json, its table, and the picture of the run.

report.json is one JSON object:

    kept          the step whose adapter was kept: the best one that no guard had anything against
    stopped       the guard that ended training before its last step, with what it said; null otherwise
    queries       how many were asked; nothing was trained on them or chosen by them
    before, after the means of score (0 to 1), ndcg, gain, reward, runaway, repeated and tokens
    difference    of score, ndcg and reward: the mean paired difference with its 95% bootstrap interval
    verdict       better, worse, or no difference shown
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

from dataset.console import console_for_tables
from dataset.files import write_whole
from guards import Measurement, Verdict, difference
from settings import Rewards

NAME, CURVE = "report.json", "curve.png"
# What TRL logs of the answers of a step.
CURVES = {"reward": "reward", "rubric": "rewards/qmd_reward/mean", "retrieval": "rewards/retrieval_gain/mean"}
SMOOTHED = 10  # steps of the running mean in the picture


def _means(found: Measurement, weights: Rewards) -> dict[str, float]:
    values = {**asdict(found), "reward": found.rewards(weights)}
    del values["step"]
    return {key: round(mean(value) if isinstance(value, (list, tuple)) else value, 4) for key, value in values.items()}


def verdict(differences: dict[str, Sequence[float]], step: int) -> str:
    """One sentence. Search counts as much as the reward that was trained for."""
    if step == 0:
        return "nothing gained: no step was better than the model before training, which was kept"
    low = {key: found[1] for key, found in differences.items()}
    high = {key: found[2] for key, found in differences.items()}
    if high["ndcg"] < 0 or high["reward"] < 0:
        return "worse than before training: don't use it"
    if low["ndcg"] > 0 or low["reward"] > 0:
        gained = [name for name in ("reward", "ndcg") if low[name] > 0]
        return f"better than before training, in {' and '.join(gained)}"
    return "no difference to the model before training was shown"


def compare(before: Measurement, after: Measurement, weights: Rewards, stopped: Verdict | None) -> dict[str, Any]:
    """The contents of report.json."""
    pairs = {
        "score": (after.score, before.score),
        "ndcg": (after.ndcg, before.ndcg),
        "reward": (after.rewards(weights), before.rewards(weights)),
    }
    differences = {key: [round(value, 4) for value in difference(*pair)] for key, pair in pairs.items()}
    return {
        "kept": after.step,
        "stopped": asdict(stopped) if stopped else None,
        "queries": len(after.score),
        "before": _means(before, weights),
        "after": _means(after, weights),
        "difference": differences,
        "verdict": verdict(differences, after.step),
    }


def write(found: dict[str, Any], output: Path) -> None:
    """Write report.json."""
    write_whole(output / NAME, json.dumps(found, indent=1) + "\n")


def show(found: dict[str, Any]) -> None:
    """Print what report.json holds."""
    from rich.table import Table

    screen = console_for_tables()
    if found["stopped"]:
        screen.print(f"stopped by the guard {found['stopped']['guard']}: {found['stopped']['says']}")
    title = f"{found['queries']} queries that nothing was trained on or chosen by; the adapter of step {found['kept']}"
    table = Table(title=title, title_justify="left")
    for column in ("", "before", "after", "difference", "95% interval"):
        table.add_column(column, justify="left" if not column else "right")
    for key, before in found["before"].items():
        change, low, high = found["difference"].get(key, (found["after"][key] - before, None, None))
        interval = "" if low is None else f"{low:+.3f} to {high:+.3f}"
        table.add_row(key, f"{before:.3f}", f"{found['after'][key]:.3f}", f"{change:+.3f}", interval)
    screen.print(table)
    screen.print(found["verdict"])


def _smoothed(values: Sequence[float]) -> list[float]:
    return [mean(values[max(0, place + 1 - SMOOTHED) : place + 1]) for place in range(len(values))]


def draw(metrics: Sequence[dict[str, Any]], history: Sequence[Measurement], weights: Rewards, path: Path) -> None:
    """The rewards of the answers that were trained on, and what the watched queries made of it, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (upper, lower) = pyplot.subplots(2, 1, figsize=(8, 7), sharex=True, layout="constrained")
    for name, key in CURVES.items():
        points = [(row["step"], row[key]) for row in metrics if row.get(key) is not None]
        if points:
            steps, values = zip(*points, strict=True)
            (line,) = upper.plot(steps, _smoothed(values), label=f"{name}, training")
            upper.plot(steps, values, color=line.get_color(), alpha=0.25, linewidth=0.8)
    steps = [found.step for found in history]
    upper.plot(steps, [found.reward(weights) for found in history], "o-", color="black", label="reward, watched")
    lower.plot(steps, [mean(found.ndcg) for found in history], "o-", label="expanded")
    lower.axhline(mean(history[0].ndcg) - mean(history[0].gain), color="0.5", label="original query alone")
    upper.set(ylabel=f"reward (running mean of {SMOOTHED} steps)")
    lower.set(xlabel="step", ylabel="nDCG@10 of the watched queries")
    for axis in (upper, lower):
        axis.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
