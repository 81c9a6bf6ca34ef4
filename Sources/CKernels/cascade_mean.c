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

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

static void add_rows(const float *values, int64_t rows, lanes sums[WAYS]) {
    lanes own[WAYS];
    memcpy(own, sums, sizeof own);
    for (int64_t i = 0; i < rows; i++, values += WAYS * LANES)
        for (int k = 0; k < WAYS; k++) {
            lanes v;
            memcpy(&v, values + k * LANES, sizeof v);
            own[k] += v;
        }
    memcpy(sums, own, sizeof own);
}

// Sums `size` items of LANES in WAYS interleaved accumulators, each a cascade of LEVELS: a level is emptied into the next every
// `step` additions, so that numbers of like size meet.
static void cascade(const float *values, int64_t size, float total[LANES]) {
    lanes sums[LEVELS][WAYS];
    memset(sums, 0, sizeof sums);
    const int64_t rows = size / WAYS;
    int64_t power = ceil_log2(rows) / LEVELS;
    if (power < 4) power = 4;
    const int64_t step = (int64_t)1 << power;

    int64_t i = 0;
    while (i + step <= rows) {
        add_rows(values + i * WAYS * LANES, step, sums[0]);
        i += step;
        for (int64_t level = 1; level < LEVELS; level++) {
            for (int k = 0; k < WAYS; k++) {
                sums[level][k] += sums[level - 1][k];
                sums[level - 1][k] = (lanes){0};
            }
            if (i & ((step - 1) << (level * power))) break;
        }
    }
    add_rows(values + i * WAYS * LANES, rows - i, sums[0]);
    for (int level = 1; level < LEVELS; level++)
        for (int k = 0; k < WAYS; k++) sums[0][k] += sums[level][k];

    for (int64_t item = rows * WAYS; item < size; item++) {
        lanes v;
        memcpy(&v, values + item * LANES, sizeof v);
        sums[0][0] += v;
    }
    for (int k = 1; k < WAYS; k++) sums[0][0] += sums[0][k];
    memcpy(total, &sums[0][0], sizeof sums[0][0]);
}

// The same of fewer than LANES values, which torch takes one by one.
static float few(const float *values, int64_t count) {
    float sums[WAYS] = {0};
    const int64_t whole = count / WAYS * WAYS;
    for (int64_t i = 0; i < whole; i++) sums[i % WAYS] += values[i];
    for (int64_t i = whole; i < count; i++) sums[0] += values[i];
    return sums[0] + sums[1] + sums[2] + sums[3];
}

float ck_cascade_mean(const float *values, int64_t count) {
    if (count < LANES) return few(values, count) / (float)count;
    float sums[LANES];
    cascade(values, count / LANES, sums);
    float total = 0;
    for (int64_t i = count / LANES * LANES; i < count; i++) total += values[i];
    for (int l = 0; l < LANES; l++) total += sums[l];
    return total / (float)count;
}
