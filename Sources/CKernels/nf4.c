// NF4 over runs of blocks: what surrounds the per-block kernels. Exact: see bitsandbytes 0.50's
// quantize_4bit on a CPU.
#include "table.h"

#pragma STDC FP_CONTRACT OFF

enum { MAX_BLOCK = 4096, SCRATCH = 1024 };

static int64_t first_not_finite(const float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if ((ck_bits(x[i]) & 0x7f800000) == 0x7f800000) return i;
    return -1;
}

// A partial block: true division, and the clamped absmax is what is stored.
static void quantize_partial(const float *x, int64_t count, float absmax, uint8_t *codes, float *stored) {
    float scaled[MAX_BLOCK];
    float divisor = absmax < CK_LEAST_ABSMAX ? CK_LEAST_ABSMAX : absmax;
    for (int64_t i = 0; i < count; i++) scaled[i] = x[i] / divisor;
    scaled[count] = 0;  // pads an odd count
    ck_kernels.nf4_encode(scaled, count + (count & 1), 1.0f, codes);
    *stored = divisor;
}

void ck_nf4_quantize_block(
    const float *x, int64_t size, int64_t block, uint32_t largest, uint8_t *codes, float *absmax) {
    const float most = ck_float(largest);
    if (size < block) {
        quantize_partial(x, size, most, codes, absmax);
    } else {
        ck_kernels.nf4_encode(x, size, 1.0f / (most < CK_LEAST_ABSMAX ? CK_LEAST_ABSMAX : most), codes);
        *absmax = most;
    }
}

int64_t ck_nf4_quantize(
    const void *source, ck_type type, int64_t count, int64_t block, uint8_t *codes, float *absmax) {
    float converted[MAX_BLOCK];
    const int64_t bytes = type == CK_F32 ? 4 : 2;
    const bool in_place = type == CK_F32 && (uintptr_t)source % 4 == 0;
    int64_t start = 0;
    if (block == 64) {
        // What the run leaves goes on below: a partial block, or one that is not finite, for its index.
        const int64_t whole = count / block, bad = ck_kernels.nf4_quantize64(source, type, whole, codes, absmax);
        const int64_t done = bad < 0 ? whole : bad;
        start = done * block;
        codes += start / 2;
        absmax += done;
    }
    for (; start < count; start += block, codes += block / 2, absmax++) {
        const int64_t size = count - start < block ? count - start : block;
        const void *at = (const char *)source + start * bytes;
        const float *x = at;
        if (!in_place) {
            ck_to_f32(at, type, size, converted);
            x = converted;
        }
        uint32_t bits = ck_kernels.absmax_bits(x, size);
        if (bits >= 0x7f800000) return start + first_not_finite(x, size);
        ck_nf4_quantize_block(x, size, block, bits, codes, absmax);
    }
    return -1;
}

void ck_nf4_scales(const ck_nf4_tensor *tensor, int64_t first, int64_t count, float *scales) {
    if (tensor->absmax) {
        memcpy(scales, (const char *)tensor->absmax + first * 4, (size_t)count * 4);
        return;
    }
    ck_kernels.scales(tensor, first, count, scales);
}

// Elements of one block; any start, any count.
static void decode_run(
    const ck_nf4_tensor *tensor, int64_t start, int64_t count, float scale, float *target) {
    const uint8_t *codes = tensor->codes + start / 2;
    if (start & 1) {
        *target++ = tensor->map[*codes++ & 15] * scale;
        count--;
    }
    ck_kernels.nf4_decode(codes, count & ~(int64_t)1, tensor->map, scale, target);
    if (count & 1) target[count - 1] = tensor->map[codes[count / 2] >> 4] * scale;
}

static void dequantize_f32(const ck_nf4_tensor *tensor, int64_t start, int64_t count, float *target) {
    enum { BATCH = 64 };
    float scales[BATCH];
    const int64_t block = tensor->block;
    int64_t at = start, end = start + count, next = at / block, have = 0, used = 0;
    const int64_t last = (end + block - 1) / block;
    while (at < end) {
        if (used == have) {
            have = last - next < BATCH ? last - next : BATCH;
            ck_nf4_scales(tensor, next, have, scales);
            used = 0;
        }
        int64_t stop = (next + 1) * block < end ? (next + 1) * block : end;
        decode_run(tensor, at, stop - at, scales[used++], target);
        target += stop - at;
        at = stop;
        next++;
    }
}

void ck_nf4_dequantize(const ck_nf4_tensor *tensor, int64_t start, int64_t count, ck_type type, void *target) {
    if (type == CK_F32) {
        dequantize_f32(tensor, start, count, target);
        return;
    }
    float scratch[SCRATCH];
    char *out = target;
    for (int64_t done = 0; done < count; done += SCRATCH) {
        int64_t run = count - done < SCRATCH ? count - done : SCRATCH;
        dequantize_f32(tensor, start + done, run, scratch);
        ck_from_f32(scratch, type, run, out + done * 2);
    }
}

void ck_nf4_multiply(
    const ck_nf4_tensor *tensor, int64_t columns, int64_t first_row, int64_t rows, const float *x, float *y) {
    const int64_t block = tensor->block;
    const bool even_blocks = block == 32 || block == 64 || (block % 128 == 0 && MAX_BLOCK % block == 0);
    if (ck_kernels.nf4_multiply && even_blocks && columns % block == 0) {
        ck_kernels.nf4_multiply(tensor, columns, first_row, rows, x, y);
        return;
    }
    float scratch[SCRATCH];
    for (int64_t r = 0; r < rows; r++) {
        const int64_t row = (first_row + r) * columns;
        float sum = 0;
        for (int64_t c = 0; c < columns; c += SCRATCH) {
            int64_t run = columns - c < SCRATCH ? columns - c : SCRATCH;
            dequantize_f32(tensor, row + c, run, scratch);
            sum += ck_kernels.dot(scratch, x + c, run);
        }
        y[r] = sum;
    }
}
