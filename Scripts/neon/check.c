// Compares every function of the kernels' table, NEON against portable, on random numbers and odd sizes. Scripts/neon-check
// builds it for arm64 and runs it; exit code 0: all agree. (NEON has no `nf4_multiply`.) -DCHECKED_TABLE=ck_table_avx2 and the
// like compare another variant.
#include "attention.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROOM = 1 << 20 };

#ifndef CHECKED_TABLE
#define CHECKED_TABLE ck_table_neon
#endif
static const ck_table *tables[2] = {&ck_table_portable, &CHECKED_TABLE};
static float out[2][ROOM], x[ROOM], y[ROOM], z[ROOM];
static uint8_t codes[ROOM];
static int16_t levels[256];
static int failures;

static const int64_t lengths[] = {1, 2, 7, 15, 16, 17, 31, 33, 64, 65, 100, 129, 1000, 4099};
#define EACH_LENGTH(n) for (size_t i_ = 0, n; i_ < sizeof lengths / sizeof *lengths && (n = (size_t)lengths[i_], 1); i_++)

// MARK: Inputs

static uint64_t state = 1;

static uint64_t next(void) {  // SplitMix64
    uint64_t v = state += 0x9e3779b97f4a7c15;
    v = (v ^ (v >> 30)) * 0xbf58476d1ce4e5b9;
    v = (v ^ (v >> 27)) * 0x94d049bb133111eb;
    return v ^ (v >> 31);
}

static float uniform(void) { return (float)(next() >> 40) * 0x1p-23f - 1; }

static void fill(float *v, int64_t count) {
    for (int64_t i = 0; i < count; i++) v[i] = uniform();
}

static void fill_bytes(void *v, int64_t count) {
    for (int64_t i = 0; i < count; i++) ((uint8_t *)v)[i] = (uint8_t)next();
}

// MARK: Comparing

// How many functions were compared, how many numbers of each, and the largest difference over the largest magnitude.
static struct {
    const char *name;
    int64_t numbers;
    double worst, allowed;
} report[80];
static int reports;

static void note(const char *name, int64_t numbers, double error, double allowed) {
    int i = 0;
    while (i < reports && strcmp(report[i].name, name) != 0) i++;
    if (i == reports) report[reports++].name = name;
    report[i].numbers += numbers;
    report[i].allowed = allowed;
    if (!(error <= report[i].worst)) report[i].worst = error;
    if (!(error <= allowed)) failures++;
}

static void compare(const char *name, const float *a, const float *b, int64_t count, double allowed) {
    double most = 0, error = 0;
    for (int64_t i = 0; i < count; i++) {
        if (isnan(a[i]) && isnan(b[i])) continue;
        if (ck_bits(a[i]) == ck_bits(b[i])) {
            if (isfinite(a[i])) most = fmax(most, fabs((double)a[i]));
            continue;
        }
        most = fmax(most, fabs((double)a[i]));
        const double d = fabs((double)a[i] - (double)b[i]);
        error = d <= error ? error : d;
    }
    note(name, count, error == 0 ? 0 : error / most, allowed);
}

static void compare_bytes(const char *name, const void *a, const void *b, int64_t count) {
    note(name, count, memcmp(a, b, (size_t)count) == 0 ? 0 : INFINITY, 0);
}

// Calls a function of both tables, `to` being its output, and compares `count` floats, or the bytes of so many.
#define BOTH_CALL(call)                       \
    for (int side = 0; side < 2; side++) {    \
        const ck_table *t = tables[side];     \
        float *to = out[side];                \
        (void)to;                             \
        call;                                 \
    }
