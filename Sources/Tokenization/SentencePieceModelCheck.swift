import Bytes

/// What Crayon reads of a SentencePiece model by itself, and what must hold before the library sees it.
///
/// The library checks a model's logic but trusts its tables: a broken normalisation trie makes it read
/// out of bounds, and some odd pieces end the process. So the serialized model (`sentencepiece_model.proto`)
/// is walked here first; a model that passes cannot lead the library outside its memory.
struct SentencePieceModelCheck {
    /// A dummy space is put before the text (`normalizer_spec.add_dummy_prefix`).
    private(set) var addsDummyPrefix = true
    /// Runs of spaces are one space, and those at the ends go (`normalizer_spec.remove_extra_whitespaces`).
    private(set) var removesExtraSpaces = true
    /// What an unknown piece decodes to (`trainer_spec.unk_surface`).
    private(set) var unknownSurface = " \u{2047} "
    private(set) var pieceCount = 0

    /// The library's own pieces are at most a few dozen bytes long; its merges recurse over their length.
    private static let longestPiece = 1024
    /// Ten times the largest vocabulary in use.
    private static let mostPieces = 4_000_000

    init(_ model: ByteRegion, name: String) throws(CrayonError) {
        do {
            try read(model.buffer)
        } catch {
            throw CrayonError(
                .malformed, in: name, found: error.reason, expected: "a SentencePiece model",
                advice: "Take tokenizer.model from the checkpoint that the weights came from.")
        }
    }

    private mutating func read(_ model: UnsafeRawBufferPointer) throws(ProtobufCursor.Malformed) {
        var cursor = ProtobufCursor(model)
        while let field = try cursor.next() {
            guard case .bytes(let bytes) = field.value else { continue }
            switch field.number {
            case 1: try readPiece(bytes)
            case 2: try readTrainer(bytes)
            case 3: try readNormalizer(bytes, isDenormalizer: false)
            case 5: try readNormalizer(bytes, isDenormalizer: true)
            default: break
            }
        }
        guard pieceCount > 0 else { throw .init(reason: "no pieces") }
    }

    private mutating func readPiece(_ bytes: UnsafeRawBufferPointer) throws(ProtobufCursor.Malformed) {
        let index = pieceCount
        pieceCount += 1
        guard pieceCount <= Self.mostPieces else { throw .init(reason: "more than \(Self.mostPieces) pieces") }
        var cursor = ProtobufCursor(bytes)
        while let field = try cursor.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let text)):
                guard text.count <= Self.longestPiece else {
                    throw .init(reason: "piece \(index) of \(text.count) bytes, more than \(Self.longestPiece)")
                }
                guard !text.contains(0), String(validating: text, as: UTF8.self) != nil else {
                    throw .init(reason: "piece \(index) that is no text")
                }
            case (2, .fixed32(let bits)):
                guard Float(bitPattern: bits).isFinite else {
                    throw .init(reason: "piece \(index) with a score that is not finite")
                }
            default: break
            }
        }
    }

    private mutating func readTrainer(_ bytes: UnsafeRawBufferPointer) throws(ProtobufCursor.Malformed) {
        var cursor = ProtobufCursor(bytes)
        while let field = try cursor.next() {
            if field.number == 44, case .bytes(let text) = field.value {
                unknownSurface = String(decoding: text, as: UTF8.self)
            }
        }
    }

    private mutating func readNormalizer(
        _ bytes: UnsafeRawBufferPointer, isDenormalizer: Bool
    ) throws(ProtobufCursor.Malformed) {
        var cursor = ProtobufCursor(bytes)
        while let field = try cursor.next() {
            switch (field.number, field.value) {
            case (2, .bytes(let map)): try checkCharacterMap(map)
            case (3, .integer(let flag)) where !isDenormalizer: addsDummyPrefix = flag != 0
            case (4, .integer(let flag)) where !isDenormalizer: removesExtraSpaces = flag != 0
            default: break
            }
        }
    }

    /// `precompiled_charsmap`: the byte count of a double-array trie (UInt32), the trie (Darts-clone units of
    /// 32 bits), then NUL-terminated replacement texts that the trie's values are offsets of.
    ///
    /// A step from unit i reads unit i ^ offset(i) ^ byte, whatever the byte: so the whole block of 256 units
    /// around i ^ offset(i) must exist for every unit that is a node (bit 31 clear).
    private func checkCharacterMap(_ map: UnsafeRawBufferPointer) throws(ProtobufCursor.Malformed) {
        guard !map.isEmpty else { return }
        guard map.count > 4 else { throw .init(reason: "a character map of \(map.count) bytes") }
        let trieBytes = Int(UInt32(littleEndian: map.loadUnaligned(as: UInt32.self)))
        guard trieBytes > 0, trieBytes % 1024 == 0, trieBytes < map.count - 4 else {
            throw .init(reason: "a character map whose trie has \(trieBytes) of \(map.count) bytes")
        }
        let unitCount = trieBytes / 4
        let replacements = UnsafeRawBufferPointer(rebasing: map[(4 + trieBytes)...])
        guard replacements.last == 0 else { throw .init(reason: "a character map without its last NUL") }
        for index in 0..<unitCount {
            let unit = Self.unit(index, in: map)
            guard unit >> 31 == 0 else { continue }
            let target = index ^ Int((unit >> 10) << ((unit & 0x200) >> 6))
            guard target | 0xff < unitCount else {
                throw .init(reason: "a character map whose unit \(index) points outside it")
            }
            if unit & 0x100 != 0 {
                let value = Int(Self.unit(target, in: map) & 0x7fff_ffff)
                guard value < replacements.count else {
                    throw .init(reason: "a character map whose unit \(target) names no replacement")
                }
            }
        }
    }

    private static func unit(_ index: Int, in map: UnsafeRawBufferPointer) -> UInt32 {
        UInt32(littleEndian: map.loadUnaligned(fromByteOffset: 4 + index * 4, as: UInt32.self))
    }
}
