"""Test `docker compose up` in three cases: only the owner may read the checkout, a setting is wrong, or an image is missing."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.stack import BUILD_SECONDS_MAX, IMAGE_TAG, build_image
from tests.files import ROOT
from tests.network import changing_network, free_ports

PAYMENT_PATH = ("proxy", "bot", "janitor")
OWNER_ONLY_TAG = f"{IMAGE_TAG}-owner-only"
STARTED = ("proxy", "bot", "janitor", "sandbox", "prometheus", "alertmanager")
RUNNING = {"db", "webhook", *STARTED}


@dataclass(frozen=True)
class Project:
    """A Compose project in a folder. Its commands may fail: the caller checks the return code."""

    name: str
    folder: Path
    environment: Mapping[str, str]

    def compose(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["docker", "compose", "--env-file", ".env.sandbox", "--project-name", self.name, *words]
        environ = {**os.environ, **self.environment}
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS_MAX,
            check=False,
        )

    def services(self, *words: str) -> set[str]:
        return set(self.compose("ps", "--services", *words).stdout.split())


@contextmanager
def project(name: str, folder: Path, **settings: str) -> Iterator[Project]:
    https_port, http_port, sandbox_port = map(str, free_ports(3))
    ports = {"HTTPS_PORT": https_port, "HTTP_PORT": http_port, "SANDBOX_PORT": sandbox_port}
    one = Project(f"coffee-ledger-tests-{name}-{os.getpid()}", folder, {**ports, "IMAGE_TAG": IMAGE_TAG, **settings})
    try:
        yield one
    finally:
        with changing_network():
            one.compose("down", "--volumes", "--timeout", "2")


@pytest.fixture
def checkout_of_umask_077(tmp_path: Path) -> Path:
    """Return a copy of this repository, with the file modes that `git clone` sets under umask 077."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            copy = tmp_path / "checkout" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy)
    for path in (tmp_path / "checkout").rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
    return tmp_path / "checkout"


def test_a_stack_from_a_checkout_that_only_its_owner_may_read_is_healthy(
    checkout_of_umask_077: Path,
) -> None:
    with project("umask", checkout_of_umask_077, IMAGE_TAG=OWNER_ONLY_TAG) as stack:
        with changing_network():
            up = stack.compose("up", "--build", "--detach", "--wait", *STARTED)

        assert up.returncode == 0, up.stderr + stack.compose("logs", "--no-color", "--tail", "20").stdout
        assert stack.services("--status", "running") == RUNNING
        unreadable = re.findall(".*(?i:permission denied|traceback).*", stack.compose("logs", "--no-color").stdout)
        assert unreadable == []
        served = stack.compose("exec", "-T", "proxy", "cat", "/srv/miniapp/index.html")
        assert served.stdout == (ROOT / "miniapp" / "index.html").read_text(encoding="utf-8")
    images = [f"{name}:{OWNER_ONLY_TAG}" for name in ("coffee-ledger", "coffee-ledger-sandbox")]
    subprocess.run(["docker", "image", "rm", *images], capture_output=True, check=True)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"PUBLIC_HOST": "кава.укр"}, "PUBLIC_HOST is an international name: write its punycode form, xn--80aaf4a"),
        ({"ADMIN_IDS": "-1001234567890"}, "ADMIN_IDS has the id of a group: write "),
        ({"CREDITS_PER_UNIT": "USD"}, "CREDITS_PER_UNIT is malformed: write "),
    ],
    ids=["an international name", "a group", "no rate"],
)
def test_up_fails_before_any_service_starts_and_names_the_check(settings: dict[str, str], line: str) -> None:
    build_image()

    with project("wrong", ROOT, **settings) as stack:
        up = stack.compose("up", "--detach", "db", "webhook", "bot", "janitor")

        assert up.returncode != 0
        assert 'service "config-check" didn\'t complete successfully' in up.stderr
        assert f"config-check: {line}" in stack.compose("logs", "--no-color", "config-check").stdout
        # The sandbox does not wait for `config-check`, so it may run although the check failed.
        assert stack.services("--status", "running") <= {"sandbox"}


def test_a_value_that_lost_a_part_after_a_dollar_sign_is_found_in_a_file_that_only_its_owner_may_read(
    checkout_of_umask_077: Path,
) -> None:
    build_image()
    text = (checkout_of_umask_077 / ".env.sandbox").read_text(encoding="utf-8")
    for name in (".env", ".env.sandbox"):
        file = checkout_of_umask_077 / name
        file.write_text(re.sub("^(BMC_WEBHOOK_SECRETS=.*)$", r"\1$lost", text, flags=re.MULTILINE), encoding="utf-8")
        file.chmod(0o600)

    with project("dollar", checkout_of_umask_077) as stack:
        up = stack.compose("up", "--detach", "config-check", "secrets")

        assert up.returncode != 0
        said = stack.compose("logs", "--no-color", "config-check").stdout
        assert "BMC_WEBHOOK_SECRETS lost a part that begins with $: write its value between single quotes" in said
        assert "sandbox-secret" not in said


def test_the_payment_path_starts_even_if_an_image_cannot_be_pulled(tmp_path: Path) -> None:
    """Simulate a registry that is down: Compose must pull Grafana's image from a local port on which no server listens."""
    build_image()
    override = tmp_path / "compose.yaml"
    override.write_text("services: {grafana: {image: '127.0.0.1:9/grafana:1.0'}}\n", encoding="utf-8")

    with project("unpullable", ROOT, COMPOSE_FILE=f"{ROOT / 'compose.yaml'}:{override}") as stack:
        with changing_network():
            everything = stack.compose("up", "--detach")
            paying = stack.compose("up", "--detach", "--wait", *PAYMENT_PATH)

        assert everything.returncode != 0
        assert "grafana" in everything.stderr
        assert paying.returncode == 0, paying.stderr
        assert stack.services("--status", "running") == {"db", "webhook", "sandbox", *PAYMENT_PATH}
