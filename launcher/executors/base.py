"""What one executor is to the launcher: its fields, how its values are spelt, and how secrets get to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..config import Profile
from ..credentials import Credentials
from ..key_files import FILE_NAME
from ..kinds import OBJECT, TABLE, TEXT, TEXTS, WHOLE, Kind

MOUNTED_FILE = f"/run/secrets/{FILE_NAME}"

EXECUTION = "nemo_run.core.execution"

LIST = Kind("a list", lambda value: isinstance(value, list | tuple))


@dataclass(frozen=True)
class Field:
    """One profile field.

    Attributes:
        kind: What it takes.
        target: nemo-run's name; "" for the same name. One with a leading "." is no field of nemo-run: the executor's
            `finish` puts it where it belongs.
    """

    kind: Kind
    target: str = ""


@dataclass(frozen=True)
class Cargo:
    """What is to get to a job without lying where others read.

    Attributes:
        credentials: The host's login; None where the engine has a secret and the host no login.
        secret: Name of the engine's secret, from the profile's `wandb_secret`; "" for none.
        inherited: This process's environment, which a local job sees whatever we do.
        others: Other variables that hold secrets, such as HF_TOKEN; only for executors that carry variables.
    """

    credentials: Credentials | None = None
    secret: str = ""
    inherited: Mapping[str, str] = field(default_factory=dict, repr=False)
    others: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def key(self) -> str:
        """The W&B key itself; "" where there is none."""
        return (self.credentials.key or "") if self.credentials else ""


@dataclass(frozen=True)
class Delivery:
    """What the way of the secrets to one executor adds to it.

    Attributes:
        env: Variables, none of them secret.
        fields: Fields of the executor, replacing those that it had.
        warning: What remains readable, or what the user has to do; "" for nothing.
        carried: Names of `Cargo.others` that travel with the key, and so in no variable of the executor.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    warning: str = ""
    carried: frozenset[str] = frozenset()


Spell = Callable[[dict[str, Any], Mapping[str, str]], None]


def nothing(fields: dict[str, Any], profile: Profile) -> None:
    """Nothing is to be put right."""


@dataclass(frozen=True)
class Executor:
    """One executor of nemo-run.

    Attributes:
        kind: The profile's word for it.
        module: Where nemo-run defines it, below nemo_run.core.execution.
        class_name: Its class; RayJob goes by the exact class, so never a subclass.
        fields: Profile fields, next to `COMMON`.
        spell: Puts the variables into the fields so that they arrive unchanged.
        deliver: The way of the secrets; called where there are some, or where the engine keeps the key.
        finish: Turns what a profile says in other words than nemo-run into nemo-run's fields.
        required: Fields, by nemo-run's names, that it cannot do without.
        extra: What pip must install beside plain nemo-run.
        package: What nemo-run's module imports without, and its class refuses without.
        engine_secret: Name of the secret that the engine has unless the profile's `wandb_secret` names another; ""
            where the key comes from this host.
        carries_variables: Whether other secrets than the key can travel with it.
    """

    kind: str
    module: str
    class_name: str
    fields: Mapping[str, Field]
    spell: Spell
    deliver: Callable[[Cargo, Mapping[str, Any]], Delivery]
    finish: Callable[[dict[str, Any], Profile], None] = nothing
    required: tuple[str, ...] = ()
    extra: str = ""
    package: str = ""
    engine_secret: str = ""
    carries_variables: bool = False

    def needs_key_here(self, secret: str) -> bool:
        """Whether this host must have the key: not where the engine keeps it.

        Args:
            secret: The profile's `wandb_secret`.
        """
        return not (self.engine_secret or secret)


def fields_of(table: Mapping[Kind, str]) -> dict[str, Field]:
    """Fields that have nemo-run's names, by what they take: `{TEXT: "account partition"}`."""
    return {name: Field(kind) for kind, names in table.items() for name in names.split()}


# Fields that every profile may have.
COMMON = {
    **fields_of({TEXT | OBJECT: "launcher", WHOLE: "retries"}),
    "packager": Field(TEXT | OBJECT, ".packager"),
    "packager_include_pattern": Field(TEXT | TEXTS, ".packager_include_pattern"),
    "executor": Field(TEXT, ".executor"),
    "env_vars": Field(TABLE, ".env_vars"),
}
# A field of the engines that have secrets.
WANDB_SECRET = {"wandb_secret": Field(TEXT, ".wandb_secret")}

NO_QUOTES_NEEDED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_")


def plain(fields: dict[str, Any], env: Mapping[str, str]) -> None:
    """For interfaces that take values as they are."""
    fields["env_vars"] = dict(env)


def doubled(fields: dict[str, Any], env: Mapping[str, str]) -> None:
    """For readers to whom `$$` is `$`.

    Local: torchx's scheduler runs values through string.Template (macros.Values.apply); SkyPilot: nemo-run does
    (ExecutorMacros.apply); Kubernetes: the kubelet expands `$(NAME)`.
    """
    fields["env_vars"] = {name: value.replace("$", "$$") for name, value in env.items()}


def shell_quoted(value: str) -> str:
    r"""A value as one word of a shell that string.Template, which nemo-run applies too, leaves alone.

    So a `$` is `\$` and always followed by a quote or the end: never `$$`, never `$name`.
    """
    if value and NO_QUOTES_NEEDED.issuperset(value):
        return value
    return r"\$".join("'" + part.replace("'", "'\"'\"'") + "'" for part in value.split("$"))


def assumed(kind: str, cargo: Cargo, name: str, create: str) -> str:
    """The message for a secret of the engine that nobody has named; "" where the profile names one."""
    if cargo.secret:
        return ""
    return (
        f'{kind}: the job takes the W&B key from the secret "{name}"; if there is none yet: {create}. '
        f"`wandb_secret` in the profile names another and ends this message"
    )
