import BundleFormat
import Bytes
import Checkpoints
import Conversion
import Foundation
import Layers
import Models
import Quantization
import Synchronization

/// A synthetic CoLLaVO with InternLM2-7B's shapes and few layers, made in a folder when the first job asks for it, and the bundle
/// of it; the folder's contents go with this value.
public final class JobModel: Sendable {
    public let layers: Int
    public let visionLayers: Int
    public let vocabulary: Int
    private let folder: String
    private let made = Mutex<Made>(Made())

    private struct Made {
        var hasCheckpoint = false
        var hasBundle = false
        var model: VisionLanguageModel?
    }

    /// - Parameter folder: an existing folder with room for the checkpoint and two bundles; a new one is made in it when there is
    ///   something to put there.
    public init(folder: String, layers: Int, visionLayers: Int = 24, vocabulary: Int = 32_000) {
        self.layers = layers
        self.visionLayers = visionLayers
        self.vocabulary = vocabulary
        self.folder = "\(folder)/crayon-bench-\(ProcessInfo.processInfo.processIdentifier)"
    }

    deinit { remove() }

    /// Takes the folder away, before a process ends of a signal.
    public func remove() { try? FileManager.default.removeItem(atPath: folder) }

    /// `4 layers, vocabulary 32000`
    var subject: String { "\(layers) layers, vocabulary \(vocabulary)" }

    /// The checkpoint's folder.
    func checkpoint() throws(CrayonError) -> String {
        let path = "\(folder)/checkpoint"
        guard !made.withLock({ $0.hasCheckpoint }) else { return path }
        try Folder.make(folder)
        var shape = SyntheticCheckpoint.Shape.collavo7B
        shape.layerCount = layers
        shape.visionLayerCount = visionLayers
        shape.vocabularySize = vocabulary
        try SyntheticCheckpoint(shape: shape).write(to: path)
        made.withLock { $0.hasCheckpoint = true }
        return path
    }

    /// Quantizes the checkpoint.
    /// - Parameter name: of the bundle in the folder.
    /// - Returns: the bundle's path.
    func quantize(to name: String) throws(CrayonError) -> String {
        let path = "\(folder)/\(name)"
        let options = BundleConversion.Options(
            plan: PrecisionPlan(), quantizer: try NF4Quantizer(), int8Quantizer: try Int8Quantizer())
        try BundleConversion(options: options).run(try CheckpointModel.open(try checkpoint()), output: path)
        return path
    }

    /// The bundle's path.
    func bundle() throws(CrayonError) -> String {
        if made.withLock({ $0.hasBundle }) { return "\(folder)/model.crayon" }
        let path = try quantize(to: "model.crayon")
        made.withLock { $0.hasBundle = true }
        return path
    }

    /// The bundle, opened and ready to run as `crayon run` has it; the same for all jobs.
    func model() throws(CrayonError) -> VisionLanguageModel {
        if let model = made.withLock({ $0.model }) { return model }
        let model = try VisionLanguageModel(
            source: try BundleReader(path: try bundle()), options: .init(arithmetic: .int16))
        made.withLock { $0.model = model }
        return model
    }
}
