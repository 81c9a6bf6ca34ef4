// Products of thin factors. Part of loops.h.

#define FMA(a, b, c) __builtin_elementwise_fma((a), (b), (c))
// Unlike SPLAT it keeps the sign of a zero, and costs no addition.
#define BROADCAST(x) ((floats){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x})

enum {
    DEPTH = 192,  // of the sums that are made apart, see ck_low_rank_product
    ROWS = 6,     // of a tile: with LANES columns, 12 of AVX2's 16 registers
};

// Where a tile's sums go: over what is there, or added to it; then times the factor.
typedef struct {
    float *target;
    int64_t stride, rows, width;
    bool adds;
    float factor;
} tile_end;

CK_INLINE void end_row(const tile_end *end, int64_t row, const floats *sums) {
    float *to = end->target + row * end->stride;
    const size_t bytes = (size_t)end->width * sizeof(float);
    floats v = *sums;
    if (end->adds) {
        floats before = {0};
        memcpy(&before, to, bytes);
        v = before + v;
    }
    v = v * BROADCAST(end->factor);
    memcpy(to, &v, bytes);
}

// One tile of ROWS x LANES over one block of depth. Each element is one chain of fused multiply-adds in ascending order.
CK_INLINE void low_rank_tile(
    const float *left, int64_t left_stride, const float *panel, int64_t depth, const tile_end *end) {
    const float *l[ROWS];
    // Rows past the last repeat it: their sums are thrown away.
    for (int r = 0; r < ROWS; r++) l[r] = left + (r < end->rows ? r : end->rows - 1) * left_stride;
    floats s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0}, s4 = {0}, s5 = {0}, v;
    for (int64_t k = 0; k < depth; k++) {
        LOAD(v, panel + k * LANES);
        s0 = FMA(BROADCAST(l[0][k]), v, s0);
        s1 = FMA(BROADCAST(l[1][k]), v, s1);
        s2 = FMA(BROADCAST(l[2][k]), v, s2);
        s3 = FMA(BROADCAST(l[3][k]), v, s3);
        s4 = FMA(BROADCAST(l[4][k]), v, s4);
        s5 = FMA(BROADCAST(l[5][k]), v, s5);
    }
    if (end->rows == ROWS && end->width == LANES && !end->adds) {
        // The sums go from their registers to where they belong.
        const floats factor = BROADCAST(end->factor);
        float *to = end->target;
        s0 = s0 * factor, s1 = s1 * factor, s2 = s2 * factor, s3 = s3 * factor, s4 = s4 * factor, s5 = s5 * factor;
        STORE(to, s0);
        STORE(to + end->stride, s1);
        STORE(to + 2 * end->stride, s2);
        STORE(to + 3 * end->stride, s3);
        STORE(to + 4 * end->stride, s4);
        STORE(to + 5 * end->stride, s5);
        return;
    }
    const floats sums[ROWS] = {s0, s1, s2, s3, s4, s5};
    for (int64_t r = 0; r < end->rows; r++) end_row(end, r, sums + r);
}

CK_KERNEL void CK_NAME(low_rank_product)(
    const float *left, int64_t left_stride, const float *right, int64_t right_stride, int64_t rows, int64_t columns,
    int64_t depth, float factor, float *target, int64_t target_stride) {
    const int64_t block = depth <= DEPTH ? depth : depth <= 2 * DEPTH ? depth / 2 : DEPTH;
    // A panel that lies together already, as `ck_pack_panels` leaves it, is read where it is.
    const bool packed = right_stride == LANES && columns == LANES;
    float copy[DEPTH * LANES];
    for (int64_t column = 0; column < columns; column += LANES) {
        const int64_t width = columns - column < LANES ? columns - column : LANES;
        for (int64_t first = 0; first < depth; first += block) {
            const int64_t count = depth - first < block ? depth - first : block;
            const float *panel = packed ? right + first * LANES : copy;
            // Rows of `right` lie a power of two apart as a rule, which would put them all into one set of the cache.
            for (int64_t k = 0; k < count && !packed; k++) {
                const float *from = right + (first + k) * right_stride + column;
                if (width < LANES) memset(copy + k * LANES, 0, sizeof(floats));
                memcpy(copy + k * LANES, from, (size_t)width * sizeof(float));
            }
            tile_end end = {
                .stride = target_stride, .width = width, .adds = first > 0,
                .factor = first + count < depth ? 1.0f : factor};
            for (int64_t row = 0; row < rows; row += ROWS) {
                end.target = target + row * target_stride + column;
                end.rows = rows - row < ROWS ? rows - row : ROWS;
                low_rank_tile(left + row * left_stride + first, left_stride, panel, count, &end);
            }
        }
    }
}
