// NF4 with AVX2.
#pragma STDC FP_CONTRACT OFF

// Codes of 8 values by bisection: four comparisons, each threshold looked up by the bits found so far.
CK_INLINE __m256i nf4_codes8(__m256 x, const float *t) {
    const __m256 quarter = _mm256_setr_ps(t[1], t[5], t[9], t[13], t[1], t[5], t[9], t[13]);
    const __m256 eighth = _mm256_setr_ps(t[0], t[2], t[4], t[6], t[8], t[10], t[12], t[14]);
    __m256 m = _mm256_cmp_ps(x, _mm256_set1_ps(t[7]), _CMP_GT_OQ);
    __m256i found = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_castps_si256(m));
    __m256 half = _mm256_blendv_ps(_mm256_set1_ps(t[3]), _mm256_set1_ps(t[11]), m);
    m = _mm256_cmp_ps(x, half, _CMP_GT_OQ);
    found = _mm256_sub_epi32(_mm256_add_epi32(found, found), _mm256_castps_si256(m));
    m = _mm256_cmp_ps(x, _mm256_permutevar_ps(quarter, found), _CMP_GT_OQ);
    found = _mm256_sub_epi32(_mm256_add_epi32(found, found), _mm256_castps_si256(m));
    m = _mm256_cmp_ps(x, _mm256_permutevar8x32_ps(eighth, found), _CMP_GT_OQ);
    return _mm256_sub_epi32(_mm256_add_epi32(found, found), _mm256_castps_si256(m));
}

CK_INLINE __m256i nf4_scaled8(const float *x, __m256 reciprocal) {
    return nf4_codes8(_mm256_mul_ps(_mm256_loadu_ps(x), reciprocal), ck_nf4_thresholds);
}

CK_KERNEL void CK_NAME(nf4_encode)(const float *x, int64_t count, float reciprocal, uint8_t *codes) {
    const __m256 r = _mm256_set1_ps(reciprocal);
    int64_t i = 0;
    for (; i + 32 <= count; i += 32) {
        __m256i a = _mm256_packs_epi32(nf4_scaled8(x + i, r), nf4_scaled8(x + i + 8, r));
        __m256i b = _mm256_packs_epi32(nf4_scaled8(x + i + 16, r), nf4_scaled8(x + i + 24, r));
        // Packing works within lanes: fours of elements 0, 8, 16, 24 and 4, 12, 20, 28, each four a byte to an element.
        __m256i bytes = _mm256_packus_epi16(a, b);
        // 16 times the even element and the odd one; still by fours, now of 2 bytes.
        __m256i pairs = _mm256_maddubs_epi16(bytes, _mm256_set1_epi16(0x0110));
        __m256i narrow = _mm256_packus_epi16(pairs, pairs);
        const __m128i low = _mm256_castsi256_si128(narrow), high = _mm256_extracti128_si256(narrow, 1);
        _mm_storeu_si128((__m128i *)(codes + i / 2), _mm_unpacklo_epi16(low, high));
    }
    // Byte 0 of each 64-bit half to the front of its 128-bit lane.
    const __m256i gather = _mm256_setr_epi8(
        0, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
        -1, -1, -1);
    for (; i + 8 <= count; i += 8) {
        __m256i c = nf4_scaled8(x + i, r);
        // In each 64 bits the even element is low and the odd one high.
        __m256i pairs = _mm256_or_si256(_mm256_slli_epi64(c, 4), _mm256_srli_epi64(c, 32));
        pairs = _mm256_shuffle_epi8(pairs, gather);
        uint32_t low = (uint32_t)_mm256_extract_epi16(pairs, 0), high = (uint32_t)_mm256_extract_epi16(pairs, 8);
        uint32_t four = (low & 0xffff) | high << 16;
        memcpy(codes + i / 2, &four, 4);
    }
    if (i < count) {
        float rest[8] = {0};
        int64_t left = count - i;
        memcpy(rest, x + i, (size_t)left * sizeof(float));
        uint8_t out[4];
        CK_NAME(nf4_encode)(rest, 8, reciprocal, out);
        memcpy(codes + i / 2, out, (size_t)left / 2);
    }
}

