import CKernels

/// Products of thin float32 factors, with PyTorch's bits.
public enum LowRankProduct {
    /// `target = left right`, row-major: left `[rows, depth]`, right `[depth, columns]`, target `[rows, columns]`.
    ///
    /// Every element is one chain of fused multiply-adds over ascending depth (in parts beyond a depth of 192), which is what
    /// PyTorch's float32 `@` gives on an x86-64 CPU with AVX2 for at least 4 rows and 16 columns. The result depends neither on
    /// the kernel variant nor on how rows and columns are split over calls.
    /// - Precondition: extents are not negative; strides, in elements, are at least the rows' lengths.
    public static func multiply(
        _ left: UnsafePointer<Float>, stride leftStride: Int, by right: UnsafePointer<Float>, stride rightStride: Int,
        rows: Int, columns: Int, depth: Int, into target: UnsafeMutablePointer<Float>, stride targetStride: Int
    ) {
        precondition(rows >= 0 && columns >= 0 && depth >= 0)
        precondition(leftStride >= depth && rightStride >= columns && targetStride >= columns)
        ck_low_rank_product(
            left, Int64(leftStride), right, Int64(rightStride), Int64(rows), Int64(columns), Int64(depth), target,
            Int64(targetStride))
    }
}
