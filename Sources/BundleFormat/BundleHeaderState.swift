public import Bytes
import JSON

/// The header of a bundle's file that may be damaged: as it is, or as it must have been.
///
/// Three parts can be told from the rest of the file and are rebuilt; the header's digest proves that they are what they were.
/// The length follows from the text and the page that the data begin at; padding is spaces; digits of the digest itself are
/// computed anew where nearly all of them agree. The text has no second copy in the file.
public struct BundleHeaderState: Sendable {
    public enum Part: String, Sendable {
        case length
        case padding
        case digest
        case text
    }

    /// Length, text and padding as they were written; nil where the text is damaged.
    public let bytes: [UInt8]?
    /// What is damaged; nil for a header that is whole.
    public let damage: Part?

    public init(of file: DamagedFile) {
        let stated = file.bytes(at: 0, count: 8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        if let offset = Self.dataOffset(stated, in: file) {
            let header = file.bytes(at: 0, count: offset)
            if header.withUnsafeBytes(BundleHeader.hasValidDigest) {
                (bytes, damage) = (header, nil)
                return
            }
        }
        let (found, part) = Self.rebuild(file, stated)
        (bytes, damage) = (found, part)
    }

    private static func dataOffset(_ stated: UInt64, in file: DamagedFile) -> Int? {
        guard stated < UInt64(BundleHeader.byteLimit) else { return nil }
        let offset = Int(stated) + 8
        return offset.isMultiple(of: BundleHeader.dataAlignment) && offset <= file.count ? offset : nil
    }

    private static func rebuild(_ file: DamagedFile, _ stated: UInt64) -> ([UInt8]?, Part) {
        let window = file.bytes(at: 0, count: min(file.count, BundleHeader.byteLimit))
        guard let end = textEnd(window) else { return (nil, .text) }
        // By the stated length; else where the first page begins that is not all spaces.
        let unpadded = window[end...].firstIndex { $0 != UInt8(ascii: " ") } ?? window.count
        let counted = unpadded / BundleHeader.dataAlignment * BundleHeader.dataAlignment
        var offsets: [Int] = []
        for offset in [dataOffset(stated, in: file), counted].compactMap(\.self) where offset >= end {
            if !offsets.contains(offset) { offsets.append(offset) }
        }
        for offset in offsets {
            var header = Array(window[..<offset])
            let length = UInt64(offset - 8)
            for index in 0..<8 { header[index] = UInt8(truncatingIfNeeded: length >> (8 * UInt64(index))) }
            let isPadded = header[end...].allSatisfy { $0 == UInt8(ascii: " ") }
            for index in end..<offset { header[index] = UInt8(ascii: " ") }
            let part = length != stated ? Part.length : isPadded ? .digest : .padding
            if header.withUnsafeBytes(BundleHeader.hasValidDigest) { return (header, part) }
            if let mended = mendDigits(header) { return (mended, .digest) }
        }
        return (nil, .text)
    }

    /// As many digits may differ: with all others equal, nothing but damage to these explains it.
    private static let mendableDigits = 8

    /// Whether a damaged file's header was these bytes once: it states their digest still, or differs from them within a page.
    /// Another bundle's differs in the digest and, far from it, in that of some tensor.
    public static func isOnce(_ bytes: [UInt8], headerOf file: DamagedFile) -> Bool {
        let damaged = file.bytes(at: 0, count: bytes.count)
        if let position = BundleHeader.digestPosition(in: bytes) {
            let digits = position..<position + 64
            if zip(bytes[digits], damaged[digits]).count(where: { $0 != $1 }) <= mendableDigits { return true }
        }
        let different = bytes.indices.filter { bytes[$0] != damaged[$0] }
        guard let first = different.first, let last = different.last else { return true }
        return last - first < BundleHeader.dataAlignment
    }

    private static func mendDigits(_ header: [UInt8]) -> [UInt8]? {
        guard let position = BundleHeader.digestPosition(in: header) else { return nil }
        var zeroed = header
        for index in position..<position + 64 { zeroed[index] = UInt8(ascii: "0") }
        let digits = Array(SHA256Digest.of(zeroed).description.utf8)
        let wrong = zip(digits, header[position..<position + 64]).count { $0 != $1 }
        guard wrong <= mendableDigits else { return nil }
        zeroed.replaceSubrange(position..<position + 64, with: digits)
        return zeroed
    }

    /// Bytes of data that a whole header speaks of; nil where it has no tensors.
    public static func dataSize(_ header: [UInt8]) -> Int? {
        guard let end = textEnd(header),
            case .object(let table)? = try? JSONValue.parse(ByteRegion(copying: header[8..<end]), name: "header")
        else { return nil }
        return table.members.compactMap { member -> Int? in
            guard case .object(let entry) = member.value, case .array(let ends)? = entry["data_offsets"],
                case .number(let last)? = ends.last
            else { return nil }
            return last.int
        }.max().flatMap { (0...Int.max / 2).contains($0) ? $0 : nil }
    }

    /// Where the object that begins at byte 8 ends.
    private static func textEnd(_ bytes: [UInt8]) -> Int? {
        var depth = 0
        var isInString = false
        var index = 8
        return bytes.withUnsafeBufferPointer { bytes in
            guard bytes.count > 8, bytes[8] == UInt8(ascii: "{") else { return nil }
            while index < bytes.count {
                switch bytes[index] {
                case UInt8(ascii: "\\") where isInString: index += 1
                case UInt8(ascii: "\""): isInString.toggle()
                case UInt8(ascii: "{") where !isInString: depth += 1
                case UInt8(ascii: "}") where !isInString:
                    depth -= 1
                    if depth == 0 { return index + 1 }
                default: break
                }
                index += 1
            }
            return nil
        }
    }
}