CK_KERNEL void CK_NAME(nf4_decode)(
    const uint8_t *codes, int64_t count, const float *map, float scale, float *target) {
    const __m256 s = _mm256_set1_ps(scale);
    const __m256 low = _mm256_mul_ps(_mm256_loadu_ps(map), s), high = _mm256_mul_ps(_mm256_loadu_ps(map + 8), s);
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        uint32_t four;
        memcpy(&four, codes + i / 2, 4);
        // Element 2k from bits 8k + 4, element 2k + 1 from bits 8k.
        __m256i c = _mm256_srlv_epi32(_mm256_set1_epi32((int)four), _mm256_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24));
        __m256 a = _mm256_permutevar8x32_ps(low, c), b = _mm256_permutevar8x32_ps(high, c);
        __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(c, 28));
        _mm256_storeu_ps(target + i, _mm256_blendv_ps(a, b, upper));
    }
    for (; i < count; i += 2) {
        target[i] = map[codes[i / 2] >> 4] * scale;
        target[i + 1] = map[codes[i / 2] & 15] * scale;
    }
}

// MARK: Levels

#define CK_KEEP_LEVELS keep_levels_avx2
CK_INLINE void keep_levels_avx2(const floats *x, const ck_levels *levels, ints *bits) {
    const __m256 low = _mm256_loadu_ps(levels->map), high = _mm256_loadu_ps(levels->map + 8);
    for (int half = 0; half < 2; half++) {
        __m256i code = nf4_codes8(_mm256_loadu_ps((const float *)x + 8 * half), levels->thresholds);
        __m256 a = _mm256_permutevar8x32_ps(low, code), b = _mm256_permutevar8x32_ps(high, code);
        __m256 level = _mm256_blendv_ps(a, b, _mm256_castsi256_ps(_mm256_slli_epi32(code, 28)));
        _mm256_storeu_ps((float *)bits + 8 * half, level);
    }
}

// MARK: Row product

enum {
    STEP = 64,             // elements per step: 32 bytes of codes
    CHUNK = 4096,          // columns at a time: 16 KiB of prepared x on the stack
};

// x in the order in which the look-up below yields weights: for each run of 64, the elements of the high
// nibbles of bytes {4k .. 4k + 3, 16 + 4k .. 16 + 4k + 3} for k = 0 ... 3, then those of the low nibbles.
CK_INLINE void prepare_x(const float *x, int64_t count, float *prepared) {
    for (int64_t base = 0; base < count; base += STEP)
        for (int low = 0; low < 2; low++)
            for (int k = 0; k < 4; k++)
                for (int lane = 0; lane < 8; lane++) {
                    int byte = 4 * k + (lane & 3) + (lane & 4) * 4;
                    int64_t from = base + 2 * byte + low;
                    *prepared++ = from < count ? x[from] : 0;
                }
}

typedef struct {
    __m256i plane[4];  // byte p of the 16 map values, in both lanes
} byte_planes;

