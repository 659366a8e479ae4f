"""Everything about the fast lane is asked of both its forms; a compiled one that is not there is a failure."""

from __future__ import annotations

from types import ModuleType

import pytest

from dove_ryu.southbound import lane_form

FORMS = ("python", "compiled")


@pytest.fixture(params=FORMS, scope="session")
def form(request: pytest.FixtureRequest) -> ModuleType:
    """The lane's module in one of its forms.

    :raises NotCompiled: with the remedy.
    """
    return lane_form.load(request.param)
