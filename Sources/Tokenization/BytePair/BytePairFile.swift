import Bytes
import Foundation

/// What a `tokenizer.json` with a BPE model says, read and checked: see `TokenizerJSON` for its parts' names.
struct BytePairFile: Sendable {
    /// What is done to a text, or to each part of one between added tokens, before tokens are looked for in it.
    enum Normalization: Equatable, Sendable {
        /// Normalisation form C.
        case compose
        /// A text before one that is not empty.
        case prepend([UInt8])
        /// Each occurrence of a text by another.
        case replace([UInt8], with: [UInt8])
    }

    /// Where a part gets a space before it.
    enum PrefixScheme: String, Sendable {
        case always
        /// The part that the whole text begins with.
        case first
        case never
    }

    /// What is done to a text, or a part of one, on its way to words.
    enum Step: Equatable, Sendable {
        /// A space is put before a part that does not begin with one.
        case prefixSpace
        case split(WordPattern)
        /// Spaces are written as another character, one is put before where none is; words are cut before each, or not at all.
        case spaces(as: [UInt8], prefix: PrefixScheme, cuts: Bool)
    }

    /// How ids become text again.
    enum Decoding: Equatable, Sendable {
        /// The bytes of all ids in a row.
        case bytes
        /// Texts with `space` for spaces, the first space dropped or not; runs of `<0x0A>` are bytes where `bytes` is true.
        case spaces([UInt8], bytes: Bool, dropsFirst: Bool)
    }

    var place: String
    var model: BytePairModel
    var normalizations: [Normalization]
    var steps: [Step]
    var decoding: Decoding

    func normalized(_ text: String) -> String {
        normalizations.reduce(text) { text, normalization in
            switch normalization {
            case .compose:
                text.utf8.contains { $0 >= 0x80 } ? text.precomposedStringWithCanonicalMapping : text
            case .prepend(let prefix):
                text.isEmpty ? text : String(decoding: prefix + text.utf8, as: UTF8.self)
            case .replace(let old, let new):
                String(decoding: Array(text.utf8).replacing(old, with: new), as: UTF8.self)
            }
        }
    }

    /// Appends the ids of text that has no added token in it.
    /// - Parameter isFirst: whether the whole text begins with it.
    func encode(_ text: String, isFirst: Bool, into ids: inout [Int32]) {
        guard !text.isEmpty else { return }
        var parts = [Array(text.utf8)[...]]
        for step in steps {
            switch step {
            case .prefixSpace: parts = parts.map { $0.first == 0x20 ? $0 : [0x20] + $0 }
            case .split(let pattern): parts = parts.flatMap { part in pattern.words(part).map { part[$0] } }
            case .spaces(let space, let prefix, let cuts):
                parts = parts.flatMap { part in
                    let isPrefixed = prefix == .always || prefix == .first && isFirst
                    return Self.spaced(Array(part), space, isPrefixed: isPrefixed, cuts: cuts)
                }
            }
        }
        for part in parts { model.encode(part, into: &ids) }
    }

    private static func spaced(
        _ part: [UInt8], _ space: [UInt8], isPrefixed: Bool, cuts: Bool
    ) -> [ArraySlice<UInt8>] {
        var bytes = part.replacing([0x20], with: space)
        if isPrefixed, !bytes.starts(with: space) { bytes = space + bytes }
        guard cuts else { return [bytes[...]] }
        var parts: [ArraySlice<UInt8>] = []
        var start = 0
        for found in bytes.ranges(of: space) where found.lowerBound > start {
            parts.append(bytes[start..<found.lowerBound])
            start = found.lowerBound
        }
        return parts + [bytes[start...]]
    }
}

extension BytePairModel {
    func piece(_ id: Int32) -> Piece? {
        guard id >= 0, Int(id) < pieces.count else { return nil }
        return pieces[Int(id)]
    }
}
