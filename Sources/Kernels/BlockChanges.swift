import CKernels
public import Tensors

/// What a merge made of the blocks of a 4-bit weight: records of which the report is made once the new scales are known.
///
/// Threads may fill in disjoint runs of blocks at once. Runs of elements start at a multiple of the block size, and end at one
/// or at the tensor's end.
public final class BlockChanges: @unchecked Sendable {
    // @unchecked: see above.
    private let records: UnsafeMutablePointer<ck_block_change>
    public let capacity: Int

    /// Sums over some blocks.
    public struct Totals: Sendable {
        public private(set) var sums = MergeSums()
        /// How many codes differ, and how many blocks' scales.
        public private(set) var codes = 0
        public private(set) var scales = 0

        public init() {}

        fileprivate init(_ total: ck_block_sums) {
            sums = MergeSums(total.sums)
            codes = Int(total.codes)
            scales = Int(total.scales)
        }

        public static func += (total: inout Totals, part: Totals) {
            total.sums += part.sums
            total.codes += part.codes
            total.scales += part.scales
        }
    }

    public init(capacity: Int) {
        precondition(capacity >= 0)
        self.capacity = capacity
        records = .allocate(capacity: max(capacity, 1))
    }

    deinit { records.deallocate() }

    /// Dequantizes elements of `base`, rounds them to `type`, adds `delta` in float32 and quantizes the sums to NF4, as
    /// `NF4Kernel.quantize` does; fills in the records of the blocks.
    /// - Parameters:
    ///   - codes: those of the run, packed; `absmax`: a scale for each of its blocks.
    ///   - first: the block that the record at 0 stands for.
    /// - Returns: the index in the run of the first sum that is not finite, or nil.
    /// - Precondition: `type` is F32, F16 or BF16, and there is room for the records.
    public func requantize(
        _ base: NF4View, elements: Range<Int>, as type: ElementType, adding delta: UnsafePointer<Float>,
        codes: UnsafeMutablePointer<UInt8>, absmax: UnsafeMutablePointer<Float>, first: Int = 0
    ) -> Int? {
        let record = record(of: elements, base, first)
        let bad = withUnsafePointer(to: base.tensor) {
            ck_merge_requantize(
                $0, type.kernelType, Int64(elements.lowerBound), Int64(elements.count), delta, codes, absmax, record)
        }
        return bad < 0 ? nil : Int(bad)
    }

    /// Fills in the records for two tensors of one shape and block size.
    /// - Parameter first: the block that the record at 0 stands for.
    public func compare(
        _ before: NF4View, with after: NF4View, elements: Range<Int>, delta: UnsafePointer<Float>, first: Int = 0
    ) {
        let record = record(of: elements, before, first)
        withUnsafePointer(to: before.tensor) { before in
            withUnsafePointer(to: after.tensor) { after in
                ck_merge_changes(
                    before, after, Int64(elements.lowerBound), Int64(elements.count), delta, record)
            }
        }
    }

    /// The sums of the records of some elements, with the scales of both tensors.
    public func totals(
        _ before: NF4View, with after: NF4View, elements: Range<Int>, first: Int = 0
    ) -> Totals {
        let record = record(of: elements, before, first)
        var total = ck_block_sums()
        withUnsafePointer(to: before.tensor) { before in
            withUnsafePointer(to: after.tensor) { after in
                ck_add_block_changes(
                    before, after, Int64(elements.lowerBound), Int64(elements.count), record, &total)
            }
        }
        return Totals(total)
    }

    private func record(of elements: Range<Int>, _ view: NF4View, _ first: Int) -> UnsafeMutablePointer<ck_block_change>
    {
        let block = Int(view.tensor.block)
        let index = elements.lowerBound / block - first
        precondition(elements.lowerBound % block == 0)
        precondition(index >= 0 && index + (elements.count + block - 1) / block <= capacity)
        return records + index
    }
}
