# SPDX-License-Identifier: Apache-2.0
"""What the parts of an accelerator hold and hand each other, as integers and arrays of NumPy."""
