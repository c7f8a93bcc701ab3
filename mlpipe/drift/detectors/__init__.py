"""One test, one file: a function and its descriptor.

A module of this package that has a ``DETECTOR`` is registered by being here; nothing else lists it. The
others (`cells`, `autocorrelation`, `change_point`, `comparison`, `descriptor`, `holm`, `trials`) are what detectors are
made of.
"""

from __future__ import annotations

import importlib
import pkgutil

from mlpipe.drift.detectors.descriptor import Detector


def discover() -> dict[str, Detector]:
    """Return every registered detector by name, in alphabetical order.

    Examples
    --------
    >>> discover()["psi"].role
    'score'
    """
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    detectors = [module.DETECTOR for module in modules if hasattr(module, "DETECTOR")]
    return {detector.name: detector for detector in sorted(detectors, key=lambda detector: detector.name)}


DETECTORS: dict[str, Detector] = discover()
"""What every check runs."""
