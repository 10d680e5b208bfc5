"""The proxies of a Swarm share one public name. Each must obtain a certificate, even if one proxy gets all ACME challenges."""

import http.client
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from pytest_docker.plugin import Services

from tests.e2e.stack import docker_services
from tests.files import ROOT

COMPOSE_FILE = Path(__file__).parent / "compose.certificates.yaml"
PROJECT = f"coffee-ledger-tests-certificates-{os.getpid()}"
SWARM = ROOT / "deploy" / "swarm"
HOST = "pay.test"
ROOT_CERTIFICATE = "/data/caddy/pki/authorities/local/root.crt"
SECONDS_MAX = 180
"""The time limit for a certificate. On a busy machine, Caddy's first attempt may fail, and Caddy retries after a minute."""


@dataclass(frozen=True)
class Proxies:
    services: Services
    thumbprint: str

    def ask(self, proxy: str, path: str) -> tuple[int, str, str | None]:
        """Request a path without TLS. Return the status, the content, and the header `Location` (None if missing)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.services.port_for(proxy, 80), timeout=10)
        connection.request("GET", path, headers={"Host": HOST})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.getheader("Location")

    def shows_certificate(self, proxy: str) -> bool:
        """Return whether the proxy uses a certificate that the test's authority has issued for the public name."""
        trust = ssl.create_default_context(cadata=compose("exec", "-T", "authority", "cat", ROOT_CERTIFICATE))
        port = self.services.port_for(proxy, 443)
        try:
            with (
                socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
                trust.wrap_socket(connection, server_hostname=HOST),
            ):
                return True
        except OSError:
            return False


def compose(*words: str) -> str:
    command = ["docker", "compose", "--file", str(COMPOSE_FILE), "--project-name", PROJECT, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def make_account(folder: Path) -> str:
    """Write the key of an ACME account into *folder* as swarm.sh does, and return its thumbprint."""
    (folder / "secrets" / "volumes").mkdir(parents=True, exist_ok=True)
    command = [
        "docker",
        "run",
        "--rm",
        "-i",
        "--volume",
        f"{folder}/secrets:/secrets",
        "python:3.14.10-slim",
        "sh",
        "-s",
    ]
    script = (SWARM / "account.sh").read_text(encoding="utf-8")
    return subprocess.run(command, input=script, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Return a folder with the proxies' configuration, in which the test's own certificate authority replaces the public one.
    """
    folder = tmp_path_factory.mktemp("certificates")
    caddyfile = (ROOT / "proxy" / "Caddyfile").read_text(encoding="utf-8")
    authority = (
        "acme_ca https://authority/acme/local/directory\n\tacme_ca_root /authority/caddy/pki/authorities/local/root.crt"
    )
    assert caddyfile.count("\n{\n\tadmin off\n") == 1
    (folder / "Caddyfile").write_text(caddyfile.replace("\n{\n", f"\n{{\n\t{authority}\n", 1), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def proxies(folder: Path) -> Iterator[Proxies]:
    thumbprint = make_account(folder)
    stack = yaml.safe_load((SWARM / "stack.yaml").read_text(encoding="utf-8"))
    prepare = stack["services"]["volumes"]["command"][-1].replace("$$", "$")
    settings = {"FOLDER": str(folder), "ACME_THUMBPRINT": thumbprint, "PREPARE": prepare}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        with docker_services(
            "docker compose", COMPOSE_FILE, PROJECT, "up --detach --wait", "down --volumes"
        ) as services:
            yield Proxies(services, thumbprint)


def test_the_key_of_the_account_is_generated_once(folder: Path) -> None:
    assert make_account(folder) == make_account(folder)


@pytest.mark.parametrize("proxy", ["one", "two"])
def test_each_proxy_answers_the_authority_for_all(proxies: Proxies, proxy: str) -> None:
    challenge = "/.well-known/acme-challenge/"

    assert proxies.ask(proxy, f"{challenge}aZ-9_") == (200, f"aZ-9_.{proxies.thumbprint}", None)
    assert proxies.ask(proxy, f"{challenge}not/a/token")[0] == 308
    assert proxies.ask(proxy, "/app/?a=b") == (308, "", f"https://{HOST}/app/?a=b")


@pytest.mark.parametrize("proxy", ["one", "two"])
def test_each_proxy_obtains_a_certificate_although_the_authority_asks_only_the_second(
    proxies: Proxies, proxy: str
) -> None:
    end = time.monotonic() + SECONDS_MAX
    while not proxies.shows_certificate(proxy):
        assert time.monotonic() < end, compose("logs", proxy)
        time.sleep(0.5)
