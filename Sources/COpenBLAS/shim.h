#ifndef CRAYON_COPENBLAS_H
#define CRAYON_COPENBLAS_H

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

// Part of every OpenBLAS that carries kernels for several processors, though of no header; weak, so that a
// library made for one processor links too.
extern void gotoblas_dynamic_init(void) __attribute__((weak));
extern void gotoblas_dynamic_quit(void) __attribute__((weak));

// A processor newer than the library is taken for a Prescott, whose SSE3 kernels are five times too slow. Has OpenBLAS
// choose again, with what we know of the processor, unless the user has said what to take. Before any product, on
// one thread. Returns whether the choice was made anew.
static inline int copenblas_correct_core(const char *core) {
    if (!gotoblas_dynamic_init || !gotoblas_dynamic_quit) return 0;
    if (getenv("OPENBLAS_CORETYPE") || strcmp(openblas_get_corename(), "Prescott") != 0) return 0;
    setenv("OPENBLAS_CORETYPE", core, 1);
    gotoblas_dynamic_quit();
    gotoblas_dynamic_init();
    unsetenv("OPENBLAS_CORETYPE");
    return 1;
}

// As for the two above: part of every OpenBLAS with threads of its own.
extern int blas_thread_shutdown_(void) __attribute__((weak));

// OpenBLAS starts threads when it is loaded, and each keeps a core busy for a while before it sleeps. Ends them; products are
// made on the calling thread from then on. On one thread, before any product.
static inline void copenblas_end_threads(void) {
    openblas_set_num_threads(1);
    if (blas_thread_shutdown_) blas_thread_shutdown_();
}

// The LAPACK routines in use. OpenBLAS carries them, but its header does not declare them. Fortran: everything by
// reference, integers of 32 bits, matrices by column, and the length of each text argument by value at the end.
extern void sgesdd_(
    const char *jobz, const int *m, const int *n, float *a, const int *lda, float *s, float *u, const int *ldu, float *vt,
    const int *ldvt, float *work, const int *lwork, int *iwork, int *info, size_t jobz_length);
extern void sgelqf_(
    const int *m, const int *n, float *a, const int *lda, float *tau, float *work, const int *lwork, int *info);
extern void sorglq_(
    const int *m, const int *n, const int *k, float *a, const int *lda, const float *tau, float *work, const int *lwork,
    int *info);
extern void dsyevd_(
    const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w, double *work,
    const int *lwork, int *iwork, const int *liwork, int *info, size_t jobz_length, size_t uplo_length);

#endif
