// Attention of many queries, a block of keys at a time with softmax as it goes (FlashAttention, Dao et al. 2022). Part of
// loops.h, after the strips and the functions.
//
// A block of keys and values is brought into strips; all queries of the task then run through it, a tile of rows at a time:
// scores, their exponentials behind the largest score so far, and the mixture of values, whose earlier sums shrink when a larger
// score comes. Blocks begin at multiples of their length, and positions that a query does not see add zeros: a query's bits do
// not depend on what other queries are computed with it.

#include "attention.h"

#define CK_TILE_PRODUCT(rows)                                                                                          \
    static CK_TARGET __attribute__((noinline)) void CK_JOIN(CK_NAME(tile_product), rows)(                              \
        const float *x, int64_t x_stride, const float *w, int64_t w_stride, int64_t outputs, int64_t depth, float alpha, \
        bool adds, float *y, int64_t y_stride) {                                                                       \
        for (int64_t n = 0; n < outputs; n += CK_TILE_STRIPS * LANES, w += CK_TILE_STRIPS * w_stride) {                \
            if (CK_TILE_STRIPS == 2 && outputs - n > LANES)                                                            \
                strip_tile(rows, CK_TILE_STRIPS, x, x_stride, w, w_stride, depth, alpha, adds, outputs - n, y + n,     \
                           y_stride);                                                                                  \
            else strip_tile(rows, 1, x, x_stride, w, w_stride, depth, alpha, adds, outputs - n, y + n, y_stride);      \
        }                                                                                                              \
    }
CK_TILE_PRODUCT(CK_TILE_ROWS)
CK_TILE_PRODUCT(4)
CK_TILE_PRODUCT(2)
CK_TILE_PRODUCT(1)

// As ck_strip_product, with strips `w_stride` apart.
CK_INLINE void tile_product(
    int64_t rows, const float *x, int64_t x_stride, const float *w, int64_t w_stride, int64_t outputs, int64_t depth,
    float alpha, bool adds, float *y, int64_t y_stride) {
#define CK_GROUP(n) \
    CK_JOIN(CK_NAME(tile_product), n)(x, x_stride, w, w_stride, outputs, depth, alpha, adds, y, y_stride)
    if (rows == CK_TILE_ROWS) CK_GROUP(CK_TILE_ROWS);
    else if (rows == 4) CK_GROUP(4);
    else if (rows == 2) CK_GROUP(2);
    else CK_GROUP(1);
#undef CK_GROUP
}

// Positions `first` ..< + `count` as float32: where they lie, or in `scratch`.
CK_INLINE const float *wide_rows(
    const ck_attention *a, const ck_kv_rows *kv, int64_t first, int64_t count, float *scratch, int64_t *stride) {
    *stride = kv->type == CK_KV_F32 ? kv->stride : a->head_size;
    if (kv->type == CK_KV_F32) return (const float *)kv->rows + first * kv->stride;
    for (int64_t r = first; r < first + count; r++) {
        float *to = scratch + (r - first) * a->head_size;
        if (kv->type == CK_KV_F16)
            CK_NAME(f16_to_f32)((const char *)kv->rows + r * kv->stride * 2, a->head_size, to);
        else
            CK_NAME(i8_decode)(
                (const int8_t *)kv->rows + r * kv->stride, a->head_size, kv->scales[r * kv->scale_stride], to);
    }
    return scratch;
}

// Strips of outputs (the positions) over `depth` columns, one behind the other.
CK_INLINE void pack_keys(const float *rows, int64_t stride, int64_t count, int64_t depth, float *strips) {
    for (int64_t n = 0; n < count; n += LANES)
        CK_NAME(strip_columns)(rows + n * stride, stride, count - n < LANES ? count - n : LANES, depth, strips + n * depth);
}

