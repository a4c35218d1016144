"""A revoked partition is closed, even after an error."""

import pytest

from agents import failpoints
from agents.config import WorkerConfig
from agents.partition import Partition


class OpenStore:
    """Stands for a LocalStore: notes that it was closed."""

    closed = False

    def close(self):
        self.closed = True


@pytest.mark.parametrize("step", ["revoke.1", "revoke.2", "revoke.3"])
async def test_a_revocation_that_fails_at_any_step_still_closes_gate_and_store(tmp_path, monkeypatch, step):
    partition = Partition(0, WorkerConfig(bootstrap="localhost:1", data_dir=tmp_path), lambda: True)
    store = partition._local = OpenStore()
    monkeypatch.setattr(failpoints, "hit", failpoints._armed(f"{step}:raise"))
    with pytest.raises(failpoints.FailpointError):
        await partition.revoke()
    assert store.closed
    assert partition._revoked
