"""The first process of one django-q2 cluster: `python -m buildboard.supervisor.cluster NAME`.

It is not in charge of the queue (core/enqueue.py) or of what the tasks do.
"""

import gc
import os
import signal
import sys
from importlib import import_module

import django

from buildboard.supervisor import busy, loss, tie


def main(name: str) -> None:
    """Run the cluster until SIGTERM; its name chooses its settings, so it is set before Django is loaded."""
    os.environ["Q_CLUSTER_NAME"] = name
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "buildboard.settings")
    tie.tie_leader()
    django.setup()
    from django_q import signals  # noqa: PLC0415, TID251  # after setup; the supervisor minds django-q2's processes
    from django_q.cluster import Cluster, Sentinel  # noqa: PLC0415, TID251  # same

    loss.note_losses(Sentinel)
    signals.post_spawn.connect(_on_spawn, weak=False)
    signals.pre_execute.connect(_on_begin, weak=False)
    signals.post_execute_in_worker.connect(_on_end, weak=False)
    runners = ("jobs.execution.runner", "jobs.providers.fleet") if name == "runner" else ()
    for module in ("buildboard.core.tasks", "jobs.tasks", *runners):
        import_module(module)
    # What is loaded now is shared by all forks; without the freeze the first collection would copy it.
    gc.collect()
    gc.freeze()
    Cluster().start()


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
