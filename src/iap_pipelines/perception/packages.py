"""Finding the optional packages that carry models, and saying which file was used."""

import hashlib
import importlib
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import ModuleType


EXTRA = "curation"
SAMPLING_RATE = 16_000
"""Hertz; what every speech model here hears."""
_HINT = f"install it with `pip install 'iap-pipelines[{EXTRA}]'`, or choose another backend for this role"


def import_package(module: str, package: str) -> ModuleType:
    """Import an optional module.

    Raises:
        ImportError: naming the package and the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"The package {package} is missing ({error}): {_HINT}.") from error


def package_file(module: str, package: str, *parts: str) -> Path:
    """Path of a data file inside a package, which is not imported.

    Raises:
        ImportError: naming the package and the extra that brings it.
    """
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise ImportError(f"The package {package} is missing: {_HINT}.")
    path = Path(found.submodule_search_locations[0], *parts)
    if not path.is_file():
        raise ImportError(f"The package {package} {version(package)} has no file {'/'.join(parts)}: {_HINT}.")
    return path


def package_revision(package: str) -> str:
    return f"{package} {version(package)}"


def file_revision(path: str | os.PathLike[str]) -> str:
    """The first 12 digits of the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def model_file(argument: str, path: str | os.PathLike[str]) -> Path:
    """Check that a file of weights which the user names is there.

    Raises:
        FileNotFoundError: naming the setting.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"`{argument}` must be the path of a model file, but there is no file {str(path)!r}.")
    return path


def onnx_session(path: str | os.PathLike[str], num_threads: int) -> "onnxruntime.InferenceSession":  # noqa: F821
    """Open an ONNX model on the CPU with a limited number of threads."""
    onnxruntime = import_package("onnxruntime", "onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = num_threads, 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@contextmanager
def single_omp_thread() -> Iterator[None]:
    """For importing a library that brings an OpenMP of its own, which reads its number of threads while it is loaded.

    Its threads wait by spinning: two processes on two cores were 25 times slower with the default. A number that the
    user has set stays.
    """
    if "OMP_NUM_THREADS" in os.environ:
        yield
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
