import CKernels

/// The vector functions of a transformer over float32 memory. Errors stay below 2e-7 relative to the exact value of the
/// formula for the given inputs (sums: relative to the sum of magnitudes).
///
/// - Precondition (all): `count` is not negative and the pointers hold as many elements.
public enum VectorMath {
    public static func dot(_ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, count: Int) -> Float {
        ck_dot(x, y, Int64(count))
    }

    /// `y += a x`
    public static func axpy(_ a: Float, _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int) {
        ck_axpy(a, x, y, Int64(count))
    }

    /// `y += x`
    public static func add(_ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int) {
        ck_add(x, y, Int64(count))
    }

    /// `x *= a`
    public static func scale(_ x: UnsafeMutablePointer<Float>, by a: Float, count: Int) {
        ck_scale(a, x, Int64(count))
    }

    /// `y = a x`
    public static func scaled(_ x: UnsafePointer<Float>, by a: Float, into y: UnsafeMutablePointer<Float>, count: Int) {
        ck_scaled(a, x, y, Int64(count))
    }

    /// `y = weight * x / sqrt(mean(x^2) + epsilon)`; `y` may be `x`.
    public static func rmsNorm(
        _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>, epsilon: Float, count: Int,
        into y: UnsafeMutablePointer<Float>
    ) {
        ck_rms_norm(x, weight, epsilon, Int64(count), y)
    }

    /// `y = weight * (x - mean) / sqrt(variance + epsilon) + bias`; `y` may be `x`.
    public static func layerNorm(
        _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>, bias: UnsafePointer<Float>, epsilon: Float,
        count: Int, into y: UnsafeMutablePointer<Float>
    ) {
        ck_layer_norm(x, weight, bias, epsilon, Int64(count), y)
    }

    /// In place. Entries of -infinity become 0; when all are, all become 0.
    public static func softmax(_ x: UnsafeMutablePointer<Float>, count: Int) { ck_softmax(x, Int64(count)) }

    /// `y = exp(x)`; `y` may be `x`.
    public static func exp(_ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int) {
        ck_exp(x, y, Int64(count))
    }

    /// `y = gate * sigmoid(gate) * up`; `y` may be either input.
    public static func siluMultiply(
        gate: UnsafePointer<Float>, up: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int
    ) {
        ck_silu_multiply(gate, up, y, Int64(count))
    }

    /// `x *= sigmoid(1.702 x)`, CLIP's activation.
    public static func quickGELU(_ x: UnsafeMutablePointer<Float>, count: Int) { ck_quick_gelu(x, Int64(count)) }

    /// `x *= (1 + erf(x / sqrt 2)) / 2`, the exact GELU.
    public static func gelu(_ x: UnsafeMutablePointer<Float>, count: Int) { ck_gelu(x, Int64(count)) }

    /// Rotates the pairs `(i, i + headSize / 2)` of each head of one token.
    /// - Parameters:
    ///   - x: `[heads, headSize]`
    ///   - cosines: `[headSize / 2]`; `sines` likewise.
    public static func rotateHalf(
        _ x: UnsafeMutablePointer<Float>, heads: Int, headSize: Int, cosines: UnsafePointer<Float>,
        sines: UnsafePointer<Float>
    ) {
        precondition(headSize % 2 == 0)
        ck_rotate_half(x, Int64(heads), Int64(headSize), cosines, sines)
    }

    /// Error statistics of two vectors, in double.
    public struct Comparison: Sendable {
        public let squaredError, squaredReference, squaredValue, product, largestError: Double
    }

    /// Sums over the elements of a vector and its reference.
    public static func compare(
        reference: UnsafePointer<Float>, value: UnsafePointer<Float>, count: Int
    ) -> Comparison {
        let sums = ck_compare(reference, value, Int64(count))
        return Comparison(
            squaredError: sums.squared_error, squaredReference: sums.squared_reference,
            squaredValue: sums.squared_value, product: sums.product, largestError: sums.largest_error)
    }
}
