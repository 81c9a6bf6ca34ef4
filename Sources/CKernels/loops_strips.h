// Products of a weight with many rows of x. Part of loops.h, after the products.
//
// The weight's outputs lie in strips of 16 (one vector): strip s holds, for every input k, outputs 16 s ..< 16 s + 16. A tile
// of rows of x and of strips is computed in registers, one input at a time: the strips' vectors times each row's value,
// broadcast. Sums run over the inputs in ascending order, whatever the tile.

#ifndef CK_TILE_ROWS
#error "a variant says how many rows (and strips) of sums its registers hold"
#endif

// MARK: Float32

typedef float eight __attribute__((vector_size(32)));

// Eight rows of eight become eight columns.
CK_INLINE void transpose8(const float *x, int64_t stride, float *y, int64_t y_stride) {
    eight a[8], b[8];
    for (int i = 0; i < 8; i++) LOAD(a[i], x + i * stride);
    for (int i = 0; i < 8; i += 2) {
        b[i] = __builtin_shufflevector(a[i], a[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        b[i + 1] = __builtin_shufflevector(a[i], a[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    for (int i = 0; i < 8; i += 4) {
        a[i] = __builtin_shufflevector(b[i], b[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        a[i + 1] = __builtin_shufflevector(b[i], b[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        a[i + 2] = __builtin_shufflevector(b[i + 1], b[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
        a[i + 3] = __builtin_shufflevector(b[i + 1], b[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
    }
    for (int i = 0; i < 4; i++) {
        b[i] = __builtin_shufflevector(a[i], a[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        b[i + 4] = __builtin_shufflevector(a[i], a[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
    for (int i = 0; i < 8; i++) STORE(y + i * y_stride, b[i]);
}

CK_KERNEL void CK_NAME(strip_columns)(const float *w, int64_t stride, int64_t outputs, int64_t depth, float *strip) {
    int64_t k = 0;
    if (outputs == LANES)
        for (; k + 8 <= depth; k += 8) {
            transpose8(w + k, stride, strip + k * LANES, LANES);
            transpose8(w + 8 * stride + k, stride, strip + k * LANES + 8, LANES);
        }
    for (; k < depth; k++)
        for (int64_t j = 0; j < LANES; j++) strip[k * LANES + j] = j < outputs ? w[j * stride + k] : 0;
}

// y[rows][strips of outputs] (+)= alpha * sums
CK_INLINE void store_sums(const floats *sum, float alpha, bool adds, int64_t outputs, float *y) {
    floats v = *sum * alpha, old;
    if (outputs >= LANES) {
        if (adds) {
            LOAD(old, y);
            v += old;
        }
        STORE(y, v);
        return;
    }
    for (int64_t j = 0; j < outputs; j++) y[j] = adds ? y[j] + v[j] : v[j];
}

CK_INLINE void strip_tile(
    const int rows, const int strips, const float *x, int64_t x_stride, const float *w, int64_t w_stride,
    int64_t depth, float alpha, bool adds, int64_t outputs, float *y, int64_t y_stride) {
    floats sum[CK_TILE_ROWS][CK_TILE_STRIPS];
    CK_UNROLL for (int r = 0; r < rows; r++)
        CK_UNROLL for (int s = 0; s < strips; s++) sum[r][s] = (floats){0};
    for (int64_t k = 0; k < depth; k++) {
        floats v[CK_TILE_STRIPS];
        CK_UNROLL for (int s = 0; s < strips; s++) LOAD(v[s], w + s * w_stride + k * LANES);
        CK_UNROLL for (int r = 0; r < rows; r++)
            CK_UNROLL for (int s = 0; s < strips; s++) sum[r][s] += v[s] * x[r * x_stride + k];
    }
    CK_UNROLL for (int r = 0; r < rows; r++)
        CK_UNROLL for (int s = 0; s < strips; s++)
            store_sums(&sum[r][s], alpha, adds, outputs - s * LANES, y + r * y_stride + s * LANES);
}

// What the next group of rows will read, asked for a part at a time while this one is computed: it lies far apart, where the
// processor's own prefetching starts anew in every row.
typedef struct {
    const char *rows;
    int64_t count, stride, bytes;  // rows, and bytes from one to the next and of each
} upcoming;

// Part `part` of `parts`.
CK_INLINE void prefetch_part(const upcoming *next, int64_t part, int64_t parts) {
    enum { LINE = 64 };
    const int64_t lines = (next->bytes + LINE - 1) / LINE;
    const int64_t first = lines * part / parts, last = lines * (part + 1) / parts;
    for (int64_t r = 0; r < next->count; r++)
        for (int64_t i = first; i < last; i++) __builtin_prefetch(next->rows + r * next->stride + i * LINE, 0, 2);
}

CK_INLINE void prefetch_sums(const float *y, int64_t stride, int rows, int strips) {
    for (int r = 0; r < rows; r++)
        for (int s = 0; s < strips; s++) __builtin_prefetch(y + r * stride + s * LANES, 1, 3);
}

// A group of `rows` rows through all strips.
#define CK_STRIP_ROWS(rows)                                                                                        \
    static CK_TARGET __attribute__((noinline)) void CK_JOIN(CK_NAME(strip_rows), rows)(                            \
        const float *x, int64_t x_stride, const float *w, int64_t outputs, int64_t depth, float alpha, bool adds,  \
        float *y, int64_t y_stride, const upcoming *next) {                                               \
        const int64_t width = CK_TILE_STRIPS * LANES, parts = (outputs + width - 1) / width;                       \
        for (int64_t n = 0; n < outputs; n += width) {                                                             \
            prefetch_sums(y + n, y_stride, rows, CK_TILE_STRIPS);                                                  \
            prefetch_part(next, n / width, parts);                                                                 \
            if (CK_TILE_STRIPS == 2 && outputs - n > LANES)                                                        \
                strip_tile(rows, CK_TILE_STRIPS, x, x_stride, w + n * depth, depth * LANES, depth, alpha, adds,    \
                           outputs - n, y + n, y_stride);                                                          \
            else                                                                                                   \
                strip_tile(rows, 1, x, x_stride, w + n * depth, depth * LANES, depth, alpha, adds, outputs - n,    \
                           y + n, y_stride);                                                                       \
        }                                                                                                          \
    }
CK_STRIP_ROWS(CK_TILE_ROWS)
CK_STRIP_ROWS(4)
CK_STRIP_ROWS(2)
CK_STRIP_ROWS(1)

// A row length that puts neighbouring rows into different sets of the first-level cache.
enum { CK_ROW_PAD = 16 };

// How many of the rows that are left go together.
CK_INLINE int64_t row_group(int64_t left, int64_t most) { return left >= most ? most : left >= 4 ? 4 : left >= 2 ? 2 : left; }

CK_KERNEL void CK_NAME(strip_product)(
    const float *x, int64_t x_stride, int64_t rows, const float *strips, int64_t outputs, int64_t depth, float alpha,
    bool adds, float *y, int64_t y_stride) {
    float copy[CK_TILE_ROWS * (CK_STRIP_DEPTH + CK_ROW_PAD)];
    const int64_t stride = depth + CK_ROW_PAD;
    for (int64_t r = 0, group; r < rows; r += group) {
        group = row_group(rows - r, CK_TILE_ROWS);
        for (int64_t i = 0; i < group; i++)
            memcpy(copy + i * stride, x + (r + i) * x_stride, (size_t)depth * sizeof(float));
        float *out = y + r * y_stride;
        const upcoming next = {
            (const char *)(x + (r + group) * x_stride), row_group(rows - r - group, CK_TILE_ROWS),
            x_stride * (int64_t)sizeof(float), depth * (int64_t)sizeof(float)};
#define CK_GROUP(n) CK_JOIN(CK_NAME(strip_rows), n)(copy, stride, strips, outputs, depth, alpha, adds, out, y_stride, &next)
        if (group == CK_TILE_ROWS) CK_GROUP(CK_TILE_ROWS);
        else if (group == 4) CK_GROUP(4);
        else if (group == 2) CK_GROUP(2);
        else CK_GROUP(1);
#undef CK_GROUP
    }
}

// MARK: Int16

// The scale of 64 values: the smallest for which none is larger than `most`, and the sum of their magnitudes (after rounding,
// which adds half a unit to each) stays within `limit`.
CK_INLINE float int16_scale(const float *x, float most, float limit) {
    floats largest = {0}, sum = {0};
    for (int i = 0; i < CK_INT16_BLOCK; i += LANES) {
        ints v;
        LOAD(v, x + i);
        v &= 0x7fffffff;
        floats magnitude = (floats)v;
        ints more = magnitude > largest;
        largest = (floats)(((ints)magnitude & more) | ((ints)largest & ~more));
        sum += magnitude;
    }
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) {
            largest[i] = largest[i + width] > largest[i] ? largest[i + width] : largest[i];
            sum[i] += sum[i + width];
        }
    const float scale = largest[0] * (1.0f / most), other = sum[0] / limit;
    return other <= scale ? scale : other;  // NaN where a value is
}

// Puts a block where row products want it.
CK_INLINE void place_block(const int16_t *natural, ck_int16_order order, int64_t block, bool is_alone, int16_t *to) {
    // A pair's second block begins 16 values behind its first.
    const int step = order.paired ? 2 * LANES : LANES;
    if (order.paired && (block & 1)) to -= CK_INT16_BLOCK - LANES;
    for (int i = 0; i < CK_INT16_BLOCK / LANES; i++) {
        for (int j = 0; j < LANES; j++) to[i * step + j] = natural[order.places[i * LANES + j]];
        // The last block of an odd number is paired with zeros.
        if (order.paired && is_alone) memset(to + i * step + LANES, 0, LANES * sizeof(int16_t));
    }
}

CK_KERNEL void CK_NAME(int16_rows)(
    const float *x, int64_t stride, int64_t rows, int64_t depth, float largest, float limit, ck_int16_order order,
    int16_t *q, int64_t q_stride, float *scales) {
    const float magic = 0x1.8p23f;
    const int64_t blocks = (depth + CK_INT16_BLOCK - 1) / CK_INT16_BLOCK;
    float last[CK_INT16_BLOCK];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t b = 0; b < blocks; b++) {
            const float *from = x + r * stride + b * CK_INT16_BLOCK;
            const int64_t left = depth - b * CK_INT16_BLOCK;
            if (left < CK_INT16_BLOCK) {
                memset(last, 0, sizeof last);
                from = memcpy(last, from, (size_t)left * sizeof(float));
            }
            int16_t *to = q + r * q_stride + b * CK_INT16_BLOCK, natural[CK_INT16_BLOCK];
            float scale = int16_scale(from, largest, limit);
            // Not finite: so is every sum that this block goes into. Too small to divide by: nothing beside any other.
            bool usable = scale <= 3.4e38f && scale >= 1e-35f;
            *scales++ = usable ? scale : scale >= 0 && scale < 1e-35f ? 0 : NAN;
            if (!usable) memset(natural, 0, sizeof natural);
            const float reciprocal = usable ? 1.0f / scale : 0;
            for (int i = 0; usable && i < CK_INT16_BLOCK; i += LANES) {
                floats v;
                LOAD(v, from + i);
                v *= reciprocal;
                v += magic;  // rounds to nearest, ties to even
                v -= magic;
                shorts w = __builtin_convertvector(v, shorts);
                STORE(natural + i, w);
            }
            if (!order.places) memcpy(to, natural, sizeof natural);
            else place_block(natural, order, b, (b & 1) == 0 && b + 1 == blocks, to);
        }
}

// A float strip [depth][16] as pairs of int16: every output has its scale for each 64 inputs.
CK_KERNEL void CK_NAME(int16_of_strip)(const float *strip, int64_t depth, float largest, int16_t *q, float *scales) {
    const float magic = 0x1.8p23f;
    for (int64_t k = 0; k < depth; k += CK_INT16_BLOCK, strip += CK_INT16_BLOCK * LANES, scales += LANES) {
        const int64_t count = depth - k < CK_INT16_BLOCK ? depth - k : CK_INT16_BLOCK;
        // As integers, so that NaN and infinity come out on top.
        ints most = {0};
        for (int64_t i = 0; i < count; i++) {
            ints v;
            LOAD(v, strip + i * LANES);
            most = __builtin_elementwise_max(most, v & 0x7fffffff);
        }
        // Not finite: so is every sum that the block goes into. Too small to divide by: nothing beside any other.
        const floats scale = (floats)most * (1.0f / largest);
        const ints finite = most < 0x7f800000, usable = finite & (scale >= 1e-35f);
        const floats reciprocal = (floats)((ints)(1.0f / scale) & usable);
        const floats kept = (floats)(((ints)scale & usable) | (~finite & 0x7fc00000));
        STORE(scales, kept);
        for (int64_t i = 0; i < CK_INT16_BLOCK; i += 2, q += 2 * LANES) {
            floats even = {0}, odd = {0};
            if (i < count) LOAD(even, strip + i * LANES);
            if (i + 1 < count) LOAD(odd, strip + (i + 1) * LANES);
            even *= reciprocal;
            odd *= reciprocal;
            // Rounds to nearest, ties to even: the low bits are then the integer.
            even += magic;
            odd += magic;
            const ints pair = ((ints)even & 0xffff) | ((ints)odd << 16);
            STORE(q, pair);
        }
    }
}
