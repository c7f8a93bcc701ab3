"""Model kinds: one file, one descriptor each.

A module of this package that has a ``KIND`` is registered by being here. The others are `descriptor`, what a kind is,
and `own`, which finds a user's own function. Kinds that learn between retrainings, or that choose among others, are
made elsewhere and join here: `RESERVED` holds their names, and `find` is the one place where a name becomes a kind.
"""

from __future__ import annotations

import importlib
import pkgutil

from mlpipe import errors
from mlpipe.retraining.kinds import own
from mlpipe.retraining.kinds.descriptor import Kind

RESERVED = ("rolling_forest", "auto")
"""Names of kinds that are not made here; a retraining that is asked for one says so."""


def discover() -> dict[str, Kind]:
    """Return every registered kind by name, in alphabetical order.

    Examples
    --------
    >>> sorted(discover())
    ['forest', 'hist_gradient_boosting', 'logistic']
    """
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    kinds = [module.KIND for module in modules if hasattr(module, "KIND")]
    return {kind.name: kind for kind in sorted(kinds, key=lambda kind: kind.name)}


KINDS: dict[str, Kind] = discover()
"""What ``MLPIPE_MODEL_KIND`` may name, besides a ``module:function``."""


def find(name: str) -> Kind:
    """Return a kind by its name, or a user's own by its ``module:function``.

    Raises
    ------
    errors.FitFailed
        There is no such kind, or the function cannot be imported.
    """
    if name in KINDS:
        return KINDS[name]
    if ":" in name:
        return own.find(name)
    raise errors.FitFailed(
        f"Model kind {name!r} cannot be trained here. MLPIPE_MODEL_KIND takes {', '.join(KINDS)} or module:function."
    )
