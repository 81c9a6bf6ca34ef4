// NF4 of whole blocks of 64, the size that nearly everybody uses: conversion, absmax and codes of a block without leaving the
// registers and the first-level cache. After the variant's NF4 kernels.
#pragma STDC FP_CONTRACT OFF

enum { QUANTIZED_BLOCK = 64 };

// True where the block was finite.
CK_INLINE bool quantize_block(const floats *v, uint8_t *codes, float *absmax) {
    // As integers, so that NaN and infinity come out on top.
    ints most = (ints)v[0] & 0x7fffffff;
    CK_UNROLL for (int i = 1; i < QUANTIZED_BLOCK / LANES; i++)
        most = __builtin_elementwise_max(most, (ints)v[i] & 0x7fffffff);
    const uint32_t bits = (uint32_t)__builtin_reduce_max(most);
    if (bits >= 0x7f800000) return false;
    const float largest = ck_float(bits);
    float x[QUANTIZED_BLOCK];
    CK_UNROLL for (int i = 0; i < QUANTIZED_BLOCK / LANES; i++) STORE(x + i * LANES, v[i]);
    CK_NAME(nf4_encode)(x, QUANTIZED_BLOCK, 1.0f / (largest < CK_LEAST_ABSMAX ? CK_LEAST_ABSMAX : largest), codes);
    *absmax = largest;
    return true;
}

#define CK_QUANTIZE_RUN(bytes, load)                                                                  \
    for (int64_t b = 0; b < blocks; b++) {                                                            \
        floats v[QUANTIZED_BLOCK / LANES];                                                            \
        CK_UNROLL for (int i = 0; i < QUANTIZED_BLOCK / LANES; i++)                                   \
            load(&v[i], (const char *)source + (b * QUANTIZED_BLOCK + i * LANES) * bytes);            \
        if (!quantize_block(v, codes + b * QUANTIZED_BLOCK / 2, absmax + b)) return b;                \
    }

#ifdef CK_HAS_AVX512
#include "nf4_bf16_avx512.h"
#endif

CK_KERNEL int64_t CK_NAME(nf4_quantize64)(
    const void *source, ck_type type, int64_t blocks, uint8_t *codes, float *absmax) {
#ifdef CK_HAS_AVX512
    if (type == CK_BF16) return nf4_quantize64_bf16(source, blocks, codes, absmax);
#endif
    if (type == CK_BF16) CK_QUANTIZE_RUN(2, load_halves_bf16)
    else if (type == CK_F16) CK_QUANTIZE_RUN(2, load_halves_f16)
    else CK_QUANTIZE_RUN(4, load_floats)
    return -1;
}
