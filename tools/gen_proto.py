"""Writes the Python of the RPC contract.

    python tools/gen_proto.py           write it
    python tools/gen_proto.py --check   exit 1, naming files, if any would change

proto/**/*.proto  ->  src/weir/_gen/
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = (
    "weir/v1/stats.proto",
    "weir/v1/endpoints.proto",
    "grpc/health/v1/health.proto",
    "io/prometheus/client/metrics.proto",
)
TARGET = ROOT / "src" / "weir" / "_gen"
PACKAGE = '"""The RPC contract in Python. Made by tools/gen_proto.py from proto/; do not edit."""\n'


def generated() -> dict[str, str]:
    """The text of each file of weir._gen, by name. CalledProcessError if the compiler refuses a file."""
    files = {"__init__.py": PACKAGE}
    # The plugins are programs of the environment that runs this.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    for proto in PROTOS:
        with tempfile.TemporaryDirectory() as folder:
            # One folder for each: the modules import each other relatively, and lie side by side afterwards.
            outputs = [f"--py_out={folder}", f"--connectrpc_out={folder}"]
            compiler = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}", *outputs, proto]
            subprocess.run(compiler, check=True, env=environment)
            for path in Path(folder).rglob("*.py"):
                if path.name != "__init__.py":
                    files[path.name] = path.read_text()
    return files


def main(arguments: list[str]) -> int:
    stale = []
    for name, text in generated().items():
        path = TARGET / name
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for name in stale:
        print(("out of date: " if "--check" in arguments else "wrote ") + f"src/weir/_gen/{name}")
    if stale and "--check" in arguments:
        print("run: python tools/gen_proto.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
