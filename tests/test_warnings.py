import warnings

import pytest


@pytest.mark.parametrize("category", [FutureWarning, DeprecationWarning])
def test_what_our_own_code_is_warned_of_is_an_error(category: type[Warning]) -> None:
    with pytest.raises(category):
        warnings.warn_explicit("it will go", category, "loop.py", 1, module="coteach.training.loop")


@pytest.mark.parametrize("module", ["transformers.modeling_utils", "torch.nn.functional"])
def test_what_will_change_in_what_it_calls_is_an_error(module: str) -> None:
    with pytest.raises(FutureWarning):
        warnings.warn_explicit("it will change", FutureWarning, "it.py", 1, module=module)


def test_other_modules_may_warn() -> None:
    with pytest.warns(FutureWarning):
        warnings.warn_explicit("it will go", FutureWarning, "it.py", 1, module="spacy.util")
