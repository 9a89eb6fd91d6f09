"""The examples in the docstrings of the metrics are true."""

import doctest
import importlib
import pkgutil

import pytest

from iap_pipelines.evaluation import functional


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(functional.__path__)])
def test_examples(name):
    module = importlib.import_module(f"{functional.__name__}.{name}")
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
