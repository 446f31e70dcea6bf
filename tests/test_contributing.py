"""The Python examples of CONTRIBUTING.md, as one module with its tests."""

import atexit
import importlib.util
import re
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType

DOCUMENT = Path(__file__).parents[1] / "CONTRIBUTING.md"


def examples() -> ModuleType:
    """All blocks together, as a file, so that dataclasses and tyro find their source."""
    blocks = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.M | re.S)
    folder = tempfile.mkdtemp(prefix="coteach_examples_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "contributing_examples.py"
    path.write_text("\n".join(blocks), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


EXAMPLES = examples()
# pytest collects the tests of the document as tests of this module.
globals().update(
    {name: it for name, it in vars(EXAMPLES).items() if name.lower().startswith("test")}
)


def test_every_section_has_its_example() -> None:
    for name in ("GeneralizedCrossEntropy", "Linear", "Names", "Tabs", "main"):
        assert hasattr(EXAMPLES, name)
    tests = {name for name in globals() if name.lower().startswith("test")}
    assert {"TestGeneralizedCrossEntropy", "TestLinear", "test_names_are_found"} <= tests
