import Bytes
import Kernels
import Quantization
import Tensors

/// A merge into numbers: base + delta in float32, rounded once to the type asked for.
///
/// That is what PEFT's default merge does for a base of F32, F16 or BF16 and factors in float32, bit for bit. A base of F64 is
/// summed in float64.
struct DenseMerge {
    let type: ElementType

    /// Merges on all cores; the result does not depend on their number.
    /// - Throws: `CrayonError` naming tensor and index for a result that is not finite.
    func merge(_ target: MergeTarget, name: String, place: String) throws(CrayonError) -> (Tensor, MergeSums) {
        let shape = target.base.shape
        let result = ByteBuffer(count: shape.count * type.byteCount)
        let size = Self.runSize(columns: shape.columns)
        let runs = try Parallel.mapRanges(of: shape.count, size: size) { (range) throws(CrayonError) -> MergeSums in
            let count = range.count
            var sums = MergeSums()
            let stored = result.pointer + range.lowerBound * type.byteCount
            try withFloats(3 * count) { (base) throws(CrayonError) in
                let delta = base + count
                let sum = delta + count
                target.fill(range, base: base, delta: delta, target: sum)
                if type == .f64 {
                    addInDouble(target.base, delta, range, into: stored)
                    FloatConversion.widen(stored, type: type, count: count, into: sum)
                } else {
                    FloatConversion.narrow(sum, count: count, to: type, into: stored)
                    // What is compared below is what is stored.
                    FloatConversion.widen(stored, type: type, count: count, into: sum)
                }
                sums = MergeSums(base: base, delta: delta, merged: sum, count: count)
                // A NaN or an infinity anywhere makes the sum one.
                guard sums.squaredChange.isFinite else {
                    throw Self.notFinite(sum, range, type, name: name, place: place)
                }
            }
            return sums
        }
        let total = runs.reduce(into: MergeSums()) { $0 += $1 }
        return (Tensor(name: name, type: type, shape: shape, region: result.region), total)
    }

    /// Whole rows, in number a multiple of the product's tiles, and enough of them to pay for handing out.
    static func runSize(columns: Int) -> Int { max(6, (1 << 18) / max(columns, 1) / 6 * 6) * max(columns, 1) }

    private func addInDouble(
        _ base: StoredWeight, _ delta: UnsafePointer<Float>, _ elements: Range<Int>,
        into target: UnsafeMutableRawPointer
    ) {
        guard case .dense(let tensor) = base, tensor.type == .f64 else {
            withFloats(elements.count) { scratch in
                base.dequantize(elements: elements, into: scratch)
                for index in 0..<elements.count {
                    target.storeBytes(
                        of: Double(scratch[index]) + Double(delta[index]), toByteOffset: index * 8, as: Double.self)
                }
            }
            return
        }
        for index in 0..<elements.count {
            let value = tensor.region.buffer.loadUnaligned(
                fromByteOffset: (elements.lowerBound + index) * 8, as: Double.self)
            target.storeBytes(of: value + Double(delta[index]), toByteOffset: index * 8, as: Double.self)
        }
    }

    static func notFinite(
        _ values: UnsafePointer<Float>, _ elements: Range<Int>, _ type: ElementType, name: String, place: String
    ) -> CrayonError {
        let index = (0..<elements.count).first { !values[$0].isFinite } ?? 0
        return CrayonError(
            .notFinite, in: place, item: "tensor '\(name)'",
            found: "\(values[index]) at index \(elements.lowerBound + index) of the merged weight",
            expected: "a sum that \(type.rawValue) can hold",
            advice: "The adapter's scale is too large for the base, or the base holds such numbers itself.")
    }
}
