/* SPDX-License-Identifier: Apache-2.0
 * Registers and descriptors of the foreshift accelerators: docs/registers.md.
 * Written by foreshift from its tables of registers and descriptors.
 */
#ifndef FORESHIFT_H
#define FORESHIFT_H

#include <stdint.h>

/* Of a device that this header is for. */
#define FORESHIFT_IDENTITY 0x45524f46u
#define FORESHIFT_INTERFACE_MAJOR 1u
#define FORESHIFT_INTERFACE_MINOR 0u

/* Registers: byte offsets; of their fields, the bits and the lowest one's number. */
/* Which device this is. */
#define FORESHIFT_ID 0x000u
#define FORESHIFT_ID_ID_MASK 0xffffffffu /* The letters FORE, the first one in the lowest byte. */
#define FORESHIFT_ID_ID_SHIFT 0

/* Of registers and descriptor. Software must refuse another `major` than its own. */
#define FORESHIFT_VERSION 0x004u
#define FORESHIFT_VERSION_MINOR_MASK 0x0000ffffu /* Rises with what is added. */
#define FORESHIFT_VERSION_MINOR_SHIFT 0
#define FORESHIFT_VERSION_MAJOR_MASK 0xffff0000u /* Rises with what is changed. */
#define FORESHIFT_VERSION_MAJOR_SHIFT 16

/* Prediction and memory port. */
#define FORESHIFT_CAPABILITY_UNIT 0x008u
#define FORESHIFT_CAPABILITY_UNIT_METHOD_MASK 0x000000ffu /* Method of speculation, 0: spls, 1: lapa, 2: dense, 3: fact, 4: sanger, 5: spatten. */
#define FORESHIFT_CAPABILITY_UNIT_METHOD_SHIFT 0
#define FORESHIFT_CAPABILITY_UNIT_ROUNDS_MASK 0x0000ff00u /* Rounds of scoring: how many values of eta count. */
#define FORESHIFT_CAPABILITY_UNIT_ROUNDS_SHIFT 8
#define FORESHIFT_CAPABILITY_UNIT_BUS_BYTES_MASK 0xffff0000u /* Bytes of a word of the memory's port; addresses are multiples of it. */
#define FORESHIFT_CAPABILITY_UNIT_BUS_BYTES_SHIFT 16

/* The largest layer. */
#define FORESHIFT_CAPABILITY_SEQUENCE 0x00cu
#define FORESHIFT_CAPABILITY_SEQUENCE_TOKENS_MASK 0x0000ffffu /* Tokens at the most. */
#define FORESHIFT_CAPABILITY_SEQUENCE_TOKENS_SHIFT 0
#define FORESHIFT_CAPABILITY_SEQUENCE_WIDTH_MASK 0xffff0000u /* Channels of a token at the most. */
#define FORESHIFT_CAPABILITY_SEQUENCE_WIDTH_SHIFT 16

/* The largest layer. */
#define FORESHIFT_CAPABILITY_HEADS 0x010u
#define FORESHIFT_CAPABILITY_HEADS_HEADS_MASK 0x0000ffffu /* Heads at the most. */
#define FORESHIFT_CAPABILITY_HEADS_HEADS_SHIFT 0
#define FORESHIFT_CAPABILITY_HEADS_HEAD_WIDTH_MASK 0xffff0000u /* Channels of a head at the most. */
#define FORESHIFT_CAPABILITY_HEADS_HEAD_WIDTH_SHIFT 16

/* The largest layer. */
#define FORESHIFT_CAPABILITY_FFN 0x014u
#define FORESHIFT_CAPABILITY_FFN_FFN_MASK 0x0000ffffu /* Hidden channels of the FFN at the most. */
#define FORESHIFT_CAPABILITY_FFN_FFN_SHIFT 0

