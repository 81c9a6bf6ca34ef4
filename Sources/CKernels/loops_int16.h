// Products of NF4 weights with x in int16: what is the same for every variant, which has defined `int16_tile`.

// y (+)= alpha * the tile's sums, of which `outputs` count.
CK_INLINE void store_tile(
    const float *tile, int rows, int64_t outputs, float alpha, bool adds, float *y, int64_t y_stride) {
    for (int r = 0; r < rows; r++)
        for (int64_t n = 0; n < outputs; n += LANES) {
            floats sum;
            LOAD(sum, tile + (r * CK_INT16_STRIPS * LANES) + n);
            store_sums(&sum, alpha, adds, outputs - n, y + r * y_stride + n);
        }
}

#define CK_INT16_ROWS_OF(rows)                                                                                    \
    static CK_TARGET __attribute__((noinline)) void CK_JOIN(CK_NAME(int16_rows_of), rows)(                        \
        const ck_int16_rows_view *x, const int16_t *strips, const float *scales, int64_t outputs, int64_t depth,  \
        float alpha, bool adds, float *y, int64_t y_stride, const upcoming *next) {                      \
        const int64_t blocks = depth / CK_INT16_BLOCK;                                                            \
        const int64_t width = CK_INT16_STRIPS * LANES, parts = (outputs + width - 1) / width;                     \
        for (int64_t n = 0; n < outputs; n += width) {                                                            \
            prefetch_sums(y + n, y_stride, rows, CK_INT16_STRIPS);                                                \
            prefetch_part(next, n / width, parts);                                                                \
            float tile[CK_INT16_ROWS * CK_INT16_STRIPS * LANES] = {0};                                            \
            if (CK_INT16_STRIPS == 2 && outputs - n > LANES)                                                      \
                int16_tile(rows, CK_INT16_STRIPS, x, strips + n * depth, depth * LANES, scales + n * blocks,      \
                           blocks * LANES, blocks, tile);                                                         \
            else                                                                                                  \
                int16_tile(rows, 1, x, strips + n * depth, depth * LANES, scales + n * blocks, blocks * LANES,    \
                           blocks, tile);                                                                         \
            store_tile(tile, rows, outputs - n < width ? outputs - n : width, alpha, adds, y + n, y_stride);      \
        }                                                                                                         \
    }
CK_INT16_ROWS_OF(CK_INT16_ROWS)
CK_INT16_ROWS_OF(4)
CK_INT16_ROWS_OF(2)
CK_INT16_ROWS_OF(1)

CK_KERNEL void CK_NAME(int16_product)(
    const ck_int16_rows_view *x, int64_t rows, const int16_t *strips, const float *scales, int64_t outputs,
    int64_t depth, float alpha, bool adds, float *y, int64_t y_stride) {
    for (int64_t r = 0, group; r < rows; r += group) {
        group = row_group(rows - r, CK_INT16_ROWS);
        const ck_int16_rows_view own = {
            x->q + r * x->stride, x->stride, x->scales + r * x->scale_stride, x->scale_stride};
        float *out = y + r * y_stride;
        const upcoming next = {
            (const char *)(own.q + group * own.stride), row_group(rows - r - group, CK_INT16_ROWS),
            own.stride * (int64_t)sizeof(int16_t), depth * (int64_t)sizeof(int16_t)};
#define CK_GROUP(n) CK_JOIN(CK_NAME(int16_rows_of), n)(&own, strips, scales, outputs, depth, alpha, adds, out, y_stride, &next)
        if (group == CK_INT16_ROWS) CK_GROUP(CK_INT16_ROWS);
        else if (group == 4) CK_GROUP(4);
        else if (group == 2) CK_GROUP(2);
        else CK_GROUP(1);
#undef CK_GROUP
    }
}
