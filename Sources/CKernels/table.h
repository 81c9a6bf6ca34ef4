// The one table of function pointers behind the kernels that have several variants.
#ifndef CRAYON_KERNEL_TABLE_H
#define CRAYON_KERNEL_TABLE_H

#include "ckernels.h"

#include <string.h>

// bitsandbytes clamps a block's absmax to this before it divides; a denormal.
#define CK_LEAST_ABSMAX 1e-38f

// Sums of squared distances: of what a block has, and of what it would have under another scale.
typedef struct {
    double before, after;
} ck_keep_fit_errors;

// The order of int16 values for row products: `places` lists the elements of a block, NULL for as they come. Where blocks are
// paired, the four times 16 values of two blocks take turns: the first's, the second's, the first's …
typedef struct {
    const uint8_t *places;
    bool paired;
} ck_int16_order;

typedef struct {
    const char *name;

    // conversions
    void (*f16_to_f32)(const void *source, int64_t count, float *target);
    void (*bf16_to_f32)(const void *source, int64_t count, float *target);
    void (*f32_to_f16)(const float *source, int64_t count, void *target);
    void (*f32_to_bf16)(const float *source, int64_t count, void *target);

    // The largest |x| as its bits: 0x7f800000 and more say that something is not finite.
    uint32_t (*absmax_bits)(const float *x, int64_t count);
    // codes[count / 2] of x * reciprocal, which lies in -1 ... 1; count is even.
    void (*nf4_encode)(const float *x, int64_t count, float reciprocal, uint8_t *codes);
    // As ck_nf4_quantize, of whole blocks of 64. Returns the first block that is not finite, or -1.
    int64_t (*nf4_quantize64)(
        const void *source, ck_type type, int64_t blocks, uint8_t *codes, float *absmax);
    // target[count] = map[code] * scale; count is even.
    void (*nf4_decode)(const uint8_t *codes, int64_t count, const float *map, float scale, float *target);
    // As ck_nf4_scales, of a tensor whose scales are coded.
    void (*scales)(const ck_nf4_tensor *tensor, int64_t first, int64_t count, float *scales);
    // target[count] = map[codes[i]] * scale.
    void (*dynamic8_decode)(const uint8_t *codes, int64_t count, const float *map, float scale, float *target);
    // The positions 0 ... 65,535 of x * reciprocal in the CPU rule's table.
    void (*dynamic8_cells)(const float *x, int64_t count, float reciprocal, uint16_t *cells);

    // NULL where decoding a row to scratch memory and `dot` is all there is.
    void (*nf4_multiply)(
        const ck_nf4_tensor *tensor, int64_t columns, int64_t first_row, int64_t rows, const float *x, float *y);

    void (*strip_columns)(const float *w, int64_t stride, int64_t outputs, int64_t depth, float *strip);
    void (*strip_product)(
        const float *x, int64_t x_stride, int64_t rows, const float *strips, int64_t outputs, int64_t depth,
        float alpha, bool adds, float *y, int64_t y_stride);

    // As ck_int16_rows: the least scales for which no q is beyond `largest`, and no block's magnitudes sum up to more than
    // `limit`.
    void (*int16_rows)(
        const float *x, int64_t stride, int64_t rows, int64_t depth, float largest, float limit, ck_int16_order order,
        int16_t *q, int64_t q_stride, float *scales);
    // A strip of floats [depth][16] as ck_int16_strips has it, with magnitudes of at most `largest`.
    void (*int16_of_strip)(const float *strip, int64_t depth, float largest, int16_t *q, float *scales);
    // Where values stand for int16_row_products, and for dynamic8_row_products.
    ck_int16_order int16_order, dynamic8_order;
    // 16 outputs at most, codes of neighbouring ones `stride` bytes apart.
    void (*int16_strip)(
        const uint8_t *codes, int64_t stride, int64_t outputs, int64_t depth, const int16_t *levels, int16_t *strip);
    void (*int16_product)(
        const ck_int16_rows_view *x, int64_t rows, const int16_t *strips, const float *scales, int64_t outputs,
        int64_t depth, float alpha, bool adds, float *y, int64_t y_stride);
    // y[x][row] = sum over the row's blocks of (scales[row][block] * x's scale of the block) * (sum of levels[code] * q) for
    // `count` rows of x, at most CK_INT16_FEW. The weight's rows lie one behind the other.
    void (*int16_row_products)(
        const uint8_t *codes, int64_t rows, int64_t blocks, const int16_t *levels, const float *scales,
        const ck_int16_rows_view *x, int count, float *y, int64_t y_stride);
    // The same with codes of 8 bits, levels[256].
    void (*dynamic8_row_products)(
        const uint8_t *codes, int64_t rows, int64_t blocks, const int16_t *levels, const float *scales,
        const ck_int16_rows_view *x, int count, float *y, int64_t y_stride);
    // target[i] = levels[codes[i]]; count is a multiple of 64.
    void (*dynamic8_levels)(const uint8_t *codes, int64_t count, const int16_t *levels, int16_t *target);

    ck_keep_sums (*keep_sums)(const ck_keep_run *run, float t);
    void (*keep_codes)(const ck_keep_run *run, float t, uint8_t *codes);
    void (*keep_fill)(
        const float *level, const float *change, float reciprocal, float scale, float unit, int64_t count, float *step,
        float *scales, float *delta, double *sums);
    void (*keep_rates)(const float *step, const float *inverse, int64_t count, float *rate);
    ck_keep_fit_errors (*keep_refit)(
        const float *target, const float *old, int64_t count, float scale, float candidate, const ck_levels *levels,
        uint8_t *codes);
    void (*keep_pack)(const uint8_t *codes, int64_t count, uint8_t *packed);
    int32_t (*nearest_scale)(const float *map, float absmax, float offset, float wanted);

    float (*dot)(const float *x, const float *y, int64_t count);
    float (*dot_f16)(const void *w, const float *x, int64_t count);
    float (*dot_bf16)(const void *w, const float *x, int64_t count);
    // 8-bit rows with one scale, which `i8_encode` returns.
    float (*i8_encode)(const float *x, int64_t count, int8_t *codes);
    void (*i8_decode)(const int8_t *codes, int64_t count, float scale, float *target);
    void (*axpy)(float a, const float *x, float *y, int64_t count);
    void (*add)(const float *x, float *y, int64_t count);
    void (*scale)(float a, float *x, int64_t count);
    void (*scaled)(float a, const float *x, float *y, int64_t count);
    void (*rms_norm)(const float *x, const float *weight, float epsilon, int64_t count, float *y);
    void (*layer_norm)(
        const float *x, const float *weight, const float *bias, float epsilon, int64_t count, float *y);
    void (*softmax)(float *x, int64_t count);
    double (*softmax_loss)(float *x, int64_t count, int64_t target);
    void (*softmax_backward)(const float *p, float scale, int64_t count, float *dp);
    void (*silu_multiply_backward)(const float *dy, float *gate, float *up, int64_t count);
    void (*rms_norm_backward)(
        const float *x, const float *weight, float epsilon, int64_t count, const float *dy, float *dx);
    void (*exp)(const float *x, float *y, int64_t count);
    void (*silu_multiply)(const float *gate, const float *up, float *y, int64_t count);
    void (*quick_gelu)(float *x, int64_t count);
    void (*rotate_half)(float *x, int64_t heads, int64_t dim, const float *cosines, const float *sines);

    void (*low_rank_product)(
        const float *left, int64_t left_stride, const float *right, int64_t right_stride, int64_t rows,
        int64_t columns, int64_t depth, float factor, float *target, int64_t target_stride);
    void (*merge_sums)(
        const float *base, const float *delta, const float *merged, int64_t count, ck_merge_sums *total);
    void (*merge_bf16)(
        const void *base, const float *delta, int64_t count, void *merged, ck_merge_sums *total);
    uint32_t (*merge_target)(
        const float *level, float scale, bool rounds, const float *delta, int64_t count, float *x);
    void (*block_change)(
        const float *before, const float *after, const float *delta, int64_t count, ck_block_change *change);
    void (*panel_multiply)(
        const float *a, int64_t stride, int64_t rows, int64_t count, const float *v, float *y, bool adds);
    void (*panel_accumulate)(
        const float *a, int64_t stride, int64_t rows, int64_t count, const float *y, float *g);

    // As the functions of the same names.
    void (*attention_block)(const ck_attention *attention, float *scratch);
    void (*attention_part)(const ck_attention *attention, int64_t part, float *result);
    void (*attention_merge)(const ck_attention *attention, const float *results, int64_t stride);

    void (*adamw)(const ck_adamw *adamw, const float *g, int64_t count, float *p, float *m, float *v);
    double (*square_sum)(const float *x, int64_t count);
} ck_table;

