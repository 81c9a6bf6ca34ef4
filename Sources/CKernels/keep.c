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
    return isfinite(map[0]) && isfinite(map[15]);
}

// Any start, any count.
static void decode_levels(const ck_nf4_tensor *tensor, int64_t start, int64_t count, float *level) {
    const uint8_t *codes = tensor->codes + start / 2;
    if (start & 1) {
        *level++ = tensor->map[*codes++ & 15];
        count--;
    }
    ck_kernels.nf4_decode(codes, count & ~(int64_t)1, tensor->map, 1, level);
    if (count & 1) level[count - 1] = tensor->map[codes[count / 2] >> 4];
}

enum { WIDTH = 8 };

// The sums in lanes, so that they do not wait for each other.
typedef struct {
    double weight[WIDTH], product[WIDTH], delta[WIDTH];
} lanes;

static inline void fill(
    ck_keep_run *run, int64_t first, int width, const float *change, float reciprocal, float scale, float unit,
    lanes *sums) {
    for (int j = 0; j < width; j++) {
        const float d = change[first + j] * unit;
        run->step[first + j] = change[first + j] * reciprocal;
        run->scale[first + j] = scale;
        run->delta[first + j] = d;
        const double w = (double)(run->level[first + j] * scale), e = (double)d;
        sums->weight[j] += w * w;
        sums->product[j] += w * e;
        sums->delta[j] += e * e;
    }
}

void ck_keep_prepare(
    const ck_nf4_tensor *tensor, int64_t start, int64_t count, float unit, const float *delta, ck_keep_run *run) {
    run->count = count;
    run->squared_weight = run->product = run->squared_delta = 0;
    lanes sums = {0};
    int64_t done = 0;
    while (done < count) {
        const int64_t block = (start + done) / tensor->block, next = (block + 1) * tensor->block;
        const int64_t stop = next - start < count ? next - start : count;
        float scale;
        ck_nf4_scales(tensor, block, 1, &scale);
        // A block without a usable scale stays as it is: its elements cannot go anywhere.
        const bool usable = fabsf(scale) >= least_scale && isfinite(scale);
        const float reciprocal = usable ? 1 / scale : 0, s = usable ? scale * unit : 0;
        decode_levels(tensor, start + done, stop - done, run->level + done);
        for (; done + WIDTH <= stop; done += WIDTH) fill(run, done, WIDTH, delta, reciprocal, s, unit, &sums);
        if (done < stop) fill(run, done, (int)(stop - done), delta, reciprocal, s, unit, &sums);
        done = stop;
    }
    for (int j = 0; j < WIDTH; j++) {
        run->squared_weight += sums.weight[j];
        run->product += sums.product[j];
        run->squared_delta += sums.delta[j];
    }
}

ck_keep_sums ck_keep_measure(const ck_keep_run *run, float t) { return ck_kernels.keep_sums(run, t); }

void ck_keep_encode(const ck_keep_run *run, float t, uint8_t *codes) { ck_kernels.keep_codes(run, t, codes); }
