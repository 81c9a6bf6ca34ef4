// Crayon's C kernels: number conversion, 4-bit and 8-bit quantization, row products and the vector
// functions of a transformer. The Swift module Kernels is their only caller and holds every
// precondition; nothing here allocates, locks, prints, or looks at how many threads call it.
//
// Pointers of type `void` may have any alignment (they point into mapped files); float pointers are
// aligned to 4 bytes. Counts are in elements unless they say bytes.
#ifndef CRAYON_CKERNELS_H
#define CRAYON_CKERNELS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// MARK: Which instructions are used

// Chosen once, when the program starts: the widest of "portable", "avx2", "avx512", "avx512vnni" and "neon" that the
// processor has, or what the environment variable CRAYON_KERNELS names.
const char *ck_variant(void);

// What CRAYON_KERNELS asked for although it is unknown or not available here, else NULL. The
// default is used then, and the caller must say so.
const char *ck_rejected_variant(void);

// Whether the named variant exists and this processor can run it.
bool ck_has_variant(const char *name);

// Switches to the named variant, for tests and benchmarks; false where it is not available. Not to be
// called while another thread is in a kernel.
bool ck_select_variant(const char *name);

// MARK: Element types

typedef enum { CK_F32 = 0, CK_F16 = 1, CK_BF16 = 2 } ck_type;

// Widening is exact; narrowing rounds to nearest, ties to even, and keeps a NaN a quiet NaN.
void ck_to_f32(const void *source, ck_type type, int64_t count, float *target);
void ck_from_f32(const float *source, ck_type type, int64_t count, void *target);
void ck_f64_to_f32(const void *source, int64_t count, float *target);

// MARK: NF4

// The 16 values of NF4 and the 256 of bitsandbytes' 8-bit dynamic maps, signed and unsigned, all ascending.
extern const float ck_nf4_map[16];
extern const float ck_dynamic_map[256];
extern const float ck_unsigned_dynamic_map[256];

// Quantizes `count` elements that start at a block boundary: absmax[ceil(count / block)] and
// codes[(count + 1) / 2], the even element in the high nibble. A last block of fewer than `block`
// elements is the tensor's partial one and is divided instead of multiplied by the reciprocal, as in
// bitsandbytes 0.50. `block` is even and at most 4096. Returns -1, or the first index that is not finite;
// the outputs are unspecified then.
int64_t ck_nf4_quantize(
    const void *source, ck_type type, int64_t count, int64_t block, uint8_t *codes, float *absmax);

// A 4-bit tensor in memory. Either `absmax` holds a float32 for every block, or it is NULL and the scale of block
// b is float32(nested_map[scale_codes[b]] * nested_absmax[b / nested_block]) + offset.
typedef struct {
    const uint8_t *codes;
    const float *map;  // [16]
    int64_t block;
    const void *absmax;         // float32 [blocks] or NULL
    const uint8_t *scale_codes;  // [blocks]
    const void *nested_absmax;   // float32 [ceil(blocks / nested_block)]
    const float *nested_map;     // [256]
    int64_t nested_block;
    float offset;
} ck_nf4_tensor;

// The scales of blocks first ..< first + count as float32, with both roundings of the reference.
void ck_nf4_scales(const ck_nf4_tensor *tensor, int64_t first, int64_t count, float *scales);

// Elements start ..< start + count, bit for bit bitsandbytes': float32(map[code] * scale), then
// rounded to `type`.
void ck_nf4_dequantize(const ck_nf4_tensor *tensor, int64_t start, int64_t count, ck_type type, void *target);

// y[r] = sum over c of W[first_row + r][c] x[c] for a row-major W with `columns` columns, in float32. The
// result depends on the variant and the shape only, not on how rows are split over calls.
void ck_nf4_multiply(
    const ck_nf4_tensor *tensor, int64_t columns, int64_t first_row, int64_t rows, const float *x, float *y);

// MARK: Products with many rows

// A weight's outputs in strips of 16: strips[ceil(outputs / 16)][depth][16], inputs ascending, missing outputs 0.
enum { CK_STRIP = 16 };

// The most inputs that ck_strip_product takes at a time, and the most outputs of ck_nf4_strips_of_inputs.
enum { CK_STRIP_DEPTH = 512, CK_STRIP_OUTPUTS = 512 };

