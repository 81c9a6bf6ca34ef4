/// The merges that a word may still make, best first: a binary heap by rank, then by place.
struct MergeQueue {
    struct Entry {
        /// Place of the merge in the file; smaller goes first.
        var rank: Int32
        /// Index of the left symbol.
        var position: Int32
        /// What the two become.
        var id: Int32

        func precedes(_ other: Entry) -> Bool { (rank, position) < (other.rank, other.position) }
    }

    private var entries: [Entry] = []

    mutating func push(_ entry: Entry) {
        entries.append(entry)
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard entries[child].precedes(entries[parent]) else { return }
            entries.swapAt(child, parent)
            child = parent
        }
    }

    mutating func pop() -> Entry? {
        guard let best = entries.first, let last = entries.popLast() else { return nil }
        guard !entries.isEmpty else { return best }
        entries[0] = last
        var parent = 0
        while true {
            var smallest = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < entries.count && entries[child].precedes(entries[smallest]) {
                smallest = child
            }
            guard smallest != parent else { return best }
            entries.swapAt(parent, smallest)
            parent = smallest
        }
    }
}
