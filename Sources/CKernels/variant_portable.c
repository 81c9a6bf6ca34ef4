// The variant that runs everywhere; on arm64 its loops already compile to NEON.
#define CK_VARIANT portable
#define CK_VARIANT_NAME "portable"
#define CK_TARGET
#define CK_HAS_F16C 0
#define CK_HAS_NEON 0
#define CK_NF4_MULTIPLY NULL
#define CK_TILE_ROWS 3
#define CK_TILE_STRIPS 1
#define CK_ATTENTION_SUMS 4

#include "loops.h"
#include "nf4_portable.h"
#include "int16_portable.h"
#include "dynamic8_portable.h"
#include "loops_table.h"
