public import Bytes

/// The change of a weight, made a run at a time so that it is never whole in memory.
///
/// It is called from several threads at once, several times for the same elements, and should give an element the same
/// value every time.
public struct DeltaSource: Sendable {
    private enum Origin {
        case made(@Sendable (Range<Int>, UnsafeMutablePointer<Float>) throws(CrayonError) -> Void)
        case held(DeltaMemory)
    }

    private let origin: Origin

    /// - Parameter fill: writes the changes of a range of the flattened, row-major elements, as many as the range has.
    public init(_ fill: @escaping @Sendable (Range<Int>, UnsafeMutablePointer<Float>) throws(CrayonError) -> Void) {
        origin = .made(fill)
    }

    init(held memory: DeltaMemory) { origin = .held(memory) }

    /// Hands over the changes of a range, for the length of the call: where they lie, or made in memory of their own.
    func withChange<Result>(
        _ elements: Range<Int>, _ body: (UnsafePointer<Float>) throws(CrayonError) -> Result
    ) throws(CrayonError) -> Result {
        switch origin {
        case .held(let memory): return try body(memory.pointer(to: elements))
        case .made(let make):
            let scratch = UnsafeMutablePointer<Float>.allocate(capacity: max(elements.count, 1))
            defer { scratch.deallocate() }
            try make(elements, scratch)
            return try body(scratch)
        }
    }

    /// How many elements to ask for at once: whole rows, in number a multiple of the product's tiles, whole blocks, and no more
    /// than stay in a core's cache while they are rounded.
    static func runSize(columns: Int, blockSize: Int) -> Int {
        // A multiple of every block size.
        let usual = 1 << 16
        for rows in [24, 18, 12, 6] where rows <= 3 * usual / 2 / max(columns, 1) && rows * columns % blockSize == 0 {
            return rows * columns
        }
        return usual
    }

    /// The error for a change that is no number, or that takes its weight out of float32's range.
    static func notFinite(_ change: Float, element: Int, name: String, place: String) -> CrayonError {
        CrayonError(
            .notFinite, in: place, item: "tensor '\(name)'", found: "a change of \(change) for element \(element)",
            expected: "changes that leave every weight finite",
            advice: "The adapter holds NaN or infinite numbers, or its scale is too large.")
    }

    /// The error for changes that are known to hold one that is not finite.
    static func notFinite(
        in values: UnsafePointer<Float>, elements: Range<Int>, name: String, place: String
    ) -> CrayonError {
        let index = (0..<elements.count).first { !values[$0].isFinite } ?? 0
        return notFinite(values[index], element: elements.lowerBound + index, name: name, place: place)
    }
}

/// Work memory of one task.
func withFloats<Failure: Error>(
    _ count: Int, _ body: (UnsafeMutablePointer<Float>) throws(Failure) -> Void
) throws(Failure) {
    let memory = UnsafeMutablePointer<Float>.allocate(capacity: max(count, 1))
    defer { memory.deallocate() }
    try body(memory)
}
