// NF4 with AVX-512.
#pragma STDC FP_CONTRACT OFF

// Codes of 16 values by bisection: four comparisons, each threshold looked up by the bits found so far.
CK_INLINE __m512i nf4_codes16(__m512 x, __m512 thresholds) {
    const __m512i one = _mm512_set1_epi32(1);
    __m512i code = _mm512_setzero_si512();
    for (int step = 8; step > 0; step /= 2) {
        __m512i at = _mm512_add_epi32(code, _mm512_set1_epi32(step - 1));
        __mmask16 above = _mm512_cmp_ps_mask(x, _mm512_permutexvar_ps(at, thresholds), _CMP_GT_OQ);
        code = _mm512_mask_add_epi32(code, above, at, one);
    }
    return code;
}

// NF4's codes by position: -1 ... 1 in 32 cells, none of which has more than one threshold, nor one so
// near to its edge that the rounding of the position could matter.
typedef struct {
    __m512 low, high;         // the threshold in each cell, or infinity
    __m512i low_code, high_code;  // thresholds below the cell
} cells;

CK_INLINE cells load_cells(void) {
    return (cells){
        _mm512_loadu_ps(ck_nf4_cell_thresholds), _mm512_loadu_ps(ck_nf4_cell_thresholds + 16),
        _mm512_loadu_si512(ck_nf4_cell_codes), _mm512_loadu_si512(ck_nf4_cell_codes + 16)};
}

CK_INLINE __m512i nf4_cell_codes16(__m512 x, const cells *t) {
    const __m512 sixteen = _mm512_set1_ps(16);
    const __m512 place = _mm512_fmadd_ps(x, sixteen, sixteen);
    const __m512i cell = _mm512_cvttps_epi32(_mm512_min_ps(place, _mm512_set1_ps(31)));
    const __mmask16 above = _mm512_cmp_ps_mask(x, _mm512_permutex2var_ps(t->low, cell, t->high), _CMP_GT_OQ);
    const __m512i code = _mm512_permutex2var_epi32(t->low_code, cell, t->high_code);
    return _mm512_mask_add_epi32(code, above, code, _mm512_set1_epi32(1));
}

CK_KERNEL void CK_NAME(nf4_encode)(const float *x, int64_t count, float reciprocal, uint8_t *codes) {
    const __m512 r = _mm512_set1_ps(reciprocal);
    const cells t = load_cells();
    int64_t i = 0;
    for (; i + 32 <= count; i += 32) {
        const __m512i a = nf4_cell_codes16(_mm512_mul_ps(_mm512_loadu_ps(x + i), r), &t);
        const __m512i b = nf4_cell_codes16(_mm512_mul_ps(_mm512_loadu_ps(x + i + 16), r), &t);
        // Words by fours: of a and of b in turn; a pair's even element is the low one.
        const __m512i words = _mm512_packus_epi32(a, b);
        const __m512i pairs = _mm512_or_si512(_mm512_slli_epi32(words, 4), _mm512_srli_epi32(words, 16));
        // The low byte of each 32 bits, and the pairs of a before those of b.
        const __m128i mixed = _mm512_cvtepi32_epi8(pairs);
        const __m128i order = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
        _mm_storeu_si128((__m128i *)(codes + i / 2), _mm_shuffle_epi8(mixed, order));
    }
    for (; i < count; i += 16) {
        int64_t left = count - i;
        __mmask16 mask = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
        __m512i c = nf4_cell_codes16(_mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), r), &t);
        // In each 64 bits the even element is low and the odd one high.
        __m512i pairs = _mm512_or_si512(_mm512_slli_epi64(c, 4), _mm512_srli_epi64(c, 32));
        __mmask8 bytes = left >= 16 ? 0xff : (__mmask8)((1u << left / 2) - 1);
        _mm512_mask_cvtepi64_storeu_epi8(codes + i / 2, bytes, pairs);
    }
}

