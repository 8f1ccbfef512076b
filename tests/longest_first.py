"""Puts the files of tests that last longest at the beginning, when several processes share them.

Else one process would still be at a long one when the others have nothing left to do. A plugin of pytest:
`-n 3 --dist loadfile --no-loadscope-reorder -p tests.longest_first` hands out the files in this order.
"""

import pytest

# By the time that they took in CI; most of it may be waiting. A new file that takes half a minute belongs here.
# The eight runners come a little later than they might: on PostgreSQL, where less is before them, they run first.
LONGEST = (
    "tests/test_durability.py",
    "tests/browser/test_every_page.py",
    "tests/browser/test_log.py",
    "tests/browser/test_jobs.py",
    "tests/test_up.py",
    "tests/test_supervisor_kills.py",
    "tests/test_dispatchers.py",
    "tests/test_fleet_over_ssh.py",
    "tests/faults/test_board.py",
    "tests/faults/test_links.py",
    "tests/servers/test_ssh_faults.py",
    "tests/jobs/test_follow.py",
    "tests/servers/test_helper_run.py",
    "tests/faults/test_dropped.py",
    "tests/faults/test_servers.py",
    "tests/jobs/test_probing.py",
    "tests/browser/test_servers.py",
    "tests/browser/test_log_budgets.py",
    "tests/servers/test_helper_faults.py",
    "tests/servers/test_helper_cancel.py",
    "tests/jobs/test_build_script_mirrors.py",
    "tests/jobs/test_collecting.py",
    "tests/test_settings.py",
    "tests/test_supervisor_runner_cluster.py",
    "tests/servers/test_helper_races.py",
    "tests/jobs/test_build_script_trees.py",
    "tests/jobs/test_build_script_kinds.py",
    "tests/jobs/test_lines.py",
    "tests/jobs/test_lifecycle.py",
    "tests/jobs/test_consumers.py",
    "tests/faults/test_leaks.py",
    "tests/test_real_packages.py",
)
_PLACES = {path: place for place, path in enumerate(LONGEST)}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Alone, a process keeps the order of the files."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _PLACES.get(item.nodeid.partition("::")[0], len(LONGEST)))
