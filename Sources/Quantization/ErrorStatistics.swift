public import Bytes
import Kernels
public import Tensors

/// How far a stored weight is from its source, gathered a run of elements at a time.
public struct ErrorStatistics: Sendable, Equatable {
    /// The block with the largest relative error.
    public struct WorstBlock: Sendable, Equatable {
        /// The index of its first element in the flattened weight.
        public let firstElement: Int
        public let relativeError: Double
    }

    /// Elements to a block of the statistics: bitsandbytes' default for 4-bit blocks.
    public static let blockSize = 64

    public private(set) var count = 0
    /// Sums over the elements, in double.
    public private(set) var squaredError = 0.0
    public private(set) var squaredReference = 0.0
    public private(set) var squaredValue = 0.0
    public private(set) var product = 0.0
    public private(set) var largestError = 0.0
    /// nil until something was added whose reference is not all zero.
    public private(set) var worstBlock: WorstBlock?

    public init() {}

    /// The norm of the difference over the norm of the reference (Frobenius, for a matrix). 0 when both are zero; infinite when
    /// only the reference is.
    public var relativeError: Double {
        squaredReference > 0 ? (squaredError / squaredReference).squareRoot() : squaredError > 0 ? .infinity : 0
    }

    /// The cosine of the angle between the two; 1 when both are zero.
    public var cosine: Double {
        let norms = (squaredReference * squaredValue).squareRoot()
        return norms > 0 ? product / norms : squaredReference == squaredValue ? 1 : 0
    }

    /// Adds a run of elements.
    /// - Parameter firstElement: the run's place in the flattened weight; a multiple of `blockSize`.
    public mutating func add(
        reference: UnsafePointer<Float>, value: UnsafePointer<Float>, count: Int, firstElement: Int
    ) {
        precondition(count >= 0 && firstElement % ErrorStatistics.blockSize == 0)
        var start = 0
        while start < count {
            let size = min(ErrorStatistics.blockSize, count - start)
            let sums = VectorMath.compare(reference: reference + start, value: value + start, count: size)
            squaredError += sums.squaredError
            squaredReference += sums.squaredReference
            squaredValue += sums.squaredValue
            product += sums.product
            largestError = max(largestError, sums.largestError)
            if sums.squaredReference > 0 {
                let relative = (sums.squaredError / sums.squaredReference).squareRoot()
                if relative > worstBlock?.relativeError ?? -1 {
                    worstBlock = WorstBlock(firstElement: firstElement + start, relativeError: relative)
                }
            }
            start += size
        }
        self.count += count
    }

    /// Adds what was gathered for later elements.
    public mutating func add(_ later: ErrorStatistics) {
        count += later.count
        squaredError += later.squaredError
        squaredReference += later.squaredReference
        squaredValue += later.squaredValue
        product += later.product
        largestError = max(largestError, later.largestError)
        if let worst = later.worstBlock, worst.relativeError > worstBlock?.relativeError ?? -1 { worstBlock = worst }
    }

    /// Compares a stored weight with its source on all cores; the result does not depend on their number.
    /// - Throws: `CrayonError` when the shapes differ or the source is of no float type.
    public static func compare(
        _ weight: StoredWeight, with source: Tensor, place: String
    ) throws(CrayonError) -> ErrorStatistics {
        guard source.type.isFloat, source.shape.count == weight.shape.count else {
            throw CrayonError(
                .mismatch, in: place, item: "tensor '\(source.name)'",
                found: "\(source.type.rawValue) \(source.shape)", expected: "a float type and shape \(weight.shape)")
        }
        let parts = Parallel.mapRanges(of: source.shape.count, size: 1 << 16) { range in
            var part = ErrorStatistics()
            withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * range.count) { scratch in
                guard let reference = scratch.baseAddress else { return }
                let value = reference + range.count
                FloatConversion.widen(source, elements: range, into: reference)
                weight.dequantize(elements: range, into: value)
                part.add(reference: reference, value: value, count: range.count, firstElement: range.lowerBound)
            }
            return part
        }
        var total = ErrorStatistics()
        for part in parts { total.add(part) }
        return total
    }
}
