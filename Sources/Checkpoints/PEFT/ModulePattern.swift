import Bytes
import JSON
import Synchronization

/// A regular expression over module paths, as PEFT applies it.
public struct ModulePattern: Sendable {
    /// As the file has it.
    public let text: String
    private let matcher: Matcher

    private enum Matcher: Sendable {
        /// Letters, digits and dots alone, where a dot stands for any byte: the end of a path, after a dot. Most files have
        /// no other, and hundreds of them.
        case end([UInt8])
        case expression(Expression)
    }

    /// `Regex` compiles itself on first use and so must not be used by two threads at once.
    private final class Expression: Sendable {
        let regex: Mutex<Regex<AnyRegexOutput>>
        init(_ regex: sending Regex<AnyRegexOutput>) { self.regex = Mutex(regex) }
    }

    /// A key of `rank_pattern` or `alpha_pattern`: `(.*\.)?(key)$`.
    /// - Throws: `CrayonError` for what is no regular expression.
    init(suffix key: String, in reader: JSONReader) throws(CrayonError) {
        text = key
        if !key.isEmpty, key.utf8.allSatisfy({ Self.isPlain($0) }) {
            matcher = .end(Array(key.utf8))
        } else {
            matcher = try Self.compile("(.*\\.)?(\(key))", item: "key '\(reader.path).\(key)'", place: reader.place)
        }
    }

    /// A pattern that a whole path must match.
    init(whole text: String, in reader: JSONReader, key: String) throws(CrayonError) {
        try self.init(whole: text, item: "key '\(key)'", place: reader.place)
    }

    init(whole text: String, item: String, place: String) throws(CrayonError) {
        self.text = text
        matcher = try Self.compile(text, item: item, place: place)
    }

    private static func compile(_ text: String, item: String, place: String) throws(CrayonError) -> Matcher {
        guard let regex = try? Regex(text) else {
            throw CrayonError(
                .malformed, in: place, item: item, found: "'\(text)'", expected: "a regular expression")
        }
        return .expression(Expression(regex))
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "_"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    public func matches(_ path: String) -> Bool {
        switch matcher {
        case .expression(let expression):
            return expression.regex.withLock { (try? $0.wholeMatch(in: path)) != nil }
        case .end(let key):
            let bytes = Array(path.utf8)
            guard bytes.count >= key.count else { return false }
            let start = bytes.count - key.count
            guard start == 0 || bytes[start - 1] == UInt8(ascii: ".") else { return false }
            return key.indices.allSatisfy { key[$0] == UInt8(ascii: ".") || key[$0] == bytes[start + $0] }
        }
    }
}
