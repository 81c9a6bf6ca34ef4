// 8-bit weights with x in int16, with NEON: a table of 256 is looked up in four of 64.

#define CK_DYNAMIC8_ORDER {NULL, false}  // x as it comes

enum { LEVEL_TABLES = 4, TABLE_BYTES = 64 };

// The low and high bytes of 256 levels.
typedef struct {
    uint8_t bytes[2][LEVEL_TABLES * TABLE_BYTES];
} level_tables;

CK_INLINE void split_tables(const int16_t *levels, level_tables *tables) {
    for (int i = 0; i < LEVEL_TABLES * TABLE_BYTES; i += 16) {
        const uint8x16x2_t both = vld2q_u8((const uint8_t *)(levels + i));
        vst1q_u8(tables->bytes[0] + i, both.val[0]);
        vst1q_u8(tables->bytes[1] + i, both.val[1]);
    }
}

// The levels of 64 codes: w[0] and w[1] of the first 16, and so on. A code beyond a table leaves what another found.
CK_INLINE void levels_of_block(const level_tables *tables, const uint8_t *codes, int16x8_t w[8]) {
    uint8x16_t found[2][4], c[4];
    CK_UNROLL for (int i = 0; i < 4; i++) found[0][i] = found[1][i] = vdupq_n_u8(0);
    CK_UNROLL for (int i = 0; i < 4; i++) c[i] = vld1q_u8(codes + 16 * i);
    CK_UNROLL for (int t = 0; t < LEVEL_TABLES; t++) {
        CK_UNROLL for (int half = 0; half < 2; half++) {
            const uint8x16x4_t table = vld1q_u8_x4(tables->bytes[half] + t * TABLE_BYTES);
            CK_UNROLL for (int i = 0; i < 4; i++) found[half][i] = vqtbx4q_u8(found[half][i], table, c[i]);
        }
        CK_UNROLL for (int i = 0; i < 4; i++) c[i] = vsubq_u8(c[i], vdupq_n_u8(TABLE_BYTES));
    }
    CK_UNROLL for (int i = 0; i < 4; i++) {
        w[2 * i] = levels_of(found[0][i], found[1][i], false);
        w[2 * i + 1] = levels_of(found[0][i], found[1][i], true);
    }
}

CK_KERNEL void CK_NAME(dynamic8_levels)(
    const uint8_t *codes, int64_t count, const int16_t *levels, int16_t *target) {
    level_tables tables;
    split_tables(levels, &tables);
    for (int64_t at = 0; at < count; at += CK_INT16_BLOCK) {
        int16x8_t w[8];
        levels_of_block(&tables, codes + at, w);
        CK_UNROLL for (int i = 0; i < 8; i++) vst1q_s16(target + at + 8 * i, w[i]);
    }
}

CK_KERNEL void CK_NAME(dynamic8_row_products)(
    const uint8_t *codes, int64_t rows, int64_t blocks, const int16_t *levels, const float *scales,
    const ck_int16_rows_view *x, int count, float *y, int64_t y_stride) {
    level_tables tables;
    split_tables(levels, &tables);
    for (int64_t r = 0; r < rows; r++, scales += blocks) {
        float32x4_t total[CK_INT16_FEW] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
        for (int64_t b = 0; b < blocks; b++, codes += CK_INT16_BLOCK) {
            int16x8_t w[8];
            levels_of_block(&tables, codes, w);
            CK_UNROLL for (int i = 0; i < CK_INT16_FEW; i++) {
                if (i >= count) continue;  // known to be few, so that the sums stay in registers
                const int32x4_t sum = block_sums(w, x->q + i * x->stride + b * CK_INT16_BLOCK);
                const float scale = scales[b] * x->scales[i * x->scale_stride + b];
                total[i] = vfmaq_n_f32(total[i], vcvtq_f32_s32(sum), scale);
            }
        }
        CK_UNROLL for (int i = 0; i < CK_INT16_FEW; i++)
            if (i < count) y[i * y_stride + r] = vaddvq_f32(total[i]);
    }
}
