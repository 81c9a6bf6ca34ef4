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

// One vector of a run; past its end a scale of 0, which adds nothing.
CK_INLINE void keep_add_at(const ck_keep_run *run, int64_t i, float t, floats *product, floats *squared) {
    if (i + LANES <= run->count) {
        keep_add(run->level + i, run->step + i, run->scale + i, run->delta + i, t, &run->levels, product, squared);
        return;
    }
    float u[LANES] = {0}, v[LANES] = {0}, s[LANES] = {0}, d[LANES] = {0};
    const size_t bytes = (size_t)(run->count - i) * sizeof(float);
    memcpy(u, run->level + i, bytes);
    memcpy(v, run->step + i, bytes);
    memcpy(s, run->scale + i, bytes);
    memcpy(d, run->delta + i, bytes);
    keep_add(u, v, s, d, t, &run->levels, product, squared);
}

// Vectors in which nothing can move at t would add zeros, and are passed over. Which ones is found first, without a branch that
// nobody could foretell.
CK_KERNEL ck_keep_sums CK_NAME(keep_sums)(const ck_keep_run *run, float t) {
    enum { BATCH = 256 };
    uint16_t moving[BATCH];
    floats product = {0}, squared = {0};
    const int64_t vectors = (run->count + LANES - 1) / LANES;
    for (int64_t first = 0; first < vectors; first += BATCH) {
        const int64_t size = vectors - first < BATCH ? vectors - first : BATCH;
        const float *rate = run->rate + first;
        int64_t count = 0;
        for (int64_t j = 0; j < size; j++) {
            moving[count] = (uint16_t)j;
            count += rate[j] * t >= 1;
        }
        for (int64_t j = 0; j < count; j++) keep_add_at(run, (first + moving[j]) * LANES, t, &product, &squared);
    }
    ck_keep_sums sums = {0, 0};
    for (int j = 0; j < LANES; j++) {
        sums.product += (double)product[j];
        sums.squared += (double)squared[j];
    }
    return sums;
}

typedef double doubles8 __attribute__((vector_size(64)));

// Steps, scales and changes of elements of one block, and, where `sums` is given, the sums of w^2, w d and d^2 in eight lanes
// each; the first element is the first lane's.
CK_KERNEL void CK_NAME(keep_fill)(
    const float *level, const float *change, float reciprocal, float scale, float unit, int64_t count, float *step,
    float *scales, float *delta, double *sums) {
#pragma STDC FP_CONTRACT OFF
    enum { WIDTH = 8 };
    doubles8 weight = {0}, product = {0}, squared = {0};
    if (sums) {
        LOAD(weight, sums);
        LOAD(product, sums + WIDTH);
        LOAD(squared, sums + 2 * WIDTH);
    }
    for (int64_t i = 0; i < count; i += WIDTH) {
        eights u = {0}, c = {0};
        const size_t bytes = (size_t)(count - i < WIDTH ? count - i : WIDTH) * sizeof(float);
        if (bytes == sizeof(eights)) {
            LOAD(u, level + i);
            LOAD(c, change + i);
        } else {
            memcpy(&u, level + i, bytes);
            memcpy(&c, change + i, bytes);
        }
        const eights v = c * reciprocal, d = c * unit, s = SPLAT(eights, scale);
        if (bytes == sizeof(eights)) {
            STORE(step + i, v);
            STORE(scales + i, s);
            STORE(delta + i, d);
        } else {
            memcpy(step + i, &v, bytes);
            memcpy(scales + i, &s, bytes);
            memcpy(delta + i, &d, bytes);
        }
        if (!sums) continue;
        const doubles8 w = __builtin_convertvector(u * scale, doubles8), e = __builtin_convertvector(d, doubles8);
        const doubles8 ww = w * w, we = w * e, ee = e * e;
        weight += ww;
        product += we;
        squared += ee;
    }
    if (!sums) return;
    STORE(sums, weight);
    STORE(sums + WIDTH, product);
    STORE(sums + 2 * WIDTH, squared);
}

