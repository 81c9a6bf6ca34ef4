/// Byte-pair encoding over bytes (Sennrich et al. 2016; Radford et al. 2019): words to ids and back.
struct BytePairModel: Sendable {
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
    /// The entry of each byte by itself.
    private let byteIDs: [Int32?]

    /// An entry of the vocabulary.
    struct Piece: Sendable {
        /// What it adds to a text.
        var bytes: [UInt8]
        /// The text in the file is `bytes` itself, because it is outside the byte alphabet.
        var isVerbatim: Bool

        init(_ text: String) {
            if let bytes = ByteAlphabet.bytes(of: text) {
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
        fusesUnknown: Bool
    ) {
        self.ids = ids
        self.pieces = pieces
        self.merges = merges
        self.ignoresMerges = ignoresMerges
        self.unknownID = unknownID
        self.fusesUnknown = fusesUnknown
        byteIDs = (0...255).map { (byte: UInt8) in ids[Array(ByteAlphabet.text(of: [byte]).utf8)] }
    }

    static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    /// Appends a word's ids. n log n in its bytes.
    func encode(_ word: ArraySlice<UInt8>, into result: inout [Int32]) {
        if ignoresMerges, let id = ids[Array(ByteAlphabet.text(of: word).utf8)] {
            result.append(id)
            return
        }
        var symbols: [Int32] = []
        symbols.reserveCapacity(word.count)
        var isAfterUnknown = false
        for byte in word {
            if let id = byteIDs[Int(byte)] {
                symbols.append(id)
                isAfterUnknown = false
            } else if let unknownID {
                if !(fusesUnknown && isAfterUnknown) { symbols.append(unknownID) }
                isAfterUnknown = true
            }
        }
        var word = MergedWord(symbols)
        word.merge(merges)
        word.collect(into: &result)
    }
}
