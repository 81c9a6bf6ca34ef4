// The 8-bit dynamic maps over runs of blocks: bitsandbytes' quantize_blockwise.
#include "dynamic8.h"

#include <float.h>
#include <pthread.h>

#pragma STDC FP_CONTRACT OFF

enum { MAX_BLOCK = 4096, SCRATCH = 1024, CELLS = 65536 };

// MARK: The two rules

// cells[i] counts the midpoints below -1 + 2 i / 65535. Within a cell the CPU rule does not look again, which is why
// it is not always the nearest code; the unsigned map has its values in the upper half of the cells.
typedef struct {
    uint8_t cells[CELLS];
    float midpoints[255];
} ck_dynamic8_tables;

static ck_dynamic8_tables tables[2];  // by ck_dynamic_kind
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_table(const float *map, ck_dynamic8_tables *table) {
    for (int i = 0; i < 255; i++) table->midpoints[i] = 0.5f * (map[i] + map[i + 1]);
    int below = 0;
    for (int i = 0; i < CELLS; i++) {
        float v = -1.0f + (2.0f * (float)i) / 65535.0f;
        while (below < 255 && table->midpoints[below] < v) below++;
        table->cells[i] = (uint8_t)below;
    }
}

static void make_tables(void) {
    make_table(ck_dynamic_map, &tables[CK_DYNAMIC_SIGNED]);
    make_table(ck_unsigned_dynamic_map, &tables[CK_DYNAMIC_UNSIGNED]);
}

void ck_dynamic8_prepare(void) { pthread_once(&once, make_tables); }

static uint8_t nearest(float s, const float *midpoints) {
    int low = 0, high = 255;  // the midpoints below s are those before `low`
    while (low < high) {
        int middle = (low + high) / 2;
        if (midpoints[middle] < s) low = middle + 1; else high = middle;
    }
    if (low < 255 && midpoints[low] == s && (low & 1)) low++;  // a tie, between low and low + 1
    return (uint8_t)low;
}

void ck_dynamic8_encode(
    const float *z, int64_t count, float absmax, ck_dynamic_kind kind, ck_code_rule rule, uint8_t *codes) {
    if (absmax == 0) {
        memset(codes, 0, (size_t)count);
        return;
    }
    const ck_dynamic8_tables *table = &tables[kind];
    float reciprocal = 1.0f / absmax;
    if (rule == CK_CODES_CPU) {
        uint16_t cells[MAX_BLOCK];
        ck_kernels.dynamic8_cells(z, count, reciprocal, cells);
        for (int64_t i = 0; i < count; i++) codes[i] = table->cells[cells[i]];
    } else if (reciprocal <= FLT_MAX) {
        for (int64_t i = 0; i < count; i++) codes[i] = nearest(z[i] * reciprocal, table->midpoints);
    } else {
        // A denormal maximum whose reciprocal is infinite: 0 times it would be no number.
        for (int64_t i = 0; i < count; i++) codes[i] = nearest(z[i] / absmax, table->midpoints);
    }
}

int64_t ck_dynamic8_quantize(
    const void *source, ck_type type, int64_t count, int64_t block, float offset, ck_code_rule rule, uint8_t *codes,
    float *absmax) {
    ck_dynamic8_prepare();
    float z[MAX_BLOCK];
    const int64_t bytes = type == CK_F32 ? 4 : 2;
    for (int64_t start = 0; start < count; start += block) {
        const int64_t size = count - start < block ? count - start : block;
        ck_to_f32((const char *)source + start * bytes, type, size, z);
        if (offset != 0)
            for (int64_t i = 0; i < size; i++) z[i] -= offset;
        uint32_t bits = ck_kernels.absmax_bits(z, size);
        if (bits >= 0x7f800000) {
            int64_t i = 0;
            while ((ck_bits(z[i]) & 0x7f800000) != 0x7f800000) i++;
            return start + i;
        }
        *absmax = ck_float(bits);
        ck_dynamic8_encode(z, size, *absmax++, CK_DYNAMIC_SIGNED, rule, codes + start);
    }
    return -1;
}

// MARK: Back

static void dequantize_f32(
    const uint8_t *codes, const void *absmax, const float *map, int64_t block, int64_t start, int64_t count,
    float *target) {
    for (int64_t at = start, end = start + count; at < end;) {
        int64_t index = at / block;
        int64_t stop = (index + 1) * block < end ? (index + 1) * block : end;
        ck_kernels.dynamic8_decode(codes + at, stop - at, map, ck_load_f32(absmax, index), target);
        target += stop - at;
        at = stop;
    }
}

void ck_dynamic8_dequantize(
    const uint8_t *codes, const void *absmax, const float *map, int64_t block, int64_t start, int64_t count,
    ck_type type, void *target) {
    if (type == CK_F32) {
        dequantize_f32(codes, absmax, map, block, start, count, target);
        return;
    }
    float scratch[SCRATCH];
    char *out = target;
    for (int64_t done = 0; done < count; done += SCRATCH) {
        int64_t run = count - done < SCRATCH ? count - done : SCRATCH;
        dequantize_f32(codes, absmax, map, block, start + done, run, scratch);
        ck_from_f32(scratch, type, run, out + done * 2);
    }
}

void ck_dynamic8_multiply(
    const uint8_t *codes, const void *absmax, const float *map, int64_t block, int64_t columns, int64_t first_row,
    int64_t rows, const float *x, float *y) {
    float scratch[SCRATCH];
    for (int64_t r = 0; r < rows; r++) {
        const int64_t row = (first_row + r) * columns;
        float sum = 0;
        for (int64_t c = 0; c < columns; c += SCRATCH) {
            int64_t run = columns - c < SCRATCH ? columns - c : SCRATCH;
            dequantize_f32(codes, absmax, map, block, row + c, run, scratch);
            sum += ck_kernels.dot(scratch, x + c, run);
        }
        y[r] = sum;
    }
}
