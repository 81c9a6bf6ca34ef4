import Bytes
import Foundation
import Images
import Testing

/// What Scripts/reference/image_fixtures.py recorded of Pillow, PyTorch and transformers.
struct ImageFixture: Decodable {
    struct Resize: Decodable {
        var width: Int
        var height: Int
        /// By `ImagePreparation.Resampling`.
        var digests: [String: String]

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Key.self)
            width = try container.decode(Int.self, forKey: Key("width"))
            height = try container.decode(Int.self, forKey: Key("height"))
            digests = [:]
            for key in container.allKeys where key.stringValue.contains("-") {
                digests[key.stringValue] = try container.decode(String.self, forKey: key)
            }
        }
    }
    struct Resizes: Decodable {
        var source: String
        var cases: [Resize]
    }
    struct Preparation: Decodable {
        var file: String
        var size: Int
        var clip: Data
        var collavo: Data
    }
    struct Grid: Decodable {
        var rows: Int
        var columns: Int
        var newRows: Int
        var newColumns: Int
        var dim: Int
        var source: Data
        var plain: Data
        var antialias: Data
    }
    struct Panoptic: Decodable {
        var map: String
        var side: Int
        var sampling: String
        var semantic: [Int]
        var numbering: [Int]
        var sentence: String
    }
    struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(_ name: String) { stringValue = name }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    var pictures: [String: String]
    var resizes: Resizes
    var preparations: [Preparation]
    var grids: [Grid]
    var panoptic: [Panoptic]

    static let folder = Bundle.module.bundleURL.appendingPathComponent("Fixtures").path

    static func load() throws -> ImageFixture {
        try JSONDecoder().decode(ImageFixture.self, from: Data(bytes("images.json")))
    }

    static func path(_ name: String) -> String { "\(folder)/\(name)" }

    static func bytes(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: path(name))))
    }
}

extension Data {
    var floats: [Float] { withUnsafeBytes { Array($0.bindMemory(to: Float.self)) } }
}

func digest(_ bytes: [UInt8]) -> String {
    let hasher = SHA256Hasher()
    bytes.withUnsafeBytes { hasher.update($0) }
    return hasher.finish().description
}
