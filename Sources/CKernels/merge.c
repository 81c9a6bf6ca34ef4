// Merges into 4-bit weights, block by block, and what is reported of them.
//
// A block's report is made of sums over its levels, which fit into registers and know nothing of scales, and of its scales
// before and after, of which the latter are known when all blocks are done. With u and v levels before and after, s and t
// scales before and after, the change of an element is
//
//     v t - u s = (v - u) t + u (t - s),
//
// in which nothing cancels: most elements of a small change have v = u.
#include "table.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

enum { MAX_BLOCK = 4096, BATCH = 64, RUN = 512 };

// How many 4-bit codes differ in two runs of bytes.
static uint32_t changed_nibbles(const uint8_t *a, const uint8_t *b, int64_t bytes) {
    uint32_t changed = 0;
    for (int64_t i = 0; i < bytes; i += 8) {
        uint64_t x = 0, y = 0;
        if (bytes - i >= 8) {
            memcpy(&x, a + i, 8);
            memcpy(&y, b + i, 8);
        } else {
            memcpy(&x, a + i, (size_t)(bytes - i));
            memcpy(&y, b + i, (size_t)(bytes - i));
        }
        x ^= y;
        x |= x >> 2;
        x |= x >> 1;
        x &= 0x1111111111111111;
        x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
        changed += (uint32_t)((x * 0x0101010101010101) >> 56);
    }
    return changed;
}

// The levels of the codes; an odd count is filled up by the padding.
static void decode_levels(const uint8_t *codes, const float *map, int64_t count, float *level) {
    ck_kernels.nf4_decode(codes, count + (count & 1), map, 1, level);
}

static void record(
    const float *before, const float *after, const uint8_t *codes_before, const uint8_t *codes_after,
    const float *delta, int64_t count, ck_block_change *change) {
    *change = (ck_block_change){0};
    for (int64_t i = 0; i < count; i += RUN)
        ck_kernels.block_change(before + i, after + i, delta + i, count - i < RUN ? count - i : RUN, change);
    change->changed = changed_nibbles(codes_before, codes_after, (count + 1) / 2);
}

static bool is_finite_map(const float *map) {
    for (int k = 0; k < 16; k++)
        if (!isfinite(map[k])) return false;
    return true;
}

// A block's sums by the conversions, which know every kind of number.
static uint32_t target_by_conversion(
    const float *level, float scale, ck_type type, const float *delta, int64_t count, float *x) {
    uint16_t narrow[MAX_BLOCK];
    for (int64_t i = 0; i < count; i++) x[i] = level[i] * scale;
    if (type != CK_F32) {
        ck_from_f32(x, type, count, narrow);
        ck_to_f32(narrow, type, count, x);
    }
    ck_kernels.add(delta, x, count);
    return ck_kernels.absmax_bits(x, count);
}

int64_t ck_merge_requantize(
    const ck_nf4_tensor *base, ck_type type, int64_t start, int64_t count, const float *delta, uint8_t *codes,
    float *absmax, ck_block_change *changes) {
    float before[MAX_BLOCK], after[MAX_BLOCK], x[MAX_BLOCK], scales[BATCH];
    const int64_t block = base->block, first = start / block, blocks = (count + block - 1) / block;
    const bool direct = type != CK_F16 && is_finite_map(base->map);
    for (int64_t b = 0; b < blocks; b++) {
        if (b % BATCH == 0) ck_nf4_scales(base, first + b, blocks - b < BATCH ? blocks - b : BATCH, scales);
        const int64_t at = b * block, size = count - at < block ? count - at : block;
        const uint8_t *old = base->codes + (start + at) / 2;
        uint8_t *new = codes + at / 2;
        const float scale = scales[b % BATCH];
        decode_levels(old, base->map, size, before);
        const uint32_t largest = direct && isfinite(scale)
            ? ck_kernels.merge_target(before, scale, type == CK_BF16, delta + at, size, x)
            : target_by_conversion(before, scale, type, delta + at, size, x);
        if (largest >= 0x7f800000) {
            int64_t i = 0;
            while ((ck_bits(x[i]) & 0x7f800000) != 0x7f800000) i++;
            return at + i;
        }
        ck_nf4_quantize_block(x, size, block, largest, new, absmax + b);
        decode_levels(new, ck_nf4_map, size, after);
        record(before, after, old, new, delta + at, size, changes + b);
    }
    return -1;
}