// From w[outputs][depth] (a linear layer's weight), rows `stride` apart.
void ck_strips_of_outputs(const float *w, int64_t stride, int64_t outputs, int64_t depth, float *strips);

// From w[depth][outputs] (the same weight when a gradient goes back through it).
void ck_strips_of_inputs(const float *w, int64_t stride, int64_t outputs, int64_t depth, float *strips);

// The same from a 4-bit weight with `columns` inputs: outputs first_row ..< + outputs, inputs first_column ..< + depth.
void ck_nf4_strips_of_outputs(
    const ck_nf4_tensor *tensor, int64_t columns, int64_t first_row, int64_t outputs, int64_t first_column,
    int64_t depth, float *strips);

// Rows first_row ..< + depth and columns first_column ..< + outputs of it, for the gradient.
void ck_nf4_strips_of_inputs(
    const ck_nf4_tensor *tensor, int64_t columns, int64_t first_row, int64_t depth, int64_t first_column,
    int64_t outputs, float *strips);

// y[r][n] = alpha * (sum over k of x[r][k] strips[n][k]), or added to y where `adds`; depth at most CK_STRIP_DEPTH. Each sum
// runs over k in ascending order in float32, whatever the number of rows and outputs.
void ck_strip_product(
    const float *x, int64_t x_stride, int64_t rows, const float *strips, int64_t outputs, int64_t depth, float alpha,
    bool adds, float *y, int64_t y_stride);

// MARK: Products in int16
//
// The levels of a quantized weight as integers, or a dense one as integers with a scale for every 64 values, and x as integers
// with a scale for every 64: 64 products are summed exactly in int32 and then scaled. Twice the rate of float32 where the
// processor multiplies pairs of int16.

// Values that share a scale, and the most inputs of strips; the first divides the second.
enum { CK_INT16_BLOCK = 64, CK_INT16_DEPTH = 1024 };

// The largest magnitude of x's integers.
enum { CK_INT16_LARGEST = 32766 };

// The most rows of x that a row product takes at a time.
enum { CK_INT16_FEW = 4 };

// The longest row of a weight that a row product takes.
enum { CK_INT16_COLUMNS = 1 << 17 };

// What rows of x are meant for: it decides the order of their values.
typedef enum { CK_FOR_STRIPS = 0, CK_FOR_NF4_ROWS = 1, CK_FOR_DYNAMIC8_ROWS = 2 } ck_int16_use;

// Rows of x as int16: value = q * scales[row][k / 64].
typedef struct {
    const int16_t *q;  // rows `stride` apart
    int64_t stride;
    const float *scales;  // rows `scale_stride` apart
    int64_t scale_stride;
} ck_int16_rows_view;

// q[r][k] = round(x[r][k] / scale), scales[r][ceil(depth / 64)], with the least scale of a block for which no q leaves int16
// and no sum of 64 products with levels of at most `most` leaves int32. A block that holds NaN or infinity has the scale NaN. A
// last block that is not whole is filled up with zeros; scales lie one row behind the other. The values of a block are in the
// order that this variant wants for `use`; for row products of NF4 weights a row takes a multiple of 128 of them.
void ck_int16_rows(
    const float *x, int64_t stride, int64_t rows, int64_t depth, int32_t most, ck_int16_use use, int16_t *q,
    int64_t q_stride, float *scales);

// Outputs first_row ..< + outputs, inputs first_column ..< + depth of a weight with `columns` inputs, as strips of pairs of
// inputs: strips[ceil(outputs / 16)][depth / 2][16][2], scales[ceil(outputs / 16)][depth / 64][16], each times `unit`.
// `levels` are the tensor's map / unit as integers. The tensor's block and `columns`, first_column and depth are multiples of
// 64, columns is one of the block; depth is at most CK_INT16_DEPTH.
void ck_nf4_int16_strips(
    const ck_nf4_tensor *tensor, int64_t columns, int64_t first_row, int64_t outputs, int64_t first_column,
    int64_t depth, const int16_t *levels, float unit, int16_t *strips, float *scales);

// As ck_strip_product; x begins at the strips' first input.
void ck_int16_product(
    const ck_int16_rows_view *x, int64_t rows, const int16_t *strips, const float *scales, int64_t outputs,
    int64_t depth, float alpha, bool adds, float *y, int64_t y_stride);

