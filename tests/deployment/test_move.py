"""Test `db/move.sh`, which moves a stack to another machine. In the tests, two Compose projects represent the two machines."""

import itertools
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployment.machine import OVERRIDE, Gate, Machine, hooked_docker, machine
from tests.e2e.stack import await_that
from tests.files import ROOT

STARTED = ("proxy", "janitor", "bot")
RUNNING = {"db", "webhook", "sandbox", *STARTED}
GOING_ON = {"webhook", "proxy", "sandbox"}
PASSWORD = "chosen-for-the-test"
ROLE = f"CREATE ROLE shop_bot LOGIN PASSWORD '{PASSWORD}'; GRANT spender TO shop_bot; ALTER ROLE shop_bot SET work_mem = '5MB'"
users = itertools.count(8001)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine("move-old", tmp_path_factory.mktemp("old")) as old:
        old.up(*STARTED)
        yield old


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Machine]:
    with machine("move-new", tmp_path, is_new=True) as new:
        yield new


@pytest.fixture
def paid(old: Machine) -> int:
    """Return the id of a user who has paid 5 USD and has 500 credits."""
    user = next(users)
    old.pay(user)
    return user


def spend_as_shop_bot(one: Machine, user: int, credits: int) -> str:
    """Spend credits over the network in the role of another bot. Return the new balance."""
    address = f"postgresql://shop_bot:{PASSWORD}@db:5432/ledger"
    spend = f"SELECT spend_credits({user}, {credits}, 'a picture', 'picture {user}')"
    return one.in_db("psql", address, "-XAtqc", spend).decode().strip()


def test_everything_arrives_on_the_new_machine_also_deliveries_that_come_meanwhile(
    old: Machine, new: Machine, paid: int, tmp_path: Path
) -> None:
    old.sql(ROLE)
    old.in_secrets("echo a certificate >/certificates/one.crt")
    during, after = old.request(next(users)), old.request(next(users))
    packed: list[subprocess.CompletedProcess[str]] = []
    pack, rest, gate = tmp_path / "pack.tar", tmp_path / "rest.tar", Gate(tmp_path, " pg_dump ")

    with gate.held(
        threading.Thread(target=lambda: packed.append(old.run("move.sh", "--yes", "pack", pack, PATH=gate.path)))
    ):
        assert old.deliver(during) == 200

    assert packed[0].returncode == 0, packed[0].stderr
    assert old.running() == GOING_ON
    assert pack.stat().st_mode & 0o077 == 0
    assert "It contains secrets and personal data" in packed[0].stderr
    assert "Change the DNS record of localhost" in packed[0].stderr

    unpacked = new.run("move.sh", "--yes", "unpack", pack)

    assert unpacked.returncode == 0, unpacked.stderr
    assert (new.checkout / ".env").read_text() == (ROOT / ".env.sandbox").read_text()
    assert (new.checkout / "compose.override.yaml").read_text() == OVERRIDE
    assert new.running() == RUNNING
    assert new.balance(paid) == "500"
    await_that(lambda: credited(new, during))
    assert new.in_secrets("cat /certificates/one.crt") == "a certificate\n"
    assert spend_as_shop_bot(new, paid, 20) == "480"

    assert old.deliver(after) == 200
    rested = old.run("move.sh", "rest", rest)

    assert rested.returncode == 0, rested.stderr
    assert old.running() == {"sandbox"}

    carried = new.run("move.sh", "unpack", rest)

    assert carried.returncode == 0, carried.stderr
    await_that(lambda: credited(new, after))
    await_that(lambda: new.spooled() == [])
    assert new.sql("SELECT count(*), sum(credits) FROM credits WHERE kind = 'payment'") == "3|1500"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["pack.tar", "rest.tar"]

    back = old.run("move.sh", "cancel")
    assert back.returncode == 0, back.stderr


def credited(one: Machine, code: str) -> bool:
    return one.sql(f"SELECT state FROM charges WHERE transaction_id = 'pi_of_{code}'") == "matched"


