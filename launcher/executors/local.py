"""A process of this host.

The key is inherited: from the environment, or from the login's own file. One that a program gives us is a 0600 file
on this host, gone when the launching process ends. Other secrets are inherited, too, where this process has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shim import environment as contract

from ..errors import LauncherError
from ..key_files import write_key_file
from ..kinds import WHOLE
from .base import Cargo, Delivery, Executor, Field, doubled, fields_of


def _deliver(cargo: Cargo, fields: Mapping[str, Any]) -> Delivery:
    # The process inherits this one's environment and home: it finds what we found.
    carried = frozenset(name for name, value in cargo.others.items() if cargo.inherited.get(name) == value)
    if not cargo.key or cargo.credentials is None or cargo.credentials.place != "given":
        return Delivery(carried=carried)
    if cargo.inherited.get(contract.API_KEY, cargo.key) != cargo.key:
        raise LauncherError(
            f"the {contract.API_KEY} that was given differs from the one in this process's environment, which local "
            f"jobs inherit: change it there"
        )
    return Delivery(env={contract.API_KEY_FILE: str(write_key_file(cargo.key))}, carried=carried)


LOCAL = Executor(
    kind="local",
    module="local",
    class_name="LocalExecutor",
    fields={**fields_of({WHOLE: "nodes ntasks_per_node"}), "nproc_per_node": Field(WHOLE, "ntasks_per_node")},
    spell=doubled,
    deliver=_deliver,
    carries_variables=True,
)
