// Chooses the variant of every kernel once, before main.
#include "table.h"

#include <stdlib.h>

ck_table ck_kernels;
static const char *rejected;

static const ck_table *find(const char *name) {
    if (strcmp(name, "portable") == 0) return &ck_table_portable;
#if defined(__x86_64__)
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (avx2 && strcmp(name, "avx2") == 0) return &ck_table_avx2;
    if (avx512 && strcmp(name, "avx512") == 0) return &ck_table_avx512;
    bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
    if (vnni && strcmp(name, "avx512vnni") == 0) return &ck_table_avx512vnni;
#elif defined(__aarch64__)
    if (strcmp(name, "neon") == 0) return &ck_table_neon;
#endif
    return NULL;
}

__attribute__((constructor)) static void choose(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
    const char *wanted = getenv("CRAYON_KERNELS");
    if (wanted && *wanted) {
        if (ck_select_variant(wanted)) return;
        rejected = wanted;
    }
    (void)(ck_select_variant("avx512vnni") || ck_select_variant("avx512") || ck_select_variant("avx2")
           || ck_select_variant("neon") || ck_select_variant("portable"));
}

bool ck_select_variant(const char *name) {
    const ck_table *table = find(name);
    if (!table) return false;
    ck_kernels = *table;
#if defined(__x86_64__)
    if (table == &ck_table_avx512vnni && __builtin_cpu_supports("avx512vbmi")) ck_use_vbmi(&ck_kernels);
#endif
    return true;
}

bool ck_has_variant(const char *name) { return find(name) != NULL; }

const char *ck_variant(void) { return ck_kernels.name; }

const char *ck_rejected_variant(void) { return rejected; }
