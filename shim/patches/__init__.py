"""Patches of other people's libraries, each applied right after the import of what it changes; the table of all."""


class Patch:
    """One patched library.

    Attributes:
        name: The name of our module in this package, and for WANDB_SHIM_SKIP.
        modules: The modules after whose import the patch is applied.
        distributions: The names of the library for `pip list`; empty for the standard library.
        checked: The releases on which tests have run the patch.
        gives: What a run has of the patch.
        remove_when: What would make the patch needless.
        everywhere: Whether each process applies the patch; otherwise the owner of a run alone does.
    """

    __slots__ = ("checked", "distributions", "everywhere", "gives", "modules", "name", "remove_when")

    def __init__(
        self,
        name: str,
        modules: "tuple[str, ...]",
        distributions: "tuple[str, ...]",
        checked: str,
        gives: str,
        remove_when: str = "never",
        *,
        everywhere: bool = False,
    ) -> None:
        self.name = name
        self.modules = modules
        self.distributions = distributions
        self.checked = checked
        self.gives = gives
        self.remove_when = remove_when
        self.everywhere = everywhere


# HOOKS of sitecustomize.py repeats the modules of the patches that are applied everywhere, for the sake of idle
# processes; docs/patching.md shows the table. Tests compare the three.
PATCHES = (
    Patch(
        "wandb_runid",
        ("wandb.sdk.lib.runid",),
        ("wandb",),
        "wandb 0.19.11 to 0.31.0",
        "artifact IDs that no seed repeats",
        "no supported wandb draws IDs from a seeded generator",
        everywhere=True,
    ),
    Patch(
        "megatron_bridge",
        ("megatron.bridge.training.utils.wandb_utils", "megatron.bridge.training.state"),
        ("megatron-bridge",),
        "megatron-bridge 0.3.1",
        "checkpoints; its own W&B logging is switched on",
        "it logs its checkpoints in the background",
        everywhere=True,
    ),
    Patch(
        "megatron_lm",
        ("megatron.training.wandb_utils", "megatron.training.global_vars"),
        ("megatron-core",),
        "core_v0.16 to core_v0.19",
        "checkpoints; its own W&B logging is switched on",
        "it logs its checkpoints in the background",
        everywhere=True,
    ),
    Patch(
        "nemo_rl",
        ("nemo_rl.utils.checkpoint", "nemo_rl.utils.logger"),
        ("nemo-rl",),
        "v0.4.0 to v0.7.0, main",
        "checkpoints; its own W&B logging is switched on",
        "it logs checkpoints as artifacts",
        everywhere=True,
    ),
    Patch(
        "ray_wandb",
        ("ray.air.integrations.wandb",),
        ("ray",),
        "ray 2.60.0",
        "the job's run for Ray's own W&B logger",
        "Ray's logger asks for the job's run by itself",
        everywhere=True,
    ),
    Patch("argparse", ("argparse",), (), "Python 3.10 to 3.13", "configuration"),
    Patch(
        "absl_flags",
        ("absl.flags._flagvalues",),
        ("absl-py",),
        "absl-py 2.1.0 to 2.5.1, ml_collections 1.1.0",
        "configuration",
    ),
    Patch(
        "accelerate",
        ("accelerate.accelerator",),
        ("accelerate",),
        "accelerate 1.15.0",
        "configuration, metrics, checkpoints",
        everywhere=True,
    ),
    Patch(
        "click",
        ("click.core", "typer._click.core"),
        ("click", "typer"),
        "click 8.1.8 to 8.5.1, typer 0.15.4 to 0.29.2",
        "configuration",
    ),
    Patch("configargparse", ("configargparse",), ("ConfigArgParse",), "ConfigArgParse 1.5.3 to 1.9.0", "configuration"),
    Patch("docopt", ("docopt",), ("docopt",), "docopt 0.6.2", "configuration"),
    Patch("fire", ("fire.core",), ("fire",), "fire 0.5.0 to 0.7.1", "configuration"),
    Patch(
        "hf_argparser",
        ("transformers.hf_argparser",),
        ("transformers",),
        "transformers 5.24.0",
        "configuration from files",
    ),
    Patch("hydra", ("hydra._internal.callbacks",), ("hydra-core",), "hydra-core 1.3.8", "configuration, overrides"),
    Patch("jsonargparse", ("jsonargparse",), ("jsonargparse",), "jsonargparse 4.30.0 to 4.53.0", "configuration"),
    Patch("omegaconf", ("omegaconf.omegaconf",), ("omegaconf",), "omegaconf 2.2.3 to 2.3.1", "configuration"),
    Patch(
        "pydantic_settings",
        ("pydantic_settings.main",),
        ("pydantic-settings",),
        "pydantic-settings 2.7.0 to 2.16.3",
        "configuration",
    ),
    Patch(
        "simple_parsing",
        ("simple_parsing.parsing",),
        ("simple-parsing",),
        "simple-parsing 0.1.6 to 0.1.9",
        "configuration",
    ),
    Patch(
        "transformers",
        ("transformers.trainer_callback", "transformers.trainer"),
        ("transformers",),
        "transformers 4.57.6, 5.24.0",
        "configuration, metrics, checkpoints",
        everywhere=True,
    ),
    Patch("tyro", ("tyro._cli",), ("tyro",), "tyro 0.9.2 to 1.0.17", "configuration"),
    Patch("catboost", ("catboost.core",), ("catboost",), "catboost 1.2.10", "metrics, parameters"),
    Patch("fastai", ("fastai.learner",), ("fastai",), "fastai 2.8.12", "metrics, parameters"),
    Patch(
        "keras",
        ("keras.src.callbacks.callback_list", "keras.src.callbacks.model_checkpoint"),
        ("keras",),
        "keras 3.15.1",
        "metrics, parameters, checkpoints of ModelCheckpoint",
        everywhere=True,
    ),
    Patch("lightgbm", ("lightgbm.engine",), ("lightgbm",), "lightgbm 4.7.0", "metrics, parameters"),
    Patch(
        "lightning",
        ("lightning.pytorch.trainer.trainer", "pytorch_lightning.trainer.trainer"),
        ("lightning", "pytorch-lightning"),
        "lightning 2.6.6",
        "hyperparameters, metrics, checkpoints",
        everywhere=True,
    ),
    Patch(
        "sklearn",
        ("sklearn.base", "sklearn.model_selection._search"),
        ("scikit-learn",),
        "scikit-learn 1.9.1",
        "class and parameters of what the script fits, scores that it asks for",
    ),
    Patch(
        "stable_baselines3",
        ("stable_baselines3.common.logger", "stable_baselines3.common.base_class"),
        ("stable-baselines3",),
        "stable-baselines3 2.9.2",
        "metrics, parameters",
    ),
    Patch(
        "ultralytics", ("ultralytics.engine.trainer",), ("ultralytics",), "ultralytics 8.4.190", "metrics, parameters"
    ),
    Patch(
        "torchtune",
        ("torchtune.training.metric_logging",),
        ("torchtune",),
        "torchtune 0.6.1",
        "configuration, metrics of its loggers",
    ),
    Patch("xgboost", ("xgboost.callback",), ("xgboost", "xgboost-cpu"), "xgboost 3.4.1", "metrics, parameters"),
    Patch(
        "tensorboard",
        (
            "tensorboard.summary.writer.event_file_writer",
            "tensorboardX.event_file_writer",
            "tensorflow.python.ops.gen_summary_ops",
        ),
        ("tensorboard", "tensorboardX", "tensorflow", "tensorflow-cpu"),
        "tensorboard 2.21, tensorboardX 2.6, torch 2.13, tensorflow 2.21",
        "metrics",
    ),
    Patch(
        "torch_checkpoint",
        ("torch.distributed.checkpoint.filesystem",),
        ("torch",),
        "torch 2.13",
        "checkpoints of torch.distributed.checkpoint",
        everywhere=True,
    ),
    Patch(
        "torch_save",
        ("torch.serialization",),
        ("torch",),
        "torch 2.13",
        "files of torch.save, with WANDB_SHIM_CHECKPOINTS=torch",
    ),
)

# Kinds of content that WANDB_SHIM_SKIP may name, whichever library tells it (script/content.py).
KINDS = ("config", "metrics")

# What WANDB_SHIM_SKIP may name.
NAMES = frozenset((*(patch.name for patch in PATCHES), *KINDS))
