// Attention of few queries over many positions, split into parts (flash-decoding, Dao et al. 2023). Part of loops.h, after
// loops_attention.h.
//
// Keys and values are read as they are kept, once for up to CK_PART_HEADS of the heads that share them: scores of the whole
// part, its softmax, its mixture of values. A part's result for a row is its largest score, the sum of the exponentials behind
// that, 14 unused floats, and the mixture [width].

#ifndef CK_ATTENTION_SUMS
#error "a variant says how many vectors of sums its registers hold, 4 or 16"
#endif

// Heads, and vectors of a value, of a tile; how far ahead rows are asked for.
#if CK_ATTENTION_SUMS == 16
enum { CK_PART_HEADS = 4, CK_PART_VECTORS = 4, PART_AHEAD = 16 };
#else
enum { CK_PART_HEADS = 2, CK_PART_VECTORS = 2, PART_AHEAD = 16 };
#endif

CK_INLINE int64_t kv_bytes(const ck_kv_type type) { return type == CK_KV_F32 ? 4 : type == CK_KV_F16 ? 2 : 1; }

CK_INLINE void load_kv(const ck_kv_type type, floats *out, const char *at) {
    if (type == CK_KV_F32) load_floats(out, at);
    else if (type == CK_KV_F16) load_halves_f16(out, at);
    else load_bytes_i8(out, at);
}

// `count` elements, at most 16, and zeros.
CK_INLINE void load_kv_end(const ck_kv_type type, floats *out, const char *at, int64_t count) {
    char rest[sizeof(floats)] = {0};
    memcpy(rest, at, (size_t)(count * kv_bytes(type)));
    load_kv(type, out, rest);
}

// A line of the row to come; into the second level, as rows a page apart crowd the first.
CK_INLINE void prefetch_kv(const ck_kv_type type, const char *row, int64_t column) {
    if (column * kv_bytes(type) % 64 == 0) __builtin_prefetch(row + column * kv_bytes(type), 0, 2);
}

