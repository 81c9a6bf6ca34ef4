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
            left, Int64(leftStride), right, Int64(rightStride), Int64(rows), Int64(columns), Int64(depth), 1, target,
            Int64(targetStride))
    }
}

/// The right factor of many products: its columns in panels of 16 that each lie together, so that no product has to gather
/// them first.
public final class PackedFactor: @unchecked Sendable {
    // @unchecked: the memory is not written after `init`.
    private static let width = 16

    public let depth: Int
    public let columns: Int
    private let panels: UnsafeMutablePointer<Float>

    /// - Parameter right: `[depth, columns]`, row-major, copied.
    public init(_ right: UnsafePointer<Float>, depth: Int, columns: Int) {
        precondition(depth >= 0 && columns >= 0)
        self.depth = depth
        self.columns = columns
        let count = (columns + Self.width - 1) / Self.width * Self.width * depth
        panels = .allocate(capacity: max(count, 1))
        ck_pack_panels(right, Int64(columns), Int64(columns), Int64(depth), panels)
    }

    deinit { panels.deallocate() }

    /// `target = factor (left right)` for some of the columns; the bits are those of `LowRankProduct.multiply`, times the factor.
    /// - Parameters:
    ///   - left: `[rows, depth]`, rows after each other.
    ///   - target: `[rows, columns.count]` with rows `stride` elements apart.
    /// - Precondition: the columns are some of the factor's.
    public func multiply(
        _ left: UnsafePointer<Float>, rows: Int, columns: Range<Int>, factor: Float,
        into target: UnsafeMutablePointer<Float>, stride: Int
    ) {
        precondition(rows >= 0 && columns.lowerBound >= 0 && columns.upperBound <= self.columns)
        precondition(stride >= columns.count)
        let width = Self.width
        var column = columns.lowerBound
        while column < columns.upperBound {
            let panel = column / width
            let end = min((panel + 1) * width, columns.upperBound)
            let from = panels + panel * depth * width
            let to = target + (column - columns.lowerBound)
            if end - column == width {
                multiply(left, rows: rows, panel: from, factor: factor, into: to, stride: stride)
            } else {
                // A part of a panel: the sums beside it have no place in the target.
                withUnsafeTemporaryAllocation(of: Float.self, capacity: max(rows, 1) * width) { whole in
                    guard let start = whole.baseAddress else { return }
                    multiply(left, rows: rows, panel: from, factor: factor, into: start, stride: width)
                    for row in 0..<rows {
                        (to + row * stride).update(
                            from: start + row * width + (column - panel * width), count: end - column)
                    }
                }
            }
            column = end
        }
    }

    private func multiply(
        _ left: UnsafePointer<Float>, rows: Int, panel: UnsafePointer<Float>, factor: Float,
        into target: UnsafeMutablePointer<Float>, stride: Int
    ) {
        ck_low_rank_product(
            left, Int64(depth), panel, Int64(Self.width), Int64(rows), Int64(Self.width), Int64(depth), factor, target,
            Int64(stride))
    }
}
