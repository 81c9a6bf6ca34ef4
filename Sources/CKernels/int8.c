// The public faces of the 8-bit rows.
#include "table.h"

void ck_i8_encode(
    const float *source, int64_t runs, int64_t columns, int8_t *codes, float *scales) {
    for (int64_t r = 0; r < runs; r++)
        scales[r] = ck_kernels.i8_encode(source + r * columns, columns, codes + r * columns);
}

void ck_i8_decode(
    const int8_t *codes, const float *scales, int64_t scale_stride, int64_t rows, int64_t columns, int64_t stride,
    float *target) {
    for (int64_t r = 0; r < rows; r++)
        ck_kernels.i8_decode(codes + r * stride, columns, scales[r * scale_stride], target + r * columns);
}
