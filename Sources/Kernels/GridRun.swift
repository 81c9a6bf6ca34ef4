import CKernels

/// A run of 4-bit weights and the change that each should have, ready to be rounded onto the weights' own grid.
///
/// At amplification t an element moves to the level nearest to `weight + t delta` under the scale that its block has, a tie
/// going to the lower level. Results are the same bits whatever the kernels' variant. For one thread at a time.
public final class GridRun {
    private var run = ck_keep_run()
    private let storage: UnsafeMutablePointer<Float>
    public let capacity: Int

    /// - Parameter map: 16 levels.
    /// - Returns: nil when the levels do not ascend strictly, or are not finite.
    public init?(map: UnsafePointer<Float>, capacity: Int) {
        precondition(capacity > 0)
        storage = .allocate(capacity: 4 * capacity)
        self.capacity = capacity
        run.level = storage
        run.step = storage + capacity
        run.scale = storage + 2 * capacity
        run.delta = storage + 3 * capacity
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
    /// - Precondition: the elements lie inside the tensor and are no more than `capacity`.
    public func prepare(_ view: NF4View, elements: Range<Int>, unit: Float, delta: UnsafePointer<Float>) {
        precondition(elements.count <= capacity)
        withUnsafePointer(to: view.tensor) {
            ck_keep_prepare($0, Int64(elements.lowerBound), Int64(elements.count), unit, delta, &run)
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
}
