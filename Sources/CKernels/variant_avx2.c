// The variant for x86-64 with AVX2, FMA and F16C (Haswell, Zen and later).
#if defined(__x86_64__)
#include <immintrin.h>

#define CK_VARIANT avx2
#define CK_VARIANT_NAME "avx2"
#define CK_TARGET __attribute__((target("avx2,fma,f16c")))
#define CK_HAS_F16C 1
#define CK_HAS_NEON 0
#define CK_NF4_MULTIPLY nf4_multiply_avx2
#define CK_TILE_ROWS 6
#define CK_TILE_STRIPS 1
#define CK_ATTENTION_SUMS 4

#include "loops.h"
#include "nf4_avx2.h"
#include "int16_avx2.h"
#include "dynamic8_avx2.h"
#include "loops_table.h"
#endif
