// 8-bit weights with x in int16, with AVX2, which has no look-up among 256 words. The dynamic map's magnitudes lie on straight
// lines, one for each power of ten, the steeper the larger they are: the two steepest are computed, the largest of them and of
// a table for the 32 smallest magnitudes is the level's. Levels that are of another form are looked up one by one.

#define CK_DYNAMIC8_ORDER {NULL, false}

// A code's magnitude is its distance from that of 0.
enum { CODE_OF_ZERO = 127, TABLED = 32 };

typedef struct {
    int16_t slopes[2], offsets[2];
    int16_t small[TABLED];
    int16_t largest;
} level_lines;

static int16_t level_on_lines(const level_lines *lines, int code) {
    const int m = code < CODE_OF_ZERO ? CODE_OF_ZERO - code : code - CODE_OF_ZERO;
    int level = m < 128 ? lines->small[m % TABLED] : 0;
    for (int i = 0; i < 2; i++) {
        const int other = lines->slopes[i] * m + lines->offsets[i];
        level = other > level ? other : level;
    }
    level = level > lines->largest ? lines->largest : level;
    return (int16_t)(code < CODE_OF_ZERO ? -level : code > CODE_OF_ZERO ? level : 0);
}

// False where the levels are no such lines.
static bool find_lines(const int16_t *levels, level_lines *lines) {
    const int16_t *upper = levels + CODE_OF_ZERO;
    for (int i = 0; i < 2; i++) {
        const int last = 127 >> i;
        lines->slopes[i] = (int16_t)(upper[last] - upper[last - 1]);
        const int offset = upper[last] - last * lines->slopes[i];
        // So that neither the product with a magnitude nor the sum leaves int16.
        if (offset < INT16_MIN || offset > 0 || lines->slopes[i] < 0 || lines->slopes[i] > 255) return false;
        lines->offsets[i] = (int16_t)offset;
    }
    for (int m = 0; m < TABLED; m++) {
        if (upper[m] < 0 || upper[m] > 255) return false;
        lines->small[m] = upper[m];
    }
    lines->largest = upper[128];
    for (int code = 0; code < 256; code++)
        if (level_on_lines(lines, code) != levels[code]) return false;
    return true;
}

typedef struct {
    __m256i zero, slopes[2], offsets[2], low, high, largest;
} line_registers;

CK_INLINE __m256i tabled_bytes(const int16_t *small) {
    uint8_t bytes[16];
    for (int i = 0; i < 16; i++) bytes[i] = (uint8_t)small[i];
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)bytes));
}

CK_INLINE line_registers line_constants(const level_lines *lines) {
    return (line_registers){
        _mm256_set1_epi16(CODE_OF_ZERO), {_mm256_set1_epi16(lines->slopes[0]), _mm256_set1_epi16(lines->slopes[1])},
        {_mm256_set1_epi16(lines->offsets[0]), _mm256_set1_epi16(lines->offsets[1])}, tabled_bytes(lines->small),
        tabled_bytes(lines->small + 16), _mm256_set1_epi16(lines->largest)};
}

CK_INLINE __m256i sixteen_levels(const uint8_t *codes, line_registers t) {
    const __m256i signed_code = _mm256_sub_epi16(_mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)codes)), t.zero);
    const __m256i m = _mm256_abs_epi16(signed_code);
    // The bytes above are 0 and look the first entry up, which is 0.
    const __m256i small = _mm256_blendv_epi8(
        _mm256_shuffle_epi8(t.low, m), _mm256_shuffle_epi8(t.high, m), _mm256_slli_epi16(m, 3));
    const __m256i first = _mm256_add_epi16(_mm256_mullo_epi16(m, t.slopes[0]), t.offsets[0]);
    const __m256i second = _mm256_add_epi16(_mm256_mullo_epi16(m, t.slopes[1]), t.offsets[1]);
    const __m256i most = _mm256_max_epi16(_mm256_max_epi16(first, second), small);
    return _mm256_sign_epi16(_mm256_min_epi16(most, t.largest), signed_code);
}

CK_KERNEL void CK_NAME(dynamic8_levels)(
    const uint8_t *codes, int64_t count, const int16_t *levels, int16_t *target) {
    level_lines lines;
    if (!find_lines(levels, &lines)) {
        for (int64_t i = 0; i < count; i++) target[i] = levels[codes[i]];
        return;
    }
    const line_registers t = line_constants(&lines);
    for (int64_t i = 0; i < count; i += 16)
        _mm256_storeu_si256((__m256i *)(target + i), sixteen_levels(codes + i, t));
}

CK_INLINE void one_dynamic8_row(
    const int count, const bool is_lines, const uint8_t *codes, int64_t blocks, const int16_t *levels, line_registers t,
    const float *scales, const ck_int16_rows_view *x, float *y, int64_t y_stride) {
    __m256 total[CK_INT16_FEW];
    CK_UNROLL for (int i = 0; i < count; i++) total[i] = _mm256_setzero_ps();
    for (int64_t b = 0; b < blocks; b++, codes += CK_INT16_BLOCK) {
        __m256i w[4];
        int16_t looked_up[CK_INT16_BLOCK];
        if (!is_lines)
            for (int j = 0; j < CK_INT16_BLOCK; j++) looked_up[j] = levels[codes[j]];
        CK_UNROLL for (int j = 0; j < 4; j++)
            w[j] = is_lines ? sixteen_levels(codes + 16 * j, t)
                            : _mm256_loadu_si256((const __m256i *)(looked_up + 16 * j));
        CK_UNROLL for (int i = 0; i < count; i++) {
            const __m256i *q = (const __m256i *)(x->q + i * x->stride + b * CK_INT16_BLOCK);
            __m256i sum = _mm256_madd_epi16(w[0], _mm256_loadu_si256(q));
            CK_UNROLL for (int j = 1; j < 4; j++)
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(w[j], _mm256_loadu_si256(q + j)));
            const __m256 scale = _mm256_set1_ps(scales[b] * x->scales[i * x->scale_stride + b]);
            total[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, total[i]);
        }
    }
    CK_UNROLL for (int i = 0; i < count; i++) y[i * y_stride] = sum_of_eight(total[i]);
}

CK_KERNEL void CK_NAME(dynamic8_row_products)(
    const uint8_t *codes, int64_t rows, int64_t blocks, const int16_t *levels, const float *scales,
    const ck_int16_rows_view *x, int count, float *y, int64_t y_stride) {
    level_lines lines = {0};
    const bool is_lines = find_lines(levels, &lines);
    const line_registers t = line_constants(&lines);
#define CK_ROWS(n, is_lines)                                                                                       \
    for (int64_t r = 0; r < rows; r++)                                                                             \
        one_dynamic8_row(n, is_lines, codes + r * blocks * CK_INT16_BLOCK, blocks, levels, t, scales + r * blocks, \
                         x, y + r, y_stride)
#define CK_COUNTS(is_lines)                \
    if (count == 1) CK_ROWS(1, is_lines);      \
    else if (count == 2) CK_ROWS(2, is_lines); \
    else if (count == 3) CK_ROWS(3, is_lines); \
    else CK_ROWS(4, is_lines)
    if (is_lines) {
        CK_COUNTS(true);
    } else {
        CK_COUNTS(false);
    }
#undef CK_COUNTS
#undef CK_ROWS
}
