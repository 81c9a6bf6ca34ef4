/// Backslash escapes of protocol 0's strings.
enum PickleEscapes {
    /// `\n`, `\t`, `\r`, `\\`, quotes, `\xHH`, `\uHHHH` and `\UHHHHHHHH`; anything else stays as it stands.
    static func text(_ bytes: Slice<UnsafeRawBufferPointer>) -> String {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var index = bytes.startIndex
        while index < bytes.endIndex {
            let byte = bytes[index]
            if byte == UInt8(ascii: "\\"), index + 1 < bytes.endIndex {
                let mark = bytes[index + 1]
                if let scalar = numbered(bytes, mark, at: index + 2) {
                    result.append(contentsOf: scalar.value.utf8)
                    index = scalar.end
                    continue
                }
                if let plain = single(mark) {
                    result.append(plain)
                    index += 2
                    continue
                }
            }
            result.append(byte)
            index += 1
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static func single(_ mark: UInt8) -> UInt8? {
        switch mark {
        case UInt8(ascii: "n"): 10
        case UInt8(ascii: "t"): 9
        case UInt8(ascii: "r"): 13
        case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): mark
        default: nil
        }
    }

    /// The character that `mark` and the hexadecimal digits from `start` name, and where they end.
    private static func numbered(
        _ bytes: Slice<UnsafeRawBufferPointer>, _ mark: UInt8, at start: Int
    ) -> (value: Character, end: Int)? {
        let digits: Int
        switch mark {
        case UInt8(ascii: "x"): digits = 2
        case UInt8(ascii: "u"): digits = 4
        case UInt8(ascii: "U"): digits = 8
        default: return nil
        }
        guard digits <= bytes.endIndex - start else { return nil }
        var value: UInt32 = 0
        for byte in bytes[start..<start + digits] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { return nil }
            value = value << 4 | UInt32(digit)
        }
        return Unicode.Scalar(value).map { (Character($0), start + digits) }
    }
}
