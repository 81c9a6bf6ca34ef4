// Preloaded into crayon by Scripts/crashes --environment: from one call on, a kind of call fails with EIO, as on a disk that breaks.
//
// FAILING_CALL     read, write or sync
// FAILING_AFTER    how many of them succeed; -1 for all
// FAILING_FOLDER   files below it, and folders, alone are counted and fail
// FAILING_COUNTS   a file that is told how many there were, when the process ends
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_int calls;

static int fails(const char *kind, int file) {
    const char *wanted = getenv("FAILING_CALL"), *after = getenv("FAILING_AFTER"), *folder = getenv("FAILING_FOLDER");
    if (!wanted || !after || !folder || strcmp(wanted, kind) != 0) return 0;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0 || strncmp(path, folder, strlen(folder)) != 0) return 0;
    int number = atomic_fetch_add(&calls, 1);
    if (atoi(after) < 0 || number < atoi(after)) return 0;
    errno = EIO;
    return 1;
}

__attribute__((destructor)) static void tell(void) {
    const char *path = getenv("FAILING_COUNTS");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) return;
    fprintf(file, "%d\n", atomic_load(&calls));
    fclose(file);
}

#define STAND_IN(kind, result, name, parameters, arguments)                             \
    result name parameters {                                                            \
        static result(*real) parameters;                                                \
        if (!real) real = (result(*) parameters)dlsym(RTLD_NEXT, #name);                \
        return fails(kind, file) ? -1 : real arguments;                                 \
    }

STAND_IN("read", ssize_t, read, (int file, void *bytes, size_t count), (file, bytes, count))
STAND_IN("read", ssize_t, pread, (int file, void *bytes, size_t count, off_t at), (file, bytes, count, at))
STAND_IN("read", ssize_t, pread64, (int file, void *bytes, size_t count, off_t at), (file, bytes, count, at))
STAND_IN("write", ssize_t, write, (int file, const void *bytes, size_t count), (file, bytes, count))
STAND_IN("write", ssize_t, pwrite, (int file, const void *bytes, size_t count, off_t at), (file, bytes, count, at))
STAND_IN("write", ssize_t, pwrite64, (int file, const void *bytes, size_t count, off_t at), (file, bytes, count, at))
STAND_IN("sync", int, fsync, (int file), (file))
STAND_IN("sync", int, fdatasync, (int file), (file))
