// NF4 weights with x in int16: what AVX2 and AVX-512 share.

typedef struct {
    __m256i low, high;  // the bytes of the 16 levels, in both lanes
} level_bytes;

CK_INLINE level_bytes split_levels(const int16_t *levels) {
    const __m128i a = _mm_loadu_si128((const __m128i *)levels), b = _mm_loadu_si128((const __m128i *)levels + 1);
    const __m128i byte = _mm_set1_epi16(255);
    const __m128i low = _mm_packus_epi16(_mm_and_si128(a, byte), _mm_and_si128(b, byte));
    const __m128i high = _mm_packus_epi16(_mm_srli_epi16(a, 8), _mm_srli_epi16(b, 8));
    return (level_bytes){_mm256_broadcastsi128_si256(low), _mm256_broadcastsi128_si256(high)};
}

// 16 outputs' codes of 64 inputs (32 bytes each, two lanes of 16) become the pairs of 32 steps: pair p of the first lane's
// codes, and pair p + 16 of the second's, for p = 0 ... 15.
CK_INLINE void strip_block(const uint8_t *codes, int64_t stride, level_bytes t, int16_t *strip) {
    __m256i a[16], b[16];
    for (int j = 0; j < 16; j++) a[j] = _mm256_loadu_si256((const __m256i *)(codes + j * stride));
    // Four perfect shuffles of 16 rows transpose 16 x 16 bytes in each lane.
    for (int round = 0; round < 4; round++) {
        for (int j = 0; j < 8; j++) {
            b[2 * j] = _mm256_unpacklo_epi8(a[j], a[j + 8]);
            b[2 * j + 1] = _mm256_unpackhi_epi8(a[j], a[j + 8]);
        }
        memcpy(a, b, sizeof a);
    }
    const __m256i nibble = _mm256_set1_epi8(15);
    for (int p = 0; p < 16; p++) {
        const __m256i even = _mm256_and_si256(_mm256_srli_epi16(a[p], 4), nibble), odd = _mm256_and_si256(a[p], nibble);
        const __m256i el = _mm256_shuffle_epi8(t.low, even), eh = _mm256_shuffle_epi8(t.high, even);
        const __m256i ol = _mm256_shuffle_epi8(t.low, odd), oh = _mm256_shuffle_epi8(t.high, odd);
        const __m256i e0 = _mm256_unpacklo_epi8(el, eh), e1 = _mm256_unpackhi_epi8(el, eh);
        const __m256i o0 = _mm256_unpacklo_epi8(ol, oh), o1 = _mm256_unpackhi_epi8(ol, oh);
        const __m256i w0 = _mm256_unpacklo_epi16(e0, o0), w1 = _mm256_unpackhi_epi16(e0, o0);
        const __m256i w2 = _mm256_unpacklo_epi16(e1, o1), w3 = _mm256_unpackhi_epi16(e1, o1);
        __m256i *first = (__m256i *)(strip + p * 32), *second = (__m256i *)(strip + (p + 16) * 32);
        _mm256_storeu_si256(first, _mm256_permute2x128_si256(w0, w1, 0x20));
        _mm256_storeu_si256(first + 1, _mm256_permute2x128_si256(w2, w3, 0x20));
        _mm256_storeu_si256(second, _mm256_permute2x128_si256(w0, w1, 0x31));
        _mm256_storeu_si256(second + 1, _mm256_permute2x128_si256(w2, w3, 0x31));
    }
}

CK_KERNEL void CK_NAME(int16_strip)(
    const uint8_t *codes, int64_t stride, int64_t outputs, int64_t depth, const int16_t *levels, int16_t *strip) {
    const level_bytes t = split_levels(levels);
    uint8_t last[16 * 32];
    for (int64_t k = 0; k < depth; k += 64, codes += 32, strip += 64 * LANES) {
        if (outputs == LANES) {
            strip_block(codes, stride, t, strip);
            continue;
        }
        // What stands in the rows that are not there is multiplied and not stored.
        for (int64_t j = 0; j < 16; j++) memcpy(last + j * 32, codes + (j < outputs ? j : 0) * stride, 32);
        strip_block(last, 32, t, strip);
    }
}
