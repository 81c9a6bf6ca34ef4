import CKernels

/// Backward passes of the vector functions: each takes the gradient with respect to what the function gave.
extension VectorMath {
    /// Softmax and cross-entropy of one row of logits.
    /// - Parameter x: becomes the probabilities.
    /// - Returns: `-log p[target]`, exact where the probability is near 0 or 1.
    /// - Precondition: `target` lies below `count`.
    public static func softmaxLoss(_ x: UnsafeMutablePointer<Float>, count: Int, target: Int) -> Double {
        precondition(target >= 0 && target < count)
        return ck_softmax_loss(x, Int64(count), Int64(target))
    }

    /// `dp = scale * p * (dp - sum(p dp))`, from the gradient of probabilities to that of what softmax was given.
    public static func softmaxBackward(
        _ p: UnsafePointer<Float>, scale: Float = 1, gradient dp: UnsafeMutablePointer<Float>, count: Int
    ) {
        ck_softmax_backward(p, scale, Int64(count), dp)
    }

    /// Replaces `gate` and `up` by the gradients with respect to them.
    public static func siluMultiplyBackward(
        gradient dy: UnsafePointer<Float>, gate: UnsafeMutablePointer<Float>, up: UnsafeMutablePointer<Float>,
        count: Int
    ) {
        ck_silu_multiply_backward(dy, gate, up, Int64(count))
    }

    /// `dy *= GELU'(x)`
    public static func geluBackward(
        _ x: UnsafePointer<Float>, gradient dy: UnsafeMutablePointer<Float>, count: Int
    ) {
        ck_gelu_backward(x, Int64(count), dy)
    }

    /// Adds to `dx` the gradient with respect to `x` of `weight * x / sqrt(mean(x^2) + epsilon)`.
    public static func rmsNormBackward(
        _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>, epsilon: Float, count: Int,
        gradient dy: UnsafePointer<Float>, into dx: UnsafeMutablePointer<Float>
    ) {
        ck_rms_norm_backward(x, weight, epsilon, Int64(count), dy, dx)
    }
}