CK_KERNEL void CK_NAME(nf4_decode)(
    const uint8_t *codes, int64_t count, const float *map, float scale, float *target) {
    const __m512 table = _mm512_mul_ps(_mm512_loadu_ps(map), _mm512_set1_ps(scale));
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
        // The look-up reads the low four bits of each 32: even elements need the byte shifted, odd ones do not.
        __m512i b = _mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)(codes + i / 2)));
        __m512i c = _mm512_or_si512(_mm512_srli_epi64(b, 4), _mm512_slli_epi64(b, 32));
        _mm512_storeu_ps(target + i, _mm512_permutexvar_ps(c, table));
    }
    for (; i < count; i += 2) {
        target[i] = map[codes[i / 2] >> 4] * scale;
        target[i + 1] = map[codes[i / 2] & 15] * scale;
    }
}

// MARK: Scales

// 256 values lie in 16 registers: eight look-ups of 32 by the low bits, of which the high bits choose one.
CK_KERNEL void CK_NAME(scales_in_registers)(const ck_nf4_tensor *tensor, int64_t first, int64_t count, float *scales) {
    __m512 t[16];
    CK_UNROLL for (int i = 0; i < 16; i++) t[i] = _mm512_loadu_ps(tensor->nested_map + 16 * i);
    for (int64_t run; count > 0; first += run, scales += run, count -= run) {
        const uint8_t *codes = tensor->scale_codes + first;
        float absmax;
        run = nested_run(tensor, first, count, &absmax);
        const __m512 factor = _mm512_set1_ps(absmax), term = _mm512_set1_ps(tensor->offset);
        int64_t i = 0;
        for (; i + 16 <= run; i += 16) {
            const __m512i c = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(codes + i)));
            __m512 v[8];
            CK_UNROLL for (int j = 0; j < 8; j++) v[j] = _mm512_permutex2var_ps(t[2 * j], c, t[2 * j + 1]);
            const __mmask16 bit5 = _mm512_test_epi32_mask(c, _mm512_set1_epi32(32));
            const __mmask16 bit6 = _mm512_test_epi32_mask(c, _mm512_set1_epi32(64));
            const __mmask16 bit7 = _mm512_test_epi32_mask(c, _mm512_set1_epi32(128));
            CK_UNROLL for (int j = 0; j < 8; j += 2) v[j] = _mm512_mask_mov_ps(v[j], bit5, v[j + 1]);
            CK_UNROLL for (int j = 0; j < 8; j += 4) v[j] = _mm512_mask_mov_ps(v[j], bit6, v[j + 2]);
            const __m512 value = _mm512_mask_mov_ps(v[0], bit7, v[4]);
            _mm512_storeu_ps(scales + i, _mm512_add_ps(_mm512_mul_ps(value, factor), term));
        }
        scales_of_run(codes + i, run - i, tensor->nested_map, absmax, tensor->offset, scales + i);
    }
}
#define CK_SCALES CK_NAME(scales_in_registers)

// MARK: Levels

#define CK_KEEP_LEVELS keep_levels_avx512
CK_INLINE void keep_levels_avx512(const floats *x, const ck_levels *levels, ints *bits) {
    __m512i code = nf4_codes16(_mm512_loadu_ps(x), _mm512_loadu_ps(levels->thresholds));
    _mm512_storeu_ps(bits, _mm512_permutexvar_ps(code, _mm512_loadu_ps(levels->map)));
}

// MARK: Row product

enum {
    STEP = 128,    // elements per step: 64 bytes of codes, 8 nibbles in each of 16 lanes
    CHUNK = 4096,  // columns at a time: 16 KiB of prepared x on the stack
};

// x in the order in which the look-up below yields weights: for each run of 128, shift k = 0 ... 7 of the
// sixteen 32-bit words, whose nibble k is element 8 lane + (k ^ 1).
CK_INLINE void prepare_x(const float *x, int64_t count, float *prepared) {
    for (int64_t base = 0; base < count; base += STEP)
        for (int k = 0; k < 8; k++)
            for (int lane = 0; lane < 16; lane++) {
                int64_t from = base + 8 * lane + (k ^ 1);
                *prepared++ = from < count ? x[from] : 0;
            }
}

