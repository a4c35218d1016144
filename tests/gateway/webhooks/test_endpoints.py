"""The file of endpoints: what it may say, and the sentence about what is wrong."""

import json

import pytest

from gateway.webhooks.endpoints import WebhooksFileError, read_endpoints

GOOD = {"id": "shop", "url": "https://shop.example.com/hook", "types": ["stock-change"]}


@pytest.fixture
def write(tmp_path, secrets):
    def write(*endpoints):
        path = tmp_path / "webhooks.json"
        given = [{**GOOD, "secrets": [secrets[0]], **changed} for changed in endpoints]
        path.write_text(json.dumps({"endpoints": given}))
        return path

    return write


def test_a_file_has_endpoints_with_filters(write, secrets):
    full = {
        "secrets": list(secrets), "types": ["stock-change", "unsolicited-result"], "skus": ["a/b", "ä"],
        "warehouses": ["york"], "channels": ["web"], "batch": 100, "url": "http://127.0.0.1:8000/x?y=1",
    }  # fmt: skip
    plain, with_all = read_endpoints(write({}, {"id": "2", **full}))
    assert (plain.id, plain.batch, plain.skus) == ("shop", 1, None)
    assert (with_all.skus, with_all.batch, with_all.secrets) == (["a/b", "ä"], 100, list(secrets))
    assert secrets[0] not in repr(plain)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"url": "http://shop.example.com/"}, "endpoint 1 (shop): url must be https"),
        ({"url": "ftp://127.0.0.1/"}, "url must begin with https://"),
        ({"url": "https://a:b@shop.example.com/"}, "must not have a user or password"),
        ({"url": "https://shop.example.com:port/"}, "url is no URL"),
        ({"url": "https://shop.example.com/#a"}, "#fragment"),
        ({"url": "shop"}, "url must begin with https://"),
        ({"secrets": []}, "length >= 1 - at `$.secrets`"),
        ({"secrets": ["whsec_abc"]}, "secret 1 must be whsec_ and the base64 of 24 to 64 random bytes"),
        ({"secrets": ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}, "secret 1 must be whsec_"),
        ({"types": ["stock-changes"]}, "Invalid enum value 'stock-changes'"),
        ({"types": ["order-event"]}, "this version publishes no order events: leave it out"),
        ({"types": ["unsolicited-result"], "warehouses": ["york"]}, "warehouses filters stock changes only"),
        ({"batch": 101}, "`int` <= 100 - at `$.batch`"),
        ({"skus": ["a\nb"]}, "`$.skus[0]`"),
        ({"channels": ["a b"]}, "`$.channels[0]`"),
        ({"color": "red"}, "unknown field `color`"),
        ({"id": "a/b"}, "`$.id`"),
    ],
)
def test_what_is_wrong_is_said_with_the_endpoint(write, changed, sentence):
    path = write(changed)
    with pytest.raises(WebhooksFileError) as error:
        read_endpoints(path)
    assert sentence in str(error.value)
    assert str(path) in str(error.value)


def test_an_id_counts_once(write):
    with pytest.raises(WebhooksFileError, match="two endpoints with the id shop"):
        read_endpoints(write({}, {}))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[]", "must be"),
        ("{", "no JSON"),
        ('{"endpoints": []}', "has no endpoint"),
        ('{"endpoints": [3]}', "Expected `object`"),
        ('{"hooks": []}', "unknown field"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, content, sentence):
    path = tmp_path / "webhooks.json"
    path.write_text(content)
    with pytest.raises(WebhooksFileError, match=sentence):
        read_endpoints(path)


def test_a_file_that_is_missing_or_that_others_may_write_is_refused(write, tmp_path):
    with pytest.raises(WebhooksFileError, match="cannot be read"):
        read_endpoints(tmp_path / "none.json")
    path = write({})
    path.chmod(0o622)
    with pytest.raises(WebhooksFileError, match="chmod go-w"):
        read_endpoints(path)
