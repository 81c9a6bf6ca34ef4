// What the kernels of attention share.
#ifndef CRAYON_ATTENTION_H
#define CRAYON_ATTENTION_H

#include "table.h"

// The most rows of a tile of registers, in any variant.
enum { CK_ATTENTION_TILE = 8 };

typedef struct {
    int64_t first, end;
} ck_span;

// The positions that a token sees.
static inline ck_span ck_visible(const ck_attention *attention, int64_t token) {
    if (!attention->is_causal) return (ck_span){0, attention->positions};
    const int64_t end = attention->position + token + 1, first = end - attention->window;
    return (ck_span){first > 0 ? first : 0, end};
}

// What of a span lies in `count` positions from `start` on, counted from there.
static inline ck_span ck_within(ck_span span, int64_t start, int64_t count) {
    const int64_t first = span.first - start, end = span.end - start;
    return (ck_span){first > 0 ? first : 0, end < count ? end : count};
}

// Filled up to whole vectors.
static inline int64_t ck_whole(int64_t count) { return (count + CK_STRIP - 1) / CK_STRIP * CK_STRIP; }

#endif
