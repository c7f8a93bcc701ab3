"""A user's own model: ``module:function``, imported in the training process alone."""

from __future__ import annotations

import importlib
from typing import Any

from mlpipe import errors
from mlpipe.retraining.kinds.descriptor import Kind, Recipe


def find(name: str) -> Kind:
    """Return the kind of a user's own function.

    Parameters
    ----------
    name : str
        ``module:function``. The function is called with ``task``, ``categories`` (list of positions) and
        ``random_state`` by name, and returns an unfitted scikit-learn estimator or pipeline.

    Raises
    ------
    errors.FitFailed
        The module cannot be imported, or has no such function.
    """
    module_name, _, function_name = name.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except Exception as fault:
        raise errors.FitFailed(
            f"MLPIPE_MODEL_KIND={name} cannot be imported: {type(fault).__name__}: {fault}. The module must be "
            "installed beside mlpipe, lie in its checkout, or be on PYTHONPATH, for the server too."
        ) from fault

    def make(recipe: Recipe) -> Any:
        made = function(
            task=recipe.task,
            categories=list(recipe.parameters.categories),
            random_state=recipe.parameters.random_state,
        )
        _check(made, name, recipe)
        return made

    return Kind(name=name, title=name, make=make)


def _check(made: Any, name: str, recipe: Recipe) -> None:
    needed = ["fit", "predict_proba" if recipe.task == "classification" else "predict"]
    missing = [method for method in needed if not callable(getattr(made, method, None))]
    if missing:
        raise errors.FitFailed(
            f"{name} returned {type(made).__name__}, which has no {' and no '.join(missing)}; a scikit-learn estimator "
            f"or pipeline for {recipe.task} was expected."
        )
