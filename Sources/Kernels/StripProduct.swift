import CKernels

/// Products of a weight with many rows, over strips of 16 outputs: what of the weight is in use at a time is brought into
/// that form once, and every row runs through it.
///
/// Sums are float32, over the inputs in ascending order: they depend neither on how many rows or outputs are computed at
/// once nor on who computes them.
public enum StripProduct {
    /// Outputs of a strip.
    public static let width = Int(CK_STRIP)
    /// The most inputs of a product.
    public static let largestDepth = Int(CK_STRIP_DEPTH)
    /// The most outputs of strips of inputs.
    public static let largestOutputs = Int(CK_STRIP_OUTPUTS)

    /// Elements of the strips of that many outputs and inputs.
    public static func elements(outputs: Int, depth: Int) -> Int { (outputs + width - 1) / width * width * depth }

    /// Strips of a linear layer's weight, `w` of `[outputs, depth]`.
    /// - Parameter strips: `[ceil(outputs / 16), depth, 16]`; outputs that are not there are 0.
    public static func stripsOfOutputs(
        _ w: UnsafePointer<Float>, stride: Int, outputs: Int, depth: Int, into strips: UnsafeMutablePointer<Float>
    ) {
        precondition(outputs >= 0 && depth >= 0 && stride >= depth)
        ck_strips_of_outputs(w, Int64(stride), Int64(outputs), Int64(depth), strips)
    }

    /// Strips of the same weight for gradients that go back through it: `w` of `[depth, outputs]`.
    public static func stripsOfInputs(
        _ w: UnsafePointer<Float>, stride: Int, outputs: Int, depth: Int, into strips: UnsafeMutablePointer<Float>
    ) {
        precondition(outputs >= 0 && depth >= 0 && stride >= outputs)
        ck_strips_of_inputs(w, Int64(stride), Int64(outputs), Int64(depth), strips)
    }

    /// `y = alpha x W^T` over `depth` inputs, or that added to `y`.
    /// - Parameters:
    ///   - x: `[rows, depth]`
    ///   - y: `[rows, outputs]`
    /// - Precondition: `depth` is at most `largestDepth`.
    public static func multiply(
        _ x: UnsafePointer<Float>, stride: Int, rows: Int, strips: UnsafePointer<Float>, outputs: Int, depth: Int,
        alpha: Float = 1, adds: Bool, into y: UnsafeMutablePointer<Float>, yStride: Int
    ) {
        precondition(rows >= 0 && outputs >= 0 && depth >= 0 && depth <= largestDepth)
        precondition(stride >= depth && yStride >= outputs)
        ck_strip_product(
            x, Int64(stride), Int64(rows), strips, Int64(outputs), Int64(depth), alpha, adds, y, Int64(yStride))
    }
}

extension NF4View {
    /// As `StripProduct.stripsOfOutputs`, of the rows and columns of a weight with `width` columns.
    /// - Precondition: at most `StripProduct.largestDepth` columns.
    public func stripsOfOutputs(
        width: Int, rows: Range<Int>, columns: Range<Int>, into strips: UnsafeMutablePointer<Float>
    ) {
        precondition(columns.count <= StripProduct.largestDepth)
        withUnsafePointer(to: tensor) {
            ck_nf4_strips_of_outputs(
                $0, Int64(width), Int64(rows.lowerBound), Int64(rows.count), Int64(columns.lowerBound),
                Int64(columns.count), strips)
        }
    }

    /// As `StripProduct.stripsOfInputs`, likewise.
    /// - Precondition: at most `StripProduct.largestOutputs` columns.
    public func stripsOfInputs(
        width: Int, rows: Range<Int>, columns: Range<Int>, into strips: UnsafeMutablePointer<Float>
    ) {
        precondition(columns.count <= StripProduct.largestOutputs)
        withUnsafePointer(to: tensor) {
            ck_nf4_strips_of_inputs(
                $0, Int64(width), Int64(rows.lowerBound), Int64(rows.count), Int64(columns.lowerBound),
                Int64(columns.count), strips)
        }
    }
}
