"""One variable of a job, and the places that name variables, weakest first.

All of W&B's own variables go from the host to the job, but for those that name a path, a program or a process of this
host (`STAYS`).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from shim import environment as contract
from shim import login
from shim.config import WandbConfig

from .config import EnvFile, Profile
from .credentials import find_server
from .errors import LauncherError, did_you_mean
from .kinds import NUMBER, TEXT, name_of
from .values import problem_of

HIDDEN = "********"
EXPLICIT = "--env"
HOST = "environment"

# The order in which variables are shown; all others follow.
ORDER = (
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

# What stays on the host: each names a path, a program or a process there. Names from wandb/env.py and
# wandb/sdk/wandb_settings.py, 0.31.0; the rest are the shim's marks of one process, and the launcher's own.
STAYS = frozenset(
    {
        *(contract.DIR, "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR", "WANDB_RUN_DIR"),
        *(contract.API_KEY_FILE, contract.IDENTITY_TOKEN_FILE, "WANDB_CREDENTIALS_FILE", "WANDB_CONFIG_PATHS"),
        *("WANDB_PROGRAM", "WANDB_PROGRAM_RELPATH", "WANDB_PROGRAM_ABSPATH", "WANDB_ARGS", "WANDB_X_EXECUTABLE"),
        *("WANDB_NOTEBOOK_NAME", "WANDB_JUPYTER", "WANDB_GIT_ROOT", "WANDB_CODE_DIR", "WANDB_SWEEP_PARAM_PATH"),
        *(contract.SERVICE, "WANDB_INITED", "WANDB_HOST", contract.OWNED_BY, contract.ATTACH, "WANDB_SHIM_ENV_FILE"),
    }
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
        if self.name == contract.BASE_URL:
            return login.shown(self.value)
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
    yield from _from_profile(profile, environ) if profile else ()
    yield from _from_host(environ)
    yield from _from_config(config, "config") if config else ()
    yield from _from_caller(env)


def _from_file(file: EnvFile | None, environ: Mapping[str, str]) -> Iterator[Variable]:
    section = file.wandb if file else None
    yield from _from_settings(environ, bool(section and section.base_url))
    if file is None or section is None:
        return
    source = f"{file.path.name} [wandb]"
    keys = {**{name: key for key, name in OF_CONFIG.items()}, contract.BASE_URL: "base_url"}
    for name, value in (*_values_of(section.config, source), (contract.BASE_URL, section.base_url)):
        if value:
            with _told_by(lambda text, name=name: file.problem("wandb", keys[name], text), source):  # type: ignore[misc]
                yield _variable(name, value, source)
    if section.inputs:
        yield Variable(contract.INPUTS, ",".join(section.inputs), source)
    if section.sync_tensorboard is not None:
        yield Variable(contract.TENSORBOARD, "on" if section.sync_tensorboard else "off", source)
    if section.metrics is not None:
        with _told_by(lambda text: file.problem("wandb", "metrics", text), source):
            yield _variable(contract.METRICS, section.metrics, source)


def _from_settings(environ: Mapping[str, str], server_known: bool) -> Iterator[Variable]:
    """What `wandb login --host` and `wandb offline` have said; the server only where nobody names another."""
    without = {name: value for name, value in environ.items() if name not in (contract.BASE_URL, contract.MODE)}
    if not server_known and not environ.get(contract.BASE_URL):
        server = find_server(without)
        if server.url:
            yield Variable(contract.BASE_URL, server.url, server.source)
    mode = login.find_mode(without)
    if mode and mode.value in login.OFFLINE_MODES:
        yield Variable(contract.MODE, mode.value, f"wandb {mode.value} ({mode.source})")


@contextlib.contextmanager
def _told_by(problem: Callable[[str], LauncherError], source: str) -> Iterator[None]:
    """Let an error name the file and the line instead of the source alone."""
    try:
        yield
    except LauncherError as error:
        raise problem(str(error).removeprefix(f"{source}: ")) from None


def _from_config(config: WandbConfig, source: str) -> Iterator[Variable]:
    yield from (_variable(name, value, source) for name, value in _values_of(config, source))


def _values_of(config: WandbConfig, source: str) -> Iterator[tuple[str, str]]:
    for attribute, name in OF_CONFIG.items():
        value = getattr(config, attribute)
        if isinstance(value, tuple):
            with_comma = next((word for word in value if "," in word), None)
            if with_comma is not None:
                raise LauncherError(f'{source}: "{with_comma}" has a comma, which separates {attribute} in {name}')
            value = ",".join(value)
        if value:
            yield name, value


def _from_profile(profile: Profile, environ: Mapping[str, str]) -> Iterator[Variable]:
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
        with _told_by(lambda text: profile.problem("env_vars", text), profile.source):
            yield _variable(name, _interpolated(str(value), environ, name, profile.source), profile.source)


# As OmegaConf has it, which Nemotron's commands read env.toml with.
_OF_HOST = re.compile(r"\$\{oc\.env:([A-Za-z_][A-Za-z0-9_]*)(?:,\s*([^}]*))?\}")


def _interpolated(value: str, environ: Mapping[str, str], name: str, source: str) -> str:
    """`${oc.env:NAME}` and `${oc.env:NAME,default}` with the host's values in their place."""

    def of_host(match: re.Match[str]) -> str:
        found = environ.get(match[1], match[2])
        if found is None:
            raise LauncherError(f"{source}: {name} takes {match[1]} from this host, where it is not set: set it")
        return found

    return _OF_HOST.sub(of_host, value)


def _from_host(environ: Mapping[str, str]) -> Iterator[Variable]:
    alias = environ.get(contract.GROUP_ALIAS)
    if alias:
        yield Variable(contract.GROUP, alias, HOST)
    for name, value in environ.items():
        if value.strip() and goes_along(name):
            yield _variable(name, value, HOST)


def goes_along(name: str) -> bool:
    """Whether a variable of the host goes to the job; private ones (WANDB__…) say how wandb runs here."""
    if not name.startswith("WANDB_") or name.startswith("WANDB__") or name in STAYS or name == contract.GROUP_ALIAS:
        return False
    return not name.startswith("WANDB_SHIM") or name in contract.OWN_VARIABLES


def left_behind(environ: Mapping[str, str]) -> tuple[str, ...]:
    """W&B's variables that stay on this host, sorted."""
    return tuple(sorted(name for name, value in environ.items() if value and name in STAYS))


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
    value = _checked(name, value, source)
    if name == contract.BASE_URL:
        secret = bool(urlsplit(value).password)
    else:
        secret = name in contract.SECRETS or bool(_SECRET_WORDS.search(name))
    return Variable(name, value, source, secret)


def _checked(name: str, value: str, source: str) -> str:
    """The value as it goes to the job.

    Raises:
        LauncherError: For one that no environment can carry, or that W&B would refuse there.
    """
    if "\0" in value:
        raise LauncherError(f"{source}: {name} holds a NUL character, which no environment can carry")
    if name == contract.API_KEY:
        return value.strip()
    problem = problem_of(name, value)
    if problem:
        shown = login.shown(value) if name == contract.BASE_URL else repr(value)
        raise LauncherError(f"{source}: {name}={shown} {problem}")
    if name == contract.MODE and value == "dryrun":  # as it was called before it was "offline"
        return "offline"
    return login.normal(value) if name == contract.BASE_URL else value
