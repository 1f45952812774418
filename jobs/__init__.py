# SPDX-License-Identifier: Apache-2.0
"""Long runs of many independent jobs: on this machine's cores or a cluster, each result kept as soon as it is there."""
