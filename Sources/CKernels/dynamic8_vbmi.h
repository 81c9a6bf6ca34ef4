// 8-bit weights with x in int16, with VBMI: two look-ups of bytes for a level. Half as fast again as by words.

// As two interleavings of bytes yield them: of the first halves of all lanes of 16, and of the second.
static const uint8_t halves_of_lanes[CK_INT16_BLOCK] = {
    0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23, 32, 33, 34, 35, 36, 37, 38, 39, 48, 49, 50, 51, 52, 53, 54, 55,
    8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31, 40, 41, 42, 43, 44, 45, 46, 47, 56, 57, 58, 59, 60, 61, 62, 63,
};

CK_VBMI_INLINE void one_vbmi_row(
    const int count, const uint8_t *codes, int64_t blocks, byte_table low, byte_table high, const float *scales,
    const ck_int16_rows_view *x, float *y, int64_t y_stride) {
    __m512 total[CK_INT16_FEW];
    CK_UNROLL for (int i = 0; i < count; i++) total[i] = _mm512_setzero_ps();
    for (int64_t b = 0; b < blocks; b++, codes += CK_INT16_BLOCK) {
        _mm_prefetch((const char *)(codes + 2 * blocks * CK_INT16_BLOCK), _MM_HINT_T1);
        const __m512i c = _mm512_loadu_si512(codes);
        const __m512i l = look_up_bytes(c, low), h = look_up_bytes(c, high);
        const __m512i first = _mm512_unpacklo_epi8(l, h), second = _mm512_unpackhi_epi8(l, h);
        CK_UNROLL for (int i = 0; i < count; i++) {
            const int16_t *q = x->q + i * x->stride + b * CK_INT16_BLOCK;
            __m512i sum = _mm512_madd_epi16(first, _mm512_loadu_si512(q));
            add_products(&sum, second, _mm512_loadu_si512(q + 32));
            const __m512 scale = _mm512_set1_ps(scales[b] * x->scales[i * x->scale_stride + b]);
            total[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, total[i]);
        }
    }
    CK_UNROLL for (int i = 0; i < count; i++) y[i * y_stride] = _mm512_reduce_add_ps(total[i]);
}

static CK_VBMI void dynamic8_row_products_vbmi(
    const uint8_t *codes, int64_t rows, int64_t blocks, const int16_t *levels, const float *scales,
    const ck_int16_rows_view *x, int count, float *y, int64_t y_stride) {
    uint8_t bytes[2][256];
    for (int i = 0; i < 256; i++) {
        bytes[0][i] = (uint8_t)(levels[i] & 255);
        bytes[1][i] = (uint8_t)((uint16_t)levels[i] >> 8);
    }
    const byte_table low = load_bytes(bytes[0]), high = load_bytes(bytes[1]);
#define CK_ROWS(n)                   \
    for (int64_t r = 0; r < rows; r++) \
        one_vbmi_row(n, codes + r * blocks * CK_INT16_BLOCK, blocks, low, high, scales + r * blocks, x, y + r, y_stride)
    if (count == 1) CK_ROWS(1);
    else if (count == 2) CK_ROWS(2);
    else if (count == 3) CK_ROWS(3);
    else CK_ROWS(4);
#undef CK_ROWS
}
