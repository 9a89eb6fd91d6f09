"""A virtual environment that has what we depend on, and nothing of ours."""

import site
import sys
import sysconfig
import venv
from importlib.metadata import distribution
from pathlib import Path


def python_without_us(folder: Path) -> Path:
    """
    Make an environment from links to the packages of this one, all but ours.

    Links, and not one line in a .pth file: ours may be installed into the same folder, as an editable package or not.

    Returns:
        Its interpreter; run it with `-I`, so that no variable of this process adds a path.
    """
    venv.create(folder, symlinks=True, with_pip=False)
    paths = {"base": str(folder), "platbase": str(folder)}
    target = Path(sysconfig.get_path("purelib", "venv", paths))
    ours = {file.parts[0] for file in distribution("iap-pipelines").files or ()} | {"iap_pipelines"}
    known = {*site.getsitepackages(), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    for source in [Path(path) for path in sys.path if path in known]:
        for entry in source.iterdir():
            link = target / entry.name
            if entry.name not in ours and not link.exists():
                link.symlink_to(entry)
    return folder / sysconfig.get_path("scripts", "venv", {"base": ""}).lstrip("/") / "python"
