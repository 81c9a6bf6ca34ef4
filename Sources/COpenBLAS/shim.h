// OpenBLAS's C interface: cblas_sgemm, and openblas_set_num_threads, which other BLAS libraries lack.
#include <cblas.h>
