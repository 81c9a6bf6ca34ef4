// NF4 weights with x in int16, with AVX2.
#include "int16_x86.h"

#define CK_INT16_ROWS 6
#define CK_INT16_STRIPS 1

CK_INLINE void int16_tile(
    const int rows, const int strips, const ck_int16_rows_view *x, const int16_t *w, int64_t w_stride,
    const float *scales, int64_t scale_stride, int64_t blocks, float *tile) {
    (void)strips, (void)w_stride, (void)scale_stride;
    const int16_t *q = x->q;
    const int64_t stride = x->stride;
    for (int64_t b = 0; b < blocks; b++) {
        __m256i sum[CK_INT16_ROWS][2];
        CK_UNROLL for (int r = 0; r < rows; r++) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
        for (int p = 0; p < CK_INT16_BLOCK / 2; p++) {
            const __m256i w0 = _mm256_loadu_si256((const __m256i *)(w + p * 32));
            const __m256i w1 = _mm256_loadu_si256((const __m256i *)(w + p * 32 + 16));
            CK_UNROLL for (int r = 0; r < rows; r++) {
                int32_t pair;
                memcpy(&pair, q + r * stride + 2 * p, sizeof pair);
                const __m256i v = _mm256_set1_epi32(pair);
                sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(v, w0));
                sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(v, w1));
            }
        }
        const __m256 s0 = _mm256_loadu_ps(scales), s1 = _mm256_loadu_ps(scales + 8);
        CK_UNROLL for (int r = 0; r < rows; r++) {
            const __m256 scale = _mm256_set1_ps(x->scales[r * x->scale_stride + b]);
            float *to = tile + r * LANES;
            _mm256_storeu_ps(
                to, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r][0]), _mm256_mul_ps(s0, scale), _mm256_loadu_ps(to)));
            _mm256_storeu_ps(
                to + 8, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r][1]), _mm256_mul_ps(s1, scale), _mm256_loadu_ps(to + 8)));
        }
        q += CK_INT16_BLOCK;
        w += CK_INT16_BLOCK * LANES;
        scales += LANES;
    }
}

// The order in which the look-up below yields weights: the even elements (high nibbles) of bytes 0-7 and 16-23, of bytes
// 8-15 and 24-31, then the odd ones.
#define CK_EIGHT(byte, low) \
    2 * (byte) + low, 2 * (byte) + 2 + low, 2 * (byte) + 4 + low, 2 * (byte) + 6 + low, 2 * (byte) + 8 + low, \
    2 * (byte) + 10 + low, 2 * (byte) + 12 + low, 2 * (byte) + 14 + low
static const uint8_t order_avx2[CK_INT16_BLOCK] = {
    CK_EIGHT(0, 0), CK_EIGHT(16, 0), CK_EIGHT(8, 0), CK_EIGHT(24, 0),
    CK_EIGHT(0, 1), CK_EIGHT(16, 1), CK_EIGHT(8, 1), CK_EIGHT(24, 1),
};
#define CK_INT16_ORDER {order_avx2, false}

CK_INLINE float sum_of_eight(__m256 v) {
    const __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(quarter) + _mm_cvtss_f32(_mm_shuffle_ps(quarter, quarter, 1));
}

// One row of the weight with `count` rows of x, known where this is inlined.
CK_INLINE void one_row(
    const int count, const uint8_t *codes, int64_t blocks, level_bytes t, const float *scales,
    const ck_int16_rows_view *x, float *y, int64_t y_stride) {
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256 total[CK_INT16_FEW];
    CK_UNROLL for (int i = 0; i < count; i++) total[i] = _mm256_setzero_ps();
    for (int64_t b = 0; b < blocks; b++, codes += CK_INT16_BLOCK / 2) {
        _mm_prefetch((const char *)(codes + 2048), _MM_HINT_T0);
        const __m256i c = _mm256_loadu_si256((const __m256i *)codes);
        const __m256i even = _mm256_and_si256(_mm256_srli_epi16(c, 4), nibble), odd = _mm256_and_si256(c, nibble);
        const __m256i el = _mm256_shuffle_epi8(t.low, even), eh = _mm256_shuffle_epi8(t.high, even);
        const __m256i ol = _mm256_shuffle_epi8(t.low, odd), oh = _mm256_shuffle_epi8(t.high, odd);
        const __m256i w0 = _mm256_unpacklo_epi8(el, eh), w1 = _mm256_unpackhi_epi8(el, eh);
        const __m256i w2 = _mm256_unpacklo_epi8(ol, oh), w3 = _mm256_unpackhi_epi8(ol, oh);
        CK_UNROLL for (int i = 0; i < count; i++) {
            const __m256i *q = (const __m256i *)(x->q + i * x->stride + b * CK_INT16_BLOCK);
            const __m256i s0 = _mm256_madd_epi16(w0, _mm256_loadu_si256(q));
            const __m256i s1 = _mm256_madd_epi16(w1, _mm256_loadu_si256(q + 1));
            const __m256i s2 = _mm256_madd_epi16(w2, _mm256_loadu_si256(q + 2));
            const __m256i s3 = _mm256_madd_epi16(w3, _mm256_loadu_si256(q + 3));
            const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(s0, s1), _mm256_add_epi32(s2, s3));
            const __m256 scale = _mm256_set1_ps(scales[b] * x->scales[i * x->scale_stride + b]);
            total[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, total[i]);
        }
    }
    CK_UNROLL for (int i = 0; i < count; i++) y[i * y_stride] = sum_of_eight(total[i]);
}

CK_KERNEL void CK_NAME(int16_row_products)(
    const uint8_t *codes, int64_t rows, int64_t blocks, const int16_t *levels, const float *scales,
    const ck_int16_rows_view *x, int count, float *y, int64_t y_stride) {
    const level_bytes t = split_levels(levels);
    const int64_t bytes = blocks * CK_INT16_BLOCK / 2;
#define CK_ROWS(n) \
    for (int64_t r = 0; r < rows; r++) one_row(n, codes + r * bytes, blocks, t, scales + r * blocks, x, y + r, y_stride)
    if (count == 1) CK_ROWS(1);
    else if (count == 2) CK_ROWS(2);
    else if (count == 3) CK_ROWS(3);
    else CK_ROWS(4);
#undef CK_ROWS
}

#include "loops_int16.h"
