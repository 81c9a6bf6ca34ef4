import Bytes

/// The tensors that a pickle holds, under the names that its dicts and lists give them. `Formats/pytorch.md` has the rules.
struct StateDict {
    struct Leaf {
        var name: String
        let node: PickleNode.Index
        /// Which member of the root it lies in, and whether right in it: 1 for a member itself, 2 for a member's member.
        let member: Int
        let depth: Int
        /// Bytes of the member's name.
        let memberNameCount: Int
    }

    /// Dicts in dicts; more is made to keep a reader busy, or a dict that holds itself.
    static let depthLimit = 64
    /// Bytes of a name.
    static let nameLimit = 4096
    /// Members of the root that may hold a model's weights beside an optimizer's.
    static let wrappers = ["state_dict", "model_state_dict", "model", "module"]

    private(set) var leaves: [Leaf] = []
    /// Members of the root without a tensor in them, and what they are.
    private(set) var skipped: [String] = []

    private struct Frame {
        enum Rest {
            case cells(UInt32, isDict: Bool)
            case items(Range<Int>)
        }

        var rest: Rest
        var position = 0
        let prefixCount: Int
    }

    private let pickle: Pickle
    private let bytes: UnsafeRawBufferPointer
    private let place: String
    /// What is left of the work that a stream of this length may ask for: containers may be shared, and each
    /// way to one is walked.
    private var budget: Int
    private var frames: [Frame] = []
    private var path: [UInt8] = []
    private var memberIsDict: [Bool] = []

    init(_ pickle: Pickle, _ bytes: UnsafeRawBufferPointer, place: String) throws(CrayonError) {
        self.pickle = pickle
        self.bytes = bytes
        self.place = place
        budget = 16 * pickle.range.count + 65536
        if case .made = pickle[pickle.root] {
            leaves = [Leaf(name: "tensor", node: pickle.root, member: 0, depth: 0, memberNameCount: 0)]
            return
        }
        guard let rest = rest(pickle.root) else {
            throw CrayonError(
                .unsupported, in: place, found: "a pickle that holds no dict of tensors",
                expected: "a state_dict as torch.save writes it")
        }
        frames = [Frame(rest: rest, prefixCount: 0)]
        try walk()
        guard !leaves.isEmpty || skipped.isEmpty else {
            throw CrayonError(
                .missing, in: place, found: "no tensor, only \(ShardedFolder.list(skipped))",
                expected: "a state_dict as torch.save writes it")
        }
        strip()
        var names: Set<String> = []
        for leaf in leaves where !names.insert(leaf.name).inserted {
            throw CrayonError(
                .malformed, in: place, item: "tensor '\(leaf.name)'", found: "a name that two tensors have",
                expected: "names that are unique once nested ones are joined by '.'")
        }
    }

    private func rest(_ node: PickleNode.Index) -> Frame.Rest? {
        switch pickle[node] {
        case .dict(let index): .cells(pickle.containers[Int(index)].first, isDict: true)
        case .list(let index): .cells(pickle.containers[Int(index)].first, isDict: false)
        case .tuple(let start, let count): .items(Int(start)..<Int(start) + Int(count))
        default: nil
        }
    }

    private mutating func charge(_ cost: Int) throws(CrayonError) {
        budget -= cost
        guard budget >= 0 else {
            throw CrayonError(
                .unsupported, in: place, found: "dicts and lists that hold one another too often",
                expected: "names that are not many times longer than the pickle")
        }
    }

    private mutating func walk() throws(CrayonError) {
        var member = -1
        var memberName: [UInt8] = []
        var memberHasTensor = false
        func close(_ skipped: inout [String]) {
            if member >= 0, !memberHasTensor { skipped.append(String(decoding: memberName.prefix(200), as: UTF8.self)) }
        }
        while let frame = frames.last {
            path.removeLast(path.count - frame.prefixCount)
            guard let (key, position, value) = next() else {
                frames.removeLast()
                continue
            }
            try charge(8)
            let isRoot = frames.count == 1
            let inner = rest(value)
            var isTensor = false
            if case .made = pickle[value] { isTensor = true }
            // Names cost something; numbers in long lists have none.
            guard inner != nil || isTensor || isRoot else { continue }
            guard let label = key.map({ label($0) }) ?? String(position) else { continue }
            if !isRoot { path.append(UInt8(ascii: ".")) }
            path.append(contentsOf: label.utf8)
            try charge(path.count)
            guard path.count <= Self.nameLimit else {
                throw CrayonError(
                    .unsupported, in: place, item: "tensor '\(String(decoding: path.prefix(100), as: UTF8.self))…'",
                    found: "a name of \(path.count) bytes", expected: "at most \(Self.nameLimit)")
            }
            if isRoot {
                close(&skipped)
                member += 1
                memberName = path
                if case .dict = pickle[value] { memberIsDict.append(true) } else { memberIsDict.append(false) }
                memberHasTensor = false
            }
            if isTensor {
                // Its shape and strides, too, for each time that it is named.
                try charge(128)
                memberHasTensor = true
                leaves.append(
                    Leaf(
                        name: String(decoding: path, as: UTF8.self), node: value, member: member, depth: frames.count,
                        memberNameCount: memberName.count))
            } else if let inner {
                guard frames.count < Self.depthLimit else {
                    throw CrayonError(
                        .unsupported, in: place, item: "'\(String(decoding: path.prefix(100), as: UTF8.self))…'",
                        found: "dicts and lists nested deeper than \(Self.depthLimit)", expected: "fewer")
                }
                frames.append(Frame(rest: inner, prefixCount: path.count))
            }
        }
        close(&skipped)
    }

    /// The next member of the innermost container: its key where that is a dict, its position, its value.
    private mutating func next() -> (key: PickleNode.Index?, position: Int, value: PickleNode.Index)? {
        let top = frames.count - 1
        let position = frames[top].position
        frames[top].position += 1
        switch frames[top].rest {
        case .cells(let index, let isDict):
            guard index != Pickle.noCell else { return nil }
            let cell = pickle.cells[Int(index)]
            frames[top].rest = .cells(cell.next, isDict: isDict)
            return (isDict ? cell.key : nil, position, cell.value)
        case .items(let range):
            guard let first = range.first else { return nil }
            frames[top].rest = .items(range.dropFirst())
            return (nil, position, pickle.items[first])
        }
    }

    /// A key in a name; nil for keys that are neither text nor number.
    private func label(_ key: PickleNode.Index) -> String? {
        if let number = pickle.int(key) { return String(number) }
        return pickle.text(key, in: bytes, limit: Self.nameLimit)
    }

    /// Takes the name of a wrapper off: of the only member that holds tensors, if it is a dict, or else of the first of
    /// `wrappers` that is a flat dict of tensors.
    private mutating func strip() {
        let members = Set(leaves.map(\.member))
        var wrapper: Int?
        if members.count == 1 {
            wrapper = leaves[0].member
        } else {
            for name in Self.wrappers where wrapper == nil {
                wrapper =
                    leaves.first { leaf in
                        leaf.depth == 2 && memberIsDict[leaf.member]
                            && leaf.name.utf8.prefix(leaf.memberNameCount).elementsEqual(name.utf8)
                    }?.member
            }
        }
        guard case .dict = pickle[pickle.root], let wrapper, memberIsDict[wrapper] else { return }
        for index in leaves.indices where leaves[index].member == wrapper {
            leaves[index].name = String(
                decoding: leaves[index].name.utf8.dropFirst(leaves[index].memberNameCount + 1), as: UTF8.self)
        }
    }
}
