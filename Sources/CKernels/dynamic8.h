// Blocks of 8-bit codes, for the kernels that keep their own numbers in them.
#ifndef CRAYON_DYNAMIC8_H
#define CRAYON_DYNAMIC8_H

#include "table.h"

typedef enum { CK_DYNAMIC_SIGNED = 0, CK_DYNAMIC_UNSIGNED = 1 } ck_dynamic_kind;

// Before the first `ck_dynamic8_encode`.
void ck_dynamic8_prepare(void);

// The codes of one block, at most 4096 finite numbers whose largest magnitude is `absmax`.
void ck_dynamic8_encode(
    const float *z, int64_t count, float absmax, ck_dynamic_kind kind, ck_code_rule rule, uint8_t *codes);

#endif
