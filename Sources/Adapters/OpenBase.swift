import BundleFormat
public import Bytes

/// Opens a bundle or a checkpoint as a base.
/// - Throws: `CrayonError` as the readers do.
public func openBase(path: String) throws(CrayonError) -> any BaseModel {
    try isBundle(path) ? BundleBase(try BundleReader(path: path)) : try CheckpointBase(path: path)
}
