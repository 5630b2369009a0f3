"""What the Hub answers about jobs."""

import json
from collections.abc import Iterator

from starlette.responses import JSONResponse, Response, StreamingResponse

from .call import Call
from .jobs import Job
from .refusal import Refusal


def hardware(call: Call) -> Response:
    cost = {"unitCostMicroUSD": 167, "unitCostUSD": 0.000167, "unitLabel": "minute"}
    machine = {"name": "cpu-basic", "prettyName": "CPU Basic", "cpu": "2 vCPU", "ram": "16 GB", "accelerator": None}
    return JSONResponse([machine | cost])


def submit(call: Call) -> Response:
    owner = call["namespace"]
    call.writer_in(owner)
    for volume in call.json.get("volumes") or []:
        if volume["type"] == "bucket":
            call.bucket_of(volume["source"], write=not volume.get("readOnly"))
        else:
            call.repo_of(volume["type"], volume["source"]).at(volume.get("revision") or "main")
    return JSONResponse(call.hub.jobs.submit(owner, call.json, call.hub.endpoint).info())


def _owner(call: Call) -> str:
    if call.signed_in().user != call["namespace"]:
        raise Refusal(403, f"You may not see the jobs of {call['namespace']!r}")
    return call["namespace"]


def _job(call: Call) -> Job:
    job = call.hub.jobs.all.get(call["id"])
    if not job or job.owner != _owner(call):
        raise Refusal(404, "Job not found")
    return job


def list_jobs(call: Call) -> Response:
    """The jobs of a namespace, newest first, of any of the stages and with all of the labels that are asked for."""
    owner = _owner(call)
    stages = call.request.query_params.getlist("stage")
    labels = {tuple(label.split("=", 1)) for label in call.request.query_params.getlist("label")}
    return call.page(
        [
            job.info()
            for job in reversed(call.hub.jobs.all.values())
            if job.owner == owner
            and (not stages or job.stage in stages)
            and labels <= set((job.spec.get("labels") or {}).items())
        ]
    )


def inspect(call: Call) -> Response:
    return JSONResponse(_job(call).info())


def cancel(call: Call) -> Response:
    job = _job(call)
    call.writer_in(job.owner)
    call.hub.jobs.cancel(job)
    return JSONResponse(job.info())


def logs(call: Call) -> Response:
    """The log as server-sent events; the stream ends when the job has."""
    tail = call.request.query_params.get("tail")
    return StreamingResponse(_events(_job(call), int(tail) if tail else None), media_type="text/event-stream")


def _events(job: Job, tail: int | None) -> Iterator[str]:
    for line in job.follow(tail):
        yield f"data: {json.dumps(line)}\n\n" if line else ": keep-alive\n\n"


_API = "/api/jobs/{namespace}"

ROUTES = [
    ("GET", "/api/jobs/hardware", hardware),
    ("POST", _API, submit),
    ("GET", _API, list_jobs),
    ("GET", _API + "/{id}", inspect),
    ("GET", _API + "/{id}/logs", logs),
    ("POST", _API + "/{id}/cancel", cancel),
]
