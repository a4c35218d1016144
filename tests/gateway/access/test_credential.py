"""What a credential may do, and which channel a request of it is about."""

import pytest

from gateway.access import scopes
from gateway.access.credential import OPEN, Credential
from gateway.access.scopes import Scope
from gateway.problems import Forbidden


def credential(*held, channels=None):
    return Credential(id="c", source="key/c", scopes=frozenset(held), channels=channels)


def test_any_one_of_the_needed_scopes_is_enough_and_the_refusal_names_them():
    assert credential(Scope.ADJUST).may(scopes.RESULT)
    with pytest.raises(Forbidden, match=r"lacks the scope adjust or read or reserve\.") as caught:
        credential().check_scope(scopes.RESULT)
    assert caught.value.field == "scope"


def test_admin_may_all_and_so_may_an_open_gateways_caller():
    for needed in (scopes.READ, scopes.RESERVE, scopes.ADJUST, scopes.ADMIN, scopes.RESULT, scopes.ANY_COMMAND):
        credential(Scope.ADMIN).check_scope(needed)
        OPEN.check_scope(needed)
    assert OPEN.channel_for(None) is None
    assert OPEN.sees("any")


def test_the_only_channel_is_filled_in():
    assert credential(channels=("web",)).channel_for(None) == "web"
    assert credential(channels=("web",)).channel_for("web") == "web"


def test_one_of_several_channels_must_be_named():
    bound = credential(channels=("shop", "web"))
    with pytest.raises(Forbidden, match="one of shop, web"):
        bound.channel_for(None)
    with pytest.raises(Forbidden, match="lacks the channel market"):
        bound.channel_for("market")
    assert bound.channel_for("shop") == "shop"


def test_what_cannot_be_told_apart_by_channel_needs_all_channels():
    OPEN.check_unbound()
    with pytest.raises(Forbidden) as caught:
        credential(channels=("web",)).check_unbound()
    assert caught.value.field == "channel"


def test_a_bound_credential_sees_its_own_channels_only():
    bound = credential(channels=("web",))
    assert [bound.sees("web"), bound.sees("shop")] == [True, False]
