import BundleFormat
import Bytes
import Checkpoints

/// What tensors are converted from, told by its contents: a checkpoint in any format, or a bundle.
struct ConversionSource {
    let checkpoint: any Checkpoint
    /// Configuration, tokenizer and the like, of a folder or from within a file.
    let files: [AuxiliaryFile]
    private(set) var warnings: [String] = []

    init(_ path: String) throws(CrayonError) {
        if try isBundle(path) {
            let bundle = try BundleReader(path: path)
            let tensors = BundleTensors(bundle)
            checkpoint = tensors
            files = bundle.files.filter { !$0.name.contains("/") }
            if !tensors.leftOut.isEmpty {
                warnings.append(
                    "\(path): left out, since they have places of their own: \(tensors.leftOut.joined(separator: ", ")); "
                        + "'crayon export' writes them as folders")
            }
            return
        }
        let opened = try openWeights(path)
        guard let file = opened as? GGUFFile else {
            checkpoint = opened
            files = try smallFiles(beside: path)
            if let skipped = (opened as? PyTorchFile)?.skipped, !skipped.isEmpty {
                warnings.append("\(path): \(skipped.count) members that are no tensors are left out")
            }
            return
        }
        do {
            let model = try GGUFModel(file)
            checkpoint = model
            files = model.files
            warnings = model.warnings
        } catch {
            checkpoint = file
            files = []
            warnings.append("\(error). Tensors keep llama.cpp's names and the order of its rows")
        }
    }
}
