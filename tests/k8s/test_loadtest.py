"""Tests the Jobs of the load test with the manifests' arguments and variables: one master, two workers."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from tests.k8s.kustomize import Object
from tests.k8s.objects import named
from tests.ports import Reserved
from tests.running import ACCESS, ROOT, Running

WORKERS = 2
# What the image says before a container's arguments.
ENTRYPOINT = ("-f", "bench/locustfile.py", "--headless")


async def test_the_exit_status_of_the_master_is_that_of_the_load_test(
    built: dict[str, dict[str, list[Object]]], service: Running
) -> None:
    for seconds in (2, 20):  # on a busy machine, the workers may send no request in two
        statuses, said = await _run(built["reading"]["loadtest"], service, seconds)
        if "failed: no request was made" not in said:
            break
    assert statuses == [0, 0, 0], said
    assert "PUT, to fill" in said  # with which each user begins


async def _run(objects: list[Object], service: Running, seconds: int) -> tuple[list[int | None], str]:
    """Run the master and its workers; return their exit statuses, and the output of the master."""
    configured = named(objects, "ConfigMap", "loadtest")["data"]
    told = {
        "POLYSTOW_BENCH_HOST": service.url,
        "POLYSTOW_BENCH_ACCESS": str(ACCESS),
        "POLYSTOW_BENCH_DOCUMENTS": "20",
        "LOCUST_USERS": "8",
        "LOCUST_RUN_TIME": f"{seconds}s",
        "LOCUST_EXPECT_WORKERS": str(WORKERS),
    }
    assert set(told) <= set(configured), "the manifests and this test give the same variables"
    on_master = _arguments(objects, "loadtest-master")
    on_worker = [word.replace("loadtest-master", "127.0.0.1") for word in _arguments(objects, "loadtest-workers")]
    with Reserved() as reserved:
        port = str(reserved.port)
        master = await _started([*on_master, "--master-bind-port", port], configured | told)
        workers = [await _started([*on_worker, "--master-port", port], configured | told) for _ in range(WORKERS)]
        try:
            async with asyncio.timeout(60 + seconds):
                (said, _), *_ = await asyncio.gather(*(each.communicate() for each in (master, *workers)))
        finally:
            for each in (master, *workers):
                if each.returncode is None:
                    each.kill()
                    await each.wait()
    return [each.returncode for each in (master, *workers)], said.decode()


def test_the_jobs_of_the_load_test_match(built: dict[str, dict[str, list[Object]]]) -> None:
    objects = built["reading"]["loadtest"]
    workers = named(objects, "Job", "loadtest-workers")["spec"]
    expected = named(objects, "ConfigMap", "loadtest")["data"]["LOCUST_EXPECT_WORKERS"]
    assert workers["parallelism"] == workers["completions"] == int(expected)
    (service,) = [each for each in objects if each["kind"] == "Service"]
    assert service["metadata"]["name"] in _arguments(objects, "loadtest-workers")


def _arguments(objects: list[Object], job: str) -> list[str]:
    arguments: list[str] = named(objects, "Job", job)["spec"]["template"]["spec"]["containers"][0]["args"]
    return [*ENTRYPOINT, *arguments]


async def _started(arguments: list[str], variables: dict[str, Any]) -> asyncio.subprocess.Process:
    locust = Path(sys.executable).with_name("locust")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("POLYSTOW_", "LOCUST_"))}
    return await asyncio.create_subprocess_exec(
        locust,
        *arguments,
        cwd=ROOT,
        env=kept | variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
