"""`python -m launcher env | check`: show, export and check what a job would be given."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import io
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence

from shim import environment as contract

from . import fields, render
from .config import EnvFile, load_env_file
from .environment import find_profile, resolve
from .errors import LauncherError
from .executors import EXECUTORS
from .executors.base import EXECUTION, Executor
from .variables import EXPLICIT, left_behind

_ABOUT_SECRETS = """\
Secrets: the API key is left out of every format unless --reveal is given, because what is printed ends up in files,
scrollback and CI logs. Without it the table shows ********, json has null, shell and dotenv have a comment, and
docker has the bare name: `docker run --env-file` then takes the value from its own environment. With --reveal write
to a pipe or a 0600 file: eval "$(python -m launcher env --format shell --reveal)"."""

OK, BAD, NOTE = "ok  ", "BAD ", "note"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; mistakes are one line on stderr and exit code 1."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except LauncherError as error:
        print(f"launcher: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m launcher", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    env = commands.add_parser(
        "env",
        help="the variables of a job, each with its source",
        epilog=_ABOUT_SECRETS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    env.add_argument("--profile", help="a profile of env.toml; without one the run's variables alone")
    env.add_argument("--format", choices=render.FORMATS, default="table", help="default: table")
    env.add_argument("--reveal", action="store_true", help="write secrets, too")
    env.add_argument("--env", action="append", default=[], metavar="K=V", help="a variable that wins over all others")
    env.set_defaults(command=_env)

    check = commands.add_parser("check", help="is everything there: env.toml, the login, the server, nemo-run?")
    check.add_argument("--profile", help="check this profile alone")
    check.set_defaults(command=_check)
    return parser


def _env(options: argparse.Namespace) -> int:
    file = load_env_file()
    profile = find_profile(file, options.profile)
    key_needed = True
    if profile:
        executor = fields.executor_of(profile)
        secret = fields.read_fields(profile, executor).get(".wandb_secret", "")
        key_needed = executor.needs_key_here(secret)
    given = dict(_assignment(text) for text in options.env)
    environment = resolve(file, profile, given, None, os.environ, verify=False, key_needed=key_needed)
    if options.format == "table":
        # A pipe or file has no columns: there every variable keeps its one line.
        text = render.table(environment, options.reveal, shutil.get_terminal_size((0, 0)).columns)
    else:
        text = render.FORMATS[options.format](environment, options.reveal)
    _write(text, exact=options.format != "table")
    for note in environment.notes:
        print(f"launcher: {note}", file=sys.stderr)
    stay = left_behind(os.environ)
    if stay:
        print(f"launcher: these name something of this host and stay here: {', '.join(stay)}", file=sys.stderr)
    hidden = [item.name for item in environment if item.secret]
    if hidden and not options.reveal and options.format not in ("table", "docker"):
        print(f"launcher: left out: {', '.join(hidden)}; --reveal writes them", file=sys.stderr)
    return 0


def _write(text: str, exact: bool) -> None:
    """Write to stdout whatever it can encode: values for programs byte by byte, those for people escaped."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        if exact:
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
        else:
            sys.stdout.reconfigure(errors="backslashreplace")
    sys.stdout.write(text)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise LauncherError(f"{EXPLICIT} {text}: write NAME=VALUE")
    if name in contract.SECRETS:
        raise LauncherError(f"{EXPLICIT} {name}: every user of this host can read command lines; set {name} instead")
    return name, value


def _check(options: argparse.Namespace) -> int:
    findings = [finding for step in (_check_file, _check_login, _check_nemo_run) for finding in step(options.profile)]
    _write("".join(f"{mark} {text}\n" for mark, text in findings), exact=False)
    return int(any(mark == BAD for mark, _ in findings))


Finding = tuple[str, str]


def _check_file(only: str | None) -> Iterator[Finding]:
    try:
        file = load_env_file()
        section = file.wandb if file else None
    except LauncherError as error:
        yield BAD, str(error)
        return
    if file is None:
        yield NOTE, "no env.toml here or above, up to the project root"
        return
    yield OK, str(file.path)
    if section is None or not section.config.enabled:
        yield NOTE, "[wandb] names no project: tracking is off unless WANDB_PROJECT is set"
    yield from _each_profile(file, only)


def _each_profile(file: EnvFile, only: str | None) -> Iterator[Finding]:
    for name in [only] if only else file.profiles:
        try:
            profile = file.profile(name)
            if "executor" not in profile.fields and not only:
                continue  # a base of others
            executor = fields.executor_of(profile)
            fields.read_fields(profile, executor)
        except LauncherError as error:
            yield BAD, str(error)
        else:
            yield OK, f"[{name}]: {executor.kind}"


def _check_login(only: str | None) -> Iterator[Finding]:
    try:
        environment = resolve(load_env_file(), None, {}, None, os.environ, verify=True)
    except LauncherError as error:
        yield BAD, str(error)
        return
    yield from ((NOTE, note) for note in environment.notes)
    if environment.credentials:
        server = environment.get(contract.BASE_URL)
        yield OK, f"key from {environment.credentials.source} for {server.value if server else 'W&B'}"
    elif environment.enabled:
        yield NOTE, "offline: no key needed" if not environment.online else "the job brings its own key"


def _check_nemo_run(only: str | None) -> Iterator[Finding]:
    if importlib.util.find_spec("nemo_run") is None:
        yield NOTE, f"nemo-run is not installed; executors need it: {fields.install_command('local')}"
        return
    yield from map(_check_executor, EXECUTORS.values())


def _check_executor(executor: Executor) -> Finding:
    kind = executor.kind
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if executor.package:
                importlib.import_module(executor.package)
            importlib.import_module(f"{EXECUTION}.{executor.module}")
    except ImportError as error:
        return NOTE, f"{kind} executors cannot be built ({error}): {fields.install_command(kind)}"
    return OK, f"{kind} executors can be built"


if __name__ == "__main__":
    sys.exit(main())
