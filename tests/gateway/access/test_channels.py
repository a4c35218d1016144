"""What binds a command to who sent it: its source, and the channels of a credential that has only some."""

import json

import msgspec
import pytest

from gateway.access.channels import bind
from gateway.problems import Forbidden, RequestRefused
from schemas.codes import Code
from tests.examples import EXAMPLES

OWN = ("shop", "web")
EXAMPLE_OF = {example["type"]: example for example in EXAMPLES}
WITH_CHANNELS = ["amend", "commit", "extend", "reallocate", "release", "query"]


def bound(type_, fields, channels=OWN, source=None):
    raw = {name: msgspec.Raw(json.dumps(value).encode()) for name, value in fields.items()}
    bind(source, channels, type_, raw)
    return {name: json.loads(bytes(value)) for name, value in raw.items()}


@pytest.mark.parametrize("type_", EXAMPLE_OF)
def test_the_source_is_the_credentials(type_):
    assert bound(type_, {}, None, "key/shop") == {"source": "key/shop"}


@pytest.mark.parametrize("source", ["mine", 7, ["x"]])
def test_a_callers_own_source_is_refused(source):
    with pytest.raises(RequestRefused) as caught:
        bound("adjust", {"source": source}, None, "key/shop")
    assert (caught.value.code, caught.value.field) == (Code.INVALID_FIELD, "source")


def test_an_open_gateways_commands_have_no_source():
    assert bound("adjust", {"source": None}, None) == {"source": None}


def test_every_command_about_a_reservation_carries_the_channels_and_no_other_does():
    carrying = [type_ for type_ in EXAMPLE_OF if "channels" in bound(type_, {"channel": "web"})]
    assert sorted(carrying) == sorted(WITH_CHANNELS)
    assert bound("return", {"reservation_id": "r"})["channels"] == [*OWN]


def test_channels_of_the_caller_are_kept_when_the_credential_has_them_all():
    assert bound("commit", {"channels": ["web"]})["channels"] == ["web"]
    with pytest.raises(Forbidden, match="lacks the channel market"):
        bound("commit", {"channels": ["web", "market"]})


@pytest.mark.parametrize("type_", ["reserve", "query", "set_policy", "set_channel"])
def test_a_channel_must_be_one_of_the_credentials(type_):
    assert bound(type_, {"channel": "web"})["channel"] == "web"
    with pytest.raises(Forbidden, match="lacks the channel market; it has shop, web") as caught:
        bound(type_, {"channel": "market"})
    assert caught.value.field == "channel"


@pytest.mark.parametrize("type_", ["set_policy", "set_channel"])
def test_the_policy_for_all_channels_is_not_a_bound_credentials(type_):
    with pytest.raises(Forbidden, match=r"lacks the channel \*"):
        bound(type_, {"channel": "*"})


def test_a_reservation_without_a_channel_gets_the_only_one():
    assert bound("reserve", {}, ("web",)) == {"channel": "web"}
    assert bound("reserve", {"channel": None}, ("web",)) == {"channel": "web"}


def test_a_reservation_without_a_channel_is_of_the_default_channel():
    assert "channel" not in bound("reserve", {}, ("default", "web"))
    with pytest.raises(Forbidden, match="lacks the channel default"):
        bound("reserve", {})


def test_without_channels_nothing_is_bound():
    for type_, example in EXAMPLE_OF.items():
        fields = {name: value for name, value in example.items() if name != "source"}
        assert bound(type_, fields, None) == fields


def test_what_is_no_string_is_left_to_the_decoder():
    assert bound("reserve", {"channel": 7}) == {"channel": 7}
    assert bound("commit", {"channels": 7}) == {"channels": 7}
    nested = {"channel": msgspec.Raw(b"[" * 5000 + b"]" * 5000)}
    bind(None, OWN, "reserve", nested)
    assert len(bytes(nested["channel"])) == 10_000
