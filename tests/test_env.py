import os
import platform
from pathlib import Path

import pytest
import torch
import transformers

import coteach
from coteach.env import described, main


def facts(text: str) -> dict[str, str]:
    """The bullets of a description."""
    return dict(line[2:].split(": ", 1) for line in text.splitlines() if ": " in line)


def test_versions_and_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    text = capsys.readouterr().out
    assert text.startswith("**Versions**\n\n- coteach: ")
    found = facts(text)
    assert found["coteach"] == coteach.__version__
    assert found["torch"] == torch.__version__
    assert found["transformers"] == transformers.__version__
    assert found["Python"].startswith(platform.python_version())
    assert {"accelerate", "datasets", "fugashi", "huggingface_hub", "tokenizers"} <= set(found)
    assert found["torch's threads"] == str(torch.get_num_threads())
    assert found["processor"].endswith(f", {os.cpu_count()} cores")


def test_variables_that_matter_and_no_secret() -> None:
    text = described(
        {
            "OMP_NUM_THREADS": "3",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "ACCELERATE_USE_CPU": "true\n- injected: 1",
            "HF_TOKEN": "hf_secret",
            "HF_TOKEN_PATH": "/secret",
            "ACCELERATE_KEY": "hf_secret",
            "HOME": "/secret",
        }
    )
    listed = text.split("**Environment variables**")[1].split("\n")
    assert [line for line in listed if line] == [
        "- ACCELERATE_USE_CPU: true - injected: 1",
        "- HF_HUB_OFFLINE: 1",
        "- OMP_NUM_THREADS: 3",
        "- TOKENIZERS_PARALLELISM: false",
    ]
    assert "secret" not in text.lower()


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "coteach.env.requires",
        lambda name: ["torch>=2", 'no-such-package>=1; extra == "labels"', 'mypy; extra == "dev"'],
    )
    found = facts(described({}))
    assert found["no-such-package"] == "not installed, extra labels"
    assert "mypy" not in found


def test_the_configuration_of_accelerate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "default_config.yaml"
    monkeypatch.setattr("accelerate.commands.config.default_config_file", str(path))
    assert "**Accelerate's configuration**\n\n- none" in described({})
    path.write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: 'NO'\nmixed_precision: bf16\n"
        "num_processes: 1\nuse_cpu: true\ndebug: false\nmain_process_ip: 10.0.0.1\n"
    )
    text = described({})
    assert facts(text)["mixed_precision"] == "bf16"
    assert "10.0.0.1" not in text
    path.write_text("compute_environment: nowhere\n")
    assert "cannot be read" in facts(described({}))
