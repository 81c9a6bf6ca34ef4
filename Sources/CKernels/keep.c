// Rounding a change of 4-bit weights onto their own grid: what surrounds the loops of loops_keep.h.
#include "table.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

// Scales below this have reciprocals and products that leave the range of float32.
static const float least_scale = 0x1p-100f;

bool ck_keep_levels(const float *map, ck_levels *levels) {
    memcpy(levels->map, map, sizeof levels->map);
    levels->first = (int32_t)ck_bits(map[0]);
    levels->thresholds[15] = INFINITY;
    for (int k = 0; k < 15; k++) {
        if (!(map[k] < map[k + 1])) return false;
        levels->thresholds[k] = (map[k] + map[k + 1]) / 2;
        levels->exchange[k] = (int32_t)(ck_bits(map[k]) ^ ck_bits(map[k + 1]));
    }
    const float largest = fmaxf(fabsf(map[0]), fabsf(map[15]));
    // The sum level + t step and its terms are rounded.
    const float slack = largest * 0x1p-22f;
    for (int k = 0; k < 16; k++) {
        const float up = k < 15 ? levels->thresholds[k] - map[k] : INFINITY;
        const float down = k > 0 ? map[k] - levels->thresholds[k - 1] : INFINITY;
        const float gap = fminf(up, down) - slack;
        // A finite one: a step of 0 must give a rate of 0.
        levels->inverse[k] = gap > 1e-30f ? 1.001f / gap : 1e30f;
    }
    return isfinite(map[0]) && isfinite(map[15]);
}

// What a map of 16 numbers has for the codes. Any start, any count.
static void look_up(const ck_nf4_tensor *tensor, const float *map, int64_t start, int64_t count, float *values) {
    const uint8_t *codes = tensor->codes + start / 2;
    if (start & 1) {
        *values++ = map[*codes++ & 15];
        count--;
    }
    ck_kernels.nf4_decode(codes, count & ~(int64_t)1, map, 1, values);
    if (count & 1) values[count - 1] = map[codes[count / 2] >> 4];
}

enum { LANES = 8, VECTOR = 16, MAX_BLOCK = 4096, BATCH = 64 };

void ck_keep_prepare(
    const ck_nf4_tensor *tensor, int64_t start, int64_t count, float unit, const float *delta, bool wants_sums,
    ck_keep_run *run) {
    double sums[3 * LANES] = {0};
    float scales[BATCH];
    const int64_t first = start / tensor->block, blocks = (start + count - 1) / tensor->block + 1 - first;
    for (int64_t b = 0, done = 0; done < count; b++) {
        if (b % BATCH == 0)
            ck_nf4_scales(tensor, first + b, blocks - b < BATCH ? blocks - b : BATCH, scales);
        const int64_t next = (first + b + 1) * tensor->block - start, stop = next < count ? next : count;
        // A block without a usable scale stays as it is: its elements cannot go anywhere.
        const float scale = scales[b % BATCH];
        const bool usable = fabsf(scale) >= least_scale && isfinite(scale);
        const float reciprocal = usable ? 1 / scale : 0, s = usable ? scale * unit : 0;
        look_up(tensor, tensor->map, start + done, stop - done, run->level + done);
        ck_kernels.keep_fill(
            run->level + done, delta + done, reciprocal, s, unit, stop - done, run->step + done, run->scale + done,
            run->delta + done, wants_sums ? sums : NULL);
        done = stop;
    }
    for (int64_t done = 0; done < count; done += MAX_BLOCK) {
        float inverse[MAX_BLOCK];
        const int64_t size = count - done < MAX_BLOCK ? count - done : MAX_BLOCK;
        look_up(tensor, run->levels.inverse, start + done, size, inverse);
        ck_kernels.keep_rates(run->step + done, inverse, size, run->rate + done / VECTOR);
    }
    run->count = count;
    run->squared_weight = run->product = run->squared_delta = 0;
    for (int j = 0; j < LANES; j++) {
        run->squared_weight += sums[j];
        run->product += sums[LANES + j];
        run->squared_delta += sums[2 * LANES + j];
    }
}

ck_keep_sums ck_keep_measure(const ck_keep_run *run, float t) { return ck_kernels.keep_sums(run, t); }

void ck_keep_encode(const ck_keep_run *run, float t, uint8_t *codes) { ck_kernels.keep_codes(run, t, codes); }

void ck_keep_pack(const uint8_t *codes, int64_t count, uint8_t *packed) { ck_kernels.keep_pack(codes, count, packed); }

// MARK: Scales that are too small

typedef struct {
    float scale;
    int32_t code;  // of a double-quantized one
} fitted_scale;

// The scale nearest to `wanted` that a block can have.
static fitted_scale nearest(const ck_nf4_tensor *tensor, int64_t block, float wanted) {
    if (tensor->absmax) return (fitted_scale){wanted, 0};
    const float absmax = ck_load_f32(tensor->nested_absmax, block / tensor->nested_block);
    const int32_t code = ck_kernels.nearest_scale(tensor->nested_map, absmax, tensor->offset, wanted);
    if (code < 0) return (fitted_scale){0, 0};
    const float product = tensor->nested_map[code] * absmax;
    return (fitted_scale){product + tensor->offset, code};
}

void ck_keep_fit(
    const ck_nf4_tensor *tensor, const ck_levels *levels, int64_t start, int64_t count, const float *changes,
    uint8_t *codes, uint8_t *scale_codes, float *absmax) {
    float scales[BATCH], level[MAX_BLOCK], target[MAX_BLOCK];
    uint8_t fitted[MAX_BLOCK];
    const int64_t block = tensor->block, first = start / block, blocks = (count + block - 1) / block;
    for (int64_t b = 0; b < blocks; b++) {
        if (b % BATCH == 0) ck_nf4_scales(tensor, first + b, blocks - b < BATCH ? blocks - b : BATCH, scales);
        const int64_t at = b * block, size = count - at < block ? count - at : block;
        const float scale = scales[b % BATCH];
        look_up(tensor, tensor->map, start + at, size, level);
        const float largest = ck_float(ck_kernels.merge_target(level, scale, false, changes + at, size, target));
        // A sixteenth: the largest level rounds no worse than its neighbours until then.
        if (!(largest > fabsf(scale) * 1.0625f) || !isfinite(largest)) continue;
        const fitted_scale found = nearest(tensor, first + b, largest);
        if (!(found.scale >= least_scale) || found.scale == scale) continue;
        for (int64_t i = 0; i < size; i++) level[i] = levels->map[codes[at + i]];
        const ck_keep_fit_errors errors =
            ck_kernels.keep_refit(target, level, size, scale, found.scale, levels, fitted);
        if (!(errors.after < errors.before)) continue;
        memcpy(codes + at, fitted, (size_t)size);
        if (tensor->absmax)
            absmax[first + b] = found.scale;
        else
            scale_codes[first + b] = (uint8_t)found.code;
    }
}
