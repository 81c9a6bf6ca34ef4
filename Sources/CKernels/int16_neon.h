// NF4 weights with x in int16, with NEON. A multiplication of int16 adds four products up to int32, as many as one of float32
// does; what is saved is the conversion of the weights.

#define CK_INT16_ROWS 5
#define CK_INT16_STRIPS 1

// The pairs 4 i ..< 4 i + 4 of a row, in 8 lanes, with those of 16 outputs.
#define CK_ADD_PAIR(lane)                                                                     \
    do {                                                                                      \
        const int16x8x2_t w0 = vld2q_s16(pairs), w1 = vld2q_s16(pairs + LANES);               \
        pairs += 2 * LANES;                                                                   \
        CK_UNROLL for (int r = 0; r < rows; r++) {                                            \
            sum[r][0] = vmlal_laneq_s16(sum[r][0], vget_low_s16(w0.val[0]), v[r], 2 * lane);  \
            sum[r][1] = vmlal_high_laneq_s16(sum[r][1], w0.val[0], v[r], 2 * lane);           \
            sum[r][2] = vmlal_laneq_s16(sum[r][2], vget_low_s16(w1.val[0]), v[r], 2 * lane);  \
            sum[r][3] = vmlal_high_laneq_s16(sum[r][3], w1.val[0], v[r], 2 * lane);           \
            sum[r][0] = vmlal_laneq_s16(sum[r][0], vget_low_s16(w0.val[1]), v[r], 2 * lane + 1); \
            sum[r][1] = vmlal_high_laneq_s16(sum[r][1], w0.val[1], v[r], 2 * lane + 1);       \
            sum[r][2] = vmlal_laneq_s16(sum[r][2], vget_low_s16(w1.val[1]), v[r], 2 * lane + 1); \
            sum[r][3] = vmlal_high_laneq_s16(sum[r][3], w1.val[1], v[r], 2 * lane + 1);       \
        }                                                                                     \
    } while (0)

CK_INLINE void int16_tile(
    const int rows, const int strips, const ck_int16_rows_view *x, const int16_t *w, int64_t w_stride,
    const float *scales, int64_t scale_stride, int64_t blocks, float *tile) {
    (void)strips, (void)w_stride, (void)scale_stride;
    for (int64_t b = 0; b < blocks; b++) {
        const int16_t *pairs = w + b * CK_INT16_BLOCK * LANES, *q = x->q + b * CK_INT16_BLOCK;
        int32x4_t sum[CK_INT16_ROWS][4];
        CK_UNROLL for (int r = 0; r < rows; r++)
            CK_UNROLL for (int i = 0; i < 4; i++) sum[r][i] = vdupq_n_s32(0);
        for (int k = 0; k < CK_INT16_BLOCK; k += 8) {
            int16x8_t v[CK_INT16_ROWS];
            CK_UNROLL for (int r = 0; r < rows; r++) v[r] = vld1q_s16(q + r * x->stride + k);
            CK_ADD_PAIR(0);
            CK_ADD_PAIR(1);
            CK_ADD_PAIR(2);
            CK_ADD_PAIR(3);
        }
        CK_UNROLL for (int r = 0; r < rows; r++) {
            const float scale = x->scales[r * x->scale_stride + b];
            CK_UNROLL for (int i = 0; i < 4; i++) {
                float *to = tile + r * LANES + 4 * i;
                const float32x4_t both = vmulq_n_f32(vld1q_f32(scales + b * LANES + 4 * i), scale);
                vst1q_f32(to, vfmaq_f32(vld1q_f32(to), vcvtq_f32_s32(sum[r][i]), both));
            }
        }
    }
}
#undef CK_ADD_PAIR

typedef struct {
    uint8x16_t low, high;  // the bytes of the 16 levels
} level_bytes;

CK_INLINE level_bytes split_levels(const int16_t *levels) {
    const uint8x16x2_t bytes = vld2q_u8((const uint8_t *)levels);
    return (level_bytes){bytes.val[0], bytes.val[1]};
}

// 16 outputs' codes of 32 inputs become the pairs of 16 steps.
CK_INLINE void strip_block(const uint8_t *codes, int64_t stride, level_bytes t, int16_t *strip) {
    uint8x16_t a[16], b[16];
    CK_UNROLL for (int j = 0; j < 16; j++) a[j] = vld1q_u8(codes + j * stride);
    // Four perfect shuffles of 16 rows transpose 16 x 16 bytes.
    CK_UNROLL for (int round = 0; round < 4; round++) {
        CK_UNROLL for (int j = 0; j < 8; j++) {
            b[2 * j] = vzip1q_u8(a[j], a[j + 8]);
            b[2 * j + 1] = vzip2q_u8(a[j], a[j + 8]);
        }
        CK_UNROLL for (int j = 0; j < 16; j++) a[j] = b[j];
    }
    CK_UNROLL for (int p = 0; p < 16; p++) {
        const uint8x16_t even = vshrq_n_u8(a[p], 4), odd = vandq_u8(a[p], vdupq_n_u8(15));
        const uint8x16x4_t pairs = {
            {vqtbl1q_u8(t.low, even), vqtbl1q_u8(t.high, even), vqtbl1q_u8(t.low, odd), vqtbl1q_u8(t.high, odd)}};
        vst4q_u8((uint8_t *)(strip + p * 2 * LANES), pairs);
    }
}

