// Norms, softmax, activations and rotation. Part of loops.h.

// exp to about one unit in the last place: x = n ln 2 + r with ln 2 in two parts (the first has few
// enough bits that n times it is exact), a polynomial in r, and 2^n in two factors so that results
// below 2^-126 round once and those above the range overflow to infinity.
CK_INLINE void exp_lanes(floats *value) {
    floats x = *value;
    ints keep = (x <= SPLAT(floats, 89.0f)), low = (x >= SPLAT(floats, -104.0f));
    ints nan = (x != x);
    ints xi = (ints)x, top = (ints)SPLAT(floats, 89.0f), bottom = (ints)SPLAT(floats, -104.0f);
    xi = (xi & keep) | (top & ~keep);
    xi = (xi & low) | (bottom & ~low);
    floats c = (floats)xi;
    const float magic = 0x1.8p23f;
    floats shifted = c * 1.44269504088896341f + magic;
    floats n = shifted - magic;
    floats r = c - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    floats p = SPLAT(floats, 1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    floats e = (p * (r * r) + r) + 1.0f;
    ints exponent = __builtin_convertvector(n, ints);
    ints half = exponent >> 1, rest = exponent - half;
    floats f = (floats)((half + 127) << 23), g = (floats)((rest + 127) << 23);
    e = (e * f) * g;
    ints ei = (ints)e;
    // exp(-inf) and everything that rounds to zero: below -103.98 the result is under half the least denormal.
    ei &= low;
    ei = (ei & ~nan) | ((ints)x & nan);
    *value = (floats)ei;
}

// Applies `body` to 16 lanes at a time; a short tail goes through zero-filled scratch. `body` sees
// floats `a` (from x) and `b` (from y) and leaves its result in `a`, which is stored to z.
#define CK_MAP(x, y, z, count, body)                                            \
    do {                                                                        \
        int64_t i_ = 0;                                                         \
        for (; i_ + LANES <= (count); i_ += LANES) {                            \
            floats a, b;                                                        \
            LOAD(a, (x) + i_);                                                  \
            LOAD(b, (y) + i_);                                                  \
            body;                                                               \
            STORE((z) + i_, a);                                                 \
        }                                                                       \
        if (i_ < (count)) {                                                     \
            float s_[LANES] = {0}, t_[LANES] = {0};                             \
            size_t left_ = (size_t)((count) - i_) * sizeof(float);              \
            memcpy(s_, (x) + i_, left_);                                        \
            memcpy(t_, (y) + i_, left_);                                        \
            floats a, b;                                                        \
            LOAD(a, s_);                                                        \
            LOAD(b, t_);                                                        \
            body;                                                               \
            STORE(s_, a);                                                       \
            memcpy((z) + i_, s_, left_);                                        \
        }                                                                       \
    } while (0)

CK_KERNEL void CK_NAME(exp)(const float *x, float *y, int64_t count) {
    CK_MAP(x, x, y, count, { (void)b; exp_lanes(&a); });
}

CK_KERNEL void CK_NAME(silu_multiply)(const float *gate, const float *up, float *y, int64_t count) {
    CK_MAP(gate, up, y, count, {
        floats e = -a;
        exp_lanes(&e);
        a = a / (1.0f + e) * b;
    });
}

CK_KERNEL void CK_NAME(quick_gelu)(float *x, int64_t count) {
    CK_MAP(x, x, x, count, {
        (void)b;
        floats e = a * -1.702f;
        exp_lanes(&e);
        a = a / (1.0f + e);
    });
}

CK_INLINE float largest(const float *x, int64_t count) {
    floats most = SPLAT(floats, -INFINITY);
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        floats v;
        LOAD(v, x + i);
        ints more = v > most;
        most = (floats)(((ints)v & more) | ((ints)most & ~more));
    }
    float result = -INFINITY;
    for (int j = 0; j < LANES; j++) result = most[j] > result ? most[j] : result;
    for (; i < count; i++) result = x[i] > result ? x[i] : result;
    return result;
}

CK_KERNEL void CK_NAME(softmax)(float *x, int64_t count) {
    float most = largest(x, count);
    // Nothing but -inf: no distribution; leave zeros rather than NaN.
    if (most == -INFINITY) {
        memset(x, 0, (size_t)count * sizeof(float));
        return;
    }
    CK_MAP(x, x, x, count, { (void)b; a -= most; exp_lanes(&a); });
    floats p = {0}, q = {0};
    int64_t i = 0;
    for (; i + 2 * LANES <= count; i += 2 * LANES) {
        floats u, v;
        LOAD(u, x + i);
        LOAD(v, x + i + LANES);
        p += u;
        q += v;
    }
    floats zero = {0};
    float total = sum_lanes(&p, &q, &zero, &zero);
    for (; i < count; i++) total += x[i];
    CK_NAME(scale)(1.0f / total, x, count);
}