// Each vector's sum, by halves: the order is that of `sum_lanes` whatever the number of vectors.
CK_INLINE void fold_sums(const floats *sum, int count, float *result) {
    floats s[16] = {{0}};
    for (int i = 0; i < count; i++) s[i] = sum[i];
    for (int i = 0; i < (count + 1) / 2; i++)
        s[i] = __builtin_shufflevector(s[2 * i], s[2 * i + 1], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
            + __builtin_shufflevector(s[2 * i], s[2 * i + 1], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    for (int i = 0; i < (count + 3) / 4; i++)
        s[i] = __builtin_shufflevector(s[2 * i], s[2 * i + 1], 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
            + __builtin_shufflevector(s[2 * i], s[2 * i + 1], 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    for (int i = 0; i < (count + 7) / 8; i++)
        s[i] = __builtin_shufflevector(s[2 * i], s[2 * i + 1], 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29)
            + __builtin_shufflevector(s[2 * i], s[2 * i + 1], 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
    s[0] = __builtin_shufflevector(s[0], s[1], 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
        + __builtin_shufflevector(s[0], s[1], 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    memcpy(result, &s[0], (size_t)count * sizeof(float));
}

// scores[head][row] of `rows` rows, without any scale; `ahead` is what will be read later.
CK_INLINE void score_tile(
    const ck_kv_type type, const int heads, const int rows, const char *keys, int64_t bytes, const char *ahead,
    const float *q, int64_t size, float *scores) {
    floats sum[CK_ATTENTION_SUMS], x[CK_PART_HEADS], k;
    CK_UNROLL for (int i = 0; i < heads * rows; i++) sum[i] = (floats){0};
    int64_t c = 0;
    for (; c + LANES <= size; c += LANES) {
        CK_UNROLL for (int h = 0; h < heads; h++) LOAD(x[h], q + h * size + c);
        CK_UNROLL for (int r = 0; r < rows; r++) {
            load_kv(type, &k, keys + r * bytes + c * kv_bytes(type));
            prefetch_kv(type, ahead + r * bytes, c);
            CK_UNROLL for (int h = 0; h < heads; h++) sum[h * rows + r] += k * x[h];
        }
    }
    if (c < size) {
        CK_UNROLL for (int h = 0; h < heads; h++) load_kv_end(CK_KV_F32, &x[h], (const char *)(q + h * size + c), size - c);
        CK_UNROLL for (int r = 0; r < rows; r++) {
            load_kv_end(type, &k, keys + r * bytes + c * kv_bytes(type), size - c);
            CK_UNROLL for (int h = 0; h < heads; h++) sum[h * rows + r] += k * x[h];
        }
    }
    float folded[CK_ATTENTION_SUMS];
    fold_sums(sum, heads * rows, folded);
    CK_UNROLL for (int h = 0; h < heads; h++)
        memcpy(scores + h * CK_ATTENTION_PART, folded + h * rows, (size_t)rows * sizeof(float));
}

// mixed[head][...] += p[head][row] * values[row][...] over `count` rows and `vectors` vectors of columns, or the `end` columns
// of a last one that is not whole.
CK_INLINE void mix_tile(
    const ck_kv_type type, const int heads, const int vectors, const char *values, int64_t bytes, int64_t count,
    int64_t end, const float *p, float *mixed, int64_t mixed_stride) {
    floats sum[CK_PART_HEADS][CK_PART_VECTORS], v[CK_PART_VECTORS];
    CK_UNROLL for (int h = 0; h < heads; h++)
        CK_UNROLL for (int i = 0; i < vectors; i++) LOAD(sum[h][i], mixed + h * mixed_stride + i * LANES);
    for (int64_t r = 0; r < count; r++) {
        const char *row = values + r * bytes;
        CK_UNROLL for (int i = 0; i < vectors; i++) {
            if (end) load_kv_end(type, &v[i], row, end);
            else load_kv(type, &v[i], row + i * LANES * kv_bytes(type));
            prefetch_kv(type, row + PART_AHEAD * bytes, i * LANES);
        }
        CK_UNROLL for (int h = 0; h < heads; h++) {
            const float weight = p[h * CK_ATTENTION_PART + r];
            CK_UNROLL for (int i = 0; i < vectors; i++) sum[h][i] += v[i] * weight;
        }
    }
    CK_UNROLL for (int h = 0; h < heads; h++)
        CK_UNROLL for (int i = 0; i < vectors; i++) STORE(mixed + h * mixed_stride + i * LANES, sum[h][i]);
}

// The mixture of `count` values, a run of rows at a time so that what was read for some columns is near for the next.
CK_INLINE void mix_values(
    const ck_kv_type type, const int heads, const char *values, int64_t bytes, int64_t count, int64_t size,
    const float *p, float *mixed, int64_t mixed_stride) {
    enum { RUN = 32 };
    for (int64_t r = 0; r < count; r += RUN, values += RUN * bytes, p += RUN) {
        const int64_t run = count - r < RUN ? count - r : RUN;
        int64_t c = 0;
        for (; c + CK_PART_VECTORS * LANES <= size; c += CK_PART_VECTORS * LANES)
            mix_tile(type, heads, CK_PART_VECTORS, values + c * kv_bytes(type), bytes, run, 0, p, mixed + c, mixed_stride);
        for (; c + LANES <= size; c += LANES)
            mix_tile(type, heads, 1, values + c * kv_bytes(type), bytes, run, 0, p, mixed + c, mixed_stride);
        if (c < size)
            mix_tile(type, heads, 1, values + c * kv_bytes(type), bytes, run, size - c, p, mixed + c, mixed_stride);
    }
}

// `heads` heads of one token over positions first ..< first + count, at most CK_ATTENTION_PART.
CK_INLINE void attend_heads(
    const ck_kv_type key_type, const ck_kv_type value_type, const int heads, const ck_attention *a, const float *q, int64_t first, int64_t count,
    float *result, int64_t result_stride) {
    enum { ROWS = CK_ATTENTION_SUMS };
    const int rows = ROWS / heads;
    const int64_t size = a->head_size, key_bytes = a->keys.stride * kv_bytes(key_type);
    const int64_t value_bytes = a->values.stride * kv_bytes(value_type), whole = ck_whole(count);
    const char *keys = (const char *)a->keys.rows + first * key_bytes;
    const char *values = (const char *)a->values.rows + first * value_bytes;
    float p[CK_PART_HEADS * CK_ATTENTION_PART], factors[CK_ATTENTION_PART];
    int64_t r = 0;
    for (; r + rows <= count; r += rows) {
        // What comes after the keys is the values.
        const int64_t next = r + PART_AHEAD;
        const char *ahead = next < count ? keys + next * key_bytes : values + (next - count) * value_bytes;
        score_tile(key_type, heads, rows, keys + r * key_bytes, key_bytes, ahead, q, size, p + r);
    }
    for (; r < count; r++)
        score_tile(key_type, heads, 1, keys + r * key_bytes, key_bytes, values + r * value_bytes, q, size, p + r);
    for (int64_t i = 0; i < whole; i++)
        factors[i] = key_type == CK_KV_I8 && i < count ? a->keys.scales[(first + i) * a->keys.scale_stride] * a->scale : a->scale;
    for (int h = 0; h < heads; h++) {
        float *own = p + h * CK_ATTENTION_PART, *to = result + h * result_stride;
        for (int64_t i = 0; i < count; i++) own[i] *= factors[i];
        to[0] = -INFINITY;
        to[1] = exponentials(own, whole, (ck_span){0, count}, to).total;
        memset(to + LANES, 0, (size_t)(result_stride - LANES) * sizeof(float));
    }
    if (value_type == CK_KV_I8)
        for (int64_t i = 0; i < count; i++) {
            const float scale = a->values.scales[(first + i) * a->values.scale_stride];
            for (int h = 0; h < heads; h++) p[h * CK_ATTENTION_PART + i] *= scale;
        }
    mix_values(value_type, heads, values, value_bytes, count, size, p, result + LANES, result_stride);
}

#define CK_ATTEND_HEADS(name, keys, values)                                                                                    \
    static CK_TARGET void CK_NAME(name)(                                                                               \
        const ck_attention *a, const float *q, int64_t first, int64_t count, float *result, int64_t stride) {          \
        int64_t h = 0;                                                                                                 \
        for (; h + CK_PART_HEADS <= a->heads; h += CK_PART_HEADS)                                                      \
            attend_heads(keys, values, CK_PART_HEADS, a, q + h * a->head_size, first, count, result + h * stride, stride);     \
        if (CK_PART_HEADS > 2 && h + 2 <= a->heads) {                                                                  \
            attend_heads(keys, values, 2, a, q + h * a->head_size, first, count, result + h * stride, stride);                 \
            h += 2;                                                                                                    \
        }                                                                                                              \
        if (h < a->heads) attend_heads(keys, values, 1, a, q + h * a->head_size, first, count, result + h * stride, stride);   \
    }
CK_ATTEND_HEADS(attend_f32, CK_KV_F32, CK_KV_F32)
CK_ATTEND_HEADS(attend_f16, CK_KV_F16, CK_KV_F16)
CK_ATTEND_HEADS(attend_i8, CK_KV_I8, CK_KV_I8)
// Keys that were rotated anew beside values as they are kept.
CK_ATTEND_HEADS(attend_f32_f16, CK_KV_F32, CK_KV_F16)
CK_ATTEND_HEADS(attend_f32_i8, CK_KV_F32, CK_KV_I8)

CK_KERNEL void CK_NAME(attention_part)(const ck_attention *a, int64_t part, float *result) {
    const int64_t stride = LANES + ck_whole(a->head_size), start = part * CK_ATTENTION_PART;
    for (int64_t t = 0; t < a->tokens; t++, result += a->heads * stride) {
        const ck_span seen = ck_within(ck_visible(a, t), start, CK_ATTENTION_PART);
        if (seen.first >= seen.end) continue;  // nor does the merge read it
        const int64_t first = start + seen.first, count = seen.end - seen.first;
        const float *q = a->queries + t * a->query_stride;
        const ck_kv_type type = a->values.type;
        const bool is_one = a->keys.type == type;
#define CK_ATTEND(name) CK_NAME(name)(a, q, first, count, result, stride)
        if (type == CK_KV_F32) CK_ATTEND(attend_f32);
        else if (type == CK_KV_F16) is_one ? CK_ATTEND(attend_f16) : CK_ATTEND(attend_f32_f16);
        else is_one ? CK_ATTEND(attend_i8) : CK_ATTEND(attend_f32_i8);
#undef CK_ATTEND
    }
}

// One head of one token: `results` of its first part, the parts `stride` floats apart.
CK_INLINE void merge_row(const float *results, int64_t stride, int64_t parts, int64_t size, float *output) {
    float most = -INFINITY, total = 0;
    for (int64_t i = 0; i < parts; i++) most = results[i * stride] > most ? results[i * stride] : most;
    memset(output, 0, (size_t)size * sizeof(float));
    for (int64_t i = 0; i < parts; i += LANES) {
        const int64_t count = parts - i < LANES ? parts - i : LANES;
        floats weight = {0};
        // Nothing but -inf is no distribution: the sums are 0, or NaN.
        for (int64_t j = 0; j < count && most != -INFINITY; j++) weight[j] = results[(i + j) * stride] - most;
        exp_lanes(&weight);
        for (int64_t j = 0; j < count; j++) {
            const float *from = results + (i + j) * stride;
            total += from[1] * weight[j];
            CK_NAME(axpy)(weight[j], from + LANES, output, size);
        }
    }
    CK_NAME(scale)(total == 0 ? 0 : 1.0f / total, output, size);
}

CK_KERNEL void CK_NAME(attention_merge)(const ck_attention *a, const float *results, int64_t stride) {
    const int64_t size = LANES + ck_whole(a->head_size);
    for (int64_t t = 0; t < a->tokens; t++) {
        const ck_span seen = ck_visible(a, t);
        const int64_t first = seen.first / CK_ATTENTION_PART;
        const int64_t parts = (seen.end + CK_ATTENTION_PART - 1) / CK_ATTENTION_PART - first;
        for (int64_t h = 0; h < a->heads; h++)
            merge_row(results + first * stride + (t * a->heads + h) * size, stride, parts, a->head_size,
                      a->output + t * a->output_stride + h * a->head_size);
    }
}