// Strips of 16 columns over CK_ATTENTION_KEYS positions.
CK_INLINE void pack_values(const float *rows, int64_t stride, int64_t count, int64_t columns, float *strips) {
    for (int64_t k = 0; k < count; k++) {
        const float *from = rows + k * stride;
        float *to = strips + k * LANES;
        int64_t n = 0;
        for (; n + LANES <= columns; n += LANES, to += CK_ATTENTION_KEYS * LANES) {
            floats v;
            LOAD(v, from + n);
            STORE(to, v);
        }
        if (n == columns) continue;
        memset(to, 0, sizeof(floats));
        memcpy(to, from + n, (size_t)(columns - n) * sizeof(float));
    }
}

CK_INLINE void keep_larger(floats *most, const floats *value) {
    const ints more = *value > *most;  // never where the value is NaN
    *most = (floats)(((ints)*value & more) | ((ints)*most & ~more));
}

CK_INLINE float largest_lane(const floats *value) {
    floats v = *value, w = __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    keep_larger(&v, &w);
    w = __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    keep_larger(&v, &w);
    w = __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    keep_larger(&v, &w);
    return v[1] > v[0] ? v[1] : v[0];
}

// Scores become their exponentials behind the largest so far, `count` of them, a multiple of 16, of which those of `seen` are
// to count; the others become 0.
typedef struct {
    float fall;   // the largest score before, less the one now
    float total;  // of the exponentials
} softmax_step;

CK_INLINE softmax_step exponentials(float *scores, int64_t count, ck_span seen, float *most) {
    if (seen.first >= seen.end) {
        memset(scores, 0, (size_t)count * sizeof(float));
        return (softmax_step){0, 0};
    }
    for (int64_t i = 0; i < seen.first; i++) scores[i] = -INFINITY;
    for (int64_t i = seen.end; i < count; i++) scores[i] = -INFINITY;
    floats v, now = SPLAT(floats, *most);
    for (int64_t i = 0; i < count; i += LANES) {
        LOAD(v, scores + i);
        keep_larger(&now, &v);
    }
    const float largest = largest_lane(&now);
    // Nothing but -inf so far is no distribution: zeros, and NaN for NaN.
    const bool is_none = largest == -INFINITY;
    const float base = is_none ? 0 : largest, fall = is_none ? 0 : *most - largest;
    floats total = {0}, zero = {0};
    for (int64_t i = 0; i < count; i += LANES) {
        LOAD(v, scores + i);
        v -= base;
        exp_lanes(&v);
        STORE(scores + i, v);
        total += v;
    }
    *most = largest;
    return (softmax_step){fall, sum_lanes(&total, &zero, &zero, &zero)};
}

// What a task works in: see ck_attention_scratch.
typedef struct {
    float *keys;          // [CK_ATTENTION_KEYS / 16][head_size][16]
    float *values;        // [width / 16][CK_ATTENTION_KEYS][16]
    float *wide;          // [CK_ATTENTION_KEYS][head_size]
    float *query;         // [CK_ATTENTION_TILE][width + 16]
    float *scores;        // [CK_ATTENTION_TILE][CK_ATTENTION_KEYS + 16]
    float *mixed;         // [rows][width]
    float *most, *total;  // [rows]
    int64_t width;        // head_size filled up to whole vectors
} attention_room;

CK_INLINE attention_room room_of(const ck_attention *a, float *scratch) {
    const int64_t rows = a->heads * a->tokens, width = ck_whole(a->head_size);
    attention_room room = {.keys = scratch, .width = width};
    room.values = room.keys + CK_ATTENTION_KEYS * a->head_size;
    room.wide = room.values + CK_ATTENTION_KEYS * width;
    room.query = room.wide + CK_ATTENTION_KEYS * a->head_size;
    room.scores = room.query + CK_ATTENTION_TILE * (width + CK_ROW_PAD);
    room.mixed = room.scores + CK_ATTENTION_TILE * (CK_ATTENTION_KEYS + CK_ROW_PAD);
    room.most = room.mixed + rows * width;
    room.total = room.most + rows;
    return room;
}

