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
#define CK_INT16_ORDER nibbles_of_words

// Two blocks of x, nibble by nibble.
typedef struct {
    __m512i nibble[4];
} block_pair;

// A block, and the one behind it or (where `mask` is 0) nothing.
CK_INLINE void load_pair(const int16_t *q, __mmask8 mask, block_pair *pair) {
    CK_UNROLL for (int i = 0; i < 4; i++) {
        const __m512i first = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(q + 16 * i)));
        const __m256i second = _mm256_maskz_loadu_epi64(mask, q + CK_INT16_BLOCK + 16 * i);
        pair->nibble[i] = _mm512_inserti64x4(first, second, 1);
    }
}

// The sums of two blocks in the two halves, times their scales, added to `total`. The look-up reads five bits of a word, of which
// the fifth is not the nibble's: `levels` has the table twice.
CK_INLINE void add_pair(__m512i codes, __m512i levels, const block_pair *x, __m512 scales, __m512 *total) {
    __m512i sum = _mm512_madd_epi16(_mm512_permutexvar_epi16(codes, levels), x->nibble[0]);
    add_products(&sum, _mm512_permutexvar_epi16(_mm512_srli_epi16(codes, 4), levels), x->nibble[1]);
    add_products(&sum, _mm512_permutexvar_epi16(_mm512_srli_epi16(codes, 8), levels), x->nibble[2]);
    add_products(&sum, _mm512_permutexvar_epi16(_mm512_srli_epi16(codes, 12), levels), x->nibble[3]);
    *total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scales, *total);
}

CK_INLINE __m512 pair_scales(const float *scales, __mmask16 mask) {
    return _mm512_mask_broadcastss_ps(_mm512_set1_ps(scales[0]), mask, _mm_load_ss(mask ? scales + 1 : scales));
}

// `rows` at a time, known where this is inlined: they share what is loaded of x.
CK_INLINE void few_rows(
    const int rows, const uint8_t *codes, int64_t blocks, __m512i levels, const int16_t *q, const float *scales, float *y) {
    const int64_t bytes = blocks * CK_INT16_BLOCK / 2;
    __m512 total[4];
    CK_UNROLL for (int r = 0; r < rows; r++) total[r] = _mm512_setzero_ps();
    block_pair x;
    int64_t b = 0;
    for (; b + 2 <= blocks; b += 2, codes += CK_INT16_BLOCK) {
        load_pair(q + b * CK_INT16_BLOCK, 0xff, &x);
        CK_UNROLL for (int r = 0; r < rows; r++) {
            CK_PREFETCH_CODES(codes + (r + rows) * bytes);
            const __m512i c = _mm512_loadu_si512(codes + r * bytes);
            add_pair(c, levels, &x, pair_scales(scales + r * blocks + b, 0xff00), &total[r]);
        }
    }
    if (b < blocks) {
        load_pair(q + b * CK_INT16_BLOCK, 0, &x);
        CK_UNROLL for (int r = 0; r < rows; r++) {
            const __m512i c = _mm512_maskz_loadu_epi64(0x0f, codes + r * bytes);
            add_pair(c, levels, &x, pair_scales(scales + r * blocks + b, 0), &total[r]);
        }
    }
    CK_UNROLL for (int r = 0; r < rows; r++) y[r] = _mm512_reduce_add_ps(total[r]);
}

CK_KERNEL void CK_NAME(int16_row_products)(
    const uint8_t *codes, int64_t rows, int64_t blocks, const int16_t *levels, const int16_t *q, const float *scales,
    float *y) {
    const __m512i t = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)levels));
    const int64_t bytes = blocks * CK_INT16_BLOCK / 2;
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) few_rows(4, codes + r * bytes, blocks, t, q, scales + r * blocks, y + r);
    for (; r < rows; r++) few_rows(1, codes + r * bytes, blocks, t, q, scales + r * blocks, y + r);
}

#include "loops_int16.h"
