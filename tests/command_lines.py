"""Command lines of Python as they occur in the wild, by the role that each is to have."""

from __future__ import annotations

from shim.tables import CHILD, INTERACTIVE, LAUNCHER, TOOL, TRAINING

TRAINING_LINES = (
    "python train.py",
    "python -u ./train.py --lr 1",
    "python /usr/local/bin/train.py",
    "python bin/train",  # of the repository, not of an interpreter
    *("python .", "python training.zip --epochs 3", "python -m pkg.train"),
    "python -um megatron.bridge.training.pretrain",
    "python -m nemo_run.core.runners.fdl_runner -n task -p pkg W29iag==",
    "python /venv/lib/python3.12/site-packages/nemo_run/core/runners/fdl_runner.py -n task x",
    "python -m nemo.collections.llm.recipes.llama3_8b",
    # Megatron-Bridge and Megatron-LM: what torchrun starts.
    "python -u examples/recipes/llama/pretrain_llama3_8b.py --config-file conf.yaml",
    "python -u pretrain_gpt.py --tensor-model-parallel-size 2 --data-cache-path /c --wandb-project w",
    # NeMo-RL: `uv run` becomes these.
    "python examples/run_grpo_math.py --config examples/configs/grpo.yaml cluster.gpus_per_node=8",
    "/home/me/.cache/uv/environments-v2/x/bin/python ./examples/run_sft.py",
    # DeepSpeed's and Lightning's ranks, submitit's task, mpi4py's.
    "python -u train.py --local_rank=0 --deepspeed ds.json",
    "python -m openrlhf.cli.train_sft --local_rank=0",
    "python /job/train.py trainer.devices=2 hydra.run.dir=/out hydra.job.name=train_ddp_process_1",
    "python -u -m submitit.core._submit /checkpoint/%j",
    "python -m mpi4py train.py",
    # Programs that run another one in their own process.
    "python -m cProfile -o out.prof train.py",
    "python -m trace --count train.py",
    "python -m debugpy --listen 5678 train.py",
    "python -m coverage run train.py",
    # In site-packages, but a training all the same.
    "python -m gensim.scripts.word2vec_standalone -train corpus.txt",
    "python /venv/lib/python3.12/site-packages/accelerate/test_utils/scripts/test_script.py",
    *("python train.py -- name --help", "python train.py -h 224 -w 320", "python train.py -h node7"),
    *("python train.py --help-me --versions", "python train.py --version 2 --lr 0.1"),
    # Console scripts that train, on one GPU …
    "python /venv/bin/llamafactory-cli train examples/train_lora/llama3_lora_sft.yaml",
    "python /venv/bin/tune run lora_finetune_single_device --config llama3_1/8B_lora_single_device",
    *(
        "python /venv/bin/yolo train model=yolo11n.pt data=coco8.yaml",
        "python /venv/bin/yolo detect train data=coco8.yaml",
    ),
    *("python /venv/bin/yolo task=detect mode=train data=coco8.yaml", "python /venv/bin/yolo segment train epochs=3"),
    "python /venv/bin/oumi train -c configs/recipes/smollm/sft/135m/quickstart_train.yaml",
    "python /venv/bin/lm_eval --model hf --model_args pretrained=gpt2 --tasks hellaswag",
    *("python /venv/bin/lm-eval run --model hf --tasks arc_easy", "python -m lm_eval --model hf --tasks arc_easy"),
    "python /venv/bin/lerobot-train --policy.type=act --dataset.repo_id=lerobot/aloha",
    *("python /venv/bin/litgpt finetune_lora EleutherAI/pythia-160m", "python -m litgpt pretrain pythia-14m"),
    *("python /venv/bin/ns-train nerfacto --data d", "python /venv/bin/nnUNetv2_train 1 3d_fullres 0"),
    *(
        "python /venv/bin/fairseq-train data-bin/wmt --arch transformer",
        "python /venv/bin/fairseq-hydra-train task.data=d",
    ),
    *(
        "python /venv/bin/ludwig train --config c.yaml --dataset d.csv",
        "python -m ludwig.cli experiment --config c.yaml",
    ),
    *("python /venv/bin/axolotl train c.yml --launcher python", "python -m axolotl.cli.train c.yml"),
    *(
        "python /venv/bin/axolotl train c.yml --launcher=python",
        "python -m axolotl.cli.main train c.yml --no-accelerate",
    ),
    *(
        "python /venv/bin/spacy train config.cfg --output ./out",
        "python -m spacy train config.cfg",
        "python -m spacy pretrain c",
    ),
    *("python /venv/bin/rasa train --config config.yml", "python -m rasa train core"),
    *(
        "python /venv/bin/rl_zoo3 train --algo ppo --env CartPole-v1",
        "python -m rl_zoo3.train --algo ppo --env CartPole-v1",
    ),
    # … and as ranks of a launcher.
    "python -u /venv/bin/lerobot-train --policy.type=act",
    "python -u /venv/lib/python3.12/site-packages/llamafactory/launcher.py train.yaml",
    "python /venv/lib/python3.12/site-packages/swift/cli/sft.py --model m --dataset d",
    "python -u /venv/lib/python3.12/site-packages/trl/scripts/sft.py --model_name_or_path m",
    "python -u /venv/lib/python3.12/site-packages/recipes/full_finetune_distributed.py --config c",
    "python -m autotrain.trainers.clm --training_config c.json",
    # Profilers that run a program in their own process.
    *("python /venv/bin/memray run -o out.bin train.py --lr 1", "python -m memray run train.py"),
    *("python /venv/bin/kernprof -l -v train.py", "python /venv/bin/scalene --cpu --outfile o.html train.py"),
    *("python /venv/bin/pyinstrument -r html -o p.html train.py", "python -m pyinstrument -m pkg.train --lr 1"),
    *(
        "python /venv/bin/viztracer --output_file r.json -- train.py --epochs 2",
        "python /venv/bin/debugpy --listen 5678 train.py",
    ),
    *("python /venv/bin/coverage run --source pkg train.py", "python -m cProfile -o out.prof -s tottime train.py"),
    *("python -m build.train", "python -m kaggle.train", "python -m notebook.train"),  # packages of the repository
    *("python -m dash.train", "python -m panel.train", "python -m invoke.train", "python -m optuna.train"),
    "python -m coverage run --concurrency multiprocessing --debug trace train.py",
    *("python -m memory_profiler --precision 2 train.py", "python -m fire train.py train --lr 1"),
    *("python -m torchtitan.train --job.config_file c.toml", "python -m verl.trainer.main_ppo trainer.nnodes=1"),
    *("python /venv/bin/nnUNet_train 3d_fullres x 1 0", "python /venv/bin/lmf train c.yaml"),
    "python -m code.train",  # a package of the repository: the standard library's `code` has no parts
)

