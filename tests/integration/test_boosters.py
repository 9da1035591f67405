"""XGBoost, LightGBM, CatBoost and scikit-learn in scripts that never mention W&B: their metrics and parameters.

Each program runs with W&B's own callbacks and without the shim, and with neither callbacks nor the shim, and with the
shim alone; and what the server received is compared.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.comparing import check_nothing_is_missing, configured, steady
from tests.environments import python_of
from tests.jobs import Job
from tests.wandb_server import Run

# What a program with W&B's callbacks has, and a plain one does not: `native` is empty there.
HEAD = """\
import hashlib, json, pickle, sys, warnings
import numpy as np
warnings.simplefilter("default")
native = {native}
if native:
    import wandb
    wandb.init(project="theirs", name="mine")
dice = np.random.default_rng(0)
x, y = dice.normal(size=(200, 4)), dice.integers(0, 2, 200)
x[:, 0] += y

def digest(what):
    return hashlib.sha256(what).hexdigest()[:12]
"""

XGBOOST = """
import xgboost
def theirs():
    if not native:
        return None
    from wandb.integration.xgboost import WandbCallback
    class Callback(WandbCallback):
        def before_training(self, model):  # its own fails where a second training has another value
            wandb.config.update(json.loads(model.save_config()), allow_val_change=True)
            return model
    return [Callback(log_feature_importance=False)]

train, valid = xgboost.DMatrix(x[:150], y[:150]), xgboost.DMatrix(x[150:], y[150:])
seen, unknown = {}, {} if native else {"unknown": 1}  # one warning, with the time of day
model = xgboost.train(
    {"objective": "binary:logistic", "eval_metric": ["logloss", "auc"], "max_depth": 2, "seed": 3, **unknown},
    train, 6, evals=[(train, "train"), (valid, "valid")], evals_result=seen, early_stopping_rounds=3,
    callbacks=theirs(),
)
print(digest(model.save_raw()), seen["valid"]["auc"])
search = xgboost.XGBClassifier(n_estimators=3, max_depth=2, eval_metric="error", callbacks=theirs())
search.fit(x, y, eval_set=[(x, y)], verbose=True)
print(search.callbacks is None, digest(search.get_booster().save_raw()))
if not native:
    pickle.loads(pickle.dumps(search)).predict(x)
"""

LIGHTGBM = """
import lightgbm
def theirs():
    if not native:
        return []
    from wandb.integration.lightgbm import wandb_callback
    def parameters(env):
        wandb.config.update(env.params, allow_val_change=True)
    return [wandb_callback(log_params=False), parameters]

def first(env):
    pass

data = lightgbm.Dataset(x[:150], y[:150])
valid = lightgbm.Dataset(x[150:], y[150:], reference=data)
callbacks = [first, lightgbm.log_evaluation(2), lightgbm.early_stopping(2)]
model = lightgbm.train(
    {"objective": "binary", "metric": ["binary_logloss", "auc"], "num_leaves": 4, "force_col_wise": True, "seed": 3},
    data, 5, valid_sets=[data, valid], valid_names=["train", "valid"], callbacks=[*callbacks, *theirs()],
)
print(len(callbacks), first.__dict__ if not native else "", digest(model.model_to_string().encode()))
print(model.eval_valid())
other = lightgbm.LGBMRegressor(n_estimators=3, num_leaves=4, verbose=-1)
other.fit(x[:150], y[:150], eval_set=[(x[150:], y[150:])], callbacks=theirs())
print(digest(pickle.loads(pickle.dumps(other)).predict(x)), other.score(x, y))
if native:
    wandb.log({"score/LGBMRegressor": other.score(x, y)})
"""

SKLEARN = """
import inspect, sklearn
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

np.random.seed(5)
scaled = StandardScaler().fit_transform(x)
pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.5)).fit(x, y)
print(pipeline.score(x, y), cross_val_score(RandomForestClassifier(n_estimators=3), x, y))
search = GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}).fit(x, y)
print(search.score(x, y))
for alpha in np.linspace(1, 2, 300):
    last = Ridge(alpha=float(alpha)).fit(x, y)
print(inspect.signature(Ridge.fit), inspect.signature(Ridge.score), sorted(vars(last)))
print(digest(pickle.dumps(last)), digest(pickle.dumps(clone(pipeline))), np.random.random())
if native:
    wandb.log({"score/Pipeline": pipeline.score(x, y)})
    wandb.log({"score/GridSearchCV": search.score(x, y)})
