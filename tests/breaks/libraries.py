"""What the libraries of a script tell of its training."""

from __future__ import annotations

from tests.breaks.row import Break

_BOOSTERS = "tests/integration/test_boosters.py"
_ROWS = f"{_BOOSTERS}::test_the_rows_are_those_of_wandbs_own_callbacks_and_the_script_does_the_same"
_TENSORBOARD = "tests/integration/test_tensorboard.py"
_TORCHTUNE = "tests/integration/test_torchtune.py"

BREAKS = (
    Break(
        "a fit inside another is none of the script's own",
        "shim/patches/sklearn.py",
        "if not is_led or frame.f_code.co_name not in leads:",
        "if not is_led:",
        f"{_BOOSTERS}::test_only_what_the_script_itself_fits_and_scores_is_told",
    ),
    Break(
        "a fit below a search is none of the script's own",
        "shim/patches/sklearn.py",
        "if not is_led or frame.f_code.co_name not in leads:",
        "if frame.f_code.co_name not in leads and is_led:",
        f"{_BOOSTERS}::test_only_what_the_script_itself_fits_and_scores_is_told",
    ),
    Break(
        "an evaluation that the script asks for is no row",
        "shim/patches/lightgbm.py",
        "if frame.f_code is codes[0]:",
        "if True:",
        _ROWS,
    ),
    Break(
        "the state of XGBoost's random numbers is no parameter",
        "shim/patches/xgboost.py",
        " if name not in _STATE",
        "",
        _ROWS,
    ),
    Break(
        "the last of CatBoost's rows is its last iteration",
        "shim/patches/catboost.py",
        'min(place * period + 1, parameters["iterations"])',
        "place * period + 1",
        f"{_BOOSTERS}::test_what_catboost_has_evaluated_is_what_wandbs_callback_sees",
    ),
    Break(
        "what an agent keeps from TensorBoard is in no row",
        "shim/patches/stable_baselines3.py",
        ' if "tensorboard" not in (excluded[name] or ())',
        "",
        "tests/integration/test_stable_baselines3.py::test_the_rows_are_those_that_wandb_reads_from_tensorboard",
    ),
    Break(
        "the last validation of a detector has no losses of a training",
        "shim/patches/ultralytics.py",
        "if _trained.get(trainer) == trainer.epoch:",
        "if True:",
        "tests/integration/test_fastai_ultralytics.py::test_ultralytics_rows_are_those_of_its_own_callback",
    ),
    Break(
        "a validation that the script asks for is no row",
        "shim/patches/fastai.py",
        "if _rows.row:  #",
        "if True:  #",
        "tests/integration/test_fastai_ultralytics.py::test_fastais_rows_are_those_of_its_own_callback",
    ),
    Break(
        "what a logger of torchtune has of another of its functions is no row of its own",
        "shim/patches/torchtune.py",
        '"log", _on_log, title=_TITLE, outermost=depth)',
        '"log", _on_log, title=_TITLE)',
        f"{_TORCHTUNE}::test_the_rows_and_the_configuration_are_those_of_its_wandb_logger[TensorBoardLogger]",
    ),
    Break(
        "what torchtune's TensorBoardLogger writes is told once",
        "shim/patches/torchtune.py",
        "    content.tells_in(absolute(args[0].log_dir))\n",
        "        pass\n",
        f"{_TORCHTUNE}::test_what_its_tensorboard_logger_writes_is_told_once_and_what_others_write_is_told",
    ),
    Break(
        "what Keras's TensorBoard callback writes is told once",
        "shim/patches/keras.py",
        'for part in ("train", "validation"):',
        "for part in ():",
        f"{_TENSORBOARD}::test_what_keras_writes_for_tensorboard_is_there_once",
    ),
    Break(
        "only a scalar of TensorFlow's is a metric",
        "shim/patches/tensorboard.py",
        '    if kind.plugin_data.plugin_name == "scalars":\n',
        "    if kind is not None:\n",
        f"{_TENSORBOARD}::test_with_tensorflow_they_are_those_too",
    ),
    Break(
        "what a graph of TensorFlow writes is left to it",
        "shim/patches/tensorboard.py",
        'return hasattr(tensor, "numpy")',
        "return True",
        f"{_TENSORBOARD}::test_what_keras_writes_for_tensorboard_is_there_once",
    ),
)
