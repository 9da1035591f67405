"""Where wrapt comes from: the image's own if it has one, else the copy that was baked beside the shim.

The copy's directory joins the end of sys.path, and only when a patch needs wrapt: the shim never changes the version
of anything that the image has.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType


def load_wrapt() -> ModuleType:
    """Import wrapt.

    Raises:
        ImportError: Neither the interpreter nor the shim's home has it.
    """
    try:
        import wrapt
    except ImportError:
        vendor = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "vendor")
        if vendor in sys.path or not os.path.isdir(vendor):
            raise
        sys.path.append(vendor)
        import wrapt
    module: ModuleType = wrapt
    return module
