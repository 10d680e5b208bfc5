"""Run the containers of benchmarks/compose.yaml, and read their addresses, processes and CPU time."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg

from benchmarks.machine import MB
from tests.e2e.stack import Stack
from tests.files import ROOT

COMPOSE_FILE = Path(__file__).with_name("compose.yaml")
SECRET = "bench-signing-a1b2c3"  # noqa: S105 — not a real secret: it signs only the deliveries of the benchmark
DOCKER_SOCKET = "/var/run/docker.sock"
COMMAND_SECONDS_MAX = 900
PORT = 8080


def docker(*words: str, **settings: str) -> str:
    """
    Run a docker command with *settings* as additional environment variables, and return its output.

    Raises:
        RuntimeError: The command failed.
    """
    done = subprocess.run(  # noqa: S603 — no untrusted input
        ["docker", *words],  # noqa: S607 — found by PATH, because the folder of `docker` differs between machines
        cwd=ROOT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"docker {' '.join(words)} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout


@dataclass(frozen=True)
class Containers:
    project: str

    def compose(self, *words: str) -> str:
        command = ("compose", "--project-name", self.project, "--file", f"{COMPOSE_FILE}", *words)
        return docker(*command, BMC_WEBHOOK_SECRETS=SECRET)

    def start(self, services: Sequence[str]) -> None:
        try:
            self.compose("up", "--detach", "--wait", "--no-build", *services)
        except RuntimeError as error:
            error.add_note(self.compose("logs", "--tail", "20", *services))
            raise

    def stop(self, services: Sequence[str]) -> None:
        self.compose("rm", "--stop", "--force", *services)

    def container(self, service: str) -> str:
        return self.compose("ps", "--quiet", service).strip()

    def address(self, service: str) -> str:
        """
        Return the IP address of a service.

        Use this address instead of a published port, because a published port leads through Docker's proxy, which limits the
        throughput.
        """
        networks = json.loads(
            docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", self.container(service))
        )
        return str(networks[f"{self.project}_default"]["IPAddress"])

    def url(self, service: str, path: str) -> str:
        return f"http://{self.address(service)}:{PORT}{path}"

    async def connect(
        self, database: str = "ledger", *, role: str = "ledger_owner"
    ) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(self.database_url(database, role=role))

    def database_url(self, database: str, *, role: str) -> str:
        return f"postgresql://{role}@{self.address('db')}/{database}"

    def restart_database_cold(self) -> None:
        """Restart Postgres with two empty caches: its own cache, and the operating system's cache of the database files."""
        self.compose("stop", "db")
        # With these options, `dd` copies no data, and only tells the operating system to drop the whole file from its cache.
        drop = "find /var/lib/postgresql -type f -exec dd if={} iflag=nocache count=0 status=none ';'"
        self.compose("run", "--rm", "--no-deps", "--entrypoint", "sh", "db", "-c", f"sync; {drop}")
        self.start(["db"])


@contextmanager
def running_containers() -> Iterator[Containers]:
    """Start the database. At the end, remove all containers and their data."""
    containers = Containers(f"coffee-ledger-bench-{os.getpid()}")
    try:
        containers.start(["db"])
        yield containers
    finally:
        containers.compose("down", "--volumes", "--timeout", "1")


def build_images() -> None:
    """Build the product's images, and the image of the programs in benchmarks/peers, from the working tree."""
    product = ("compose", "--env-file", ".env.sandbox", "--project-name", "coffee-ledger-bench", "build", "--quiet")
    docker(*product, IMAGE_TAG="bench")
    docker("compose", "--file", f"{COMPOSE_FILE}", "build", "--quiet", BMC_WEBHOOK_SECRETS=SECRET)


def image_mb(name: str) -> float:
    return int(docker("image", "inspect", "--format", "{{.Size}}", name)) / 1e6


def base_image() -> str:
    """Return the name of the image on which the product's image is based."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    return next(line.split()[1] for line in lines if line.startswith("FROM ") and line.endswith(" AS base"))


def read_pid(container: str) -> int:
    """Return the process id that the host uses for the container's first process."""
    return int(docker("inspect", "--format", "{{.State.Pid}}", container))


@dataclass(frozen=True)
class Usage:
    """The CPU time and the memory that all processes of a container use together."""

    cpu_seconds: float
    """The CPU time since the start of the container. Processes that have ended count too."""
    memory_mb: float
    """The memory in units of 1,048,576 bytes, without the cache of inactive files. `docker stats` shows this value too."""


async def read_usage(container: str) -> Usage:
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(DOCKER_SOCKET)) as session:
        address = f"http://docker/containers/{container}/stats?stream=false&one-shot=true"
        async with session.get(address, timeout=aiohttp.ClientTimeout(total=30)) as answer:
            stats = await answer.json()
    memory = stats["memory_stats"]
    # The size of the cache of inactive files is called `total_inactive_file` in cgroup v1 and `inactive_file` in cgroup v2.
    cache = memory["stats"].get("total_inactive_file", memory["stats"].get("inactive_file", 0))
    return Usage(stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9, (memory["usage"] - cache) / MB)


def container_of(stack: Stack, service: str) -> str:
    return stack.compose("ps", "--quiet", "--no-trunc", service).strip()
