"""Copy the checkout, give the copy its own Compose project, and run the scripts of `db/` there as an operator does."""

import os
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.stack import COMMAND_SECONDS_MAX, IMAGE_TAG, NOWHERE, await_that, build_image
from tests.files import ROOT
from tests.integration.bmc import a_payment, raw, sign
from tests.network import changing_network, free_ports

SECRET = b"sandbox-secret-that-signs-nothing-real"
"""The webhook's secret in .env.sandbox."""

WATCHING = ("prometheus", "alertmanager", "postgres-exporter", "grafana")
"""The monitoring services. No test that uses a `Machine` needs them."""

OVERRIDE = "services:\n" + "".join(f"  {name}: {{profiles: [unused]}}\n" for name in WATCHING)

ANSWER_SECONDS_MAX = 30


@dataclass(frozen=True)
class Machine:
    project: str
    checkout: Path
    environment: Mapping[str, str]

    def compose(self, *words: str) -> str:
        done = self.call(["docker", "compose", "--project-name", self.project, *words])
        assert done.returncode == 0, f"{' '.join(words)} failed:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def up(self, *services: str) -> None:
        with changing_network():
            self.compose("up", "--detach", "--wait", *services)

    def run(
        self, script: str, *arguments: str | Path, stdin: int = subprocess.DEVNULL, **changed: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script of `db/` from a directory outside the checkout. *changed* overrides environment variables."""
        with changing_network():
            return self.run_beside(script, *arguments, stdin=stdin, **changed)

    def run_beside(
        self, script: str, *arguments: str | Path, stdin: int = subprocess.DEVNULL, **changed: str
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a script as `run` does, but without `changing_network`, which waits until other tests have closed their browsers.

        Use this only for scripts that neither start nor stop containers, because starts and stops would disturb the browsers.
        """
        return self.call([str(self.checkout / "db" / script), *map(str, arguments)], stdin=stdin, **changed)

    def call(
        self, command: list[str], *, stdin: int = subprocess.DEVNULL, **changed: str
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a command in the checkout, where Docker Compose finds its files.

        Run a command with an absolute path in the parent directory, because the scripts of `db/` must work from any directory.
        """
        return subprocess.run(
            command,
            cwd=self.checkout.parent if command[0].startswith("/") else self.checkout,
            env={**os.environ, **self.environment, "COMPOSE_PROJECT_NAME": self.project, **changed},
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )

    def back_up(self, folder: Path) -> Path:
        # Do not use the lock `changing_network`. It is only for starting or stopping containers, and a backup does neither.
        done = self.run_beside("backup.sh", folder)
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.strip())

    def sql(self, statement: str, *, database: str = "ledger") -> str:
        """Query a database as its owner. Return one line for each row, with | between the columns."""
        psql = ("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "ledger_owner", "-d", database)
        return self.in_db(*psql, given=statement.encode()).decode().strip()

    def in_db(self, *words: str, given: bytes = b"") -> bytes:
        """Run a program in the container of the database, and return its output. *given* is its standard input."""
        command = ["docker", "compose", "--project-name", self.project, "exec", "-T", "db", *words]
        environment = {**os.environ, **self.environment}
        done = subprocess.run(
            command,
            cwd=self.checkout,
            env=environment,
            input=given,
            capture_output=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def running(self) -> set[str]:
        return set(self.compose("ps", "--services", "--status", "running").split())

    def request(self, user: int) -> str:
        """Let a user request to pay 5 USD. Return the code in the older form: the user's id and a timestamp."""
        code = f"{user}_1700000000"
        self.sql(
            f"INSERT INTO users (telegram_id) VALUES ({user});"
            " INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount)"
            f" VALUES ('{code}', {user}, {user}, 5)"
        )
        return code

    def deliver(self, code: str) -> int:
        """Let Buy Me a Coffee deliver a payment of 5 USD with this code in its note. Return the status of the answer."""
        body = raw(a_payment(support_note=code, transaction_id=f"pi_of_{code}"))
        address = f"http://{self._address_of('webhook')}:8080/bmc-webhook"
        request = urllib.request.Request(address, data=body, headers=sign(body, SECRET))
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS_MAX) as answer:
            return int(answer.status)

    def pay(self, user: int) -> None:
        """Let a new user request a payment and pay it, which gives 500 credits."""
        assert self.deliver(self.request(user)) == 200
        assert self.balance(user) == "500"

    def balance(self, user: int) -> str:
        """Return the balance of a user as text, or an empty text if the user has none."""
        return self.sql(f"SELECT balance FROM balances WHERE telegram_id = {user}")

    def spend(self, user: int, credits: int) -> None:
        self.sql(f"SELECT spend_credits({user}, {credits}, 'a picture', 'picture {user}')")

    def spooled(self) -> list[str]:
        return self.compose("exec", "-T", "webhook", "ls", "/spool").split()

    def in_secrets(self, command: str) -> str:
        """Run a shell command in a new container of the service `secrets`, which mounts the volume of the certificate."""
        with changing_network():
            return self.compose("run", "--rm", "--no-deps", "-T", "secrets", "sh", "-c", command)

    def _address_of(self, service: str) -> str:
        form = f'{{{{(index .NetworkSettings.Networks "{self.project}_edge").IPAddress}}}}'
        container = self.compose("ps", "--quiet", service).strip()
        return self.call(["docker", "inspect", "--format", form, container]).stdout.strip()


@contextmanager
def machine(name: str, folder: Path, *, is_new: bool = False) -> Iterator[Machine]:
    """
    Copy to *folder* the parts of the checkout that a stack needs, and yield a `Machine` that uses this copy.

    By default, add the demo's `.env` and an override file. If *is_new* is True, add neither. Start no container. Remove the
    project at the end.
    """
    build_image()
    checkout = folder / name
    checkout.mkdir(parents=True)
    shutil.copy(ROOT / "compose.yaml", checkout)
    shutil.copytree(ROOT / "db", checkout / "db")
    if not is_new:
        shutil.copy(ROOT / ".env.sandbox", checkout / ".env")
        (checkout / "compose.override.yaml").write_text(OVERRIDE, encoding="utf-8")
    https_port, http_port, sandbox_port = map(str, free_ports(3))
    ports = {"HTTPS_PORT": https_port, "HTTP_PORT": http_port, "SANDBOX_PORT": sandbox_port}
    # In the demo, the services reach the database through the sandbox. Most tests start no sandbox, so the services connect to
    # the database directly.
    direct = {"DATABASE_ADDRESS": "db:5432"}
    environment = {**ports, **direct, "IMAGE_TAG": IMAGE_TAG, "SANDBOX_SCRIPT_URL": NOWHERE}
    one = Machine(f"coffee-ledger-tests-{name}-{os.getpid()}", checkout, environment)
    try:
        yield one
    finally:
        with changing_network():
            # Compose needs `.env` even to remove the project. If *is_new* is True, the test may have ended before it wrote this
            # file.
            shutil.copy(ROOT / ".env.sandbox", checkout / ".env")
            one.compose("--profile", "*", "down", "--volumes", "--timeout", "2")


def hooked_docker(folder: Path, words: str, instead: str) -> str:
    """
    Make a program that scripts run in place of `docker`. Return the value of PATH with which they find this program.

    If the arguments of a call contain *words*, the program runs the shell command *instead*. Otherwise, it runs the real
    `docker`. The shell command can run the real `docker` with the arguments of the call: `"$real" "$@"`.
    """
    folder.mkdir(exist_ok=True)
    docker = folder / "docker"
    docker.write_text(
        f'#!/bin/sh\nreal={shutil.which("docker")}\ncase " $* " in *"{words}"*) {instead};; esac\nexec "$real" "$@"\n'
    )
    docker.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


class Gate:
    """Makes a script wait before a call of `docker`, until the test lets the script continue."""

    def __init__(self, folder: Path, words: str) -> None:
        self._reached, self._open = folder / "bin" / "reached", folder / "open"
        # The script opens this pipe for reading. This blocks the script until the test opens the pipe for writing.
        os.mkfifo(self._open)
        self.path = hooked_docker(folder / "bin", words, f': >"{self._reached}"; : <"{self._open}"; exec "$real" "$@"')

    @contextmanager
    def held(self, work: threading.Thread) -> Iterator[None]:
        """Start *work*, which runs the script. While the context is open, the script waits at the gate."""
        work.start()
        await_that(lambda: self._reached.exists() or not work.is_alive())
        assert self._reached.exists(), "the script ended before it reached the gate"
        try:
            yield
        finally:
            self._open.write_bytes(b"")
            work.join()