// y[i][r] = sum over c of W[first_row + r][c] x[i][c] for `count` rows of x, at most CK_INT16_FEW, by ck_int16_rows for this
// use. What a row of x gives does not depend on the others. Conditions as for the strips.
void ck_nf4_multiply_int16(
    const ck_nf4_tensor *tensor, int64_t columns, int64_t first_row, int64_t rows, const int16_t *levels, float unit,
    const ck_int16_rows_view *x, int64_t count, float *y, int64_t y_stride);

// A weight in the 8-bit dynamic map: float32 absmax[ceil(count / block)].
typedef struct {
    const uint8_t *codes;
    const void *absmax;
    int64_t block;
} ck_dynamic8_tensor;

// The same two for such a weight, levels[256]. Its block and columns are multiples of 64, of each other not necessarily.
void ck_dynamic8_int16_strips(
    const ck_dynamic8_tensor *tensor, int64_t columns, int64_t first_row, int64_t outputs, int64_t first_column,
    int64_t depth, const int16_t *levels, float unit, int16_t *strips, float *scales);
void ck_dynamic8_multiply_int16(
    const ck_dynamic8_tensor *tensor, int64_t columns, int64_t first_row, int64_t rows, const int16_t *levels,
    float unit, const ck_int16_rows_view *x, int64_t count, float *y, int64_t y_stride);

// Strips of w[outputs][depth], rows `stride` apart, as integers of at most `largest` with a scale for every 64; depth is at most
// CK_INT16_DEPTH, and filled up with zeros to a multiple of 64.
void ck_float_int16_strips(
    const float *w, int64_t stride, int64_t outputs, int64_t depth, int32_t largest, int16_t *strips, float *scales);

// Float strips[ceil(outputs / 16)][depth][16] as integers of at most `largest` with a scale for every 64 inputs: q[depth / 2][16][2]
// and scales[depth / 64][16] of each strip, so far apart. The inputs are filled up with zeros to a multiple of 64.
void ck_int16_strips(
    const float *strips, int64_t outputs, int64_t depth, int32_t largest, int16_t *q, int64_t q_stride, float *scales,
    int64_t scale_stride);

// MARK: A change of 4-bit weights, rounded onto their own grid

// The 16 levels of a map, as the loops want them.
typedef struct {
    float map[16];
    float thresholds[16];  // float32 midpoints; the last is infinite
    int32_t exchange[15];  // the bits of level k against those of level k + 1
    int32_t first;         // the bits of level 0
    float inverse[16];     // 1 over what a level can be moved by before it goes to a neighbour, and a little more
} ck_levels;

// False when the levels do not ascend strictly, or are not finite.
bool ck_keep_levels(const float *map, ck_levels *levels);

// `count` weights and the change that each should have, in units of the caller's choice: weight = level * scale, and
// step is the change over the scale. The arrays are the caller's, `rate` of (count + 15) / 16.
typedef struct {
    ck_levels levels;
    float *level, *step, *scale, *delta;
    float *rate;  // by 16 elements: none of them moves at t while rate * t < 1
    int64_t count;
    double squared_weight, product, squared_delta;  // sums of weight^2, weight * delta, delta^2
} ck_keep_run;

// Fills the arrays and the three sums from elements start ..< start + count of a tensor; scales and changes are
// multiplied by `unit`, a power of two. Elements of a block whose scale is no normal number get a scale and a step of 0.
// The sums are 0 where they are not wanted.
void ck_keep_prepare(
    const ck_nf4_tensor *tensor, int64_t start, int64_t count, float unit, const float *delta, bool wants_sums,
    ck_keep_run *run);

// e is what an element changes by when level + t step is rounded to the nearest level. The same bits in every variant.
typedef struct {
    double product, squared;  // sums of e * delta and e^2
} ck_keep_sums;
ck_keep_sums ck_keep_measure(const ck_keep_run *run, float t);

// The codes of those levels, one to a byte.
void ck_keep_encode(const ck_keep_run *run, float t, uint8_t *codes);

// For blocks from element `start`, a multiple of the block size, whose largest element, weight + change, is to go well beyond
// the largest level: another scale and the codes for it, where that brings the block nearer to weight + change. A scale goes
// to `scale_codes` or, where the tensor has none, to `absmax`, both of the whole tensor; codes lie one to a byte.
void ck_keep_fit(
    const ck_nf4_tensor *tensor, const ck_levels *levels, int64_t start, int64_t count, const float *changes,
    uint8_t *codes, uint8_t *scale_codes, float *absmax);

