"""experiments/gepa, end to end: against a stand-in for a model's API, and on the real small model under llama.cpp."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import requires
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

import evaluation
import qmd
import reward
from dataset.prepare_data import VAL_SHARE, split_of
from dataset.schema import load_examples, load_queries
from tests.conftest import run_plain_uv

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "experiments" / "gepa" / "dspy_gepa.py"
KEY = "sk-of-nobody-0123456789"
BETTER = "Pair the rarest words of the query, and say what it asks for."
SMALL = [
    "--train", "4", "--val", "3", "--set", "budget.metric_calls=22",
    "--set", "comparison.queries=4", "--set", "comparison.seeds=[1, 2]",
]  # fmt: skip
FILES = {"calls.jsonl", "gepa.log", "instruction.txt", "optimised_results.json", "report.json", "seed_results.json"}


class Ask(NamedTuple):
    """One request to the stand-in."""

    system: str | None
    user: str
    seed: int
    key: str

    @property
    def query(self) -> str | None:
        """What an expansion is asked for; None for a request to write an instruction."""
        return qmd.query_of(self.user) if self.system else None


def answer(ask: Ask) -> str:
    """What the stand-in says: the same to the same request."""
    if ask.query is None:
        return f"Here it is:\n```\n{BETTER}\n```\n"
    query, _ = qmd.split_mode(ask.query)
    words = query.split()
    if ask.system == BETTER:
        return f"lex: {' '.join(words[:2])}\nlex: {' '.join(words[-2:])}\nvec: what is known about {query}\n"
    return f"lex: {query} tutorial guide\nvec: {words[0]} best practices\n"


class StandIn(ThreadingHTTPServer):
    """A model's API in OpenAI's protocol."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asks: list[Ask] = []
        self.before: Callable[[Ask], int | None] = lambda ask: None  # may name another status than 200
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = {turn["role"]: turn["content"] for turn in body["messages"]}
        ask = Ask(said.get("system"), said["user"], body["seed"], self.headers["Authorization"])
        with self.server.lock:
            status = self.server.before(ask)
            if not status:
                self.server.asks.append(ask)
        choice = {"index": 0, "message": {"role": "assistant", "content": answer(ask)}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
        found = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice]}
        # A careless server that shows the key it was given.
        error = {"error": {"message": f"refused: {ask.key}", "type": "refused", "code": "refused"}}
        payload = json.dumps(error if status else {**found, "usage": usage}).encode()
        try:
            self.send_response(status or 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)
        except OSError:  # whoever asked was killed
            pass

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def standing_in() -> Iterator[StandIn]:
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with standing_in() as server:
        yield server


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of the script's own environment."""
    # All but llama-cpp-python first: with that one to ask an index for, uv may compile it anew (see run_plain_uv).
    needs = [need.partition(";") for need in requires("llama-cpp-python")]
    served = [name.strip() for name, _, extra in needs if not extra or 'extra == "server"' in extra]
    header = SCRIPT.read_text("utf-8").partition("# ///\n")[0] + "# ///\n"
    assert '"llama-cpp-python[server]==0.3.36"' in header
    header = header.replace('"llama-cpp-python[server]==0.3.36"', ", ".join(f'"{name}"' for name in served))
    without = tmp_path_factory.mktemp("gepa") / "without_llama.py"
    without.write_text(header.replace('path = "../.."', f'path = "{ROOT}"'), "utf-8")
    done = run_plain_uv("--quiet", without)
    assert done.returncode == 0, done.stderr
    done = run_plain_uv("--quiet", SCRIPT, "--help")
    assert done.returncode == 0, done.stderr
    uv = shutil.which("uv") or "uv"
    env = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"} | {"UV_OFFLINE": "1"}
    found = subprocess.run([uv, "python", "find", "--script", SCRIPT], env=env, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


class Run(NamedTuple):
    """A finished run."""

    code: int
    stdout: str
    stderr: str


def started(python: str, arguments: list[str], home: Path, **environment: str) -> subprocess.Popen:
    home.mkdir(exist_ok=True)
    clean = {"PATH": os.environ["PATH"], "HOME": str(home), **environment}
    return subprocess.Popen(
        [python, SCRIPT, *arguments], env=clean, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(python: str, arguments: list[str], home: Path, **environment: str) -> Run:
    process = started(python, arguments, home, **environment)
    stdout, stderr = process.communicate()
    return Run(process.returncode, stdout, stderr)


def against(server: StandIn, output: Path) -> list[str]:
    return ["--model", "openai/gpt-4.1-mini", "--api-base", server.url, "--output", str(output), *SMALL]


# --- A whole run ---------------------------------------------------------------------------------------


class Whole(NamedTuple):
    """An uninterrupted run, what it asked and what it wrote."""

    run: Run
    server: StandIn
    asks: list[Ask]
    output: Path
    report: dict
    home: Path


@pytest.fixture(scope="module")
def whole(python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    folder = tmp_path_factory.mktemp("gepa")
    refused = []

    def once_busy(ask: Ask) -> int | None:
        refused.append(ask)
        return 503 if len(refused) == 1 else None

    with standing_in() as server:
        server.before = once_busy
        done = run(python, against(server, folder / "run"), folder / "home", OPENAI_API_KEY=KEY)
        assert done.code == 0, done.stderr
        report = json.loads((folder / "run" / "report.json").read_text("utf-8"))
        yield Whole(done, server, server.asks, folder / "run", report, folder / "home")


def test_the_better_instruction_is_found_and_compared(whole: Whole) -> None:
    assert (whole.output / "instruction.txt").read_text("utf-8") == f"{BETTER}\n"
    report = whole.report
    assert report["changed"]
    assert report["instruction"] == BETTER
    assert report["validation"]["instructions"][:2] == [report["recipe"]["instruction"], BETTER]
    assert report["validation"]["scores"][1] > report["validation"]["scores"][0]
    seed, best = (
        evaluation.read_results(whole.output / name) for name in ("seed_results.json", "optimised_results.json")
    )
    difference, low, high = evaluation.paired_difference(best, seed)
    stated = report["comparison"]
    assert [difference, low, high] == pytest.approx([stated["difference"], *stated["interval"]], abs=0.01)
    assert low > 0
    assert [stated["seed"], stated["optimised"]] == [results["summary"]["score"] for results in (seed, best)]
    assert "better, 0 the same, 0 worse" in whole.run.stdout


def test_the_scores_are_the_rubrics(whole: Whole) -> None:
    results = evaluation.read_results(whole.output / "optimised_results.json")
    assert len(results["expansions"]) == 8
    for row in results["expansions"]:
        assert row["text"] == answer(Ask(BETTER, qmd.user_prompt(row["query"]), 0, ""))
        assert row["score"] == reward.score(row["query"], row["text"]).percentage


def test_evaluation_queries_are_not_optimised_on(whole: Whole) -> None:
    evaluated = {query.text for query in load_queries(ROOT / "evals" / "queries.txt")}
    first = next(number for number, ask in enumerate(whole.asks) if ask.query not in evaluated)
    last = max(number for number, ask in enumerate(whole.asks) if ask.query not in evaluated)
    assert first == 8
    assert len(whole.asks) - last - 1 == 8
    optimised = [ask for ask in whole.asks[first : last + 1] if ask.query]
    used = {ask.query for ask in optimised}
    assert not used & evaluated
    assert used <= {example.query for example in load_examples(ROOT / "data")}
    assert Counter(split_of(query, VAL_SHARE) for query in used) == {"train": 4, "val": 3}


def test_reflection_reads_the_deductions_as_they_are(whole: Whole) -> None:
    reflections = [ask.user for ask in whole.asks if ask.query is None]
    seed = whole.report["recipe"]["instruction"]
    assert seed in reflections[0]
    shown = 0
    for query in {ask.query for ask in whole.asks if ask.query}:
        text = answer(Ask(seed, qmd.user_prompt(query), 0, ""))
        if f"Input: {qmd.user_prompt(query)}\n" in reflections[0]:
            deductions = reward.score_expansion_detailed(query, text)["deductions"]
            assert text.strip() in reflections[0]
            assert "\n".join(deductions) in reflections[0]
            shown += len(deductions)
    assert shown >= 3


def test_calls_and_cost_are_counted(whole: Whole) -> None:
    asked = Counter("expander" if ask.query else "reflection" for ask in whole.asks)
    for role, usage in whole.report["calls"].items():
        assert usage["calls"] == asked[role]
        assert usage["earlier"] == 0
        assert (usage["input_tokens"], usage["output_tokens"]) == (1000 * asked[role], 100 * asked[role])
        # 0.40 and 1.60 dollars a million tokens, in LiteLLM's table of the day that the script is pinned to
        assert usage["dollars"] == pytest.approx(asked[role] * 0.00056)
    assert 0 < whole.report["metric_calls"] <= 22 + 3 + 3
    progress = [line for line in whole.run.stdout.splitlines() if line.startswith("iteration ")]
    assert all("of 22 metric calls" in line and "$0.0" in line for line in progress)
    assert len(progress) == asked["reflection"]


def test_the_key_goes_to_the_server_and_nowhere_else(whole: Whole) -> None:
    assert {ask.key for ask in whole.asks} == {f"Bearer {KEY}"}
    assert KEY not in whole.run.stdout + whole.run.stderr
    assert {path.name for path in whole.output.iterdir()} == FILES
    assert all(KEY.encode() not in path.read_bytes() for path in whole.output.iterdir())


def test_dspy_keeps_nothing_elsewhere(whole: Whole) -> None:
    assert list(whole.home.iterdir()) == []
    assert whole.run.stderr == ""


# --- Interruptions -------------------------------------------------------------------------------------


def test_a_killed_run_goes_on_where_it_was(whole: Whole, python: str, stand_in: StandIn, tmp_path: Path) -> None:
    running = threading.Event()
    processes: list[subprocess.Popen] = []

    def kill_at_the_first_reflection(ask: Ask) -> int | None:
        if ask.query is None and running.wait() and processes[-1].poll() is None and len(processes) == 1:
            processes[0].kill()
            return 500  # which nobody reads
        return None

    stand_in.before = kill_at_the_first_reflection
    for code in (-signal.SIGKILL, 0):
        running.clear()
        processes.append(started(python, against(stand_in, tmp_path / "run"), tmp_path / "home", OPENAI_API_KEY=KEY))
        running.set()
        _, stderr = processes[-1].communicate()
        assert processes[-1].returncode == code, stderr
        assert (tmp_path / "run" / "report.json").exists() == (code == 0)
    assert [ask[:3] for ask in stand_in.asks] == [ask[:3] for ask in whole.asks]
    report = json.loads((tmp_path / "run" / "report.json").read_text("utf-8"))
    assert report["calls"]["expander"]["earlier"] > 8
    for usage in (*report["calls"].values(), *whole.report["calls"].values()):
        usage["earlier"] = 0
    report["recipe"]["expander"]["api_base"] = whole.report["recipe"]["expander"]["api_base"]
    assert report == whole.report


def test_a_model_that_fails_ends_the_run_in_one_line(python: str, stand_in: StandIn, tmp_path: Path) -> None:
    # Not at once: DSPy would take these failures for expansions worth nothing.
    stand_in.before = lambda ask: 401 if len(stand_in.asks) >= 10 else None
    output = tmp_path / "run"
    done = run(python, [*against(stand_in, output), "--set", "budget.threads=2"], tmp_path / "home", OPENAI_API_KEY=KEY)
    assert done.code == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("dspy_gepa.py: openai/gpt-4.1-mini: ")
    assert "refused: Bearer $OPENAI_API_KEY" in done.stderr
    assert not FILES & {"instruction.txt", "report.json"} & {path.name for path in output.iterdir()}
    assert all(KEY.encode() not in path.read_bytes() for path in output.iterdir())


def test_on_the_small_model_and_its_server_ends_with_the_script(python: str, stand_in: StandIn, tmp_path: Path) -> None:
    """SmolLM2 expands under llama.cpp, the stand-in reflects; stopped twice on the way."""
    arguments = [
        "--reflection-model", "openai/gpt-4.1-mini", "--reflection-api-base", stand_in.url,
        "--output", str(tmp_path / "run"), "--train", "2", "--val", "1",
        "--set", "budget.metric_calls=8", "--set", "budget.minibatch=2", "--set", "expander.max_tokens=8",
        "--set", "comparison.queries=2",
    ]  # fmt: skip
    running = threading.Event()
    processes: list[subprocess.Popen] = []
    servers: list[psutil.Process] = []
    signals = [signal.SIGTERM, signal.SIGINT]

    def stop(ask: Ask) -> int | None:
        running.wait()
        if len(processes) > len(signals) or processes[-1].poll() is not None:
            return None
        servers.extend(psutil.Process(processes[-1].pid).children(recursive=True))
        processes[-1].send_signal(signals[len(processes) - 1])
        processes[-1].wait()
        return 500

    stand_in.before = stop
    for code in (*(128 + number for number in signals), 0):
        running.clear()
        processes.append(started(python, arguments, tmp_path / "home"))
        running.set()
        stdout, stderr = processes[-1].communicate()
        assert processes[-1].returncode == code, stderr
        said = "" if code == 0 else "\ndspy_gepa.py: stopped; the same command goes on from here\n"
        assert stderr == said
    assert len(servers) == len(signals)
    assert psutil.wait_procs(servers, timeout=60)[1] == []
    results = evaluation.read_results(tmp_path / "run" / "seed_results.json")
    assert results["settings"]["grammar"]
    assert all(row["text"].startswith(("lex: ", "vec: ", "hyde: ")) for row in results["expansions"])
    assert not any(row["finished"] for row in results["expansions"])  # eight tokens are no expansion
    report = json.loads((tmp_path / "run" / "report.json").read_text("utf-8"))
    assert report["calls"]["expander"]["dollars"] == 0
    assert report["calls"]["expander"]["earlier"] >= 4
    assert "optimised instruction" in stdout


# --- Bad input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "expander.nam=x"], "unknown key expander.nam; allowed are name, api_base, temperature"),
        (["--set", "budget.full_evals=2"], "budget: value error, wants metric_calls or full_evals, one of both"),
        (["--model", "gone.gguf"], "gone.gguf: no such file"),
        (["--model", "nobody/model"], "nobody/model: LiteLLM knows no such provider"),
        (["--model", "openai/gpt-4.1-mini"], "openai/gpt-4.1-mini: needs OPENAI_API_KEY in the environment"),
        (["--val", "1000"], "queries for data.val; 1000 are wanted"),
    ],
)
def test_bad_input_is_one_line(python: str, arguments: list[str], said: str, tmp_path: Path) -> None:
    done = run(python, [*arguments, "--output", str(tmp_path / "run")], tmp_path / "home")
    assert (done.code, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_where_dspy_is_missing_the_command_is_named(tmp_path: Path) -> None:
    done = run(sys.executable, [], tmp_path / "home")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == f"dspy_gepa.py: dspy is not installed here: uv run {SCRIPT}\n"
