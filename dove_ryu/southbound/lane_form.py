"""Which form of the fast lane runs: the compiled one where it was built, or the Python that it was built from."""

from __future__ import annotations

import importlib
from types import ModuleType

FORMS = ("auto", "compiled", "python")


class NotCompiled(Exception):
    """The compiled form was asked for by name and is not there; the message has the remedy."""


def load(form: str = "auto") -> ModuleType:
    """The module :mod:`dove_ryu.southbound.lane` in the form asked for.

    :param form: of :data:`FORMS`; ``auto`` takes the compiled one if it is there.
    """
    if form != "python":
        try:
            return importlib.import_module("dove_ryu.southbound._lane")
        except ImportError as error:
            if form == "compiled":
                raise NotCompiled(
                    f"the compiled fast lane cannot be loaded ({error}); remedy: install gcc and the headers of Python"
                    " (python3-dev), then install dove_ryu again"
                ) from None
    return importlib.import_module("dove_ryu.southbound.lane_uncompiled")