/* Of both arrays. */
#define FORESHIFT_CAPABILITY_ARRAYS 0x018u
#define FORESHIFT_CAPABILITY_ARRAYS_LINES_MASK 0x0000ffffu /* Lines of an array. */
#define FORESHIFT_CAPABILITY_ARRAYS_LINES_SHIFT 0
#define FORESHIFT_CAPABILITY_ARRAYS_LANES_MASK 0xffff0000u /* Lanes of a line: columns of a tile; width and ffn are multiples of it. */
#define FORESHIFT_CAPABILITY_ARRAYS_LANES_SHIFT 16

/* The array of the speculation unit, after which the codes of its weights lie in memory. */
#define FORESHIFT_CAPABILITY_PREDICTION 0x01cu
#define FORESHIFT_CAPABILITY_PREDICTION_ROWS_MASK 0x0000ffffu /* Outputs side by side. */
#define FORESHIFT_CAPABILITY_PREDICTION_ROWS_SHIFT 0
#define FORESHIFT_CAPABILITY_PREDICTION_LOAD_MASK 0xffff0000u /* Outputs whose codes are taken in a cycle. */
#define FORESHIFT_CAPABILITY_PREDICTION_LOAD_SHIFT 16

/* Commands. */
#define FORESHIFT_CONTROL 0x020u
#define FORESHIFT_CONTROL_START_MASK 0x00000001u /* Begin with the list of layers; ignored while busy. */
#define FORESHIFT_CONTROL_START_SHIFT 0
#define FORESHIFT_CONTROL_SOFT_RESET_MASK 0x00000002u /* End all work and forget it, without done or error; registers keep what they hold. */
#define FORESHIFT_CONTROL_SOFT_RESET_SHIFT 1
#define FORESHIFT_CONTROL_CLEAR_COUNTERS_MASK 0x00000004u /* Set all counters to 0. */
#define FORESHIFT_CONTROL_CLEAR_COUNTERS_SHIFT 2

/* What the accelerator does, and what became of the list. */
#define FORESHIFT_STATUS 0x024u
#define FORESHIFT_STATUS_BUSY_MASK 0x00000001u /* A list is under way. */
#define FORESHIFT_STATUS_BUSY_SHIFT 0
#define FORESHIFT_STATUS_DONE_MASK 0x00000002u /* Since it was cleared: all layers of the list are finished. */
#define FORESHIFT_STATUS_DONE_SHIFT 1
#define FORESHIFT_STATUS_ERROR_MASK 0x00000004u /* Since it was cleared: the list was given up; ERROR_CODE says why. */
#define FORESHIFT_STATUS_ERROR_SHIFT 2

/* Why the last list was given up. */
#define FORESHIFT_ERROR_CODE 0x028u
#define FORESHIFT_ERROR_CODE_CODE_MASK 0x000000ffu /* See the error codes; 0 from a start on. */
#define FORESHIFT_ERROR_CODE_CODE_SHIFT 0

/* Where the last list was given up. */
#define FORESHIFT_ERROR_DESCRIPTOR 0x02cu
#define FORESHIFT_ERROR_DESCRIPTOR_INDEX_MASK 0x0000ffffu /* Number of the layer, from 0. */
#define FORESHIFT_ERROR_DESCRIPTOR_INDEX_SHIFT 0

/* Where the list of descriptors is, one behind the other; read when it starts. */
#define FORESHIFT_DESCRIPTORS_LOW 0x030u
#define FORESHIFT_DESCRIPTORS_LOW_ADDRESS_MASK 0xffffffffu /* Bits 31 to 0, a multiple of bus_bytes. */
#define FORESHIFT_DESCRIPTORS_LOW_ADDRESS_SHIFT 0

/* The same. */
#define FORESHIFT_DESCRIPTORS_HIGH 0x034u
#define FORESHIFT_DESCRIPTORS_HIGH_ADDRESS_MASK 0xffffffffu /* Bits 63 to 32. */
#define FORESHIFT_DESCRIPTORS_HIGH_ADDRESS_SHIFT 0

