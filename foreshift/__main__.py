# SPDX-License-Identifier: Apache-2.0
"""`python -m foreshift` from a clone does what the installed command `foreshift` does."""

import sys

from foreshift.cli import main

sys.exit(main())
