/* SPDX-License-Identifier: Apache-2.0
 * A driver for bare metal: C11 without any library. docs/registers.md has what it does.
 */
#ifndef FORESHIFT_DRIVER_H
#define FORESHIFT_DRIVER_H

#include "foreshift.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Yours: reads and writes the register at byte `offset` of the device at `base`. Macros of these names, defined in
 * front of this file, will do as well. A write must not overtake what was written to memory before it. */
#ifndef foreshift_read32
uint32_t foreshift_read32(uintptr_t base, uint32_t offset);
#endif
#ifndef foreshift_write32
void foreshift_write32(uintptr_t base, uint32_t offset, uint32_t value);
#endif

/* An accelerator, and what it is built for: see the CAPABILITY registers. */
struct foreshift_device {
    uintptr_t base;
    uint32_t method; /* enum foreshift_method */
    uint32_t rounds, bus_bytes, tokens, width, heads, head_width, ffn, lines, lanes, rows, load;
};

enum foreshift_result {
    FORESHIFT_OK,
    FORESHIFT_NO_DEVICE,     /* There is no accelerator at this address. */
    FORESHIFT_OTHER_VERSION, /* Its registers are not those of this driver. */
    FORESHIFT_BUSY,          /* A list is under way. */
    FORESHIFT_FAILED,        /* The list was given up: see foreshift_error. */
    FORESHIFT_STOPPED        /* No list is under way, and none has ended. */
};

/* Finds out what stands at `base`. The device counts for nothing unless this is FORESHIFT_OK. */
enum foreshift_result foreshift_init(struct foreshift_device *device, uintptr_t base);

/* Makes a descriptor in which everything is 0 but what says that it is one. The rest is yours. */
void foreshift_describe(struct foreshift_descriptor *descriptor);

/* How layers are run from the next start on; both are 1 behind reset. */
void foreshift_mode(const struct foreshift_device *device, int overlap, int eager);

/* Begins with `count` descriptors, the first one at `address`, as the device sees memory. What they say must lie in
 * memory by then, not in a cache. FORESHIFT_BUSY: nothing was begun. */
enum foreshift_result foreshift_start(const struct foreshift_device *device, uint64_t address, uint32_t count);

/* FORESHIFT_BUSY, or how the last list ended: FORESHIFT_OK, FORESHIFT_FAILED or FORESHIFT_STOPPED. */
enum foreshift_result foreshift_poll(const struct foreshift_device *device);

/* Polls until the list has ended, or `polls` times; 0: for ever. */
enum foreshift_result foreshift_wait(const struct foreshift_device *device, uint32_t polls);

/* Why the last list was given up, and, in `index`, at which layer. */
enum foreshift_error foreshift_error(const struct foreshift_device *device, uint32_t *index);

/* Ends all work. The device is busy until nothing is on its way to or from memory, and then stopped. */
void foreshift_stop(const struct foreshift_device *device);

/* Which events raise the interrupt: masks of INTERRUPT_ENABLE. */
void foreshift_interrupts(const struct foreshift_device *device, uint32_t events);

/* For the interrupt's handler: the events that stand, which are cleared. */
uint32_t foreshift_acknowledge(const struct foreshift_device *device);

/* A counter's 64 bits. Not from two places at once. */
uint64_t foreshift_count(const struct foreshift_device *device, enum foreshift_counter counter);

void foreshift_clear_counters(const struct foreshift_device *device);

#ifdef __cplusplus
}
#endif

#endif
