/// A word's symbols as a linked list, in which two neighbours become one in constant time.
struct MergedWord {
    private var ids: [Int32]
    /// Index of the neighbour, -1 at the end.
    private var next: [Int32]
    private var previous: [Int32]
    private var isGone: [Bool]

    init(_ symbols: [Int32]) {
        ids = symbols
        let count = Int32(truncatingIfNeeded: symbols.count)
        next = (0..<count).map { $0 + 1 < count ? $0 + 1 : -1 }
        previous = (0..<count).map { $0 - 1 }
        isGone = [Bool](repeating: false, count: symbols.count)
    }

    /// Merges the pair of the lowest rank, the leftmost of several, until none is left.
    mutating func merge(_ merges: [UInt64: BytePairModel.Merge]) {
        guard ids.count > 1 else { return }
        var queue = MergeQueue()
        for index in ids.indices {
            if let entry = candidate(Int32(truncatingIfNeeded: index), merges) { queue.push(entry) }
        }
        while let entry = queue.pop() {
            let left = Int(entry.position)
            // The neighbours may have become others since.
            guard !isGone[left], let now = candidate(entry.position, merges), now.id == entry.id else { continue }
            let right = Int(next[left])
            ids[left] = entry.id
            isGone[right] = true
            next[left] = next[right]
            if next[left] >= 0 { previous[Int(next[left])] = entry.position }
            if let entry = candidate(previous[left], merges) { queue.push(entry) }
            if let entry = candidate(entry.position, merges) { queue.push(entry) }
        }
    }

    /// What a symbol and its right neighbour would make.
    private func candidate(_ left: Int32, _ merges: [UInt64: BytePairModel.Merge]) -> MergeQueue.Entry? {
        guard left >= 0, next[Int(left)] >= 0 else { return nil }
        let key = BytePairModel.key(ids[Int(left)], ids[Int(next[Int(left)])])
        return merges[key].map { .init(rank: $0.rank, position: left, id: $0.id) }
    }

    func collect(into result: inout [Int32]) {
        var index = ids.isEmpty ? -1 : 0
        while index >= 0 {
            result.append(ids[index])
            index = Int(next[index])
        }
    }
}
