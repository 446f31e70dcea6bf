"""Teams that err independently over invented pages."""

from __future__ import annotations

import pytest
from invented_teams import Invented, invent


@pytest.fixture(scope="session")
def invented() -> Invented:
    return invent()
