"""`python -m bench` is the benchmark of the whole proxy."""

from __future__ import annotations

import sys

from bench.run import main

if __name__ == "__main__":
    sys.exit(main())
