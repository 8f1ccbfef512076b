"""What a client sends about build servers: types, bounds and unknown keys.

Rules on values are validation.py's, what needs the database is fields.py's and registry.py's.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from buildboard.core.schemas import Given, Instant

Name = Annotated[str, Field(max_length=64, examples=["arm-1"])]
Text = Annotated[str, Field(max_length=1024)]
Port = Annotated[int, Field(ge=1, le=65535)]
Builds = Annotated[int, Field(ge=1, le=256, description="Slots: how many builds run at once.")]
Percent = Annotated[int, Field(ge=1, le=100)]
Architectures = Annotated[
    list[Annotated[str, Field(max_length=64)]],
    Field(max_length=32, description="None: the first probe says which.", examples=[["aarch64"]]),
]
Labels = Annotated[dict[str, Annotated[str, Field(max_length=255)]], Field(max_length=64)]
Variables = Annotated[
    dict[str, Annotated[str, Field(max_length=16_384)]],
    Field(max_length=64, description="Of every probe and build there, such as PATH. Readers see them."),
]
PrivateKey = Annotated[
    str | None,
    Field(
        max_length=32_768,
        repr=False,
        description="Write only. Absent or null: the board makes a pair; see `public_key`.",
    ),
]
Passphrase = Annotated[
    str | None,
    Field(max_length=1024, repr=False, description="Write only, used once: of an encrypted `private_key`."),
]
HostKeyLine = Annotated[
    str | None,
    Field(
        max_length=4096,
        description="`ssh-ed25519 AAAA...`, ECDSA or RSA. Absent: an operator accepts what is seen.",
    ),
]
JumpHost = Annotated[str | None, Field(max_length=64, description="Another build server's id or name.")]
Until = Annotated[
    Instant | None,
    Field(description="When it ends by itself. Null: when somebody ends it."),
]
Transport = Annotated[Literal["ssh", "local"], Field(description="`local` is added by the board itself.")]


class GivenLimits(Given):
    """Above these a server takes no new builds, in percent; what is left out stays."""

    cpu_percent: Percent | None = None
    memory_percent: Percent | None = None
    storage_percent: Percent | None = None


class _GivenServer(Given):
    name: Name = ""
    hostname: Annotated[str, Field(max_length=253, examples=["arm1.example.org"])] = ""
    ssh_port: Port = 22
    ssh_username: Annotated[str, Field(max_length=64, examples=["build"])] = ""
    private_key: PrivateKey = None
    private_key_passphrase: Passphrase = None
    host_key: HostKeyLine = None
    jump_host: JumpHost = None
    transport: Transport = "ssh"
    architectures: Architectures = []
    max_concurrent_builds: Builds = 4
    labels: Labels = {}
    group: Annotated[str | None, Field(max_length=64)] = None
    work_dir: Annotated[str | None, Field(max_length=255)] = None
    environment: Variables = {}
    enabled: bool = True
    utilization_limits: GivenLimits = GivenLimits()

    def fields(self) -> dict[str, Any]:
        """What was named, as registry.py takes it."""
        named = self.model_dump(exclude_unset=True)
        if isinstance(named.get("utilization_limits"), dict):
            limits = named["utilization_limits"]
            named["utilization_limits"] = {name: value for name, value in limits.items() if value is not None}
        return named


class NewServer(_GivenServer):
    """A build server to be added. Builds run with the rights of `ssh_username`; nothing is sandboxed."""

    name: Name


class ServerChange(_GivenServer):
    """What is to change of a build server; what is left out stays.

    Another hostname, port or user is another machine: its pin and its login key are dropped.
    """

    draining: Annotated[bool, Field(description="Takes no new builds; running ones go on.")] = False
    draining_reason: Annotated[str | None, Field(max_length=1000)] = None
    draining_until: Until = None


class GivenOutage(Given):
    """Take a server out (maintenance, a drain or a quarantine), or back.

    At `until` a drain ends at once, maintenance through a probe, a quarantine through one build that goes well.
    """

    enabled: bool
    reason: Annotated[str, Field(max_length=1000)] = ""
    until: Until = None

    def left_out(self) -> frozenset[str]:
        """Which of reason and end were not named."""
        return frozenset({"reason", "until"} - self.model_fields_set)


class GivenRemoval(Given):
    """Remove a server by force."""

    confirm: Annotated[str, Field(max_length=64, description="The server's name.")]
    reason: Annotated[str, Field(max_length=1000)] = ""


class GivenFingerprint(Given):
    """The host key that an operator has compared and accepts."""

    fingerprint: Annotated[
        str,
        Field(min_length=8, max_length=128, examples=["SHA256:Cpp/Rjo+MqiS2yPZ0LHVl0oz8Wt6TWqA0iRzNpSsBO4"]),
    ]
