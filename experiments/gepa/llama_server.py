"""llama.cpp's OpenAI-protocol server (`llama_cpp.server`), for as long as somebody needs it.

`python llama_server.py FILE.gguf` is the server: it chooses a free port, prints it, and ends when its standard input
does. So it ends with the process that started it, however that one ends.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

import base
import llama

CONTEXT_SIZE = 8192  # tokens: an instruction with three expansions and all that is wrong with them


@contextmanager
def serving(gguf: Path) -> Iterator[str]:
    """Serve a .gguf file on this machine; yields the address to send requests to. Raises LoadError."""
    with TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        server = subprocess.Popen(
            [sys.executable, __file__, str(gguf)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl-C is for the script, which has requests to finish or to drop first
        )
        try:
            port = server.stdout.readline().strip()
            if not port:
                errors.seek(0)
                said = errors.read().strip().splitlines() or ["no message"]
                raise base.LoadError(f"{gguf}: llama.cpp's server did not start: {said[-1][:200]}")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.kill()  # it keeps nothing
            server.communicate()


def _end_with_standard_input() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Serve until standard input ends."""
    import uvicorn
    from llama_cpp.server.app import create_app
    from llama_cpp.server.settings import ModelSettings, ServerSettings

    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    os.environ.pop("CONFIG_FILE", None)
    # Constructed without validation, which would take values from environment variables such as SEED and API_KEY.
    model = ModelSettings.model_construct(
        model=sys.argv[1], n_ctx=CONTEXT_SIZE, n_gpu_layers=-1, logits_all=False, verbose=False
    )
    with llama.without_amx():
        app = create_app(server_settings=ServerSettings.model_construct(), model_settings=[model])
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])


if __name__ == "__main__":
    main()
