import Bytes
import JSON

extension TokenizerJSON {
    /// The vocabulary and its merges.
    func model(_ alphabet: BytePairModel.Alphabet) throws(CrayonError) -> BytePairModel {
        let model = try reader.object("model")
        // Files of early versions of the package do not say what kind they are.
        let kind = try model.optionalString("type") ?? "BPE"
        guard kind == "BPE" else {
            throw refusal(
                "model.type", "'\(kind)'", "'BPE'",
                advice: kind == "Unigram"
                    ? "It was made of a SentencePiece model, which is read: put that tokenizer.model beside it." : nil)
        }
        if let dropout = try model.optionalDouble("dropout"), dropout != 0 {
            throw refusal("model.dropout", "\(dropout)", "0: ids must not be left to chance")
        }
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let text = try model.optionalString(key), !text.isEmpty {
                throw refusal("model.\(key)", "'\(text)'", "none")
            }
        }
        let fallsBack = try model.optionalBool("byte_fallback") ?? false
        if fallsBack, alphabet == .bytes {
            throw refusal("model.byte_fallback", "true", "false: every byte has its character")
        }
        let (ids, pieces) = try vocabulary(model.object("vocab"), alphabet)
        var unknownID: Int32?
        if let unknown = try model.optionalString("unk_token") {
            unknownID = ids[Array(unknown.utf8)]
            guard unknownID != nil else {
                throw CrayonError(
                    .mismatch, in: reader.place, item: "key 'model.unk_token'", found: "'\(unknown)'",
                    expected: "an entry of the vocabulary")
            }
        }
        return BytePairModel(
            ids: ids, pieces: pieces, merges: try merges(model.array("merges"), ids),
            ignoresMerges: try model.optionalBool("ignore_merges") ?? false, unknownID: unknownID,
            fusesUnknown: try model.optionalBool("fuse_unk") ?? false, fallsBackToBytes: fallsBack, alphabet: alphabet)
    }

    private func vocabulary(
        _ vocabulary: JSONReader, _ alphabet: BytePairModel.Alphabet
    ) throws(CrayonError) -> (ids: [[UInt8]: Int32], pieces: [BytePairModel.Piece?]) {
        let members = vocabulary.object.members
        // A table of one row for each id: ids may leave gaps, but no file makes it larger than itself.
        let limit = 2 * members.count + 1 << 16
        var ids: [[UInt8]: Int32] = Dictionary(minimumCapacity: members.count)
        var pieces: [BytePairModel.Piece?] = []
        pieces.reserveCapacity(members.count)
        for (text, value) in members {
            guard case .number(let number) = value, let id = number.int, (0..<limit).contains(id) else {
                throw CrayonError(
                    .malformed, in: reader.place, item: "key 'model.vocab.\(text.prefix(60))'", found: value.kind,
                    expected: "an id below \(limit)")
            }
            while pieces.count <= id { pieces.append(nil) }
            if let other = pieces[id] {
                throw CrayonError(
                    .malformed, in: reader.place, item: "key 'model.vocab.\(text.prefix(60))'", found: "id \(id)",
                    expected: "another than that of '\(other.text.prefix(60))'")
            }
            pieces[id] = BytePairModel.Piece(text, alphabet)
            ids[Array(text.utf8)] = Int32(id)
        }
        return (ids, pieces)
    }

    /// Both forms of files: `"a b"` and `["a", "b"]`. The rank is the place in the list; of a pair that comes twice the later
    /// one counts, as in the Python package.
    private func merges(
        _ list: [JSONValue], _ ids: [[UInt8]: Int32]
    ) throws(CrayonError) -> [UInt64: BytePairModel.Merge] {
        var merges: [UInt64: BytePairModel.Merge] = Dictionary(minimumCapacity: list.count)
        var rank: Int32 = 0
        for (index, value) in list.enumerated() {
            let left: [UInt8]
            let right: [UInt8]
            switch value {
            case .string(let text) where text.hasPrefix("#version"): continue
            case .string(let text):
                let parts = text.utf8.split(separator: 0x20, omittingEmptySubsequences: false)
                guard parts.count == 2 else { throw broken(index, value.kind, "two entries with a space between") }
                (left, right) = (Array(parts[0]), Array(parts[1]))
            case .array(let pair):
                guard pair.count == 2, case .string(let first) = pair[0], case .string(let second) = pair[1] else {
                    throw broken(index, value.kind, "two texts")
                }
                (left, right) = (Array(first.utf8), Array(second.utf8))
            default: throw broken(index, value.kind, "two entries")
            }
            guard let leftID = ids[left], let rightID = ids[right], let id = ids[left + right] else {
                throw broken(
                    index, "'\(String(decoding: left, as: UTF8.self))' and '\(String(decoding: right, as: UTF8.self))'",
                    "two entries of the vocabulary that make a third")
            }
            merges[BytePairModel.key(leftID, rightID)] = BytePairModel.Merge(rank: rank, id: id)
            rank += 1
        }
        return merges
    }

    private func broken(_ index: Int, _ found: String, _ expected: String) -> CrayonError {
        CrayonError(
            .malformed, in: reader.place, item: "key 'model.merges[\(index)]'", found: found, expected: expected)
    }
}
