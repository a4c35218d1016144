"""What a credential with some channels sees is written down for every route, so that nobody forgets it of a new one."""

import re

import pytest
from repository import document

from gateway.access.scopes import NOBODY
from gateway.routes.table import ROUTES

WRITTEN = set(re.findall(r"`((?:GET|POST|PUT) [^`]+)`", document("docs/how-to/who-may.md")))
SCOPED = {route.name for route in ROUTES if route.scope is not NOBODY}


@pytest.mark.parametrize("route", sorted(SCOPED))
def test_a_route_stands_in_the_table_of_who_may(route):
    assert route in WRITTEN, "say in docs/how-to/who-may.md what a credential with some channels sees of it"


def test_the_table_has_no_other_route():
    assert sorted(WRITTEN - SCOPED) == []
