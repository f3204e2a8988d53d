"""The tiny recipe as its user runs it: simulated skies to a bundle that ``detect`` can use."""

import subprocess
import sys
from pathlib import Path

import pytest

from neanias_ml.models.bundle import load_bundle

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_from_nothing_to_a_bundle(tmp_path):
    script, config = ROOT / "train" / "island_rcnn_cpu.py", ROOT / "configs" / "train" / "island_rcnn_tiny.yaml"
    command = [sys.executable, script, "--config", config, "-o", tmp_path / "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert bundle.settings.metadata["steps"] > 0
    assert "validation loss" in done.stdout