/* How many layers the list has; read when it starts. */
#define FORESHIFT_DESCRIPTOR_COUNT 0x038u
#define FORESHIFT_DESCRIPTOR_COUNT_COUNT_MASK 0x0000ffffu /* 0: the list is done at once. */
#define FORESHIFT_DESCRIPTOR_COUNT_COUNT_SHIFT 0

/* How layers are run; results are the same. Change it only while not busy. */
#define FORESHIFT_MODE 0x03cu
#define FORESHIFT_MODE_OVERLAP_MASK 0x00000001u /* Heads are executed while later ones are predicted; else all are predicted first. */
#define FORESHIFT_MODE_OVERLAP_SHIFT 0
#define FORESHIFT_MODE_EAGER_MASK 0x00000002u /* K, V and Q of the first head are generated for all tokens while it is being predicted. */
#define FORESHIFT_MODE_EAGER_SHIFT 1

/* Which events raise the interrupt. */
#define FORESHIFT_INTERRUPT_ENABLE 0x040u
#define FORESHIFT_INTERRUPT_ENABLE_DONE_MASK 0x00000001u /* All layers of the list are finished. */
#define FORESHIFT_INTERRUPT_ENABLE_DONE_SHIFT 0
#define FORESHIFT_INTERRUPT_ENABLE_ERROR_MASK 0x00000002u /* The list was given up. */
#define FORESHIFT_INTERRUPT_ENABLE_ERROR_SHIFT 1

/* Events; the interrupt is raised while an enabled one stands. */
#define FORESHIFT_INTERRUPT_STATUS 0x044u
#define FORESHIFT_INTERRUPT_STATUS_DONE_MASK 0x00000001u /* Since it was cleared: all layers of the list are finished. */
#define FORESHIFT_INTERRUPT_STATUS_DONE_SHIFT 0
#define FORESHIFT_INTERRUPT_STATUS_ERROR_MASK 0x00000002u /* Since it was cleared: the list was given up; ERROR_CODE says why. */
#define FORESHIFT_INTERRUPT_STATUS_ERROR_SHIFT 1

/* Cycles from a start to its end, of all starts together. */
#define FORESHIFT_CYCLES_LOW 0x080u
#define FORESHIFT_CYCLES_LOW_COUNT_MASK 0xffffffffu /* Bits 31 to 0. */
#define FORESHIFT_CYCLES_LOW_COUNT_SHIFT 0

/* Cycles from a start to its end, of all starts together. */
#define FORESHIFT_CYCLES_HIGH 0x084u
#define FORESHIFT_CYCLES_HIGH_COUNT_MASK 0xffffffffu /* Bits 63 to 32. */
#define FORESHIFT_CYCLES_HIGH_COUNT_SHIFT 0

/* Cycles in which array 1 multiplied; those of attention all count. */
#define FORESHIFT_BUSY_ARRAY1_LOW 0x088u
#define FORESHIFT_BUSY_ARRAY1_LOW_COUNT_MASK 0xffffffffu /* Bits 31 to 0. */
#define FORESHIFT_BUSY_ARRAY1_LOW_COUNT_SHIFT 0

/* Cycles in which array 1 multiplied; those of attention all count. */
#define FORESHIFT_BUSY_ARRAY1_HIGH 0x08cu
#define FORESHIFT_BUSY_ARRAY1_HIGH_COUNT_MASK 0xffffffffu /* Bits 63 to 32. */
#define FORESHIFT_BUSY_ARRAY1_HIGH_COUNT_SHIFT 0

/* Cycles in which array 2 multiplied; those of attention all count. */
#define FORESHIFT_BUSY_ARRAY2_LOW 0x090u
#define FORESHIFT_BUSY_ARRAY2_LOW_COUNT_MASK 0xffffffffu /* Bits 31 to 0. */
#define FORESHIFT_BUSY_ARRAY2_LOW_COUNT_SHIFT 0

