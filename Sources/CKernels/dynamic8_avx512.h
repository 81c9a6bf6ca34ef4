// 8-bit weights with x in int16, with AVX-512: the 256 levels stand in eight registers, and four look-ups among 64 words make
// one among 256.

// The even bytes of a block's 16-bit words, then the odd ones.
static const uint8_t bytes_of_words[CK_INT16_BLOCK] = {
    0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42, 44, 46, 48, 50, 52, 54, 56, 58, 60, 62,
    1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63,
};
#define CK_DYNAMIC8_ORDER {bytes_of_words, false}

typedef struct {
    __m512i part[8];
} level_words;

CK_INLINE level_words load_levels(const int16_t *levels) {
    level_words t;
    CK_UNROLL for (int i = 0; i < 8; i++) t.part[i] = _mm512_loadu_si512(levels + 32 * i);
    return t;
}

// The levels of the low bytes of 32 words; the high ones do not count.
CK_INLINE __m512i levels_of_words(__m512i codes, level_words t) {
    const __mmask32 bit6 = _mm512_test_epi16_mask(codes, _mm512_set1_epi16(64));
    const __mmask32 bit7 = _mm512_test_epi16_mask(codes, _mm512_set1_epi16(128));
    const __m512i a = _mm512_permutex2var_epi16(t.part[0], codes, t.part[1]);
    const __m512i b = _mm512_permutex2var_epi16(t.part[2], codes, t.part[3]);
    const __m512i c = _mm512_permutex2var_epi16(t.part[4], codes, t.part[5]);
    const __m512i d = _mm512_permutex2var_epi16(t.part[6], codes, t.part[7]);
    return _mm512_mask_mov_epi16(_mm512_mask_mov_epi16(a, bit6, b), bit7, _mm512_mask_mov_epi16(c, bit6, d));
}

CK_KERNEL void CK_NAME(dynamic8_levels)(
    const uint8_t *codes, int64_t count, const int16_t *levels, int16_t *target) {
    const level_words t = load_levels(levels);
    for (int64_t i = 0; i < count; i += 32) {
        const __m256i c = _mm256_loadu_si256((const __m256i *)(codes + i));
        _mm512_storeu_si512(target + i, levels_of_words(_mm512_cvtepu8_epi16(c), t));
    }
}

CK_INLINE void one_dynamic8_row(
    const int count, const uint8_t *codes, int64_t blocks, level_words t, const float *scales,
    const ck_int16_rows_view *x, float *y, int64_t y_stride) {
    __m512 total[CK_INT16_FEW];
    CK_UNROLL for (int i = 0; i < count; i++) total[i] = _mm512_setzero_ps();
    for (int64_t b = 0; b < blocks; b++) {
        const __m512i c = _mm512_loadu_si512(codes + b * CK_INT16_BLOCK);
        const __m512i even = levels_of_words(c, t), odd = levels_of_words(_mm512_srli_epi16(c, 8), t);
        CK_UNROLL for (int i = 0; i < count; i++) {
            const int16_t *q = x->q + i * x->stride + b * CK_INT16_BLOCK;
            __m512i sum = _mm512_madd_epi16(even, _mm512_loadu_si512(q));
            add_products(&sum, odd, _mm512_loadu_si512(q + 32));
            const __m512 scale = _mm512_set1_ps(scales[b] * x->scales[i * x->scale_stride + b]);
            total[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, total[i]);
        }
    }
    CK_UNROLL for (int i = 0; i < count; i++) y[i * y_stride] = _mm512_reduce_add_ps(total[i]);
}

CK_KERNEL void CK_NAME(dynamic8_row_products)(
    const uint8_t *codes, int64_t rows, int64_t blocks, const int16_t *levels, const float *scales,
    const ck_int16_rows_view *x, int count, float *y, int64_t y_stride) {
    const level_words t = load_levels(levels);
#define CK_ROWS(n)                                                                                             \
    for (int64_t r = 0; r < rows; r++)                                                                         \
        one_dynamic8_row(n, codes + r * blocks * CK_INT16_BLOCK, blocks, t, scales + r * blocks, x, y + r, y_stride)
    if (count == 1) CK_ROWS(1);
    else if (count == 2) CK_ROWS(2);
    else if (count == 3) CK_ROWS(3);
    else CK_ROWS(4);
#undef CK_ROWS
}
