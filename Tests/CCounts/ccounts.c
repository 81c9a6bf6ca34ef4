#define _GNU_SOURCE
#include "ccounts.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

static _Atomic uint64_t bytes, calls, threads;

uint64_t ccounts_allocated_bytes(void) { return atomic_load(&bytes); }
uint64_t ccounts_allocations(void) { return atomic_load(&calls); }
uint64_t ccounts_started_threads(void) { return atomic_load(&threads); }

#ifdef __GLIBC__

// glibc's own names for what is replaced here.
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static void count(size_t size) {
    atomic_fetch_add_explicit(&bytes, size, memory_order_relaxed);
    atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
}

void *malloc(size_t size) {
    count(size);
    return __libc_malloc(size);
}

void *calloc(size_t items, size_t size) {
    count(items * size);
    return __libc_calloc(items, size);
}

void *realloc(void *old, size_t size) {
    count(size);
    return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
    count(size);
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **target, size_t alignment, size_t size) {
    if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
    void *found = memalign(alignment, size);
    if (found == NULL) return ENOMEM;
    *target = found;
    return 0;
}

int pthread_create(
    pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
    static int (*_Atomic real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (real == NULL) real = dlsym(RTLD_NEXT, "pthread_create");
    atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed);
    return real(thread, attributes, start, argument);
}

#endif

// What was counted in all, for programs that say nothing themselves: written when they end to the file that is named.
__attribute__((destructor)) static void report(void) {
    const char *path = getenv("CCOUNTS_REPORT");
    FILE *file = path == NULL ? NULL : fopen(path, "w");
    if (file == NULL) return;
    fprintf(
        file, "%llu %llu %llu\n", (unsigned long long)ccounts_allocated_bytes(),
        (unsigned long long)ccounts_allocations(), (unsigned long long)ccounts_started_threads());
    fclose(file);
}
