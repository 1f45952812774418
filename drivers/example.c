/* SPDX-License-Identifier: Apache-2.0 */
#include "example.h"

enum foreshift_result example_run(uintptr_t base, struct foreshift_descriptor *list, uint64_t there, uint32_t count,
                                  int sleep, uint32_t polls, struct example_end *end)
{
    struct foreshift_device device;
    enum foreshift_result result = foreshift_init(&device, base);

    if (result != FORESHIFT_OK)
        return result;
    example_layers(list);
    foreshift_mode(&device, 1, 1);
    foreshift_clear_counters(&device);
    foreshift_interrupts(&device,
                         sleep ? FORESHIFT_INTERRUPT_ENABLE_DONE_MASK | FORESHIFT_INTERRUPT_ENABLE_ERROR_MASK : 0u);
    result = foreshift_start(&device, there, count);
    if (result != FORESHIFT_OK)
        return result;
    if (sleep) {
        example_sleep();
        (void)foreshift_acknowledge(&device);
        result = foreshift_poll(&device);
    } else {
        result = foreshift_wait(&device, polls);
    }
    end->error = FORESHIFT_ERROR_NONE;
    end->layer = 0;
    if (result == FORESHIFT_FAILED)
        end->error = (uint32_t)foreshift_error(&device, &end->layer);
    end->cycles = foreshift_count(&device, FORESHIFT_COUNTER_CYCLES);
    end->layers = foreshift_count(&device, FORESHIFT_COUNTER_LAYERS);
    end->bytes_read = foreshift_count(&device, FORESHIFT_COUNTER_BYTES_READ);
    end->bytes_written = foreshift_count(&device, FORESHIFT_COUNTER_BYTES_WRITTEN);
    return result;
}