def test_after_a_pack_nothing_is_settled_until_cancel_also_if_the_database_is_started_by_mistake(
    old: Machine, tmp_path: Path
) -> None:
    code, backup = old.request(next(users)), old.back_up(tmp_path)
    packed = old.run("move.sh", "--yes", "pack", tmp_path / "pack.tar")
    assert packed.returncode == 0, packed.stderr

    old.up("db")
    status = old.deliver(code)
    spooled = old.spooled()
    restored = old.run("restore.sh", "--yes", backup)
    done = old.run("move.sh", "cancel")

    assert (status, len(spooled)) == (200, 1)
    assert "this stack was moved to another machine" in restored.stderr
    assert done.returncode == 0, done.stderr
    await_that(lambda: credited(old, code))
    assert old.running() == RUNNING


@pytest.mark.parametrize("words", [" pg_dump ", " tar -C /certificates "])
def test_if_packing_fails_the_old_machine_goes_on(old: Machine, tmp_path: Path, words: str) -> None:
    pack = tmp_path / "packs" / "pack.tar"
    pack.parent.mkdir()

    done = old.run("move.sh", "--yes", "pack", pack, PATH=hooked_docker(tmp_path / "bin", words, "exit 1"))

    assert done.returncode != 0
    assert "nothing was packed. The stack goes on here" in done.stderr
    assert list(pack.parent.iterdir()) == []
    assert old.running() == RUNNING
    old.pay(next(users))


def test_packing_needs_a_confirmation_and_overwrites_no_file(old: Machine, tmp_path: Path) -> None:
    existing = tmp_path / "existing.tar"
    existing.write_text("an older pack")

    unconfirmed = old.run("move.sh", "pack", tmp_path / "pack.tar")
    overwriting = old.run("move.sh", "--yes", "pack", existing)

    assert "confirm with --yes" in unconfirmed.stderr
    assert "exists already" in overwriting.stderr
    assert [unconfirmed.returncode, overwriting.returncode] == [1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["existing.tar"]
    assert existing.read_text() == "an older pack"
    assert old.running() == RUNNING


def test_the_rest_is_packed_only_after_the_pack(old: Machine, tmp_path: Path) -> None:
    done = old.run("move.sh", "rest", tmp_path / "rest.tar")

    assert done.returncode != 0
    assert "this stack is in use" in done.stderr
    assert old.running() == RUNNING


def test_a_pack_is_not_unpacked_over_other_data_or_other_settings(
    old: Machine, new: Machine, paid: int, tmp_path: Path
) -> None:
    pack = tmp_path / "pack.tar"
    packed = old.run("move.sh", "--yes", "pack", pack)
    back = old.run("move.sh", "cancel")
    assert (packed.returncode, back.returncode) == (0, 0), packed.stderr + back.stderr

    over_services = old.run("move.sh", "--yes", "unpack", pack)
    old.compose("stop", "webhook")
    over_data = old.run("move.sh", "--yes", "unpack", pack)
    old.up(*STARTED)
    (new.checkout / ".env").write_text("BOT_TOKEN=another\n")
    over_settings = new.run("move.sh", "--yes", "unpack", pack)

    assert "the stack runs here already" in over_services.stderr
    assert "the database of this stack is not empty" in over_data.stderr
    assert old.balance(paid) == "500"
    assert f"{new.checkout}/.env differs from the one in the pack" in over_settings.stderr
    assert (new.checkout / ".env").read_text() == "BOT_TOKEN=another\n"


@pytest.mark.parametrize("content", [b"no tar at all", b""], ids=["text", "empty"])
def test_a_file_that_is_no_pack_is_refused(new: Machine, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "pack.tar"
    file.write_bytes(content)

    done = new.run("move.sh", "--yes", "unpack", file)

    assert done.returncode != 0
    assert "not a pack" in done.stderr
    assert not (new.checkout / ".env").exists()
