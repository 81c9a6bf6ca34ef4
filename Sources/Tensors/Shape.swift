/// The extents of a dense row-major tensor, outermost first. No extent is negative, and the number of
/// elements fits an `Int`: both hold by construction.
public struct Shape: Hashable, Sendable, CustomStringConvertible {
    public let dims: [Int]
    /// The number of elements; 1 for a scalar.
    public let count: Int

    /// For extents that the program made itself.
    /// - Precondition: no extent is negative and the product does not overflow.
    public init(_ dims: [Int]) {
        guard let shape = Shape(checking: dims) else { preconditionFailure("shape \(dims) overflows") }
        self = shape
    }

    /// For extents that come from a file: nil when one is negative or the product of all, or of all but
    /// the zeros, does not fit.
    public init?(checking dims: [Int]) {
        var product = 1
        var hasZero = false
        for extent in dims {
            guard extent >= 0 else { return nil }
            // A zero must not hide an overflow of the others: strides are computed from them.
            if extent == 0 {
                hasZero = true
                continue
            }
            let (next, overflow) = product.multipliedReportingOverflow(by: extent)
            guard !overflow else { return nil }
            product = next
        }
        self.dims = dims
        count = hasZero ? 0 : product
    }

    public var rank: Int { dims.count }
    public subscript(axis: Int) -> Int { dims[axis] }

    /// As a matrix: the first extent against the product of the rest. A vector is one row, a scalar 1 x 1.
    public var rows: Int { rank < 2 ? 1 : dims[0] }
    public var columns: Int { rows == 0 ? 0 : count / rows }

    public var description: String { "[" + dims.map(String.init).joined(separator: ", ") + "]" }
}