"""
# Few evaluations, one more in the last iteration, and a training that stops early.
CATBOOST = """
from catboost import CatBoostClassifier, CatBoostRegressor
def theirs(period):
    if not native:
        return None
    from wandb.integration.catboost import WandbCallback
    return [WandbCallback(metric_period=period)]

said = {"depth": 2, "thread_count": 1, "allow_writing_files": False, "random_seed": 1, "verbose": False}
model = CatBoostClassifier(iterations=8, metric_period=3, custom_metric=["AUC"], **said)
model.fit(x[:150], y[:150], eval_set=(x[150:], y[150:]), callbacks=theirs(3))
print(model.get_evals_result(), digest(model.predict_proba(x).tobytes()), digest(pickle.dumps(model.get_params())))
model = CatBoostRegressor(iterations=40, od_type="Iter", od_wait=2, learning_rate=0.9, **said)
model.fit(x[:50], y[:50], eval_set=(x[150:], y[150:]), callbacks=theirs(1))
print(model.get_best_iteration(), model.tree_count_, digest(pickle.loads(pickle.dumps(model)).predict(x).tobytes()))
if native:
    from wandb.integration.catboost import log_summary
    log_summary(model, log_feature_importance=False)
"""
PROGRAM = XGBOOST + LIGHTGBM + SKLEARN
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def python() -> Path:
    return python_of("boosters")


def program(text: str, native: bool) -> str:
    return HEAD.format(native=native) + text


def rows(run: Run) -> list[dict[str, Any]]:
    return [steady(row) for row in run.history]


def parameters(setup: Any) -> Any:
    """Of XGBoost's learner, without its state: random numbers, trees, and what the first round finds out."""
    if isinstance(setup, dict):
        state = ("rng_state", "num_trees", "base_score")
        return {name: parameters(held) for name, held in setup.items() if name not in state}
    return setup


def check_the_same(job: Job, python: Path, text: str) -> tuple[Run, Run]:
    """Run it in all four ways; return the run of the program with W&B's callbacks, and that of the plain one."""
    job.write("native.py", program(text, native=True))
    job.write("plain.py", program(text, native=False))
    job.run(python, "native.py", shim=False, environ=ONE_THREAD)
    native = job.server.run()
    plain = job.run(python, "plain.py", shim=False, environ=ONE_THREAD)
    done = job.run(python, "plain.py", environ=ONE_THREAD)
    assert done.stdout == plain.stdout
    ours, theirs = (re.sub(r"\[\d\d:\d\d:\d\d\]", "", text).splitlines() for text in (done.stderr, plain.stderr))
    assert [line for line in ours if not line.startswith("wandb-shim: run ")] == theirs
    assert len(ours) == len(theirs) + 1
    run = job.server.runs[1]
    assert rows(run) == rows(native)
    assert steady(run.summary) == steady(native.summary)
    job.run(python, "native.py", environ=ONE_THREAD)
    check_nothing_is_missing(native, job.server.runs[2])
    return native, run


def test_the_rows_are_those_of_wandbs_own_callbacks_and_the_script_does_the_same(job: Job, python: Path) -> None:
    native, ours = check_the_same(job, python, PROGRAM)
    theirs, config = configured(native), configured(ours)
    assert set(config) == {"xgboost", "lightgbm", "sklearn"}
    assert config["xgboost"].keys() == {"learner", "version"}
    assert "rng_state" not in str(config["xgboost"])
    assert parameters(config["xgboost"]["learner"]) == parameters(theirs["learner"])
    assert config["lightgbm"] == {name: theirs[name] for name in config["lightgbm"]}
    fitted = config["sklearn"]
    assert set(fitted) == {"StandardScaler", "Pipeline", "GridSearchCV", "Ridge"}
    assert fitted["Pipeline"]["logisticregression__C"] == 0.5
    assert fitted["GridSearchCV"]["estimator"] == "Ridge"
    assert fitted["Ridge"]["alpha"] == 2.0


@pytest.mark.matrix
def test_what_catboost_has_evaluated_is_what_wandbs_callback_sees(job: Job, python: Path) -> None:
    native, ours = check_the_same(job, python, CATBOOST)
    theirs, config = configured(native), configured(ours)["catboost"]
    assert theirs == {name: config[name] for name in theirs}


