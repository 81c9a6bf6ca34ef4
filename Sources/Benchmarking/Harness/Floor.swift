/// What work uses up, at a rate that is measured in the same run.
public enum Resource: String, Codable, Sendable, CaseIterable {
    /// Bytes read from memory.
    case memoryRead = "memory-read"
    /// Bytes read and bytes written, both counted.
    case memoryCopy = "memory-copy"
    /// Floating-point operations of a float32 matrix product.
    case products
    /// Bytes read from the disk.
    case diskRead = "disk-read"
    /// Bytes written to the disk and synced.
    case diskWrite = "disk-write"
}

/// The least that a job must do, as amounts of resources that are used one after the other: the time that the machine would need
/// for that and nothing else.
public struct Floor: Codable, Sendable, Equatable {
    public struct Term: Codable, Sendable, Equatable {
        public let resource: Resource
        /// Bytes or operations.
        public let amount: Double
    }

    public let terms: [Term]

    public init(_ terms: KeyValuePairs<Resource, Double>) {
        self.terms = terms.map { Term(resource: $0.key, amount: $0.value) }
    }

    /// Seconds at given rates; nil where one of them was not measured.
    public func seconds(at rates: [Resource: Double]) -> Double? {
        var sum = 0.0
        for term in terms {
            guard let rate = rates[term.resource], rate > 0 else { return nil }
            sum += term.amount / rate
        }
        return sum
    }
}
