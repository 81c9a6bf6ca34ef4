public import Bytes
public import Checkpoints
import Foundation

/// Opens whatever holds a whole model: a bundle, or a checkpoint that any layout knows.
///
/// - Parameter options: what a checkpoint's files leave open; a bundle leaves nothing open.
/// - Throws: `CrayonError` naming the file.
public func openModel(
    path: String, options: CheckpointOptions = CheckpointOptions()
) throws(CrayonError) -> any ModelSource {
    if try isBundle(path) { return try BundleReader(path: path) }
    return try CheckpointModel.open(CheckpointParts(checkpoint: path), options: options)
}

/// Whether the path is a bundle's.
///
/// A folder is a checkpoint. A file is a bundle if its name or its metadata says so: the name alone must do,
/// or one damaged byte could make a bundle pass for something else.
/// - Throws: `CrayonError` for a file of another name that cannot be read, or is safetensors by its beginning and breaks off.
public func isBundle(_ path: String) throws(CrayonError) -> Bool {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), !isFolder.boolValue else {
        return false
    }
    if path.hasSuffix(".crayon") { return true }
    return try openSafetensors(path)?.metadata(BundleNames.version) != nil
}
