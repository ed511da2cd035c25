"""Makes a virtual environment for each tracker: `python -m benchmarks.peers [NAME …]`; about 2 GB for all."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys

from benchmarks.peers.environments import PACKAGES, environment_of, python_of


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(PACKAGES)}; default: all"
    )
    parser.add_argument("--remove", action="store_true", help="remove them instead")
    options = parser.parse_args()
    if unknown := set(options.names) - set(PACKAGES):
        parser.error(f"no such tracker: {', '.join(sorted(unknown))}")
    for name in options.names or PACKAGES:
        if options.remove:
            shutil.rmtree(environment_of(name), ignore_errors=True)
        else:
            make(name)


def make(name: str) -> None:
    if python_of(name) is not None:
        print(f"{name}: is there")
        return
    print(f"{name}: {' '.join(PACKAGES[name])} …", flush=True)
    folder = environment_of(name)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    done = subprocess.run(
        [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *PACKAGES[name]],
        check=False,
    )
    if done.returncode:
        shutil.rmtree(folder)  # else it would count as there
        print(f"{name}: could not be installed")


if __name__ == "__main__":
    main()