#define BOTH(name, count, allowed, call)                                  \
    do {                                                                  \
        memset(out, 0, sizeof(float) * (size_t)((count) + 64));           \
        memset(out[1], 0, sizeof(float) * (size_t)((count) + 64));        \
        BOTH_CALL(call)                                                   \
        compare(#name, out[0], out[1], (count), (allowed));               \
    } while (0)
#define BOTH_BYTES(name, count, call)                     \
    do {                                                  \
        memset(out[0], 0, (size_t)(count) + 64);          \
        memset(out[1], 0, (size_t)(count) + 64);          \
        BOTH_CALL(call)                                   \
        compare_bytes(#name, out[0], out[1], (count));    \
    } while (0)

static const double exact = 0, rounded = 2e-6;

// MARK: Conversions and quantizers

static void conversions(void) {
    for (int64_t first = 0; first < 65536; first += 4099) {
        uint16_t halves[4099];
        for (int i = 0; i < 4099; i++) halves[i] = (uint16_t)(first + i);
        BOTH(f16_to_f32, 4099, exact, t->f16_to_f32(halves, 4099, to));
        BOTH(bf16_to_f32, 4099, exact, t->bf16_to_f32(halves, 4099, to));
    }
    EACH_LENGTH(n) {
        fill_bytes(x, (int64_t)n * 4);  // any bits
        BOTH_BYTES(f32_to_f16, (int64_t)n * 2, t->f32_to_f16(x, (int64_t)n, to));
        BOTH_BYTES(f32_to_bf16, (int64_t)n * 2, t->f32_to_bf16(x, (int64_t)n, to));
        for (size_t i = 0; i < n; i++) x[i] = uniform() * (i % 3 ? 7e4f : 1e-5f);
        BOTH_BYTES(f32_to_f16, (int64_t)n * 2, t->f32_to_f16(x, (int64_t)n, to));
        fill(x, (int64_t)n + 1);
        BOTH(absmax_bits, 1, exact, to[0] = ck_float(t->absmax_bits(x, (int64_t)n)));
        const int64_t even = (int64_t)(n + 1) / 2 * 2;
        BOTH_BYTES(nf4_encode, even / 2, t->nf4_encode(x, even, 0.97f, (uint8_t *)to));
        fill_bytes(codes, even);
        BOTH(nf4_decode, even, exact, t->nf4_decode(codes, even, ck_nf4_map, 0.3f, to));
        const float nested[] = {0.7f, 0.2f, 0.3f, 3, 1.5f};
        const ck_nf4_tensor coded = {
            .scale_codes = codes, .nested_absmax = nested, .nested_map = ck_dynamic_map, .nested_block = (int64_t)n / 4 + 1,
            .offset = 0.1f};
        BOTH(scales, (int64_t)n, exact, t->scales(&coded, 0, (int64_t)n, to));
        BOTH(dynamic8_decode, (int64_t)n, exact, t->dynamic8_decode(codes, (int64_t)n, ck_dynamic_map, 0.7f, to));
        BOTH_BYTES(dynamic8_cells, (int64_t)n * 2, t->dynamic8_cells(x, (int64_t)n, 1.01f, (uint16_t *)to));
        BOTH_BYTES(i8_encode, (int64_t)n, (void)t->i8_encode(x, (int64_t)n, (int8_t *)to));
        BOTH(i8_encode, 1, exact, to[0] = t->i8_encode(x, (int64_t)n, (int8_t *)(to + 16)));
        BOTH(i8_decode, (int64_t)n, exact, t->i8_decode((const int8_t *)codes, (int64_t)n, 0.01f, to));
    }
    for (ck_type type = CK_F32; type <= CK_BF16; type++) {
        fill(x, 640);
        tables[0]->f32_to_f16(x, 640, y);
        if (type == CK_BF16) tables[0]->f32_to_bf16(x, 640, y);
        const void *from = type == CK_F32 ? x : y;
        BOTH_BYTES(nf4_quantize64, 320, t->nf4_quantize64(from, type, 10, (uint8_t *)to, z));
        BOTH(nf4_quantize64, 10, exact, t->nf4_quantize64(from, type, 10, (uint8_t *)(to + 16), to));
    }
}

// MARK: Vectors

static void vectors(void) {
    EACH_LENGTH(length) {
        const int64_t n = (int64_t)length;
        fill(x, n);
        fill(y, n);
        fill(z, n);
        uint16_t *narrow = (uint16_t *)codes;
        BOTH(dot, 1, rounded, to[0] = t->dot(x, x, n));
        tables[0]->f32_to_f16(x, n, narrow);
        BOTH(dot_f16, 1, rounded, to[0] = t->dot_f16(narrow, x, n));
        tables[0]->f32_to_bf16(x, n, narrow);
        BOTH(dot_bf16, 1, rounded, to[0] = t->dot_bf16(narrow, x, n));
#define COPY(from) memcpy(to, from, sizeof(float) * (size_t)n)
        BOTH(axpy, n, rounded, (COPY(y), t->axpy(0.3f, x, to, n)));
        BOTH(add, n, exact, (COPY(y), t->add(x, to, n)));
        BOTH(scale, n, exact, (COPY(y), t->scale(0.3f, to, n)));
        BOTH(scaled, n, exact, t->scaled(0.3f, x, to, n));
        BOTH(rms_norm, n, rounded, t->rms_norm(x, y, 1e-5f, n, to));
        BOTH(layer_norm, n, 1e-5, t->layer_norm(x, y, z, 1e-5f, n, to));
        BOTH(rms_norm_backward, n, rounded, (COPY(z), t->rms_norm_backward(x, y, 1e-5f, n, z, to)));
        BOTH(softmax, n, rounded, (COPY(x), t->softmax(to, n)));
        BOTH(softmax_loss, n + 1, rounded, (COPY(x), to[n] = (float)t->softmax_loss(to, n, n / 2)));
        BOTH(softmax_backward, n, rounded, (COPY(x), t->softmax_backward(y, 0.5f, n, to)));
        BOTH(exp, n, rounded, t->exp(x, to, n));
        BOTH(silu_multiply, n, rounded, t->silu_multiply(x, y, to, n));
        BOTH(silu_multiply_backward, 2 * n, rounded,
             (COPY(x), memcpy(to + n, y, sizeof(float) * (size_t)n), t->silu_multiply_backward(z, to, to + n, n)));
        BOTH(quick_gelu, n, rounded, (COPY(x), t->quick_gelu(to, n)));
        BOTH(rotate_half, n / 2 * 2, rounded, (COPY(x), t->rotate_half(to, 1, n / 2 * 2, y, z)));
        BOTH(square_sum, 1, exact, to[0] = (float)t->square_sum(x, n));
        const ck_adamw step = {CK_ADAMW_TORCH, 0.5f, 0.99f, 0.9f, 0.1f, 0.999f, 0.001f, 0.03f, 1e-8f, -1e-3f};
        for (int form = 0; form < 3; form++) {
            ck_adamw own = step;
            own.form = (ck_adamw_form)form;
            BOTH(adamw, 3 * n, exact,
                 (COPY(x), memcpy(to + n, y, sizeof(float) * (size_t)n),
                  memset(to + 2 * n, 0, sizeof(float) * (size_t)n), t->adamw(&own, z, n, to, to + n, to + 2 * n)));
        }
    }
}

// MARK: Products

static void products(void) {
    static float strips[2][64 * 512];
    static const int64_t shapes[][3] = {  // rows, outputs, depth
        {1, 1, 1}, {2, 15, 7}, {3, 16, 8}, {5, 17, 9}, {6, 33, 64}, {7, 48, 65}, {9, 31, 511}, {14, 50, 512}, {23, 64, 40}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t rows = shapes[i][0], outputs = shapes[i][1], depth = shapes[i][2];
        fill(x, rows * (depth + 3));
        fill(y, outputs * (depth + 5));
        for (int64_t n = 0; n < outputs; n += 16) {
            const int64_t count = outputs - n < 16 ? outputs - n : 16;
            for (int s = 0; s < 2; s++)
                tables[s]->strip_columns(y + n * (depth + 5), depth + 5, count, depth, strips[s] + n * depth);
            compare("strip_columns", strips[0] + n * depth, strips[1] + n * depth, 16 * depth, exact);
        }
        fill(z, rows * (outputs + 2));
        for (int adds = 0; adds < 2; adds++)
            BOTH(strip_product, rows * (outputs + 2), rounded,
                 (memcpy(to, z, sizeof(float) * (size_t)(rows * (outputs + 2))),
                  t->strip_product(x, depth + 3, rows, strips[0], outputs, depth, 0.5f, adds, to, outputs + 2)));
        BOTH(panel_multiply, rows * 16, rounded, t->panel_multiply(x, depth + 3, rows, depth, strips[0], to, false));
        BOTH(panel_accumulate, depth * 16, rounded, t->panel_accumulate(x, depth + 3, rows, depth, y, to));
        fill(y, depth * (outputs + 1));
        BOTH(low_rank_product, rows * outputs, exact,
             t->low_rank_product(x, depth + 3, y, outputs + 1, rows, outputs, depth, 0.7f, to, outputs));
    }
}

// Rows as int16 in an order; compared only where both tables want the same.
static void int16_products(void) {
    static int16_t q[2][16 * 2048], strips[2][64 * 1024];
    static float scales[2][16 * 64], own[64 * 64];
    for (int i = 0; i < 256; i++) levels[i] = (int16_t)next();
    const ck_int16_order natural = {NULL, false};
    const float limit = (float)(INT32_MAX / 32768 - 64);
    for (int64_t depth = 64; depth <= 1024; depth += 320)
        for (int64_t rows = 1; rows <= 13; rows += rows < 5 ? 1 : 4) {
            fill(x, rows * depth);
            for (int s = 0; s < 2; s++)
                tables[s]->int16_rows(x, depth, rows, depth, CK_INT16_LARGEST, limit, natural, q[s], depth, scales[s]);
            compare_bytes("int16_rows", q[0], q[1], rows * depth * 2);
            compare("int16_rows", scales[0], scales[1], rows * depth / 64, 1e-7);
            const ck_int16_rows_view view = {q[0], depth, scales[0], depth / 64};
            fill(own, 64 * depth / 64);
            fill_bytes(codes, 64 * depth);
            for (int64_t outputs = 1; outputs <= 48; outputs += outputs < 15 ? 5 : 16) {
                memset(strips, 0, sizeof strips);
                for (int64_t n = 0; n < outputs; n += 16) {
                    const int64_t count = outputs - n < 16 ? outputs - n : 16;
                    for (int s = 0; s < 2; s++)
                        tables[s]->int16_strip(
                            codes + n * depth / 2, depth / 2, count, depth, levels, strips[s] + n * depth);
                    // Outputs that are not there may be anything.
                    for (int64_t p = 0; p < depth / 2; p++)
                        compare_bytes("int16_strip", strips[0] + n * depth + p * 32, strips[1] + n * depth + p * 32, count * 4);
                }
                BOTH(int16_product, rows * outputs, rounded,
                     t->int16_product(&view, rows, strips[0], own, outputs, depth, 0.5f, false, to, outputs));
            }
            fill(y, depth * 16);
            for (int s = 0; s < 2; s++) tables[s]->int16_of_strip(y, depth - 7, 10000, strips[s], scales[s]);
            compare_bytes("int16_of_strip", strips[0], strips[1], (depth + 63) / 64 * 64 * 16 * 2);
            compare("int16_of_strip", scales[0], scales[1], (depth + 63) / 64 * 16, exact);
            BOTH_BYTES(dynamic8_levels, depth * 2, t->dynamic8_levels(codes, depth, levels, (int16_t *)to));
            if (rows > CK_INT16_FEW) continue;
            for (int wide = 0; wide < 2; wide++) {
                ck_int16_rows_view views[2];
                for (int s = 0; s < 2; s++) {
                    const ck_int16_order order = wide ? tables[s]->dynamic8_order : tables[s]->int16_order;
                    tables[s]->int16_rows(
                        x, depth, rows, depth, CK_INT16_LARGEST, limit, order, q[s], depth + 64, scales[s]);
                    views[s] = (ck_int16_rows_view){q[s], depth + 64, scales[s], depth / 64};
                }
                if (wide)
                    BOTH(dynamic8_row_products, rows * 7, rounded,
                         t->dynamic8_row_products(codes, 7, depth / 64, levels, own, &views[side], (int)rows, to, 7));
                else
                    BOTH(int16_row_products, rows * 7, rounded,
                         t->int16_row_products(codes, 7, depth / 64, levels, own, &views[side], (int)rows, to, 7));
            }
        }
}

// MARK: Merges

static void merges(void) {
    static float level[ROOM], step[ROOM], scale[ROOM], delta[ROOM], rate[ROOM], inverse[ROOM];
    ck_levels own;
    ck_keep_levels(ck_nf4_map, &own);
    EACH_LENGTH(length) {
        const int64_t n = (int64_t)length;
        for (int64_t i = 0; i < n; i++) {
            const int code = (int)(next() & 15);
            level[i] = ck_nf4_map[code];
            inverse[i] = own.inverse[code];
        }
        fill(x, n);
        double sums[2][24] = {{0}};
        BOTH(keep_fill, 3 * n, exact,
             t->keep_fill(level, x, 0.9f, 1.1f, 0.5f, n, to, to + n, to + 2 * n, sums[side]));
        compare_bytes("keep_fill", sums[0], sums[1], sizeof sums[0]);
        tables[0]->keep_fill(level, x, 0.9f, 1.1f, 0.5f, n, step, scale, delta, NULL);
        BOTH(keep_rates, (n + 15) / 16, exact, t->keep_rates(step, inverse, n, to));
        tables[0]->keep_rates(step, inverse, n, rate);
        ck_keep_run run = {own, level, step, scale, delta, rate, n, 0, 0, 0};
        BOTH_BYTES(keep_sums, sizeof(ck_keep_sums), *(ck_keep_sums *)to = t->keep_sums(&run, 0.4f));
        BOTH_BYTES(keep_codes, n, t->keep_codes(&run, 0.4f, (uint8_t *)to));
        BOTH_BYTES(keep_refit, n + (int64_t)sizeof(ck_keep_fit_errors),
                   *(ck_keep_fit_errors *)to = t->keep_refit(x, level, n, 0.8f, 1.2f, &own, (uint8_t *)(to + 4)));
        fill_bytes(codes, n);
        for (int64_t i = 0; i < n; i++) codes[i] &= 15;
        BOTH_BYTES(keep_pack, (n + 1) / 2, t->keep_pack(codes, n, (uint8_t *)to));
        BOTH(nearest_scale, 1, exact, to[0] = (float)t->nearest_scale(ck_dynamic_map, 0.7f, 0.1f, x[0]));
        fill(y, n);
        fill(z, n);
        BOTH_BYTES(merge_sums, sizeof(ck_merge_sums), t->merge_sums(x, y, z, n, (ck_merge_sums *)to));
        uint16_t narrow[4099];
        tables[0]->f32_to_bf16(x, n, narrow);
        BOTH_BYTES(merge_bf16, n * 2 + 64, t->merge_bf16(narrow, y, n, to + 16, (ck_merge_sums *)to));
        BOTH(merge_target, n + 1, exact, to[n] = ck_float(t->merge_target(level, 0.3f, side >= 0, y, n, to)));
        BOTH_BYTES(block_change, sizeof(ck_block_change), t->block_change(level, x, y, n, (ck_block_change *)to));
    }
}

// MARK: Attention

static void attention(void) {
    static int8_t narrow[2][ROOM];
    static float scales[2][ROOM / 8], scratch[ROOM];
    static const int64_t shapes[][5] = {  // tokens, past, heads, size, window
        {1, 0, 1, 1, 0}, {1, 500, 4, 128, 0}, {3, 254, 3, 18, 0}, {4, 255, 7, 80, 90}, {23, 0, 2, 33, 0}, {70, 300, 2, 24, 7}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t tokens = shapes[i][0], past = shapes[i][1], heads = shapes[i][2], size = shapes[i][3];
        const int64_t positions = past + tokens;
        // The last two: keys in float32 beside narrow values.
        for (int mix = 0; mix < 5; mix++) {
            const ck_kv_type type = (ck_kv_type)(mix < 3 ? mix : mix - 2), key_type = mix < 3 ? type : CK_KV_F32;
            fill(x, tokens * heads * size);
            fill(y, positions * size);
            fill(z, positions * size);
            const void *rows[2] = {y, z};
            for (int kv = 0; kv < 2; kv++) {
                const float *from = rows[kv];
                if (type == CK_KV_F16) tables[0]->f32_to_f16(from, positions * size, narrow[kv]);
                for (int64_t r = 0; type == CK_KV_I8 && r < positions; r++)
                    scales[kv][r] = tables[0]->i8_encode(from + r * size, size, narrow[kv] + r * size);
                if ((kv ? type : key_type) != CK_KV_F32) rows[kv] = narrow[kv];
            }
            ck_attention a = {
                .keys = {key_type, rows[0], scales[0], size, 1}, .values = {type, rows[1], scales[1], size, 1},
                .positions = positions, .head_size = size, .scale = 1 / sqrtf((float)size), .queries = x,
                .tokens = tokens, .heads = heads, .query_stride = heads * size, .position = past, .is_causal = true,
                .window = shapes[i][4] ? shapes[i][4] : positions, .output_stride = heads * size};
            BOTH(attention_block, tokens * heads * size, rounded, (a.output = to, t->attention_block(&a, scratch)));
            const int64_t part = ck_attention_part_size(tokens * heads, size);
            const int64_t parts = (positions + CK_ATTENTION_PART - 1) / CK_ATTENTION_PART;
            memset(scratch, 0, sizeof scratch);
            for (int side = 0; side < 2; side++) {
                a.output = out[side];
                for (int64_t p = 0; p < parts; p++) tables[side]->attention_part(&a, p, scratch + p * part);
                tables[side]->attention_merge(&a, scratch, part);
            }
            compare("attention_part, _merge", out[0], out[1], tokens * heads * size, rounded);
        }
    }
}

int main(void) {
    printf("%s against %s\n", tables[1]->name, tables[0]->name);
    conversions();
    vectors();
    products();
    int16_products();
    merges();
    attention();
    printf("%-24s %10s %12s %10s\n", "function", "compared", "difference", "allowed");
    for (int i = 0; i < reports; i++)
        printf("%-24s %10lld %12.2g %10.2g\n", report[i].name, (long long)report[i].numbers, report[i].worst,
               report[i].allowed);
    printf("%d functions, %d comparisons failed\n", reports, failures);
    return failures > 0;
}
