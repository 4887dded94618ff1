"""The package: it can be built, and what is built can be installed and imported."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def python(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=PACKAGE,
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_package_is_built_installed_and_imported(tmp_path: Path) -> None:
    python("-m", "hatchling", "build", "-d", str(tmp_path))
    [wheel], [archive] = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as opened:
        packed = set(opened.namelist())
    assert {"runwire/__init__.py", "runwire/py.typed", "runwire/v1/run_service_pb2.pyi"} <= packed
    assert not [name for name in packed if "test" in name]
    with tarfile.open(archive) as opened:
        sources = {name.partition("/")[2] for name in opened.getnames()}
    assert {"pyproject.toml", "README.md", "src/runwire/__init__.py", "tests/conftest.py"} <= sources

    site = tmp_path / "site"
    pip = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(site)]
    python(*pip, str(wheel), PIP_DISABLE_PIP_VERSION_CHECK="1")
    told = python("-c", "import runwire; print(runwire.__file__, *runwire.__all__)", PYTHONPATH=str(site))
    path, *names = told.split()
    assert Path(path).is_relative_to(site)
    assert {"Agent", "AsyncClient", "Client", "Runner", "ToolHost", "tool"} <= set(names)
