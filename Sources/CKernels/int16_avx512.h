// NF4 weights with x in int16, with AVX-512, and with VNNI's multiply-and-add where the variant has it.
#include "int16_x86.h"

#define CK_INT16_ROWS 8
#define CK_INT16_STRIPS 2

CK_INLINE void add_products(__m512i *sum, __m512i x, __m512i w) {
#if CK_HAS_VNNI
    // Not the intrinsic: LLVM takes it apart again into a multiplication and an addition, for a shorter chain, which is
    // two thirds as fast.
    __asm__("vpdpwssd %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(w));
#else
    *sum = _mm512_add_epi32(*sum, _mm512_madd_epi16(x, w));
#endif
}

CK_INLINE void int16_tile(
    const int rows, const int strips, const ck_int16_rows_view *x, const int16_t *w, int64_t w_stride,
    const float *scales, int64_t scale_stride, int64_t blocks, float *tile) {
    const int16_t *q = x->q;
    const int64_t stride = x->stride;
    for (int64_t b = 0; b < blocks; b++) {
        __m512i sum[CK_INT16_ROWS][CK_INT16_STRIPS];
        CK_UNROLL for (int r = 0; r < rows; r++)
            CK_UNROLL for (int s = 0; s < strips; s++) sum[r][s] = _mm512_setzero_si512();
        for (int p = 0; p < CK_INT16_BLOCK / 2; p++) {
            __m512i v[CK_INT16_STRIPS];
            for (int s = 0; s < strips; s++) v[s] = _mm512_loadu_si512(w + s * w_stride + p * 32);
            CK_UNROLL for (int r = 0; r < rows; r++) {
                int32_t pair;
                memcpy(&pair, q + r * stride + 2 * p, sizeof pair);
                const __m512i both = _mm512_set1_epi32(pair);
                CK_UNROLL for (int s = 0; s < strips; s++) add_products(&sum[r][s], both, v[s]);
            }
        }
        CK_UNROLL for (int s = 0; s < strips; s++) {
            const __m512 scale = _mm512_loadu_ps(scales + s * scale_stride);
            CK_UNROLL for (int r = 0; r < rows; r++) {
                const __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(x->scales[r * x->scale_stride + b]));
                float *to = tile + (r * CK_INT16_STRIPS + s) * LANES;
                _mm512_storeu_ps(to, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r][s]), both, _mm512_loadu_ps(to)));
            }
        }
        q += CK_INT16_BLOCK;
        w += CK_INT16_BLOCK * LANES;
        scales += LANES;
    }
}

// Nibble 0 (the low one of the first byte), 1, 2 and 3 of the block's 16-bit words.
static const uint8_t nibbles_of_words[CK_INT16_BLOCK] = {
    1, 5, 9, 13, 17, 21, 25, 29, 33, 37, 41, 45, 49, 53, 57, 61, 0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60,
    3, 7, 11, 15, 19, 23, 27, 31, 35, 39, 43, 47, 51, 55, 59, 63, 2, 6, 10, 14, 18, 22, 26, 30, 34, 38, 42, 46, 50, 54, 58, 62,
};
#define CK_INT16_ORDER {nibbles_of_words, true}

// A block's value in the first half of a register, and the next one's in the second.
CK_INLINE __m512 pair_of(const float *values, bool is_pair) {
    if (!is_pair) return _mm512_set1_ps(values[0]);
    const __m512i halves = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    double both;
    memcpy(&both, values, sizeof both);
    return _mm512_permutexvar_ps(halves, _mm512_castps128_ps512(_mm_castpd_ps(_mm_set_sd(both))));
}

