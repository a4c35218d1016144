"""`holdfast keys`: a key is printed once, and the file is replaced as a whole."""

import hashlib
import json
import os
import subprocess
import sys
import threading

import pytest
from typer.testing import CliRunner

from gateway.access.keys import read_keys
from ops.cli import app
from ops.keys import make_key

NO_LIMITS = {"channels": None, "rate_per_s": None, "burst": None, "expires_at": None}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "keys.json"


@pytest.fixture
def keys(file):
    """Return a function that runs `holdfast keys` and returns exit code, output and errors."""

    def run(*arguments):
        done = CliRunner().invoke(app, ["keys", *arguments], env={"HOLDFAST_KEYS_FILE": str(file)})
        return done.exit_code, done.stdout, done.stderr

    return run


def test_a_new_key_is_printed_once_and_only_its_digest_is_kept(keys, file):
    code, printed, _ = keys("new", "--id", "shop", "--scopes", "read, reserve", "--channels", "web,app")
    assert code == 0
    key = printed.strip()
    assert key.startswith("hf_shop_")
    assert key not in file.read_text()
    kept = read_keys(file).keys[0]
    assert kept.sha256 == hashlib.sha256(key.encode()).hexdigest()
    assert (kept.id, kept.scopes, kept.channels) == ("shop", ["read", "reserve"], ["web", "app"])
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["keys.json"]


def test_rate_and_expiry_are_kept(keys, file):
    arguments = ("--rate-per-s", "12.5", "--burst", "40", "--expires", "2100-01-01T00:00:00Z")
    assert keys("new", "--scopes", "admin", *arguments)[0] == 0
    kept = read_keys(file).keys[0]
    assert (kept.rate_per_s, kept.burst, kept.expires_at) == (12.5, 40, 4_102_444_800_000)


def test_a_list_shows_no_digest(keys):
    keys("new", "--id", "shop", "--scopes", "read", "--rate-per-s", "5")
    keys("new", "--id", "erp", "--scopes", "adjust", "--channels", "web", "--expires", "2100-01-01")
    _, table, _ = keys("list")
    assert table.splitlines()[1].split() == ["shop", "read", "all", "5/s,", "5", "at", "once"]
    assert "2100-01-01T00:00:00Z" in table
    _, lines, _ = keys("list", "--json")
    assert [json.loads(line) for line in lines.splitlines()] == [
        {"id": "shop", "scopes": ["read"], "rate_per_s": 5.0},
        {"id": "erp", "scopes": ["adjust"], "channels": ["web"], "expires_at": 4_102_444_800_000},
    ]


def test_a_revoked_key_is_gone_and_the_others_stay(keys, file):
    for id_ in ("a", "b"):
        keys("new", "--id", id_, "--scopes", "read")
    assert keys("revoke", "a")[0] == 0
    assert [key.id for key in read_keys(file).keys] == ["b"]
    code, _, errors = keys("revoke", "a")
    assert (code, "has no key with the id a" in errors) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--scopes", "root"), "scopes are read, reserve, adjust, admin"),
        (("--scopes", ","), "no such key can be made"),
        (("--scopes", "read", "--id", "a b"), "is no id"),
        (("--scopes", "read", "--channels", "a b"), "no such key can be made"),
        (("--scopes", "read", "--burst", "5"), "--burst needs --rate-per-s"),
        (("--scopes", "read", "--rate-per-s", "0"), "no such key can be made"),
        (("--scopes", "read", "--expires", "2001-01-01"), "in the past"),
        (("--scopes", "read", "--expires", "soon"), "is no time"),
    ],
)
def test_a_wrong_key_is_not_made(keys, file, arguments, sentence):
    code, _, errors = keys("new", *arguments)
    assert (code, sentence in errors) == (2, True)
    assert not file.exists()


def test_an_id_is_given_once(keys, file):
    keys("new", "--id", "a", "--scopes", "read")
    before = file.read_bytes()
    code, _, errors = keys("new", "--id", "a", "--scopes", "read")
    assert (code, "choose another id" in errors) == (2, True)
    assert file.read_bytes() == before


def test_a_file_that_is_broken_or_writable_for_others_is_not_touched(keys, file):
    file.write_text("broken")
    assert keys("new", "--scopes", "read")[0] == 2
    assert file.read_text() == "broken"
    file.write_text('{"keys": []}')
    file.chmod(0o666)
    code, _, errors = keys("new", "--scopes", "read")
    assert (code, "chmod go-w" in errors) == (2, True)


def test_a_missing_file_is_named(keys):
    assert keys("list")[0] == 2
    assert keys("revoke", "a")[0] == 2


def test_keys_made_at_the_same_time_are_all_kept(file):
    makers = [
        threading.Thread(target=make_key, args=(file,), kwargs=NO_LIMITS | {"id_": f"k{n}", "scopes": "read"})
        for n in range(12)
    ]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert sorted(key.id for key in read_keys(file).keys) == sorted(f"k{n}" for n in range(12))


def gateway(**settings):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", "gateway", "--bootstrap", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment | settings,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"HOLDFAST_HOST": "0.0.0.0"}, "holdfast keys new"),
        ({"HOLDFAST_KEYS_FILE": "/nowhere/keys.json"}, "cannot be read"),
        ({"HOLDFAST_JWKS": "keys.json"}, "set HOLDFAST_JWT_ISSUER and HOLDFAST_JWT_AUDIENCE as well"),
    ],
    ids=lambda it: next(iter(it)) if isinstance(it, dict) else "",
)
def test_a_gateway_that_could_not_say_who_may_does_not_start(settings, sentence):
    code, errors = gateway(**settings)
    assert (code, sentence in errors) == (2, True)