// Two codes to a byte; an odd last one is padded with 7.
void ck_keep_pack(const uint8_t *codes, int64_t count, uint8_t *packed);

// MARK: 8-bit dynamic map

typedef enum {
    // bitsandbytes 0.50 on a CPU: a table of 65,536 cells, which is not always the nearest code.
    CK_CODES_CPU = 0,
    // The nearest code, a tie going to the even one, as bitsandbytes does on CUDA.
    CK_CODES_NEAREST = 1,
} ck_code_rule;

// Quantizes (source - offset) in blocks; block at most 4096. Returns -1 or the first index that is not finite.
int64_t ck_dynamic8_quantize(
    const void *source, ck_type type, int64_t count, int64_t block, float offset, ck_code_rule rule, uint8_t *codes,
    float *absmax);

// Elements start ..< start + count: float32(map[code] * absmax[block]), then rounded to `type`.
void ck_dynamic8_dequantize(
    const uint8_t *codes, const void *absmax, const float *map, int64_t block, int64_t start, int64_t count,
    ck_type type, void *target);

void ck_dynamic8_multiply(
    const uint8_t *codes, const void *absmax, const float *map, int64_t block, int64_t columns, int64_t first_row,
    int64_t rows, const float *x, float *y);

// MARK: Double quantization of scales

// torch's float32 mean on one thread with AVX2: cascade summation over 8 lanes, to the last bit.
float ck_cascade_mean(const float *values, int64_t count);

// MARK: Dense products and vectors

// y[r] = sum over c of W[r][c] x[c]; rows are `stride` elements apart.
void ck_multiply(
    const void *weights, ck_type type, int64_t rows, int64_t columns, int64_t stride, const float *x, float *y);

float ck_dot(const float *x, const float *y, int64_t count);
void ck_axpy(float a, const float *x, float *y, int64_t count);  // y += a x
void ck_add(const float *x, float *y, int64_t count);            // y += x
void ck_scale(float a, float *x, int64_t count);                 // x *= a
void ck_scaled(float a, const float *x, float *y, int64_t count);  // y = a x

// y = weight * x / sqrt(mean(x^2) + epsilon); y may be x.
void ck_rms_norm(const float *x, const float *weight, float epsilon, int64_t count, float *y);
// y = weight * (x - mean) / sqrt(variance + epsilon) + bias; y may be x.
void ck_layer_norm(const float *x, const float *weight, const float *bias, float epsilon, int64_t count, float *y);

// In place, with the largest subtracted first; -inf entries become 0.
void ck_softmax(float *x, int64_t count);
// y[i] = exp(x[i]); y may be x.
void ck_exp(const float *x, float *y, int64_t count);

void ck_silu_multiply(const float *gate, const float *up, float *y, int64_t count);  // y = gate * sigmoid(gate) * up
void ck_quick_gelu(float *x, int64_t count);                                         // x *= sigmoid(1.702 x)
void ck_gelu(float *x, int64_t count);  // x *= (1 + erf(x / sqrt 2)) / 2

// Backward passes: each takes the gradient with respect to what the function of the same name gave.
// Softmax with cross-entropy: x becomes the probabilities; returns -log of the target's, exact where it is near 0 or 1.
double ck_softmax_loss(float *x, int64_t count, int64_t target);
// dp = scale * p * (dp - sum of p dp)
void ck_softmax_backward(const float *p, float scale, int64_t count, float *dp);
// gate and up are replaced by the gradients with respect to them.
void ck_silu_multiply_backward(const float *dy, float *gate, float *up, int64_t count);
// dy *= the slope of the exact GELU at x.
void ck_gelu_backward(const float *x, int64_t count, float *dy);
// Adds to dx.
void ck_rms_norm_backward(
    const float *x, const float *weight, float epsilon, int64_t count, const float *dy, float *dx);

// Rotates pairs (i, i + dim / 2) of each of `heads` vectors by the angles whose cosines and sines are
// cosines[dim / 2], sines[dim / 2].
void ck_rotate_half(float *x, int64_t heads, int64_t dim, const float *cosines, const float *sines);

// Error statistics, in double: sums of squared difference, squared reference, squared value and product, and the
// largest difference (NaN differences are passed over).
typedef struct {
    double squared_error, squared_reference, squared_value, product, largest_error;
} ck_comparison;
ck_comparison ck_compare(const float *reference, const float *value, int64_t count);