extern ck_table ck_kernels;  // the selected variant; constant after start-up
extern const ck_table ck_table_portable;
#if defined(__x86_64__)
extern const ck_table ck_table_avx2;
extern const ck_table ck_table_avx512;
extern const ck_table ck_table_avx512vnni;

// Puts what VBMI is good for in place of the same of the variant with VNNI.
void ck_use_vbmi(ck_table *table);
#elif defined(__aarch64__)
extern const ck_table ck_table_neon;
#endif

// Thresholds between neighbouring NF4 values: the float32 midpoints.
extern const float ck_nf4_thresholds[15];

// -1 ... 1 in 32 cells of 1/16: the one threshold in each (infinity for none), and the number of those below it.
extern const float ck_nf4_cell_thresholds[32];
extern const int32_t ck_nf4_cell_codes[32];

// NF4's codes of bfloat16 values as a function of their bits: in a block whose absmax has the mantissa bits m, that of a magnitude
// depends on how far its bits are below absmax's, and on the sign. Cells of 32 of that distance (capped at 1,023, where all codes
// are that of 0; thresholds are at least 36 apart), those of negative values behind those of positive ones, hold 16 times the
// greatest distance for which the code is the cell's first, plus that code, from 15 down for negative values; one less beyond.
// Exponents do not matter while neither absmax nor its reciprocal is near a limit of float32: see the next two.
// [128][64], made when first asked for.
const uint16_t (*ck_nf4_bf16_cells(void))[64];
enum { CK_NF4_BF16_LEAST = 27 << 7, CK_NF4_BF16_MOST = (227 << 7) - 1 };

// A block of ck_nf4_quantize: `size` elements whose largest magnitude has these bits, all finite.
void ck_nf4_quantize_block(
    const float *x, int64_t size, int64_t block, uint32_t largest, uint8_t *codes, float *absmax);

static inline float ck_load_f32(const void *base, int64_t index) {
    float value;
    memcpy(&value, (const char *)base + index * 4, 4);
    return value;
}

static inline uint32_t ck_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

static inline float ck_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

#endif
