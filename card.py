"""The cards of the repositories on the Hub: what stands in README.md there, from results, run and templates.

A card is made anew at each push, from what was measured; nothing in it is written by hand but the templates.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

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
    checks: Sequence[Check] = field(default_factory=tuple)
    run: Mapping[str, Any] | None = None  # run.json
    files: Sequence[str] = ()
    reason: str | None = None  # for pushing against the gate

    def render(self) -> str:
        """The text of README.md."""
        settings = self.results["settings"]
        evaluated = [("this model", self.results["summary"])]
        if self.deployed:
            evaluated.append(("deployed before", self.deployed["summary"]))
        if self.base_results:
            evaluated.append((f"{self.base_model}, untuned", self.base_results["summary"]))
        return _render(
            "model_card.md.jinja",
            metadata=self._metadata(),
            title=self.repository.split("/")[1],
            what=WHAT[self.kind].format(base=self.base_model),
            sample=_sample(self.results),
            reason=self.reason,
            settings=settings,
            evaluated=evaluated,
            has_base=self.base_results is not None,
            categories=self.results["summary"]["categories"].items(),
            checks=self.checks,
            search=self.search,
            system=qmd.SYSTEM_PROMPT,
            uses=self._uses(),
            run=self.run,
            recipe=_yaml(self.run["recipe"]) if self.run else "",
            recipe_words=_recipe_words(self.run["recipe"]) if self.run else "",
            loss="loss.png" in self.files,
            command=self._command(),
            evaluation_command=f"uv run eval.py {self._as_argument()} -o eval_results.json",
        )

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
        name = self.repository.split("/")[1]
        data = ModelCardData(
            language=list(LANGUAGES),
            license=LICENSE,
            base_model=self.base_model,
            datasets=hub.repository("dataset", self.repository.split("/")[0]),
            library_name={"merged": "transformers", "gguf": "gguf"}.get(self.kind, "peft"),
            pipeline_tag="text-generation",
            tags=list(TAGS),
            model_name=name,
            eval_results=measured,
        )
        return data.to_yaml()

    def _gguf(self) -> str | None:
        files = [name for name in self.files if name.endswith(".gguf")]
        return next((name for name in files if "q8_0" in name), files[0] if files else None)

    def _as_argument(self) -> str:
        return f"{self.repository}/{self._gguf()}" if self._gguf() else self.repository

    def _command(self) -> str:
        data = f" --data {self._dataset()}" if self.run else ""
        trained = f"uv run train.py sft{data}"
        return trained if self.kind in ("adapter", "grpo") else f"{trained}`, then `uv run convert_gguf.py outputs/sft"

    def _dataset(self) -> str:
        commit = self.run["data"].get("commit") if self.run else None
        name = hub.repository("dataset", self.repository.split("/")[0])
        return f"{name}@{commit}" if commit else name

    def _uses(self) -> list[tuple[str, str]]:
        prompt = "/no_think Expand this search query: auth config"
        here = ("With the scripts of this model's project:", f'uv run expand.py {self._as_argument()} "auth config"')
        if self.kind == "gguf":
            file = self._gguf()
            download = f"hf download {self.repository} {file} Modelfile --local-dir ."
            return [
                ("QMD:", f'{download}\nQMD_GENERATE_MODEL=$PWD/{file} qmd query "auth config"'),
                ("Ollama:", f"{download}\nollama create qmd-query-expansion -f Modelfile"),
                ("llama.cpp:", f'llama-cli -hf {self.repository} -p "{prompt}"'),
                here,
            ]
        if self.kind == "merged":
            code = (
                "from transformers import pipeline\n\n"
                f'expand = pipeline("text-generation", "{self.repository}")\n'
                f'expand([{{"role": "user", "content": "{prompt}"}}], max_new_tokens={qmd.SAMPLING.max_tokens})'
            )
        else:
            code = (
                "from peft import AutoPeftModelForCausalLM\n\n"
                f'model = AutoPeftModelForCausalLM.from_pretrained("{self.repository}")'
            )
        others = hub.repository("gguf", self.repository.split("/")[0])
        return [("transformers", code), (f"QMD, Ollama and llama.cpp run the GGUF files of `{others}`.", ""), here]


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


def _yaml(recipe: Mapping[str, Any]) -> str:
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
