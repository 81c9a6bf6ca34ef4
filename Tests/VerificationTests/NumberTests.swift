import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Conversion
import Foundation
import Quantization
import Tensors
import Testing
import Verification

/// Bundles whose digests hold and whose numbers do not: some program wrote them so.
@Suite struct NumberTests {
    struct Damage: Sendable, CustomTestStringConvertible {
        /// What of the weight is damaged: a component of a 4-bit one, or the weight itself.
        var component: NF4Tensor.Component?
        var index: Int
        var value: Float
        var expected: String
        var testDescription: String { "\(component?.rawValue ?? "plain") \(value)" }
    }

    static let damages = [
        Damage(index: 5, value: .nan, expected: "element 5 is not finite"),
        Damage(component: .nestedAbsmax, index: 0, value: .infinity, expected: "scale of block 0 is inf"),
        Damage(component: .nestedAbsmax, index: 0, value: -1, expected: "a scale of -"),
        Damage(component: .quantMap, index: 3, value: 0.9, expected: "quantization map does not rise"),
        Damage(component: .quantMap, index: 0, value: -2, expected: "quantization map has -2.0 at 0"),
    ]

    private func change(_ weight: StoredWeight, _ damage: Damage) throws -> StoredWeight {
        func changed(_ tensor: Tensor) -> Tensor {
            var values = tensor.region.buffer.withMemoryRebound(to: Float.self) { Array($0) }
            values[damage.index] = damage.value
            return Tensor(name: tensor.name, shape: tensor.shape, values: values)
        }
        switch (weight, damage.component) {
        case (.dense(let tensor), nil): return .dense(changed(tensor))
        case (.nf4(let tensor), let component?):
            var parts = Dictionary(uniqueKeysWithValues: tensor.components(named: "w").map { ($0.name, $0) })
            parts["w" + component.rawValue] = changed(try #require(parts["w" + component.rawValue]))
            return .nf4(try NF4Tensor(named: "w", place: "test") { parts[$0] })
        default: return weight
        }
    }

    @Test(arguments: damages) func areFoundAndNamed(_ damage: Damage) throws {
        let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Fixtures/models").path
        let folder = FileManager.default.temporaryDirectory.appending(path: "crayon-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var plan = PrecisionPlan()
        try plan.apply("embeddings=f32")
        try BundleConversion(
            options: .init(plan: plan, quantizer: NF4Quantizer(), int8Quantizer: Int8Quantizer(), packs: false)
        ).run(CheckpointModel.open("\(fixtures)/llama"), output: "\(folder)/m.crayon")

        let bundle = try BundleReader(path: "\(folder)/m.crayon")
        let role = damage.component == nil ? Role.tokenEmbeddings : .backbone(1, .gate)
        let manifest = BundleManifest(
            model: bundle.configuration, history: bundle.manifest.history, weights: bundle.manifest.weights)
        let writer = try BundleWriter(path: "\(folder)/damaged.crayon", manifest: manifest)
        for entry in manifest.weights {
            let weight = try #require(try bundle.weight(entry.role))
            try writer.append(entry.role == role ? change(weight, damage) : weight, of: entry)
        }
        _ = try writer.finish()

        let report = try Verifier(options: .init()).run(path: "\(folder)/damaged.crayon")
        #expect(report.structure.passed && report.digests?.passed == true)
        #expect(!report.passed && report.numbers?.passed == false)
        #expect(report.numbers?.problems.count == 1)
        #expect(report.numbers?.problems.first?.hasPrefix("\(role): \(damage.expected)") == true)
        #expect(try Verifier(options: .init()).run(path: "\(folder)/m.crayon").passed)
    }
}
