import CKernels

/// What a merge did to some elements: sums in double.
public struct MergeSums: Sendable {
    public var squaredWeight = 0.0
    public var squaredDelta = 0.0
    public var weightDelta = 0.0
    /// Of the change that was made times the one that was wanted.
    public var product = 0.0
    /// Of the squared difference between the two.
    public var squaredError = 0.0
    /// The largest change that was made.
    public var largest = 0.0
    /// How many codes and scales differ.
    public var codes = 0
    public var scales = 0

    public init() {}

    /// Sums over elements before and after, and the changes that were wanted.
    public init(
        before: UnsafePointer<Float>, after: UnsafePointer<Float>, delta: UnsafePointer<Float>, count: Int
    ) {
        precondition(count >= 0)
        let sums = ck_merge_compare(before, after, delta, Int64(count))
        squaredWeight = sums.squared_weight
        squaredDelta = sums.squared_delta
        weightDelta = sums.weight_delta
        product = sums.product
        squaredError = sums.squared_error
        largest = Double(sums.largest)
    }

    public mutating func add(_ other: MergeSums) {
        squaredWeight += other.squaredWeight
        squaredDelta += other.squaredDelta
        weightDelta += other.weightDelta
        product += other.product
        squaredError += other.squaredError
        largest = max(largest, other.largest)
        codes += other.codes
        scales += other.scales
    }

    /// How many of the 4-bit codes in two runs of bytes differ.
    public static func changedCodes(_ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>, bytes: Int) -> Int {
        Int(ck_count_changed_nibbles(a, b, Int64(bytes)))
    }
}