// MARK: 8-bit rows

// Runs of `columns` elements as integers of -127 ... 127 and one float32 scale for each run: scale = largest / 127 and
// code = x / scale to the nearest, ties to even; the same bits in every variant. A run whose scale would be below the
// normal range becomes zeros, one that holds what is not finite becomes NaNs.
void ck_i8_encode(const float *source, int64_t runs, int64_t columns, int8_t *codes, float *scales);

// target[rows][columns] = code * scale. Rows lie `stride` codes and `scale_stride` scales apart, here and below.
void ck_i8_decode(
    const int8_t *codes, const float *scales, int64_t scale_stride, int64_t rows, int64_t columns, int64_t stride,
    float *target);

// MARK: Attention

// How keys and values are kept: float32, float16, or ck_i8_encode's integers with a scale for each position and head.
typedef enum { CK_KV_F32 = 0, CK_KV_F16 = 1, CK_KV_I8 = 2 } ck_kv_type;

// One head's columns of all positions.
typedef struct {
    ck_kv_type type;
    const void *rows;                // position 0; elements have their own alignment
    const float *scales;             // of CK_KV_I8, for position 0
    int64_t stride, scale_stride;    // elements and scales from one position to the next
} ck_kv_rows;

// Queries of the heads that share one head of keys and values: softmax(scale * q k) v over the positions that a query sees.
typedef struct {
    ck_kv_rows keys, values;         // of one type, or keys of CK_KV_F32
    int64_t positions, head_size;
    float scale;
    const float *queries;            // [tokens][heads][head_size], tokens `query_stride` apart
    int64_t tokens, heads, query_stride;
    // Token t stands at `position` + t. Causal: it sees itself and what is before it, `window` positions at most. Else all.
    int64_t position;
    bool is_causal;
    int64_t window;
    float *output;                   // [tokens][heads][head_size], tokens `output_stride` apart
    int64_t output_stride;
} ck_attention;

// Positions of keys that ck_attention_block takes at a time, and those of a part of ck_attention_part.
enum { CK_ATTENTION_KEYS = 128, CK_ATTENTION_PART = 256 };

// Floats that ck_attention_block works in, for `rows` = tokens * heads.
int64_t ck_attention_scratch(int64_t rows, int64_t head_size);

// All of it, fast for many rows. What a query gives does not depend on the others.
void ck_attention_block(const ck_attention *attention, float *scratch);

// For few rows over many positions: result[ck_attention_part_size] of positions part * CK_ATTENTION_PART ..<
// (part + 1) * CK_ATTENTION_PART, which ck_attention_merge turns into the output; results of parts lie `stride` floats apart,
// from part 0. What a query gives does not depend on the others.
int64_t ck_attention_part_size(int64_t rows, int64_t head_size);
void ck_attention_part(const ck_attention *attention, int64_t part, float *result);
void ck_attention_merge(const ck_attention *attention, const float *results, int64_t stride);

// MARK: Panels of 16 columns

// y[rows][16] = A[rows][count] V[count][16], added to what y holds where `adds`. Rows of A are `stride` elements apart.
// A row's result depends on the variant and on the counts alone, not on its neighbours.
void ck_panel_multiply(
    const float *a, int64_t stride, int64_t rows, int64_t count, const float *v, float *y, bool adds);

// g[count][16] += A[rows][count]^T Y[rows][16], the rows taken in ascending order.
void ck_panel_accumulate(const float *a, int64_t stride, int64_t rows, int64_t count, const float *y, float *g);

// MARK: Low-rank products

// target[i][j] = factor * sum over k of left[i][k] right[k][j], row-major, strides in elements; the sum is rounded first.
//
// Each element is one chain of fused multiply-adds over ascending k, in blocks of depth that are summed apart and added:
// one block up to a depth of 192, halves up to 384, blocks of 192 beyond. That is the order of MKL's AVX2 sgemm, so the
// bits are PyTorch's on such a machine for matrices of 16 columns and 4 rows at least; and every variant gives the same.
void ck_low_rank_product(
    const float *left, int64_t left_stride, const float *right, int64_t right_stride, int64_t rows, int64_t columns,
    int64_t depth, float factor, float *target, int64_t target_stride);

