/// GPT-2's alphabet of bytes: each byte stands as one printable character, so that a vocabulary is text.
///
/// Printable characters of Latin-1 stand for themselves; the other 68 bytes, in order, are U+0100 and on: a space is
/// `Ġ`, a line feed `Ċ`.
enum ByteAlphabet {
    /// The code point of each byte. 256 of them, all below 324.
    static let scalars: [Unicode.Scalar] = {
        var next: UInt32 = 256
        return (0..<256).map { (byte: UInt32) in
            switch byte {
            case 0x21...0x7e, 0xa1...0xac, 0xae...0xff: return Unicode.Scalar(byte) ?? " "
            default:
                defer { next += 1 }
                return Unicode.Scalar(next) ?? " "
            }
        }
    }()

    /// The byte of each code point below 324; nil for those outside the alphabet.
    private static let bytes: [UInt8?] = {
        var table = [UInt8?](repeating: nil, count: 324)
        for (byte, scalar) in scalars.enumerated() { table[Int(scalar.value)] = UInt8(byte) }
        return table
    }()

    static func byte(of scalar: Unicode.Scalar) -> UInt8? {
        scalar.value < bytes.count ? bytes[Int(scalar.value)] : nil
    }

    /// The bytes that a text of the alphabet stands for; nil where a character is outside it.
    static func bytes(of text: some StringProtocol) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
            guard let byte = byte(of: scalar) else { return nil }
            result.append(byte)
        }
        return result
    }

    /// Bytes in the alphabet.
    static func text(of bytes: some Collection<UInt8>) -> String {
        var view = String.UnicodeScalarView()
        for byte in bytes { view.append(scalars[Int(byte)]) }
        return String(view)
    }
}
