/// Counts what a process asks the C library for, from the moment on that this library is preloaded into it (LD_PRELOAD):
/// counts are tests where times cannot be. Linux with glibc; elsewhere nothing is counted. When the process ends, bytes, allocations
/// and threads are written to the file that CCOUNTS_REPORT names, if it names one.
#ifndef CCOUNTS_H
#define CCOUNTS_H

#include <stdint.h>

/// Bytes asked of malloc, calloc, realloc and their aligned kin; what is freed is not subtracted.
uint64_t ccounts_allocated_bytes(void);
/// How often they were called.
uint64_t ccounts_allocations(void);
/// Calls of pthread_create.
uint64_t ccounts_started_threads(void);

#endif
