/// Backslash escapes of protocol 0's strings.
enum PickleEscapes {
    /// `\n`, `\t`, `\r`, `\\`, quotes, `\xHH`, `\uHHHH` and `\UHHHHHHHH`; anything else stays as it stands.
    static func text(_ bytes: Slice<UnsafeRawBufferPointer>) -> String {
        var scalars = String.UnicodeScalarView()
        var plain: [UInt8] = []
        func flush() {
            scalars.append(contentsOf: String(decoding: plain, as: UTF8.self).unicodeScalars)
            plain.removeAll(keepingCapacity: true)
        }
        var index = bytes.startIndex
        while index < bytes.endIndex {
            let byte = bytes[index]
            guard byte == UInt8(ascii: "\\"), index + 1 < bytes.endIndex else {
                plain.append(byte)
                index += 1
                continue
            }
            let digits: Int
            switch bytes[index + 1] {
            case UInt8(ascii: "x"): digits = 2
            case UInt8(ascii: "u"): digits = 4
            case UInt8(ascii: "U"): digits = 8
            default: digits = 0
            }
            if digits > 0, index + 2 + digits <= bytes.endIndex {
                let hex = String(decoding: bytes[index + 2..<index + 2 + digits], as: UTF8.self)
                if let value = UInt32(hex, radix: 16), let scalar = Unicode.Scalar(value) {
                    flush()
                    scalars.append(scalar)
                    index += 2 + digits
                    continue
                }
            }
            let simple: [UInt8: UInt8] = [
                UInt8(ascii: "n"): 10, UInt8(ascii: "t"): 9, UInt8(ascii: "r"): 13, UInt8(ascii: "\\"): 92,
                UInt8(ascii: "'"): 39, UInt8(ascii: "\""): 34,
            ]
            if let value = simple[bytes[index + 1]] {
                plain.append(value)
                index += 2
            } else {
                plain.append(byte)
                index += 1
            }
        }
        flush()
        return String(scalars)
    }
}
