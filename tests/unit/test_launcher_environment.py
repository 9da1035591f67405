from __future__ import annotations

from pathlib import Path

import pytest

from launcher import resolve_environment
from launcher.errors import LauncherError
from launcher.variables import HIDDEN, left_behind
from shim.config import WandbConfig

KEY = "0123456789abcdef0123456789abcdef01234567"

TOML = """
[wandb]
project = "from-toml"
entity = "acme"
tags = ["a", "b"]
inputs = ["data:v1", "base:latest"]
sync_tensorboard = true

[cluster]
executor = "slurm"
account = "research"
container_image = "nvcr.io/nvidia/nemo:25.07"
env_vars = { WANDB_NOTES = "from profile", HF_TOKEN = "hf_secret", N = 3 }
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with an env.toml, the working directory; the home directory is another."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / ".git").mkdir()
    (folder / "env.toml").write_text(TOML)
    monkeypatch.chdir(folder)
    return folder


def host(project: Path, **environ: str) -> dict[str, str]:
    return {"HOME": str(project.parent), "WANDB_API_KEY": KEY, **environ}


def test_variables_come_in_order_each_with_its_source(project: Path) -> None:
    environment = resolve_environment("cluster", {"MINE": "x"}, environ=host(project, WANDB_SHIM_LOG="info"))
    assert [(item.name, item.shown, item.source) for item in environment] == [
        ("WANDB_PROJECT", "from-toml", "env.toml [wandb]"),
        ("WANDB_ENTITY", "acme", "env.toml [wandb]"),
        ("WANDB_TAGS", "a,b", "env.toml [wandb]"),
        ("WANDB_NOTES", "from profile", "env.toml [cluster]"),
        ("WANDB_API_KEY", HIDDEN, "environment"),
        ("WANDB_DOCKER", "nvcr.io/nvidia/nemo:25.07", "env.toml [cluster]"),
        ("WANDB_SHIM_INPUTS", "data:v1,base:latest", "env.toml [wandb]"),
        ("WANDB_SHIM_TENSORBOARD", "on", "env.toml [wandb]"),
        ("WANDB_SHIM_LOG", "info", "environment"),
        ("HF_TOKEN", HIDDEN, "env.toml [cluster]"),
        ("N", "3", "env.toml [cluster]"),
        ("MINE", "x", "--env"),
    ]


def test_the_strongest_source_wins(project: Path) -> None:
    def project_name(
        profile: dict[str, object] | None = None,
        env: dict[str, str] | None = None,
        config: WandbConfig | None = None,
        **environ: str,
    ) -> tuple[str, str]:
        found = resolve_environment(profile, env, config, environ=host(project, **environ))["WANDB_PROJECT"]
        return found.value, found.source

    inline: dict[str, object] = {"env_vars": {"WANDB_PROJECT": "inline"}}
    assert project_name() == ("from-toml", "env.toml [wandb]")
    assert project_name(inline) == ("inline", "profile")
    assert project_name(inline, WANDB_PROJECT="host") == ("host", "environment")
    assert project_name(inline, None, WandbConfig("code"), WANDB_PROJECT="host") == ("code", "config")
    explicit = {"WANDB_PROJECT": "explicit"}
    assert project_name(inline, explicit, WandbConfig("code"), WANDB_PROJECT="host") == ("explicit", "--env")


def test_a_config_that_leaves_something_out_takes_nothing_away(project: Path) -> None:
    environment = resolve_environment(config=WandbConfig(run_name="mine"), environ=host(project))
    assert environment["WANDB_NAME"].value == "mine"
    assert environment["WANDB_ENTITY"].value == "acme"


def test_what_belongs_to_this_host_or_process_stays_here(project: Path) -> None:
    foreign = {"WANDB_DIR": "/here", "WANDB_SHIM_OWNED_BY": "7@", "SLURM_JOB_ID": "1", "WANDB_SERVICE": "x"}
    environment = resolve_environment(environ=host(project, **foreign))
    assert [name for name in foreign if environment.get(name)] == []
    assert resolve_environment(env={"WANDB_DIR": "/there"}, environ=host(project))["WANDB_DIR"].value == "/there"


def test_the_alias_of_the_group_is_translated(project: Path) -> None:
    assert resolve_environment(environ=host(project, WANDB_GROUP="g"))["WANDB_RUN_GROUP"].value == "g"
    both = host(project, WANDB_GROUP="alias", WANDB_RUN_GROUP="proper")
    assert resolve_environment(environ=both)["WANDB_RUN_GROUP"].value == "proper"
    assert resolve_environment(env={"WANDB_GROUP": "g"}, environ=both)["WANDB_RUN_GROUP"].value == "g"


def test_secrets_are_in_no_printed_form(project: Path) -> None:
    environment = resolve_environment("cluster", environ=host(project))
    for text in (repr(environment), str(environment), f"{environment['WANDB_API_KEY']}", repr(environment.credentials)):
        assert KEY not in text
        assert "hf_secret" not in text
    assert KEY not in environment.public.values()
    assert environment["WANDB_API_KEY"].value == KEY


def test_the_login_of_the_right_server_is_used(project: Path) -> None:
    (project.parent / ".netrc").write_text(
        "machine wandb.example.com\n login user\n password self-hosted\n"
        "machine api.wandb.ai\n login user\n password cloud\n"
    )
    environ = {"HOME": str(project.parent)}
    assert resolve_environment(environ=environ)["WANDB_API_KEY"].value == "cloud"
    self_hosted = resolve_environment(environ={**environ, "WANDB_BASE_URL": "https://wandb.example.com/"})
    assert self_hosted["WANDB_API_KEY"].value == "self-hosted"
    assert self_hosted["WANDB_API_KEY"].source == "wandb login (~/.netrc)"
    assert self_hosted["WANDB_BASE_URL"].value == "https://wandb.example.com"
    settings = project.parent / ".config" / "wandb" / "settings"
    settings.parent.mkdir(parents=True)
    settings.write_text("[default]\nbase_url = https://wandb.example.com\n")
    logged_in = resolve_environment(environ=environ)
    assert logged_in["WANDB_API_KEY"].value == "self-hosted"
    assert logged_in["WANDB_BASE_URL"].source == "wandb login (~/.config/wandb/settings, line 2)"


def test_no_key_is_an_error_unless_the_run_is_offline_or_brings_its_own(project: Path) -> None:
    environ = {"HOME": str(project.parent)}
    with pytest.raises(LauncherError, match="wandb login"):
        resolve_environment(environ=environ)
    for env in (
        {"WANDB_MODE": "offline"},
        {"WANDB_MODE": "disabled"},
        {"WANDB_API_KEY_FILE": "/in/the/job"},
        {"WANDB_IDENTITY_TOKEN_FILE": "/in/the/job"},
    ):
        assert resolve_environment(env=env, environ=environ).get("WANDB_API_KEY") is None


def test_an_offline_job_carries_no_key_unless_told_to(project: Path) -> None:
    offline = host(project, WANDB_MODE="offline")
    assert resolve_environment(environ=offline).get("WANDB_API_KEY") is None
    assert resolve_environment(env={"WANDB_API_KEY": "mine"}, environ=offline)["WANDB_API_KEY"].value == "mine"


def test_a_value_that_the_shim_would_not_take_is_noted(project: Path) -> None:
    environment = resolve_environment(env={"WANDB_SHIM_INIT": "alwys"}, environ=host(project))
    assert environment.notes == ("WANDB_SHIM_INIT='alwys' is not one of auto, defer, always, off; using 'auto'",)


def test_without_a_project_tracking_is_off_and_no_key_is_asked_for(project: Path) -> None:
    (project / "env.toml").write_text("[wandb]\nentity = 'acme'\n")
    environment = resolve_environment(environ=host(project))
    assert not environment.enabled
    assert environment.get("WANDB_API_KEY") is None
    assert "tracking is off" in environment.notes[0]


def test_an_identity_token_is_noted(project: Path) -> None:
    environment = resolve_environment(environ={"HOME": str(project.parent), "WANDB_IDENTITY_TOKEN_FILE": "/token"})
    assert environment.get("WANDB_API_KEY") is None
    assert "needs a login of its own" in environment.notes[0]


def test_verification_reaches_the_server_only_for_online_runs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def check_key(base_url: str | None, key: str, source: str) -> str:
        asked.append((base_url, key))
        return "not reachable"

    monkeypatch.setattr("launcher.credentials.check_key", check_key)
    assert resolve_environment(environ=host(project), verify=True).notes == ("not reachable",)
    assert asked == [(None, KEY)]
    resolve_environment(environ=host(project, WANDB_MODE="offline"), verify=True)
    resolve_environment(environ=host(project))
    assert len(asked) == 1


# profile and env that are wrong, and words of the message
MISTAKES: dict[str, tuple[dict[str, object], dict[str, str], str]] = {
    "key in a file": ({"env_vars": {"WANDB_API_KEY": KEY}}, {}, "does not belong into a file"),
    "truth value": ({"env_vars": {"A": True}}, {}, '"A" in env_vars must be text, found true or false'),
    "no table": ({"env_vars": ["A=1"]}, {}, '"env_vars" must be a table, found a list'),
    "bad name": ({}, {"A B": "1"}, "'A B' is no name of a variable"),
    "nul": ({}, {"A": "\0"}, "A holds a NUL character"),
    "mode": ({}, {"WANDB_MODE": "ofline"}, "--env: WANDB_MODE='ofline' is no mode of W&B; did you mean \"offline\"?"),
    "project": ({}, {"WANDB_PROJECT": "a/b"}, "WANDB_PROJECT='a/b' cannot have / in it"),
    "long project": ({}, {"WANDB_PROJECT": "a" * 129}, "is longer than 128 characters"),
    "entity": ({"env_vars": {"WANDB_ENTITY": "my team"}}, {}, "profile: WANDB_ENTITY='my team' cannot have a space"),
    "tag": ({}, {"WANDB_TAGS": "a,,b"}, "WANDB_TAGS='a,,b' has an empty tag"),
    "last tag": ({}, {"WANDB_TAGS": "a,"}, "has an empty tag: take one comma away"),
    "run id": ({}, {"WANDB_RUN_ID": "a:b"}, "WANDB_RUN_ID='a:b' cannot have : in it"),
    "no address": ({}, {"WANDB_BASE_URL": "wandb.example.com"}, "WANDB_BASE_URL=wandb.example.com is no address"),
    "a bracket": (
        {},
        {"WANDB_BASE_URL": "http://u:pass-word@[::1"},
        "WANDB_BASE_URL=http://********@[::1 is no address",
    ),
    "no number": ({}, {"WANDB_BASE_URL": "http://h:abc"}, "the port is wrong"),
    "no TLS": ({}, {"WANDB_BASE_URL": "http://api.wandb.ai"}, "would send the API key unencrypted"),
    "of no host": ({"env_vars": {"A": "${oc.env:NOWHERE}"}}, {}, "A takes NOWHERE from this host, where it is not set"),
    "misspelt": ({}, {"WANDB_SHIM_LOGS": "debug"}, 'did you mean "WANDB_SHIM_LOG"?'),
    "misspelt in a profile": ({"env_vars": {"WANDB_SHIM_OWNR": "last"}}, {}, 'did you mean "WANDB_SHIM_OWNER"?'),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_named(project: Path, case: str) -> None:
    profile, env, words = MISTAKES[case]
    with pytest.raises(LauncherError) as caught:
        resolve_environment(profile, env, environ=host(project))
    assert words in str(caught.value)
    assert KEY not in str(caught.value)


def test_expressions_of_the_file_are_one_variable_and_a_word_that_is_none_is_named(project: Path) -> None:
    (project / "env.toml").write_text("[wandb]\nproject = 'p'\n[wandb.metrics]\nloss = 'löss \"(\\d+)\"'\n")
    variable = resolve_environment(environ=host(project))["WANDB_SHIM_METRICS"]
    assert variable.value == r'{"loss": "löss \"(\\d+)\""}'
    assert variable.source == "env.toml [wandb]"
    (project / "env.toml").write_text("[wandb]\nproject = 'p'\nmetrics = 'atuo'\n")
    with pytest.raises(LauncherError, match=r"env\.toml, line 3: WANDB_SHIM_METRICS='atuo' is not off, auto"):
        resolve_environment(environ=host(project))


def test_the_name_of_a_run_may_be_called_name(project: Path) -> None:
    (project / "env.toml").write_text("[wandb]\nproject = 'p'\nname = 'mine'\n")
    assert resolve_environment(environ=host(project))["WANDB_NAME"].value == "mine"
    (project / "env.toml").write_text("[wandb]\nproject = 'p'\nname = 'mine'\nrun_name = 'other'\n")
    with pytest.raises(LauncherError, match=r'env\.toml, line 3: "name" and "run_name" mean the same'):
        resolve_environment(environ=host(project))


FILES = {
    "base_url = 'wandb.example.com'": "env.toml, line 3: WANDB_BASE_URL=wandb.example.com is no address of a server",
    "entity = 'a/b'": "env.toml, line 3: WANDB_ENTITY='a/b' cannot have / in it",
    "tags = ['a', '']": "env.toml, line 3: WANDB_TAGS='a,' has an empty tag",
    "name = 'a'\nrun_name = 'b'": '"name" and "run_name" mean the same',
}


@pytest.mark.parametrize("line", FILES)
def test_a_value_in_the_file_is_named_with_its_line(project: Path, line: str) -> None:
    (project / "env.toml").write_text(f"[wandb]\nproject = 'p'\n{line}\n")
    with pytest.raises(LauncherError) as caught:
        resolve_environment(environ={"HOME": str(project.parent), "WANDB_API_KEY": KEY})
    assert FILES[line] in str(caught.value)


def test_a_server_in_wandbs_settings_is_named_with_its_line(project: Path) -> None:
    settings = project.parent / ".config" / "wandb" / "settings"
    settings.parent.mkdir(parents=True)
    settings.write_text("[default]\nentity = acme\nbase_url = http://[::1\n")
    environ = {"HOME": str(project.parent), "WANDB_API_KEY": KEY}
    with pytest.raises(LauncherError, match=r"~/\.config/wandb/settings, line 3: http://\[::1 is no address"):
        resolve_environment(environ=environ)
    named = {**environ, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    assert resolve_environment(environ=named)["WANDB_BASE_URL"].value == "http://127.0.0.1:9"


def test_every_variable_of_wandb_goes_along_but_those_of_this_host(project: Path) -> None:
    goes = {
        "WANDB_DISABLE_CODE": "true",
        "WANDB_DISABLE_GIT": "true",
        "WANDB_CONSOLE": "off",
        "WANDB_HTTP_TIMEOUT": "60",
        "WANDB_SAVE_CODE": "false",
        "WANDB_INSECURE_DISABLE_SSL": "true",
        "WANDB_APP_URL": "https://app.example.com",
        "WANDB_OF_TOMORROW": "1",
        "WANDB_SWEEP_ID": "abc",
    }
    stays = (
        "WANDB_DIR",
        "WANDB_CACHE_DIR",
        "WANDB_SERVICE",
        "WANDB_SHIM_OWNED_BY",
        "WANDB_PROGRAM",
        "WANDB_CONFIG_DIR",
    )
    environ = host(project, **goes, **dict.fromkeys(stays, "/here"), WANDB__SERVICE_WAIT="1", NOT_OF_WANDB="1")
    environment = resolve_environment(environ=environ)
    assert {name: environment.public.get(name) for name in goes} == goes
    assert not [item.name for item in environment if item.value in ("/here", "1") and item.name != "WANDB_OF_TOMORROW"]
    assert left_behind(environ) == tuple(sorted(stays))


def test_wandb_offline_on_this_host_is_an_offline_job(project: Path) -> None:
    (project / "wandb").mkdir()
    (project / "wandb" / "settings").write_text("[default]\nmode = offline\n")
    environment = resolve_environment(environ={"HOME": str(project.parent)})
    assert environment["WANDB_MODE"].value == "offline"
    assert environment["WANDB_MODE"].source == "wandb offline (wandb/settings, line 2)"
    assert not environment.online
    assert resolve_environment(environ=host(project, WANDB_MODE="online")).online
    assert resolve_environment(environ=host(project, WANDB_MODE="dryrun"))["WANDB_MODE"].value == "offline"


@pytest.mark.parametrize("key", [f" {KEY}\n", f"{KEY}\r\n"])
def test_a_key_with_white_space_around_it_is_trimmed(project: Path, key: str) -> None:
    assert resolve_environment(environ=host(project, WANDB_API_KEY=key))["WANDB_API_KEY"].value == KEY
    assert resolve_environment(env={"WANDB_API_KEY": key}, environ=host(project))["WANDB_API_KEY"].value == KEY


def test_a_blank_key_is_none(project: Path) -> None:
    with pytest.raises(LauncherError, match="no API key"):
        resolve_environment(environ={"HOME": str(project.parent), "WANDB_API_KEY": " \n"})


def test_a_password_in_an_address_is_not_shown(project: Path) -> None:
    environment = resolve_environment(environ=host(project, WANDB_BASE_URL="https://me:pass-word@wandb.example.com"))
    assert environment["WANDB_BASE_URL"].shown == "https://********@wandb.example.com"
    assert "pass-word" not in repr(environment)


def test_a_key_in_the_file_is_named_with_its_line(project: Path) -> None:
    (project / "env.toml").write_text("[wandb]\nproject = 'p'\n[a]\nenv_vars = { WANDB_API_KEY = 'x' }\n")
    with pytest.raises(LauncherError, match=r"env\.toml, line 4: WANDB_API_KEY does not belong"):
        resolve_environment("a", environ=host(project))


def test_a_profile_without_any_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LauncherError, match=r'profile "cluster": no env\.toml here or above'):
        resolve_environment("cluster", environ={"HOME": str(tmp_path)})
