"""Which tasks can have workers of the same pool."""

from __future__ import annotations

import pytest

from reptarium.pool.workers.configuration import zygote_config
from reptarium.pool.workers.sharing import fits, kernel_limits, pool_for, same_pool, share_of_uids, terms
from reptarium.sandbox.wire import ZygoteConfig
from tests.conftest import make_settings

MIB = 2**20


def config(**environ: str) -> ZygoteConfig:
    """What workers are made with under these settings."""
    return zygote_config(make_settings({f"REPTARIUM_{name}": value for name, value in environ.items()}))


@pytest.mark.parametrize(
    ("environ", "same"),
    [
        ({"LANGUAGE": "python"}, False),
        ({"SCRATCH": "1MiB"}, False),
        ({"CONNECT_ALLOW": "a.example:1"}, False),
        ({"READ_PATHS": "/srv"}, False),
        ({"TASK_MEMORY": "1GiB", "MAX_THREADS": "3", "MAX_OPEN_FILES": "20", "MAX_RESULT": "1MiB"}, True),
        ({"RPC_ALLOW": "none", "MAX_CONSOLE": "0"}, True),
    ],
)
def test_what_must_be_decided_before_a_worker_is_forked(environ: dict[str, str], same: bool) -> None:
    """Powers, and what may be read; limits and calls not."""
    assert same_pool(config(), config(**environ)) is same


def test_how_much_and_where_to_is_told_later() -> None:
    """Of files and connections it counts whether there are any."""
    assert same_pool(config(SCRATCH="1MiB"), config(SCRATCH="2MiB"))
    assert same_pool(config(CONNECT_ALLOW="a.example:1"), config(CONNECT_ALLOW="b.example:1"))


def test_a_pool_is_made_for_the_most() -> None:
    """Of each limit by itself; then all of them fit, and what isn't alike is told with the task."""
    small, large = config(MAX_THREADS="9", SCRATCH="1MiB"), config(TASK_MEMORY="1GiB", SCRATCH="2MiB")
    made = pool_for([small, large])
    assert kernel_limits(made).memory == 1024 * MIB
    assert (kernel_limits(made).max_threads, kernel_limits(made).scratch_bytes) == (9, 2 * MIB)
    for one in (small, large):
        assert fits(one, made)
        told = terms(one, made)
        assert told is not None
        assert told.kernel == kernel_limits(one)
    assert terms(made, made) is None
    assert not fits(config(TASK_MEMORY="2GiB", SCRATCH="1MiB"), made)
    assert not fits(config(), made)


def test_workers_that_are_not_adjustable_serve_their_like_only() -> None:
    """Those of a runner without a policy."""
    assert fits(config(), config())
    assert not fits(config(TASK_MEMORY="64MiB"), config())


def test_no_two_pools_hand_out_the_same_user() -> None:
    """Each has a part of the range, as long as that has one for each."""
    ranges = [share_of_uids(config(WORKER_UIDS="100-109"), number, 3).isolation.worker_uids for number in range(3)]
    assert ranges == [(100, 102), (103, 105), (106, 108)]
    assert share_of_uids(config(WORKER_UIDS="100-101"), 2, 3).isolation.worker_uids == (100, 101)
    assert share_of_uids(config(WORKER_UIDS="none"), 2, 3).isolation.worker_uids is None
