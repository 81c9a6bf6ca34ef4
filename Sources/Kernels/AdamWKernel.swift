import CKernels

/// The arithmetic of one update of AdamW. Results do not depend on the variant, or on how a vector is split.
public struct AdamWKernel: Sendable {
    /// In which order the arithmetic is done, after three references on a CPU.
    public enum Form: Sendable {
        /// `torch.optim.AdamW`
        case torch
        /// bitsandbytes' `AdamW8bit` where it keeps 8-bit states
        case blockwise
        /// the same where it keeps 32-bit states, for being small
        case small
    }

    /// Elements that share a scale where states are 8-bit codes.
    public static let blockSize = 256

    /// The 256 values of the unsigned map, ascending from 0 to 1: that of the second moment.
    public static let unsignedMap: [Float] = withUnsafeBytes(of: ck_unsigned_dynamic_map) {
        [Float]($0.bindMemory(to: Float.self))
    }

    private var scalars: ck_adamw

    /// - Parameters:
    ///   - gradientScale: what every gradient is multiplied by first.
    ///   - decay: 1 - rate * weight decay.
    ///   - root: the square root of the second moment's bias correction.
    ///   - step: - rate / the first moment's bias correction.
    public init(
        form: Form, gradientScale: Double, decay: Double, beta1: Double, beta2: Double, root: Double, epsilon: Double,
        step: Double
    ) {
        let isSmall = form == .small
        scalars = ck_adamw(
            form: form == .torch ? CK_ADAMW_TORCH : isSmall ? CK_ADAMW_SMALL : CK_ADAMW_BLOCKWISE,
            gradient_scale: Float(gradientScale), decay: Float(decay), beta1: Float(beta1), rest1: Float(1 - beta1),
            beta2: Float(beta2), rest2: Float(1 - beta2), root: isSmall ? 1 : Float(root),
            epsilon: Float(isSmall ? epsilon * root : epsilon), step: Float(isSmall ? step * root : step))
    }

    /// Moments in float32.
    /// - Precondition: the pointers hold `count` elements.
    public func update(
        _ p: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>, m: UnsafeMutablePointer<Float>,
        v: UnsafeMutablePointer<Float>, count: Int
    ) {
        withUnsafePointer(to: scalars) { ck_adamw_update($0, gradient, Int64(count), p, m, v) }
    }

    /// Moments as codes and the scales of their blocks.
    public struct Codes {
        public let codes: UnsafeMutablePointer<UInt8>
        public let absmax: UnsafeMutablePointer<Float>

        public init(codes: UnsafeMutablePointer<UInt8>, absmax: UnsafeMutablePointer<Float>) {
            self.codes = codes
            self.absmax = absmax
        }

        /// From a block's first element on.
        public func advanced(by elements: Int) -> Codes {
            precondition(elements % AdamWKernel.blockSize == 0)
            return Codes(codes: codes + elements, absmax: absmax + elements / AdamWKernel.blockSize)
        }
    }

    /// - Precondition: the pointers hold `count` elements, or a scale for each block of them; all begin at a block.
    public func update(
        _ p: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>, m: Codes, v: Codes, count: Int,
        rule: Dynamic8Kernel.Rule
    ) {
        withUnsafePointer(to: scalars) {
            ck_adamw_update8(
                $0, rule == .exactNearest ? CK_CODES_NEAREST : CK_CODES_CPU, gradient, Int64(count), p, m.codes,
                m.absmax, v.codes, v.absmax)
        }
    }

    /// The sum of squares, in double and in an order that depends on `count` alone.
    public static func squareSum(_ x: UnsafePointer<Float>, count: Int) -> Double { ck_square_sum(x, Int64(count)) }
}
