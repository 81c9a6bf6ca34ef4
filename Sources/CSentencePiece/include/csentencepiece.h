// A C face of the SentencePiece library: Swift cannot import its C++ processor, which is
// neither copyable nor movable. No exception leaves these functions.
#ifndef CRAYON_CSENTENCEPIECE_H
#define CRAYON_CSENTENCEPIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct csp_processor csp_processor;

/// What an id stands for.
enum {
    CSP_PIECE_NORMAL = 0,
    CSP_PIECE_UNKNOWN = 1,
    CSP_PIECE_CONTROL = 2,
    CSP_PIECE_UNUSED = 3,
    CSP_PIECE_BYTE = 4,
};

/// Loads a serialized model, which is copied. Null on failure, with a NUL-terminated reason in `reason`.
csp_processor *csp_create(const void *model, size_t size, char *reason, size_t reason_capacity);
void csp_destroy(csp_processor *processor);

int32_t csp_piece_count(const csp_processor *processor);
/// -1 where the model defines none.
int32_t csp_bos_id(const csp_processor *processor);
int32_t csp_eos_id(const csp_processor *processor);
int32_t csp_unk_id(const csp_processor *processor);
int32_t csp_pad_id(const csp_processor *processor);

/// `id` must be in 0 ..< csp_piece_count. The bytes live as long as the processor.
const char *csp_piece(const csp_processor *processor, int32_t id, size_t *length);
int csp_piece_kind(const csp_processor *processor, int32_t id);
/// -1 if no piece has exactly this text.
int32_t csp_id_of_piece(const csp_processor *processor, const char *piece, size_t length);

/// On success `*ids` is to be freed with csp_free.
bool csp_encode(const csp_processor *processor, const char *text, size_t length, int32_t **ids, size_t *count);
/// On success `*text` (UTF-8, not NUL-terminated) is to be freed with csp_free. Ids must be in range.
bool csp_decode(const csp_processor *processor, const int32_t *ids, size_t count, char **text, size_t *length);
void csp_free(void *pointer);

#ifdef __cplusplus
}
#endif
#endif
