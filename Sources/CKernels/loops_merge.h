// What a merge does to a block of a 4-bit weight, and what it reports of a weight that it changed. Part of loops.h.

typedef struct {
    floats bb, dd, dm, mm, ee, tt;
    ints most;
} run_sums;

CK_INLINE void add_merged(const floats *base, const floats *delta, const floats *merged, run_sums *sums) {
    const floats w = *base, d = *delta, m = *merged - w, e = m - d, t = w + d;
    sums->bb = FMA(w, w, sums->bb);
    sums->dd = FMA(d, d, sums->dd);
    sums->dm = FMA(d, m, sums->dm);
    sums->mm = FMA(m, m, sums->mm);
    sums->ee = FMA(e, e, sums->ee);
    sums->tt = FMA(t, t, sums->tt);
    sums->most = __builtin_elementwise_max(sums->most, (ints)m & SPLAT(ints, 0x7fffffff));
}

CK_INLINE void end_run(const run_sums *sums, ck_merge_sums *total) {
    for (int lane = 0; lane < LANES; lane++) {
        total->squared_base += (double)sums->bb[lane];
        total->squared_delta += (double)sums->dd[lane];
        total->delta_change += (double)sums->dm[lane];
        total->squared_change += (double)sums->mm[lane];
        total->squared_error += (double)sums->ee[lane];
        total->squared_target += (double)sums->tt[lane];
    }
    const float largest = ck_float((uint32_t)__builtin_reduce_max(sums->most));
    if (largest > total->largest_change) total->largest_change = largest;
}

// Sums over up to 1024 elements are kept in float: 64 terms in a lane.
enum { SUM_RUN = 64 * LANES };

CK_KERNEL void CK_NAME(merge_sums)(
    const float *base, const float *delta, const float *merged, int64_t count, ck_merge_sums *total) {
    for (int64_t start = 0; start < count; start += SUM_RUN) {
        const int64_t end = count - start < SUM_RUN ? count : start + SUM_RUN;
        run_sums sums = {0};
        int64_t i = start;
        for (; i + LANES <= end; i += LANES) {
            floats w, d, q;
            LOAD(w, base + i);
            LOAD(d, delta + i);
            LOAD(q, merged + i);
            add_merged(&w, &d, &q, &sums);
        }
        if (i < end) {
            floats w = {0}, d = {0}, q = {0};
            const size_t bytes = (size_t)(end - i) * sizeof(float);
            memcpy(&w, base + i, bytes);
            memcpy(&d, delta + i, bytes);
            memcpy(&q, merged + i, bytes);
            add_merged(&w, &d, &q, &sums);
        }
        end_run(&sums, total);
    }
}

// bfloat16 of w + d, what is made of it, and the sums. A NaN may become anything: the sums tell of it.
CK_INLINE void merge_bf16(const halves *base, const floats *delta, halves *merged, run_sums *sums) {
    const floats w = (floats)(__builtin_convertvector(*base, words) << 16), x = w + *delta;
    const words bits = (words)x, rounded = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
    *merged = __builtin_convertvector(rounded >> 16, halves);
    const floats q = (floats)rounded;
    add_merged(&w, delta, &q, sums);
}

CK_KERNEL void CK_NAME(merge_bf16)(
    const void *base, const float *delta, int64_t count, void *merged, ck_merge_sums *total) {
    const char *from = base;
    char *to = merged;
    for (int64_t start = 0; start < count; start += SUM_RUN) {
        const int64_t end = count - start < SUM_RUN ? count : start + SUM_RUN;
        run_sums sums = {0};
        int64_t i = start;
        for (; i + LANES <= end; i += LANES) {
            halves b, m;
            floats d;
            LOAD(b, from + 2 * i);
            LOAD(d, delta + i);
            merge_bf16(&b, &d, &m, &sums);
            STORE(to + 2 * i, m);
        }
        if (i < end) {
            halves b = {0}, m;
            floats d = {0};
            memcpy(&b, from + 2 * i, (size_t)(end - i) * 2);
            memcpy(&d, delta + i, (size_t)(end - i) * sizeof(float));
            merge_bf16(&b, &d, &m, &sums);
            memcpy(to + 2 * i, &m, (size_t)(end - i) * 2);
        }
        end_run(&sums, total);
    }
}

