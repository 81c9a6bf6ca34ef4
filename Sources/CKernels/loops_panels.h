// Products of a matrix and a panel of 16 columns, one vector wide. Part of loops.h.
//
// A general product repacks the matrix first, which costs as much as 16 columns' arithmetic. Here the panel's rows are the
// vectors and the matrix is read in place, six rows at a time: 12 sums and what they need fit AVX2's registers.

enum { PANEL_ROWS = 6 };

// y[rows][LANES] (+)= A[rows][count] V[count][LANES], rows at most 6 and known where this is inlined.
CK_INLINE void panel_rows(
    const float *a, int64_t stride, const int rows, int64_t count, const float *v, float *y, bool adds) {
    floats sum[PANEL_ROWS] = {{0}};
    if (adds)
        for (int r = 0; r < rows; r++) LOAD(sum[r], y + r * LANES);
    for (int64_t k = 0; k < count; k++) {
        floats row;
        LOAD(row, v + k * LANES);
        for (int r = 0; r < rows; r++) sum[r] += row * a[r * stride + k];
    }
    for (int r = 0; r < rows; r++) STORE(y + r * LANES, sum[r]);
}

CK_KERNEL void CK_NAME(panel_multiply)(
    const float *a, int64_t stride, int64_t rows, int64_t count, const float *v, float *y, bool adds) {
    int64_t r = 0;
    for (; r + PANEL_ROWS <= rows; r += PANEL_ROWS)
        panel_rows(a + r * stride, stride, PANEL_ROWS, count, v, y + r * LANES, adds);
    for (; r < rows; r++) panel_rows(a + r * stride, stride, 1, count, v, y + r * LANES, adds);
}

// g[count][LANES] += A[rows][count]^T Y[rows][LANES]
CK_INLINE void panel_columns(
    const float *a, int64_t stride, const int rows, int64_t count, const float *y, float *g) {
    floats row[PANEL_ROWS];
    for (int r = 0; r < rows; r++) LOAD(row[r], y + r * LANES);
    for (int64_t k = 0; k < count; k++) {
        floats sum;
        LOAD(sum, g + k * LANES);
        for (int r = 0; r < rows; r++) sum += row[r] * a[r * stride + k];
        STORE(g + k * LANES, sum);
    }
}

CK_KERNEL void CK_NAME(panel_accumulate)(
    const float *a, int64_t stride, int64_t rows, int64_t count, const float *y, float *g) {
    int64_t r = 0;
    for (; r + PANEL_ROWS <= rows; r += PANEL_ROWS)
        panel_columns(a + r * stride, stride, PANEL_ROWS, count, y + r * LANES, g);
    for (; r < rows; r++) panel_columns(a + r * stride, stride, 1, count, y + r * LANES, g);
}
