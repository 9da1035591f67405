"""Programs that nobody here wrote, out of packages of the registry: what they train is in the run."""

from __future__ import annotations

import pytest

from tests.environments import environment_of, python_of
from tests.integration.test_fastai_ultralytics import prepare
from tests.jobs import Job

pytestmark = [pytest.mark.matrix, pytest.mark.xdist_group("rl-vision")]

ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def test_rl_zoo_trains_an_agent_of_stable_baselines3(job: Job) -> None:
    words = ("--algo", "ppo", "--env", "CartPole-v1", "--n-timesteps", "600", "--seed", "1", "--device", "cpu")
    short = ("--hyperparams", "n_steps:64", "n_envs:1", "batch_size:32", "n_epochs:1", "--eval-freq", "-1")
    command = (python_of("rl-vision"), "-m", "rl_zoo3.train", *words, *short, "--log-folder", "logs")
    job.run(*command, environ=ONE_THREAD)
    run = job.server.run()
    assert (run.config["args"]["env"], run.config["args"]["seed"]) == ("CartPole-v1", 1)
    agent = run.config["stable_baselines3"]
    assert (agent["algo"], agent["n_steps"], agent["seed"]) == ("PPO", 64, 1)
    rewards = [row for row in run.history if "rollout/ep_rew_mean" in row]
    assert [row["global_step"] for row in rewards] == [64 * number for number in range(1, 11)]
    assert "train/loss" in rewards[-1]
    assert run.state == "finished"


def test_the_command_of_ultralytics_trains_a_detector(job: Job) -> None:
    environ = {**ONE_THREAD, **prepare(job)}
    yolo = environment_of("rl-vision").python.with_name("yolo")
    arguments = ("model=yolov8n.yaml", "data=data.yaml", "epochs=2", "imgsz=32", "batch=4", "workers=0", "device=cpu")
    job.run(yolo, "detect", "train", *arguments, "plots=False", f"project={job.directory}/runs", environ=environ)
    run = job.server.run()
    arguments_seen = run.config["ultralytics"]
    assert (arguments_seen["epochs"], arguments_seen["imgsz"], arguments_seen["model"]) == (2, 32, "yolov8n.yaml")
    epochs = [row for row in run.history if "train/box_loss" in row]
    assert [row["epoch"] for row in epochs] == [1, 2]
    assert {"lr/pg0", "metrics/mAP50(B)", "val/box_loss"} <= epochs[0].keys()
    assert run.state == "finished"


def test_gensims_script_trains_word_vectors(job: Job) -> None:
    demo = environment_of("demo")
    corpus = demo.site_packages / "gensim" / "test" / "test_data" / "lee_background.cor"
    script = ("-m", "gensim.scripts.word2vec_standalone", "-train", str(corpus), "-output", "vectors.txt")
    job.run(demo.python, *script, "-size", "20", "-iter", "2", "-threads", "1", environ=ONE_THREAD)
    run = job.server.run()
    assert (run.config["args"]["size"], run.config["args"]["iter"]) == (20, 2)
    assert "EPOCH 1" in run.console_text()
