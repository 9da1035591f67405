"""One variable of a job, and the places that name variables, weakest first.

What belongs to one process or one machine is left to the container side: paths of this host (WANDB_DIR), the marks of
the shim, the scheduler's job id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shim import environment as contract
from shim.config import WandbConfig

from .config import EnvFile, Profile
from .credentials import find_server
from .errors import LauncherError, did_you_mean
from .kinds import NUMBER, TEXT, name_of

HIDDEN = "********"
EXPLICIT = "--env"
HOST = "environment"

# Variables that a job takes from the host's environment, in the order in which all are shown. Left out: paths of
# this host (WANDB_DIR, WANDB_API_KEY_FILE, WANDB_IDENTITY_TOKEN_FILE) and WANDB_SHIM_OWNED_BY, one process's mark.
FROM_HOST = (
    contract.PROJECT,
    contract.ENTITY,
    contract.NAME,
    contract.GROUP,
    contract.JOB_TYPE,
    contract.TAGS,
    contract.NOTES,
    contract.MODE,
    contract.BASE_URL,
    contract.API_KEY,
    contract.DOCKER,
    contract.RUN_ID,
    contract.RESUME,
    contract.INIT_TIMEOUT,
    contract.FINISH_TIMEOUT,
    *contract.OWN_VARIABLES,
)

# WandbConfig's fields and their variables.
OF_CONFIG = {
    "project": contract.PROJECT,
    "entity": contract.ENTITY,
    "run_name": contract.NAME,
    "group": contract.GROUP,
    "job_type": contract.JOB_TYPE,
    "tags": contract.TAGS,
    "notes": contract.NOTES,
}

# Profile fields that name the image, for WANDB_DOCKER.
IMAGE_FIELDS = ("container_image", "container", "image")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_WORDS = re.compile(r"(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)


@dataclass(frozen=True)
class Variable:
    """One variable of the job.

    Attributes:
        name: Its name.
        value: Its value; never in `repr` or `str` where it is a secret.
        source: Who said so: "env.toml [wandb]", "environment", "--env", "wandb login (~/.netrc)".
        secret: Whether it is a key, token or password.
    """

    name: str
    value: str
    source: str
    secret: bool = False

    @property
    def shown(self) -> str:
        """The value for people's eyes."""
        return HIDDEN if self.secret else self.value

    def __repr__(self) -> str:
        return f"Variable({self.name}={self.shown!r}, source={self.source!r})"

    __str__ = __repr__


def layers(
    file: EnvFile | None,
    profile: Profile | None,
    environ: Mapping[str, str],
    config: WandbConfig | None,
    env: Mapping[str, str],
) -> Iterator[Variable]:
    """Every variable that anyone names, weakest source first.

    Args:
        file: The env.toml.
        profile: The profile.
        environ: The host's environment.
        config: Settings that a program passes.
        env: What `--env` says.

    Raises:
        LauncherError: For a value or name that no environment can carry, or a key in a file.
    """
    yield from _from_file(file, environ)
    yield from _from_profile(profile) if profile else ()
    yield from _from_host(environ)
    yield from _from_config(config, "config") if config else ()
    yield from _from_caller(env)


def _from_file(file: EnvFile | None, environ: Mapping[str, str]) -> Iterator[Variable]:
    server = find_server({name: value for name, value in environ.items() if name != contract.BASE_URL})
    if server.url:
        yield Variable(contract.BASE_URL, server.url, server.source)
    section = file.wandb if file else None
    if file is None or section is None:
        return
    source = f"{file.path.name} [wandb]"
    yield from _from_config(section.config, source)
    if section.base_url:
        yield Variable(contract.BASE_URL, section.base_url, source)
    if section.inputs:
        yield Variable(contract.INPUTS, ",".join(section.inputs), source)
    if section.sync_tensorboard is not None:
        yield Variable(contract.TENSORBOARD, "on" if section.sync_tensorboard else "off", source)


def _from_config(config: WandbConfig, source: str) -> Iterator[Variable]:
    for attribute, name in OF_CONFIG.items():
        value = getattr(config, attribute)
        if isinstance(value, tuple):
            with_comma = next((word for word in value if "," in word), None)
            if with_comma is not None:
                raise LauncherError(f'{source}: "{with_comma}" has a comma, which separates {attribute} in {name}')
            value = ",".join(value)
        if value:
            yield Variable(name, _checked(name, value, source), source)


def _from_profile(profile: Profile) -> Iterator[Variable]:
    image = next((profile.fields[name] for name in IMAGE_FIELDS if profile.fields.get(name)), None)
    if isinstance(image, str):
        yield Variable(contract.DOCKER, image, profile.source)
    table = profile.fields.get("env_vars", {})
    if not isinstance(table, Mapping):
        raise profile.problem("env_vars", f'"env_vars" must be a table, found {name_of(table)}')
    for name, value in table.items():
        if name == contract.API_KEY:
            text = f"{name} does not belong into a file that others read: run `wandb login`, or set it on the host"
            raise profile.problem("env_vars", text)
        if not (TEXT | NUMBER).accepts(value):
            text = f'"{name}" in env_vars must be text, found {name_of(value)}: put it in quotes'
            raise profile.problem("env_vars", text)
        yield _variable(name, str(value), profile.source)


def _from_host(environ: Mapping[str, str]) -> Iterator[Variable]:
    alias = environ.get(contract.GROUP_ALIAS)
    if alias:
        yield Variable(contract.GROUP, alias, HOST)
    for name in FROM_HOST:
        value = environ.get(name)
        if value:
            yield _variable(name, value, HOST)


def _from_caller(env: Mapping[str, str]) -> Iterator[Variable]:
    for name, value in env.items():
        if not isinstance(value, str):
            raise LauncherError(f"{EXPLICIT} {name}: the value must be text, found {name_of(value)}")
        yield _variable(contract.GROUP if name == contract.GROUP_ALIAS else name, value, EXPLICIT)


def _variable(name: str, value: str, source: str) -> Variable:
    if not _NAME.fullmatch(name):
        raise LauncherError(f"{source}: {name!r} is no name of a variable: letters, digits and _ only")
    if name.startswith("WANDB_SHIM") and name not in contract.OWN_VARIABLES:
        raise LauncherError(f"{source}: no variable {name} for jobs{did_you_mean(name, contract.OWN_VARIABLES)}")
    if name == contract.BASE_URL:
        value = value.rstrip("/")
    secret = name in contract.SECRETS or bool(_SECRET_WORDS.search(name))
    return Variable(name, _checked(name, value, source), source, secret)


def _checked(name: str, value: str, source: str) -> str:
    if "\0" in value:
        raise LauncherError(f"{source}: {name} holds a NUL character, which no environment can carry")
    return value
