/// What the patterns of byte-level tokenizers tell characters apart by.
package enum CharacterKind: UInt8, Sendable {
    /// General category L.
    case letter
    /// General category N.
    case number
    /// Line feed or carriage return.
    case newline
    /// `\s`, line ends aside.
    case space
    /// Everything else: `[^\s\p{L}\p{N}]`.
    case other

    var isSpace: Bool { self == .space || self == .newline }

    package init(_ scalar: Unicode.Scalar) {
        if scalar.value < 128 {
            self = Self.ascii[Int(scalar.value)]
        } else if Self.isSpace(scalar) {
            self = .space
        } else {
            self = Self.ofCategory(scalar)
        }
    }

    /// Unicode's White_Space, which is `\s` of Oniguruma and of Rust's regular expressions.
    static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09...0x0d, 0x20, 0x85, 0xa0, 0x1680, 0x2000...0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000: true
        default: false
        }
    }

    /// `\w` of Rust's regular expressions, which say where a word ends beside an added token.
    static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.properties.isAlphabetic || scalar.properties.isJoinControl { return true }
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
        default: return false
        }
    }

    private static let ascii: [CharacterKind] = (0..<128).map { (value: UInt8) in
        switch value {
        case 0x0a, 0x0d: .newline
        case 0x09, 0x0b, 0x0c, 0x20: .space
        case UInt8(ascii: "0")...UInt8(ascii: "9"): .number
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): .letter
        default: .other
        }
    }

    private static func ofCategory(_ scalar: Unicode.Scalar) -> CharacterKind {
        let kind: CharacterKind
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: kind = .letter
        case .decimalNumber, .letterNumber, .otherNumber: kind = .number
        default: return .other
        }
        // The Python package's Oniguruma knows Unicode of `newestAge`; what came later is no letter to it.
        guard let age = scalar.properties.age, (age.major, age.minor) <= newestAge else { return .other }
        return kind
    }

    /// The version of Unicode that `tokenizers` is built with.
    static let newestAge = (16, 0)
}
