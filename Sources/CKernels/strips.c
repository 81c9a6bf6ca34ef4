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
