"""What a client sends to have a job: types, bounds and unknown keys.

Rules on values are validation.py's, what needs the database is jobs/submission.py's.
"""

from typing import Annotated

from pydantic import Field

from buildboard.core.schemas import Given
from jobs.schemas.words import PriorityWord

Text = Annotated[str, Field(max_length=255)]
Seconds = Annotated[int, Field(ge=1, le=2_592_000)]
Words = Annotated[list[Annotated[str, Field(max_length=1024)]], Field(max_length=64)]
Labels = Annotated[dict[str, Text], Field(max_length=64)]
Environment = Annotated[dict[str, str], Field(max_length=500)]


class BuildConfig(Given):
    """How a Linux kernel tree is built when there is no command."""

    kernel_config: Annotated[str, Field(max_length=128)] = ""
    extra_make_args: Words = []
    enable_modules: Annotated[
        bool | None, Field(description="CONFIG_MODULES; if absent it is as the configuration says.")
    ] = None
    build_dtbs: bool = False
    custom_env: Environment = {}


class Submission(Given):
    """A build job as it is submitted."""

    source_repository: Annotated[str, Field(max_length=2048, examples=["https://github.com/torvalds/linux"])]
    target_architecture: Annotated[str, Field(max_length=64, examples=["x86_64"])]
    branch: Text = "main"
    commit_hash: Annotated[str, Field(max_length=64, description="HEAD, or 7-64 hex digits.")] = "HEAD"
    server_id: Annotated[str, Field(max_length=64, description="`auto`, or a server's id or name.")] = "auto"
    server_fallback: Annotated[
        bool,
        Field(
            description="Whether any other server may take it when the one of `server_id` cannot at that moment, "
            "also because it is full; else that one is waited for. Means nothing with `auto`."
        ),
    ] = False
    build_command: Annotated[str | None, Field(description="Shell text; if absent it is found.")] = None
    build_config: BuildConfig | None = None
    priority: PriorityWord = "normal"
    required_toolchain: Annotated[
        str | None,
        Field(
            max_length=128, description="Native or cross: `gcc`, `gcc-12`, `gcc>=12`, or a program's name."
        ),
    ] = None
    required_labels: Labels = {}
    group: Annotated[str | None, Field(max_length=64)] = None
    min_cpu_cores: Annotated[int, Field(ge=1, le=65_536)] | None = None
    min_memory_mb: (
        Annotated[int, Field(ge=1, le=1_000_000_000, description="Of the whole server.")] | None
    ) = None
    min_storage_gb: (
        Annotated[int, Field(ge=1, le=1_000_000_000, description="Free when the job starts.")] | None
    ) = None
    artifact_paths: Annotated[
        Words,
        Field(
            description="Globs under the work tree: `**` is any number of folders, a folder means all in it."
        ),
    ] = []
    timeout_seconds: Seconds = 3600
    idle_timeout_seconds: Seconds | None = None
    queue_timeout_seconds: Annotated[
        Seconds | None,
        Field(description="It fails, category `system`, once it waited this long for a server; null: never."),
    ] = None
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 2
    retry_on: Annotated[Words, Field(description="Error categories to try again after.")] = ["system"]
    environment: Environment = {}
    secrets: Annotated[Words, Field(description="Names of stored secrets.")] = []
    labels: Labels = {}
    callback_url: Annotated[str | None, Field(max_length=2048, description="Not available yet.")] = None
    callback_secret: Annotated[str | None, Field(max_length=1024, description="Not available yet.")] = None
    provider: Annotated[str, Field(max_length=32)] = "fleet"
    job_type: Annotated[str, Field(max_length=64)] = "build"
