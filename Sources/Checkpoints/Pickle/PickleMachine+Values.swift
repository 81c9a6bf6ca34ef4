import Bytes

/// Values from the bytes of the stream, and members of lists and dicts.
extension PickleMachine {
    /// A frame is a hint to read ahead; it must not claim what is not there.
    mutating func checkFrame() throws(CrayonError) {
        let count = try cursor.number(8)
        guard count <= cursor.bytes.count - cursor.offset else {
            throw cursor.refuse("a frame of \(count) bytes", "one that ends with the stream")
        }
    }

    mutating func pushText(_ width: Int) throws(CrayonError) {
        let range = try cursor.run(try cursor.number(width))
        push(.text(start: UInt32(range.lowerBound), count: UInt32(range.count)))
    }

    mutating func pushBytes(_ width: Int) throws(CrayonError) {
        _ = try cursor.run(try cursor.number(width))
        push(.other(.bytes))
    }

    /// Protocol 0's text: as it stands, but for escapes.
    mutating func pushEscaped(_ range: Range<Int>) {
        if cursor.bytes[range].contains(UInt8(ascii: "\\")) {
            push(.unescaped(UInt32(pickle.unescaped.count)))
            pickle.unescaped.append(PickleEscapes.text(cursor.bytes[range]))
        } else {
            push(.text(start: UInt32(range.lowerBound), count: UInt32(range.count)))
        }
    }

    /// Digits on a line; `I01` and `I00` are protocol 0's booleans.
    func decimal(_ line: Range<Int>, isLong: Bool) -> PickleNode {
        guard line.count <= 24 else { return .other(.number) }
        var text = cursor.text(line)
        if !isLong, text == "01" || text == "00" { return .bool(text == "01") }
        if isLong, text.hasSuffix("L") { text.removeLast() }
        return Int(text).map { .int($0) } ?? .other(.number)
    }

    /// Two's complement, little-endian.
    func integer(_ range: Range<Int>) -> PickleNode {
        guard range.count <= 8 else { return .other(.number) }
        guard let last = range.last else { return .int(0) }
        var value: Int = cursor.bytes[last] & 0x80 == 0 ? 0 : -1
        for index in range.reversed() { value = value << 8 | Int(cursor.bytes[index]) }
        return .int(value)
    }

    mutating func makeTuple(_ count: Int) throws(CrayonError) {
        guard stack.count - floor >= count else {
            throw cursor.refuse("a tuple without its values", "them on the stack")
        }
        let start = pickle.items.count
        pickle.items.append(contentsOf: stack.suffix(count))
        stack.removeLast(count)
        push(.tuple(start: UInt32(start), count: UInt32(count)))
    }

    mutating func newContainer() -> UInt32 {
        pickle.containers.append(Pickle.Container())
        return UInt32(pickle.containers.count - 1)
    }

    mutating func link(_ container: UInt32, _ key: PickleNode.Index, _ value: PickleNode.Index) {
        let cell = UInt32(pickle.cells.count)
        pickle.cells.append(Pickle.Cell(key: key, value: value, next: Pickle.noCell))
        let last = pickle.containers[Int(container)].last
        if last == Pickle.noCell {
            pickle.containers[Int(container)].first = cell
        } else {
            pickle.cells[Int(last)].next = cell
        }
        pickle.containers[Int(container)].last = cell
    }

    mutating func append(_ values: [PickleNode.Index]) throws(CrayonError) {
        switch pickle[try top()] {
        case .list(let list): for value in values { link(list, 0, value) }
        case .other: break
        default: throw cursor.refuse("a value appended to what is no list", "a list")
        }
    }

    mutating func setItems(_ pairs: [PickleNode.Index]) throws(CrayonError) {
        guard pairs.count % 2 == 0 else { throw cursor.refuse("a key without a value", "pairs") }
        switch pickle[try top()] {
        case .dict(let dict):
            for pair in stride(from: 0, to: pairs.count, by: 2) { link(dict, pairs[pair], pairs[pair + 1]) }
        case .other: break
        default: throw cursor.refuse("a key set in what is no dict", "a dict")
        }
    }
}
