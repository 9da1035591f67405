"""What every test may ask for, and two rules for all of them: nothing is left running, and nothing skipped in CI."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import psutil
import pytest

from tests import environments, interpreters, profile, support, turns
from tests.environments import INSTALLER_SETTINGS, REPOSITORY, python_of

# What the machine that runs the tests may say about Python, W&B or a job: no test inherits it.
FOREIGN = re.compile(
    r"(PYTHON|WANDB|PYTEST_|SLURM|OMPI_|PMIX?_|MPI_|MV2_|I_MPI_|HYDRA_|RAY_|SKYPILOT_|KUBERNETES_|TORCHELASTIC_"
    r"|TORCHINDUCTOR_|ACCELERATE_|NEMORUN_|COV_CORE_|COVERAGE_|DD_|NEW_RELIC_|OTEL_|XDG_|GIT_|VIRTUAL_ENV|MASTER_)"
    r"|((LOCAL_|GROUP_|NODE_|ROLE_)?RANK|(LOCAL_|ROLE_)?WORLD_SIZE|NETRC)$"
)

# How long a process that was told to end, or is about to, may take.
_GRACE_S = 10.0
_PR_SET_CHILD_SUBREAPER = 36


stopwatch = profile.Stopwatch()


class LeftBehindError(Exception):
    """Tests have left processes behind; the message names them."""


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the clone."""
    return REPOSITORY


@pytest.fixture(scope="session", params=interpreters.pythons())
def interpreter(request: pytest.FixtureRequest) -> Path:
    """The interpreter of `wandb-3.10` and so on, for each Python of this machine."""
    return python_of(f"wandb-{request.param}")


@pytest.fixture
def clean_environment(tmp_path: Path) -> dict[str, str]:
    """Variables for a process as a person would start it."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    return without_traces(home)


def without_traces(home: Path) -> dict[str, str]:
    """The variables of this process without a trace of this machine, of pytest or of another job.

    Args:
        home: A home directory: in the own one lie the settings of git and the W&B login of whoever runs the tests.
    """
    environ = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
    return {**environ, **INSTALLER_SETTINGS, "HOME": str(home)}


def pytest_configure() -> None:
    """Let Ctrl-C reach the programs that tests start, also where the tests themselves run in the background.

    A shell without job control starts background jobs with SIGINT ignored, and all their children inherit that.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests whose turn it is not (tests/turns.py)."""
    out = set(turns.left_out(items))
    if out:
        config.hook.pytest_deselected(items=[item for item in items if item in out])
        items[:] = [item for item in items if item not in out]


@pytest.fixture(scope="session", autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Fail the session if its tests leave processes behind; those, and no others, are ended.

    A daemon whose parent is gone would be adopted by init and out of sight: so this process adopts it.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    children = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    _, left = psutil.wait_procs([child for child in children if not _is_ours_or_over(child)], timeout=_GRACE_S)
    described = [_describe(process) for process in left]
    _end(left)
    if described:
        raise LeftBehindError("processes left behind by tests of this session:\n" + "\n".join(described))


def _is_ours_or_over(process: psutil.Process) -> bool:
    """Whether a process has ended, or is the helper that multiprocessing gives this process for its whole life."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE or (
            process.ppid() == os.getpid() and "multiprocessing.resource_tracker" in " ".join(process.cmdline())
        )
    except psutil.NoSuchProcess:
        return True


def _describe(process: psutil.Process) -> str:
    """Say what a process is and, by its home directory (see `clean_environment`), of which test."""
    try:
        with process.oneshot():
            return f"  {process.pid}: {' '.join(process.cmdline())} (HOME={process.environ().get('HOME', '')})"
    except psutil.Error as error:
        return f"  {error}"


def _end(processes: list[psutil.Process]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)  # psutil makes sure that the pid is still that of the same process
        _, processes = psutil.wait_procs(processes, timeout=_GRACE_S / 2)


def _fail_if_skipped_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where everything must be present: {report.longrepr}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what `make matrix` gives."""
    parser.addoption("--support", metavar="FILE", type=Path, help="write there what the tests ran on, as a table")


def pytest_runtest_setup() -> None:
    """Forget which environments the tests before this one have asked for."""
    environments.asked_for.clear()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the table of --support, and say where the time went where that is asked for."""
    if path := config.getoption("support"):
        reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
        path.write_text(support.page(support.tallies(reports)), encoding="utf-8")
    if os.environ.get(profile.VARIABLE):
        terminalreporter.section("where the time went")
        for line in profile.lines(report for kind in terminalreporter.stats.values() for report in kind):
            terminalreporter.write_line(line)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one in CI: there every real component has to be present."""
    report = yield
    _fail_if_skipped_in_ci(report)
    report.user_properties.append((f"cpu {call.when}", stopwatch.lap()))
    if call.when == "call":
        report.user_properties.extend(("environment", name) for name in sorted(environments.asked_for))
    if call.excinfo is not None and call.excinfo.errisinstance(LeftBehindError):
        # It comes up in the teardown of the last test, and where that one is expected to fail, as expected.
        report.outcome = "failed"
        vars(report).pop("wasxfail", None)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Do the same for a file that skips itself as a whole."""
    report = yield
    _fail_if_skipped_in_ci(report)
    return report
