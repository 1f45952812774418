# SPDX-License-Identifier: Apache-2.0
create_clock -name aclk -period 5 [get_ports aclk]
