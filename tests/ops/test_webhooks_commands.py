"""`holdfast webhooks` at the command line, without Kafka: what is wrong is said before anything is tried."""

import json

import pytest
from typer.testing import CliRunner

from ops.cli import app
from ops.problems import CannotDo
from ops.webhooks import proxy_of_all

GOOD = {
    "id": "shop",
    "url": "https://shop.example.com/",
    "types": ["stock-change", "unsolicited-result"],
    "secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
}


def run(*arguments, file=None):
    environment = {"HOLDFAST_WEBHOOKS_FILE": "" if file is None else str(file), "HOLDFAST_BOOTSTRAP": "127.0.0.1:9"}
    return CliRunner().invoke(app, ["webhooks", *arguments], env=environment)


@pytest.fixture
def write(tmp_path):
    def write(**changed):
        path = tmp_path / "webhooks.json"
        path.write_text(json.dumps({"endpoints": [{**GOOD, **changed}]}))
        return path

    return write


def said(done):
    assert done.exit_code == 2
    return done.stderr


def test_without_a_file_it_says_how_to_name_one():
    assert "set HOLDFAST_WEBHOOKS_FILE or give --file" in said(run())


@pytest.mark.parametrize("arguments", [(), ("status",), ("replay", "shop", "--from", "0:0")])
def test_a_wrong_file_is_explained_by_every_command(write, arguments):
    assert "endpoint 1 (shop): url must be https" in said(run(*arguments, file=write(url="http://shop.example.com/")))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("other", "--from", "0:0"), "the file has no endpoint other; it has shop"),
        (("shop", "--from", "0:0"), "a position is of one type: give --type, one of stock-change, unsolicited-result"),
        (("shop", "--from", "4:0", "--type", "stock-change"), "there is no partition 4: there are 4, from 0"),
        (("shop", "--from", "yesterday"), "yesterday"),
        (("shop", "--from", "0:0", "--type", "stock-change"), "no Kafka answers at 127.0.0.1:9"),
    ],
)
def test_a_replay_that_cannot_be_is_explained(write, arguments, sentence):
    assert sentence in said(run("replay", *arguments, file=write()))


def test_a_proxy_must_be_a_url(monkeypatch):
    monkeypatch.setenv("HOLDFAST_WEBHOOKS_PROXY", "proxy:3128")
    with pytest.raises(CannotDo, match="HOLDFAST_WEBHOOKS_PROXY must be the URL"):
        proxy_of_all()
    monkeypatch.setenv("HOLDFAST_WEBHOOKS_PROXY", "http://proxy:3128")
    assert proxy_of_all() == "http://proxy:3128"
