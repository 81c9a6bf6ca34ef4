extension SentencePieceModel {
    /// The model as the bytes of a `tokenizer.model`.
    public var serialized: [UInt8] {
        var model = ProtobufBytes()
        for piece in pieces {
            var message = ProtobufBytes()
            message.put(1, piece.text)
            message.put(2, piece.score)
            if piece.kind != .normal { message.put(3, UInt64(piece.kind.rawValue)) }
            model.put(1, message.bytes)
        }
        var trainer = ProtobufBytes()
        trainer.put(3, kind.rawValue)
        trainer.put(4, UInt64(pieces.count))
        trainer.put(35, flag: hasByteFallback)
        trainer.put(45, unknownText)
        trainer.put(46, beginText)
        trainer.put(47, endText)
        model.put(2, trainer.bytes)
        var normalizer = ProtobufBytes()
        normalizer.put(1, Array("identity".utf8))
        if !characterMap.isEmpty { normalizer.put(2, characterMap) }
        normalizer.put(3, flag: addsDummyPrefix)
        normalizer.put(4, flag: removesExtraSpaces)
        normalizer.put(5, flag: true)
        model.put(3, normalizer.bytes)
        return model.bytes
    }
}

/// The wire form of a protocol buffer, being written.
private struct ProtobufBytes {
    private(set) var bytes: [UInt8] = []

    mutating func put(_ field: UInt64, _ value: UInt64) {
        varint(field << 3)
        varint(value)
    }

    mutating func put(_ field: UInt64, flag: Bool) { put(field, UInt64(flag ? 1 : 0)) }

    mutating func put(_ field: UInt64, _ value: Float) {
        varint(field << 3 | 5)
        withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += $0 }
    }

    mutating func put(_ field: UInt64, _ value: [UInt8]) {
        varint(field << 3 | 2)
        varint(UInt64(value.count))
        bytes += value
    }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }
}
