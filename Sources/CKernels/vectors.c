// The public faces of the conversions, the dense products and the vector functions.
#include "table.h"

#include <math.h>

void ck_to_f32(const void *source, ck_type type, int64_t count, float *target) {
    if (type == CK_F32) memcpy(target, source, (size_t)count * sizeof(float));
    else if (type == CK_F16) ck_kernels.f16_to_f32(source, count, target);
    else ck_kernels.bf16_to_f32(source, count, target);
}

void ck_from_f32(const float *source, ck_type type, int64_t count, void *target) {
    if (type == CK_F32) memcpy(target, source, (size_t)count * sizeof(float));
    else if (type == CK_F16) ck_kernels.f32_to_f16(source, count, target);
    else ck_kernels.f32_to_bf16(source, count, target);
}

void ck_f64_to_f32(const void *source, int64_t count, float *target) {
    for (int64_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, (const char *)source + i * 8, 8);
        target[i] = (float)value;
    }
}

void ck_multiply(
    const void *weights, ck_type type, int64_t rows, int64_t columns, int64_t stride, const float *x, float *y) {
    const char *row = weights;
    const int64_t bytes = stride * (type == CK_F32 ? 4 : 2);
    for (int64_t r = 0; r < rows; r++, row += bytes) {
        if (type == CK_F32) y[r] = ck_kernels.dot((const float *)row, x, columns);
        else if (type == CK_F16) y[r] = ck_kernels.dot_f16(row, x, columns);
        else y[r] = ck_kernels.dot_bf16(row, x, columns);
    }
}

float ck_dot(const float *x, const float *y, int64_t count) { return ck_kernels.dot(x, y, count); }
void ck_axpy(float a, const float *x, float *y, int64_t count) { ck_kernels.axpy(a, x, y, count); }
void ck_add(const float *x, float *y, int64_t count) { ck_kernels.add(x, y, count); }
void ck_scale(float a, float *x, int64_t count) { ck_kernels.scale(a, x, count); }
void ck_scaled(float a, const float *x, float *y, int64_t count) { ck_kernels.scaled(a, x, y, count); }
void ck_softmax(float *x, int64_t count) { ck_kernels.softmax(x, count); }
void ck_exp(const float *x, float *y, int64_t count) { ck_kernels.exp(x, y, count); }
void ck_quick_gelu(float *x, int64_t count) { ck_kernels.quick_gelu(x, count); }

void ck_rms_norm(const float *x, const float *weight, float epsilon, int64_t count, float *y) {
    ck_kernels.rms_norm(x, weight, epsilon, count, y);
}

void ck_layer_norm(const float *x, const float *weight, const float *bias, float epsilon, int64_t count, float *y) {
    ck_kernels.layer_norm(x, weight, bias, epsilon, count, y);
}

void ck_silu_multiply(const float *gate, const float *up, float *y, int64_t count) {
    ck_kernels.silu_multiply(gate, up, y, count);
}

void ck_rotate_half(float *x, int64_t heads, int64_t dim, const float *cosines, const float *sines) {
    ck_kernels.rotate_half(x, heads, dim, cosines, sines);
}

void ck_gelu(float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++) x[i] = 0.5f * x[i] * (1.0f + erff(x[i] * 0.70710678118654752f));
}

void ck_gelu_backward(const float *x, int64_t count, float *dy) {
    for (int64_t i = 0; i < count; i++) {
        float below = 0.5f * (1.0f + erff(x[i] * 0.70710678118654752f));
        float density = 0.39894228040143268f * expf(-0.5f * x[i] * x[i]);
        dy[i] *= below + x[i] * density;
    }
}

double ck_softmax_loss(float *x, int64_t count, int64_t target) { return ck_kernels.softmax_loss(x, count, target); }

void ck_softmax_backward(const float *p, float scale, int64_t count, float *dp) {
    ck_kernels.softmax_backward(p, scale, count, dp);
}

void ck_silu_multiply_backward(const float *dy, float *gate, float *up, int64_t count) {
    ck_kernels.silu_multiply_backward(dy, gate, up, count);
}

void ck_rms_norm_backward(
    const float *x, const float *weight, float epsilon, int64_t count, const float *dy, float *dx) {
    ck_kernels.rms_norm_backward(x, weight, epsilon, count, dy, dx);
}

ck_comparison ck_compare(const float *reference, const float *value, int64_t count) {
    ck_comparison sums = {0};
    for (int64_t i = 0; i < count; i++) {
        double r = (double)reference[i], v = (double)value[i], d = v - r;
        sums.squared_error += d * d;
        sums.squared_reference += r * r;
        sums.squared_value += v * v;
        sums.product += r * v;
        if (fabs(d) > sums.largest_error) sums.largest_error = fabs(d);
    }
    return sums;
}

void ck_low_rank_product(
    const float *left, int64_t left_stride, const float *right, int64_t right_stride, int64_t rows, int64_t columns,
    int64_t depth, float factor, float *target, int64_t target_stride) {
    ck_kernels.low_rank_product(
        left, left_stride, right, right_stride, rows, columns, depth, factor, target, target_stride);
}

void ck_pack_panels(const float *right, int64_t stride, int64_t columns, int64_t depth, float *panels) {
    enum { WIDTH = 16 };
    for (int64_t column = 0; column < columns; column += WIDTH) {
        const int64_t width = columns - column < WIDTH ? columns - column : WIDTH;
        for (int64_t k = 0; k < depth; k++, panels += WIDTH) {
            memcpy(panels, right + k * stride + column, (size_t)width * sizeof(float));
            memset(panels + width, 0, (size_t)(WIDTH - width) * sizeof(float));
        }
    }
}

void ck_add_merge_sums(
    const float *base, const float *delta, const float *merged, int64_t count, ck_merge_sums *total) {
    ck_kernels.merge_sums(base, delta, merged, count, total);
}

void ck_merge_bf16(const void *base, const float *delta, int64_t count, void *merged, ck_merge_sums *total) {
    ck_kernels.merge_bf16(base, delta, count, merged, total);
}

void ck_panel_multiply(
    const float *a, int64_t stride, int64_t rows, int64_t count, const float *v, float *y, bool adds) {
    ck_kernels.panel_multiply(a, stride, rows, count, v, y, adds);
}

void ck_panel_accumulate(const float *a, int64_t stride, int64_t rows, int64_t count, const float *y, float *g) {
    ck_kernels.panel_accumulate(a, stride, rows, count, y, g);
}
