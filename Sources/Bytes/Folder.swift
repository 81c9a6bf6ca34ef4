import Foundation

/// Folders, and paths as text.
public enum Folder {
    /// Makes a folder, with those above it; one that is there already stays as it is.
    /// - Throws: `CrayonError` when it cannot be made.
    public static func make(_ path: String) throws(CrayonError) {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw CrayonError(
                .io, in: path, found: "a folder that cannot be made: \(error.localizedDescription)",
                expected: "the path of a folder to write", advice: "Check the path and its permissions.")
        }
    }

    /// The folder of a file by its path: `.` for a bare name.
    public static func of(_ path: String) -> String {
        var parts = path.split(separator: "/")
        if !parts.isEmpty { parts.removeLast() }
        let joined = parts.joined(separator: "/")
        if path.hasPrefix("/") { return "/" + joined }
        return joined.isEmpty ? "." : joined
    }

    /// The last part of a path: a file's name without its folders.
    public static func lastPart(of path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }
}
