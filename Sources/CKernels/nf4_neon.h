// NF4 for one block with NEON: a table of 64 bytes (16 floats) read by tbl with byte indices.
#pragma STDC FP_CONTRACT OFF

CK_KERNEL void CK_NAME(nf4_encode)(const float *x, int64_t count, float reciprocal, uint8_t *codes) {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        float32x4_t a = vmulq_n_f32(vld1q_f32(x + i), reciprocal), b = vmulq_n_f32(vld1q_f32(x + i + 4), reciprocal);
        uint32x4_t p = vdupq_n_u32(0), q = vdupq_n_u32(0);
        for (int t = 0; t < 15; t++) {
            float32x4_t threshold = vdupq_n_f32(ck_nf4_thresholds[t]);
            p = vsubq_u32(p, vcgtq_f32(a, threshold));  // minus the mask, which is -1
            q = vsubq_u32(q, vcgtq_f32(b, threshold));
        }
        uint16x8_t words = vcombine_u16(vmovn_u32(p), vmovn_u32(q));
        uint32x4_t pairs = vreinterpretq_u32_u16(words);  // low half: even element
        uint32x4_t packed = vorrq_u32(vshlq_n_u32(pairs, 4), vshrq_n_u32(pairs, 16));
        for (int j = 0; j < 4; j++) codes[i / 2 + j] = (uint8_t)packed[j];
    }
    for (; i < count; i += 2) {
        uint8_t pair[2] = {0, 0};
        for (int j = 0; j < 2; j++)
            for (int t = 0; t < 15; t++) pair[j] += x[i + j] * reciprocal > ck_nf4_thresholds[t];
        codes[i / 2] = (uint8_t)(pair[0] << 4 | pair[1]);
    }
}

CK_KERNEL void CK_NAME(nf4_decode)(
    const uint8_t *codes, int64_t count, const float *map, float scale, float *target) {
    float scaled[16];
    for (int i = 0; i < 16; i++) scaled[i] = map[i] * scale;
    uint8x16x4_t table = {{vld1q_u8((const uint8_t *)scaled), vld1q_u8((const uint8_t *)(scaled + 4)),
                           vld1q_u8((const uint8_t *)(scaled + 8)), vld1q_u8((const uint8_t *)(scaled + 12))}};
    const uint32x4_t within = vdupq_n_u32(0x03020100);
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        uint8x8_t packed = vreinterpret_u8_u32(vdup_n_u32(0));
        memcpy(&packed, codes + i / 2, 4);
        uint8x8_t nibbles = vzip1_u8(vshr_n_u8(packed, 4), vand_u8(packed, vdup_n_u8(15)));
        uint16x8_t wide = vmovl_u8(nibbles);
        uint32x4_t low = vmovl_u16(vget_low_u16(wide)), high = vmovl_u16(vget_high_u16(wide));
        // Code k is bytes 4k ..< 4k + 4 of the table.
        low = vaddq_u32(vmulq_n_u32(low, 0x04040404), within);
        high = vaddq_u32(vmulq_n_u32(high, 0x04040404), within);
        vst1q_u8((uint8_t *)(target + i), vqtbl4q_u8(table, vreinterpretq_u8_u32(low)));
        vst1q_u8((uint8_t *)(target + i + 4), vqtbl4q_u8(table, vreinterpretq_u8_u32(high)));
    }
    for (; i < count; i += 2) {
        target[i] = scaled[codes[i / 2] >> 4];
        target[i + 1] = scaled[codes[i / 2] & 15];
    }
}
