public import Kernels

/// The constants of AdamW (Loshchilov and Hutter 2019), and what its states are kept in.
public struct AdamWSettings: Sendable, Equatable {
    public enum States: String, Codable, CaseIterable, Sendable {
        /// Float32, 8 bytes for each element; the arithmetic of `torch.optim.AdamW`.
        case float32 = "adamw"
        /// 8-bit codes in blocks of 256, 2.03 bytes for each element (Dettmers et al. 2022); the arithmetic of
        /// bitsandbytes' `AdamW8bit`, which keeps 32 bits for tensors of fewer than 4,096 elements.
        case blockwise8 = "adamw8bit"
    }

    /// Below this many elements bitsandbytes keeps 32-bit states.
    public static let smallest8bit = 4096

    public var states: States
    public var beta1: Double
    public var beta2: Double
    public var epsilon: Double
    /// How moments become codes.
    public var rule: Dynamic8Kernel.Rule

    public init(
        states: States = .float32, beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8,
        rule: Dynamic8Kernel.Rule = .bitsandbytesCPU
    ) {
        self.states = states
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.rule = rule
    }
}
