"""The cards of the repositories on the Hub: what stands in README.md there, from results, run and templates.

A card is made anew at each push, from what was measured; nothing in it is written by hand but the templates.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import base
import evaluation
import hub
import qmd
from gate import Check

ROOT = Path(__file__).resolve().parent
LICENSE = "apache-2.0"  # of the base models, Qwen3 and SmolLM2; their adapters keep it
DATA_LICENSE = "cc0-1.0"
LANGUAGES = ("en", "zh", "ja", "ko", "ru", "de", "es", "fr", "pt", "it", "nl", "pl", "tr", "ar", "hi")
TAGS = ("query-expansion", "hybrid-search", "qmd")
WHAT = {
    "adapter": "A LoRA adapter for {base}.",
    "merged": "{base} with its adapter merged in.",
    "gguf": "GGUF files of {base} with its adapter merged in.",
    "grpo": "An experimental adapter for {base}, trained further by reinforcement.",
}


@dataclass(frozen=True)
class ModelCard:
    """What the card of a model is made of; `results`, `deployed` and `base_results` are files of eval.py."""

    kind: hub.Kind
    repository: str
    results: Mapping[str, Any]
    base_model: str
    deployed: Mapping[str, Any] | None = None
    base_results: Mapping[str, Any] | None = None
    search: Mapping[str, Any] | None = None  # of eval_retrieval.py
    checks: Sequence[Check] = ()
    first: bool = True  # there was no model before
    run: Mapping[str, Any] | None = None  # run.json
    files: Sequence[str] = ()
    measured: str | None = None  # the GGUF file that the results are of
    reason: str | None = None  # for pushing against the gate

    def render(self) -> str:
        """The text of README.md."""
        evaluated = [("this model", self.results["summary"])]
        if self.deployed:
            evaluated.append(("deployed before", self.deployed["summary"]))
        if self.base_results:
            evaluated.append((f"{self._base()}, untuned{self._asked_otherwise()}", self.base_results["summary"]))
        return _render(
            "model_card.md.jinja",
            metadata=self._metadata(),
            title=self.repository.split("/")[1],
            what=WHAT[self.kind].format(base=self._base()),
            sample=_sample(self.results),
            reason=self.reason,
            settings=self.results["settings"],
            measured=self.measured,
            evaluated=evaluated,
            has_base=self.base_results is not None,
            categories=self.results["summary"]["categories"].items(),
            checks=self.checks,
            first=self.first,
            search=self.search,
            user_prompt=qmd.user_prompt("<query>"),
            system=qmd.SYSTEM_PROMPT,
            uses=self._uses(),
            run=self.run,
            recipe_words=_recipe_words(self.run["recipe"]) if self.run else "",
            loss="loss.png" in self.files,
            commands=self._commands(),
        )

    def _base(self) -> str:
        """The base model as the Hub knows it."""
        return base.HUB_NAMES.get(self.base_model, self.base_model)

    def _asked_otherwise(self) -> str:
        """In which way the base was asked, where that is another than the model's."""
        ours, theirs = self.results["settings"], self.base_results["settings"]
        ways = []
        if ours["grammar"] != theirs["grammar"]:
            ways.append(f"{'under' if theirs['grammar'] else 'without'} the grammar")
        if ours["seeds"] != theirs["seeds"]:
            ways.append(f"seeds {', '.join(map(str, theirs['seeds']))}")
        return f" ({'; '.join(ways)})" if ways else ""

    def _repository(self, kind: hub.Kind) -> str:
        return hub.repository(kind, self.repository.split("/")[0])

    def _metadata(self) -> str:
        from huggingface_hub import EvalResult, ModelCardData

        summary, settings = self.results["summary"], self.results["settings"]
        values = {
            f"score (reward {settings['reward_version']})": summary["score"],
            "valid format": summary["valid_format"],
            "stopped by the token limit": summary["runaway"],
            "lines dropped by QMD": summary["dropped"],
            "duplicate lines": summary["duplicates"],
        }
        measured = [
            EvalResult("text-generation", "evals/queries.txt", "QMD evaluation queries", name, value, metric_name=name)
            for name, value in values.items()
        ]
        data = ModelCardData(
            language=list(LANGUAGES),
            license=LICENSE,
            base_model=self._base() if hub.is_name(self._base()) else None,  # a folder means nothing there
            datasets=hub.split_revision(self._data())[0] if self._data() else None,
            library_name={"merged": "transformers", "gguf": "gguf"}.get(self.kind, "peft"),
            pipeline_tag="text-generation",
            tags=list(TAGS),
            model_name=self.repository.split("/")[1],
            eval_results=measured,
        )
        return data.to_yaml()

    def _data(self) -> str | None:
        """The data that it was trained on, if that is on the Hub: `owner/name@commit`."""
        return self.run["data"].get("source") if self.run else None

    def _model(self) -> str:
        """The model as an argument of this project's commands."""
        return f"{self.repository}/{self.measured}" if self.measured else self.repository

    def _commands(self) -> list[str]:
        """What makes it again, from recipe.yaml in the repository, and measures it."""
        commands = []
        if self.run:
            data = f" --data {self._data()}" if self._data() else ""
            limit = self.run.get("identity", {}).get("limit")
            limited = f" --limit {limit}" if limit else ""
            commands.append(f"uv run train.py sft --config recipe.yaml{data}{limited}")
        if self.kind in ("merged", "gguf"):
            commands.append("uv run convert_gguf.py outputs/recipe")
        seeds = " ".join(map(str, self.results["settings"]["seeds"]))
        commands.append(f"uv run eval.py {self._model()} --seeds {seeds} -o {evaluation.RESULTS}")
        return commands

    def _uses(self) -> list[tuple[str, str, str]]:
        """How to use it: with what, the language of the code, and the code."""
        prompt = qmd.user_prompt("auth config")
        gguf = self._repository("gguf")
        file = self.measured or f"{hub.REPOSITORIES['merged']}-q8_0.gguf"
        download = f"hf download {gguf} {file} Modelfile --local-dir ."
        if self.kind in ("adapter", "grpo"):
            load = (
                "from peft import AutoPeftModelForCausalLM\n\n"
                f'model = AutoPeftModelForCausalLM.from_pretrained("{self.repository}")'
            )
        else:
            load = (
                "from transformers import pipeline\n\n"
                f'expand = pipeline("text-generation", "{self._repository("merged")}")\n'
                f'expand([{{"role": "user", "content": "{prompt}"}}], max_new_tokens={qmd.SAMPLING.max_tokens})'
            )
        return [
            ("QMD", "", f'{download}\nQMD_GENERATE_MODEL=$PWD/{file} qmd query "auth config"'),
            ("Ollama", "", f"{download}\nollama create qmd-query-expansion -f Modelfile"),
            ("llama.cpp", "", f'{download}\nllama-cli -m {file} -p "{prompt}"'),
            ("transformers", "python", load),
            ("The scripts that made it", "", f'uv run expand.py {self._model()} "auth config"'),
        ]


