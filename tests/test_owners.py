"""One owner a thing: who writes which table and which status, and who imports which library, read from the source.

Exact on purpose: a foreign writer fails, and so does an owner that no longer writes. It cannot see a write
through a row's relation, nor one by names that are only known when it runs.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
_WRITES = {
    "bulk_create",
    "bulk_update",
    "create",
    "delete",
    "get_or_create",
    "save",
    "update",
    "update_or_create",
}
STATUS_WRITERS = {"jobs/lifecycle.py", "jobs/transitions.py", "servers/health.py"}
# Jobs, attempts and servers are not here: their columns have owners of their own, of which `status` is one.
WRITERS = {
    "ApiToken": {"buildboard/core/auth.py"},
    "Artifact": {"jobs/artifacts.py"},
    "Event": {"buildboard/core/audit.py"},
    "FairShare": {"jobs/queue/shares.py"},
    "Heartbeat": {"buildboard/core/heartbeat.py"},
    "IdempotencyKey": {"jobs/api/idempotency.py"},
    "KeptForecast": {"jobs/queue/predictions.py"},
    "LogChunk": {"jobs/logs/row_writing.py", "jobs/logs/store.py"},
    "Orchestrator": {"jobs/orchestrators.py"},
    "ProbeSample": {"servers/measured.py"},
    "Prediction": {"jobs/queue/predictions.py"},
    "Refusal": {"jobs/queue/refusals.py"},
    "SealedLog": {"jobs/logs/seal.py"},
    "Secret": {"jobs/secrets.py"},
    "ServerCheck": {"servers/checks.py"},
    "ServerLease": {"servers/leases.py"},
    "Slot": {"servers/slots.py"},
    "Toolchain": {"servers/measured.py"},
}
IMPORTERS: dict[str, set[str]] = {
    "channels.layers": set(),
    "cryptography": {"buildboard/core/crypto.py"},
    "django_q": {"buildboard/core/enqueue.py", "buildboard/supervisor/cluster.py"},
    "zstandard": {"jobs/logs/sealed.py"},
    "paramiko": {
        "servers/ssh/dialling.py",
        "servers/ssh/executions.py",
        "servers/ssh/keeper.py",
        "servers/ssh/links.py",
    },
}


def sources() -> Iterator[tuple[str, ast.Module]]:
    """The product's modules, by their paths."""
    for package in ("buildboard", "jobs", "servers"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def root_of(node: ast.expr) -> str:
    """The name that a chain of calls, attributes and subscripts begins with."""
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def write_calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Calls that write rows, each with the name that its chain begins with; a variable stands for its rows."""
    stands_for = {
        target.id: root_of(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _WRITES:
            root = root_of(node.func)
            yield stands_for.get(root, root), node


def written_tables(tree: ast.Module) -> set[str]:
    """The models of WRITERS whose rows a module writes, or whose table it names in SQL of its own."""
    named = {
        root_of(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "db_table"
    }
    return ({root for root, _ in write_calls(tree)} | named) & WRITERS.keys()


def writes_status(tree: ast.Module) -> bool:
    """Whether a module gives some row another `status`."""
    by_call = any(
        keyword.arg == "status"
        or (keyword.arg == "update_fields" and "'status'" in ast.unparse(keyword.value))
        for _, call in write_calls(tree)
        for keyword in call.keywords
    )
    by_name = any(
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and node.attr == "status"
        and root_of(node) != "self"
        for node in ast.walk(tree)
    )
    return by_call or by_name


def imported(tree: ast.Module) -> set[str]:
    """The libraries of IMPORTERS that a module imports, anywhere in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {library for library in IMPORTERS if any(f"{name}.".startswith(f"{library}.") for name in names)}


def test_tables_are_written_by_their_owner_alone() -> None:
    found: dict[str, set[str]] = {model: set() for model in WRITERS}
    for path, tree in sources():
        for model in written_tables(tree):
            found[model].add(path)

    assert found == WRITERS


def test_status_is_written_by_its_owners_alone() -> None:
    assert {path for path, tree in sources() if writes_status(tree)} == STATUS_WRITERS


def test_libraries_are_imported_by_their_owner_alone() -> None:
    found: dict[str, set[str]] = {library: set() for library in IMPORTERS}
    for path, tree in sources():
        for library in imported(tree):
            found[library].add(path)

    assert found == IMPORTERS


def test_what_is_looked_for_is_seen() -> None:
    foreign = ast.parse(
        "def act(job):\n"
        "    from channels import layers\n"
        "    rows = Slot.objects.filter(pk=1)\n"
        "    rows.update(holder=None)\n"
        "    LogChunk.objects.filter(pk=1).delete()\n"
        "    cursor.execute(f'DELETE FROM {Artifact._meta.db_table}')\n"
        "    job.save(update_fields=['status'])\n"
    )
    harmless = ast.parse(
        "import channels.routing, cryptographyx\n"
        "def act(self):\n"
        "    self.status = Slot.objects.filter(status='x').count()\n"
        "    return Response(status=200)\n"
    )

    assert written_tables(foreign) == {"Slot", "LogChunk", "Artifact"}
    assert writes_status(foreign)
    assert imported(foreign) == {"channels.layers"}
    assert (written_tables(harmless), writes_status(harmless), imported(harmless)) == (set(), False, set())
