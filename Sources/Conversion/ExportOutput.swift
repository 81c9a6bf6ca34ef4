import Bytes
import Foundation

/// The folder that an export goes to.
final class ExportOutput {
    /// Without a slash at its end.
    private let folder: String
    private let overwrites: Bool
    /// Folders that were not there before, outer ones first.
    private var created: [String] = []

    init(folder: String, overwrites: Bool) {
        self.folder = folder.count > 1 && folder.hasSuffix("/") ? String(folder.dropLast()) : folder
        self.overwrites = overwrites
    }

    /// - Parameter name: relative; empty for the folder itself.
    func path(_ name: String) -> String { name.isEmpty ? folder : "\(folder)/\(name)" }

    /// Creates the folders.
    /// - Throws: `CrayonError` when one cannot be made, or a file is in the way and may not be replaced.
    func prepare(_ plan: ExportPlan) throws(CrayonError) {
        try create(folder)
        for part in plan.folders where !part.path.isEmpty { try create(path(part.path)) }
        for file in plan.files {
            let parts = file.name.split(separator: "/")
            if parts.count > 1 { try create(path(parts.dropLast().joined(separator: "/"))) }
            guard !overwrites, FileManager.default.fileExists(atPath: path(file.name)) else { continue }
            throw CrayonError(
                .usage, in: path(file.name), found: "a file that is already there", expected: "a new or empty folder",
                advice: "Name another folder, or give --overwrite.")
        }
    }

    /// Takes away what `prepare` made, as far as nothing has come into it.
    func removeEmptyFolders() {
        for path in created.reversed() { rmdir(path) }
    }

    private func create(_ path: String) throws(CrayonError) {
        var missing: [String] = []
        var current = path
        while !FileManager.default.fileExists(atPath: current) {
            missing.append(current)
            let parts = current.split(separator: "/").dropLast().joined(separator: "/")
            current = current.hasPrefix("/") ? "/" + parts : parts
            if parts.isEmpty { break }
        }
        for path in missing.reversed() {
            guard mkdir(path, 0o755) == 0 || errno == EEXIST else {
                throw .system(errno, in: path, while: "creating the folder")
            }
            created.append(path)
        }
    }
}