CK_KERNEL void CK_NAME(int16_strip)(
    const uint8_t *codes, int64_t stride, int64_t outputs, int64_t depth, const int16_t *levels, int16_t *strip) {
    const level_bytes t = split_levels(levels);
    uint8_t last[16 * 16];
    for (int64_t k = 0; k < depth; k += 32, codes += 16, strip += 32 * LANES) {
        if (outputs == LANES) {
            strip_block(codes, stride, t, strip);
            continue;
        }
        // What stands in the rows that are not there is multiplied and not stored.
        for (int64_t j = 0; j < 16; j++) memcpy(last + j * 16, codes + (j < outputs ? j : 0) * stride, 16);
        strip_block(last, 16, t, strip);
    }
}

// The order in which the look-up below yields weights: the even elements (high nibbles) of 16 bytes, then the odd ones.
#define CK_SIXTEEN(first) \
    first, first + 2, first + 4, first + 6, first + 8, first + 10, first + 12, first + 14, first + 16, first + 18, \
    first + 20, first + 22, first + 24, first + 26, first + 28, first + 30
static const uint8_t order_neon[CK_INT16_BLOCK] = {CK_SIXTEEN(0), CK_SIXTEEN(1), CK_SIXTEEN(32), CK_SIXTEEN(33)};
#define CK_INT16_ORDER {order_neon, false}

CK_INLINE int16x8_t levels_of(uint8x16_t low, uint8x16_t high, bool is_second) {
    return vreinterpretq_s16_u8(is_second ? vzip2q_u8(low, high) : vzip1q_u8(low, high));
}

// Products of a block's weights with a row of x, in four sums.
CK_INLINE int32x4_t block_sums(const int16x8_t w[8], const int16_t *q) {
    int32x4_t sums[2] = {vdupq_n_s32(0), vdupq_n_s32(0)};
    CK_UNROLL for (int i = 0; i < 8; i++) {
        const int16x8_t v = vld1q_s16(q + 8 * i);
        sums[0] = vmlal_s16(sums[0], vget_low_s16(w[i]), vget_low_s16(v));
        sums[1] = vmlal_high_s16(sums[1], w[i], v);
    }
    return vaddq_s32(sums[0], sums[1]);
}

CK_KERNEL void CK_NAME(int16_row_products)(
    const uint8_t *codes, int64_t rows, int64_t blocks, const int16_t *levels, const float *scales,
    const ck_int16_rows_view *x, int count, float *y, int64_t y_stride) {
    const level_bytes t = split_levels(levels);
    for (int64_t r = 0; r < rows; r++, scales += blocks) {
        float32x4_t total[CK_INT16_FEW] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
        for (int64_t b = 0; b < blocks; b++, codes += CK_INT16_BLOCK / 2) {
            int16x8_t w[8];
            CK_UNROLL for (int half = 0; half < 2; half++) {
                const uint8x16_t c = vld1q_u8(codes + 16 * half);
                const uint8x16_t even = vshrq_n_u8(c, 4), odd = vandq_u8(c, vdupq_n_u8(15));
                const uint8x16_t el = vqtbl1q_u8(t.low, even), eh = vqtbl1q_u8(t.high, even);
                const uint8x16_t ol = vqtbl1q_u8(t.low, odd), oh = vqtbl1q_u8(t.high, odd);
                w[4 * half] = levels_of(el, eh, false);
                w[4 * half + 1] = levels_of(el, eh, true);
                w[4 * half + 2] = levels_of(ol, oh, false);
                w[4 * half + 3] = levels_of(ol, oh, true);
            }
            CK_UNROLL for (int i = 0; i < CK_INT16_FEW; i++) {
                if (i >= count) continue;  // known to be few, so that the sums stay in registers
                const int32x4_t sum = block_sums(w, x->q + i * x->stride + b * CK_INT16_BLOCK);
                const float scale = scales[b] * x->scales[i * x->scale_stride + b];
                total[i] = vfmaq_n_f32(total[i], vcvtq_f32_s32(sum), scale);
            }
        }
        CK_UNROLL for (int i = 0; i < CK_INT16_FEW; i++)
            if (i < count) y[i * y_stride + r] = vaddvq_f32(total[i]);
    }
}

#include "loops_int16.h"