CK_INLINE __m512 step_product(__m512 map, __m512i codes, const float *x) {
    __m512 a = _mm512_mul_ps(_mm512_permutexvar_ps(codes, map), _mm512_loadu_ps(x));
    __m512 b = _mm512_mul_ps(_mm512_permutexvar_ps(_mm512_srli_epi32(codes, 4), map), _mm512_loadu_ps(x + 16));
    a = _mm512_fmadd_ps(_mm512_permutexvar_ps(_mm512_srli_epi32(codes, 8), map), _mm512_loadu_ps(x + 32), a);
    b = _mm512_fmadd_ps(_mm512_permutexvar_ps(_mm512_srli_epi32(codes, 12), map), _mm512_loadu_ps(x + 48), b);
    a = _mm512_fmadd_ps(_mm512_permutexvar_ps(_mm512_srli_epi32(codes, 16), map), _mm512_loadu_ps(x + 64), a);
    b = _mm512_fmadd_ps(_mm512_permutexvar_ps(_mm512_srli_epi32(codes, 20), map), _mm512_loadu_ps(x + 80), b);
    a = _mm512_fmadd_ps(_mm512_permutexvar_ps(_mm512_srli_epi32(codes, 24), map), _mm512_loadu_ps(x + 96), a);
    b = _mm512_fmadd_ps(_mm512_permutexvar_ps(_mm512_srli_epi32(codes, 28), map), _mm512_loadu_ps(x + 112), b);
    return _mm512_add_ps(a, b);
}

CK_KERNEL void nf4_multiply_avx512(
    const ck_nf4_tensor *tensor, int64_t columns, int64_t first_row, int64_t rows, const float *x, float *y) {
    const __m512 map = _mm512_loadu_ps(tensor->map);
    const int64_t block = tensor->block;
    // A lane holds 8 elements, so it is of block lane / (block / 8) of its step.
    int32_t lanes[16];
    for (int i = 0; i < 16; i++) lanes[i] = (int32_t)(8 * i / (block < STEP ? block : STEP));
    const __m512i spread = _mm512_loadu_si512(lanes);
    float prepared[CHUNK], scales[CHUNK / 32 + 4] = {0};
    for (int64_t r = 0; r < rows; r++) y[r] = 0;
    for (int64_t start = 0; start < columns; start += CHUNK) {
        const int64_t width = columns - start < CHUNK ? columns - start : CHUNK;
        const int64_t steps = width / STEP, blocks = width / block, rest = width % STEP;
        prepare_x(x + start, width, prepared);
        for (int64_t r = 0; r < rows; r++) {
            const int64_t element = (first_row + r) * columns + start;
            const uint8_t *codes = tensor->codes + element / 2;
            ck_nf4_scales(tensor, element / block, blocks, scales);
            __m512 sum = _mm512_setzero_ps();
            for (int64_t s = 0; s < steps; s++) {
                __m512i c = _mm512_loadu_si512(codes + s * STEP / 2);
                __m512 four = _mm512_castps128_ps512(_mm_loadu_ps(scales + s * STEP / block));
                __m512 product = step_product(map, c, prepared + s * STEP);
                sum = _mm512_fmadd_ps(product, _mm512_permutexvar_ps(spread, four), sum);
            }
            if (rest) {  // blocks of 32 or 64; lanes beyond them have x = 0, and finite scales
                for (int i = 0; i < 4; i++) scales[blocks + i] = 0;
                __m512i c = _mm512_maskz_loadu_epi32((__mmask16)((1u << rest / 8) - 1), codes + steps * STEP / 2);
                __m512 four = _mm512_castps128_ps512(_mm_loadu_ps(scales + steps * STEP / block));
                __m512 product = step_product(map, c, prepared + steps * STEP);
                sum = _mm512_fmadd_ps(product, _mm512_permutexvar_ps(spread, four), sum);
            }
            y[r] += _mm512_reduce_add_ps(sum);
        }
    }
}