/* Cycles in which array 2 multiplied; those of attention all count. */
#define FORESHIFT_BUSY_ARRAY2_HIGH 0x094u
#define FORESHIFT_BUSY_ARRAY2_HIGH_COUNT_MASK 0xffffffffu /* Bits 63 to 32. */
#define FORESHIFT_BUSY_ARRAY2_HIGH_COUNT_SHIFT 0

/* Cycles in which an array waited for weights. */
#define FORESHIFT_STALL_WEIGHTS_LOW 0x098u
#define FORESHIFT_STALL_WEIGHTS_LOW_COUNT_MASK 0xffffffffu /* Bits 31 to 0. */
#define FORESHIFT_STALL_WEIGHTS_LOW_COUNT_SHIFT 0

/* Cycles in which an array waited for weights. */
#define FORESHIFT_STALL_WEIGHTS_HIGH 0x09cu
#define FORESHIFT_STALL_WEIGHTS_HIGH_COUNT_MASK 0xffffffffu /* Bits 63 to 32. */
#define FORESHIFT_STALL_WEIGHTS_HIGH_COUNT_SHIFT 0

/* Cycles in which an array waited for rows of activations. */
#define FORESHIFT_STALL_ROWS_LOW 0x0a0u
#define FORESHIFT_STALL_ROWS_LOW_COUNT_MASK 0xffffffffu /* Bits 31 to 0. */
#define FORESHIFT_STALL_ROWS_LOW_COUNT_SHIFT 0

/* Cycles in which an array waited for rows of activations. */
#define FORESHIFT_STALL_ROWS_HIGH 0x0a4u
#define FORESHIFT_STALL_ROWS_HIGH_COUNT_MASK 0xffffffffu /* Bits 63 to 32. */
#define FORESHIFT_STALL_ROWS_HIGH_COUNT_SHIFT 0

/* Cycles in which both arrays had no work because prediction had not gone far enough. */
#define FORESHIFT_STALL_PLAN_LOW 0x0a8u
#define FORESHIFT_STALL_PLAN_LOW_COUNT_MASK 0xffffffffu /* Bits 31 to 0. */
#define FORESHIFT_STALL_PLAN_LOW_COUNT_SHIFT 0

/* Cycles in which both arrays had no work because prediction had not gone far enough. */
#define FORESHIFT_STALL_PLAN_HIGH 0x0acu
#define FORESHIFT_STALL_PLAN_HIGH_COUNT_MASK 0xffffffffu /* Bits 63 to 32. */
#define FORESHIFT_STALL_PLAN_HIGH_COUNT_SHIFT 0

/* Cycles in which the speculation unit was at work. */
#define FORESHIFT_PREDICTION_CYCLES_LOW 0x0b0u
#define FORESHIFT_PREDICTION_CYCLES_LOW_COUNT_MASK 0xffffffffu /* Bits 31 to 0. */
#define FORESHIFT_PREDICTION_CYCLES_LOW_COUNT_SHIFT 0

/* Cycles in which the speculation unit was at work. */
#define FORESHIFT_PREDICTION_CYCLES_HIGH 0x0b4u
#define FORESHIFT_PREDICTION_CYCLES_HIGH_COUNT_MASK 0xffffffffu /* Bits 63 to 32. */
#define FORESHIFT_PREDICTION_CYCLES_HIGH_COUNT_SHIFT 0

/* Of these, cycles in which the arrays did not wait for it. */
#define FORESHIFT_PREDICTION_HIDDEN_LOW 0x0b8u
#define FORESHIFT_PREDICTION_HIDDEN_LOW_COUNT_MASK 0xffffffffu /* Bits 31 to 0. */
#define FORESHIFT_PREDICTION_HIDDEN_LOW_COUNT_SHIFT 0

/* Of these, cycles in which the arrays did not wait for it. */
#define FORESHIFT_PREDICTION_HIDDEN_HIGH 0x0bcu
#define FORESHIFT_PREDICTION_HIDDEN_HIGH_COUNT_MASK 0xffffffffu /* Bits 63 to 32. */
#define FORESHIFT_PREDICTION_HIDDEN_HIGH_COUNT_SHIFT 0

