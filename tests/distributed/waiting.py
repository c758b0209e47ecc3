"""What does not end by itself, or fails; started by torchrun, and without an import of torch."""

import os
import runpy
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    source = Path(__file__).parent.parent.parent / "bnlab" / "experiments" / "torchrun.py"
    runpy.run_path(str(source))["end_with_parent"]()
    if sys.argv[1] == "fail":
        raise ArithmeticError("this one fails")
    Path(sys.argv[1], f"{os.getpid()} {os.getppid()}").touch()
    time.sleep(600)
