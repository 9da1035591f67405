"""The contract: every environment variable that the shim reads, in one place.

The launcher writes these names on the host, the shim reads them in the container; nothing else passes between
the two. W&B's own names are used wherever W&B has one. Loaded before user code in processes that may own a run,
so: no imports.
"""

# W&B's own variables (https://docs.wandb.ai/guides/track/environment-variables).
API_KEY = "WANDB_API_KEY"
BASE_URL = "WANDB_BASE_URL"
PROJECT = "WANDB_PROJECT"
ENTITY = "WANDB_ENTITY"
NAME = "WANDB_NAME"
GROUP = "WANDB_RUN_GROUP"
JOB_TYPE = "WANDB_JOB_TYPE"
TAGS = "WANDB_TAGS"
NOTES = "WANDB_NOTES"
MODE = "WANDB_MODE"
DIR = "WANDB_DIR"
RUN_ID = "WANDB_RUN_ID"
RESUME = "WANDB_RESUME"
DOCKER = "WANDB_DOCKER"
INIT_TIMEOUT = "WANDB_INIT_TIMEOUT"
FINISH_TIMEOUT = "WANDB_FINISH_TIMEOUT"
IDENTITY_TOKEN_FILE = "WANDB_IDENTITY_TOKEN_FILE"
# Written by wandb itself: tells processes where wandb's service is (wandb/sdk/lib/service_token.py).
SERVICE = "WANDB_SERVICE"

# Names that people use; W&B itself does not read them.
GROUP_ALIAS = "WANDB_GROUP"
API_KEY_FILE = "WANDB_API_KEY_FILE"

# The shim's own, all optional.
SWITCH = "WANDB_SHIM"
INIT = "WANDB_SHIM_INIT"
OWNER = "WANDB_SHIM_OWNER"
SKIP = "WANDB_SHIM_SKIP"
INPUTS = "WANDB_SHIM_INPUTS"
TENSORBOARD = "WANDB_SHIM_TENSORBOARD"
CODE = "WANDB_SHIM_CODE"
METRICS = "WANDB_SHIM_METRICS"
CHECKPOINTS = "WANDB_SHIM_CHECKPOINTS"
NODES = "WANDB_SHIM_NODES"
TRAINS = "WANDB_SHIM_TRAINS"
TOOLS = "WANDB_SHIM_TOOLS"
LOG = "WANDB_SHIM_LOG"

# The launcher's own, on the host.
ENV_FILE = "WANDB_SHIM_ENV_FILE"

# Written by the shim, read by its descendants: "<pid of the owner>@<scheduler's job id or nothing>".
OWNED_BY = "WANDB_SHIM_OWNED_BY"

# Written by the shim, read by its children of multiprocessing: "<machine>:<process id>:<socket>" of the companion.
ATTACH = "WANDB_SHIM_ATTACH"

SECRETS = frozenset({API_KEY})

# Name: (meaning, values, default), as `python -m shim variables` shows them; docs/variables.md has a row for each.
OWN_VARIABLES = {
    SWITCH: ("the whole shim", "on | off", "on"),
    INIT: (
        "who opens the run: the shim at start, the script's own wandb.init, this process though it may be a tool",
        "auto | defer | always | off",
        "auto",
    ),
    OWNER: ("which rank owns the run", "auto | first | last | a rank", "auto"),
    TRAINS: (
        "console scripts and modules that train, beside those that the shim knows",
        "names, comma separated",
        "",
    ),
    TOOLS: ("console scripts and modules that are tools, and open no run", "names, comma separated", ""),
    SKIP: ("patches to leave out", "names, comma separated", ""),
    INPUTS: ("artifacts that the run consumes", "names, comma separated", ""),
    TENSORBOARD: ("what is written for TensorBoard into the run", "on | off", "on"),
    CODE: ("the script's source and the uncommitted changes into the run", "on | off", "off"),
    METRICS: (
        "metrics that the script prints into the run",
        "off | auto | a JSON object of regular expressions by the names of metrics",
        "off",
    ),
    CHECKPOINTS: ("files that torch.save saves as artifacts, beside those of frameworks", "auto | torch", "auto"),
    NODES: ("one process a node joins the run", "on | off", "off"),
    LOG: ("what the shim says on stderr", "warn | info | debug", "warn"),
}