void ck_merge_changes(
    const ck_nf4_tensor *before, const ck_nf4_tensor *after, int64_t start, int64_t count, const float *delta,
    ck_block_change *changes) {
    float u[MAX_BLOCK], v[MAX_BLOCK];
    const int64_t block = before->block;
    for (int64_t at = 0; at < count; at += block) {
        const int64_t size = count - at < block ? count - at : block;
        const uint8_t *old = before->codes + (start + at) / 2, *new = after->codes + (start + at) / 2;
        decode_levels(old, before->map, size, u);
        decode_levels(new, after->map, size, v);
        record(u, v, old, new, delta + at, size, changes++);
    }
}

// The largest change of an element of a block as float32 has it.
static float largest_change(
    const ck_nf4_tensor *before, const ck_nf4_tensor *after, int64_t start, int64_t count, float largest) {
    float u[MAX_BLOCK], v[MAX_BLOCK];
    ck_nf4_dequantize(before, start, count, CK_F32, u);
    ck_nf4_dequantize(after, start, count, CK_F32, v);
    for (int64_t i = 0; i < count; i++) {
        const float change = fabsf(v[i] - u[i]);
        if (change > largest) largest = change;
    }
    return largest;
}

static float largest_level(const float *map) {
    float largest = 0;
    for (int k = 0; k < 16; k++)
        if (fabsf(map[k]) > largest) largest = fabsf(map[k]);
    return largest;
}

void ck_add_block_changes(
    const ck_nf4_tensor *before, const ck_nf4_tensor *after, int64_t start, int64_t count,
    const ck_block_change *changes, ck_block_sums *total) {
    float old[BATCH], new[BATCH];
    const int64_t block = before->block, first = start / block, blocks = (count + block - 1) / block;
    const float level = largest_level(before->map);
    ck_block_sums all = *total;
    for (int64_t b = 0; b < blocks; b++, changes++) {
        if (b % BATCH == 0) {
            const int64_t batch = blocks - b < BATCH ? blocks - b : BATCH;
            ck_nf4_scales(before, first + b, batch, old);
            ck_nf4_scales(after, first + b, batch, new);
        }
        const float s = old[b % BATCH], t = new[b % BATCH];
        const double scale = (double)s, moved = (double)t, grown = moved - scale;
        const double uu = (double)changes->level_squared, dd = (double)changes->delta_squared;
        const double base = scale * scale * uu, base_delta = scale * (double)changes->level_delta;
        const double product = moved * (double)changes->move_delta + grown * (double)changes->level_delta;
        const double squared = moved * moved * (double)changes->move_squared
            + 2 * moved * grown * (double)changes->move_level + grown * grown * uu;
        ck_merge_sums *sums = &all.sums;
        sums->squared_base += base;
        sums->squared_delta += dd;
        sums->delta_change += product;
        sums->squared_change += squared;
        sums->squared_error += squared - 2 * product + dd;
        sums->squared_target += base + 2 * base_delta + dd;
        all.codes += changes->changed;
        all.scales += ck_bits(s) != ck_bits(t);
        // No element of the block changed by more than this, but for roundings; few blocks need a closer look.
        const float most = fabsf(t) * changes->largest_move + fabsf(t - s) * level;
        if (most * 1.0001f > sums->largest_change) {
            const int64_t at = b * block, size = count - at < block ? count - at : block;
            sums->largest_change = largest_change(before, after, start + at, size, sums->largest_change);
        }
    }
    *total = all;
}
