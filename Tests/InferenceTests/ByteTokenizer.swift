import Bytes
import Tokenization

/// One token a byte from id 3 on, `<image>` 300 and `<stop>` 301 among them if added: enough to see what a prompt is made of.
struct ByteTokenizer: Tokenizer {
    var added: [String: Int32] = [:]

    let vocabularySize = 400
    let bosID: Int32? = 1
    let eosID: Int32? = 2
    let unknownID: Int32? = 0
    let leadingSpaces = LeadingSpaces.kept

    func encode(_ text: String, splittingAddedTokens: Bool) throws(CrayonError) -> [Int32] {
        var ids: [Int32] = []
        var rest = text[...]
        while !rest.isEmpty {
            if let (token, id) = added.first(where: { rest.hasPrefix($0.key) }) {
                ids.append(id)
                rest = rest.dropFirst(token.count)
            } else {
                ids += String(rest.removeFirst()).utf8.map { Int32($0) + 3 }
            }
        }
        return ids
    }

    func decode(_ ids: [Int32], skippingAddedTokens: Bool) throws(CrayonError) -> String {
        var decoder = StreamingDecoder(self)
        return ids.map { decoder.append($0) }.joined() + decoder.finish()
    }

    func piece(of id: Int32) -> String? { nil }
    func id(of piece: String) -> Int32? { added[piece] }

    func fragment(of id: Int32) -> TokenFragment {
        if let token = added.first(where: { $0.value == id }) { return .added(token.key) }
        return id >= 3 && id < 259 ? .byte(UInt8(id - 3)) : .nothing
    }
}
