public import Bytes

/// What a SentencePiece model consists of (`sentencepiece_model.proto`), as far as encoding and decoding need it: for those who carry a
/// tokenizer into another format, or back.
public struct SentencePieceModel: Sendable {
    /// How texts are cut into pieces, by the format's numbers.
    public enum Kind: UInt64, Sendable {
        /// By the likeliest sequence; the library's default.
        case unigram = 1
        /// By merging the neighbours of best score.
        case bpe = 2
        case word = 3
        case character = 4
    }

    public enum PieceKind: Int32, Sendable {
        case normal = 1
        case unknown = 2
        case control = 3
        case userDefined = 4
        case unused = 5
        case byte = 6
    }

    public struct Piece: Sendable, Equatable {
        /// UTF-8, spaces as U+2581.
        public var text: [UInt8]
        public var score: Float
        public var kind: PieceKind

        public init(text: [UInt8], score: Float, kind: PieceKind) {
            self.text = text
            self.score = score
            self.kind = kind
        }
    }

    /// By id.
    public var pieces: [Piece] = []
    public var kind = Kind.unigram
    /// Whether bytes stand for characters without a piece.
    public var hasByteFallback = false
    /// Whether a space is put before a text.
    public var addsDummyPrefix = true
    /// Whether runs of spaces are one and those at the ends go.
    public var removesExtraSpaces = true
    /// Compiled normalisation of characters; empty for none.
    public var characterMap: [UInt8] = []
    /// The texts of the control pieces that begin and end a sequence.
    public var beginText = Array("<s>".utf8)
    public var endText = Array("</s>".utf8)
    /// The text of the unknown piece.
    public var unknownText = Array("<unk>".utf8)

    public init() {}

    /// - Parameter name: what errors call the model.
    /// - Throws: `CrayonError` for a model that is broken in any way.
    public init(_ model: ByteRegion, name: String) throws(CrayonError) {
        _ = try SentencePieceModelCheck(model, name: name)
        do throws(ProtobufCursor.Malformed) {
            var cursor = ProtobufCursor(model.buffer)
            while let field = try cursor.next() {
                switch (field.number, field.value) {
                case (1, .bytes(let bytes)): pieces.append(try Self.piece(bytes))
                case (2, .bytes(let bytes)): try readTrainer(bytes)
                case (3, .bytes(let bytes)): try readNormalizer(bytes)
                default: break
                }
            }
        } catch {
            throw CrayonError(.malformed, in: name, found: error.reason, expected: "a SentencePiece model")
        }
    }

    private static func piece(_ bytes: UnsafeRawBufferPointer) throws(ProtobufCursor.Malformed) -> Piece {
        var piece = Piece(text: [], score: 0, kind: .normal)
        var cursor = ProtobufCursor(bytes)
        while let field = try cursor.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let text)): piece.text = Array(text)
            case (2, .fixed32(let bits)): piece.score = Float(bitPattern: bits)
            case (3, .integer(let number)): piece.kind = PieceKind(rawValue: Int32(clamping: number)) ?? .normal
            default: break
            }
        }
        return piece
    }

    private mutating func readTrainer(_ bytes: UnsafeRawBufferPointer) throws(ProtobufCursor.Malformed) {
        var cursor = ProtobufCursor(bytes)
        while let field = try cursor.next() {
            switch (field.number, field.value) {
            case (3, .integer(let number)): kind = Kind(rawValue: number) ?? .unigram
            case (35, .integer(let flag)): hasByteFallback = flag != 0
            case (45, .bytes(let text)): unknownText = Array(text)
            case (46, .bytes(let text)): beginText = Array(text)
            case (47, .bytes(let text)): endText = Array(text)
            default: break
            }
        }
    }

    private mutating func readNormalizer(_ bytes: UnsafeRawBufferPointer) throws(ProtobufCursor.Malformed) {
        var cursor = ProtobufCursor(bytes)
        while let field = try cursor.next() {
            switch (field.number, field.value) {
            case (2, .bytes(let map)): characterMap = Array(map)
            case (3, .integer(let flag)): addsDummyPrefix = flag != 0
            case (4, .integer(let flag)): removesExtraSpaces = flag != 0
            default: break
            }
        }
    }
}
