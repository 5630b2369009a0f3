"""The expander as a DSPy program, and its optimisation by GEPA. The one module that imports DSPy.

DSPy and GEPA keep no state of their own here: their caches and GEPA's `log_dir`, which is pickled, stay off, and the
journal of chat_model.py does what they are for.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
from dspy import lm15
from dspy.teleprompt.gepa.instruction_proposal import InstructionProposer

import qmd
import reward
from chat_model import ChatModel, Messages
from expander import seed_of
from gepa_recipe import Budget

SEED = 0  # of the expander's sampling while it is optimised; the comparison has others


@dataclass(frozen=True)
class Progress:
    """Where an optimisation stands; scores are means over the validation queries, 0 to 100."""

    iteration: int
    metric_calls: int
    budget: int
    scores: list[float]
    """Of all instructions so far, the seed's first."""


@dataclass(frozen=True)
class Optimised:
    """What came out: all instructions with their scores on the validation queries, the seed first, and the best one."""

    instructions: list[str]
    scores: list[float]
    best: str
    metric_calls: int


def messages_of(instruction: str, query: str) -> Messages:
    """The chat that asks for an expansion: the instruction as system turn, and QMD's user turn."""
    return [{"role": "system", "content": instruction}, *qmd.messages(query, system=False)]


def feedback(detail: Mapping[str, Any]) -> str:
    """What reflection reads about an expansion: its score, the points of each section, and the rubric's deductions."""
    sections = ", ".join(
        f"{section} {detail[section]:g} of {points:g}" for section, points in detail["max_by_section"].items() if points
    )
    return "\n".join([f"{detail['percentage']:.0f} of 100 points: {sections}", *detail["deductions"]])


def metric(
    example: dspy.Example,
    prediction: dspy.Prediction,
    trace: object = None,
    name: str | None = None,
    name_trace: object = None,
) -> dspy.Prediction:
    """GEPA's metric: the score, 0 to 1, and the feedback."""
    detail = reward.score_expansion_detailed(example.query, prediction.expansion)
    return dspy.Prediction(score=detail["percentage"] / 100, feedback=feedback(detail))


class WholeAnswer(dspy.Adapter):
    """An adapter without a form to fill in: the answer as it is, read by `read`, is the one output.

    DSPy's own adapters ask for field markers or JSON around it, which is not what the model is to say when it is used.
    """

    def __init__(
        self,
        render: Callable[[str, dict[str, Any]], Messages],
        read: Callable[[str], str] = str,
    ) -> None:
        super().__init__()
        self._render = render
        self._read = read

    def format(
        self, signature: type[dspy.Signature], demos: list[dict[str, Any]], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """The chat for a signature's instruction and its inputs."""
        return list(self._render(signature.instructions, inputs))

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, str]:
        """The one output."""
        (field,) = signature.output_fields
        return {field: self._read(completion)}


def _reflection_messages(instruction: str, inputs: dict[str, Any]) -> Messages:
    parts = [instruction, "Answer with the new instruction alone.", "The instruction:", inputs["current_instruction"]]
    for example in inputs["examples_with_feedback"]:
        query, said = example["Inputs"]["query"], example["Generated Outputs"]
        said = said if isinstance(said, str) else said["expansion"]
        parts += [f"Input: {qmd.user_prompt(query)}", f"The assistant's response:\n{said}"]
        parts.append(f"Feedback:\n{example['Feedback']}")
    return [{"role": "user", "content": "\n\n".join(part.strip() for part in parts)}]


_FENCED = re.compile(r"```\w*\n(.*)```", re.DOTALL)


def _unfenced(text: str) -> str:
    """What stands between the code fences of a text, if there are any."""
    found = _FENCED.search(text)
    return found.group(1) if found else text


class _Engine:
    """How DSPy asks a ChatModel. Reflection asks the same again for another answer: each time has a seed of its own."""

    def __init__(self, model: ChatModel) -> None:
        self.model = model
        self._asked: Counter[str] = Counter()

    def complete(self, request: lm15.Request) -> lm15.Response:
        """See dspy.clients.engines.base."""
        turns = [{"role": turn.role, "content": turn.text} for turn in request.messages]
        if request.system:
            turns.insert(0, {"role": "system", "content": request.system})
        seed = request.config.seed
        if seed is None:
            asked = str(turns)
            seed = self._asked[asked]
            self._asked[asked] += 1
        answer = self.model.ask(turns, seed)
        return lm15.Response(
            id=None,
            model=request.model,
            message=lm15.Message.assistant(answer.text),
            finish_reason="stop" if answer.finished else "length",
            usage=lm15.Usage(input_tokens=answer.input_tokens, output_tokens=answer.tokens),
        )


def _lm(model: ChatModel) -> dspy.LM:
    return dspy.LM(model.name, engine=_Engine(model), cache=False, num_retries=0)


class Expand(dspy.Module):
    """One step: a query, its expansion."""

    def __init__(self, instruction: str) -> None:
        super().__init__()
        self.predict = dspy.Predict(dspy.Signature("query -> expansion", instruction))

    def forward(self, query: str) -> dspy.Prediction:
        """Expand, with a seed that hangs on the query alone."""
        return self.predict(query=query, config={"seed": seed_of(query, SEED)})


def optimise(
    instruction: str,
    expander: ChatModel,
    reflection: ChatModel,
    train: Sequence[str],
    val: Sequence[str],
    budget: Budget,
    log: Path,
    report: Callable[[Progress], None],
) -> Optimised:
    """Let GEPA write better instructions: reflect on training queries, choose by the validation queries.

    What DSPy has to say goes to `log`. Raises ModelError where a model fails.
    """
    metric_calls = budget.metric_calls or budget.full_evals * (len(train) + len(val))
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    models = (expander, reflection)

    class Reporter:
        """GEPA's callback after each iteration."""

        def on_iteration_end(self, event: Mapping[str, Any]) -> None:
            state = event["state"]
            scores = [100 * score for score in state.program_full_scores_val_set]
            report(Progress(event["iteration"], state.total_num_evals, metric_calls, scores))

    gepa = dspy.GEPA(
        metric=metric,
        max_metric_calls=metric_calls,
        reflection_minibatch_size=budget.minibatch,
        reflection_lm=_lm(reflection),
        instruction_proposer=InstructionProposer(adapter=WholeAnswer(_reflection_messages, _unfenced)),
        use_merge=False,  # joins the parts of programs that have several
        num_threads=budget.threads,
        track_stats=True,
        seed=budget.seed,
        gepa_kwargs={
            "callbacks": [Reporter()],
            # DSPy takes a failed request for an answer worth nothing; an optimisation by those is none.
            "stop_callbacks": lambda state: any(model.failure for model in models),
        },
    )
    adapter = WholeAnswer(lambda system, inputs: messages_of(system, inputs["query"]))
    with (
        log.open("w", encoding="utf-8") as file,
        redirect_stdout(file),
        redirect_stderr(file),
        dspy.context(lm=_lm(expander), adapter=adapter),
    ):
        try:
            found = gepa.compile(Expand(instruction), trainset=_examples(train), valset=_examples(val)).detailed_results
        finally:
            for model in models:
                if model.failure:
                    raise model.failure
    return Optimised(
        instructions=[candidate.predict.signature.instructions for candidate in found.candidates],
        scores=[100 * score for score in found.val_aggregate_scores],
        best=found.best_candidate.predict.signature.instructions,
        metric_calls=found.total_metric_calls,
    )


def _examples(queries: Sequence[str]) -> list[dspy.Example]:
    return [dspy.Example(query=query).with_inputs("query") for query in queries]
