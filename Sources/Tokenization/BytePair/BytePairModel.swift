/// Byte-pair encoding (Sennrich et al. 2016), over bytes (Radford et al. 2019) or over characters as SentencePiece has it: words to
/// ids and back.
struct BytePairModel: Sendable {
    /// What merging starts with.
    enum Alphabet: Equatable, Sendable {
        /// Bytes, each written as a character of its own.
        case bytes
        /// Characters.
        case characters
    }

    struct Merge: Sendable {
        /// Place in the file; smaller goes first.
        var rank: Int32
        /// What the two become.
        var id: Int32
    }

    /// By the UTF-8 of the entry's text in the file: strings compare by canonical equivalence.
    let ids: [[UInt8]: Int32]
    /// What each id stands for; nil for ids between that the file does not have.
    let pieces: [Piece?]
    /// By the two ids: see `key`.
    let merges: [UInt64: Merge]
    /// A word that is an entry is that entry, whatever merges would make of it (Llama 3).
    let ignoresMerges: Bool
    /// Stands for a byte that is no entry; nil where such bytes are dropped.
    let unknownID: Int32?
    /// Unknown bytes in a row are one token.
    let fusesUnknown: Bool
    /// Characters that are no entry become the entries of their bytes, `<0x0A>`, where all of these are entries.
    let fallsBackToBytes: Bool
    let alphabet: Alphabet
    /// The entry of each byte by itself: of the byte alphabet, or those to fall back to.
    private let byteIDs: [Int32?]
    /// The entries of single characters.
    private let characterIDs: [Unicode.Scalar: Int32]

    /// An entry of the vocabulary.
    struct Piece: Sendable {
        /// What it adds to a text; of characters the entry's own text, its spaces written as the model has them.
        var bytes: [UInt8]
        /// The text in the file is `bytes` itself: that of characters, and one outside the byte alphabet.
        var isVerbatim: Bool

        init(_ text: String, _ alphabet: Alphabet) {
            if alphabet == .bytes, let bytes = ByteAlphabet.bytes(of: text) {
                (self.bytes, isVerbatim) = (bytes, false)
            } else {
                (bytes, isVerbatim) = (Array(text.utf8), true)
            }
        }

        /// The text in the file.
        var text: String { isVerbatim ? String(decoding: bytes, as: UTF8.self) : ByteAlphabet.text(of: bytes) }
    }

    init(
        ids: [[UInt8]: Int32], pieces: [Piece?], merges: [UInt64: Merge], ignoresMerges: Bool, unknownID: Int32?,
        fusesUnknown: Bool, fallsBackToBytes: Bool = false, alphabet: Alphabet
    ) {
        self.ids = ids
        self.pieces = pieces
        self.merges = merges
        self.ignoresMerges = ignoresMerges
        self.unknownID = unknownID
        self.fusesUnknown = fusesUnknown
        self.fallsBackToBytes = fallsBackToBytes
        self.alphabet = alphabet
        switch alphabet {
        case .bytes:
            byteIDs = (0...255).map { (byte: UInt8) in ids[Array(ByteAlphabet.text(of: [byte]).utf8)] }
            characterIDs = [:]
        case .characters:
            byteIDs = (0...255).map { (byte: UInt8) in ids[Array(Self.text(ofByte: byte).utf8)] }
            var characters: [Unicode.Scalar: Int32] = [:]
            for (text, id) in ids where text.count <= 4 {
                let scalars = String(decoding: text, as: UTF8.self).unicodeScalars
                if let first = scalars.first, scalars.count == 1 { characters[first] = id }
            }
            characterIDs = characters
        }
    }

    /// `<0x0A>`
    static func text(ofByte byte: UInt8) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return byte < 16 ? "<0x0\(digits)>" : "<0x\(digits)>"
    }

    static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    /// Appends a word's ids. n log n in its bytes.
    func encode(_ word: ArraySlice<UInt8>, into result: inout [Int32]) {
        if ignoresMerges {
            let text = alphabet == .bytes ? Array(ByteAlphabet.text(of: word).utf8) : Array(word)
            if let id = ids[text] {
                result.append(id)
                return
            }
        }
        var word = MergedWord(alphabet == .bytes ? symbols(bytes: word) : symbols(characters: word))
        word.merge(merges)
        word.collect(into: &result)
    }

    private func symbols(bytes word: ArraySlice<UInt8>) -> [Int32] {
        var symbols = UnknownRuns(unknownID, isFused: fusesUnknown, capacity: word.count)
        for byte in word {
            if let id = byteIDs[Int(byte)] { symbols.append(id) } else { symbols.appendUnknown() }
        }
        return symbols.finished
    }

    private func symbols(characters word: ArraySlice<UInt8>) -> [Int32] {
        var symbols = UnknownRuns(unknownID, isFused: fusesUnknown, capacity: word.count)
        for scalar in String(decoding: word, as: UTF8.self).unicodeScalars {
            if let id = characterIDs[scalar] {
                symbols.append(id)
                continue
            }
            let bytes = fallsBackToBytes ? UTF8.encode(scalar)?.compactMap { byteIDs[Int($0)] } ?? [] : []
            if bytes.count == UTF8.width(scalar) {
                symbols.appendBytes(bytes)
            } else {
                symbols.appendUnknown()
            }
        }
        return symbols.finished
    }
}

/// A word's symbols while the unknown ones among them are counted.
///
/// As in the Python package a run of unknown ones ends with the next entry, and bytes that stand for a character do not end it.
private struct UnknownRuns {
    private let unknownID: Int32?
    private let isFused: Bool
    private var symbols: [Int32] = []
    private var isPending = false

    init(_ unknownID: Int32?, isFused: Bool, capacity: Int) {
        self.unknownID = unknownID
        self.isFused = isFused
        symbols.reserveCapacity(capacity)
    }

    mutating func append(_ id: Int32) {
        flush()
        symbols.append(id)
    }

    mutating func appendBytes(_ ids: [Int32]) { symbols += ids }

    /// Without an entry for unknown ones they are dropped.
    mutating func appendUnknown() {
        guard unknownID != nil else { return }
        if !isFused { flush() }
        isPending = true
    }

    private mutating func flush() {
        if isPending, let unknownID { symbols.append(unknownID) }
        isPending = false
    }

    var finished: [Int32] {
        var copy = self
        copy.flush()
        return copy.symbols
    }
}
