// The update of AdamW. Part of loops.h, after the products (FMA).
//
// Where a product is added without being rounded first is the reference's choice, so nothing else may be fused. Square
// roots are correctly rounded, which those of MKL behind PyTorch are not always.

typedef double doubles __attribute__((vector_size(128)));

CK_INLINE void root_lanes(floats *x) {
    for (int i = 0; i < LANES; i++) (*x)[i] = sqrtf((*x)[i]);
}

CK_INLINE void adamw_lanes(const ck_adamw *a, const floats *gradient, floats *p, floats *m, floats *v) {
#pragma STDC FP_CONTRACT OFF
    const floats g = *gradient * a->gradient_scale;
    if (a->form == CK_ADAMW_TORCH) *m = FMA(BROADCAST(a->rest1), g - *m, *m);
    else *m = FMA(g, BROADCAST(a->rest1), *m * a->beta1);
    *v = FMA(g * a->rest2, g, *v * a->beta2);
    floats root = *v;
    root_lanes(&root);
    const floats kept = *p * a->decay;
    if (a->form == CK_ADAMW_SMALL) {
        *p = FMA(*m / (root + a->epsilon), BROADCAST(a->step), kept);
    } else {
        *p = kept + (*m * a->step) / (root / a->root + a->epsilon);
    }
}

CK_KERNEL void CK_NAME(adamw)(const ck_adamw *a, const float *g, int64_t count, float *p, float *m, float *v) {
    int64_t i = 0;
    for (; i < count; i += LANES) {
        const size_t bytes = (size_t)(count - i < LANES ? count - i : LANES) * sizeof(float);
        floats gl = {0}, pl = {0}, ml = {0}, vl = {0};
        if (bytes == sizeof(floats)) {
            LOAD(gl, g + i);
            LOAD(pl, p + i);
            LOAD(ml, m + i);
            LOAD(vl, v + i);
            adamw_lanes(a, &gl, &pl, &ml, &vl);
            STORE(p + i, pl);
            STORE(m + i, ml);
            STORE(v + i, vl);
        } else {
            memcpy(&gl, g + i, bytes);
            memcpy(&pl, p + i, bytes);
            memcpy(&ml, m + i, bytes);
            memcpy(&vl, v + i, bytes);
            adamw_lanes(a, &gl, &pl, &ml, &vl);
            memcpy(p + i, &pl, bytes);
            memcpy(m + i, &ml, bytes);
            memcpy(v + i, &vl, bytes);
        }
    }
}

// A square of a float is exact in double, so fusing it with the addition would change nothing.
CK_KERNEL double CK_NAME(square_sum)(const float *x, int64_t count) {
    doubles sums = {0};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        floats v;
        LOAD(v, x + i);
        doubles wide = __builtin_convertvector(v, doubles);
        sums += wide * wide;
    }
    double total = 0;
    for (int j = 0; j < LANES; j++) total += sums[j];
    for (; i < count; i++) total += (double)x[i] * (double)x[i];
    return total;
}
