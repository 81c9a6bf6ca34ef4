import Bytes

/// Reads a pickle: the stack machine of Python's `pickle` with its opcodes, and none of its powers.
///
/// Nothing is imported, called or built. A global is an index into `PickleGlobals.table` or an error; applying one makes a node
/// that says so. Every opcode does work in proportion to the bytes that it takes or the values that it pops, makes at most one
/// node and puts each value into one place, so time and memory are linear in the stream whatever its values share.
struct PickleMachine {
    /// Opcodes of one stream. A tensor takes some 40, so this is a checkpoint of 200 thousand; memory stays below 512 MiB.
    static let opcodeLimit = 1 << 23
    /// Bytes of one stream: offsets of texts are kept in 32 bits.
    static let byteLimit = 1 << 28

    private var cursor: PickleCursor
    var pickle = Pickle()
    private var stack: [PickleNode.Index] = []
    /// Heights of the stack.
    private var marks: [Int] = []
    private var memo: [UInt32: PickleNode.Index] = [:]
    /// Pairs that were copied from lists, which may be the same list again and again.
    private var copied = 0

    /// - Parameters:
    ///   - bytes: the stream from `offset` on; it may be followed by something else.
    ///   - item: what the stream is, for messages.
    static func read(
        _ bytes: UnsafeRawBufferPointer, at offset: Int = 0, place: String, item: String
    ) throws(CrayonError) -> Pickle {
        let window = UnsafeRawBufferPointer(rebasing: bytes.prefix(offset + byteLimit))
        var machine = PickleMachine(cursor: PickleCursor(window, at: offset, place: place, item: item))
        try machine.run()
        machine.pickle.range = offset..<machine.cursor.offset
        return machine.pickle
    }

    private init(cursor: PickleCursor) { self.cursor = cursor }

    private mutating func run() throws(CrayonError) {
        var count = 0
        while true {
            count += 1
            guard count <= Self.opcodeLimit else {
                throw cursor.refuse("a pickle of more than \(Self.opcodeLimit) opcodes", "fewer", .unsupported)
            }
            let code = try cursor.byte()
            guard let opcode = PickleOpcode(rawValue: code) else {
                throw cursor.refuse("0x\(String(code, radix: 16))", "an opcode of pickle protocols 0 to 5")
            }
            if opcode == .stop { break }
            try step(opcode)
        }
        guard stack.count == 1, marks.isEmpty else {
            throw cursor.refuse("\(stack.count) values at the end", "one")
        }
        pickle.root = stack[0]
    }

