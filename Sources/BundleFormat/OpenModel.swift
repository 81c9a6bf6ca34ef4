public import Bytes
public import Checkpoints
import Foundation

/// Opens whatever holds a whole model: a bundle, or a checkpoint that any layout knows.
///
/// A folder is a checkpoint. A file is a bundle if its name or its metadata says so: the name alone must do,
/// or one damaged byte could make a bundle pass for something else.
/// - Parameter options: what a checkpoint's files leave open; a bundle leaves nothing open.
/// - Throws: `CrayonError` naming the file.
public func openModel(
    path: String, options: CheckpointOptions = CheckpointOptions()
) throws(CrayonError) -> any ModelSource {
    var isFolder: ObjCBool = false
    let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
    if exists, !isFolder.boolValue {
        if path.hasSuffix(".crayon") { return try BundleReader(path: path) }
        if try SafetensorsFile(path: path).metadata(BundleNames.version) != nil { return try BundleReader(path: path) }
    }
    return try CheckpointModel.open(CheckpointParts(checkpoint: path), options: options)
}
