#include "cjpeg.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

// A progressive file may repeat cheap scans over a large image for as long as it likes; cameras write about ten.
enum { MOST_SCANS = 200 };

typedef struct {
    struct jpeg_error_mgr base;
    jmp_buf jump;
    char *reason;
} error_manager;

static void on_error(j_common_ptr common) {
    error_manager *manager = (error_manager *)common->err;
    char text[JMSG_LENGTH_MAX];
    manager->base.format_message(common, text);
    strncpy(manager->reason, text, CJPEG_REASON_CAPACITY - 1);
    manager->reason[CJPEG_REASON_CAPACITY - 1] = 0;
    longjmp(manager->jump, 1);
}

static void on_message(j_common_ptr common) { (void)common; }

static void source_init(j_decompress_ptr cinfo) { (void)cinfo; }
static void source_term(j_decompress_ptr cinfo) { (void)cinfo; }

// All bytes are there from the start, so a call for more means that the file ends early.
static boolean source_fill(j_decompress_ptr cinfo) {
    ERREXIT(cinfo, JERR_INPUT_EOF);
    return FALSE;
}

static void source_skip(j_decompress_ptr cinfo, long count) {
    if (count <= 0) return;
    if ((size_t)count > cinfo->src->bytes_in_buffer) ERREXIT(cinfo, JERR_INPUT_EOF);
    cinfo->src->next_input_byte += count;
    cinfo->src->bytes_in_buffer -= (size_t)count;
}

static void on_progress(j_common_ptr common) {
    if (!common->is_decompressor) return;
    if (((j_decompress_ptr)common)->input_scan_number > MOST_SCANS) ERREXIT(common, JERR_BAD_PROGRESSION);
}

typedef struct {
    struct jpeg_decompress_struct cinfo;
    error_manager errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
} decoder;

// To be called with the jump set.
static void open_decoder(decoder *d, const void *bytes, size_t size) {
    jpeg_create_decompress(&d->cinfo);
    d->source.init_source = source_init;
    d->source.fill_input_buffer = source_fill;
    d->source.skip_input_data = source_skip;
    d->source.resync_to_restart = jpeg_resync_to_restart;
    d->source.term_source = source_term;
    d->source.next_input_byte = bytes;
    d->source.bytes_in_buffer = size;
    d->cinfo.src = &d->source;
    d->progress.progress_monitor = on_progress;
    d->cinfo.progress = &d->progress;
    jpeg_read_header(&d->cinfo, TRUE);
}

static void prepare_errors(decoder *d, char *reason) {
    memset(d, 0, sizeof *d);
    d->cinfo.err = jpeg_std_error(&d->errors.base);
    d->errors.base.error_exit = on_error;
    d->errors.base.output_message = on_message;
    d->errors.reason = reason;
}

bool cjpeg_read_info(const void *bytes, size_t size, cjpeg_info *info, char *reason) {
    decoder d;
    prepare_errors(&d, reason);
    if (setjmp(d.errors.jump) != 0) {
        jpeg_destroy_decompress(&d.cinfo);
        return false;
    }
    open_decoder(&d, bytes, size);
    info->width = d.cinfo.image_width;
    info->height = d.cinfo.image_height;
    info->is_arithmetic = d.cinfo.arith_code;
    jpeg_destroy_decompress(&d.cinfo);
    return true;
}

// x * y / 255, rounded, as Pillow does it.
static uint8_t scaled(uint8_t x, uint8_t y) {
    const unsigned product = (unsigned)x * y + 128;
    return (uint8_t)(((product >> 8) + product) >> 8);
}

// Four bytes a pixel in, three out. The stored value is 255 - ink, so the product is the light that is left.
static void inks_to_rgb(const uint8_t *row, uint8_t *pixels, uint32_t width) {
    for (uint32_t x = 0; x < width; x++) {
        const uint8_t light = row[4 * x + 3];
        for (int c = 0; c < 3; c++) {
            const uint8_t ink = (uint8_t)(255 - row[4 * x + c]);
            pixels[3 * x + c] = (uint8_t)(light - scaled(ink, light));
        }
    }
}

bool cjpeg_read_rgb(
    const void *bytes, size_t size, uint32_t width, uint32_t height, uint8_t *pixels, char *reason) {
    decoder d;
    prepare_errors(&d, reason);
    if (setjmp(d.errors.jump) != 0) {
        jpeg_destroy_decompress(&d.cinfo);
        return false;
    }
    open_decoder(&d, bytes, size);
    const bool has_inks = d.cinfo.jpeg_color_space == JCS_CMYK || d.cinfo.jpeg_color_space == JCS_YCCK;
    d.cinfo.out_color_space = has_inks ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&d.cinfo);
    if (d.cinfo.output_width != width || d.cinfo.output_height != height) ERREXIT(&d.cinfo, JERR_BAD_LENGTH);
    JSAMPARRAY inks = NULL;
    if (has_inks) inks = d.cinfo.mem->alloc_sarray((j_common_ptr)&d.cinfo, JPOOL_IMAGE, width * 4, 1);
    while (d.cinfo.output_scanline < height) {
        uint8_t *row = pixels + (size_t)d.cinfo.output_scanline * width * 3;
        JSAMPROW target = has_inks ? inks[0] : row;
        if (jpeg_read_scanlines(&d.cinfo, &target, 1) != 1) ERREXIT(&d.cinfo, JERR_INPUT_EOF);
        if (has_inks) inks_to_rgb(inks[0], row, width);
    }
    jpeg_finish_decompress(&d.cinfo);
    jpeg_destroy_decompress(&d.cinfo);
    return true;
}