    private mutating func step(_ opcode: PickleOpcode) throws(CrayonError) {
        switch opcode {
        case .proto:
            let version = try cursor.byte()
            guard version <= 5 else {
                throw cursor.refuse("pickle protocol \(version)", "0 to 5", .unsupported)
            }
        case .frame: try checkFrame()
        case .mark: marks.append(stack.count)
        case .pop:
            // As Python does: with nothing above the mark, the mark goes.
            if let mark = marks.last, mark == stack.count { marks.removeLast() } else { _ = try pop() }
        case .popMark: stack.removeLast(try popMark().count)
        case .dup: stack.append(try top())

        case .none: push(.none)
        case .newTrue: push(.bool(true))
        case .newFalse: push(.bool(false))
        case .binInt: push(.int(Int(Int32(truncatingIfNeeded: try cursor.number(4)))))
        case .binInt1: push(.int(try cursor.number(1)))
        case .binInt2: push(.int(try cursor.number(2)))
        case .int, .long: push(decimal(try cursor.line(), isLong: opcode == .long))
        case .long1: push(integer(try cursor.run(try cursor.number(1))))
        case .long4: push(integer(try cursor.run(try cursor.number(4))))
        case .float:
            _ = try cursor.line()
            push(.other(.number))
        case .binFloat:
            _ = try cursor.run(8)
            push(.other(.number))

        case .binUnicode: try pushText(4)
        case .shortBinUnicode: try pushText(1)
        case .binUnicode8: try pushText(8)
        // Python 2's strings: text in the files of its day.
        case .binString: try pushText(4)
        case .shortBinString: try pushText(1)
        case .unicode: pushEscaped(try cursor.line())
        case .string:
            let line = try cursor.line()
            guard line.count >= 2, let quote = cursor.bytes[line].first, quote == cursor.bytes[line].last,
                quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"")
            else { throw cursor.refuse("a string without quotes", "one in quotes") }
            pushEscaped(line.dropFirst().dropLast())
        case .binBytes: try pushBytes(4)
        case .shortBinBytes: try pushBytes(1)
        case .binBytes8, .byteArray8: try pushBytes(8)

        case .emptyTuple: try makeTuple(0)
        case .tuple1: try makeTuple(1)
        case .tuple2: try makeTuple(2)
        case .tuple3: try makeTuple(3)
        case .tuple: try makeTuple(try popMark().count)
        case .emptyList: push(.list(newContainer()))
        case .list:
            let range = try popMark()
            let list = newContainer()
            for value in stack[range] { link(list, 0, value) }
            stack.removeLast(range.count)
            push(.list(list))
        case .append:
            let value = try pop()
            try append([value])
        case .appends:
            let range = try popMark()
            let values = Array(stack[range])
            stack.removeLast(range.count)
            try append(values)
        case .emptyDict: push(.dict(newContainer()))
        case .dict:
            let range = try popMark()
            let pairs = Array(stack[range])
            stack.removeLast(range.count)
            push(.dict(newContainer()))
            try setItems(pairs)
        case .setItem:
            let value = try pop()
            let key = try pop()
            try setItems([key, value])
        case .setItems:
            let range = try popMark()
            let pairs = Array(stack[range])
            stack.removeLast(range.count)
            try setItems(pairs)
        case .emptySet: push(.other(.set))
        case .addItems: stack.removeLast(try popMark().count)
        case .frozenSet:
            stack.removeLast(try popMark().count)
            push(.other(.set))

        case .get: push(try memoized(try index(cursor.line())))
        case .binGet: push(try memoized(UInt32(try cursor.number(1))))
        case .longBinGet: push(try memoized(UInt32(try cursor.number(4))))
        case .put: memo[try index(cursor.line())] = try top()
        case .binPut: memo[UInt32(try cursor.number(1))] = try top()
        case .longBinPut: memo[UInt32(try cursor.number(4))] = try top()
        case .memoize: memo[UInt32(memo.count)] = try top()

        case .global:
            let module = try cursor.line()
            try pushGlobal(module: cursor.text(module), name: cursor.text(try cursor.line()))
        case .stackGlobal:
            let name = try pop()
            let module = try pop()
            guard let module = pickle.text(module, in: cursor.bytes), let name = pickle.text(name, in: cursor.bytes)
            else { throw cursor.refuse("a global whose name is no text", "two texts") }
            try pushGlobal(module: module, name: name)
        case .reduce, .newObject:
            let arguments = try pop()
            try apply(try pop(), arguments)
        case .newObjectWithKeywords:
            _ = try pop()
            let arguments = try pop()
            try apply(try pop(), arguments)
        case .object:
            let range = try popMark()
            guard range.count >= 1 else { throw cursor.refuse("an object without a class", "a class") }
            try makeTuple(range.count - 1)
            let arguments = try pop()
            try apply(try pop(), arguments)
        case .instance:
            let module = try cursor.line()
            let name = try cursor.line()
            try makeTuple(try popMark().count)
            let arguments = try pop()
            try pushGlobal(module: cursor.text(module), name: cursor.text(name))
            try apply(try pop(), arguments)
        case .build:
            // The state of what has none here: attributes of a state dict, fields of an object that is skipped.
            _ = try pop()
            switch pickle[try top()] {
            case .dict, .other, .made: break
            default: throw cursor.refuse("a state for what takes none", "an object before it")
            }
        case .persistent:
            let name = try pop()
            push(.persistent(name))

        case .persistentText, .extension1, .extension2, .extension4, .nextBuffer, .readOnlyBuffer:
            throw cursor.refuse(
                "opcode 0x\(String(opcode.rawValue, radix: 16)), which refers to something outside of the file",
                "what torch.save writes", .unsupported)
        case .stop: break
        }
    }

    // MARK: The stack

    private mutating func push(_ node: PickleNode) {
        stack.append(PickleNode.Index(pickle.nodes.count))
        pickle.nodes.append(node)
    }

    private mutating func push(_ index: PickleNode.Index) { stack.append(index) }

    private var floor: Int { marks.last ?? 0 }

    private func top() throws(CrayonError) -> PickleNode.Index {
        guard stack.count > floor else { throw cursor.refuse("an opcode without its values", "them on the stack") }
        return stack[stack.count - 1]
    }

    private mutating func pop() throws(CrayonError) -> PickleNode.Index {
        let value = try top()
        stack.removeLast()
        return value
    }

    /// The values above the last mark, which goes; they stay.
    private mutating func popMark() throws(CrayonError) -> Range<Int> {
        guard let mark = marks.popLast() else { throw cursor.refuse("an opcode without its mark", "a mark") }
        return mark..<stack.count
    }

    private func memoized(_ index: UInt32) throws(CrayonError) -> PickleNode.Index {
        guard let value = memo[index] else { throw cursor.refuse("memo \(index), which holds nothing", "a value") }
        return value
    }

    private func index(_ line: Range<Int>) throws(CrayonError) -> UInt32 {
        guard line.count <= 10, let index = UInt32(cursor.text(line)) else {
            throw cursor.refuse("a memo that is no number", "a number of 32 bits")
        }
        return index
    }

    // MARK: Values

    /// A frame is a hint to read ahead; it must not claim what is not there.
    private mutating func checkFrame() throws(CrayonError) {
        let count = try cursor.number(8)
        guard count <= cursor.bytes.count - cursor.offset else {
            throw cursor.refuse("a frame of \(count) bytes", "one that ends with the stream")
        }
    }

    private mutating func pushText(_ width: Int) throws(CrayonError) {
        let range = try cursor.run(try cursor.number(width))
        push(.text(start: UInt32(range.lowerBound), count: UInt32(range.count)))
    }

    private mutating func pushBytes(_ width: Int) throws(CrayonError) {
        _ = try cursor.run(try cursor.number(width))
        push(.other(.bytes))
    }

    /// Protocol 0's text: as it stands, but for escapes.
    private mutating func pushEscaped(_ range: Range<Int>) {
        if cursor.bytes[range].contains(UInt8(ascii: "\\")) {
            push(.unescaped(UInt32(pickle.unescaped.count)))
            pickle.unescaped.append(PickleEscapes.text(cursor.bytes[range]))
        } else {
            push(.text(start: UInt32(range.lowerBound), count: UInt32(range.count)))
        }
    }

    /// Digits on a line; `I01` and `I00` are protocol 0's booleans.
    private func decimal(_ line: Range<Int>, isLong: Bool) -> PickleNode {
        guard line.count <= 24 else { return .other(.number) }
        var text = cursor.text(line)
        if !isLong, text == "01" || text == "00" { return .bool(text == "01") }
        if isLong, text.hasSuffix("L") { text.removeLast() }
        return Int(text).map { .int($0) } ?? .other(.number)
    }

    /// Two's complement, little-endian.
    private func integer(_ range: Range<Int>) -> PickleNode {
        guard range.count <= 8 else { return .other(.number) }
        guard let last = range.last else { return .int(0) }
        var value: Int = cursor.bytes[last] & 0x80 == 0 ? 0 : -1
        for index in range.reversed() { value = value << 8 | Int(cursor.bytes[index]) }
        return .int(value)
    }

    private mutating func makeTuple(_ count: Int) throws(CrayonError) {
        guard stack.count - floor >= count else { throw cursor.refuse("a tuple without its values", "them on the stack") }
        let start = pickle.items.count
        pickle.items.append(contentsOf: stack.suffix(count))
        stack.removeLast(count)
        push(.tuple(start: UInt32(start), count: UInt32(count)))
    }

    private mutating func newContainer() -> UInt32 {
        pickle.containers.append(Pickle.Container())
        return UInt32(pickle.containers.count - 1)
    }

    private mutating func link(_ container: UInt32, _ key: PickleNode.Index, _ value: PickleNode.Index) {
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

    private mutating func append(_ values: [PickleNode.Index]) throws(CrayonError) {
        switch pickle[try top()] {
        case .list(let list): for value in values { link(list, 0, value) }
        case .other: break
        default: throw cursor.refuse("a value appended to what is no list", "a list")
        }
    }

    private mutating func setItems(_ pairs: [PickleNode.Index]) throws(CrayonError) {
        guard pairs.count % 2 == 0 else { throw cursor.refuse("a key without a value", "pairs") }
        switch pickle[try top()] {
        case .dict(let dict):
            for pair in stride(from: 0, to: pairs.count, by: 2) { link(dict, pairs[pair], pairs[pair + 1]) }
        case .other: break
        default: throw cursor.refuse("a key set in what is no dict", "a dict")
        }
    }

    // MARK: Globals

    private mutating func pushGlobal(module: String, name: String) throws(CrayonError) {
        guard let index = PickleGlobals.find(module: module, name: name) else {
            throw cursor.refuse(
                "'\(module.prefix(200)).\(name.prefix(200))', which is no part of a tensor",
                "tensors in dicts and lists, with plain values beside them", .unsupported,
                advice: "Crayon runs nothing that a pickle names. If you trust the file, load it in Python and save "
                    + "its state_dict alone, best with safetensors.")
        }
        push(.global(index))
    }

    /// What a global makes of its arguments.
    private mutating func apply(_ function: PickleNode.Index, _ arguments: PickleNode.Index) throws(CrayonError) {
        guard case .global(let index) = pickle[function] else {
            // Methods of what is skipped, as NumPy's dtypes have.
            if case .other(let what) = pickle[function] { return push(.other(what)) }
            throw cursor.refuse("a call of what is no global", "a class or function by its name")
        }
        guard let tuple = pickle.tuple(arguments) else {
            throw cursor.refuse("a call whose arguments are no tuple", "a tuple")
        }
        switch PickleGlobals.kind(index) {
        case .dict:
            push(.dict(newContainer()))
            // OrderedDict of pairs, as Python 2 wrote it.
            if let first = tuple.first, tuple.count == 1 { try setItems(try pairs(first)) }
        case .size:
            guard let first = tuple.first, pickle.tuple(first) != nil else {
                throw cursor.refuse("a torch.Size of what is no tuple", "a tuple")
            }
            push(first)
        case .tensor, .foreignTensor: push(.made(by: index, arguments: arguments))
        case .skipped(let what): push(.other(what))
        case .tensorClass, .storage, .type:
            let global = PickleGlobals.table[Int(index)]
            throw cursor.refuse(
                "a call of '\(global.module).\(global.name)'", "tensors as torch.save writes them", .unsupported,
                advice: "If you trust the file, load it in Python and save its state_dict again.")
        }
    }

    /// Keys and values of a list of pairs; a `defaultdict` has its factory there instead.
    private mutating func pairs(_ index: PickleNode.Index) throws(CrayonError) -> [PickleNode.Index] {
        guard case .list(let list) = pickle[index] else { return [] }
        var pairs: [PickleNode.Index] = []
        var next = pickle.containers[Int(list)].first
        while next != Pickle.noCell {
            let cell = pickle.cells[Int(next)]
            copied += 1
            guard copied <= cursor.offset else {
                throw cursor.refuse("dicts made of more pairs than the stream has bytes", "each pair once")
            }
            switch pickle[cell.value] {
            case .tuple(let start, 2): pairs += pickle.items[Int(start)..<Int(start) + 2]
            case .list(let pair):
                let key = pickle.containers[Int(pair)].first
                let value = pickle.containers[Int(pair)].last
                guard key != Pickle.noCell, pickle.cells[Int(key)].next == value, value != key else {
                    throw cursor.refuse("a member of a dict that is no pair", "pairs")
                }
                pairs += [pickle.cells[Int(key)].value, pickle.cells[Int(value)].value]
            default: throw cursor.refuse("a member of a dict that is no pair", "pairs")
            }
            next = cell.next
        }
        return pairs
    }
}
