"""What programs are, by their names: tables of roles, the most specific row first. Loaded before user code: no imports.

A new row needs a line in tests/unit/test_process.py, as the program occurs in the wild.
"""

TRAINING = "training"
LAUNCHER = "launcher"
TOOL = "tool"
CHILD = "child"
INTERACTIVE = "interactive"

# Console scripts, by name, that start the training processes (which are then looked at one by one).
LAUNCHER_SCRIPTS = frozenset(
    {
        *("torchrun", "accelerate", "accelerate-launch", "deepspeed", "ds", "horovodrun", "colossalai", "composer"),
        *("lightning", "fabric", "torchx", "ray", "sky", "nemo", "nemorun", "nemo_run"),
        *("dask", "dask-worker", "dask-scheduler", "ddtrace-run", "newrelic-admin", "opentelemetry-instrument"),
        # ms-swift, TRL and AutoTrain start what trains as a process of its own (swift/cli/main.py: subprocess.run;
        # trl/cli.py: accelerate's launch_command; autotrain/backends/local.py: Popen).
        *("swift", "megatron", "trl", "autotrain"),
    }
)

# Console scripts that train in their own process. Each has the words with which it trains, given as its first argument
# that is no option; "" where every call trains. With any other word it is a tool. Sources: each package's entry points.
TRAINING_SCRIPTS = {
    "llamafactory-cli": ("train",),  # llamafactory/launcher.py: run_exp, on several GPUs by torchrun below itself
    "lmf": ("train",),
    "tune": ("run",),  # torchtune/_cli/run.py: runpy, or torchrun's run() where its options are given
    "yolo": ("train", "mode=train"),  # ultralytics/cfg/__init__.py: entrypoint
    "oumi": ("train", "tune"),  # oumi/core/cli/; `oumi distributed` is a launcher
    "lm_eval": ("", "run", "eval", "evaluate"),  # lm_eval/__main__.py: an evaluation is a run, too
    "lm-eval": ("", "run", "eval", "evaluate"),
    "lerobot-train": ("",),
    "litgpt": ("finetune", "finetune_lora", "finetune_full", "finetune_adapter", "finetune_adapter_v2", "pretrain"),
    "ns-train": ("",),  # nerfstudio
    "nnUNetv2_train": ("",),
    "nnUNet_train": ("",),
    "fairseq-train": ("",),
    "fairseq-hydra-train": ("",),
    "ludwig": ("train", "experiment", "hyperopt"),
    "axolotl": ("train",),  # axolotl/cli/main.py: by accelerate, or with --launcher python in its own process
    "spacy": ("train", "pretrain"),
    "rasa": ("train",),
    "rl_zoo3": ("train",),  # rl_zoo3/cli.py
}

# Arguments of the above with which other processes train: torchrun's options.
LAUNCHING_OPTIONS = ("--nproc", "--nnodes", "--rdzv", "--standalone", "--node_rank", "--node-rank")

# The same programs as modules, and those that have no script.
MODULES_OF_SCRIPTS = {
    "spacy": "spacy",
    "spacy.__main__": "spacy",
    "litgpt": "litgpt",
    "litgpt.__main__": "litgpt",
    "llamafactory.cli": "llamafactory-cli",
    "oumi": "oumi",
    "oumi.core.cli.main": "oumi",
    "ludwig.cli": "ludwig",
    "rasa": "rasa",
    "rasa.__main__": "rasa",
    "axolotl.cli.main": "axolotl",
    "torchtune._cli.tune": "tune",
    "rl_zoo3.cli": "rl_zoo3",
}

# Programs that run another program in their own process; the role is that of the other program. Each has the words that
# must come first, and the options that take a value.
WRAPPERS = {
    "memray": (("run",), ("-o", "--output", "-p", "--live-port", "-c")),
    "kernprof": ((), ("-o", "--outfile", "-s", "--setup", "-p", "--prof-mod", "-u", "--unit", "-i")),
    "scalene": ((), ("--outfile", "--profile-interval", "--cpu-percent-threshold", "--profile-only", "--program-path")),
    "pyinstrument": ((), ("-o", "--outfile", "-r", "--renderer", "-i", "--interval", "-p")),
    "viztracer": ((), ("-o", "--output_file", "--output_dir", "--tracer_entries", "--max_stack_depth")),
    "debugpy": ((), ("--listen", "--connect", "--configure-subProcess", "--log-to", "--adapter-access-token")),
    "coverage": (
        ("run",),
        ("--source", "--omit", "--include", "--rcfile", "--data-file", "--context", "--concurrency", "--debug"),
    ),
    "memory_profiler": ((), ("-o", "--precision", "--backend")),
    # Those of the standard library, which have no console script.
    "cProfile": ((), ("-o", "--outfile", "-s", "--sort")),
    "profile": ((), ("-o", "--outfile", "-s", "--sort")),
    "trace": ((), ("-f", "--file", "-C", "--coverdir")),
}

