/// Number text as Python writes it, for files that must match Python's byte for byte.
public enum PythonNumber {
    /// `repr(float)`: the shortest digits that read back to the same double; positional from 1e-4 up to
    /// below 1e16, otherwise scientific with a sign and at least two digits of exponent.
    public static func repr(_ value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        // Swift's description has the same shortest digits; only the layout differs.
        let text = "\(value)"
        let sign = text.hasPrefix("-") ? "-" : ""
        let unsigned = text.drop { $0 == "-" }
        let halves = unsigned.split(separator: "e", maxSplits: 1)
        let mantissa = halves[0].split(separator: ".", omittingEmptySubsequences: false)
        let whole = mantissa[0]
        let fraction = mantissa.count > 1 ? mantissa[1] : ""
        let exponent = halves.count > 1 ? Int(halves[1]) ?? 0 : 0

        // digits x 10^(point - digits.count), without leading or trailing zeros
        var digits = Array((whole + fraction).utf8)
        var point = whole.utf8.count + exponent
        while digits.count > 1, digits.first == UInt8(ascii: "0") {
            digits.removeFirst()
            point -= 1
        }
        while digits.count > 1, digits.last == UInt8(ascii: "0") { digits.removeLast() }
        if digits == [UInt8(ascii: "0")] { return sign + "0.0" }

        let scientific = point - 1
        if scientific < -4 || scientific >= 16 {
            let head = String(decoding: digits[..<1], as: UTF8.self)
            let tail = String(decoding: digits[1...], as: UTF8.self)
            let magnitude = abs(scientific)
            return sign + head + (tail.isEmpty ? "" : "." + tail) + (scientific < 0 ? "e-" : "e+")
                + (magnitude < 10 ? "0" : "") + String(magnitude)
        }
        let text10 = String(decoding: digits, as: UTF8.self)
        if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + text10 }
        if point >= digits.count {
            return sign + text10 + String(repeating: "0", count: point - digits.count) + ".0"
        }
        return sign + String(decoding: digits[..<point], as: UTF8.self) + "."
            + String(decoding: digits[point...], as: UTF8.self)
    }
}
