"""Models of a user's own, good ones and such as sleep, raise, fill the memory or crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.tree import DecisionTreeClassifier


def tree(*, task: str, categories: list[int], random_state: int) -> Any:
    assert task == "classification"
    return DecisionTreeClassifier(max_depth=3, random_state=random_state)


def no_model(**_: Any) -> Any:
    return object()


def raises(**_: Any) -> Any:
    raise ValueError("the price list is missing")


class Trouble(ClassifierMixin, BaseEstimator):
    """An estimator whose fit does something else."""

    def __init__(self, what: str = "") -> None:
        self.what = what

    def fit(self, X: Any, y: Any) -> Any:
        if self.what == "sleep":
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)", "left-behind"])
            time.sleep(300)
        if self.what == "allocate":
            kept = []
            while True:
                kept.append(np.ones(4_000_000))
        if self.what == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        os._exit(0)

    def predict_proba(self, X: Any) -> Any:
        return np.zeros((len(X), 2))


def sleeps(**_: Any) -> Any:
    return Trouble("sleep")


def allocates(**_: Any) -> Any:
    return Trouble("allocate")


def crashes(**_: Any) -> Any:
    return Trouble("crash")


def leaves(**_: Any) -> Any:
    return Trouble("leave")
