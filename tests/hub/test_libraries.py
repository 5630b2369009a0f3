"""transformers, PEFT and datasets push to the stand-in Hub and read back what they pushed."""

import subprocess
import sys
from pathlib import Path

from .conftest import HubForTests


def test_what_the_libraries_push_they_read_back(hub: HubForTests):
    # In a process of its own, since huggingface_hub reads HF_ENDPOINT when it is imported.
    script = Path(__file__).with_name("roundtrip.py")
    done = subprocess.run([sys.executable, script], env=hub.environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    api = hub.api()
    assert "adapter_model.safetensors" in api.list_repo_files("tester/tiny-adapter")
    assert "data/train-00000-of-00001.parquet" in api.list_repo_files("tester/tiny-data", repo_type="dataset")
