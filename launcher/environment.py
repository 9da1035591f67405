"""Everything that the host knows about a job's W&B run, as one ordered list of variables, each with its source.

Where several places name a variable the strongest wins, weakest first: env.toml `[wandb]`, the profile's own fields,
its `env_vars`, the host's environment, a `config` that a program passes, `--env`. The host's login comes last and
only where none of them named a key. `variables.py` reads these places.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from shim import environment as contract
from shim import login
from shim.config import WandbConfig

from . import credentials
from .config import EnvFile, Profile, load_env_file
from .credentials import Credentials
from .errors import LauncherError
from .variables import EXPLICIT, ORDER, Variable, layers


@dataclass(frozen=True)
class Environment:
    """The variables of one job.

    Attributes:
        variables: In the order of the contract, then the profile's and the caller's own.
        credentials: The login that the key is from; None where none is needed or there is none.
        notes: What people should know: tracking is off, the server could not be asked.
    """

    variables: tuple[Variable, ...]
    credentials: Credentials | None = field(default=None)
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Variable:
        found = self.get(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[Variable]:
        return iter(self.variables)

    def get(self, name: str) -> Variable | None:
        """The variable of that name."""
        return next((variable for variable in self.variables if variable.name == name), None)

    @property
    def public(self) -> dict[str, str]:
        """Everything but the API key, by name: what may lie in a job file."""
        return {item.name: item.value for item in self.variables if item.name not in contract.SECRETS}

    @property
    def other_secrets(self) -> dict[str, str]:
        """Secrets beside the API key, by name: tokens and passwords that a profile or the caller names."""
        return {item.name: item.value for item in self.variables if item.secret and item.name not in contract.SECRETS}

    @property
    def brings_own_login(self) -> bool:
        """Whether the job finds a key or token at a path of its own."""
        return any(self.get(name) for name in (contract.API_KEY_FILE, contract.IDENTITY_TOKEN_FILE))

    @property
    def enabled(self) -> bool:
        """Whether a run is wanted: a project is named."""
        return self.get(contract.PROJECT) is not None

    @property
    def online(self) -> bool:
        """Whether the run needs a server."""
        mode = self.get(contract.MODE)
        return self.enabled and (mode is None or mode.value not in login.OFFLINE_MODES)


def resolve_environment(
    profile: str | Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    config: WandbConfig | None = None,
    *,
    env_file: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    verify: bool = False,
) -> Environment:
    """Resolve the variables of a job.

    Args:
        profile: A profile of env.toml by name, or one that a program made; None for the run's variables alone.
        env: Variables that win over all others, as `--env` gives them.
        config: Settings of the run that win over env.toml and the host's environment.
        env_file: The env.toml; by default WANDB_SHIM_ENV_FILE, else searched from the working directory upwards.
        environ: The host's environment; by default this process's.
        verify: Ask the server whether it takes the key; bounded, and not done for offline runs.

    Raises:
        LauncherError: For mistakes in env.toml or `env`, for a run that needs a key where there is none, and with
            `verify` for a key that the server rejects.
    """
    environ = os.environ if environ is None else environ
    file = load_env_file(env_file, environ=environ)
    return resolve(file, find_profile(file, profile), env or {}, config, environ, verify)


def find_profile(file: EnvFile | None, profile: str | Mapping[str, Any] | None) -> Profile | None:
    """The profile that a caller means.

    Raises:
        LauncherError: For a name without an env.toml, or one that the file lacks.
    """
    if profile is None:
        return None
    if not isinstance(profile, str):
        return Profile("(inline)", dict(profile))
    if file is None:
        raise LauncherError(
            f'profile "{profile}": no env.toml here or above, up to the project root; write one with [{profile}], '
            f"or name it with WANDB_SHIM_ENV_FILE"
        )
    return file.profile(profile)


def resolve(
    file: EnvFile | None,
    profile: Profile | None,
    env: Mapping[str, str],
    config: WandbConfig | None,
    environ: Mapping[str, str],
    verify: bool,
    key_needed: bool = True,
) -> Environment:
    """`resolve_environment` with the file read and the profile found.

    Args:
        file: The env.toml.
        profile: The profile.
        env: Variables that win over all others.
        config: Settings of the run.
        environ: The host's environment.
        verify: Ask the server whether it takes the key.
        key_needed: Whether it is an error if this host has no key: not where the job's engine keeps one.
    """
    strongest = {item.name: item for item in layers(file, profile, environ, config, env)}
    order = {name: place for place, name in enumerate(ORDER)}
    ordered = sorted(strongest.values(), key=lambda variable: order.get(variable.name, len(order)))
    problems = contract.Contract({name: item.value for name, item in strongest.items()}).problems
    environment = Environment(tuple(ordered), notes=problems)
    if environment.online:
        return _with_login(environment, environ, verify, key_needed)
    # Nobody will ask for the key, so it stays here.
    needed = tuple(item for item in ordered if item.name not in contract.SECRETS or item.source == EXPLICIT)
    note = f"tracking is off: no project; write `project` into [wandb] of env.toml or set {contract.PROJECT}"
    return Environment(needed, notes=problems if environment.enabled else (*problems, note))


def _with_login(environment: Environment, environ: Mapping[str, str], verify: bool, key_needed: bool) -> Environment:
    """Add the key of the host's login, unless someone named one, or a file that the job will find it in."""
    if environment.brings_own_login:
        return environment
    server = environment.get(contract.BASE_URL)
    base_url = server.value if server else None
    given = environment.get(contract.API_KEY)
    if given and given.source == EXPLICIT:
        found: Credentials | None = Credentials(given.value, EXPLICIT, "given")
    else:
        found = credentials.find_credentials(environ, base_url)
    if found is None:
        if key_needed:
            raise credentials.missing_key(environ, base_url)
        return environment
    if found.key is None:
        note = f"this host logs in with {found.source}, which stays here: the job needs a login of its own"
        return replace(environment, credentials=found, notes=(*environment.notes, note))
    note = credentials.check_key(base_url, found.key, server.source if server else "") if verify else ""
    variable = Variable(contract.API_KEY, found.key, found.source, secret=True)
    return Environment(
        variables=_with(environment.variables, variable),
        credentials=found,
        notes=(*environment.notes, note) if note else environment.notes,
    )


def _with(variables: tuple[Variable, ...], new: Variable) -> tuple[Variable, ...]:
    """The variables with one replaced or added, still in order."""
    others = [variable for variable in variables if variable.name != new.name]
    place = ORDER.index(new.name)
    before = [item for item in others if item.name in ORDER and ORDER.index(item.name) < place]
    return (*before, new, *others[len(before) :])
