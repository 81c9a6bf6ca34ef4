import Bytes
import JSON
import Tensors

/// The header of a bundle: a safetensors header whose metadata carry the manifest and a digest over
/// the whole header, itself set to zeros.
enum BundleHeader {
    /// Data begin at a page, so that 64-byte alignment in the file is alignment in memory, and the part
    /// that a program maps begins where pages do.
    static let dataAlignment = 4096
    /// Tensors that the runtime reads in place begin at a cache line.
    static let tensorAlignment = 64
    /// Readers of the safetensors format take no more.
    static let byteLimit = 100_000_000
    static let zeroDigest = String(repeating: "0", count: 64)
    /// How the digest's member begins in the header's text. Inside any string a quote is escaped, so these
    /// bytes cannot occur in a name or in the manifest.
    static let digestKey = Array("\"\(BundleNames.digest)\":\"".utf8)

    struct Entry {
        var name: String
        var type: ElementType
        var dims: [Int]
        /// From the start of the data.
        var begin: Int
        var end: Int
    }

    /// The header's text with a digest of zeros, without padding.
    static func text(manifest: BundleManifest, entries: [Entry]) -> [UInt8] {
        var header = JSONObject()
        header["__metadata__"] = [
            BundleNames.format: "pt",
            BundleNames.version: .string(String(BundleManifest.currentVersion)),
            BundleNames.digest: .string(zeroDigest),
            BundleNames.manifest: .string(manifest.text),
        ]
        for entry in entries {
            header[entry.name] = [
                "dtype": .string(entry.type.rawValue),
                "shape": .array(entry.dims.map(JSONValue.int)),
                "data_offsets": [.int(entry.begin), .int(entry.end)],
            ]
        }
        return Array(JSONValue.object(header).text(style: .compact).utf8)
    }

    /// Length, text, spaces up to `dataOffset`, with the digest filled in.
    /// - Precondition: the text fits.
    static func bytes(text: [UInt8], dataOffset: Int) -> [UInt8] {
        precondition(8 + text.count <= dataOffset)
        let length = UInt64(dataOffset - 8)
        var bytes = (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * UInt64($0))) } + text
        bytes += [UInt8](repeating: UInt8(ascii: " "), count: dataOffset - bytes.count)
        guard let position = digestPosition(in: bytes) else { preconditionFailure("no place for the digest") }
        let digest = SHA256Digest.of(bytes).description
        bytes.replaceSubrange(position..<position + 64, with: digest.utf8)
        return bytes
    }

    /// Where the 64 digits begin; nil unless their member is there exactly once.
    static func digestPosition(in header: [UInt8]) -> Int? {
        var position: Int?
        header.withUnsafeBufferPointer { header in
            var index = 0
            while index + digestKey.count + 65 <= header.count {
                // The key's second byte is rarer than a quote.
                if header[index] == digestKey[0], header[index + 1] == digestKey[1],
                    digestKey.indices.allSatisfy({ header[index + $0] == digestKey[$0] })
                {
                    if position != nil {
                        position = -1
                        return
                    }
                    position = index + digestKey.count
                }
                index += 1
            }
        }
        guard let position, position >= 0, header[position + 64] == UInt8(ascii: "\"") else { return nil }
        return position
    }

    /// Whether the header (everything before the data) has the digest that it states.
    static func hasValidDigest(_ header: UnsafeRawBufferPointer) -> Bool {
        var bytes = [UInt8](header)
        guard let position = digestPosition(in: bytes) else { return false }
        let stated = String(decoding: bytes[position..<position + 64], as: UTF8.self)
        for index in position..<position + 64 { bytes[index] = UInt8(ascii: "0") }
        return SHA256Digest.of(bytes).description == stated
    }
}
