import Tensors

/// A value that a pickle makes. Values refer to each other by index, so that neither a deep nor a widely shared one costs more
/// than the opcodes that made it, and none is walked or freed by recursion.
enum PickleNode {
    typealias Index = UInt32

    case none
    case bool(Bool)
    case int(Int)
    /// Text in the stream, UTF-8 as yet unchecked.
    case text(start: UInt32, count: UInt32)
    /// Text that had escapes, in `Pickle.unescaped`.
    case unescaped(UInt32)
    /// A run of `Pickle.items`.
    case tuple(start: UInt32, count: UInt32)
    /// An index of `Pickle.containers`.
    case list(UInt32)
    case dict(UInt32)
    /// An index of `PickleGlobals.table`.
    case global(UInt16)
    /// What a global of tensors would return for these arguments; checked when somebody asks for it.
    case made(by: UInt16, arguments: Index)
    /// What the writer kept outside of the stream; the index is of what names it.
    case persistent(Index)
    /// Something that Crayon has no use for.
    case other(Other)

    /// Kinds of values that are skipped, for messages.
    enum Other: String {
        case number = "a number"
        case bytes = "bytes"
        case set = "a set"
        case object = "an object"
        case array = "a NumPy array"
    }
}

/// The values of one pickle, as its opcodes left them.
struct Pickle {
    /// Members of lists and dicts, in order, as a chain: a list grows while others refer to it.
    struct Cell {
        /// Of dicts.
        var key: PickleNode.Index
        var value: PickleNode.Index
        var next: UInt32
    }

    struct Container {
        var first = Pickle.noCell
        var last = Pickle.noCell
    }

    static let noCell = UInt32.max

    var nodes: [PickleNode] = []
    var items: [PickleNode.Index] = []
    var containers: [Container] = []
    var cells: [Cell] = []
    var unescaped: [String] = []
    var root: PickleNode.Index = 0
    /// The stream's bytes: from its first to the one behind its last.
    var range: Range<Int> = 0..<0

    subscript(index: PickleNode.Index) -> PickleNode { nodes[Int(index)] }

    /// - Parameter bytes: what the pickle was read from.
    /// - Returns: nil for what is no text, no UTF-8, or longer than `limit` bytes.
    func text(_ index: PickleNode.Index, in bytes: UnsafeRawBufferPointer, limit: Int = 4096) -> String? {
        switch self[index] {
        case .text(let start, let count):
            guard count <= limit else { return nil }
            return String(validating: bytes[Int(start)..<Int(start) + Int(count)], as: UTF8.self)
        case .unescaped(let index):
            let text = unescaped[Int(index)]
            return text.utf8.count <= limit ? text : nil
        default: return nil
        }
    }

    /// The members of a tuple; nil for anything else.
    func tuple(_ index: PickleNode.Index) -> ArraySlice<PickleNode.Index>? {
        guard case .tuple(let start, let count) = self[index] else { return nil }
        return items[Int(start)..<Int(start) + Int(count)]
    }

    func int(_ index: PickleNode.Index) -> Int? {
        guard case .int(let value) = self[index] else { return nil }
        return value
    }
}
