# SPDX-License-Identifier: Apache-2.0
"""Jobs on real worker processes."""

import os
import signal
from pathlib import Path

import pytest

from config.errors import Refusal
from jobs.runner import Job, follow, run, workers
from jobs.store import Store


def square(x):
    return {"square": x * x, "process": os.getpid()}


def die_once(marker):
    """Kills its worker the first time."""
    path = Path(marker)
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"lived": True}


@pytest.fixture(scope="module")
def client():
    with workers(2) as found:
        yield found


def test_jobs_follow_each_other_and_are_kept(client, tmp_path):
    store, order = Store(tmp_path / "results.jsonl"), []

    def done(job, value):
        order.append(job.key)
        following = job.args[0] * 10
        return [Job(str(following), square, (following,))] if following < 400 else []

    run(client, [Job(str(n), square, (n,)) for n in (1, 2, 3)], store, done)
    assert sorted(map(int, order)) == [1, 2, 3, 10, 20, 30, 100, 200, 300]
    assert store.find("300")["square"] == 90000
    assert store.find("1")["process"] != os.getpid()
    again = Store(tmp_path / "results.jsonl")
    order.clear()
    run(None, [Job("2", square, (2,))], again, done)
    assert order == ["2", "20", "200"]


def test_a_worker_that_dies_loses_no_job(client, tmp_path):
    store = Store(tmp_path / "results.jsonl")
    jobs = [Job("dies", die_once, (str(tmp_path / "marker"),)), *(Job(str(n), square, (n,)) for n in range(6))]
    run(client, jobs, store, lambda job, value: [])
    assert store.find("dies") == {"lived": True}
    assert [store.find(str(n))["square"] for n in range(6)] == [0, 1, 4, 9, 16, 25]
    assert (tmp_path / "marker").exists()


def sums(first, stages):
    """A course: squares of as many numbers as the stage before gave digits, until all stages are through."""
    total = first
    for _ in range(stages):
        values = yield [Job(str(n), square, (n,)) for n in range(total, total + 2)]
        total = sum(value["square"] for value in values)
        yield []
    return total


def test_courses_run_side_by_side(client, tmp_path):
    """Each is told the results of its own jobs, in their order; a job of two courses is run once."""
    told = []
    store = Store(tmp_path / "results.jsonl")
    assert follow(
        client, [sums(1, 2), sums(2, 1), sums(1, 1), sums(7, 0)], store, lambda job: told.append(job.key)
    ) == [
        5**2 + 6**2,
        2**2 + 3**2,
        5,
        7,
    ]
    assert sorted(told) == ["1", "1", "2", "2", "2", "3", "5", "6"]
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 5
    assert follow(None, [sums(1, 2)], Store(tmp_path / "results.jsonl")) == [61]


def fail():
    raise Refusal("a sentence")


def test_what_a_job_raises_is_raised(client, tmp_path):
    store = Store(tmp_path / "results.jsonl")
    with pytest.raises(Refusal, match=r"^a sentence$"):
        run(client, [Job("1", square, (1,)), Job("bad", fail)], store, lambda job, value: [])
    assert store.find("bad") is None


def test_a_scheduler_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setenv("SCHEDULER", "tcp://127.0.0.1:9")
    monkeypatch.setattr("jobs.runner.Client", refuse)
    with pytest.raises(Refusal) as refusal, workers():
        pass
    assert str(refusal.value) == (
        "$SCHEDULER must be the address of a Dask scheduler, such as tcp://host:8786, and none answers at "
        "tcp://127.0.0.1:9; start one (`dask scheduler`), or unset SCHEDULER to use this machine's cores."
    )


def refuse(address, timeout):
    """What Dask's client raises when nobody answers."""
    raise OSError(f"Timed out trying to connect to {address} after {timeout}")


def test_a_scheduler_elsewhere_is_used(client, monkeypatch, tmp_path):
    monkeypatch.setenv("SCHEDULER", client.scheduler.address)
    with workers() as other:
        assert other.scheduler_info()["workers"]
        store = Store(tmp_path / "results.jsonl")
        run(other, [Job("4", square, (4,))], store, lambda job, value: [])
    assert store.find("4")["square"] == 16
