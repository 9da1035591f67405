"""Call a function once, at the first frame of `__main__`, before its first line.

That moment is before any user code, and after `site`: within `site` an exception or Ctrl-C would kill the interpreter,
and `__main__` has no file yet. The hook works for a script, `-m`, a directory, a zip file and bytecode alike. It uses
`sys.monitoring` (PEP 669) from Python 3.12 on, and `sys.setprofile` before. Either is given back before the function is
called, so that a profiler, a debugger or coverage that the script starts finds it free.
"""

import sys


def call_at_main(function: "Callable[[], None]") -> None:
    """Arm the hook. If the interpreter offers no way, the function is never called."""
    if hasattr(sys, "monitoring"):
        _by_monitoring(function)
    else:
        _by_profile(function)


def _is_main(frame: "FrameType") -> bool:
    return frame.f_code.co_name == "<module>" and frame.f_globals is sys.modules["__main__"].__dict__


def _by_monitoring(function: "Callable[[], None]") -> None:
    monitoring: "Any" = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
    # The tool IDs 0, 1, 2 and 5 belong to debuggers, coverage, profilers and optimizers (PEP 669).
    tool = next((free for free in (4, 3) if monitoring.get_tool(free) is None), None)
    if tool is None:
        return _by_profile(function)
    event = monitoring.events.PY_START
    monitoring.use_tool_id(tool, "wandb-shim")

    def started(code: "CodeType", offset: int) -> "object":
        if not _is_main(sys._getframe(1)):
            return monitoring.DISABLE
        monitoring.set_events(tool, 0)
        monitoring.register_callback(tool, event, None)
        monitoring.free_tool_id(tool)
        function()
        return None

    monitoring.register_callback(tool, event, started)
    monitoring.set_events(tool, event)
    return None


def _by_profile(function: "Callable[[], None]") -> None:
    def profile(frame: "FrameType", event: str, argument: object) -> None:
        if event == "call" and _is_main(frame):
            sys.setprofile(None)
            function()

    sys.setprofile(profile)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any
