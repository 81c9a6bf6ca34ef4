// The variant for x86-64 with AVX-512 and VNNI (Cascade Lake, Zen 4 and later), which adds products of integers up in one
// instruction.
#if defined(__x86_64__)
#include <immintrin.h>

#define CK_VARIANT avx512vnni
#define CK_VARIANT_NAME "avx512vnni"
#define CK_TARGET __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define CK_HAS_F16C 1
#define CK_HAS_NEON 0
#define CK_HAS_AVX512 1
#define CK_NF4_MULTIPLY nf4_multiply_avx512
#define CK_TILE_ROWS 8
#define CK_TILE_STRIPS 2
#define CK_ATTENTION_SUMS 16
#define CK_HAS_VNNI 1

#include "loops.h"
#include "nf4_avx512.h"
#include "int16_avx512.h"
#include "dynamic8_avx512.h"
#include "loops_table.h"
#include "vbmi.h"
#endif
