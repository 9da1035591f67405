"""The contract: the shim's own variables, their values and defaults."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shim import environment
from shim.environment import Contract, comma_separated


def test_without_a_variable_the_defaults_are_in_force() -> None:
    contract = Contract({})
    assert (contract.switch, contract.init, contract.owner, contract.log) == (True, "auto", "auto", "warn")
    assert (contract.skip, contract.inputs, contract.tensorboard, contract.nodes) == (frozenset(), (), True, False)
    assert contract.problems == ()


def test_an_empty_variable_is_an_unset_one() -> None:
    contract = Contract(dict.fromkeys(environment.OWN_VARIABLES, ""))
    assert (contract.switch, contract.init, contract.owner, contract.problems) == (True, "auto", "auto", ())


@pytest.mark.parametrize(
    ("name", "value", "attribute", "expected"),
    [
        ("WANDB_SHIM", "off", "switch", False),
        ("WANDB_SHIM", " OFF ", "switch", False),
        ("WANDB_SHIM_INIT", "Defer", "init", "defer"),
        ("WANDB_SHIM_INIT", "always", "init", "always"),
        ("WANDB_SHIM_OWNER", "last", "owner", "last"),
        ("WANDB_SHIM_OWNER", " 12 ", "owner", 12),
        ("WANDB_SHIM_SKIP", "wandb_runid, nemo_rl,", "skip", frozenset({"wandb_runid", "nemo_rl"})),
        ("WANDB_SHIM_INPUTS", "data:v0,team/proj/base:latest", "inputs", ("data:v0", "team/proj/base:latest")),
        ("WANDB_SHIM_TENSORBOARD", "off", "tensorboard", False),
        ("WANDB_SHIM_NODES", "on", "nodes", True),
        ("WANDB_SHIM_CODE", "on", "code", True),
        ("WANDB_SHIM_CHECKPOINTS", "torch", "checkpoints", "torch"),
        ("WANDB_SHIM_LOG", "debug", "log", "debug"),
    ],
)
def test_a_value_is_read(name: str, value: str, attribute: str, expected: object) -> None:
    contract = Contract({name: value})
    assert getattr(contract, attribute) == expected
    assert contract.problems == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WANDB_SHIM", "perhaps"),
        ("WANDB_SHIM_INIT", "never"),
        ("WANDB_SHIM_OWNER", "-1"),
        ("WANDB_SHIM_OWNER", "middle"),
        ("WANDB_SHIM_OWNER", "²"),
        ("WANDB_SHIM_TENSORBOARD", "1"),
        ("WANDB_SHIM_NODES", "2"),
        ("WANDB_SHIM_CODE", "all"),
        ("WANDB_SHIM_LOG", "loud"),
    ],
)
def test_a_value_that_cannot_be_read_is_named_and_the_default_holds(name: str, value: str) -> None:
    contract, default = Contract({name: value}), Contract({})
    (problem,) = contract.problems
    assert problem.startswith(f"{name}={value!r} is not")
    attributes = [attribute for attribute in Contract.__slots__ if attribute != "problems"]
    assert [getattr(contract, a) for a in attributes] == [getattr(default, a) for a in attributes]


@pytest.mark.parametrize(
    ("text", "words"), [("", ()), (" , ,", ()), ("a", ("a",)), ("a, b c ,,d", ("a", "b c", "d")), ("a,a", ("a", "a"))]
)
def test_lists_are_comma_separated(text: str, words: tuple[str, ...]) -> None:
    assert comma_separated(text) == words


def test_every_own_variable_has_a_row_and_every_row_is_a_variable() -> None:
    names = {value for key, value in vars(environment).items() if key.isupper() and isinstance(value, str)}
    own = {name for name in names if name.startswith("WANDB_SHIM")}
    own -= {environment.OWNED_BY, environment.ATTACH, environment.ENV_FILE}
    assert own == set(environment.OWN_VARIABLES)


def test_defaults_are_among_the_values() -> None:
    for _, values, default in environment.OWN_VARIABLES.values():
        assert not default or default in values.split(" | ")


def test_the_key_is_a_secret() -> None:
    assert "WANDB_API_KEY" in environment.SECRETS


def test_loading_the_contract_imports_nothing(repository: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(repository)!r}); before = set(sys.modules)\n"
    code += "import shim.environment; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("['shim', 'shim.environment']", "['__future__', 'shim', 'shim.environment']")


def test_names_that_nobody_knows_are_told_once_each() -> None:
    environ = {
        "WANDB_SHIM_INIT": "auto",
        "WANDB_SHIM_OWNED_BY": "1@",
        "WANDB_SHIM_ENV_FILE": "/x",
        "WANDB_PROJECT": "p",
    }
    assert environment.unknown(environ, {"nemo_rl"}) == []
    wrong = {**environ, "WANDB_SHIM_LOGS": "info", "WANDB_SHIM_SKIP": "nemo_rl, nemorl"}
    assert environment.unknown(wrong, {"nemo_rl"}) == [
        "WANDB_SHIM_LOGS is no variable of the shim; `python -m shim variables` lists them",
        "WANDB_SHIM_SKIP names nemorl; known: nemo_rl",
    ]
