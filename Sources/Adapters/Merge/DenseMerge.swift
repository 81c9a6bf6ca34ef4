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
    /// - Parameter memory: where the result's comes from.
    /// - Throws: `CrayonError` naming tensor and index for a result that is not finite.
    func merge(
        _ target: MergeTarget, in memory: RecycledMemory? = nil, name: String, place: String
    ) throws(CrayonError) -> (Tensor, MergeSums) {
        let shape = target.base.shape
        let result = ByteBuffer(uninitialized: shape.count * type.byteCount, from: memory)
        let size = Self.runSize(columns: shape.columns)
        let runs = try Parallel.mapRanges(of: shape.count, size: size) { (range) throws(CrayonError) -> MergeSums in
            let stored = result.pointer + range.lowerBound * type.byteCount
            let sums = type == .bf16 ? mergeBF16(target, range, into: stored) : nil
            let total = sums ?? merge(target, range, into: stored)
            // A NaN or an infinity anywhere makes the sum one.
            guard total.squaredChange.isFinite else {
                var values = [Float](repeating: 0, count: range.count)
                _ = merge(target, range, into: stored)
                FloatConversion.widen(stored, type: type, count: range.count, into: &values)
                throw Self.notFinite(values, range, type, name: name, place: place)
            }
            return total
        }
        let total = runs.reduce(into: MergeSums()) { $0 += $1 }
        return (Tensor(name: name, type: type, shape: shape, region: result.region), total)
    }

    /// Whole rows, in number a multiple of the product's tiles, that stay in a core's cache.
    static func runSize(columns: Int) -> Int { DeltaSource.runSize(columns: columns, blockSize: 1) }

    /// The usual case in one pass; nil for any other.
    private func mergeBF16(
        _ target: MergeTarget, _ elements: Range<Int>, into stored: UnsafeMutableRawPointer
    ) -> MergeSums? {
        guard target.isSum, case .dense(let base) = target.base, base.type == .bf16 else { return nil }
        var sums = MergeSums()
        withFloats(elements.count) { delta in
            target.fillChange(elements, into: delta)
            sums = .mergeBF16(
                base: base.region.baseAddress + elements.lowerBound * 2, delta: delta, count: elements.count,
                into: stored)
        }
        return sums
    }

    private func merge(
        _ target: MergeTarget, _ elements: Range<Int>, into stored: UnsafeMutableRawPointer
    ) -> MergeSums {
        let count = elements.count
        var sums = MergeSums()
        withFloats(3 * count) { base in
            let delta = base + count
            let sum = delta + count
            target.fill(elements, base: base, delta: delta, target: sum)
            if type == .f64 {
                addInDouble(target.base, delta, elements, into: stored)
            } else {
                FloatConversion.narrow(sum, count: count, to: type, into: stored)
            }
            // What is compared below is what is stored.
            FloatConversion.widen(stored, type: type, count: count, into: sum)
            sums = MergeSums(base: base, delta: delta, merged: sum, count: count)
        }
        return sums
    }

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
