// What surrounds the kernels of products in integers.
#include "table.h"

#include <math.h>

enum { LANES = CK_STRIP };

void ck_int16_rows(
    const float *x, int64_t stride, int64_t rows, int64_t depth, int32_t most, ck_int16_use use, int16_t *q,
    int64_t q_stride, float *scales) {
    const ck_int16_order natural = {NULL, false};
    const ck_int16_order order = use == CK_FOR_NF4_ROWS        ? ck_kernels.int16_order
                                 : use == CK_FOR_DYNAMIC8_ROWS ? ck_kernels.dynamic8_order
                                                               : natural;
    const float limit = (float)(INT32_MAX / most - CK_INT16_BLOCK);
    ck_kernels.int16_rows(x, stride, rows, depth, CK_INT16_LARGEST, limit, order, q, q_stride, scales);
}

void ck_int16_product(
    const ck_int16_rows_view *x, int64_t rows, const int16_t *strips, const float *scales, int64_t outputs,
    int64_t depth, float alpha, bool adds, float *y, int64_t y_stride) {
    ck_kernels.int16_product(x, rows, strips, scales, outputs, depth, alpha, adds, y, y_stride);
}

// Rows of int16 [outputs][depth], one behind the other, become the strip of up to 16 outputs: pairs move as floats do.
static void strip_of_rows(const int16_t *rows, int64_t outputs, int64_t depth, int16_t *strip) {
    ck_kernels.strip_columns((const float *)rows, depth / 2, outputs, depth / 2, (float *)strip);
}

// An output's scales become a column of the strip's; none where the output is not there.
static void put_scales(const float *own, int64_t blocks, int64_t output, float *scales) {
    for (int64_t b = 0; b < blocks; b++) scales[b * LANES + output] = own ? own[b] : 0;
}

// MARK: NF4

// The scales of `count` elements of a row, one for each block of int16, times the unit of the levels.
static void nf4_scales(const ck_nf4_tensor *tensor, int64_t start, int64_t count, float unit, float *scales) {
    enum { BATCH = 64 };
    float own[BATCH];
    const int64_t per = tensor->block / CK_INT16_BLOCK, first = start / tensor->block;
    const int64_t blocks = count / CK_INT16_BLOCK, skipped = start % tensor->block / CK_INT16_BLOCK;
    if (per == 1) {
        ck_nf4_scales(tensor, first, blocks, scales);
        ck_kernels.scale(unit, scales, blocks);
        return;
    }
    for (int64_t done = 0; done < blocks;) {
        const int64_t at = skipped + done, block = at / per;
        const int64_t last = (skipped + blocks + per - 1) / per;
        const int64_t run = last - block < BATCH ? last - block : BATCH;
        ck_nf4_scales(tensor, first + block, run, own);
        for (int64_t b = at; b < (block + run) * per && done < blocks; b++, done++)
            scales[done] = own[b / per - block] * unit;
    }
}

void ck_nf4_int16_strips(
    const ck_nf4_tensor *tensor, int64_t columns, int64_t first_row, int64_t outputs, int64_t first_column,
    int64_t depth, const int16_t *levels, float unit, int16_t *strips, float *scales) {
    const int64_t blocks = depth / CK_INT16_BLOCK;
    float own[CK_INT16_DEPTH / CK_INT16_BLOCK];
    for (int64_t n = 0; n < outputs; n += LANES, strips += depth * LANES, scales += blocks * LANES) {
        const int64_t count = outputs - n < LANES ? outputs - n : LANES;
        const int64_t start = (first_row + n) * columns + first_column;
        ck_kernels.int16_strip(tensor->codes + start / 2, columns / 2, count, depth, levels, strips);
        for (int64_t j = 0; j < LANES; j++) {
            if (j < count) nf4_scales(tensor, start + j * columns, depth, unit, own);
            put_scales(j < count ? own : NULL, blocks, j, scales);
        }
    }
}

void ck_nf4_multiply_int16(
    const ck_nf4_tensor *tensor, int64_t columns, int64_t first_row, int64_t rows, const int16_t *levels, float unit,
    const ck_int16_rows_view *x, int64_t count, float *y, int64_t y_stride) {
    const int64_t blocks = columns / CK_INT16_BLOCK;
    float scales[CK_INT16_COLUMNS / CK_INT16_BLOCK];
    const int64_t most = CK_INT16_COLUMNS / columns;  // rows whose scales are in memory at a time
    for (int64_t r = 0; r < rows;) {
        const int64_t run = rows - r < most ? rows - r : most, start = (first_row + r) * columns;
        nf4_scales(tensor, start, run * columns, unit, scales);
        ck_kernels.int16_row_products(
            tensor->codes + start / 2, run, blocks, levels, scales, x, (int)count, y + r, y_stride);
        r += run;
    }
}

