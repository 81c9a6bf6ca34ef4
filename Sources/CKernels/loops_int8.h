// Rows of 8-bit integers with one float scale each: a value is code * scale. Part of loops.h.

CK_INLINE void load_bytes_i8(floats *out, const void *source) {
    typedef int8_t codes16 __attribute__((vector_size(16)));
    codes16 raw;
    LOAD(raw, source);
    *out = __builtin_convertvector(raw, floats);
}

CK_KERNEL void CK_NAME(i8_decode)(const int8_t *codes, int64_t count, float scale, float *target) {
    for (int64_t i = 0; i < count; i++) target[i] = (float)codes[i] * scale;
}

// The same bits in every variant: a division and a rounding, nothing that could be fused.
CK_KERNEL float CK_NAME(i8_encode)(const float *x, int64_t count, int8_t *codes) {
    const uint32_t largest = CK_NAME(absmax_bits)(x, count);
    if (largest >= 0x7f800000) {
        // Zeros times a NaN are NaNs: what is not finite does not turn into numbers.
        memset(codes, 0, (size_t)count);
        return ck_float(0x7fc00000);
    }
    const float scale = ck_float(largest) / 127.0f;
    // A denormal scale has too few bits for the codes to stay within 127; so small a row is zero.
    if (scale < 0x1p-126f) {
        memset(codes, 0, (size_t)count);
        return 0;
    }
    for (int64_t i = 0; i < count; i++) {
        // Adding and taking off 1.5 * 2^23 rounds to the nearest integer, ties to even.
        float rounded = x[i] / scale + 0x1.8p23f;
        codes[i] = (int8_t)(ck_bits(rounded) & 0xff);
    }
    return scale;
}