# Options with which these programs look at what another process does, or has done, and run nothing.
WITHOUT_A_PROGRAM = frozenset({"--pid", "--attach", "--combine", "--load-prev", "--load", "--report", "--viewer"})

# Modules (run with -m, or as a file inside site-packages) and everything below them.
MODULES = {
    "torch.distributed.run": LAUNCHER,
    "torch.distributed.launch": LAUNCHER,
    "torch.distributed.elastic.multiprocessing": LAUNCHER,
    "accelerate.commands": LAUNCHER,
    "deepspeed.launcher": LAUNCHER,
    "deepspeed.env_report": TOOL,
    "horovod.runner": LAUNCHER,
    "ray.scripts": LAUNCHER,
    "ray.job_submission": LAUNCHER,
    "nemo_run.cli": LAUNCHER,
    "nemo_run.__main__": LAUNCHER,
    "nemo_run": LAUNCHER,
    "nemo_run.core.runners": TRAINING,  # fdl_runner: a nemo-run Partial, the user's own function
    "torchx.apps": LAUNCHER,
    "torch.backends.xeon": LAUNCHER,
    "composer.cli": LAUNCHER,
    "colossalai.cli": LAUNCHER,
    "lightning.fabric.cli": LAUNCHER,
    "lightning_fabric.cli": LAUNCHER,
    "paddle.distributed.launch": LAUNCHER,
    "oneflow.distributed.launch": LAUNCHER,
    "torch_xla.distributed.xla_dist": LAUNCHER,
    "intel_extension_for_pytorch": LAUNCHER,
    "sagemaker_training": LAUNCHER,
    "guild": LAUNCHER,  # guild/op.py: Popen
    "sky": LAUNCHER,
    "swift.cli.main": LAUNCHER,
    "trl.cli": LAUNCHER,
    "autotrain.cli": LAUNCHER,
    "ray._private": CHILD,
    "ray.dashboard": CHILD,
    "ray.autoscaler": CHILD,
    "ray.util.client.server": CHILD,
    "ray.core": CHILD,
    "ray.serve": TOOL,
    "torch._inductor": CHILD,
    "torch.utils": TOOL,
    "triton": TOOL,
    "pyspark": CHILD,
    "joblib": CHILD,
    "loky": CHILD,
    "distributed.cli": CHILD,
    "dask": CHILD,
    # Packages and environments.
    **dict.fromkeys(
        ("pip", "pipx", "uv", "virtualenv", "build", "setuptools", "wheel", "twine", "poetry", "pdm"), TOOL
    ),
    **dict.fromkeys(("hatch", "hatchling", "conda", "mamba", "pyproject_hooks", "pybind11", "Cython", "cffi"), TOOL),
    # Tests, linters, documentation.
    **dict.fromkeys(("pytest", "tox", "nox", "mypy", "ruff", "black", "isort", "pylint", "flake8", "pyright"), TOOL),
    **dict.fromkeys(("pre_commit", "sphinx", "mkdocs", "pdoc", "yapf", "bandit", "pyflakes", "pycodestyle"), TOOL),
    # Servers, brokers, workflows.
    **dict.fromkeys(("uvicorn", "gunicorn", "hypercorn", "flask", "celery", "streamlit", "gradio", "django"), TOOL),
    **dict.fromkeys(("airflow", "prefect", "dagster", "luigi", "mlflow", "dvc", "supervisor", "fastapi"), TOOL),
    **dict.fromkeys(("vllm.entrypoints", "sglang.launch_server", "sglang_router", "litellm", "bentoml"), TOOL),
    **dict.fromkeys(("lmdeploy.serve", "text_generation_server", "tritonserver", "trl.scripts.vllm_serve"), TOOL),
    **dict.fromkeys(
        ("waitress", "daphne", "granian", "dash", "panel", "bokeh", "voila", "chainlit", "rq", "huey"), TOOL
    ),
    **dict.fromkeys(
        ("huey", "dramatiq", "snakemake", "invoke", "doit", "ansible", "kfp", "optuna", "clearml_agent"), TOOL
    ),
    # Compilers and packers.
    **dict.fromkeys(
        ("mesonbuild", "ninja", "cmake", "SCons", "conans", "maturin", "cibuildwheel", "shiv", "pex"), TOOL
    ),
    **dict.fromkeys(
        ("pex", "grpc_tools", "pip_audit", "pyperf", "pyperformance", "asv", "nbformat", "line_profiler"), TOOL
    ),
    # Downloads, clouds, machines.
    **dict.fromkeys(("huggingface_hub", "transformers.commands", "datasets.commands", "spacy.cli", "nltk"), TOOL),
    **dict.fromkeys(("modelscope.cli", "kaggle", "gdown", "azure", "awscli", "gpustat", "nvitop", "psutil"), TOOL),
    **dict.fromkeys(("yt_dlp", "gsutil", "neptune", "comet_ml", "aim", "tensorflow.python.tools"), TOOL),
    **dict.fromkeys(("wandb", "shim", "tensorboard", "trl.scripts.env", "trl.scripts.chat", "kohya_gui"), TOOL),
    "IPython": INTERACTIVE,
    "ipykernel": INTERACTIVE,
    "ipykernel_launcher": INTERACTIVE,
    "jupyter": INTERACTIVE,
    "jupyter_core": INTERACTIVE,
    "jupyterlab": INTERACTIVE,
    "notebook": INTERACTIVE,
    "nbconvert": INTERACTIVE,
    "jupyterhub": INTERACTIVE,
    "jupyter_server": INTERACTIVE,
    "papermill": INTERACTIVE,
    **dict.fromkeys(("marimo", "ipdb", "pudb", "bpython", "ptpython"), INTERACTIVE),
    "debugpy": TRAINING,
    "debugpy.adapter": CHILD,
    "debugpy.launcher": LAUNCHER,
    **dict.fromkeys(("coverage", "memray", "kernprof", "memory_profiler", "scalene", "pyinstrument"), TRAINING),
    "viztracer": TRAINING,
    # The standard library's modules are tools, but these run somebody's program …
    "cProfile": TRAINING,
    "profile": TRAINING,
    "runpy": TRAINING,
    "trace": TRAINING,
    # … and these talk to a person.
    "code": INTERACTIVE,
    "idlelib": INTERACTIVE,
    "pdb": INTERACTIVE,
    "multiprocessing": CHILD,
}

