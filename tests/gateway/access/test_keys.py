"""Keys and their file: what a key looks like, what the file may hold, and which keys are refused."""

import json

import pytest

from gateway.access.config import AccessError
from gateway.access.keys import Key, KeyFile, Keys, looks_like_a_key, new_key, read_keys, written
from gateway.problems import Unauthenticated

SHA = "0" * 64
GOOD = {"id": "a", "sha256": SHA, "scopes": ["read"]}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "keys.json"


def refused(file, content):
    file.write_text(content if isinstance(content, str) else json.dumps({"keys": content}))
    file.chmod(0o600)
    with pytest.raises(AccessError) as caught:
        read_keys(file)
    return str(caught.value)


def test_a_key_is_its_id_and_32_random_bytes():
    key, digest = new_key("shop_1")
    assert key.startswith("hf_shop_1_")
    assert len(key) == len("hf_shop_1_") + 43
    assert len(digest) == 64
    assert new_key("shop_1")[0] != key


def test_a_file_is_read_as_it_was_written(file):
    keys = KeyFile(
        keys=[
            Key(id="a", sha256=SHA, scopes=["read", "admin"]),
            Key(id="b", sha256=SHA, scopes=["adjust"], channels=["w"], rate_per_s=2.5, burst=9, expires_at=5),
        ]
    )
    file.write_bytes(written(keys))
    assert read_keys(file) == keys
    file.write_bytes(written(KeyFile(keys=[])))
    assert read_keys(file).keys == []


@pytest.mark.parametrize(
    "entry",
    [
        {"id": ""},
        {"id": "a b"},
        {"id": "a/b"},
        {"id": "a\n"},
        {"sha256": "xyz"},
        {"sha256": SHA.upper() + "F"},
        {"scopes": []},
        {"scopes": ["root"]},
        {"channels": []},
        {"channels": ["a b"]},
        {"rate_per_s": 0},
        {"rate_per_s": -1},
        {"burst": 0},
        {"expires_at": "tomorrow"},
        {"secret": "x"},
    ],
    ids=str,
)
def test_a_wrong_entry_is_refused_by_its_place(file, entry):
    assert "keys[1]" in refused(file, [GOOD, GOOD | {"id": "b"} | entry])


def test_what_is_no_key_file_is_refused(file):
    assert "no JSON" in refused(file, "nothing")
    assert "no JSON" in refused(file, '{"keys": [')
    assert "missing required field" in refused(file, "{}")
    assert "the id a twice" in refused(file, [GOOD, GOOD])
    file.unlink()
    with pytest.raises(AccessError, match="cannot be read: No such file"):
        read_keys(file)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(file, mode):
    file.write_text('{"keys": []}')
    file.chmod(mode)
    with pytest.raises(AccessError, match="chmod go-w"):
        read_keys(file)
    file.chmod(0o644)
    assert read_keys(file).keys == []


def test_a_burst_is_one_seconds_worth_unless_it_is_given():
    def key(**fields):
        return Key(id="a", sha256=SHA, scopes=["read"], **fields).allowance()

    assert key() is None
    assert key(rate_per_s=7.4) == (7.4, 7)
    assert key(rate_per_s=0.1) == (0.1, 1)
    assert key(rate_per_s=5, burst=50) == (5, 50)


@pytest.fixture
def keys():
    return Keys(most_streams=1, most_waiting=1)


def test_only_the_whole_key_is_taken(keys, kit):
    key, other = kit.key("a"), kit.key("b")
    keys.replace(KeyFile(keys=[Key(scopes=["read"], **kit.entry(key))]))
    assert keys.credential(key.encode()).source == "key/a"
    for wrong in (
        key[:-1] + ("A" if key[-1] != "A" else "B"),
        other,
        other.replace("hf_b", "hf_a"),
        "hf_a_" + "A" * 43,
    ):
        with pytest.raises(Unauthenticated):
            keys.credential(wrong.encode())


def test_an_id_may_have_the_characters_of_a_secret(keys, kit):
    key = kit.key("a_-b")
    keys.replace(KeyFile(keys=[Key(scopes=["read"], **kit.entry(key))]))
    assert keys.credential(key.encode()).id == "key/a_-b"


def test_an_entry_that_changes_makes_another_credential_and_ends_the_first(keys, kit):
    key = kit.key("a")
    keys.replace(KeyFile(keys=[Key(scopes=["read"], **kit.entry(key))]))
    first = keys.credential(key.encode())
    keys.replace(KeyFile(keys=[Key(scopes=["read"], **kit.entry(key))]))
    assert keys.credential(key.encode()) is first
    keys.replace(KeyFile(keys=[Key(scopes=["reserve"], **kit.entry(key))]))
    assert [first.holds(), keys.credential(key.encode()).holds()] == [False, True]


def test_what_cannot_be_a_key_is_told_by_its_form(kit):
    assert looks_like_a_key(kit.key("a").encode())
    assert not any(looks_like_a_key(text) for text in (b"", b"hf_", b"hf__" + b"A" * 42, b"eyJ" + b"A" * 80))