// Two blocks of `rows` rows of the weight, in the two halves of a register, with those of `count` rows of x. Where the pair is
// but one block, the other half meets zeros of x. With one row of x the scales are already those of the products.
CK_INLINE void add_pair(
    const int rows, const int count, const uint8_t *codes, int64_t bytes, __m512i levels, const float *scales,
    int64_t blocks, const int16_t *q, int64_t q_stride, const float *q_scales, int64_t q_scale_stride, bool is_pair,
    __m512 total[4][CK_INT16_FEW]) {
    __m512 factor[CK_INT16_FEW];
    if (count > 1)
        CK_UNROLL for (int i = 0; i < count; i++) factor[i] = pair_of(q_scales + i * q_scale_stride, is_pair);
    CK_UNROLL for (int r = 0; r < rows; r++) {
        // Into the second level: the first would have to hold several rows of it.
        _mm_prefetch((const char *)(codes + (r + rows) * bytes), _MM_HINT_T1);
        const __m512i c = is_pair ? _mm512_loadu_si512(codes + r * bytes)
                                  : _mm512_zextsi256_si512(_mm256_loadu_si256((const __m256i *)(codes + r * bytes)));
        // The look-up reads five bits of a word, of which the fifth is not the nibble's: `levels` has the table twice.
        const __m512i w0 = _mm512_permutexvar_epi16(c, levels);
        const __m512i w1 = _mm512_permutexvar_epi16(_mm512_srli_epi16(c, 4), levels);
        const __m512i w2 = _mm512_permutexvar_epi16(_mm512_srli_epi16(c, 8), levels);
        const __m512i w3 = _mm512_permutexvar_epi16(_mm512_srli_epi16(c, 12), levels);
        const __m512 scale = pair_of(scales + r * blocks, is_pair);
        CK_UNROLL for (int i = 0; i < count; i++) {
            const int16_t *x = q + i * q_stride;
            __m512i sum = _mm512_madd_epi16(w0, _mm512_loadu_si512(x));
            add_products(&sum, w1, _mm512_loadu_si512(x + 32));
            add_products(&sum, w2, _mm512_loadu_si512(x + 64));
            add_products(&sum, w3, _mm512_loadu_si512(x + 96));
            const __m512 both = count > 1 ? _mm512_mul_ps(scale, factor[i]) : scale;
            total[r][i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), both, total[r][i]);
        }
    }
}

CK_INLINE void few_rows(
    const int rows, const int count, const uint8_t *codes, int64_t blocks, __m512i levels, const float *scales,
    const ck_int16_rows_view *x, float *y, int64_t y_stride) {
    const int64_t bytes = blocks * CK_INT16_BLOCK / 2;
    float products[4 * CK_INT16_COLUMNS / CK_INT16_BLOCK];
    if (count == 1) {
        for (int r = 0; r < rows; r++)
            for (int64_t b = 0; b < blocks; b++) products[r * blocks + b] = scales[r * blocks + b] * x->scales[b];
        scales = products;
    }
    __m512 total[4][CK_INT16_FEW];
    CK_UNROLL for (int r = 0; r < rows; r++)
        CK_UNROLL for (int i = 0; i < count; i++) total[r][i] = _mm512_setzero_ps();
    int64_t b = 0;
    for (; b + 2 <= blocks; b += 2)
        add_pair(rows, count, codes + b * CK_INT16_BLOCK / 2, bytes, levels, scales + b, blocks,
                 x->q + b * CK_INT16_BLOCK, x->stride, x->scales + b, x->scale_stride, true, total);
    if (b < blocks)
        add_pair(rows, count, codes + b * CK_INT16_BLOCK / 2, bytes, levels, scales + b, blocks,
                 x->q + b * CK_INT16_BLOCK, x->stride, x->scales + b, x->scale_stride, false, total);
    CK_UNROLL for (int r = 0; r < rows; r++)
        CK_UNROLL for (int i = 0; i < count; i++) y[i * y_stride + r] = _mm512_reduce_add_ps(total[r][i]);
}

CK_KERNEL void CK_NAME(int16_row_products)(
    const uint8_t *codes, int64_t rows, int64_t blocks, const int16_t *levels, const float *scales,
    const ck_int16_rows_view *x, int count, float *y, int64_t y_stride) {
    const __m512i t = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)levels));
    const int64_t bytes = blocks * CK_INT16_BLOCK / 2;
    int64_t r = 0;
#define CK_ROWS(step, n) \
    for (; r + step <= rows; r += step) \
    few_rows(step, n, codes + r * bytes, blocks, t, scales + r * blocks, x, y + r, y_stride)
    if (count == 1) {
        CK_ROWS(4, 1);
        CK_ROWS(1, 1);
    } else if (count == 2) {
        CK_ROWS(4, 2);
        CK_ROWS(1, 2);
    } else if (count == 3) {
        CK_ROWS(2, 3);
        CK_ROWS(1, 3);
    } else {
        CK_ROWS(2, 4);
        CK_ROWS(1, 4);
    }
#undef CK_ROWS
}

#include "loops_int16.h"
