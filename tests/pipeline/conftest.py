"""The `ovs` fixture: a fresh private Open vSwitch for each test that names it (0.1 s).

Without Open vSwitch these tests fail and say what to install. They do not skip: a pipeline that no switch has
ever carried is not tested.
"""

from collections.abc import Iterator

import pytest

from .ovs import PrivateOvs, missing


@pytest.fixture
def ovs() -> Iterator[PrivateOvs]:
    if reason := missing():
        pytest.fail(reason, pytrace=False)
    with PrivateOvs() as private:
        yield private
