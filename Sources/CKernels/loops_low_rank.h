// Products of thin factors, and what a merge reports of the weight it changed. Part of loops.h.

#define FMA(a, b, c) __builtin_elementwise_fma((a), (b), (c))
// Unlike SPLAT it keeps the sign of a zero, and costs no addition.
#define BROADCAST(x) ((floats){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x})

enum {
    DEPTH = 192,  // of the sums that are made apart, see ck_low_rank_product
    ROWS = 6,     // of a tile: with LANES columns, 12 of AVX2's 16 registers
};

// One tile of ROWS x LANES over one block of depth. Each element is one chain of fused multiply-adds in ascending order.
CK_INLINE void low_rank_tile(
    const float *left, int64_t left_stride, int64_t rows, const float *panel, int64_t depth, floats *sums) {
    const float *l[ROWS];
    // Rows past the last repeat it: their sums are thrown away.
    for (int r = 0; r < ROWS; r++) l[r] = left + (r < rows ? r : rows - 1) * left_stride;
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
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3, sums[4] = s4, sums[5] = s5;
}

CK_KERNEL void CK_NAME(low_rank_product)(
    const float *left, int64_t left_stride, const float *right, int64_t right_stride, int64_t rows, int64_t columns,
    int64_t depth, float *target, int64_t target_stride) {
    const int64_t block = depth <= DEPTH ? depth : depth <= 2 * DEPTH ? depth / 2 : DEPTH;
    float panel[DEPTH * LANES];
    floats sums[ROWS];
    for (int64_t column = 0; column < columns; column += LANES) {
        const int64_t width = columns - column < LANES ? columns - column : LANES;
        for (int64_t first = 0; first < depth; first += block) {
            const int64_t count = depth - first < block ? depth - first : block;
            // Rows of `right` lie a power of two apart as a rule, which would put them all into one set of the cache.
            for (int64_t k = 0; k < count; k++) {
                const float *from = right + (first + k) * right_stride + column;
                if (width < LANES) memset(panel + k * LANES, 0, sizeof(floats));
                memcpy(panel + k * LANES, from, (size_t)width * sizeof(float));
            }
            for (int64_t row = 0; row < rows; row += ROWS) {
                const int64_t height = rows - row < ROWS ? rows - row : ROWS;
                low_rank_tile(left + row * left_stride + first, left_stride, height, panel, count, sums);
                for (int64_t r = 0; r < height; r++) {
                    float *to = target + (row + r) * target_stride + column;
                    floats v = {0};
                    if (first > 0) {
                        memcpy(&v, to, (size_t)width * sizeof(float));
                        v = v + sums[r];
                    } else {
                        v = sums[r];
                    }
                    memcpy(to, &v, (size_t)width * sizeof(float));
                }
            }
        }
    }
}

// Sums over up to 1024 elements are kept in float: 64 terms in a lane.
CK_KERNEL void CK_NAME(merge_sums)(
    const float *base, const float *delta, const float *merged, int64_t count, ck_merge_sums *total) {
    enum { RUN = 64 * LANES };
    const ints magnitude = SPLAT(ints, 0x7fffffff);
    for (int64_t start = 0; start < count; start += RUN) {
        const int64_t end = count - start < RUN ? count : start + RUN;
        floats bb = {0}, dd = {0}, dm = {0}, mm = {0}, ee = {0}, tt = {0}, most = {0};
        for (int64_t i = start; i < end; i += LANES) {
            floats w = {0}, d = {0}, q = {0};
            const size_t bytes = (size_t)(end - i < LANES ? end - i : LANES) * sizeof(float);
            if (bytes == sizeof(floats)) {
                LOAD(w, base + i);
                LOAD(d, delta + i);
                LOAD(q, merged + i);
            } else {
                memcpy(&w, base + i, bytes);
                memcpy(&d, delta + i, bytes);
                memcpy(&q, merged + i, bytes);
            }
            floats m = q - w, e = m - d, t = w + d;
            bb = FMA(w, w, bb);
            dd = FMA(d, d, dd);
            dm = FMA(d, m, dm);
            mm = FMA(m, m, mm);
            ee = FMA(e, e, ee);
            tt = FMA(t, t, tt);
            floats a;
            ints bits;
            memcpy(&bits, &m, sizeof bits);
            bits &= magnitude;
            memcpy(&a, &bits, sizeof a);
            ints larger = a > most;
            ints kept;
            memcpy(&kept, &most, sizeof kept);
            kept = (bits & larger) | (kept & ~larger);
            memcpy(&most, &kept, sizeof most);
        }
        for (int lane = 0; lane < LANES; lane++) {
            total->squared_base += (double)bb[lane];
            total->squared_delta += (double)dd[lane];
            total->delta_change += (double)dm[lane];
            total->squared_change += (double)mm[lane];
            total->squared_error += (double)ee[lane];
            total->squared_target += (double)tt[lane];
            if (most[lane] > total->largest_change) total->largest_change = most[lane];
        }
    }
}
