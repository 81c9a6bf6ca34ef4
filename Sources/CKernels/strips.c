// What surrounds the kernels of products in strips of outputs.
#include "table.h"

enum { LANES = CK_STRIP };

void ck_strips_of_outputs(const float *w, int64_t stride, int64_t outputs, int64_t depth, float *strips) {
    for (int64_t n = 0; n < outputs; n += LANES, strips += depth * LANES)
        ck_kernels.strip_columns(w + n * stride, stride, outputs - n < LANES ? outputs - n : LANES, depth, strips);
}

// Input k of all outputs.
static void put_input(const float *row, int64_t outputs, int64_t depth, int64_t k, float *strips) {
    float *to = strips + k * LANES;
    int64_t n = 0;
    for (; n + LANES <= outputs; n += LANES, to += depth * LANES) memcpy(to, row + n, LANES * sizeof(float));
    if (n == outputs) return;
    memset(to, 0, LANES * sizeof(float));
    memcpy(to, row + n, (size_t)(outputs - n) * sizeof(float));
}

void ck_strips_of_inputs(const float *w, int64_t stride, int64_t outputs, int64_t depth, float *strips) {
    for (int64_t k = 0; k < depth; k++) put_input(w + k * stride, outputs, depth, k, strips);
}

void ck_strip_product(
    const float *x, int64_t x_stride, int64_t rows, const float *strips, int64_t outputs, int64_t depth, float alpha,
    bool adds, float *y, int64_t y_stride) {
    ck_kernels.strip_product(x, x_stride, rows, strips, outputs, depth, alpha, adds, y, y_stride);
}

void ck_int16_rows(
    const float *x, int64_t stride, int64_t rows, int64_t depth, int32_t most, bool for_row_products, int16_t *q,
    int64_t q_stride, float *scales) {
    const ck_int16_order natural = {NULL, false}, order = for_row_products ? ck_kernels.int16_order : natural;
    ck_kernels.int16_rows(x, stride, rows, depth, most, order, q, q_stride, scales);
}

// The scales of `count` elements of a row, one for each block of int16, times the unit of the levels.
static void int16_scales(const ck_nf4_tensor *tensor, int64_t start, int64_t count, float unit, float *scales) {
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
            if (j < count) int16_scales(tensor, start + j * columns, depth, unit, own);
            for (int64_t b = 0; b < blocks; b++) scales[b * LANES + j] = j < count ? own[b] : 0;
        }
    }
}

void ck_int16_product(
    const ck_int16_rows_view *x, int64_t rows, const int16_t *strips, const float *scales, int64_t outputs,
    int64_t depth, float alpha, bool adds, float *y, int64_t y_stride) {
    ck_kernels.int16_product(x, rows, strips, scales, outputs, depth, alpha, adds, y, y_stride);
}

void ck_nf4_multiply_int16(
    const ck_nf4_tensor *tensor, int64_t columns, int64_t first_row, int64_t rows, const int16_t *levels, float unit,
    const ck_int16_rows_view *x, int64_t count, float *y, int64_t y_stride) {
    const int64_t blocks = columns / CK_INT16_BLOCK;
    float scales[CK_INT16_COLUMNS / CK_INT16_BLOCK];
    const int64_t most = CK_INT16_COLUMNS / columns;  // rows whose scales are in memory at a time
    for (int64_t r = 0; r < rows;) {
        const int64_t run = rows - r < most ? rows - r : most, start = (first_row + r) * columns;
        int16_scales(tensor, start, run * columns, unit, scales);
        ck_kernels.int16_row_products(
            tensor->codes + start / 2, run, blocks, levels, scales, x, (int)count, y + r, y_stride);
        r += run;
    }
}

void ck_nf4_strips_of_outputs(
    const ck_nf4_tensor *tensor, int64_t columns, int64_t first_row, int64_t outputs, int64_t first_column,
    int64_t depth, float *strips) {
    float rows[LANES * CK_STRIP_DEPTH];
    for (int64_t n = 0; n < outputs; n += LANES, strips += depth * LANES) {
        const int64_t count = outputs - n < LANES ? outputs - n : LANES;
        for (int64_t j = 0; j < count; j++)
            ck_nf4_dequantize(
                tensor, (first_row + n + j) * columns + first_column, depth, CK_F32, rows + j * depth);
        ck_kernels.strip_columns(rows, depth, count, depth, strips);
    }
}

void ck_nf4_strips_of_inputs(
    const ck_nf4_tensor *tensor, int64_t columns, int64_t first_row, int64_t depth, int64_t first_column,
    int64_t outputs, float *strips) {
    float row[CK_STRIP_OUTPUTS];
    for (int64_t k = 0; k < depth; k++) {
        ck_nf4_dequantize(tensor, (first_row + k) * columns + first_column, outputs, CK_F32, row);
        put_input(row, outputs, depth, k, strips);
    }
}
