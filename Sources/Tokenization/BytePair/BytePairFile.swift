import Bytes
import Foundation

/// What a `tokenizer.json` of the byte-level kind says, read and checked: see `TokenizerJSON` for its parts' names.
struct BytePairFile: Sendable {
    /// What is done to a text, or a part of one, on its way to words.
    enum Step: Equatable, Sendable {
        /// A space is put before a part that does not begin with one.
        case prefixSpace
        case split(WordPattern)
    }

    var place: String
    var model: BytePairModel
    /// Texts are put into normalisation form C.
    var composes: Bool
    var steps: [Step]

    func normalized(_ text: String) -> String {
        guard composes, text.utf8.contains(where: { $0 >= 0x80 }) else { return text }
        return text.precomposedStringWithCanonicalMapping
    }

    /// Appends the ids of text that has no added token in it.
    func encode(_ text: String, into ids: inout [Int32]) {
        guard !text.isEmpty else { return }
        var parts = [Array(text.utf8)[...]]
        for step in steps {
            switch step {
            case .prefixSpace: parts = parts.map { $0.first == 0x20 ? $0 : [0x20] + $0 }
            case .split(let pattern): parts = parts.flatMap { part in pattern.words(part).map { part[$0] } }
            }
        }
        for part in parts { model.encode(part, into: &ids) }
    }
}

extension BytePairModel {
    func piece(_ id: Int32) -> Piece? {
        guard id >= 0, Int(id) < pieces.count else { return nil }
        return pieces[Int(id)]
    }
}
