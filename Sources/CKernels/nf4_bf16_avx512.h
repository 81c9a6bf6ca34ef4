// NF4 of bfloat16 blocks with AVX-512, without a floating-point operation: see `ck_nf4_bf16_cells`. Half the instructions for each
// value, and 32 of them at a time, so that it is nearly as fast as copying.

// Codes of 32 values, one in each word.
CK_INLINE __m512i nf4_bf16_codes32(__m512i x, __m512i magnitudes, __m512i largest, const __m512i cells[2]) {
    const __m512i below = _mm512_min_epu16(_mm512_sub_epi16(largest, magnitudes), _mm512_set1_epi16(1023));
    const __m512i sign = _mm512_srai_epi16(x, 15);
    // a | (b & c)
    const __m512i cell = _mm512_ternarylogic_epi32(_mm512_srli_epi16(below, 5), sign, _mm512_set1_epi16(32), 0xf8);
    const __m512i entry = _mm512_permutex2var_epi16(cells[0], cell, cells[1]);
    const __mmask32 beyond = _mm512_cmpgt_epi16_mask(_mm512_slli_epi16(below, 4), entry);
    const __m512i code = _mm512_mask_sub_epi16(entry, beyond, entry, _mm512_set1_epi16(1));
    // (a ^ b) & c
    return _mm512_ternarylogic_epi32(code, sign, _mm512_set1_epi16(15), 0x28);
}

CK_INLINE uint32_t largest_word(__m512i words) {
    const __m256i half = _mm256_max_epu16(_mm512_castsi512_si256(words), _mm512_extracti64x4_epi64(words, 1));
    const __m128i quarter = _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    // There is an instruction for the least of eight.
    const __m128i least = _mm_minpos_epu16(_mm_xor_si128(quarter, _mm_set1_epi32(-1)));
    return ~(uint32_t)_mm_cvtsi128_si32(least) & 0xffff;
}

// As nf4_quantize64 of bfloat16.
CK_INLINE int64_t nf4_quantize64_bf16(const uint16_t *source, int64_t blocks, uint8_t *codes, float *absmax) {
    const uint16_t(*table)[64] = ck_nf4_bf16_cells();
    for (int64_t b = 0; b < blocks; b++, source += QUANTIZED_BLOCK, codes += QUANTIZED_BLOCK / 2) {
        // A page ahead, for the processor's own prefetching ends with the page.
        _mm_prefetch((const char *)(source + 2048), _MM_HINT_T0);
        _mm_prefetch((const char *)(source + 2048 + 32), _MM_HINT_T0);
        const __m512i x0 = _mm512_loadu_si512(source), x1 = _mm512_loadu_si512(source + 32);
        const __m512i magnitude = _mm512_set1_epi16(0x7fff);
        const __m512i m0 = _mm512_and_si512(x0, magnitude), m1 = _mm512_and_si512(x1, magnitude);
        const uint32_t largest = largest_word(_mm512_max_epu16(m0, m1));
        if (largest < CK_NF4_BF16_LEAST || largest > CK_NF4_BF16_MOST) {
            if (largest >= 0x7f80) return b;
            floats v[QUANTIZED_BLOCK / LANES];
            for (int i = 0; i < QUANTIZED_BLOCK / LANES; i++) load_halves_bf16(&v[i], (const char *)(source + i * LANES));
            quantize_block(v, codes, absmax + b);
            continue;
        }
        absmax[b] = ck_float(largest << 16);
        const uint16_t *own = table[largest & 127];
        const __m512i cells[2] = {_mm512_loadu_si512(own), _mm512_loadu_si512(own + 32)};
        const __m512i all = _mm512_set1_epi16((int16_t)largest);
        const __m512i c0 = nf4_bf16_codes32(x0, m0, all, cells), c1 = nf4_bf16_codes32(x1, m1, all, cells);
        // In lanes of 16 bytes: eight codes of the first half, eight of the second. The even one of two is the high nibble.
        const __m512i pairs = _mm512_maddubs_epi16(_mm512_packus_epi16(c0, c1), _mm512_set1_epi16(0x0110));
        const __m256i order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
        _mm256_storeu_si256((__m256i *)codes, _mm256_permutevar8x32_epi32(_mm512_cvtepi16_epi8(pairs), order));
    }
    return -1;
}
