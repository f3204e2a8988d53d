"""``python -m neanias_ml``."""

from neanias_ml.cli.main import console_script

console_script()