/* Records of plans. */
#define FORESHIFT_RECORDS_PREDICTED_LOW 0x0c0u
#define FORESHIFT_RECORDS_PREDICTED_LOW_COUNT_MASK 0xffffffffu /* Bits 31 to 0. */
#define FORESHIFT_RECORDS_PREDICTED_LOW_COUNT_SHIFT 0

/* Records of plans. */
#define FORESHIFT_RECORDS_PREDICTED_HIGH 0x0c4u
#define FORESHIFT_RECORDS_PREDICTED_HIGH_COUNT_MASK 0xffffffffu /* Bits 63 to 32. */
#define FORESHIFT_RECORDS_PREDICTED_HIGH_COUNT_SHIFT 0

/* Items of attention: a critical row and its kept keys, of one head. */
#define FORESHIFT_ITEMS_EXECUTED_LOW 0x0c8u
#define FORESHIFT_ITEMS_EXECUTED_LOW_COUNT_MASK 0xffffffffu /* Bits 31 to 0. */
#define FORESHIFT_ITEMS_EXECUTED_LOW_COUNT_SHIFT 0

/* Items of attention: a critical row and its kept keys, of one head. */
#define FORESHIFT_ITEMS_EXECUTED_HIGH 0x0ccu
#define FORESHIFT_ITEMS_EXECUTED_HIGH_COUNT_MASK 0xffffffffu /* Bits 63 to 32. */
#define FORESHIFT_ITEMS_EXECUTED_HIGH_COUNT_SHIFT 0

/* Bytes read from memory, descriptors included. */
#define FORESHIFT_BYTES_READ_LOW 0x0d0u
#define FORESHIFT_BYTES_READ_LOW_COUNT_MASK 0xffffffffu /* Bits 31 to 0. */
#define FORESHIFT_BYTES_READ_LOW_COUNT_SHIFT 0

/* Bytes read from memory, descriptors included. */
#define FORESHIFT_BYTES_READ_HIGH 0x0d4u
#define FORESHIFT_BYTES_READ_HIGH_COUNT_MASK 0xffffffffu /* Bits 63 to 32. */
#define FORESHIFT_BYTES_READ_HIGH_COUNT_SHIFT 0

/* Bytes written to memory. */
#define FORESHIFT_BYTES_WRITTEN_LOW 0x0d8u
#define FORESHIFT_BYTES_WRITTEN_LOW_COUNT_MASK 0xffffffffu /* Bits 31 to 0. */
#define FORESHIFT_BYTES_WRITTEN_LOW_COUNT_SHIFT 0

/* Bytes written to memory. */
#define FORESHIFT_BYTES_WRITTEN_HIGH 0x0dcu
#define FORESHIFT_BYTES_WRITTEN_HIGH_COUNT_MASK 0xffffffffu /* Bits 63 to 32. */
#define FORESHIFT_BYTES_WRITTEN_HIGH_COUNT_SHIFT 0

/* Layers that were finished. */
#define FORESHIFT_LAYERS_LOW 0x0e0u
#define FORESHIFT_LAYERS_LOW_COUNT_MASK 0xffffffffu /* Bits 31 to 0. */
#define FORESHIFT_LAYERS_LOW_COUNT_SHIFT 0

/* Layers that were finished. */
#define FORESHIFT_LAYERS_HIGH 0x0e4u
#define FORESHIFT_LAYERS_HIGH_COUNT_MASK 0xffffffffu /* Bits 63 to 32. */
#define FORESHIFT_LAYERS_HIGH_COUNT_SHIFT 0

/* Cycles of a layer until its parameters and x are on chip. */
#define FORESHIFT_CYCLES_LOAD_LOW 0x0e8u
#define FORESHIFT_CYCLES_LOAD_LOW_COUNT_MASK 0xffffffffu /* Bits 31 to 0. */
#define FORESHIFT_CYCLES_LOAD_LOW_COUNT_SHIFT 0

