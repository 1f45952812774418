/* SPDX-License-Identifier: Apache-2.0 */
#include "foreshift_driver.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "descriptors are little-endian"
#endif

#define GET(word, field) (((word) & field##_MASK) >> field##_SHIFT)

static uint32_t get(const struct foreshift_device *device, uint32_t offset)
{
    return foreshift_read32(device->base, offset);
}

static void put(const struct foreshift_device *device, uint32_t offset, uint32_t value)
{
    foreshift_write32(device->base, offset, value);
}

enum foreshift_result foreshift_init(struct foreshift_device *device, uintptr_t base)
{
    uint32_t word;

    device->base = base;
    if (get(device, FORESHIFT_ID) != FORESHIFT_IDENTITY)
        return FORESHIFT_NO_DEVICE;
    if (GET(get(device, FORESHIFT_VERSION), FORESHIFT_VERSION_MAJOR) != FORESHIFT_INTERFACE_MAJOR)
        return FORESHIFT_OTHER_VERSION;
    word = get(device, FORESHIFT_CAPABILITY_UNIT);
    device->method = GET(word, FORESHIFT_CAPABILITY_UNIT_METHOD);
    device->rounds = GET(word, FORESHIFT_CAPABILITY_UNIT_ROUNDS);
    device->bus_bytes = GET(word, FORESHIFT_CAPABILITY_UNIT_BUS_BYTES);
    word = get(device, FORESHIFT_CAPABILITY_SEQUENCE);
    device->tokens = GET(word, FORESHIFT_CAPABILITY_SEQUENCE_TOKENS);
    device->width = GET(word, FORESHIFT_CAPABILITY_SEQUENCE_WIDTH);
    word = get(device, FORESHIFT_CAPABILITY_HEADS);
    device->heads = GET(word, FORESHIFT_CAPABILITY_HEADS_HEADS);
    device->head_width = GET(word, FORESHIFT_CAPABILITY_HEADS_HEAD_WIDTH);
    device->ffn = GET(get(device, FORESHIFT_CAPABILITY_FFN), FORESHIFT_CAPABILITY_FFN_FFN);
    word = get(device, FORESHIFT_CAPABILITY_ARRAYS);
    device->lines = GET(word, FORESHIFT_CAPABILITY_ARRAYS_LINES);
    device->lanes = GET(word, FORESHIFT_CAPABILITY_ARRAYS_LANES);
    word = get(device, FORESHIFT_CAPABILITY_PREDICTION);
    device->rows = GET(word, FORESHIFT_CAPABILITY_PREDICTION_ROWS);
    device->load = GET(word, FORESHIFT_CAPABILITY_PREDICTION_LOAD);
    return FORESHIFT_OK;
}

void foreshift_describe(struct foreshift_descriptor *descriptor)
{
    /* Volatile, or else compilers put memset in the place of the loop. */
    volatile uint8_t *bytes = (volatile uint8_t *)descriptor;
    uint32_t n;

    for (n = 0; n < FORESHIFT_DESCRIPTOR_BYTES; n++)
        bytes[n] = 0;
    descriptor->magic = FORESHIFT_DESCRIPTOR_MAGIC;
    descriptor->version = FORESHIFT_DESCRIPTOR_VERSION;
}

void foreshift_mode(const struct foreshift_device *device, int overlap, int eager)
{
    put(device, FORESHIFT_MODE,
        (overlap ? FORESHIFT_MODE_OVERLAP_MASK : 0u) | (eager ? FORESHIFT_MODE_EAGER_MASK : 0u));
}

enum foreshift_result foreshift_start(const struct foreshift_device *device, uint64_t address, uint32_t count)
{
    if (get(device, FORESHIFT_STATUS) & FORESHIFT_STATUS_BUSY_MASK)
        return FORESHIFT_BUSY;
    /* What is left of the list before. */
    put(device, FORESHIFT_STATUS, FORESHIFT_STATUS_DONE_MASK | FORESHIFT_STATUS_ERROR_MASK);
    (void)foreshift_acknowledge(device);
    put(device, FORESHIFT_DESCRIPTORS_LOW, (uint32_t)address);
    put(device, FORESHIFT_DESCRIPTORS_HIGH, (uint32_t)(address >> 32));
    put(device, FORESHIFT_DESCRIPTOR_COUNT, count);
    put(device, FORESHIFT_CONTROL, FORESHIFT_CONTROL_START_MASK);
    return FORESHIFT_OK;
}

enum foreshift_result foreshift_poll(const struct foreshift_device *device)
{
    uint32_t status = get(device, FORESHIFT_STATUS);

    if (status & FORESHIFT_STATUS_ERROR_MASK)
        return FORESHIFT_FAILED;
    if (status & FORESHIFT_STATUS_DONE_MASK)
        return FORESHIFT_OK;
    return status & FORESHIFT_STATUS_BUSY_MASK ? FORESHIFT_BUSY : FORESHIFT_STOPPED;
}

enum foreshift_result foreshift_wait(const struct foreshift_device *device, uint32_t polls)
{
    enum foreshift_result result = foreshift_poll(device);

    while (result == FORESHIFT_BUSY && (polls == 0 || --polls != 0))
        result = foreshift_poll(device);
    return result;
}

enum foreshift_error foreshift_error(const struct foreshift_device *device, uint32_t *index)
{
    *index = GET(get(device, FORESHIFT_ERROR_DESCRIPTOR), FORESHIFT_ERROR_DESCRIPTOR_INDEX);
    return (enum foreshift_error)GET(get(device, FORESHIFT_ERROR_CODE), FORESHIFT_ERROR_CODE_CODE);
}

void foreshift_stop(const struct foreshift_device *device)
{
    put(device, FORESHIFT_CONTROL, FORESHIFT_CONTROL_SOFT_RESET_MASK);
}

void foreshift_interrupts(const struct foreshift_device *device, uint32_t events)
{
    put(device, FORESHIFT_INTERRUPT_ENABLE, events);
}

uint32_t foreshift_acknowledge(const struct foreshift_device *device)
{
    uint32_t events = get(device, FORESHIFT_INTERRUPT_STATUS);

    put(device, FORESHIFT_INTERRUPT_STATUS, events);
    return events;
}

uint64_t foreshift_count(const struct foreshift_device *device, enum foreshift_counter counter)
{
    /* Reading the low word keeps the high one. */
    uint32_t low = get(device, (uint32_t)counter);

    return (uint64_t)get(device, (uint32_t)counter + 4u) << 32 | low;
}

void foreshift_clear_counters(const struct foreshift_device *device)
{
    put(device, FORESHIFT_CONTROL, FORESHIFT_CONTROL_CLEAR_COUNTERS_MASK);
}
