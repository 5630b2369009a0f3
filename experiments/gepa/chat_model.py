"""A model behind an API that LiteLLM knows, asked once for the same answer: what it said is kept in a journal.

The journal (calls.jsonl) is all the state that a run has. An interrupted one asks the same questions again in the same
order, reads the answers that it has, and goes on where they end.
"""

import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import base
from dataset.files import end_last_line, rows_so_far
from expander import Generation

if TYPE_CHECKING:
    from litellm import ModelResponse

Messages = Sequence[Mapping[str, str]]
ATTEMPTS = 4
_SECRET = re.compile("KEY|TOKEN|SECRET|PASSWORD")


class ModelError(RuntimeError):
    """A model that does not answer; in one line, without anything secret."""


@dataclass(frozen=True)
class Answer(Generation):
    """What a model said, and what that cost: `dollars` is None where LiteLLM knows no price."""

    input_tokens: int
    dollars: float | None


@dataclass(frozen=True)
class Usage:
    """What a model was asked, all runs of the same folder together; `earlier` calls were made by a run before this."""

    calls: int
    earlier: int
    input_tokens: int
    output_tokens: int
    dollars: float | None

    def __str__(self) -> str:
        cost = "price unknown" if self.dollars is None else f"${self.dollars:.4f}"
        earlier = f" ({self.earlier} of them before)" if self.earlier else ""
        return f"{self.calls} calls{earlier}, {self.input_tokens:,} tokens in, {self.output_tokens:,} out, {cost}"


class Journal:
    """The answers of all models of a run, a line each, flushed as they come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self.answers = {row.pop("key"): Answer(**row) for row in rows_so_far(path)}
        self.earlier = frozenset(self.answers)
        path.parent.mkdir(parents=True, exist_ok=True)
        end_last_line(path)

    def keep(self, key: str, answer: Answer) -> None:
        """Note an answer."""
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            self.answers[key] = answer
            file.write(json.dumps({"key": key, **asdict(answer)}, ensure_ascii=False) + "\n")


class ChatModel:
    """One model with its sampling. After a failure (`failure`) it answers nothing more.

    `address` is where it is served, `weights` the hash of the file where that is this machine: then it costs nothing
    and wants no key. `extra` goes into each request as it is.
    """

    def __init__(
        self,
        name: str,
        journal: Journal,
        sampling: Mapping[str, float | int | None],
        *,
        address: str | None = None,
        weights: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.journal = journal
        self.local = weights is not None
        self.failure: ModelError | None = None
        self._used: dict[str, Answer] = {}
        self._sampling = {key: value for key, value in sampling.items() if value is not None}
        self._extra = dict(extra or {})
        # A local server has another port each time.
        model = {"weights": weights} if self.local else {"model": name, "address": address}
        self._identity = {**model, **self._sampling, **self._extra}
        self._way = _way_to(name, address, self.local)

    def ask(self, messages: Messages, seed: int) -> Answer:
        """The answer to a chat; the same one for the same chat and seed. Raises ModelError."""
        if self.failure:
            raise self.failure
        asked = json.dumps([self._identity, list(messages), seed], sort_keys=True)
        key = hashlib.sha256(asked.encode()).hexdigest()[:24]
        answer = self.journal.answers.get(key)
        if answer is None:
            answer = self._call(messages, seed)
            self.journal.keep(key, answer)
        self._used[key] = answer
        return answer

    def _call(self, messages: Messages, seed: int) -> Answer:
        litellm = _litellm()
        begun = time.monotonic()
        try:
            response = _patiently(
                messages=list(messages),
                seed=seed,
                drop_params=True,  # of what a provider does not know, such as the seed
                **self._way,
                **self._sampling,
                **({"extra_body": self._extra} if self._extra else {}),
            )
        except litellm.ContextWindowExceededError as error:
            raise ModelError(_explained(self.name, error)) from None  # another chat may be shorter
        except Exception as error:  # whatever it is: DSPy would swallow it
            self.failure = ModelError(_explained(self.name, error))
            raise self.failure from None
        choice, usage = response.choices[0], response.usage
        return Answer(
            text=choice.message.content or "",
            tokens=usage.completion_tokens,
            seconds=time.monotonic() - begun,
            finished=choice.finish_reason == "stop",
            input_tokens=usage.prompt_tokens,
            dollars=0.0 if self.local else response._hidden_params.get("response_cost"),
        )

    @property
    def usage(self) -> Usage:
        """What has been asked so far."""
        used = dict(self._used)
        prices = [answer.dollars for answer in used.values()]
        return Usage(
            calls=len(used),
            earlier=len(used.keys() & self.journal.earlier),
            input_tokens=sum(answer.input_tokens for answer in used.values()),
            output_tokens=sum(answer.tokens for answer in used.values()),
            dollars=None if None in prices else sum(prices),
        )


def _litellm() -> ModuleType:
    """LiteLLM, which asks nobody for its table of prices and prints no advertisement beside its errors."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.suppress_debug_info = True
    return litellm


def _patiently(**request: Any) -> "ModelResponse":
    """LiteLLM's answer to a request, which is sent again where that may help: not for a wrong key or a bad request."""
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

    litellm = _litellm()
    passing = (
        litellm.APIConnectionError,
        litellm.InternalServerError,
        litellm.RateLimitError,
        litellm.ServiceUnavailableError,
        litellm.Timeout,
    )
    retrying = Retrying(
        retry=retry_if_exception_type(passing), stop=stop_after_attempt(ATTEMPTS), wait=wait_exponential(), reraise=True
    )
    return retrying(litellm.completion, max_retries=0, **request)


def _way_to(name: str, address: str | None, local: bool) -> dict[str, str]:
    """LiteLLM's arguments that say where a model is. Raises LoadError for one without provider or key."""
    if local:
        return {"model": "openai/local", "api_base": address, "api_key": "none"}
    litellm = _litellm()
    try:
        _, provider, *_ = litellm.get_llm_provider(name, api_base=address)
    except litellm.BadRequestError:
        raise base.LoadError(
            f"{name}: LiteLLM knows no such provider; write provider/model, such as openai/gpt-4.1-mini"
        ) from None
    missing = litellm.validate_environment(name)["missing_keys"]
    if not address:
        # Where there are several, one may do, or none: some providers log in otherwise.
        if len(missing) == 1 and missing[0].endswith("_API_KEY"):
            raise base.LoadError(f"{name}: needs {missing[0]} in the environment")
        return {"model": name}
    way = {"model": name, "api_base": address}
    if provider == "openai" and missing:
        way["api_key"] = "none"  # a server of one's own may want no key, but the client wants something to send
    return way


def _explained(name: str, error: Exception) -> str:
    """An API's error in one line, without the keys of the environment, should it repeat one."""
    said = " ".join(str(error).split())
    for variable, value in os.environ.items():
        if _SECRET.search(variable) and len(value) > 5:
            said = said.replace(value, f"${variable}")
    return f"{name}: {said[:300]}"
