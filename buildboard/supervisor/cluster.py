"""The first process of one django-q2 cluster: `python -m buildboard.supervisor.cluster NAME`.

It is not in charge of the queue (core/enqueue.py) or of what the tasks do.
"""

import gc
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module

import django

from buildboard.supervisor import busy, loss, tie


def main(name: str) -> None:
    """Run the cluster until SIGTERM; its name chooses its settings, so it is set before Django is loaded."""
    os.environ["Q_CLUSTER_NAME"] = name
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "buildboard.settings")
    tie.tie_leader()
    django.setup()
    from django_q import cluster, signals  # noqa: PLC0415, TID251  # after setup; the supervisor minds django-q2's processes

    loss.note_losses(cluster.Sentinel)
    for member in ("monitor", "pusher"):
        setattr(cluster, member, _tied(getattr(cluster, member)))
    signals.post_spawn.connect(_on_spawn, weak=False)
    signals.pre_execute.connect(_on_begin, weak=False)
    signals.post_execute_in_worker.connect(_on_end, weak=False)
    runners = ("jobs.execution.runner", "jobs.providers.fleet") if name == "runner" else ()
    for module in ("buildboard.core.tasks", "jobs.tasks", *runners):
        import_module(module)
    # What is loaded now is shared by all forks; without the freeze the first collection would copy it.
    gc.collect()
    gc.freeze()
    cluster.Cluster().start()


def _tied(member: Callable[..., None]) -> Callable[..., None]:
    """The same, ending with the supervisor: a worker that was killed may have taken a lock along, and then the sentinel
    starts no other that would end the group.
    """

    def run(*given: object) -> None:
        tie.watch_supervisor(on_loss=lambda: None)
        member(*given)

    return run


def _on_spawn(**_: object) -> None:
    """In each new worker: end with the supervisor, a runner in order."""
    tie.watch_supervisor(on_loss=_stop_own_task)


def _stop_own_task() -> None:
    """An idle one would die of it, and the next worker too, before any of them ends the group."""
    if os.environ["Q_CLUSTER_NAME"] == "runner" and busy.has_task():
        os.kill(os.getpid(), signal.SIGTERM)


def _on_begin(*, task: dict[str, object], **_: object) -> None:
    row = task.get("ack_id")
    busy.note_task(row=row if isinstance(row, int) else 0, path=str(task["func"]))


def _on_end(**_: object) -> None:
    busy.note_end()


if __name__ == "__main__":
    main(sys.argv[1])
