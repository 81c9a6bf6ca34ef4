public import Bytes

/// The change of a weight, made a run at a time so that it is never whole in memory.
///
/// It is called from several threads at once, several times for the same elements, and should give an element the same
/// value every time.
public struct DeltaSource: Sendable {
    private let make: @Sendable (Range<Int>, UnsafeMutablePointer<Float>) throws(CrayonError) -> Void

    /// - Parameter fill: writes the changes of a range of the flattened, row-major elements, as many as the range has.
    public init(_ fill: @escaping @Sendable (Range<Int>, UnsafeMutablePointer<Float>) throws(CrayonError) -> Void) {
        make = fill
    }

    func fill(_ elements: Range<Int>, into target: UnsafeMutablePointer<Float>) throws(CrayonError) {
        try make(elements, target)
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
