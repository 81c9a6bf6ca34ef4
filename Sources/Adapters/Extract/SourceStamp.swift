import Bytes
import Foundation
import JSON

/// What tells one state of a file or folder from another without reading it: names, sizes, times of change.
enum SourceStamp {
    static func of(_ path: String) -> JSONValue {
        let manager = FileManager.default
        var isFolder: ObjCBool = false
        guard manager.fileExists(atPath: path, isDirectory: &isFolder) else { return .null }
        let names = isFolder.boolValue ? ((try? manager.contentsOfDirectory(atPath: path)) ?? []).sorted() : [""]
        return .array(
            names.map { name in
                let attributes = try? manager.attributesOfItem(atPath: name.isEmpty ? path : "\(path)/\(name)")
                let time = (attributes?[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
                return [
                    .string(name), .int((attributes?[.size] as? Int) ?? 0), .string(String(time)),
                ]
            })
    }
}
