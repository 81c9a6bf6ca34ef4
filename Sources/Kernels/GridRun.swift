import CKernels

/// A run of 4-bit weights and the change that each should have, ready to be rounded onto the weights' own grid.
///
/// At amplification t an element moves to the level nearest to `weight + t delta` under the scale that its block has, a
/// tie going to the lower level. Results are the same bits whatever the kernels' variant. For one thread at a time.
public final class GridRun {
    private var run = ck_keep_run()
    private let storage: UnsafeMutablePointer<Float>
    public let capacity: Int

    /// - Parameter map: 16 levels.
    /// - Returns: nil when the levels do not ascend strictly, or are not finite.
    public init?(map: UnsafePointer<Float>, capacity: Int) {
        precondition(capacity > 0)
        storage = .allocate(capacity: 4 * capacity + (capacity + 15) / 16)
        self.capacity = capacity
        run.level = storage
        run.step = storage + capacity
        run.scale = storage + 2 * capacity
        run.delta = storage + 3 * capacity
        run.rate = storage + 4 * capacity
        guard ck_keep_levels(map, &run.levels) else { return nil }
    }

    deinit { storage.deallocate() }

    public var count: Int { Int(run.count) }

    /// Sums over the run, in units: of the squared weights, of weight times change, and of the squared changes.
    public var squaredWeight: Double { run.squared_weight }
    public var product: Double { run.product }
    public var squaredDelta: Double { run.squared_delta }

    /// Takes a run of a tensor. Elements of a block whose scale is no normal number will stay as they are.
    /// - Parameters:
    ///   - unit: a power of two by which weights and changes are multiplied for the sums, so that they stay in range.
    ///   - delta: the changes, as many as elements.
    ///   - wantsSums: the three sums above are 0 otherwise.
    /// - Precondition: the elements lie inside the tensor and are no more than `capacity`.
    public func prepare(
        _ view: NF4View, elements: Range<Int>, unit: Float, delta: UnsafePointer<Float>, wantsSums: Bool = true
    ) {
        precondition(elements.count <= capacity)
        withUnsafePointer(to: view.tensor) {
            ck_keep_prepare($0, Int64(elements.lowerBound), Int64(elements.count), unit, delta, wantsSums, &run)
        }
    }

    /// What the elements change by (e) at an amplification: the sums of `e delta` and `e^2`, in units.
    public func measure(amplification: Float) -> (product: Double, squared: Double) {
        let sums = ck_keep_measure(&run, amplification)
        return (sums.product, sums.squared)
    }

    /// The codes at an amplification, one to a byte.
    public func encode(amplification: Float, into codes: UnsafeMutablePointer<UInt8>) {
        ck_keep_encode(&run, amplification, codes)
    }

    /// Gives blocks whose largest element is to go well beyond the largest level another scale, and their elements the codes for
    /// it, where that brings the block nearer to weight + change.
    /// - Parameters:
    ///   - elements: start at a block; the run need not hold them.
    ///   - changes: what the elements are to become, less the weight.
    ///   - codes: one to a byte.
    ///   - scales: the whole tensor's as they will be stored: a code each for one with double quantization, else a float32.
    public func fit(
        _ view: NF4View, elements: Range<Int>, changes: UnsafePointer<Float>, codes: UnsafeMutablePointer<UInt8>,
        scales: UnsafeMutableRawPointer
    ) {
        precondition(elements.lowerBound % Int(view.tensor.block) == 0)
        withUnsafePointer(to: view.tensor) { tensor in
            withUnsafePointer(to: run.levels) { levels in
                ck_keep_fit(
                    tensor, levels, Int64(elements.lowerBound), Int64(elements.count), changes, codes,
                    scales.assumingMemoryBound(to: UInt8.self), scales.assumingMemoryBound(to: Float.self))
            }
        }
    }

    /// Packs codes, two to a byte; an odd last one is padded with the code of 0, as in bitsandbytes.
    public static func pack(
        _ codes: UnsafePointer<UInt8>, count: Int, into packed: UnsafeMutablePointer<UInt8>
    ) {
        ck_keep_pack(codes, Int64(count), packed)
    }
}
