import pytest

from coteach.errors import InputError
from coteach.graph.gates import Every, Gate, Step, Through
from coteach.testing import GateSuite


class TestEveryGate(GateSuite):
    @pytest.fixture(params=[Through(), Every(), Every(3)], ids=repr)
    def gate(self, request: pytest.FixtureRequest) -> Gate:
        return request.param


def test_every_third_step() -> None:
    gate = Every(3)
    assert [gate.is_open(Step(0.0, number)) for number in range(7)] == [1, 0, 0, 1, 0, 0, 1]


def test_steps_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="at least 1, got 0"):
        Every(0)
