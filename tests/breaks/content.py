"""What a run shows of an unmodified script."""

from __future__ import annotations

from tests.breaks.row import Break

_LISTENS = "tests/unit/test_content_rows.py::test_a_figure_is_asked_for_its_number_only_where_somebody_listens"

BREAKS = (
    Break(
        "a row of Hugging Face's Trainer is what it was before a callback took names out",
        "shim/patches/transformers.py",
        '    _logs = dict(wrapping.argument(args, kwargs, 4, "logs"))\n',
        '    _logs = wrapping.argument(args, kwargs, 4, "logs")\n',
        "tests/integration/test_transformers.py::test_the_run_has_what_the_own_logger_would_have_logged_and_the_checkpoints",
    ),
    Break(
        "a secret of the configuration is masked",
        "shim/companion/content.py",
        "    if hides:\n        return MASK\n",
        "",
        "tests/integration/test_content.py::test_what_argparse_has_parsed_is_the_configuration",
    ),
    Break(
        "a secret of the environment is masked wherever it stands",
        "shim/companion/content.py",
        "        value = value.replace(secret, MASK)\n",
        "        pass\n",
        "tests/unit/test_content.py::test_no_secret_of_this_process_is_in_a_configuration",
    ),
    Break(
        "a configuration makes room for that of the script's own init",
        "shim/companion/content.py",
        "attached.remove_from_config(self._run, list(self._config))",
        "pass",
        "tests/integration/test_content.py::test_it_makes_room_for_the_configuration_of_a_script_that_asks_for_the_run[wandb]",
    ),
    Break(
        "rows wait while the script may ask for the run yet",
        "shim/script/content.py",
        '"waits": "wandb" in sys.modules',
        '"waits": False',
        "tests/integration/test_content.py::test_no_row_is_told_of_a_script_that_asks_for_the_run",
    ),
    Break(
        "only so many rows wait",
        "shim/companion/content.py",
        'if message.get("waits") and len(self._waiting) < _WAITING_MAX:',
        'if message.get("waits"):',
        "tests/unit/test_content_rows.py::test_rows_wait_for_the_scripts_own_run_until_there_are_too_many",
    ),
    Break(
        "what is under way when the script asks for its run is not logged",
        "shim/companion/content.py",
        "first, self._over = not self._over, True",
        "first, self._over = not self._over, False",
        "tests/unit/test_content_rows.py::test_nothing_is_logged_that_was_under_way_when_the_script_asked_for_the_run",
    ),
    Break(
        "nothing is told once the script has asked for its run",
        "shim/script/content.py",
        "return None if attach is not None and attach.has_asked() else way",
        "return way",
        f"{_LISTENS}[the script has its own run]",
    ),
    Break(
        "a kind that is skipped is not told",
        "shim/script/content.py",
        "if way is None or kind in _SKIPPED:",
        "if way is None:",
        f"{_LISTENS}[skipped]",
    ),
    Break(
        "a configuration has a bound of keys",
        "shim/script/content.py",
        "        return self._keys > 0 and self._text > 0\n",
        "        return True\n",
        "tests/unit/test_content.py::test_what_is_too_large_is_cut_and_said[keys]",
    ),
    Break(
        "no lazy object is asked for what only itself can tell",
        "shim/script/content.py",
        'if hasattr(type(value), "shape") and value.shape',
        'if getattr(value, "shape", None)',
        "tests/unit/test_content.py::test_a_value_is_plain[an object that looks lazily]",
    ),
    Break(
        "words of the program alone are its configuration",
        "shim/patches/parsed.py",
        "all(word in sys.argv[1:] for word in words)",
        "True",
        "tests/integration/test_configuration.py::test_what_a_parser_has_parsed_is_the_configuration[own words]",
    ),
    Break(
        "only a regular file is opened for the configuration",
        "shim/companion/words.py",
        "    _check(os.stat(path))\n",
        "",
        "tests/unit/test_content.py::test_a_pipe_that_the_command_line_names_is_not_opened",
    ),
    Break(
        "a resolver of the program's own is not called",
        "shim/patches/omegaconf.py",
        "not _PURE.issuperset(_RESOLVER.findall(value))",
        "False",
        "tests/integration/test_configuration.py::test_what_a_parser_has_parsed_is_the_configuration[hydra]",
    ),
)
