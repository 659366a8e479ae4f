"""The ``dove`` command. It speaks REST to the DPS and shares no code with it, so it may run anywhere."""

from __future__ import annotations

import gc
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and end the process with the code that the manual names."""
    # The command ends before it could have made garbage worth collecting; a large file is read four times as fast.
    gc.disable()
    try:
        # Imported here, so that Ctrl-C is silent from the first moment and not only once all is loaded.
        from dove_ryu.cli.commands import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
