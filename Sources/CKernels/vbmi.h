// For processors that have VBMI beside VNNI (Ice Lake, Zen 4 and later): tables of 256 bytes in four registers. What is here
// takes the place of kernels of the variant avx512vnni.

#define CK_VBMI __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")))
#define CK_VBMI_INLINE static inline CK_VBMI __attribute__((always_inline))

typedef struct {
    __m512i part[4];
} byte_table;

CK_VBMI_INLINE byte_table load_bytes(const uint8_t *bytes) {
    byte_table t;
    for (int i = 0; i < 4; i++) t.part[i] = _mm512_loadu_si512(bytes + 64 * i);
    return t;
}

// Two look-ups among 128 bytes make one among 256.
CK_VBMI_INLINE __m512i look_up_bytes(__m512i codes, byte_table t) {
    const __m512i a = _mm512_permutex2var_epi8(t.part[0], codes, t.part[1]);
    const __m512i b = _mm512_permutex2var_epi8(t.part[2], codes, t.part[3]);
    return _mm512_mask_mov_epi8(a, _mm512_movepi8_mask(codes), b);
}

#include "dynamic8_vbmi.h"
#include "nf4_vbmi.h"

void ck_use_vbmi(ck_table *table) {
    table->scales = scales_vbmi;
    table->dynamic8_order = (ck_int16_order){halves_of_lanes, false};
    table->dynamic8_row_products = dynamic8_row_products_vbmi;
}
