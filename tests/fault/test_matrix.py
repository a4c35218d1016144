"""A part of the matrix of faults (`python -m tests.fault.matrix`), beside SIGKILL at every step."""

import pytest

from tests.fault.matrix import ACTIONS, COMMIT, DISKS, RECOVER, REVOKE, CellResult, Stage, all_cells, spread, table

# Each action in COMMIT, RECOVER and REVOKE, each disk with each action.
CELLS = [
    *("kill:revoke.1:same", "kill:revoke.3:moves", "kill:commit.5:stale", "kill:recover.6:stale"),
    *("stop:commit.4:moves", "stop:recover.9:same", "stop:revoke.2:moves"),
    *("raise:commit.5:same", "raise:recover.7:stale", "raise:revoke.1:same", "raise:revoke.3:moves"),
    *("hang:commit.3:moves", "hang:recover.4:wiped", "hang:revoke.2:moves"),
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    stage = Stage(tmp_path_factory.mktemp("stage"))
    yield stage
    stage.stop()


@pytest.mark.parametrize("name", CELLS)
async def test_a_fault_at_a_step_loses_nothing_and_doubles_nothing(stage, name):
    (cell,) = [cell for cell in all_cells() if cell.name == name]
    await stage.start()
    outcome = await stage.run(cell, 100 + CELLS.index(name))
    assert outcome.good, outcome.happened


def test_the_matrix_has_a_cell_for_every_action_step_and_disk():
    assert len(all_cells()) == len(ACTIONS) * len(COMMIT + RECOVER + REVOKE) * len(DISKS) == 304
    assert {cell[:2] for cell in spread()} == {cell[:2] for cell in all_cells()}
    assert {cell.disk for cell in spread()} == set(DISKS)


def test_a_cell_that_was_not_run_is_not_called_ok():
    assert table([]).count("not run") == 304
    assert "| ok" not in table([])


def test_a_cell_that_failed_once_is_called_failed():
    name = CELLS[0]
    text = table(
        [CellResult(name, True, "fine"), CellResult(name, False, "one result was lost"), CellResult(name, True, "fine")]
    )
    assert "**FAILED**: one result was lost" in text
    assert "1 of 304 cells were run, 0 are ok." in text
