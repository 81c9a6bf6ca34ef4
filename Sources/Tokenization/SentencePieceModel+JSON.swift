public import Bytes

extension SentencePieceModel {
    /// The model that a `tokenizer.json` with characters was made of, as far as that says it: a piece's score is the place of the
    /// first merge that makes it, so that merging by scores gives what merging by the list gives.
    ///
    /// Nil for a byte-level tokenizer, another model than BPE, and one that a SentencePiece model cannot be: with another character
    /// for spaces, or words that are cut.
    /// - Throws: `CrayonError` for components that are not supported, and for a broken vocabulary.
    public init?(_ json: TokenizerJSON) throws(CrayonError) {
        guard json.isBytePair, !json.isByteLevel else { return nil }
        let file = try json.spacedFile()
        let mark = Array("\u{2581}".utf8)
        let replacing = BytePairFile.Normalization.replace([0x20], with: mark)
        guard case .spaces(mark, _, _) = file.decoding else { return nil }
        switch (file.normalizations, file.steps.first) {
        case ([.prepend(mark), replacing], nil): addsDummyPrefix = true
        case ([replacing], nil): addsDummyPrefix = false
        case ([], .spaces(as: mark, let prefix, cuts: false)?): addsDummyPrefix = prefix != .never
        default: return nil
        }
        kind = .bpe
        removesExtraSpaces = false
        let model = file.model
        var ranks: [Int32: Int32] = [:]
        for merge in model.merges.values { ranks[merge.id] = min(ranks[merge.id] ?? .max, merge.rank) }
        let bytes = Set((0...255).map { (byte: UInt8) in Array(BytePairModel.text(ofByte: byte).utf8) })
        hasByteFallback = model.fallsBackToBytes && bytes.allSatisfy { model.ids[$0] != nil }
        for (index, piece) in model.pieces.enumerated() {
            let id = Int32(index)
            guard let piece else {
                pieces.append(Piece(text: Array("[PAD\(id)]".utf8), score: -10_000, kind: .unused))
                continue
            }
            // Characters come after what merges make.
            let score = -Float(ranks[id] ?? Int32(clamping: model.merges.count))
            let isByte = hasByteFallback && bytes.contains(piece.bytes)
            let kind: PieceKind = id == model.unknownID ? .unknown : isByte ? .byte : .normal
            pieces.append(Piece(text: piece.bytes, score: score, kind: kind))
            if kind == .unknown { unknownText = piece.bytes }
        }
    }
}