// rate[v] = the largest |step| * inverse of 16 elements.
CK_KERNEL void CK_NAME(keep_rates)(const float *step, const float *inverse, int64_t count, float *rate) {
    for (int64_t i = 0; i < count; i += LANES) {
        floats v = {0}, g = {0};
        const size_t bytes = (size_t)(count - i < LANES ? count - i : LANES) * sizeof(float);
        if (bytes == sizeof(floats)) {
            LOAD(v, step + i);
            LOAD(g, inverse + i);
        } else {
            memcpy(&v, step + i, bytes);
            memcpy(&g, inverse + i, bytes);
        }
        // As integers, which order positive numbers alike.
        const ints product = (ints)(v * g) & 0x7fffffff;
        *rate++ = ck_float((uint32_t)__builtin_reduce_max(product));
    }
}

// Codes of a block under another scale, and the squared distance to the target of these and of the old levels.
CK_KERNEL ck_keep_fit_errors CK_NAME(keep_refit)(
    const float *target, const float *old, int64_t count, float scale, float candidate, const ck_levels *levels,
    uint8_t *codes) {
#pragma STDC FP_CONTRACT OFF
    const float reciprocal = 1 / candidate;
    floats before = {0}, after = {0};
    ck_keep_fit_errors errors = {0, 0};
    for (int64_t i = 0; i < count; i += LANES) {
        const int64_t left = count - i < LANES ? count - i : LANES;
        floats x = {0}, u = {0};
        memcpy(&x, target + i, (size_t)left * sizeof(float));
        memcpy(&u, old + i, (size_t)left * sizeof(float));
        const floats scaled = x * reciprocal;
        ints code = {0};
        for (int k = 0; k < 15; k++) code -= scaled > SPLAT(floats, levels->thresholds[k]);
        ints bits;
        CK_KEEP_LEVELS(&scaled, levels, &bits);
        const bytes16 narrow = __builtin_convertvector(code, bytes16);
        memcpy(codes + i, &narrow, (size_t)left);
        const floats d = u * scale - x, e = (floats)bits * candidate - x, dd = d * d, ee = e * e;
        if (left == LANES) {
            before += dd;
            after += ee;
            continue;
        }
        for (int64_t j = 0; j < left; j++) {
            before[j] += dd[j];
            after[j] += ee[j];
        }
    }
    for (int j = 0; j < LANES; j++) {
        errors.before += (double)before[j];
        errors.after += (double)after[j];
    }
    return errors;
}

// The first of the 256 codes whose scale, map * absmax + offset, is nearest to the one wanted; -1 where none is a number.
CK_KERNEL int32_t CK_NAME(nearest_scale)(const float *map, float absmax, float offset, float wanted) {
#pragma STDC FP_CONTRACT OFF
    enum { CODES = 256 };
    float distances[CODES];
    floats least = SPLAT(floats, INFINITY);
    for (int i = 0; i < CODES; i += LANES) {
        floats m;
        LOAD(m, map + i);
        const floats product = m * absmax, d = (floats)((ints)(product + offset - wanted) & 0x7fffffff);
        STORE(distances + i, d);
        const ints nearer = d < least;
        least = (floats)(((ints)d & nearer) | ((ints)least & ~nearer));
    }
    float best = INFINITY;
    for (int j = 0; j < LANES; j++)
        if (least[j] < best) best = least[j];
    if (best == INFINITY) return -1;
    for (int i = 0; i < CODES; i++)
        if (distances[i] == best) return i;
    return -1;
}

// Two codes to a byte; an odd last one is padded with the code of 0, as in bitsandbytes.
CK_KERNEL void CK_NAME(keep_pack)(const uint8_t *codes, int64_t count, uint8_t *packed) {
    for (int64_t i = 0; i < count / 2; i++) packed[i] = (uint8_t)(codes[2 * i] << 4 | codes[2 * i + 1]);
    if (count & 1) packed[count / 2] = (uint8_t)(codes[count - 1] << 4 | 7);
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