def dataset_card(repository: str, info: Mapping[str, Any], example: Mapping[str, str]) -> str:
    """README.md of the prepared data, from dataset_info.json and one row."""
    from huggingface_hub import DatasetCardData

    data = DatasetCardData(
        language=list(LANGUAGES),
        license=DATA_LICENSE,
        task_categories=["text-generation"],
        tags=list(TAGS),
        pretty_name="QMD query expansion",
        configs=[
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train", "path": "train.jsonl"},
                    {"split": "validation", "path": "val.jsonl"},
                ],
            }
        ],
    )
    title = repository.split("/")[1]
    return _render(
        "dataset_card.md.jinja",
        metadata=data.to_yaml(), title=title, info=info, example=example, repository=repository,
    )  # fmt: skip


def _render(template: str, **values: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(ROOT / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["percent"] = lambda share: f"{share:.1%}"
    return environment.get_template(template).render(values)


def _sample(results: Mapping[str, Any]) -> Mapping[str, Any]:
    """A real expansion that is neither among the best nor among the worst: of the median score."""
    rows = results["expansions"]
    middle = median(row["score"] for row in rows)
    return min(rows, key=lambda row: (abs(row["score"] - middle), len(row["text"]), row["query"]))


def as_yaml(recipe: Mapping[str, Any]) -> str:
    """A recipe as `configs/*.yaml` have it."""
    import yaml

    return yaml.safe_dump(json.loads(json.dumps(recipe)), sort_keys=False, allow_unicode=True)


def _recipe_words(recipe: Mapping[str, Any]) -> str:
    lora, training = recipe["lora"], recipe["training"]
    batch = training["batch_size"] * training["gradient_accumulation"]
    return (
        f"LoRA of rank {lora['r']} (alpha {lora['alpha']:g}) on {', '.join(lora['targets'])}; "
        f"{training['epochs']:g} epochs in batches of {batch}, learning rate {training['learning_rate']:g}, "
        "on the completions alone."
    )
