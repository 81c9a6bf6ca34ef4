// Conversions between float32, the 16-bit types and 8-bit codes. Part of loops.h.

// A half's exponent and mantissa moved into place make a float 2^112 too small, which one exact
// multiplication repairs, denormals included; infinities and NaNs need the top exponent put back.
CK_INLINE float half_to_float(uint16_t half) {
    uint32_t magnitude = (uint32_t)(half & 0x7fff) << 13;
    float value = ck_float(magnitude) * 0x1p112f;
    uint32_t bits = ck_bits(value);
    if (magnitude >= 0x0f800000) bits |= 0x7f800000;
    if (magnitude > 0x0f800000) bits |= 0x00400000;
    return ck_float(bits | (uint32_t)(half & 0x8000) << 16);
}

CK_INLINE uint16_t float_to_half(float value) {
    uint32_t bits = ck_bits(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x1ff));
    if (magnitude >= 0x47800000) return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) {
        // Below 2^-14: adding 0.5 leaves the result's bits, rounded to even, in the last ten.
        return (uint16_t)(sign | (ck_bits(ck_float(magnitude) + 0.5f) - 0x3f000000));
    }
    uint32_t rounded = magnitude - 0x38000000 + 0x0fff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | rounded >> 13);
}

CK_INLINE void load_halves_f16(floats *out, const void *source) {
#if CK_HAS_F16C
    __m256 low = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)source));
    __m256 high = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)source + 1));
    memcpy(out, &low, 32);
    memcpy((char *)out + 32, &high, 32);
#elif CK_HAS_NEON
    for (int i = 0; i < LANES; i += 4) {
        uint16x4_t raw;
        memcpy(&raw, (const char *)source + 2 * i, sizeof raw);
        const float32x4_t four = vcvt_f32_f16(vreinterpret_f16_u16(raw));
        memcpy((char *)out + 4 * i, &four, sizeof four);
    }
#else
    uint16_t raw[LANES];
    memcpy(raw, source, sizeof raw);
    for (int i = 0; i < LANES; i++) (*out)[i] = half_to_float(raw[i]);
#endif
}

CK_INLINE void load_halves_bf16(floats *out, const void *source) {
    halves raw;
    LOAD(raw, source);
    words bits = __builtin_convertvector(raw, words) << 16;
    STORE(out, bits);
}

CK_KERNEL void CK_NAME(f16_to_f32)(const void *source, int64_t count, float *target) {
    const char *p = source;
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        floats v;
        load_halves_f16(&v, p + 2 * i);
        STORE(target + i, v);
    }
    for (; i < count; i++) {
        uint16_t raw;
        memcpy(&raw, p + 2 * i, 2);
        target[i] = half_to_float(raw);
    }
}

CK_KERNEL void CK_NAME(bf16_to_f32)(const void *source, int64_t count, float *target) {
    const char *p = source;
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        floats v;
        load_halves_bf16(&v, p + 2 * i);
        STORE(target + i, v);
    }
    for (; i < count; i++) {
        uint16_t raw;
        memcpy(&raw, p + 2 * i, 2);
        target[i] = ck_float((uint32_t)raw << 16);
    }
}

CK_KERNEL void CK_NAME(f32_to_f16)(const float *source, int64_t count, void *target) {
    char *p = target;
    int64_t i = 0;
#if CK_HAS_F16C
    for (; i + 8 <= count; i += 8)
        _mm_storeu_si128((__m128i *)(p + 2 * i), _mm256_cvtps_ph(_mm256_loadu_ps(source + i), 0));
#elif CK_HAS_NEON
    for (; i + 4 <= count; i += 4) {
        const uint16x4_t raw = vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(source + i)));
        memcpy(p + 2 * i, &raw, sizeof raw);
    }
#endif
    for (; i < count; i++) {
        uint16_t raw = float_to_half(source[i]);
        memcpy(p + 2 * i, &raw, 2);
    }
}

CK_KERNEL void CK_NAME(f32_to_bf16)(const float *source, int64_t count, void *target) {
    char *p = target;
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        words bits;
        LOAD(bits, source + i);
        words rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
        words quiet = bits >> 16 | 0x40;
        words nan = (words)((bits & 0x7fffffff) > 0x7f800000);
        halves raw = __builtin_convertvector((rounded & ~nan) | (quiet & nan), halves);
        STORE(p + 2 * i, raw);
    }
    for (; i < count; i++) {
        uint32_t bits = ck_bits(source[i]);
        bool nan = (bits & 0x7fffffff) > 0x7f800000;
        uint16_t raw = (uint16_t)(nan ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
        memcpy(p + 2 * i, &raw, 2);
    }
}

CK_KERNEL uint32_t CK_NAME(absmax_bits)(const float *x, int64_t count) {
    // As integers, so that NaN and infinity come out on top and denormals count whatever the mode.
    ints a = {0}, b = {0};
    int64_t i = 0;
    for (; i + 2 * LANES <= count; i += 2 * LANES) {
        ints u, v;
        LOAD(u, x + i);
        LOAD(v, x + i + LANES);
        a = __builtin_elementwise_max(a, u & 0x7fffffff);
        b = __builtin_elementwise_max(b, v & 0x7fffffff);
    }
    uint32_t most = (uint32_t)__builtin_reduce_max(__builtin_elementwise_max(a, b));
    for (; i < count; i++) {
        uint32_t bits = ck_bits(x[i]) & 0x7fffffff;
        if (bits > most) most = bits;
    }
    return most;
}

// The reference computes trunc(fma((s + 1) * 0.5, 65535, 0.5)). (s + 1) * 0.5 is a multiple of 2^-25 no larger than 1,
// so the product and sum are exact in double and rounding them to float once is that very FMA.
CK_KERNEL void CK_NAME(dynamic8_cells)(const float *x, int64_t count, float reciprocal, uint16_t *cells) {
    for (int64_t i = 0; i < count; i++) {
        float s = x[i] * reciprocal;
        s = s < -1 ? -1 : s;
        s = s > 1 ? 1 : s;
        float u = (s + 1) * 0.5f;
        cells[i] = (uint16_t)(int32_t)(float)((double)u * 65535.0 + 0.5);
    }
}

// How many of `count` blocks from `first` on have one scale of their scales.
CK_INLINE int64_t nested_run(const ck_nf4_tensor *tensor, int64_t first, int64_t count, float *absmax) {
    const int64_t nested = first / tensor->nested_block, left = (nested + 1) * tensor->nested_block - first;
    *absmax = ck_load_f32(tensor->nested_absmax, nested);
    return count < left ? count : left;
}

CK_INLINE void scales_of_run(
    const uint8_t *codes, int64_t count, const float *map, float absmax, float offset, float *scales) {
#pragma STDC FP_CONTRACT OFF
    for (int64_t i = 0; i < count; i++) {
        float product = map[codes[i]] * absmax;
        scales[i] = product + offset;
    }
}

CK_KERNEL void CK_NAME(dynamic8_decode)(
    const uint8_t *codes, int64_t count, const float *map, float scale, float *target) {
    for (int64_t i = 0; i < count; i++) target[i] = map[codes[i]] * scale;
}