/* Cycles of a layer until its parameters and x are on chip. */
#define FORESHIFT_CYCLES_LOAD_HIGH 0x0ecu
#define FORESHIFT_CYCLES_LOAD_HIGH_COUNT_MASK 0xffffffffu /* Bits 63 to 32. */
#define FORESHIFT_CYCLES_LOAD_HIGH_COUNT_SHIFT 0

/* Cycles from then on until Q, K and V are. */
#define FORESHIFT_CYCLES_GENERATION_LOW 0x0f0u
#define FORESHIFT_CYCLES_GENERATION_LOW_COUNT_MASK 0xffffffffu /* Bits 31 to 0. */
#define FORESHIFT_CYCLES_GENERATION_LOW_COUNT_SHIFT 0

/* Cycles from then on until Q, K and V are. */
#define FORESHIFT_CYCLES_GENERATION_HIGH 0x0f4u
#define FORESHIFT_CYCLES_GENERATION_HIGH_COUNT_MASK 0xffffffffu /* Bits 63 to 32. */
#define FORESHIFT_CYCLES_GENERATION_HIGH_COUNT_SHIFT 0

/* Cycles from then on until all contexts are. */
#define FORESHIFT_CYCLES_ATTENTION_LOW 0x0f8u
#define FORESHIFT_CYCLES_ATTENTION_LOW_COUNT_MASK 0xffffffffu /* Bits 31 to 0. */
#define FORESHIFT_CYCLES_ATTENTION_LOW_COUNT_SHIFT 0

/* Cycles from then on until all contexts are. */
#define FORESHIFT_CYCLES_ATTENTION_HIGH 0x0fcu
#define FORESHIFT_CYCLES_ATTENTION_HIGH_COUNT_MASK 0xffffffffu /* Bits 63 to 32. */
#define FORESHIFT_CYCLES_ATTENTION_HIGH_COUNT_SHIFT 0

/* Cycles from then on until the arrays have made the projection of all rows. */
#define FORESHIFT_CYCLES_PROJECTION_LOW 0x100u
#define FORESHIFT_CYCLES_PROJECTION_LOW_COUNT_MASK 0xffffffffu /* Bits 31 to 0. */
#define FORESHIFT_CYCLES_PROJECTION_LOW_COUNT_SHIFT 0

/* Cycles from then on until the arrays have made the projection of all rows. */
#define FORESHIFT_CYCLES_PROJECTION_HIGH 0x104u
#define FORESHIFT_CYCLES_PROJECTION_HIGH_COUNT_MASK 0xffffffffu /* Bits 63 to 32. */
#define FORESHIFT_CYCLES_PROJECTION_HIGH_COUNT_SHIFT 0

/* Cycles from then on until the layer is finished. */
#define FORESHIFT_CYCLES_FFN_LOW 0x108u
#define FORESHIFT_CYCLES_FFN_LOW_COUNT_MASK 0xffffffffu /* Bits 31 to 0. */
#define FORESHIFT_CYCLES_FFN_LOW_COUNT_SHIFT 0

/* Cycles from then on until the layer is finished. */
#define FORESHIFT_CYCLES_FFN_HIGH 0x10cu
#define FORESHIFT_CYCLES_FFN_HIGH_COUNT_MASK 0xffffffffu /* Bits 63 to 32. */
#define FORESHIFT_CYCLES_FFN_HIGH_COUNT_SHIFT 0