// x = level * scale, rounded to bfloat16 where `rounds`, + delta. Returns the largest |x| as its bits, see absmax_bits.
// The levels and the scale are finite.
CK_KERNEL uint32_t CK_NAME(merge_target)(
    const float *level, float scale, bool rounds, const float *delta, int64_t count, float *x) {
#pragma STDC FP_CONTRACT OFF
    const ints magnitude = SPLAT(ints, 0x7fffffff);
    const floats s = BROADCAST(scale);
    ints most = {0};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        floats w, d;
        LOAD(w, level + i);
        LOAD(d, delta + i);
        w = w * s;
        if (rounds) {
            const words bits = (words)w;
            w = (floats)((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000);
        }
        w = w + d;
        STORE(x + i, w);
        most = __builtin_elementwise_max(most, (ints)w & magnitude);
    }
    uint32_t largest = (uint32_t)__builtin_reduce_max(most);
    for (; i < count; i++) {
        const float product = level[i] * scale;
        uint32_t bits = ck_bits(product);
        if (rounds) bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
        x[i] = ck_float(bits) + delta[i];
        bits = ck_bits(x[i]) & 0x7fffffff;
        if (bits > largest) largest = bits;
    }
    return largest;
}

typedef float eights __attribute__((vector_size(32)));
typedef int32_t ints8 __attribute__((vector_size(32)));

// The sums of the lanes of eight vectors, in their order.
CK_INLINE void lane_sums(const eights *v, float *sums) {
    eights pairs[4], fours[2];
    for (int k = 0; k < 4; k++)
        pairs[k] = __builtin_shufflevector(v[2 * k], v[2 * k + 1], 0, 8, 2, 10, 4, 12, 6, 14)
            + __builtin_shufflevector(v[2 * k], v[2 * k + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    for (int k = 0; k < 2; k++)
        fours[k] = __builtin_shufflevector(pairs[2 * k], pairs[2 * k + 1], 0, 1, 8, 9, 4, 5, 12, 13)
            + __builtin_shufflevector(pairs[2 * k], pairs[2 * k + 1], 2, 3, 10, 11, 6, 7, 14, 15);
    const eights all = __builtin_shufflevector(fours[0], fours[1], 0, 1, 2, 3, 8, 9, 10, 11)
        + __builtin_shufflevector(fours[0], fours[1], 4, 5, 6, 7, 12, 13, 14, 15);
    memcpy(sums, &all, sizeof all);
}

typedef struct {
    eights uu, ud, dd, mm, md, mu;
    ints8 most;
} change_sums;

CK_INLINE void add_change(const eights *before, const eights *after, const eights *delta, change_sums *sums) {
    const eights u = *before, d = *delta, m = *after - u;
    sums->uu = FMA(u, u, sums->uu);
    sums->ud = FMA(u, d, sums->ud);
    sums->dd = FMA(d, d, sums->dd);
    sums->mm = FMA(m, m, sums->mm);
    sums->md = FMA(m, d, sums->md);
    sums->mu = FMA(m, u, sums->mu);
    sums->most = __builtin_elementwise_max(sums->most, (ints8)m & SPLAT(ints8, 0x7fffffff));
}

// Adds up to 512 elements to a block's sums, 64 terms in a lane. Eight lanes, so that all sums stay in registers, and the same
// bits in every variant.
CK_KERNEL void CK_NAME(block_change)(
    const float *before, const float *after, const float *delta, int64_t count, ck_block_change *change) {
    enum { WIDTH = 8 };
    change_sums sums = {0};
    int64_t i = 0;
    for (; i + WIDTH <= count; i += WIDTH) {
        eights u, v, d;
        LOAD(u, before + i);
        LOAD(v, after + i);
        LOAD(d, delta + i);
        add_change(&u, &v, &d, &sums);
    }
    if (i < count) {
        eights u = {0}, v = {0}, d = {0};
        const size_t bytes = (size_t)(count - i) * sizeof(float);
        memcpy(&u, before + i, bytes);
        memcpy(&v, after + i, bytes);
        memcpy(&d, delta + i, bytes);
        add_change(&u, &v, &d, &sums);
    }
    const eights all[8] = {sums.uu, sums.ud, sums.dd, sums.mm, sums.md, sums.mu};
    float totals[8];
    lane_sums(all, totals);
    change->level_squared += totals[0];
    change->level_delta += totals[1];
    change->delta_squared += totals[2];
    change->move_squared += totals[3];
    change->move_delta += totals[4];
    change->move_level += totals[5];
    const float largest = ck_float((uint32_t)__builtin_reduce_max(sums.most));
    if (largest > change->largest_move) change->largest_move = largest;
}