// MARK: The 8-bit dynamic map

// Without a division for each: they would take as long as the products.
static void dynamic8_scales(const ck_dynamic8_tensor *tensor, int64_t start, int64_t count, float unit, float *scales) {
    const int64_t end = start + count;
    for (int64_t block = start / tensor->block, at = start; at < end; block++) {
        const int64_t stop = (block + 1) * tensor->block < end ? (block + 1) * tensor->block : end;
        const float scale = ck_load_f32(tensor->absmax, block) * unit;
        const int64_t blocks = (stop - at + CK_INT16_BLOCK - 1) / CK_INT16_BLOCK;
        for (int64_t b = 0; b < blocks; b++) scales[b] = scale;
        scales += blocks;
        at += blocks * CK_INT16_BLOCK;
    }
}

void ck_dynamic8_int16_strips(
    const ck_dynamic8_tensor *tensor, int64_t columns, int64_t first_row, int64_t outputs, int64_t first_column,
    int64_t depth, const int16_t *levels, float unit, int16_t *strips, float *scales) {
    const int64_t blocks = depth / CK_INT16_BLOCK;
    int16_t rows[LANES * CK_INT16_DEPTH];
    float own[CK_INT16_DEPTH / CK_INT16_BLOCK];
    for (int64_t n = 0; n < outputs; n += LANES, strips += depth * LANES, scales += blocks * LANES) {
        const int64_t count = outputs - n < LANES ? outputs - n : LANES;
        for (int64_t j = 0; j < LANES; j++) {
            const int64_t start = (first_row + n + j) * columns + first_column;
            if (j < count) {
                ck_kernels.dynamic8_levels(tensor->codes + start, depth, levels, rows + j * depth);
                dynamic8_scales(tensor, start, depth, unit, own);
            }
            put_scales(j < count ? own : NULL, blocks, j, scales);
        }
        strip_of_rows(rows, count, depth, strips);
    }
}

void ck_dynamic8_multiply_int16(
    const ck_dynamic8_tensor *tensor, int64_t columns, int64_t first_row, int64_t rows, const int16_t *levels,
    float unit, const ck_int16_rows_view *x, int64_t count, float *y, int64_t y_stride) {
    const int64_t blocks = columns / CK_INT16_BLOCK;
    float scales[CK_INT16_COLUMNS / CK_INT16_BLOCK];
    const int64_t most = CK_INT16_COLUMNS / columns;
    for (int64_t r = 0; r < rows;) {
        const int64_t run = rows - r < most ? rows - r : most, start = (first_row + r) * columns;
        dynamic8_scales(tensor, start, run * columns, unit, scales);
        ck_kernels.dynamic8_row_products(
            tensor->codes + start, run, blocks, levels, scales, x, (int)count, y + r, y_stride);
        r += run;
    }
}

// MARK: Float32

void ck_float_int16_strips(
    const float *w, int64_t stride, int64_t outputs, int64_t depth, int32_t largest, int16_t *strips, float *scales) {
    const ck_int16_order natural = {NULL, false};
    const int64_t blocks = (depth + CK_INT16_BLOCK - 1) / CK_INT16_BLOCK, whole = blocks * CK_INT16_BLOCK;
    int16_t rows[LANES * CK_INT16_DEPTH];
    float own[LANES * CK_INT16_DEPTH / CK_INT16_BLOCK];
    for (int64_t n = 0; n < outputs; n += LANES, strips += whole * LANES, scales += blocks * LANES) {
        const int64_t count = outputs - n < LANES ? outputs - n : LANES;
        ck_kernels.int16_rows(w + n * stride, stride, count, depth, (float)largest, INFINITY, natural, rows, whole, own);
        for (int64_t j = 0; j < LANES; j++) put_scales(j < count ? own + j * blocks : NULL, blocks, j, scales);
        strip_of_rows(rows, count, whole, strips);
    }
}

void ck_int16_strips(
    const float *strips, int64_t outputs, int64_t depth, int32_t largest, int16_t *q, int64_t q_stride, float *scales,
    int64_t scale_stride) {
    for (int64_t n = 0; n < outputs; n += LANES, strips += depth * LANES, q += q_stride, scales += scale_stride)
        ck_kernels.int16_of_strip(strips, depth, (float)largest, q, scales);
}
