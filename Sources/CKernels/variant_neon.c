// The variant for arm64. The loops are the portable ones, which arm64 compiles to NEON; what looks tables up, multiplies
// int16 or converts float16 is written out.
#if defined(__aarch64__)
#include <arm_neon.h>

#define CK_VARIANT neon
#define CK_VARIANT_NAME "neon"
#define CK_TARGET
#define CK_HAS_F16C 0
#define CK_HAS_NEON 1
#define CK_NF4_MULTIPLY NULL
#define CK_TILE_ROWS 6
#define CK_TILE_STRIPS 1
#define CK_ATTENTION_SUMS 4

#include "loops.h"
#include "nf4_neon.h"
#include "int16_neon.h"
#include "dynamic8_neon.h"
#include "loops_table.h"
#endif