LAUNCHER_LINES = (
    "python /venv/bin/torchrun --nproc-per-node 8 train.py",
    "python -m torch.distributed.run --nproc_per_node 8 -m pkg.train",
    "python -m torch.distributed.launch train.py",
    "python /venv/lib/python3.12/site-packages/torch/distributed/run.py train.py",
    "python /venv/bin/accelerate launch train.py --help",
    "python -m accelerate.commands.launch --num_processes 2 train.py",
    "python /venv/bin/deepspeed --num_gpus 8 train.py",
    "python -u -m deepspeed.launcher.launch --world_info=e30= train.py",
    "python /venv/bin/ray start --head --block",
    "python /venv/bin/ray job submit -- python train.py",
    "python -m ray.scripts.scripts start --head",
    "python /venv/bin/nemo llm pretrain --factory llama3_8b",
    *("python -m nemo_run.cli.api", "python -m torchx.apps.utils.booth_main"),
    "python /venv/bin/horovodrun -np 2 python train.py",
    "python /usr/local/bin/ddtrace-run python train.py",
    "python /apps/pytorch/2.9/bin/torchrun train.py",  # a module of an HPC site, on another python
    "python /venv/bin/tune run --nproc_per_node 8 full_finetune_distributed --config c",
    "python /venv/bin/axolotl train c.yml",
    *(
        "python /venv/bin/swift sft --model m",
        "python /venv/bin/trl sft --model_name_or_path m",
        "python -m trl.cli sft",
    ),
    *("python /venv/bin/autotrain llm --train --model m", "python /venv/bin/nemorun llm finetune"),
    *("python -m composer.cli.launcher -n 2 train.py", "python -m paddle.distributed.launch train.py"),
    *("python -m lightning.fabric.cli run train.py", "python -m torch.backends.xeon.run_cpu train.py"),
    "python /home/me/.vscode-server/extensions/ms-python.debugpy-1/bundled/libs/debugpy/launcher 4711 -- train.py",
    *("python -m oneflow.distributed.launch train.py", "python -m torch_xla.distributed.xla_dist -- python train.py"),
    *("python -m sagemaker_training.cli.train", "python -m guild run train.py"),
    "python -m intel_extension_for_pytorch.xpu.launch train.py",
    *(
        "python -m coverage run -p -m torch.distributed.run train.py",
        "python -m debugpy --listen 5678 --wait-for-client -m torch.distributed.run train.py",
    ),
)