CK_KERNEL double CK_NAME(softmax_loss)(float *x, int64_t count, int64_t target) {
    float most = largest(x, count);
    double distance = (double)most - (double)x[target];
    CK_MAP(x, x, x, count, { (void)b; a -= most; exp_lanes(&a); });
    double total = 0;
    for (int64_t i = 0; i < count; i++) total += (double)x[i];
    CK_NAME(scale)((float)(1.0 / total), x, count);
    return log(total) + distance;
}

CK_KERNEL void CK_NAME(softmax_backward)(const float *p, float scale, int64_t count, float *dp) {
    float mean = CK_NAME(dot)(p, dp, count);
    CK_MAP(p, dp, dp, count, { a = a * (b - mean) * scale; });
}

// gate and up become the gradients with respect to them. d/dg of g sigmoid(g) is sigmoid(g) (1 + g (1 - sigmoid(g))).
CK_INLINE void silu_backward_lanes(const float *dy, float *gate, float *up) {
    floats d, g, u;
    LOAD(d, dy);
    LOAD(g, gate);
    LOAD(u, up);
    floats e = -g;
    exp_lanes(&e);
    floats sigmoid = 1.0f / (1.0f + e);
    floats slope = sigmoid * (1.0f + g * (1.0f - sigmoid));
    u = d * u * slope;
    d = d * (g * sigmoid);
    STORE(gate, u);
    STORE(up, d);
}

CK_KERNEL void CK_NAME(silu_multiply_backward)(const float *dy, float *gate, float *up, int64_t count) {
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) silu_backward_lanes(dy + i, gate + i, up + i);
    if (i == count) return;
    float d[LANES] = {0}, g[LANES] = {0}, u[LANES] = {0};
    size_t left = (size_t)(count - i) * sizeof(float);
    memcpy(d, dy + i, left);
    memcpy(g, gate + i, left);
    memcpy(u, up + i, left);
    silu_backward_lanes(d, g, u);
    memcpy(gate + i, g, left);
    memcpy(up + i, u, left);
}

CK_KERNEL void CK_NAME(rms_norm)(const float *x, const float *weight, float epsilon, int64_t count, float *y) {
    float mean = CK_NAME(dot)(x, x, count) / (float)count;
    float factor = 1.0f / sqrtf(mean + epsilon);
    for (int64_t i = 0; i < count; i++) y[i] = weight[i] * (x[i] * factor);
}

CK_KERNEL void CK_NAME(rms_norm_backward)(
    const float *x, const float *weight, float epsilon, int64_t count, const float *dy, float *dx) {
    float mean = CK_NAME(dot)(x, x, count) / (float)count;
    float factor = 1.0f / sqrtf(mean + epsilon);
    float sums[LANES] = {0};
    for (int64_t i = 0; i < count; i++) sums[i % LANES] += weight[i] * dy[i] * x[i];
    double product = 0;
    for (int j = 0; j < LANES; j++) product += (double)sums[j];
    float turn = (float)(product / (double)count) * factor * factor;
    for (int64_t i = 0; i < count; i++) dx[i] += factor * (weight[i] * dy[i] - x[i] * turn);
}

CK_KERNEL void CK_NAME(layer_norm)(
    const float *x, const float *weight, const float *bias, float epsilon, int64_t count, float *y) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)x[i];
    double mean = sum / (double)count;
    for (int64_t i = 0; i < count; i++) {
        double d = (double)x[i] - mean;
        squares += d * d;
    }
    float middle = (float)mean;
    float factor = (float)(1.0 / sqrt(squares / (double)count + (double)epsilon));
    for (int64_t i = 0; i < count; i++) y[i] = (x[i] - middle) * factor * weight[i] + bias[i];
}

CK_KERNEL void CK_NAME(rotate_half)(
    float *x, int64_t heads, int64_t dim, const float *cosines, const float *sines) {
    int64_t half = dim / 2;
    for (int64_t h = 0; h < heads; h++) {
        float *restrict first = x + h * dim, *restrict second = first + half;
        for (int64_t i = 0; i < half; i++) {
            float a = first[i], b = second[i];
            first[i] = a * cosines[i] - b * sines[i];
            second[i] = b * cosines[i] + a * sines[i];
        }
    }
}
