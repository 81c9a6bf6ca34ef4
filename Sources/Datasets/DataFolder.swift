public import Bytes
import Foundation

/// A folder whose files are named by data that is not trusted.
public struct DataFolder: Sendable, Equatable {
    public let path: String

    /// - Throws: `CrayonError` where there is no such folder.
    public init(_ path: String) throws(CrayonError) {
        guard Self.isFolder(path) else {
            throw CrayonError(
                .missing, in: path, found: FileManager.default.fileExists(atPath: path) ? "a file" : "nothing",
                expected: "a folder", advice: "Check the path.")
        }
        self.path = path
    }

    /// The path of a file of the folder or of a folder in it.
    /// - Throws: `CrayonError` for a name that leads out of the folder, or that no file can have.
    public func file(_ name: String, of record: String, in place: String) throws(CrayonError) -> String {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        guard !name.hasPrefix("/"), !parts.contains(".."), !name.utf8.contains(0), name.utf8.count < 4096,
            let last = parts.last, !last.isEmpty, last != "."
        else {
            throw CrayonError(
                .malformed, in: place, item: record, found: "the file name '\(name.prefix(100))'",
                expected: "the name of a file below \(path)")
        }
        return path + "/" + name
    }

    static func isFolder(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
    }

    static func isFile(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && !isFolder.boolValue
    }
}
