import Bytes
import Foundation

/// The folder that an export goes to.
final class ExportOutput {
    private let folder: String
    private let overwrites: Bool
    /// From `prepare` on.
    private(set) var root: OutputFolder?

    init(folder: String, overwrites: Bool) {
        self.folder = folder.count > 1 && folder.hasSuffix("/") ? String(folder.dropLast()) : folder
        self.overwrites = overwrites
    }

    /// - Parameter name: relative; empty for the folder itself.
    func path(_ name: String) -> String { name.isEmpty ? folder : "\(folder)/\(name)" }

    /// Creates the folders.
    /// - Throws: `CrayonError` when one cannot be made, another run writes there, or a file is in the way and may not be replaced.
    func prepare(_ plan: ExportPlan) throws(CrayonError) {
        let root = try OutputFolder(folder, makesParents: true)
        self.root = root
        for part in plan.folders where !part.path.isEmpty { try root.make(part.path) }
        for file in plan.files {
            let parts = file.name.split(separator: "/")
            if parts.count > 1 { try root.make(parts.dropLast().joined(separator: "/")) }
            guard !overwrites, FileManager.default.fileExists(atPath: path(file.name)) else { continue }
            throw CrayonError(
                .usage, in: path(file.name), found: "a file that is already there", expected: "a new or empty folder",
                advice: "Name another folder, or give --overwrite.")
        }
    }

    /// Takes away what `prepare` made, as far as nothing has come into it.
    func removeEmptyFolders() { root?.removeIfEmpty() }
}
