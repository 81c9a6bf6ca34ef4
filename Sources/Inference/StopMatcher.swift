/// Finds the first of some stop texts in a text that comes piece by piece, and holds back what may be the
/// beginning of one.
public struct StopMatcher: Sendable {
    /// As UTF-8, none empty.
    private let stops: [[UInt8]]
    private var held: [UInt8] = []
    /// A stop text has come; nothing more is let through.
    public private(set) var hasStopped = false

    public init(_ stops: [String]) {
        self.stops = stops.map { Array($0.utf8) }.filter { !$0.isEmpty }
    }

    /// - Returns: the text that is certain not to belong to a stop text; often what went in.
    public mutating func append(_ text: String) -> String {
        guard !hasStopped else { return "" }
        guard !stops.isEmpty else { return text }
        held.append(contentsOf: text.utf8)
        if let start = firstMatch() {
            hasStopped = true
            held.removeSubrange(start...)
            return finish()
        }
        // The longest end of the text that a stop text begins with.
        var kept = 0
        for stop in stops {
            let own = (0..<min(stop.count, held.count + 1)).last {
                held.suffix($0).elementsEqual(stop.prefix($0))
            }
            kept = max(kept, own ?? 0)
        }
        let certain = String(decoding: held.dropLast(kept), as: UTF8.self)
        held.removeFirst(held.count - kept)
        return certain
    }

    /// What was held back, when no more text comes.
    public mutating func finish() -> String {
        defer { held = [] }
        return String(decoding: held, as: UTF8.self)
    }

    /// Where the match begins that is complete first, so that it does not matter how the text was cut; the longest of those
    /// that end together.
    private func firstMatch() -> Int? {
        guard !held.isEmpty else { return nil }
        for end in 1...held.count {
            var longest = 0
            for stop in stops where stop.count <= end && held[..<end].suffix(stop.count).elementsEqual(stop) {
                longest = max(longest, stop.count)
            }
            if longest > 0 { return end - longest }
        }
        return nil
    }
}
