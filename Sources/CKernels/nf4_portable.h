// NF4 for one block, plainly: the definition that the other variants are held against.
#pragma STDC FP_CONTRACT OFF

// The number of thresholds below x, so that a tie takes the lower code.
CK_INLINE uint8_t nf4_code(float x) {
    uint8_t code = 0;
    for (int i = 0; i < 15; i++) code += x > ck_nf4_thresholds[i];
    return code;
}

CK_KERNEL void CK_NAME(nf4_encode)(const float *x, int64_t count, float reciprocal, uint8_t *codes) {
    for (int64_t i = 0; i < count; i += 2)
        codes[i / 2] = (uint8_t)(nf4_code(x[i] * reciprocal) << 4 | nf4_code(x[i + 1] * reciprocal));
}

CK_KERNEL void CK_NAME(nf4_decode)(
    const uint8_t *codes, int64_t count, const float *map, float scale, float *target) {
    float scaled[16];
    for (int i = 0; i < 16; i++) scaled[i] = map[i] * scale;
    for (int64_t i = 0; i < count; i += 2) {
        uint8_t pair = codes[i / 2];
        target[i] = scaled[pair >> 4];
        target[i + 1] = scaled[pair & 15];
    }
}
