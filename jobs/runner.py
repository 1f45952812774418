# SPDX-License-Identifier: Apache-2.0
"""Runs jobs through Dask: on all cores of this machine, or on the cluster whose scheduler is in $SCHEDULER.

jobs ─► known? ─┬─ yes ──────────────────────► done ─► the job that follows from it, if any
                └─ no ─► worker ─► store ─────►
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


Done = Callable[[Job, Value], Job | None]
"""Is told of each result, and gives the job that follows from it, if one does."""


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
    """Every job whose result is not in the store, and every job that follows. Results are stored before `done` is told;
    a worker that dies has its job done by another, three times at most."""
    queue = as_completed()
    running: dict[Future, Job] = {}

    def start(job: Job | None) -> None:
        while job is not None:
            known = store.find(job.key)
            if known is None:
                future = client.submit(job.function, *job.args, pure=False)
                running[future] = job
                queue.add(future)
                return
            job = done(job, known)

    for job in jobs:
        start(job)
    for future in queue:
        job, value = running.pop(future), future.result()
        store.add(job.key, value)
        start(done(job, value))
