// Decoding and encoding PNG in memory with libpng, whose errors jump: the jumps end in here.
#ifndef CRAYON_CPNG_H
#define CRAYON_CPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t width;
    uint32_t height;
    int bit_depth;
    bool is_grey;
    bool is_palette;
} cpng_info;

enum { CPNG_REASON_CAPACITY = 160 };

/// Reads the header. False with a reason if `bytes` do not begin with that of a PNG.
bool cpng_read_info(const void *bytes, size_t size, cpng_info *info, char reason[CPNG_REASON_CAPACITY]);

/// Decodes to 8-bit RGB: palettes looked up, greys spread to three channels and to 8 bits, alpha dropped without
/// compositing, of 16 bits the high byte; no gamma correction. `pixels` holds width * height * 3 bytes.
bool cpng_read_rgb(const void *bytes, size_t size, uint8_t *pixels, char reason[CPNG_REASON_CAPACITY]);

/// Decodes a grey image to its samples as they are stored (8-bit samples below 256, and so on).
/// `samples` holds width * height values.
bool cpng_read_grey_samples(const void *bytes, size_t size, uint16_t *samples, char reason[CPNG_REASON_CAPACITY]);

/// Encodes 8-bit RGB. On success `*bytes` is to be freed with cpng_free.
bool cpng_write_rgb(
    const uint8_t *pixels, uint32_t width, uint32_t height, uint8_t **bytes, size_t *size,
    char reason[CPNG_REASON_CAPACITY]);
void cpng_free(void *pointer);

#endif