TOOL_LINES = (
    "python --version",
    "python -c 'import torch; print(torch.__version__)'",
    "python -I -B -c 'import sys; sys.path = []'",  # uv asks an interpreter
    "python -m pip install -e .",
    "python /venv/bin/pip list",
    "python /venv/lib/python3.12/site-packages/pip/__pip-runner__.py install x",
    "python /v/site-packages/pip/_vendor/pyproject_hooks/_in_process/_in_process.py build_wheel /tmp/t",
    "python /venv/lib/python3.12/site-packages/pyproject_hooks/_in_process/_in_process.py build_wheel /tmp/t",
    "python setup.py bdist_wheel",
    "python /tmp/build/setup.py egg_info",
    *("python -m ensurepip --upgrade", "python -m venv .venv", "python -m uv pip install torch", "python -m build"),
    *("python -m pytest -n 2", "python /venv/bin/pytest tests", "python -m unittest discover", "python get-pip.py"),
    *("python -m wandb sync run", "python /venv/bin/wandb agent acme/p/sweep", "python -m shim doctor"),
    *("python -m http.server", "python -m json.tool", "python -m compileall -q .", "python -m torch.utils.collect_env"),
    *(
        "python -m tensorboard.main --logdir .",
        "python -m azure.cli storage",
        "python -m pybind11 --includes",
    ),
    *("python -m coverage run -m pytest", "python -m coverage report", "python -m cProfile -m pytest"),
    "python /home/me/.vscode-server/extensions/ms-python.python-1/python_files/interpreterInfo.py",
    *("python /usr/lib/command-not-found -- foo", "python /bin/pip3 list"),
    "python /usr/lib/python3/dist-packages/pip/__main__.py list",
    *("python train.py --help", "python train.py sub -h", "python train.py --version", "python train.py --helpfull"),
    *("python train.py -- --help", "python train.py train -- -h", "python train.py -h -w 320"),
    "python -m pkg.train --help",
    "python -m nemo_run.core.runners.fdl_runner --help",
    "python -m cProfile train.py --help",
    # What the training console scripts do besides.
    *("python /venv/bin/llamafactory-cli chat c.yaml", "python /venv/bin/llamafactory-cli version"),
    *(
        "python /venv/bin/tune download meta/x",
        "python /venv/bin/tune ls",
        "python /venv/bin/yolo predict model=m source=s",
    ),
    *("python /venv/bin/yolo export model=m", "python /venv/bin/oumi infer -c c", "python /venv/bin/lm_eval ls tasks"),
    *(
        "python /venv/bin/litgpt download x",
        "python /venv/bin/litgpt chat x",
        "python /venv/bin/spacy download en_core_web_sm",
    ),
    *("python -m spacy download en_core_web_sm", "python -m spacy validate", "python -m rasa shell"),
    *(
        "python /venv/bin/axolotl preprocess c.yml",
        "python /venv/bin/ludwig serve -m m",
        "python /venv/bin/lerobot-train --help",
    ),
    *(
        "python /venv/bin/memray flamegraph out.bin",
        "python /venv/bin/memray run --help",
        "python -m memray stats out.bin",
    ),
    *("python /venv/bin/coverage report", "python /venv/bin/memray run -m pytest", "python /venv/bin/kernprof --help"),
    # Servers, workflows, linters, downloads.
    *(
        "python -m uvicorn app:app --port 80",
        "python -m gunicorn app:app",
        "python -m flask run",
        "python -m celery -A a worker",
    ),
    *("python -m streamlit run app.py", "python -m mlflow server", "python -m mlflow run .", "python -m dvc repro"),
    *("python -m airflow scheduler", "python -m prefect worker start", "python -m pylint pkg", "python -m flake8"),
    *(
        "python -m tox -e py",
        "python -m nox",
        "python -m sphinx -b html . out",
        "python -m poetry install",
        "python -m twine upload",
    ),
    *(
        "python -m pre_commit run",
        "python -m vllm.entrypoints.openai.api_server --model m",
        "python -m litellm --model m",
    ),
    *("python -m sglang.launch_server --model-path m", "python -m gpustat", "python -m deepspeed.env_report"),
    *("python -m transformers.commands.transformers_cli env", "python -m datasets.commands.datasets_cli test"),
    *(
        "python -m rq worker",
        "python -m dramatiq tasks",
        "python -m panel serve app.py",
        "python -m chainlit run app.py",
    ),
    *("python -m invoke train", "python -m doit", "python -m snakemake -c 1", "python -m ansible playbook p.yml"),
    *("python -m mesonbuild.mesonmain setup b", "python -m cibuildwheel", "python -m grpc_tools.protoc -I. x.proto"),
    *("python -m kfp.cli run", "python -m optuna studies", "python -m clearml_agent execute --id 1"),
    # Profilers and debuggers that look at what another process does, or has done.
    *("python -m line_profiler train.py.lprof", "python -m debugpy --listen 5678 --pid 12", "python -m coverage run"),
    *("python -m trace --report --file counts", "python /venv/bin/viztracer --combine a.json b.json -o c.json"),
    *("python /venv/bin/pyinstrument --load-prev s", "python -m memory_profiler --help", "python -m scalene"),
    *("python /venv/bin/lm-eval ls tasks", "python /venv/bin/lmf version", "python /venv/bin/lmf chat c.yaml"),
    *("python manage.py runserver", "python /srv/app/manage.py migrate", "python -m hypercorn app:app"),
    "python -u /venv/lib/python3.12/site-packages/vllm/entrypoints/cli/main.py serve m",
    *("python /venv/lib/python3.12/site-packages/trl/scripts/chat.py", "python -m ray.serve.scripts run app:app"),
)

