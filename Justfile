set positional-arguments

# Lint and test: what a change has to pass.
default: lint test

lint:
    uv run ruff check .
    uv run ruff format --check .

test *ARGS:
    uv run pytest "$@"

# The rubric on its own cases.
reward:
    uv run reward.py

# Schema, data rules and score of every example; without arguments the limits of data/ itself, too.
validate *ARGS:
    uv run dataset/validate_schema.py "$@"
    uv run dataset/score_data.py "$@" --min-score 70 --worst 0
    {{ if ARGS == "" { "uv run pytest -q tests/test_data_tools.py -k 'keeps_the_rules or worth_training_on'" } else { "" } }}

score *ARGS:
    uv run dataset/score_data.py "$@"

analyze *ARGS:
    uv run dataset/analyze_data.py "$@"

prepare *ARGS:
    uv run dataset/prepare_data.py "$@"

train *ARGS:
    uv run train.py sft "$@"

eval *ARGS:
    uv run eval.py "$@"

# The model of this repository in the real QMD; `just e2e qmd=latest` takes another version and names the facts that changed.
e2e qmd="qmd=":
    QMD_VERSION_UNDER_TEST="{{ trim_start_match(qmd, "qmd=") }}" uv run pytest tests/e2e tests/test_qmd.py

# Put the one-file jobs of jobs/ together; with --check, say whether they are up to date.
jobs *ARGS:
    uv run jobs/build.py "$@"

# In the cloud: submit a job, and look after it (hf auth login first).
jobs-sft *ARGS:
    uvx hf jobs uv run jobs/sft.py "$@"

jobs-eval *ARGS:
    uvx hf jobs uv run jobs/eval.py "$@"

jobs-gguf *ARGS:
    uvx hf jobs uv run jobs/gguf.py "$@"

jobs-ps:
    uvx hf jobs ps

jobs-logs JOB:
    uvx hf jobs logs "{{ JOB }}"

jobs-inspect JOB:
    uvx hf jobs inspect "{{ JOB }}"

jobs-cancel JOB:
    uvx hf jobs cancel "{{ JOB }}"

# Trained tokens a second of this trainer, a plain SFTTrainer and a bare loop.
bench-train *ARGS:
    uv run python tests/bench_train.py "$@"

# How fast the rubric scores and the data is prepared.
bench:
    uv run python tests/bench.py

# Bring the scores in SCORING.md and the picture in README.md up to date.
docs:
    uv run python tests/scoring_examples.py
    uv run dataset/analyze_data.py --png docs/data_analysis.png
