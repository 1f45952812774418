# SPDX-License-Identifier: Apache-2.0
"""Runs jobs through Dask: on all cores of this machine, or on the cluster whose scheduler is in $SCHEDULER.

jobs ─► known? ─┬─ yes ──────────────────────► done ─► the jobs that follow
                └─ no ─► worker ─► store ─────►
"""

import itertools
import logging
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from dask.distributed import Client, Future, LocalCluster, as_completed

from config.errors import Refusal
from jobs.store import Store, Value

SCHEDULER = "SCHEDULER"
"""The environment variable with a scheduler's address, such as tcp://host:8786."""


@dataclass(frozen=True)
class Job:
    """key: everything that the result depends on. function, args: what gives it; both must be such that another process
    can be sent them, and the function may run again if its worker dies. state: whatever the caller wants back."""

    key: str
    function: Callable[..., Value]
    args: tuple[Any, ...] = ()
    state: Any = None


Done = Callable[[Job, Value], Iterable[Job]]
"""Is told of each result, and gives the jobs that follow from it, if any do."""
Course = Generator[list[Job], list[Value], Any]
"""Gives jobs, is sent all their results, in the order of the jobs, and so on, until it returns what came of it."""


@contextmanager
def workers(count: int | None = None) -> Iterator[Client]:
    """Processes of one thread each: `count` of them, else as many as there are cores; or those of $SCHEDULER. Raises
    `Refusal` if there is no scheduler at that address."""
    address = os.environ.get(SCHEDULER)
    if address:
        with _client(address) as client:
            yield client
        return
    # What workers say when they are told to stop is no news.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with (
        LocalCluster(n_workers=count or _cores(), threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _client(address: str) -> Client:
    try:
        return Client(address, timeout="10s")
    except (OSError, ValueError, TypeError) as error:
        raise Refusal(
            f"${SCHEDULER} must be the address of a Dask scheduler, such as tcp://host:8786, and none answers at "
            f"{address}; start one (`dask scheduler`), or unset {SCHEDULER} to use this machine's cores."
        ) from error


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def run(client: Client, jobs: Iterable[Job], store: Store, done: Done) -> None:
    """Every job whose result is not in the store, and every job that follows; of those with one key, only one is run.
    Results are stored before `done` is told; a worker that dies has its job done by another, three times at most."""
    queue = as_completed()
    running: dict[Future, str] = {}
    asked: dict[str, list[Job]] = {}

    def start(some: Iterable[Job]) -> None:
        waiting = list(some)
        while waiting:
            job = waiting.pop(0)
            known = store.find(job.key)
            if known is not None:
                waiting += done(job, known)
                continue
            asked.setdefault(job.key, []).append(job)
            if len(asked[job.key]) == 1:
                future = client.submit(job.function, *job.args, pure=False)
                running[future] = job.key
                queue.add(future)

    start(jobs)
    for future in queue:
        key, value = running.pop(future), future.result()
        store.add(key, value)
        start(itertools.chain.from_iterable(done(job, value) for job in asked.pop(key)))


@dataclass
class _Stage:
    """What a course waits for, and the results that are there, by their place."""

    jobs: list[Job]
    values: dict[int, Value] = field(default_factory=dict)


def follow(
    client: Client, courses: Sequence[Course], store: Store, progress: Callable[[Job], object] = lambda job: None
) -> list[Any]:
    """Runs the jobs of all courses side by side, as `run` does; what each course returns. `progress` is told of every
    job whose result is there."""
    stages: dict[int, _Stage] = {}
    returned: dict[int, Any] = {}

    def step(course: int, values: list[Value] | None) -> list[Job]:
        """The course's next jobs; a stage without jobs is answered at once."""
        try:
            jobs = next(courses[course]) if values is None else courses[course].send(values)
            while not jobs:
                jobs = courses[course].send([])
        except StopIteration as end:
            returned[course] = end.value
            return []
        stages[course] = _Stage([replace(job, state=(course, place)) for place, job in enumerate(jobs)])
        return stages[course].jobs

    def done(job: Job, value: Value) -> list[Job]:
        progress(job)
        course, place = job.state
        stage = stages[course]
        stage.values[place] = value
        if len(stage.values) < len(stage.jobs):
            return []
        return step(course, [stage.values[n] for n in range(len(stage.jobs))])

    run(client, [job for course in range(len(courses)) for job in step(course, None)], store, done)
    return [returned[course] for course in range(len(courses))]