_CHOICES = {
    SWITCH: ("on", "off"),
    INIT: ("auto", "defer", "always", "off"),
    TENSORBOARD: ("on", "off"),
    CODE: ("on", "off"),
    CHECKPOINTS: ("auto", "torch"),
    NODES: ("on", "off"),
    LOG: ("warn", "info", "debug"),
}


class Contract:
    """What the shim's own variables say in one environment.

    Attributes:
        problems: One sentence for each value that is none of those possible; the default is in force instead.
    """

    __slots__ = (
        *("checkpoints", "code", "init", "inputs", "log", "nodes", "owner", "problems", "skip", "switch"),
        *("tensorboard", "tools", "trains"),
    )

    def __init__(self, environ: "Mapping[str, str]") -> None:
        problems: list[str] = []
        self.switch = _choice(environ, SWITCH, problems) == "on"
        self.init = _choice(environ, INIT, problems)
        self.owner = _owner(environ, problems)
        self.skip = frozenset(comma_separated(environ.get(SKIP, "")))
        self.trains = comma_separated(environ.get(TRAINS, ""))
        self.tools = comma_separated(environ.get(TOOLS, ""))
        self.inputs = comma_separated(environ.get(INPUTS, ""))
        self.tensorboard = _choice(environ, TENSORBOARD, problems) == "on"
        self.code = _choice(environ, CODE, problems) == "on"
        self.checkpoints = _choice(environ, CHECKPOINTS, problems)
        self.nodes = _choice(environ, NODES, problems) == "on"
        self.log = _choice(environ, LOG, problems)
        self.problems = tuple(problems)


def unknown(environ: "Mapping[str, str]", patches: "Iterable[str]") -> "list[str]":
    """One sentence for each name, of a variable or of a patch to leave out, that the shim does not know.

    Args:
        environ: The environment.
        patches: Names of the patches that there are.
    """
    known = {*OWN_VARIABLES, OWNED_BY, ATTACH, ENV_FILE}
    names = [name for name in environ if name.startswith("WANDB_SHIM") and name not in known]
    said = [f"{name} is no variable of the shim; `python -m shim variables` lists them" for name in sorted(names)]
    wrong = [name for name in comma_separated(environ.get(SKIP, "")) if name not in patches]
    if wrong:
        said.append(f"{SKIP} names {', '.join(wrong)}; known: {', '.join(sorted(patches))}")
    return said


def finish_timeout(environ: "Mapping[str, str]") -> float:
    """WANDB_FINISH_TIMEOUT in seconds; 0, with the meaning that it has for wandb, where nothing bounds a run's end."""
    try:
        seconds = float(environ.get(FINISH_TIMEOUT, ""))
    except ValueError:
        return 0.0
    return seconds if 0 < seconds < float("inf") else 0.0


def comma_separated(text: str) -> tuple[str, ...]:
    """`"a, b,,c"` → `("a", "b", "c")`."""
    return tuple(word for word in (part.strip() for part in text.split(",")) if word)


def _choice(environ: "Mapping[str, str]", name: str, problems: list[str]) -> str:
    default = OWN_VARIABLES[name][2]
    value = environ.get(name, "").strip().lower()
    if not value:
        return default
    if value in _CHOICES[name]:
        return value
    problems.append(f"{name}={value!r} is not one of {', '.join(_CHOICES[name])}; using {default!r}")
    return default


def _owner(environ: "Mapping[str, str]", problems: list[str]) -> "str | int":
    value = environ.get(OWNER, "").strip().lower()
    if value in ("", "auto", "first", "last"):
        return value or "auto"
    if value.isdecimal():
        return int(value)
    problems.append(f"{OWNER}={value!r} is not auto, first, last or a rank; using 'auto'")
    return "auto"


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
