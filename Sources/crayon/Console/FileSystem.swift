import CrayonKit
import Foundation

enum FileSystem {
    static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    /// Makes a folder, with those above it; one that is there already stays as it is.
    static func makeFolder(_ path: String) throws(CrayonError) {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw CrayonError(
                .io, in: path, found: "a folder that cannot be made: \(error.localizedDescription)",
                expected: "the path of a folder to write")
        }
    }
}
