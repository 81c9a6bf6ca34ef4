public import Bytes
import CKernels

/// Which instruction set the C kernels use: the widest that the processor has, or what the
/// environment variable `CRAYON_KERNELS` names.
public enum KernelVariant: String, CaseIterable, Sendable {
    case portable
    case avx2
    case avx512
    /// AVX-512 with VNNI.
    case avx512vnni
    case neon

    /// The variant in use.
    public static var active: KernelVariant {
        // The names come from the C table, which has these.
        KernelVariant(rawValue: String(cString: ck_variant())) ?? .portable
    }

    /// Fails when `CRAYON_KERNELS` names a variant that does not exist or that this processor cannot
    /// run; the kernels then use the default, which is not what was asked for. Call it at start-up.
    public static func checkEnvironment() throws(CrayonError) {
        guard let rejected = ck_rejected_variant() else { return }
        throw CrayonError(
            .usage, in: "CRAYON_KERNELS", found: "'\(String(cString: rejected))'",
            expected: "one of \(available.map(\.rawValue).joined(separator: ", "))",
            advice: "Unset the variable to use \(active.rawValue).")
    }

    /// The variants that this processor can run.
    public static var available: [KernelVariant] { allCases.filter { ck_has_variant($0.rawValue) } }

    /// Switches the whole process to this variant, for tests and benchmarks; false where it cannot run. No
    /// kernel may be running on another thread.
    public func select() -> Bool { ck_select_variant(rawValue) }
}
