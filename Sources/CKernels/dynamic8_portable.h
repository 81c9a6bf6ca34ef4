// 8-bit weights with x in int16, without intrinsics: what every other variant is checked against.

#define CK_DYNAMIC8_ORDER {NULL, false}  // x as it comes

CK_KERNEL void CK_NAME(dynamic8_levels)(
    const uint8_t *codes, int64_t count, const int16_t *levels, int16_t *target) {
    for (int64_t i = 0; i < count; i++) target[i] = levels[codes[i]];
}

CK_KERNEL void CK_NAME(dynamic8_row_products)(
    const uint8_t *codes, int64_t rows, int64_t blocks, const int16_t *levels, const float *scales,
    const ck_int16_rows_view *x, int count, float *y, int64_t y_stride) {
    for (int64_t r = 0; r < rows; r++, scales += blocks, codes += blocks * CK_INT16_BLOCK) {
        float total[CK_INT16_FEW] = {0};
        for (int64_t b = 0; b < blocks; b++) {
            int16_t w[CK_INT16_BLOCK];
            CK_NAME(dynamic8_levels)(codes + b * CK_INT16_BLOCK, CK_INT16_BLOCK, levels, w);
            for (int i = 0; i < count; i++) {
                const int16_t *q = x->q + i * x->stride + b * CK_INT16_BLOCK;
                int32_t sum = 0;
                for (int j = 0; j < CK_INT16_BLOCK; j++) sum += (int32_t)w[j] * q[j];
                total[i] += (float)sum * (scales[b] * x->scales[i * x->scale_stride + b]);
            }
        }
        for (int i = 0; i < count; i++) y[i * y_stride + r] = total[i];
    }
}
