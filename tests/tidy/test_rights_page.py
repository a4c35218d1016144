"""The page on securing Kafka has the rights that the code knows, as a table and as commands of Kafka's own tool."""

import pytest
from repository import document

from ops.kafka.rights import ROLES
from tests.tidy.rights_page import PAGE, commands, row, written


@pytest.mark.parametrize("name", ROLES)
def test_the_table_has_the_rights_of_a_role(name):
    assert row(name, ROLES[name]) in document(PAGE).splitlines()


@pytest.mark.parametrize("name", ROLES)
def test_the_commands_give_a_role_its_rights(name):
    page = document(PAGE).splitlines()
    assert [line for line in page if f"User:{name} " in line] == list(commands(name, ROLES[name]))


def test_the_page_is_written_anew_from_the_code():
    page = document(PAGE)
    assert written(page) == page
    assert written(page.replace("--operation ClusterAction ", "").replace("ClusterAction: the cluster |", "|")) == page
