import CKernels

/// Sums over the elements of a merged weight, from which its report is made. The change is merged - base; the target of the
/// merge is base + delta; its error is merged - target.
public struct MergeSums: Sendable, Equatable {
    public private(set) var squaredBase = 0.0
    public private(set) var squaredDelta = 0.0
    /// Sum of delta times change.
    public private(set) var deltaChange = 0.0
    public private(set) var squaredChange = 0.0
    public private(set) var squaredError = 0.0
    public private(set) var squaredTarget = 0.0
    public private(set) var largestChange: Float = 0

    public init() {}

    /// The sums over a run of elements; float32 partial sums of at most 64 terms, double above.
    /// - Precondition: `count` is not negative and the pointers hold as many elements.
    public init(
        base: UnsafePointer<Float>, delta: UnsafePointer<Float>, merged: UnsafePointer<Float>, count: Int
    ) {
        var sums = ck_merge_sums()
        ck_add_merge_sums(base, delta, merged, Int64(count), &sums)
        self.init(sums)
    }

    /// Merges a run of bfloat16: `merged` becomes `base + delta`, added in float32 and rounded once.
    /// - Returns: the sums; where an element of `merged` is not finite, `squaredChange` is not either.
    /// - Precondition: `count` is not negative and the pointers, of any alignment, hold as many elements.
    public static func mergeBF16(
        base: UnsafeRawPointer, delta: UnsafePointer<Float>, count: Int, into merged: UnsafeMutableRawPointer
    ) -> MergeSums {
        var sums = ck_merge_sums()
        ck_merge_bf16(base, delta, Int64(count), merged, &sums)
        return MergeSums(sums)
    }

    init(_ sums: ck_merge_sums) {
        squaredBase = sums.squared_base
        squaredDelta = sums.squared_delta
        deltaChange = sums.delta_change
        squaredChange = sums.squared_change
        squaredError = sums.squared_error
        squaredTarget = sums.squared_target
        largestChange = sums.largest_change
    }

    public static func += (total: inout MergeSums, part: MergeSums) {
        total.squaredBase += part.squaredBase
        total.squaredDelta += part.squaredDelta
        total.deltaChange += part.deltaChange
        total.squaredChange += part.squaredChange
        total.squaredError += part.squaredError
        total.squaredTarget += part.squaredTarget
        total.largestChange = max(total.largestChange, part.largestChange)
    }
}
