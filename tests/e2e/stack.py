"""
Run the product for the tests: the services of `compose.yaml`, with the demo's settings.

The project name and the ports differ from the demo's, so the stack can run beside other stacks on the same machine.
"""

import atexit
import functools
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_docker.plugin import Services, get_docker_services

from tests.files import ROOT
from tests.network import changing_network, free_ports

SERVICES = ("db", "webhook", "bot", "janitor", "proxy", "sandbox")
COMMAND_SECONDS_MAX = 120
BUILD_SECONDS_MAX = 600
IMAGE_TAG = f"tests-{os.getpid()}"
"""
The tag of the images that this process builds for its stacks.

No other process uses this tag. If a process of another checkout moved the tag to another image, the next `up` of a running
stack would replace the containers of the stack, and their logs would be lost.
"""

NOWHERE = "http://127.0.0.1:9/"
"""
An address where no server listens. It replaces the address of Telegram's script, so the sandbox always uses its local copy of the
script.
"""


@dataclass(frozen=True)
class Stack:
    project: str
    environment: Mapping[str, str]
    https_port: int
    sandbox_port: int

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def webhook_url(self) -> str:
        return f"https://localhost:{self.https_port}/bmc-webhook"

    def compose(self, *words: str, **changed: str) -> str:
        """Run a `docker compose` command, and return its output. *changed* overrides environment variables of the stack."""
        command = ["docker", "compose", "--env-file", ".env.sandbox", "--project-name", self.project, *words]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **self.environment, **changed},
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{' '.join(words)} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def address_of(self, service: str, network: str) -> str:
        """Return the IP address of a service's container in a network. Tests use it to reach services that publish no port."""
        container = self.compose("ps", "--quiet", service).strip()
        command = ["docker", "inspect", "--format", "{{json .NetworkSettings.Networks}}", container]
        networks = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)
        return str(networks[f"{self.project}_{network}"]["IPAddress"])

    def sql(self, statement: str) -> str:
        """Query the database as its owner. Return one line for each row, with | between the columns."""
        psql = ("exec", "-T", "db", "psql", "-XAtq", "-U", "ledger_owner", "-d", "ledger", "-c", statement)
        return self.compose(*psql).strip()


@contextmanager
def running_stack() -> Iterator[Stack]:
    https_port, http_port, sandbox_port = free_ports(3)
    environment = {
        "COMPOSE_PROJECT_NAME": f"coffee-ledger-tests-{os.getpid()}",
        "HTTPS_PORT": str(https_port),
        "HTTP_PORT": str(http_port),
        "SANDBOX_PORT": str(sandbox_port),
        "IMAGE_TAG": IMAGE_TAG,
        "SANDBOX_SCRIPT_URL": NOWHERE,
    }
    stack = Stack(environment["COMPOSE_PROJECT_NAME"], environment, https_port, sandbox_port)
    settings = " ".join(f"{name}={value}" for name, value in environment.items())
    command = f"env {settings} docker compose --env-file {ROOT / '.env.sandbox'}"
    up = f"up --detach --wait {' '.join(SERVICES)}"
    build_image()
    with docker_services(command, ROOT / "compose.yaml", stack.project, up, "down --volumes --remove-orphans"):
        try:
            yield stack
        finally:
            _keep_logs(stack)


@contextmanager
def another_stack(name: str, *words: str, **settings: str) -> Iterator[Stack]:
    """Run an additional stack with its own *settings*. *words* are further arguments of `docker compose up`."""
    https_port, http_port, sandbox_port = free_ports(3)
    environment = {
        "HTTPS_PORT": str(https_port),
        "HTTP_PORT": str(http_port),
        "SANDBOX_PORT": str(sandbox_port),
        "IMAGE_TAG": IMAGE_TAG,
        "SANDBOX_SCRIPT_URL": NOWHERE,
        # The demo connects the services to the database through the sandbox. Not every stack runs the sandbox, so connect the
        # services directly, as in production.
        "DATABASE_ADDRESS": "db:5432",
        **settings,
    }
    stack = Stack(f"coffee-ledger-tests-{name}-{os.getpid()}", environment, https_port, sandbox_port)
    build_image()
    try:
        with changing_network():
            stack.compose("up", "--detach", "--wait", *words)
        yield stack
    finally:
        _keep_logs(stack)
        with changing_network():
            stack.compose("down", "--volumes", "--timeout", "2")


@contextmanager
def docker_services(compose: str, file: Path, project: str, up: str, down: str) -> Iterator[Services]:
    """Start the services of a compose file, and stop them when the context ends."""
    services = get_docker_services(compose, str(file), project, [up], [down])
    with changing_network():
        running = services.__enter__()
    try:
        yield running
    finally:
        with changing_network():
            services.__exit__(None, None, None)


@functools.cache
def build_image() -> None:
    """
    Build the images of all test stacks once, under the name of one project. The images are removed when the process ends.

    Compose labels an image with the project that built it. If each stack built the images, the label would change each time.
    The next `up` of a stack that already runs would then replace its containers and lose their logs.
    """
    atexit.register(_remove_images)
    build = ["docker", "compose", "--env-file", ".env.sandbox", "--project-name", "coffee-ledger-tests", "build"]
    done = subprocess.run(
        build,
        cwd=ROOT,
        env={**os.environ, "IMAGE_TAG": IMAGE_TAG},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"the image could not be built:\n{done.stdout}\n{done.stderr}"


def _remove_images() -> None:
    images = [f"{name}:{IMAGE_TAG}" for name in ("coffee-ledger", "coffee-ledger-sandbox")]
    # Ignore an error: if a container was left behind, its image cannot be removed.
    subprocess.run(["docker", "image", "rm", *images], capture_output=True, timeout=60, check=False)


def _keep_logs(stack: Stack) -> None:
    """Print the services' logs. Pytest shows this output only if a test fails."""
    print(stack.compose("logs", "--no-color", "--tail", "200"))


def await_that(condition: Callable[[], object], *, seconds: float = 60) -> None:
    """Poll until *condition* is true. Use this only for conditions that send no signal to wait for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.25)
