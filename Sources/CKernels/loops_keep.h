// Rounding a change of 4-bit weights onto their own grid. After the variant's NF4 kernels, which may have
// looked levels up in their own way (CK_KEEP_LEVELS).
//
// Decisions hang on these sums, so they must not depend on the instruction set: no fused multiply-adds, and the lanes
// are added in double in a fixed order.

#ifndef CK_KEEP_LEVELS
#define CK_KEEP_LEVELS keep_levels
// The bits of the level nearest to each x, a tie going down: every threshold below x exchanges a level for the next.
CK_INLINE void keep_levels(const floats *x, const ck_levels *levels, ints *bits) {
    ints level = SPLAT(ints, levels->first);
    for (int k = 0; k < 15; k++) level ^= (*x > SPLAT(floats, levels->thresholds[k])) & levels->exchange[k];
    *bits = level;
}
#endif

CK_INLINE void keep_add(
    const float *level, const float *step, const float *scale, const float *delta, float t, const ck_levels *levels,
    floats *product, floats *squared) {
#pragma STDC FP_CONTRACT OFF
    floats u, v, s, d;
    LOAD(u, level);
    LOAD(v, step);
    LOAD(s, scale);
    LOAD(d, delta);
    const floats moved = v * t, x = u + moved;
    ints bits;
    CK_KEEP_LEVELS(&x, levels, &bits);
    const floats e = ((floats)bits - u) * s, p = e * d, q = e * e;
    *product += p;
    *squared += q;
}

CK_KERNEL ck_keep_sums CK_NAME(keep_sums)(const ck_keep_run *run, float t) {
    floats product = {0}, squared = {0};
    int64_t i = 0;
    for (; i + LANES <= run->count; i += LANES)
        keep_add(run->level + i, run->step + i, run->scale + i, run->delta + i, t, &run->levels, &product, &squared);
    if (i < run->count) {
        // A scale of 0 adds nothing.
        float u[LANES] = {0}, v[LANES] = {0}, s[LANES] = {0}, d[LANES] = {0};
        const size_t bytes = (size_t)(run->count - i) * sizeof(float);
        memcpy(u, run->level + i, bytes);
        memcpy(v, run->step + i, bytes);
        memcpy(s, run->scale + i, bytes);
        memcpy(d, run->delta + i, bytes);
        keep_add(u, v, s, d, t, &run->levels, &product, &squared);
    }
    ck_keep_sums sums = {0, 0};
    for (int j = 0; j < LANES; j++) {
        sums.product += (double)product[j];
        sums.squared += (double)squared[j];
    }
    return sums;
}

CK_KERNEL void CK_NAME(keep_codes)(const ck_keep_run *run, float t, uint8_t *codes) {
#pragma STDC FP_CONTRACT OFF
    for (int64_t i = 0; i < run->count; i += LANES) {
        const int64_t left = run->count - i < LANES ? run->count - i : LANES;
        floats u = {0}, v = {0};
        if (left == LANES) {
            LOAD(u, run->level + i);
            LOAD(v, run->step + i);
        } else {
            for (int64_t j = 0; j < left; j++) {
                u[j] = run->level[i + j];
                v[j] = run->step[i + j];
            }
        }
        const floats moved = v * t, x = u + moved;
        ints code = {0};
        for (int k = 0; k < 15; k++) code -= x > SPLAT(floats, run->levels.thresholds[k]);
        bytes16 narrow = __builtin_convertvector(code, bytes16);
        memcpy(codes + i, &narrow, (size_t)left);
    }
}
