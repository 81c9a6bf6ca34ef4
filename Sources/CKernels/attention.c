// The public faces of attention.
#include "attention.h"

int64_t ck_attention_scratch(int64_t rows, int64_t head_size) {
    const int64_t width = ck_whole(head_size), keys = CK_ATTENTION_KEYS;
    const int64_t tile = CK_ATTENTION_TILE * (width + CK_STRIP + keys + CK_STRIP);
    // Strips of keys and of values, a block that is widened, a tile's queries and scores; sums and two numbers for each row.
    return keys * (2 * head_size + width) + tile + rows * (width + 2);
}

void ck_attention_block(const ck_attention *attention, float *scratch) {
    ck_kernels.attention_block(attention, scratch);
}

int64_t ck_attention_part_size(int64_t rows, int64_t head_size) { return rows * (CK_STRIP + ck_whole(head_size)); }

void ck_attention_part(const ck_attention *attention, int64_t part, float *result) {
    ck_kernels.attention_part(attention, part, result);
}

void ck_attention_merge(const ck_attention *attention, const float *results, int64_t stride) {
    ck_kernels.attention_merge(attention, results, stride);
}
