#include "csentencepiece.h"

#include <sentencepiece_processor.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <vector>

struct csp_processor {
    sentencepiece::SentencePieceProcessor processor;
};

namespace {

void set_reason(char *reason, size_t capacity, const char *text) {
    if (reason == nullptr || capacity == 0) return;
    std::strncpy(reason, text, capacity - 1);
    reason[capacity - 1] = 0;
}

// malloc(0) may answer null, which would read as a failure.
void *copy_of(const void *bytes, size_t size) {
    void *copy = std::malloc(size == 0 ? 1 : size);
    if (copy != nullptr && size > 0) std::memcpy(copy, bytes, size);
    return copy;
}

}  // namespace

csp_processor *csp_create(const void *model, size_t size, char *reason, size_t reason_capacity) {
    try {
        auto result = std::make_unique<csp_processor>();
        const auto status =
            result->processor.LoadFromSerializedProto(absl::string_view(static_cast<const char *>(model), size));
        if (!status.ok()) {
            set_reason(reason, reason_capacity, status.ToString().c_str());
            return nullptr;
        }
        return result.release();
    } catch (const std::exception &error) {
        set_reason(reason, reason_capacity, error.what());
    } catch (...) {
        set_reason(reason, reason_capacity, "the library threw");
    }
    return nullptr;
}

void csp_destroy(csp_processor *processor) { delete processor; }

int32_t csp_piece_count(const csp_processor *p) { return p->processor.GetPieceSize(); }
int32_t csp_bos_id(const csp_processor *p) { return p->processor.bos_id(); }
int32_t csp_eos_id(const csp_processor *p) { return p->processor.eos_id(); }
int32_t csp_unk_id(const csp_processor *p) { return p->processor.unk_id(); }
int32_t csp_pad_id(const csp_processor *p) { return p->processor.pad_id(); }

const char *csp_piece(const csp_processor *p, int32_t id, size_t *length) {
    const std::string &piece = p->processor.IdToPiece(id);
    *length = piece.size();
    return piece.data();
}

int csp_piece_kind(const csp_processor *p, int32_t id) {
    if (p->processor.IsUnknown(id)) return CSP_PIECE_UNKNOWN;
    if (p->processor.IsControl(id)) return CSP_PIECE_CONTROL;
    if (p->processor.IsByte(id)) return CSP_PIECE_BYTE;
    if (p->processor.IsUnused(id)) return CSP_PIECE_UNUSED;
    return CSP_PIECE_NORMAL;
}

int32_t csp_id_of_piece(const csp_processor *p, const char *piece, size_t length) {
    try {
        const absl::string_view text(piece, length);
        const int id = p->processor.PieceToId(text);
        // The library answers the unknown id for a text that is no piece.
        if (id < 0 || id >= p->processor.GetPieceSize()) return -1;
        const std::string &found = p->processor.IdToPiece(id);
        if (found.size() != length || std::memcmp(found.data(), piece, length) != 0) return -1;
        return id;
    } catch (...) {
        return -1;
    }
}

bool csp_encode(const csp_processor *p, const char *text, size_t length, int32_t **ids, size_t *count) {
    static_assert(sizeof(int) == sizeof(int32_t), "ids are ints");
    try {
        std::vector<int> result;
        if (!p->processor.Encode(absl::string_view(text, length), &result).ok()) return false;
        *ids = static_cast<int32_t *>(copy_of(result.data(), result.size() * sizeof(int32_t)));
        *count = result.size();
        return *ids != nullptr;
    } catch (...) {
        return false;
    }
}

bool csp_decode(const csp_processor *p, const int32_t *ids, size_t count, char **text, size_t *length) {
    try {
        const std::vector<int> input(ids, ids + count);
        std::string result;
        if (!p->processor.Decode(input, &result).ok()) return false;
        *text = static_cast<char *>(copy_of(result.data(), result.size()));
        *length = result.size();
        return *text != nullptr;
    } catch (...) {
        return false;
    }
}

void csp_free(void *pointer) { std::free(pointer); }
