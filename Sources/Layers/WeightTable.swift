public import Quantization

/// A table of which single rows are looked up: embeddings.
public struct WeightTable: Sendable {
    /// `[rows, columns]`
    public let weight: StoredWeight
    /// Nil for a weight that is there.
    public let arrival: WeightArrival?

    public init(_ weight: StoredWeight, arrival: WeightArrival? = nil) {
        self.weight = weight
        self.arrival = arrival
    }

    /// Sees to it that rows are there, those that must be made on all cores at once.
    public func bring(_ rows: some Sequence<Int>) {
        guard let arrival, !arrival.isComplete else { return }
        let columns = weight.columns
        arrival.wait(forElements: Set(rows).sorted().map { $0 * columns..<($0 + 1) * columns })
    }

    /// One row as float32. `[columns]`
    /// - Precondition: a row of the table.
    public func row(_ index: Int, into target: UnsafeMutablePointer<Float>) {
        bring(CollectionOfOne(index))
        weight.dequantizeRows(index..<index + 1, into: target)
    }
}
