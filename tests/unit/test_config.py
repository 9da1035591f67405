"""WandbConfig: what a run should be called and where it belongs."""

from __future__ import annotations

import dataclasses

import pytest

from shim import WandbConfig


def test_nothing_set_means_no_run() -> None:
    assert WandbConfig() == WandbConfig(None, None, None, (), None, None, None)
    assert not WandbConfig().enabled
    assert not WandbConfig(project="", entity="team").enabled


def test_a_project_turns_tracking_on() -> None:
    assert WandbConfig(project="p").enabled


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        WandbConfig().project = "p"  # type: ignore[misc]


def test_equal_configs_are_one_key() -> None:
    assert len({WandbConfig(project="p", tags=("a",)), WandbConfig(project="p", tags=("a",))}) == 1


def test_every_field_has_a_variable_of_wandb() -> None:
    environ = {
        "WANDB_PROJECT": "p",
        "WANDB_ENTITY": "e",
        "WANDB_NAME": "n",
        "WANDB_TAGS": "a, b,,",
        "WANDB_NOTES": "some, notes",
        "WANDB_RUN_GROUP": "g",
        "WANDB_JOB_TYPE": "j",
    }
    assert WandbConfig.from_env(environ) == WandbConfig("p", "e", "n", ("a", "b"), "some, notes", "g", "j")


@pytest.mark.parametrize(
    ("environ", "group"),
    [
        ({"WANDB_GROUP": "alias"}, "alias"),
        ({"WANDB_GROUP": "alias", "WANDB_RUN_GROUP": "group"}, "group"),
        ({"WANDB_GROUP": "alias", "WANDB_RUN_GROUP": ""}, "alias"),
        ({"WANDB_GROUP": ""}, None),
    ],
)
def test_the_alias_counts_where_the_group_is_not_set(environ: dict[str, str], group: str | None) -> None:
    assert WandbConfig.from_env(environ).group == group


def test_empty_variables_are_unset_ones() -> None:
    names = ["PROJECT", "ENTITY", "NAME", "TAGS", "NOTES", "RUN_GROUP", "JOB_TYPE"]
    assert WandbConfig.from_env({f"WANDB_{name}": "" for name in names}) == WandbConfig()
