// NF4 weights with x in int16, without intrinsics: what every other variant is checked against.

#define CK_INT16_ROWS 3
#define CK_INT16_STRIPS 1

CK_INLINE void int16_tile(
    const int rows, const int strips, const ck_int16_rows_view *x, const int16_t *w, int64_t w_stride,
    const float *scales, int64_t scale_stride, int64_t blocks, float *tile) {
    (void)strips, (void)w_stride, (void)scale_stride;
    for (int64_t b = 0; b < blocks; b++)
        for (int r = 0; r < rows; r++) {
            const int16_t *row = x->q + r * x->stride + b * CK_INT16_BLOCK;
            int32_t sum[LANES] = {0};
            for (int p = 0; p < CK_INT16_BLOCK / 2; p++) {
                const int16_t *pair = w + (b * CK_INT16_BLOCK / 2 + p) * 2 * LANES;
                for (int j = 0; j < LANES; j++)
                    sum[j] += (int32_t)pair[2 * j] * row[2 * p] + (int32_t)pair[2 * j + 1] * row[2 * p + 1];
            }
            const float scale = x->scales[r * x->scale_stride + b];
            for (int j = 0; j < LANES; j++) tile[r * LANES + j] += (float)sum[j] * (scales[b * LANES + j] * scale);
        }
}

CK_KERNEL void CK_NAME(int16_strip)(
    const uint8_t *codes, int64_t stride, int64_t outputs, int64_t depth, const int16_t *levels, int16_t *strip) {
    for (int64_t p = 0; p < depth / 2; p++)
        for (int64_t j = 0; j < LANES; j++) {
            const uint8_t code = j < outputs ? codes[j * stride + p] : 0;
            *strip++ = j < outputs ? levels[code >> 4] : 0;
            *strip++ = j < outputs ? levels[code & 15] : 0;
        }
}

#define CK_INT16_ORDER {NULL, false}  // x as it comes

CK_KERNEL void CK_NAME(int16_row_products)(
    const uint8_t *codes, int64_t rows, int64_t blocks, const int16_t *levels, const float *scales,
    const ck_int16_rows_view *x, int count, float *y, int64_t y_stride) {
    for (int64_t r = 0; r < rows; r++, scales += blocks, codes += blocks * CK_INT16_BLOCK / 2)
        for (int i = 0; i < count; i++) {
            const int16_t *q = x->q + i * x->stride;
            float total = 0;
            for (int64_t b = 0; b < blocks; b++) {
                const uint8_t *at = codes + b * CK_INT16_BLOCK / 2;
                int32_t sum = 0;
                for (int j = 0; j < CK_INT16_BLOCK / 2; j++, at++, q += 2)
                    sum += (int32_t)levels[*at >> 4] * q[0] + (int32_t)levels[*at & 15] * q[1];
                total += (float)sum * (scales[b] * x->scales[i * x->scale_stride + b]);
            }
            y[i * y_stride + r] = total;
        }
}

#include "loops_int16.h"