CK_INLINE void multiply_nibbles(const byte_planes *t, __m256i index, const float *x, __m256 *a, __m256 *b) {
    __m256i b0 = _mm256_shuffle_epi8(t->plane[0], index), b1 = _mm256_shuffle_epi8(t->plane[1], index);
    __m256i b2 = _mm256_shuffle_epi8(t->plane[2], index), b3 = _mm256_shuffle_epi8(t->plane[3], index);
    __m256i low0 = _mm256_unpacklo_epi8(b0, b1), low1 = _mm256_unpackhi_epi8(b0, b1);
    __m256i high0 = _mm256_unpacklo_epi8(b2, b3), high1 = _mm256_unpackhi_epi8(b2, b3);
    __m256 w0 = _mm256_castsi256_ps(_mm256_unpacklo_epi16(low0, high0));
    __m256 w1 = _mm256_castsi256_ps(_mm256_unpackhi_epi16(low0, high0));
    __m256 w2 = _mm256_castsi256_ps(_mm256_unpacklo_epi16(low1, high1));
    __m256 w3 = _mm256_castsi256_ps(_mm256_unpackhi_epi16(low1, high1));
    *a = _mm256_fmadd_ps(w0, _mm256_loadu_ps(x), *a);
    *b = _mm256_fmadd_ps(w1, _mm256_loadu_ps(x + 8), *b);
    *a = _mm256_fmadd_ps(w2, _mm256_loadu_ps(x + 16), *a);
    *b = _mm256_fmadd_ps(w3, _mm256_loadu_ps(x + 24), *b);
}

CK_INLINE __m256 step_product(const byte_planes *t, __m256i codes, const float *x) {
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256 a = _mm256_setzero_ps(), b = _mm256_setzero_ps();
    multiply_nibbles(t, _mm256_and_si256(_mm256_srli_epi16(codes, 4), nibble), x, &a, &b);
    multiply_nibbles(t, _mm256_and_si256(codes, nibble), x + 32, &a, &b);
    return _mm256_add_ps(a, b);
}

// The scales of one step: of one block, or of two blocks of 32 in the two lanes.
CK_INLINE __m256 step_scales(const float *scales, int64_t step, int64_t block) {
    if (block == 32) {
        const float *s = scales + 2 * step;
        return _mm256_set_m128(_mm_set1_ps(s[1]), _mm_set1_ps(s[0]));
    }
    return _mm256_set1_ps(scales[step * STEP / block]);
}

CK_KERNEL void nf4_multiply_avx2(
    const ck_nf4_tensor *tensor, int64_t columns, int64_t first_row, int64_t rows, const float *x, float *y) {
    byte_planes planes;
    for (int p = 0; p < 4; p++) {
        uint8_t bytes[32];
        for (int i = 0; i < 32; i++) bytes[i] = (uint8_t)(ck_bits(tensor->map[i & 15]) >> 8 * p);
        planes.plane[p] = _mm256_loadu_si256((const __m256i *)bytes);
    }
    const int64_t block = tensor->block;
    float prepared[CHUNK], scales[CHUNK / 32 + 4] = {0};
    for (int64_t r = 0; r < rows; r++) y[r] = 0;
    for (int64_t start = 0; start < columns; start += CHUNK) {
        const int64_t width = columns - start < CHUNK ? columns - start : CHUNK;
        const int64_t steps = width / STEP, blocks = width / block;
        prepare_x(x + start, width, prepared);
        for (int64_t r = 0; r < rows; r++) {
            const int64_t element = (first_row + r) * columns + start;
            const uint8_t *codes = tensor->codes + element / 2;
            ck_nf4_scales(tensor, element / block, blocks, scales);
            __m256 sum = _mm256_setzero_ps();
            for (int64_t s = 0; s < steps; s++) {
                __m256i c = _mm256_loadu_si256((const __m256i *)(codes + s * STEP / 2));
                __m256 product = step_product(&planes, c, prepared + s * STEP);
                sum = _mm256_fmadd_ps(product, step_scales(scales, s, block), sum);
            }
            if (width % STEP) {  // one last block of 32
                scales[blocks] = 0;
                uint8_t last[32] = {0};
                memcpy(last, codes + steps * STEP / 2, 16);
                __m256i c = _mm256_loadu_si256((const __m256i *)last);
                __m256 product = step_product(&planes, c, prepared + steps * STEP);
                sum = _mm256_fmadd_ps(product, step_scales(scales, steps, block), sum);
            }
            __m128 four = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
            four = _mm_add_ps(four, _mm_movehl_ps(four, four));
            y[r] += _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
        }
    }
}
