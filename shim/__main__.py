"""`python -m shim install | uninstall | doctor | explain | run | status | variables`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from . import __version__, borrowed, columns, doctor, environment, explain, init, install, interpreters, status
from .checkpoint import JOURNAL


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 is success, 1 a finding or a failure, 2 wrong usage. `run` ends with its command's code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except interpreters.InstallError as error:
        print(f"wandb-shim: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader has gone: `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m shim", description="Track unmodified training scripts in W&B.")
    parser.add_argument("--version", action="version", version=f"wandb-shim {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("install", help="bake the shim into interpreters; doing it again changes nothing")
    command.add_argument("--home", type=Path, help="where the shim is to lie (default: /opt/wandb-shim or in the venv)")
    command.add_argument(
        "--python", action="append", metavar="PATH", help="interpreter (default: this one); repeatable"
    )
    command.add_argument("--all", action="store_true", help="every base interpreter found where images keep them")
    command.add_argument("--home-only", action="store_true", help="no doors: the home is for somebody's PYTHONPATH")
    command.set_defaults(run=_install)

    command = commands.add_parser("uninstall", help="take it out again and restore what was there")
    command.add_argument("--home", type=Path, help="where the shim lies")
    command.set_defaults(run=_uninstall)

    command = commands.add_parser("doctor", help="say what is installed and whether a run could be tracked")
    command.add_argument("--json", action="store_true", help="for programs")
    command.add_argument("--strict", action="store_true", help="exit with 1 if anything is BAD")
    command.set_defaults(run=_doctor)

    command = commands.add_parser("explain", help="say what would happen for a command line, without running it")
    command.add_argument("--json", action="store_true", help="for programs")
    command.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="e.g. torchrun train.py --lr 1")
    command.set_defaults(run=_explain)

    command = commands.add_parser(
        "run", help="track one command, baked or not; as a container's init, wait for its run to be finished"
    )
    command.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="e.g. -- torchrun train.py --lr 1"
    )
    command.set_defaults(run=_run)

    command = commands.add_parser("status", help="say which runs are open here, and what became of checkpoints")
    command.add_argument("directory", nargs="?", help="checkpoints: say what is saved and committed there, run or not")
    command.add_argument("--all", action="store_true", help="also runs whose script has ended, while they are finished")
    command.add_argument("--json", action="store_true", help="for programs")
    command.set_defaults(run=_status)

    command = commands.add_parser("variables", help="list the shim's own variables")
    command.set_defaults(run=_variables)
    return parser


def _install(options: argparse.Namespace) -> int:
    if options.home_only:
        home = (options.home or install.BASE_HOME).absolute()
        install.install([], home, compiled_by=_all_pythons())
        print(f"shim: {home}; to use it: PYTHONPATH={home}")
        return 0
    pythons = [*(options.python or ()), *(_all_pythons() if options.all else ())]
    home, doors = install.install(pythons or [sys.executable], options.home)
    print(f"shim: {home}")
    for door in doors:
        kept = f" (the sitecustomize that was there still runs: {door.displaced})" if door.displaced else ""
        print(f"door: {door.files[0]} for {door.python}{kept}")
    return 0


def _all_pythons() -> list[str]:
    return interpreters.find([sys.executable, *interpreters.candidates(os.environ)])


def _uninstall(options: argparse.Namespace) -> int:
    home = options.home or install.default_home([interpreters.describe(sys.executable)])
    for door in install.uninstall(home):
        print(f"closed: {door.files[0]} for {door.python}")
    print(f"removed: {home}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    findings = doctor.examine(os.environ)
    print(doctor.as_json(findings) if options.json else doctor.report(findings))
    return int(options.strict and not all(finding.ok for finding in findings))


def _explain(options: argparse.Namespace) -> int:
    command = options.command[options.command[:1] == ["--"] :]
    if not command:
        print("wandb-shim: explain needs a command: python -m shim explain COMMAND", file=sys.stderr)
        return 2
    found = explain.explain(command, os.environ)
    if options.json:  # one object where the command leads to one program, a list where a shell's script has several
        print(json.dumps(found[0] if len(found) == 1 else found, indent=2))
    else:
        print("\n".join(columns.wrapped(explain.said(one)) for one in found))
    return 0


def _run(options: argparse.Namespace) -> int:
    command = options.command[options.command[:1] == ["--"] :]
    if not command:
        print("wandb-shim: run needs a command: python -m shim run -- COMMAND", file=sys.stderr)
        return 2
    started = "_wandb_shim" in sys.modules  # by a door; the command's interpreters then have it, too
    return init.run(command, os.environ if started else borrowed.with_a_door(os.environ))


def _status(options: argparse.Namespace) -> int:
    if options.directory is None:
        found = status.open_runs(options.all)
        print(json.dumps(found, indent=2) if options.json else status.said_of_runs(found))
        return 0
    rows = status.checkpoints(options.directory)
    if rows is None:
        print(f"wandb-shim: {options.directory} has no {JOURNAL}: no tracked job has saved there", file=sys.stderr)
        return 1
    print(json.dumps(rows, indent=2) if options.json else status.said_of_checkpoints(rows))
    return 0


def _variables(options: argparse.Namespace) -> int:
    for name, (meaning, values, default) in environment.OWN_VARIABLES.items():
        print(f"{name:<24} {meaning} [{values}; default: {default or 'empty'}]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
