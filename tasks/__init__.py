# SPDX-License-Identifier: Apache-2.0
"""What the models are measured on: docstrings to retrieve and to predict, digits to read, and the data behind them."""
