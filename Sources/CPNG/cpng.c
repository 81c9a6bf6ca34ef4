#include "cpng.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const uint8_t *bytes;
    size_t size;
    size_t position;
    char *reason;
} reader;

static void set_reason(char *reason, const char *text) {
    strncpy(reason, text, CPNG_REASON_CAPACITY - 1);
    reason[CPNG_REASON_CAPACITY - 1] = 0;
}

static void on_error(png_structp png, png_const_charp message) {
    char *reason = png_get_error_ptr(png);
    set_reason(reason, message);
    longjmp(png_jmpbuf(png), 1);
}

static void on_warning(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

static void on_read(png_structp png, png_bytep target, png_size_t count) {
    reader *source = png_get_io_ptr(png);
    if (count > source->size - source->position) png_error(png, "the file ends early");
    memcpy(target, source->bytes + source->position, count);
    source->position += count;
}

// libpng's own limit is a million pixels a side; the caller limits the area. Chunks that say nothing about the pixels are passed
// over: some are given as much memory as they claim to need before a byte of them is read.
static png_structp make_reader(reader *source, png_infop *info) {
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, source->reason, on_error, on_warning);
    if (png == NULL) {
        set_reason(source->reason, "no memory for libpng");
        return NULL;
    }
    *info = png_create_info_struct(png);
    if (*info == NULL) {
        png_destroy_read_struct(&png, NULL, NULL);
        set_reason(source->reason, "no memory for libpng");
        return NULL;
    }
    png_set_read_fn(png, source, on_read);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    return png;
}

bool cpng_read_info(const void *bytes, size_t size, cpng_info *result, char *reason) {
    reader source = {bytes, size, 0, reason};
    png_infop info = NULL;
    png_structp png = make_reader(&source, &info);
    if (png == NULL) return false;
    if (setjmp(png_jmpbuf(png)) != 0) {
        png_destroy_read_struct(&png, &info, NULL);
        return false;
    }
    png_read_info(png, info);
    const int color = png_get_color_type(png, info);
    result->width = png_get_image_width(png, info);
    result->height = png_get_image_height(png, info);
    result->bit_depth = png_get_bit_depth(png, info);
    result->is_grey = (color & ~PNG_COLOR_MASK_ALPHA) == PNG_COLOR_TYPE_GRAY;
    result->is_palette = color == PNG_COLOR_TYPE_PALETTE;
    png_destroy_read_struct(&png, &info, NULL);
    return true;
}

// Reads all rows into `pixels`. With interlacing libpng goes over the rows several times.
static void read_rows(png_structp png, uint8_t *pixels, size_t row_size, uint32_t height) {
    const int passes = png_set_interlace_handling(png);
    for (int pass = 0; pass < passes; pass++) {
        for (uint32_t y = 0; y < height; y++) png_read_row(png, pixels + (size_t)y * row_size, NULL);
    }
    png_read_end(png, NULL);
}

bool cpng_read_rgb(const void *bytes, size_t size, uint8_t *pixels, char *reason) {
    reader source = {bytes, size, 0, reason};
    png_infop info = NULL;
    png_structp png = make_reader(&source, &info);
    if (png == NULL) return false;
    if (setjmp(png_jmpbuf(png)) != 0) {
        png_destroy_read_struct(&png, &info, NULL);
        return false;
    }
    png_read_info(png, info);
    const int color = png_get_color_type(png, info);
    const uint32_t width = png_get_image_width(png, info), height = png_get_image_height(png, info);
    if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
    if ((color & PNG_COLOR_MASK_COLOR) == 0) {
        png_set_expand_gray_1_2_4_to_8(png);
        png_set_gray_to_rgb(png);
    }
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    if (png_get_rowbytes(png, info) != (size_t)width * 3) png_error(png, "pixels that do not become RGB");
    read_rows(png, pixels, (size_t)width * 3, height);
    png_destroy_read_struct(&png, &info, NULL);
    return true;
}

bool cpng_read_grey_samples(const void *bytes, size_t size, uint16_t *samples, char *reason) {
    reader source = {bytes, size, 0, reason};
    png_infop info = NULL;
    png_structp png = make_reader(&source, &info);
    if (png == NULL) return false;
    if (setjmp(png_jmpbuf(png)) != 0) {
        png_destroy_read_struct(&png, &info, NULL);
        return false;
    }
    png_read_info(png, info);
    const uint32_t width = png_get_image_width(png, info), height = png_get_image_height(png, info);
    const bool is_wide = png_get_bit_depth(png, info) == 16;
    if ((png_get_color_type(png, info) & ~PNG_COLOR_MASK_ALPHA) != PNG_COLOR_TYPE_GRAY) {
        png_error(png, "not a grey image");
    }
    png_set_packing(png);  // one byte for each sample of 1, 2 or 4 bits, its value kept
    png_set_strip_alpha(png);
    if (is_wide) png_set_swap(png);  // to little-endian, the only order that Crayon runs on
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    const size_t row_size = (size_t)width * (is_wide ? 2 : 1);
    if (png_get_rowbytes(png, info) != row_size) png_error(png, "pixels that do not become samples");
    read_rows(png, (uint8_t *)samples, row_size, height);
    png_destroy_read_struct(&png, &info, NULL);
    if (!is_wide) {
        const uint8_t *narrow = (const uint8_t *)samples;
        for (size_t i = (size_t)width * height; i-- > 0;) samples[i] = narrow[i];
    }
    return true;
}

typedef struct {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
} writer;

static void on_write(png_structp png, png_bytep data, png_size_t count) {
    writer *target = png_get_io_ptr(png);
    if (count > target->capacity - target->size) {
        size_t capacity = target->capacity * 2 + count;
        uint8_t *grown = realloc(target->bytes, capacity);
        if (grown == NULL) png_error(png, "no memory");
        target->bytes = grown;
        target->capacity = capacity;
    }
    memcpy(target->bytes + target->size, data, count);
    target->size += count;
}

static void on_flush(png_structp png) { (void)png; }

bool cpng_write_rgb(
    const uint8_t *pixels, uint32_t width, uint32_t height, uint8_t **bytes, size_t *size, char *reason) {
    writer target = {NULL, 0, 0};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, reason, on_error, on_warning);
    png_infop info = png == NULL ? NULL : png_create_info_struct(png);
    if (info == NULL) {
        png_destroy_write_struct(&png, NULL);
        set_reason(reason, "no memory for libpng");
        return false;
    }
    png_set_write_fn(png, &target, on_write, on_flush);
    if (setjmp(png_jmpbuf(png)) != 0) {
        png_destroy_write_struct(&png, &info);
        free(target.bytes);
        return false;
    }
    png_set_IHDR(
        png, info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
        PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (uint32_t y = 0; y < height; y++) png_write_row(png, pixels + (size_t)y * width * 3);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    *bytes = target.bytes;
    *size = target.size;
    return true;
}

void cpng_free(void *pointer) { free(pointer); }
