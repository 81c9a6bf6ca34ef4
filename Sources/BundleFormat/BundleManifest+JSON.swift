import Bytes
import Foundation
import JSON

extension BundleManifest {
    /// One line of JSON with sorted keys: equal manifests give equal text.
    var text: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return String(decoding: try encoder.encode(self), as: UTF8.self)
        } catch {
            // Every member is a string, a finite number or a collection of such.
            preconditionFailure("manifest cannot be encoded: \(error)")
        }
    }

    /// Decodes a manifest.
    ///
    /// The strict parser goes first: it bounds depth and refuses duplicate names, which Foundation lets pass.
    init(text: String, place: String) throws(CrayonError) {
        let item = "manifest"
        func failure(_ found: String) -> CrayonError {
            CrayonError(.malformed, in: place, item: item, found: found)
        }
        let value = try JSONValue.parse(text, name: place, limits: .init(depth: 16))
        let reader = try JSONReader(value, place: place, path: item)
        let version = try reader.int("version")
        guard version == Self.currentVersion else {
            throw CrayonError(
                .unsupported, in: place, item: item, found: "version \(version)",
                expected: "version \(Self.currentVersion)",
                advice: "Use the release of Crayon that wrote the bundle, or a later one.")
        }
        do {
            self = try JSONDecoder().decode(BundleManifest.self, from: Data(text.utf8))
        } catch let error as DecodingError {
            throw failure(Self.describe(error))
        } catch {
            throw failure("\(error)")
        }
    }

    private static func describe(_ error: DecodingError) -> String {
        func path(_ context: DecodingError.Context, _ last: String? = nil) -> String {
            (context.codingPath.map(\.stringValue) + (last.map { [$0] } ?? [])).joined(separator: ".")
        }
        switch error {
        case .keyNotFound(let key, let context): return "key '\(path(context, key.stringValue))' is missing"
        case .valueNotFound(_, let context): return "key '\(path(context))' is null"
        case .dataCorrupted(let context) where context.codingPath.isEmpty:
            // The strict parser has taken the text, so that what Foundation calls invalid, without a place, can only
            // be a number that does not fit.
            return "a number that is out of bounds, or a fraction where an integer is needed"
        case .typeMismatch(_, let context), .dataCorrupted(let context):
            return "key '\(path(context))': \(context.debugDescription)"
        @unknown default: return "\(error)"
        }
    }
}
