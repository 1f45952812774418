# SPDX-License-Identifier: Apache-2.0
"""Sanger's predictor: keys whose share of a softmax of 4-bit scores is above a threshold."""
