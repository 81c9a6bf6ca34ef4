import Checkpoints
import Foundation
import Layers
import Models
import Tensors
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

    /// Integers stay within 2e-4 of float32 in what the tower sees, and in the logits: of a whole prompt, and of the answer token
    /// by token. (Behind tokens that nobody would say there are positions where the model itself magnifies every error, float32's too.)
    @Test func integers() throws {
        let source = QuantizedSource(
            try CheckpointModel.open(CheckpointParts(checkpoint: Self.folder.appending(path: "checkpoint").path)))
        let exact = try VisionLanguageModel(source: source)
        let fast = try VisionLanguageModel(source: source, options: .init(arithmetic: .int16))
        for name in ["000-class", "000-presence", "002-box"] {
            let path = Self.folder.appending(path: "probes/\(name).safetensors").path
            let probe = try Probe(SafetensorsFile(path: path), for: source.configuration)
            let error = relativeError(try fast.logits(probe.input), try exact.logits(probe.input))
            // 0 would say that float32 was used.
            #expect(error < 2e-4 && error > 1e-7, "\(name): \(error)")
            let image = try #require(probe.input.images.first)
            let seen = relativeError(try fast.visionFeatures(of: image), try exact.visionFeatures(of: image))
            #expect(seen < 2e-4 && seen > 1e-7, "\(name), tower: \(seen)")
            let states = (exact.makeState(), fast.makeState())
            var logits = try exact.prefill(exact.embed(probe.input), state: states.0)
            _ = try fast.prefill(fast.embed(probe.input), state: states.1)
            var steps: [Double] = []
            for _ in 0..<4 {
                let likely = logits.values.enumerated().max { $0.element < $1.element }?.offset ?? 0
                logits = try exact.step(token: likely, state: states.0)
                steps.append(relativeError(try fast.step(token: likely, state: states.1), logits))
            }
            #expect(steps.allSatisfy { $0 < 2e-4 && $0 > 1e-7 }, "\(name): \(steps)")
            if ProcessInfo.processInfo.environment["CRAYON_TEST_FIGURES"] != nil {
                print("figure int16", name, error, steps.max() ?? 0, "tower", seen)
            }
        }
    }
}