/* Byte offset of the low word; the high one is behind it. */
enum foreshift_counter {
    FORESHIFT_COUNTER_CYCLES = 0x80, /* Cycles from a start to its end, of all starts together. */
    FORESHIFT_COUNTER_BUSY_ARRAY1 = 0x88, /* Cycles in which array 1 multiplied; those of attention all count. */
    FORESHIFT_COUNTER_BUSY_ARRAY2 = 0x90, /* Cycles in which array 2 multiplied; those of attention all count. */
    FORESHIFT_COUNTER_STALL_WEIGHTS = 0x98, /* Cycles in which an array waited for weights. */
    FORESHIFT_COUNTER_STALL_ROWS = 0xa0, /* Cycles in which an array waited for rows of activations. */
    FORESHIFT_COUNTER_STALL_PLAN = 0xa8, /* Cycles in which both arrays had no work because prediction had not gone far enough. */
    FORESHIFT_COUNTER_PREDICTION_CYCLES = 0xb0, /* Cycles in which the speculation unit was at work. */
    FORESHIFT_COUNTER_PREDICTION_HIDDEN = 0xb8, /* Of these, cycles in which the arrays did not wait for it. */
    FORESHIFT_COUNTER_RECORDS_PREDICTED = 0xc0, /* Records of plans. */
    FORESHIFT_COUNTER_ITEMS_EXECUTED = 0xc8, /* Items of attention: a critical row and its kept keys, of one head. */
    FORESHIFT_COUNTER_BYTES_READ = 0xd0, /* Bytes read from memory, descriptors included. */
    FORESHIFT_COUNTER_BYTES_WRITTEN = 0xd8, /* Bytes written to memory. */
    FORESHIFT_COUNTER_LAYERS = 0xe0, /* Layers that were finished. */
    FORESHIFT_COUNTER_CYCLES_LOAD = 0xe8, /* Cycles of a layer until its parameters and x are on chip. */
    FORESHIFT_COUNTER_CYCLES_GENERATION = 0xf0, /* Cycles from then on until Q, K and V are. */
    FORESHIFT_COUNTER_CYCLES_ATTENTION = 0xf8, /* Cycles from then on until all contexts are. */
    FORESHIFT_COUNTER_CYCLES_PROJECTION = 0x100, /* Cycles from then on until the arrays have made the projection of all rows. */
    FORESHIFT_COUNTER_CYCLES_FFN = 0x108, /* Cycles from then on until the layer is finished. */
};

/* Of speculation. */
enum foreshift_method {
    FORESHIFT_METHOD_SPLS = 0x0,
    FORESHIFT_METHOD_LAPA = 0x1,
    FORESHIFT_METHOD_DENSE = 0x2,
    FORESHIFT_METHOD_FACT = 0x3,
    FORESHIFT_METHOD_SANGER = 0x4,
    FORESHIFT_METHOD_SPATTEN = 0x5,
};

/* Why a list of layers was given up. */
enum foreshift_error {
    FORESHIFT_ERROR_NONE = 0x0, /* Nothing is wrong. */
    FORESHIFT_ERROR_BAD_MAGIC = 0x1, /* The first word does not say that this is a descriptor. */
    FORESHIFT_ERROR_BAD_VERSION = 0x2, /* The descriptor has another version than the accelerator. */
    FORESHIFT_ERROR_RESERVED = 0x3, /* Something is not 0 that must be 0. */
    FORESHIFT_ERROR_BAD_SHAPE = 0x4, /* tokens, width, heads, head_width or ffn is 0 or above what is built; or width or ffn is no multiple of lanes, or just as many. */
    FORESHIFT_ERROR_BAD_SETTINGS = 0x5, /* A norm's shift, or a setting of the method of prediction that is built, is out of its range; SpAtten: CAUSAL. */
    FORESHIFT_ERROR_BAD_CHAIN = 0x6, /* CHAINED in the first layer of a list, or behind one of other tokens, width or order; SpAtten: or other heads. */
    FORESHIFT_ERROR_MISALIGNED = 0x7, /* An address or stride that is used, or the list's address, is no multiple of bus_bytes. */
    FORESHIFT_ERROR_BUS_READ = 0x8, /* Memory answered a read with an error. */
    FORESHIFT_ERROR_BUS_WRITE = 0x9, /* Memory answered a write with an error. */
    FORESHIFT_ERROR_BAD_PLAN = 0xa, /* A plan cannot be executed. */
};

