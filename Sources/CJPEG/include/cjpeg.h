// Decoding JPEG in memory with libjpeg, whose errors jump: the jumps end in here.
#ifndef CRAYON_CJPEG_H
#define CRAYON_CJPEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t width;
    uint32_t height;
    /// Arithmetic coding packs flat images tighter than Huffman's one bit for a block.
    bool is_arithmetic;
} cjpeg_info;

enum { CJPEG_REASON_CAPACITY = 256 };

bool cjpeg_read_info(const void *bytes, size_t size, cjpeg_info *info, char reason[CJPEG_REASON_CAPACITY]);

/// Decodes to 8-bit RGB (grey spread to three channels; CMYK and YCCK taken as Adobe's inverted inks).
/// `pixels` holds width * height * 3 bytes. A file that ends early is an error.
bool cjpeg_read_rgb(
    const void *bytes, size_t size, uint32_t width, uint32_t height, uint8_t *pixels,
    char reason[CJPEG_REASON_CAPACITY]);

#endif
