// The table of one variant, after loops.h and the variant's NF4 kernels.
#include "loops_keep.h"
#include "loops_quantize.h"

#ifndef CK_SCALES
#define CK_SCALES CK_NAME(scales)
CK_KERNEL void CK_NAME(scales)(const ck_nf4_tensor *tensor, int64_t first, int64_t count, float *scales) {
    for (int64_t run; count > 0; first += run, scales += run, count -= run) {
        float absmax;
        run = nested_run(tensor, first, count, &absmax);
        scales_of_run(tensor->scale_codes + first, run, tensor->nested_map, absmax, tensor->offset, scales);
    }
}
#endif

const ck_table CK_JOIN(ck_table, CK_VARIANT) = {
    .name = CK_VARIANT_NAME,
    .f16_to_f32 = CK_NAME(f16_to_f32),
    .bf16_to_f32 = CK_NAME(bf16_to_f32),
    .f32_to_f16 = CK_NAME(f32_to_f16),
    .f32_to_bf16 = CK_NAME(f32_to_bf16),
    .absmax_bits = CK_NAME(absmax_bits),
    .nf4_encode = CK_NAME(nf4_encode),
    .nf4_quantize64 = CK_NAME(nf4_quantize64),
    .nf4_decode = CK_NAME(nf4_decode),
    .scales = CK_SCALES,
    .dynamic8_decode = CK_NAME(dynamic8_decode),
    .dynamic8_cells = CK_NAME(dynamic8_cells),
    .nf4_multiply = CK_NF4_MULTIPLY,
    .strip_columns = CK_NAME(strip_columns),
    .strip_product = CK_NAME(strip_product),
    .int16_rows = CK_NAME(int16_rows),
    .int16_of_strip = CK_NAME(int16_of_strip),
    .int16_order = CK_INT16_ORDER,
    .int16_strip = CK_NAME(int16_strip),
    .int16_product = CK_NAME(int16_product),
    .int16_row_products = CK_NAME(int16_row_products),
    .dynamic8_order = CK_DYNAMIC8_ORDER,
    .dynamic8_row_products = CK_NAME(dynamic8_row_products),
    .dynamic8_levels = CK_NAME(dynamic8_levels),
    .keep_sums = CK_NAME(keep_sums),
    .keep_codes = CK_NAME(keep_codes),
    .keep_fill = CK_NAME(keep_fill),
    .keep_rates = CK_NAME(keep_rates),
    .keep_refit = CK_NAME(keep_refit),
    .keep_pack = CK_NAME(keep_pack),
    .nearest_scale = CK_NAME(nearest_scale),
    .dot = CK_NAME(dot),
    .dot_f16 = CK_NAME(dot_f16),
    .dot_bf16 = CK_NAME(dot_bf16),
    .i8_encode = CK_NAME(i8_encode),
    .i8_decode = CK_NAME(i8_decode),
    .axpy = CK_NAME(axpy),
    .add = CK_NAME(add),
    .scale = CK_NAME(scale),
    .scaled = CK_NAME(scaled),
    .rms_norm = CK_NAME(rms_norm),
    .layer_norm = CK_NAME(layer_norm),
    .softmax = CK_NAME(softmax),
    .softmax_loss = CK_NAME(softmax_loss),
    .softmax_backward = CK_NAME(softmax_backward),
    .silu_multiply_backward = CK_NAME(silu_multiply_backward),
    .rms_norm_backward = CK_NAME(rms_norm_backward),
    .exp = CK_NAME(exp),
    .silu_multiply = CK_NAME(silu_multiply),
    .quick_gelu = CK_NAME(quick_gelu),
    .rotate_half = CK_NAME(rotate_half),
    .panel_multiply = CK_NAME(panel_multiply),
    .panel_accumulate = CK_NAME(panel_accumulate),
    .attention_block = CK_NAME(attention_block),
    .attention_part = CK_NAME(attention_part),
    .attention_merge = CK_NAME(attention_merge),
    .adamw = CK_NAME(adamw),
    .square_sum = CK_NAME(square_sum),
    .low_rank_product = CK_NAME(low_rank_product),
    .merge_sums = CK_NAME(merge_sums),
    .merge_bf16 = CK_NAME(merge_bf16),
    .merge_target = CK_NAME(merge_target),
    .block_change = CK_NAME(block_change),
};