# What fits and scores inside another, in a thread or in another process is none of the script's own.
NESTED = """
import threading
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.model_selection import cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import MinMaxScaler, RobustScaler
from sklearn.tree import DecisionTreeClassifier

class Mine(ClassifierMixin, BaseEstimator):
    def fit(self, x, y):
        self.inner_ = LogisticRegression(C=3.0).fit(x, y)
        return self

    def predict(self, x):
        return self.inner_.predict(x)

class Scaled(Mine):
    def fit(self, x, y):
        MinMaxScaler().fit(x)
        return super().fit(x, y)

cross_validate(Scaled(), x, y)
CalibratedClassifierCV(GaussianNB()).fit(x, y)
VotingClassifier([("a", KNeighborsClassifier()), ("b", DecisionTreeClassifier())]).fit(x, y).score(x, y)
ColumnTransformer([("a", MinMaxScaler(), [0, 1])]).fit_transform(x)
PCA(2).fit_transform(x)
cross_validate(RobustScaler(), x, y, scoring=lambda *_: 0)
Parallel(n_jobs=2)(delayed(RobustScaler().fit)(x) for _ in range(2))
thread = threading.Thread(target=LinearRegression().fit, args=(x, y))
thread.start()
thread.join()
stream = SGDClassifier(random_state=np.random.RandomState(1))
for part in range(0, 200, 50):
    stream.partial_fit(x[part : part + 50], y[part : part + 50], classes=[0, 1])
print(Mine().fit(x, y).score(x, y))
try:
    PCA(-1).fit(x)
except ValueError as error:
    print(type(error).__name__)
"""
FOLDS = """
import lightgbm, xgboost
from sklearn.model_selection import KFold
for number in range(2):  # as many rounds without an evaluation are no rows
    xgboost.train({"max_depth": 2}, xgboost.DMatrix(x, y), 20)
    lightgbm.train({"num_leaves": 4, "verbose": -1}, lightgbm.Dataset(x, y), 20)
table = xgboost.cv({"max_depth": 2, "eval_metric": "rmse"}, xgboost.DMatrix(x, y), 3, nfold=2, seed=1)
print(table.to_json(orient="records"))
said = {"objective": "regression", "num_leaves": 4, "verbose": -1, "force_col_wise": True}
print(json.dumps(lightgbm.cv(said, lightgbm.Dataset(x, y), 3, folds=KFold(2), stratified=False)))
"""


@pytest.mark.matrix
def test_only_what_the_script_itself_fits_and_scores_is_told(job: Job, python: Path) -> None:
    job.write("plain.py", program(NESTED, native=False))
    plain = job.run(python, "plain.py", shim=False, environ=ONE_THREAD)
    done = job.run(python, "plain.py", environ=ONE_THREAD)
    assert done.stdout == plain.stdout
    run = job.server.run()
    own = {"CalibratedClassifierCV", "VotingClassifier", "ColumnTransformer", "PCA", "SGDClassifier"}
    fitted = configured(run)["sklearn"]
    assert set(fitted) == own | {"LogisticRegression"}  # that in the script's own class
    assert fitted["LogisticRegression"]["C"] == 3.0
    assert fitted["SGDClassifier"]["random_state"] == "RandomState"
    assert fitted["PCA"]["n_components"] == 2
    assert {name for row in rows(run) for name in row} == {"score/VotingClassifier", "score/Mine", "_step"}


@pytest.mark.matrix
def test_a_cross_validation_is_rows_of_means_and_deviations(job: Job, python: Path) -> None:
    job.write("plain.py", program(FOLDS, native=False))
    done = job.run(python, "plain.py", environ=ONE_THREAD)
    of_xgboost, of_lightgbm = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    found = [{name: value for name, value in row.items() if name != "_step"} for row in rows(job.server.run())]
    for number, row in enumerate(found[:3]):
        assert row == pytest.approx({**of_xgboost[number], "epoch": number}, rel=1e-6)  # the table is rounded
    for number, row in enumerate(found[3:]):
        kinds = {f"valid_l2-{kind}": of_lightgbm[f"valid l2-{kind}"][number] for kind in ("mean", "stdv")}
        assert row == {**kinds, "iteration": number}
    assert len(found) == 6
