"""The fixture `hub`: a stand-in Hub of one test's own, which ends with the test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from . import StandInHub

# Beside these a client's process gets nothing of this one's: no token, no cache, no endpoint of whoever runs the tests.
KEPT = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR")


class HubForTests(StandInHub):
    """A stand-in Hub that knows how clients reach it."""

    def __init__(self, root: Path, **options: int | float):
        super().__init__(root, **options)
        self.root = root

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a client's process."""
        return {
            **{name: os.environ[name] for name in KEPT if name in os.environ},
            "HF_ENDPOINT": self.endpoint,
            "HF_TOKEN": self.token,
            "HF_HOME": str(self.root / "client"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "OMP_NUM_THREADS": "1",
            **more,
        }

    def api(self, token: str | bool | None = None) -> HfApi:
        """The client of huggingface_hub, in this process; with the hub's own token unless another is given."""
        return HfApi(endpoint=self.endpoint, token=self.token if token is None else token)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubForTests]:
    """A Hub without any repositories. Fails a test that asked for something that is not written for it."""
    # Settings that huggingface_hub has read from the environment by now: the other tests run offline; and it would ask
    # the real Hub for a list of coding agents, unless it finds one that was fetched today.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    agents = tmp_path / "agents.json"
    agents.write_text('{"standardEnvVars": [], "harnesses": {}}')
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(agents))
    with HubForTests(tmp_path / "hub") as running:
        yield running
    assert not running.problems
