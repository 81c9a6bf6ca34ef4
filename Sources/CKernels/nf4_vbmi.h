// The scales of double quantization with VBMI: the four bytes of a float32 are looked up one by one, each for 64 codes at once,
// with a quarter of the instructions that whole values take.

// So that two interleavings in lanes of 16 bytes yield the values in order: lane l has codes 4 l + 16 j ... 4 l + 16 j + 3.
CK_VBMI_INLINE __m512i scale_codes_of_lanes(const uint8_t *codes) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, _mm512_loadu_si512(codes));
}

static CK_VBMI void scales_vbmi(const ck_nf4_tensor *tensor, int64_t first, int64_t count, float *scales) {
    uint8_t bytes[4][256];
    for (int i = 0; i < 256; i += 16)
        CK_UNROLL for (int k = 0; k < 4; k++) {
            const __m512i value = _mm512_loadu_si512(tensor->nested_map + i);
            _mm_storeu_si128((__m128i *)(bytes[k] + i), _mm512_cvtepi32_epi8(_mm512_srli_epi32(value, 8 * k)));
        }
    byte_table t[4];
    CK_UNROLL for (int k = 0; k < 4; k++) t[k] = load_bytes(bytes[k]);
    for (int64_t run; count > 0; first += run, scales += run, count -= run) {
        const uint8_t *codes = tensor->scale_codes + first;
        float absmax;
        run = nested_run(tensor, first, count, &absmax);
        const __m512 factor = _mm512_set1_ps(absmax), term = _mm512_set1_ps(tensor->offset);
        int64_t i = 0;
        for (; i + 64 <= run; i += 64) {
            // The codes of a row product's next rows: too few at a time for the processor to see where they go on.
            _mm_prefetch((const char *)(codes + i + CK_INT16_COLUMNS / CK_INT16_BLOCK), _MM_HINT_T0);
            const __m512i c = scale_codes_of_lanes(codes + i);
            const __m512i b0 = look_up_bytes(c, t[0]), b1 = look_up_bytes(c, t[1]);
            const __m512i b2 = look_up_bytes(c, t[2]), b3 = look_up_bytes(c, t[3]);
            const __m512i low[2] = {_mm512_unpacklo_epi8(b0, b1), _mm512_unpackhi_epi8(b0, b1)};
            const __m512i high[2] = {_mm512_unpacklo_epi8(b2, b3), _mm512_unpackhi_epi8(b2, b3)};
            CK_UNROLL for (int j = 0; j < 4; j++) {
                const __m512i value = j & 1 ? _mm512_unpackhi_epi16(low[j / 2], high[j / 2])
                                            : _mm512_unpacklo_epi16(low[j / 2], high[j / 2]);
                const __m512 product = _mm512_mul_ps(_mm512_castsi512_ps(value), factor);
                _mm512_storeu_ps(scales + i + 16 * j, _mm512_add_ps(product, term));
            }
        }
        scales_of_run(codes + i, run - i, tensor->nested_map, absmax, tensor->offset, scales + i);
    }
}