// Tokens `token` ..< + `group` of one head with the block of `count` keys from `start` on.
CK_INLINE void attend_tile(
    const ck_attention *a, const attention_room *room, int64_t head, int64_t token, int64_t group, int64_t start,
    int64_t count) {
    const ck_span seen = {
        ck_within(ck_visible(a, token), start, count).first, ck_within(ck_visible(a, token + group - 1), start, count).end};
    if (seen.first >= seen.end) return;
    const int64_t from = seen.first / LANES * LANES, span = seen.end - from, whole = ck_whole(span);
    const int64_t stride = room->width + CK_ROW_PAD, score_stride = CK_ATTENTION_KEYS + CK_ROW_PAD;
    for (int64_t i = 0; i < group; i++)
        memcpy(room->query + i * stride, a->queries + (token + i) * a->query_stride + head * a->head_size,
               (size_t)a->head_size * sizeof(float));
    tile_product(group, room->query, stride, room->keys + from * a->head_size, a->head_size * LANES, whole,
                 a->head_size, a->scale, false, room->scores, score_stride);

    floats fall = {0};
    float totals[CK_ATTENTION_TILE];
    const int64_t row = head * a->tokens + token;
    for (int64_t i = 0; i < group; i++) {
        const ck_span own = ck_within(ck_visible(a, token + i), start + from, span);
        const softmax_step step = exponentials(room->scores + i * score_stride, whole, own, room->most + row + i);
        fall[i] = step.fall;
        totals[i] = step.total;
    }
    exp_lanes(&fall);
    for (int64_t i = 0; i < group; i++) {
        room->total[row + i] = room->total[row + i] * fall[i] + totals[i];
        if (fall[i] != 1) CK_NAME(scale)(fall[i], room->mixed + (row + i) * room->width, room->width);
    }
    tile_product(group, room->scores, score_stride, room->values + from * LANES, CK_ATTENTION_KEYS * LANES, room->width,
                 span, 1, true, room->mixed + row * room->width, room->width);
}

CK_KERNEL void CK_NAME(attention_block)(const ck_attention *a, float *scratch) {
    const attention_room room = room_of(a, scratch);
    const int64_t rows = a->heads * a->tokens;
    memset(room.mixed, 0, (size_t)(rows * room.width) * sizeof(float));
    memset(room.total, 0, (size_t)rows * sizeof(float));
    for (int64_t r = 0; r < rows; r++) room.most[r] = -INFINITY;
    const int64_t end = ck_visible(a, a->tokens - 1).end;
    int64_t start = ck_visible(a, 0).first / CK_ATTENTION_KEYS * CK_ATTENTION_KEYS;
    for (; start < end; start += CK_ATTENTION_KEYS) {
        const int64_t count = end - start < CK_ATTENTION_KEYS ? end - start : CK_ATTENTION_KEYS;
        int64_t stride;
        const float *wide = wide_rows(a, &a->keys, start, count, room.wide, &stride);
        pack_keys(wide, stride, count, a->head_size, room.keys);
        wide = wide_rows(a, &a->values, start, count, room.wide, &stride);
        pack_values(wide, stride, count, a->head_size, room.values);
        for (int64_t head = 0; head < a->heads; head++)
            for (int64_t token = 0, group; token < a->tokens; token += group) {
                group = row_group(a->tokens - token, CK_TILE_ROWS);
                attend_tile(a, &room, head, token, group, start, count);
            }
    }
    for (int64_t head = 0; head < a->heads; head++)
        for (int64_t token = 0; token < a->tokens; token++) {
            const int64_t row = head * a->tokens + token;
            const float total = room.total[row];
            CK_NAME(scaled)(total == 0 ? 0 : 1.0f / total, room.mixed + row * room.width,
                            a->output + token * a->output_stride + head * a->head_size, a->head_size);
        }
}
