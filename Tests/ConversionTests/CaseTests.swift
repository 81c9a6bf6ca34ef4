import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Conversion
import Foundation
import JSON
import Models
import Tensors
import Testing

private let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/models").path

/// Every model of `cases.json` through a bundle: what the reference computes, the bundle computes.
@Suite struct CaseTests {
    struct Case: Sendable, CustomStringConvertible {
        var name: String
        var parts: CheckpointParts
        var options: CheckpointOptions
        var probes: [Probe]
        var description: String { name }
    }

    struct Probe: Sendable {
        var file: String
        var isQuantized: Bool
        var adapters: [String]?
        var tolerance: Double
    }

    static let all: [Case] = {
        do {
            return try JSONReader(file: "\(fixtures)/cases.json").objects("cases").map(read).filter {
                $0.name != "clip"
            }
        } catch {
            // No cases, and the test that counts them fails.
            return []
        }
    }()

    private static func read(_ entry: JSONReader) throws -> Case {
        let inputs = try entry.object("inputs")
        func path(_ key: String) throws -> String? { try inputs.optionalString(key).map { "\(fixtures)/\($0)" } }
        let adapters = try inputs.optionalObject("adapters").map { reader in
            try reader.object.names.map { (name: $0, path: "\(fixtures)/\(try reader.string($0))") }
        }
        let options = try entry.optionalObject("options")
        return try Case(
            name: entry.string("name"),
            parts: CheckpointParts(
                checkpoint: path("checkpoint"), backbone: path("backbone"), vision: path("vision"),
                crayon: path("crayon"), adapters: adapters ?? []),
            options: CheckpointOptions(
                imageSize: options?.optionalInt("image-size"), visionHeadCount: options?.optionalInt("vision-heads")),
            probes: entry.objects("probes").filter {
                // Rounding dequantized weights to their source type is bitsandbytes' other behaviour, not the runtime's.
                try $0.optionalString("dequantized_to") != "bfloat16"
            }.map { probe in
                try Probe(
                    file: probe.string("file"),
                    isQuantized: probe.optionalObject("precision")?.string("backbone") == "nf4",
                    adapters: probe.optionalArray("adapters") == nil ? nil : probe.strings("adapters"),
                    tolerance: probe.double("tolerance"))
            })
    }

    @Test func casesAreRead() {
        #expect(Self.all.count >= 13)
        #expect(Self.all.flatMap(\.probes).count { $0.isQuantized } >= 3)
    }

    @Test(arguments: all, [true, false]) func bundleGivesTheReferencesLogits(_ test: Case, packs: Bool) throws {
        let model = try CheckpointModel.open(test.parts, options: test.options)
        try withFolder { folder in
            try convert(model, to: "\(folder)/source.crayon", ["backbone=source"], packs: packs)
            try convert(model, to: "\(folder)/nf4.crayon", packs: packs)
            for probe in test.probes {
                let bundle = try BundleReader(path: "\(folder)/\(probe.isQuantized ? "nf4" : "source").crayon")
                #expect(bundle.configuration == model.configuration)
                let network = try VisionLanguageModel(
                    source: bundle, options: VisionLanguageModel.Options(lowRankSets: probe.adapters))
                let recorded = try Models.Probe(
                    SafetensorsFile(path: "\(fixtures)/\(probe.file)"), for: bundle.configuration)
                let error = try network.compare(recorded).relativeError
                #expect(error < probe.tolerance, "\(probe.file): \(error)")
            }
        }
    }

    /// A bundle carries the small files of every part under its folder.
    @Test func filesAreCarried() throws {
        let test = try #require(Self.all.first { $0.name == "parts" })
        let model = try CheckpointModel.open(test.parts, options: test.options)
        try withFolder { folder in
            let manifest = try convert(model, to: "\(folder)/m.crayon")
            #expect(
                Set(manifest.files) == [
                    "config.json", "vision/config.json", "adapters/object/adapter_config.json",
                    "adapters/language/adapter_config.json",
                ])
            #expect(
                Set(manifest.weights.map(\.origin)) == ["", "vision", "crayon", "adapters/object", "adapters/language"])
            let bundle = try BundleReader(path: "\(folder)/m.crayon")
            for file in model.files { #expect(bundle.file(file.name)?.region.array == file.region.array) }
            let sources = manifest.history[0].sources
            #expect(
                sources.map(\.name).sorted() == [
                    "adapter_model.safetensors", "adapter_model.safetensors", "crayon.safetensors", "model.safetensors",
                    "model.safetensors",
                ])
            for source in sources where source.name == "crayon.safetensors" {
                let bytes = try MappedFile(path: "\(fixtures)/parts/crayon.safetensors").whole
                let hasher = SHA256Hasher()
                hasher.update(bytes.buffer)
                #expect(source.sha256 == hasher.finish().description && source.byteCount == bytes.count)
            }
        }
    }
}