CHILD_LINES = (
    "python -c 'from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5, pipe_handle=7)' "
    "--multiprocessing-fork",
    "python -s -c 'from multiprocessing.forkserver import main; main(3, 4)'",
    "python -c 'from multiprocessing.resource_tracker import main;main(4)'",
    "python -c 'from multiprocess.spawn import spawn_main; spawn_main()' --multiprocessing-fork",
    "python -m joblib.externals.loky.backend.popen_loky_posix --process-name LokyProcess-1 --pipe 15",
    "python -c 'from joblib.externals.loky.backend.resource_tracker import main; main(4, False)'",
    "python -u /v/site-packages/ray/_private/workers/default_worker.py --node-ip-address=10.0.0.1",
    "python /v/site-packages/ray/_private/workers/setup_worker.py --worker-entrypoint=x",
    "python -u /v/site-packages/ray/dashboard/dashboard.py --host=127.0.0.1",
    "python -u /v/site-packages/ray/dashboard/agent.py --node-ip-address=10.0.0.1",
    "python -u /v/site-packages/ray/_private/runtime_env/agent/main.py",
    "python -u /v/site-packages/ray/_private/log_monitor.py --session-dir=/tmp/ray",
    "python -u /v/site-packages/ray/autoscaler/_private/monitor.py",
    "python -m ray.util.client.server --address=10.0.0.1:6379",
    "python /v/site-packages/torch/_inductor/compile_worker/__main__.py --pickler=x --workers=8",
    "python -m torch._inductor.autotune_process --parent=1",
    "python -m distributed.cli.dask_spec tcp://10.0.0.1:8786",
    "python -m pyspark.daemon",
    "python /venv/lib/python3.12/site-packages/debugpy/adapter --for-server 1",
)

INTERACTIVE_LINES = (
    *("python", "python -q", "python -", "python -i train.py", "python -im pkg.train", "python -m pdb train.py"),
    *("python -m IPython", "python -m jupyterlab", "python -m notebook", "python -m jupyterhub.singleuser"),
    "python -m ipykernel_launcher -f /home/me/kernel.json",
    "python -Xfrozen_modules=off -m ipykernel_launcher --f=/home/me/kernel.json",
    "python /venv/lib/python3.12/site-packages/ipykernel_launcher.py -f /home/me/kernel.json",
    *("python -m idlelib", "python -m papermill in.ipynb out.ipynb", "python -m marimo edit nb.py"),
    *("python -m ipdb train.py", "python -m pudb train.py", "python -m bpython", "python -m ptpython"),
)

ROLES = {
    TRAINING: TRAINING_LINES,
    LAUNCHER: LAUNCHER_LINES,
    TOOL: TOOL_LINES,
    CHILD: CHILD_LINES,
    INTERACTIVE: INTERACTIVE_LINES,
}