// right[depth][columns] in panels[ceil(columns / 16)][depth][16], filled up with zeros: a panel is a `right` of 16 columns
// with a stride of 16, which ck_low_rank_product reads where it lies.
void ck_pack_panels(const float *right, int64_t stride, int64_t columns, int64_t depth, float *panels);

// MARK: Merges

// With change = merged - base: sums over elements, the largest |change|. The target of a merge is base + delta, its
// error is change - delta.
typedef struct {
    double squared_base, squared_delta, delta_change, squared_change, squared_error, squared_target;
    float largest_change;
} ck_merge_sums;

// Adds a run of elements to `total`.
void ck_add_merge_sums(
    const float *base, const float *delta, const float *merged, int64_t count, ck_merge_sums *total);

// MARK: AdamW

// In which order the arithmetic of an update is done; the moments are rounded alike in all but the first.
typedef enum {
    CK_ADAMW_TORCH = 0,       // torch.optim.AdamW on a CPU
    CK_ADAMW_BLOCKWISE = 1,   // bitsandbytes' 8-bit states on a CPU
    CK_ADAMW_SMALL = 2,       // bitsandbytes' 32-bit states on a CPU
} ck_adamw_form;

// The scalars of an update, made in double and rounded once.
typedef struct {
    ck_adamw_form form;
    float gradient_scale;
    float decay;             // 1 - rate * weight decay
    float beta1, rest1;      // beta1, 1 - beta1
    float beta2, rest2;
    float root;              // sqrt(1 - beta2^step); 1 for CK_ADAMW_SMALL
    float epsilon;           // times that root for CK_ADAMW_SMALL
    float step;              // - rate / (1 - beta1^step); times that root for CK_ADAMW_SMALL
} ck_adamw;

// Updates p, m and v from the gradient g. The same bits in every variant, and however a vector is split.
void ck_adamw_update(const ck_adamw *adamw, const float *g, int64_t count, float *p, float *m, float *v);

// The same with m and v as 8-bit codes in blocks of 256, m of the signed map and v of the unsigned one. The run begins at a
// block's start. Moments must stay finite.
void ck_adamw_update8(
    const ck_adamw *adamw, ck_code_rule rule, const float *g, int64_t count, float *p, uint8_t *m_codes,
    float *m_absmax, uint8_t *v_codes, float *v_absmax);

// The sum of squares in double, added up in a fixed order: the same bits in every variant.
double ck_square_sum(const float *x, int64_t count);

// merged = bfloat16 of (base + delta in float32), for a base of bfloat16, and its sums; `merged` may be `base`. Where a sum is
// no number merged holds anything, and the sums are no numbers.
void ck_merge_bf16(const void *base, const float *delta, int64_t count, void *merged, ck_merge_sums *total);

// What became of a block of a 4-bit weight, but for its scales, which may not be known yet: u is an element's level before,
// v the one after, d its delta.
typedef struct {
    float level_squared, level_delta, delta_squared;  // sums of u^2, u d, d^2
    float move_squared, move_delta, move_level;       // sums of (v - u)^2, (v - u) d, (v - u) u
    float largest_move;                               // |v - u|
    uint32_t changed;                                 // codes that differ
} ck_block_change;

// Blocks of a tensor from element `start`, a multiple of the block size, dequantized, rounded to `type`, added to delta and
// quantized to NF4 again: codes and absmax as from ck_nf4_quantize, a record for each block. Returns -1, or the first index
// of a sum that is not finite; the outputs are unspecified then.
int64_t ck_merge_requantize(
    const ck_nf4_tensor *base, ck_type type, int64_t start, int64_t count, const float *delta, uint8_t *codes,
    float *absmax, ck_block_change *changes);

// The records of `count` elements from `start` for two tensors of one shape and block size.
void ck_merge_changes(
    const ck_nf4_tensor *before, const ck_nf4_tensor *after, int64_t start, int64_t count, const float *delta,
    ck_block_change *changes);

typedef struct {
    ck_merge_sums sums;
    int64_t codes, scales;  // how many differ
} ck_block_sums;

// Adds the records of whole blocks, from the one of element `start`, to `total`.
void ck_add_block_changes(
    const ck_nf4_tensor *before, const ck_nf4_tensor *after, int64_t start, int64_t count,
    const ck_block_change *changes, ck_block_sums *total);

#ifdef __cplusplus
}
#endif

#endif
