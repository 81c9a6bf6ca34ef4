import Checkpoints
import Foundation
import Models
import Testing

/// The trained model that the repository carries, against the logits that PyTorch recorded when it was made.
@Suite struct SampleModelTests {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Scripts/sample")

    @Test func probes() throws {
        let source = try CheckpointModel.open(
            CheckpointParts(checkpoint: Self.folder.appending(path: "checkpoint").path))
        let model = try VisionLanguageModel(source: source)
        let folder = Self.folder.appending(path: "probes")
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter {
            $0.hasSuffix(".safetensors")
        }
        #expect(names.count >= 3)
        for name in names {
            let probe = try Probe(
                SafetensorsFile(path: folder.appending(path: name).path), for: source.configuration)
            let error = relativeError(try model.logits(probe.input), probe.logits)
            #expect(error < 1e-5, "\(name): \(error)")
            if ProcessInfo.processInfo.environment["CRAYON_TEST_FIGURES"] != nil { print("figure", name, error) }
        }
    }
}