/* Flags of a descriptor. */
#define FORESHIFT_FLAG_CAUSAL 0x0001u /* A token attends to itself and earlier ones only. */
#define FORESHIFT_FLAG_PRE 0x0002u /* Norms stand before attention and FFN, x and y have 16 bits; else behind the sums, x and y are int8. */
#define FORESHIFT_FLAG_CHAINED 0x0004u /* x is what the layer before left on chip; `x` and its stride mean nothing. */
#define FORESHIFT_FLAG_WRITE 0x0008u /* y is written to memory; else `y` and its stride mean nothing. */
#define FORESHIFT_FLAG_MASK 0x0010u /* There is a key mask; else all tokens may be attended to, and `key_mask` means nothing. */


/* Of a descriptor. */
#define FORESHIFT_DESCRIPTOR_MAGIC 0x5259414cu
#define FORESHIFT_DESCRIPTOR_VERSION 1u
#define FORESHIFT_DESCRIPTOR_BYTES 128u

/* A layer in memory, little-endian; what is reserved is 0. */
struct foreshift_descriptor {
    uint32_t magic; /* The letters LAYR, the first one in the lowest byte. */
    uint16_t version; /* 1. */
    uint16_t flags; /* See the flags. */
    uint16_t tokens; /* Length of the sequence. */
    uint16_t width; /* Channels of a token, a multiple of lanes, at least twice as many. */
    uint16_t heads; /* Heads. */
    uint16_t head_width; /* Channels of a head. */
    uint16_t ffn; /* Hidden channels of the FFN, a multiple of lanes, at least twice as many. */
    uint8_t norm1_shift; /* Shift of norm 1, 1 to 40. */
    uint8_t norm2_shift; /* Shift of norm 2, 1 to 40. */
    uint16_t threshold; /* Sanger: keys are kept that have more 65536ths of their row's probability, 0 to 65535. */
    uint8_t drop_tokens; /* SpAtten: 256ths of the sequence's tokens that are dropped, 0 to 255. */
    uint8_t drop_heads; /* SpAtten: 256ths of the heads that are dropped, 0 to 255. */
    uint16_t k; /* SPLS, FACT: keys that attention keeps of a row, 1 to the built tokens. */
    uint16_t k_similarity; /* SPLS: keys whose scores are compared, 1 to k. */
    uint16_t s; /* SPLS: 256ths by which similar rows may differ, 0 to 256. */
    uint16_t f; /* SPLS: heads that must name the same row, 1 to the built heads and one more. */
    uint16_t eta[3]; /* LAPA: of each round, 256ths of a row's range, 0 to 256. */
    uint8_t reserved38[2];
    uint64_t norm1_eps; /* What norm 1 adds to the variance times the square of width. */
    uint64_t norm2_eps; /* What norm 2 adds to the variance times the square of width. */
    uint64_t x; /* Address of x: a row for each token, of int8, or, with PRE, of 16 bits. */
    uint64_t y; /* Address of y, likewise. */
    uint64_t parameters; /* Address of the layer's parameters. */
    uint64_t predictor; /* Address of what the speculation unit is given; dense is given nothing. */
    uint64_t weights1; /* Address of the weights of array 1. */
    uint64_t weights2; /* Address of the weights of array 2. */
    uint64_t key_mask; /* Address of the key mask: a bit for each token, 1 if it may be attended to, the first one lowest. */
    uint32_t x_stride; /* Bytes from a row of x to the next. */
    uint32_t y_stride; /* Bytes from a row of y to the next. */
    uint8_t reserved120[8];
};
#ifdef __cplusplus
static_assert(sizeof(struct foreshift_descriptor) == FORESHIFT_DESCRIPTOR_BYTES, "the compiler must not add to a descriptor");
#else
_Static_assert(sizeof(struct foreshift_descriptor) == FORESHIFT_DESCRIPTOR_BYTES, "the compiler must not add to a descriptor");
#endif

#endif
