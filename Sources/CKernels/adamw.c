// The update of AdamW with states in float32, or in 8-bit codes.
#include "dynamic8.h"

enum { BLOCK = 256 };

void ck_adamw_update(const ck_adamw *adamw, const float *g, int64_t count, float *p, float *m, float *v) {
    ck_kernels.adamw(adamw, g, count, p, m, v);
}

void ck_adamw_update8(
    const ck_adamw *adamw, ck_code_rule rule, const float *g, int64_t count, float *p, uint8_t *m_codes,
    float *m_absmax, uint8_t *v_codes, float *v_absmax) {
    ck_dynamic8_prepare();
    float m[BLOCK], v[BLOCK];
    for (int64_t start = 0; start < count; start += BLOCK, m_absmax++, v_absmax++) {
        const int64_t size = count - start < BLOCK ? count - start : BLOCK;
        ck_kernels.dynamic8_decode(m_codes + start, size, ck_dynamic_map, *m_absmax, m);
        ck_kernels.dynamic8_decode(v_codes + start, size, ck_unsigned_dynamic_map, *v_absmax, v);
        ck_kernels.adamw(adamw, g + start, size, p + start, m, v);
        *m_absmax = ck_float(ck_kernels.absmax_bits(m, size));
        *v_absmax = ck_float(ck_kernels.absmax_bits(v, size));
        ck_dynamic8_encode(m, size, *m_absmax, CK_DYNAMIC_SIGNED, rule, m_codes + start);
        ck_dynamic8_encode(v, size, *v_absmax, CK_DYNAMIC_UNSIGNED, rule, v_codes + start);
    }
}

double ck_square_sum(const float *x, int64_t count) { return ck_kernels.square_sum(x, count); }
