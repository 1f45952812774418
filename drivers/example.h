/* SPDX-License-Identifier: Apache-2.0
 * An example of how a program uses the driver: see example.c.
 */
#ifndef FORESHIFT_EXAMPLE_H
#define FORESHIFT_EXAMPLE_H

#include "foreshift_driver.h"

/* Yours: fills the list of descriptors. Tensors are in memory by then, or it puts them there. */
void example_layers(struct foreshift_descriptor *list);

/* Yours: returns when the interrupt's line is high. */
void example_sleep(void);

/* How a list went. error, layer: of a list that was given up, why and where. */
struct example_end {
    uint32_t error, layer;
    uint64_t cycles, layers, bytes_read, bytes_written;
};

/* Runs `count` layers on the device at `base`. list: where descriptors go; there: its address, as the device sees it.
 * polls: how often STATUS is read at the most, 0 for no limit; or, with `sleep`, once, behind the interrupt. */
enum foreshift_result example_run(uintptr_t base, struct foreshift_descriptor *list, uint64_t there, uint32_t count,
                                  int sleep, uint32_t polls, struct example_end *end);

#endif
