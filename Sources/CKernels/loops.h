// The kernels that are the same source for every instruction set: loops over 16-lane vectors, which the
// compiler lowers to two SSE, NEON or AVX2 registers or one of AVX-512. Included once by each
// loops_*.c, which defines CK_VARIANT (a suffix) and CK_TARGET (a function attribute).
//
// Sums keep 64 partial sums and add them in a fixed order, so a result depends on the count alone.
#include "table.h"

#include <math.h>

#define CK_JOIN_(a, b) a##_##b
#define CK_JOIN(a, b) CK_JOIN_(a, b)
#define CK_NAME(name) CK_JOIN(name, CK_VARIANT)
#define CK_INLINE static inline CK_TARGET __attribute__((always_inline))
#define CK_KERNEL static CK_TARGET

// Sums in an array stay in registers where every loop over them is unrolled.
#define CK_UNROLL _Pragma("clang loop unroll(full)")

enum { LANES = 16 };
typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));
typedef uint32_t words __attribute__((vector_size(64)));
typedef uint16_t halves __attribute__((vector_size(32)));
typedef int16_t shorts __attribute__((vector_size(32)));
typedef uint8_t bytes16 __attribute__((vector_size(16)));

// Vectors go through pointers: by value they would have no ABI where the registers are narrower.
#define LOAD(v, p) memcpy(&(v), (p), sizeof(v))
#define STORE(p, v) memcpy((p), &(v), sizeof(v))
#define SPLAT(type, value) ((type){0} + (value))

#include "loops_convert.h"
#include "loops_products.h"
#include "loops_int8.h"
#include "loops_panels.h"
#include "loops_strips.h"
#include "loops_functions.h"
#include "loops_attention.h"
#include "loops_attention_parts.h"
#include "loops_low_rank.h"
#include "loops_adamw.h"
#include "loops_merge.h"
