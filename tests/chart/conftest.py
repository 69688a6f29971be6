"""Without helm the chart is not checked."""

import pathlib
import shutil

import pytest


def pytest_collection_modifyitems(items):
    if not shutil.which("helm"):
        for item in items:
            if pathlib.Path(__file__).parent in item.path.parents:
                item.add_marker(
                    pytest.mark.skip(reason="helm is not on the PATH: the chart is not checked")
                )
