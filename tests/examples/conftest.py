"""The example is a folder of scripts, not a package: tests import its modules the way its scripts do."""

import sys
from pathlib import Path

import pytest

RECOMMENDER = Path(__file__).parents[2] / "examples" / "recommender"
sys.path.insert(0, str(RECOMMENDER))


@pytest.fixture(scope="session")
def recommender() -> Path:
    """Folder of the example."""
    return RECOMMENDER
