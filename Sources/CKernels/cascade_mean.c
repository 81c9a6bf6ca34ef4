// The mean of a float32 vector in the order of torch's CPU reduction with AVX2 on one thread, in plain
// C: the offset of double quantization must agree to the last bit on every machine.
#include "table.h"

#pragma STDC FP_CONTRACT OFF

enum { LEVELS = 4, WAYS = 4, LANES = 8 };

static int64_t ceil_log2(int64_t x) {
    int64_t bits = 0;
    while (((int64_t)1 << bits) < x) bits++;
    return bits;
}

// Sums a sequence of `size` items of `width` lanes in WAYS interleaved accumulators, each a cascade of
// LEVELS: a level is emptied into the next every `step` additions, so that numbers of like size meet.
static void cascade(const float *values, int64_t size, int64_t width, float out[LANES]) {
    float sums[LEVELS][WAYS][LANES];
    memset(sums, 0, sizeof sums);
    const int64_t rows = size / WAYS;
    int64_t power = ceil_log2(rows) / LEVELS;
    if (power < 4) power = 4;
    const int64_t step = (int64_t)1 << power;

    int64_t i = 0;
    while (i + step <= rows) {
        for (int64_t j = 0; j < step; j++, i++)
            for (int64_t k = 0; k < WAYS; k++)
                for (int64_t l = 0; l < width; l++) sums[0][k][l] += values[(i * WAYS + k) * width + l];
        for (int64_t level = 1; level < LEVELS; level++) {
            for (int64_t k = 0; k < WAYS; k++)
                for (int64_t l = 0; l < width; l++) {
                    sums[level][k][l] += sums[level - 1][k][l];
                    sums[level - 1][k][l] = 0;
                }
            if (i & ((step - 1) << (level * power))) break;
        }
    }
    for (; i < rows; i++)
        for (int64_t k = 0; k < WAYS; k++)
            for (int64_t l = 0; l < width; l++) sums[0][k][l] += values[(i * WAYS + k) * width + l];
    for (int64_t level = 1; level < LEVELS; level++)
        for (int64_t k = 0; k < WAYS; k++)
            for (int64_t l = 0; l < width; l++) sums[0][k][l] += sums[level][k][l];

    for (int64_t item = rows * WAYS; item < size; item++)
        for (int64_t l = 0; l < width; l++) sums[0][0][l] += values[item * width + l];
    for (int64_t k = 1; k < WAYS; k++)
        for (int64_t l = 0; l < width; l++) sums[0][0][l] += sums[0][k][l];
    memcpy(out, sums[0][0], sizeof sums[0][0]);
}

float ck_cascade_mean(const float *values, int64_t count) {
    float lanes[LANES];
    if (count < LANES) {
        cascade(values, count, 1, lanes);
        return lanes[0] / (float)count;
    }
    cascade(values, count / LANES, LANES, lanes);
    float total = 0;
    for (int64_t i = count / LANES * LANES; i < count; i++) total += values[i];
    for (int64_t l = 0; l < LANES; l++) total += lanes[l];
    return total / (float)count;
}