# Names that a repository may well have for a package of its own: each stands for itself, not for what is below it.
EXACT = frozenset(
    {
        *("build", "wheel", "kaggle", "conda", "hatch", "supervisor", "notebook", "triton", "sky", "dask", "dash"),
        *("panel", "rq", "huey", "invoke", "ninja", "neptune", "aim", "guild", "doit", "optuna"),
    }
)

# Console scripts that are tools whatever WANDB_SHIM_INIT says.
KNOWN_TOOLS = frozenset(MODULES) | {"pip3", "ipython", "pre-commit", "huggingface-cli", "hf", "sphinx-build", "py.test"}

# The names in WRAPPERS that are console scripts, too.
WRAPPER_SCRIPTS = frozenset(WRAPPERS) - {"cProfile", "profile", "trace", "memory_profiler"}

# The packages of the standard library. Everything else there is one module, and so has no modules below it.
STANDARD_PACKAGES = frozenset(
    {
        *("asyncio", "concurrent", "ctypes", "curses", "dbm", "distutils", "email", "encodings", "ensurepip", "html"),
        *("http", "idlelib", "importlib", "json", "lib2to3", "logging", "multiprocessing", "pathlib", "pydoc_data"),
        *("re", "sqlite3", "sysconfig", "tkinter", "tomllib", "turtledemo", "unittest", "urllib", "venv", "wsgiref"),
        *("xml", "xmlrpc", "zipfile", "zoneinfo"),
    }
)

# `python -c` is a tool or a helper. A command with one of the first beginnings is a child of multiprocessing. One of
# the second is a step of an installer, which stays a tool whatever the job says
# (pip/_internal/utils/setuptools_build.py).
CHILD_COMMANDS = ("from multiprocessing", "from multiprocess", "from loky", "from joblib")
INSTALLER_COMMANDS = (
    "exec(compile('''\n# This is <pip-setuptools-caller>",
    "import sys, setuptools",
    "import setuptools",
)

# Files that are tools whatever directory they lie in.
TOOL_FILES = frozenset({"setup.py", "conftest.py", "get-pip.py", "manage.py", "noxfile.py"})

# Directories whose programs belong to the system or to an editor, never to a job. A debugger in the directory of an
# editor is looked up by its name.
TOOL_DIRECTORIES = ("/usr/lib/", "/usr/libexec/", "/usr/share/", "/usr/sbin/", "/bin/", "/sbin/")
EDITORS = ("/.vscode-server/", "/.vscode/", "/.cursor-server/", "/.pycharm_helpers/")

# Arguments with which a program only talks about itself.
HELP = frozenset({"-h", "--help", "--helpfull", "--helpshort"})
