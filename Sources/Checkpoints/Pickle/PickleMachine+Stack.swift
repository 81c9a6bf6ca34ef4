import Bytes

/// The stack, its marks and the memo.
extension PickleMachine {
    mutating func push(_ node: PickleNode) {
        stack.append(PickleNode.Index(pickle.nodes.count))
        pickle.nodes.append(node)
    }

    mutating func push(_ index: PickleNode.Index) { stack.append(index) }

    var floor: Int { marks.last ?? 0 }

    func top() throws(CrayonError) -> PickleNode.Index {
        guard stack.count > floor else { throw cursor.refuse("an opcode without its values", "them on the stack") }
        return stack[stack.count - 1]
    }

    mutating func pop() throws(CrayonError) -> PickleNode.Index {
        let value = try top()
        stack.removeLast()
        return value
    }

    /// The values above the last mark, which goes; they stay.
    mutating func popMark() throws(CrayonError) -> Range<Int> {
        guard let mark = marks.popLast() else { throw cursor.refuse("an opcode without its mark", "a mark") }
        return mark..<stack.count
    }

    func memoized(_ index: UInt32) throws(CrayonError) -> PickleNode.Index {
        guard let value = memo[index] else { throw cursor.refuse("memo \(index), which holds nothing", "a value") }
        return value
    }

    func index(_ line: Range<Int>) throws(CrayonError) -> UInt32 {
        guard line.count <= 10, let index = UInt32(cursor.text(line)) else {
            throw cursor.refuse("a memo that is no number", "a number of 32 bits")
        }
        return index
    }
}
