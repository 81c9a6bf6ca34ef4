public import Bytes
import JSON

/// JSON lines of text: `{"text"}`, `{"prompt", "answer"}` or `{"messages": [{"role", "content"}, …]}`;
/// `Formats/text-lines.md`.
public struct TextLines: Dataset {
    public let name: String
    private let file: MappedFile
    private let starts: [Int]
    private let lengths: [Int32]

    public var count: Int { starts.count }

    /// Goes once over the file for its lines; empty ones are no records.
    /// - Throws: `CrayonError` for a file without records, and for a line of 2 GiB or more.
    public init(path: String) throws(CrayonError) {
        name = path
        file = try MappedFile(path: path)
        var starts: [Int] = []
        var lengths: [Int32] = []
        let bytes = file.whole
        var start = 0
        while start < bytes.count {
            let rest = bytes.buffer[start...]
            let end = rest.firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
            if !bytes.buffer[start..<end].allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) {
                guard let length = Int32(exactly: end - start) else {
                    throw CrayonError(
                        .unsupported, in: path, item: "record \(starts.count + 1)",
                        found: "a line of \(end - start) bytes", expected: "less than 2 GiB")
                }
                starts.append(start)
                lengths.append(length)
            }
            start = end + 1
        }
        guard !starts.isEmpty else { throw .noRecords(in: path) }
        self.starts = starts
        self.lengths = lengths
    }

    public func example(_ index: Int, epoch: Int) throws(CrayonError) -> Example {
        let item = "record \(index + 1)"
        let line = file.region(offset: starts[index], count: Int(lengths[index]))
        let record = try JSONReader(JSONValue.parse(line, name: name, base: starts[index]), place: name, path: item)
        let source = "\(name): \(item)"
        let forms = ["text", "prompt", "messages"].filter { record.object[$0] != nil }
        guard forms.count == 1 else {
            throw CrayonError(
                .malformed, in: name, item: item,
                found: forms.isEmpty ? "none of them" : forms.joined(separator: " and "),
                expected: "one of the keys 'text', 'prompt' (with 'answer') and 'messages'")
        }
        if record.object["text"] != nil {
            return Example(content: .text(try record.string("text")), kind: "text", source: source)
        }
        if record.object["prompt"] != nil {
            let exchange = Exchange(question: try record.string("prompt"), answer: try record.string("answer"))
            return Example(content: .conversation([exchange]), kind: "prompt", source: source)
        }
        var turns: [(role: String, text: String)] = []
        for message in try record.objects("messages") {
            turns.append((try message.string("role"), try message.string("content")))
        }
        let exchanges = try ConversationReading(place: name, record: item).exchanges(turns)
        return Example(content: .conversation(exchanges), kind: "messages", source: source)
    }
}
