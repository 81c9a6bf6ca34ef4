// Dot products and the like. Part of loops.h.

CK_INLINE float sum_lanes(const floats *a, const floats *b, const floats *c, const floats *d) {
    floats s = (*a + *b) + (*c + *d);
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) s[i] += s[i + width];
    return s[0];
}

#define CK_DOT(name, weight_bytes, load)                                                                   \
    CK_KERNEL float CK_NAME(name)(const void *w, const float *x, int64_t count) {                          \
        const char *p = w;                                                                                 \
        floats a = {0}, b = {0}, c = {0}, d = {0}, u, v;                                                   \
        int64_t i = 0;                                                                                     \
        for (; i + 4 * LANES <= count; i += 4 * LANES) {                                                   \
            load(&u, p + i * weight_bytes);                                                                \
            LOAD(v, x + i);                                                                                \
            a += u * v;                                                                                    \
            load(&u, p + (i + LANES) * weight_bytes);                                                      \
            LOAD(v, x + i + LANES);                                                                        \
            b += u * v;                                                                                    \
            load(&u, p + (i + 2 * LANES) * weight_bytes);                                                  \
            LOAD(v, x + i + 2 * LANES);                                                                    \
            c += u * v;                                                                                    \
            load(&u, p + (i + 3 * LANES) * weight_bytes);                                                  \
            LOAD(v, x + i + 3 * LANES);                                                                    \
            d += u * v;                                                                                    \
        }                                                                                                  \
        for (; i + LANES <= count; i += LANES) {                                                           \
            load(&u, p + i * weight_bytes);                                                                \
            LOAD(v, x + i);                                                                                \
            a += u * v;                                                                                    \
        }                                                                                                  \
        if (i < count) {                                                                                   \
            char rest[LANES * weight_bytes] = {0};                                                         \
            float tail[LANES] = {0};                                                                       \
            memcpy(rest, p + i * weight_bytes, (size_t)(count - i) * weight_bytes);                        \
            memcpy(tail, x + i, (size_t)(count - i) * sizeof(float));                                      \
            load(&u, rest);                                                                                \
            LOAD(v, tail);                                                                                 \
            a += u * v;                                                                                    \
        }                                                                                                  \
        return sum_lanes(&a, &b, &c, &d);                                                                  \
    }

CK_INLINE void load_floats(floats *out, const void *source) { memcpy(out, source, sizeof(floats)); }

CK_DOT(dot_raw, 4, load_floats)
CK_DOT(dot_f16, 2, load_halves_f16)
CK_DOT(dot_bf16, 2, load_halves_bf16)

CK_KERNEL float CK_NAME(dot)(const float *x, const float *y, int64_t count) {
    return CK_NAME(dot_raw)(x, y, count);
}

CK_KERNEL void CK_NAME(axpy)(float a, const float *x, float *y, int64_t count) {
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        floats u, v;
        LOAD(u, x + i);
        LOAD(v, y + i);
        v += u * a;
        STORE(y + i, v);
    }
    for (; i < count; i++) y[i] += x[i] * a;
}

CK_KERNEL void CK_NAME(add)(const float *x, float *y, int64_t count) {
    for (int64_t i = 0; i < count; i++) y[i] += x[i];
}

CK_KERNEL void CK_NAME(scale)(float a, float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++) x[i] *= a;
}

CK_KERNEL void CK_NAME(scaled)(float a, const float *x, float *y, int64_t count) {
    for (int64_t i = 0; i < count; i++) y[i] = a * x[i];
}
