import Adapters
import BundleFormat
import Bytes
import Checkpoints
import Foundation
import Tensors
import Testing

/// What is refused leaves nothing behind: no output, no folder for going on.
@Suite struct MergeRefusalTests {
    private let published = Samples.models + "/golden/collavo-tiny"
    private let query = "model.layers.1.self_attn.q_proj"

    /// - Parameter output: a bundle's name or a folder's.
    private func refused(
        _ base: any BaseModel, _ adapter: Adapter, to output: String = "out.crayon",
        _ options: MergeOptions = MergeOptions(), sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> String {
        let folder = try TemporaryFolder()
        let error = crayonError(sourceLocation: sourceLocation) {
            try Merges.merge(base, [(adapter, 1)], to: folder.file(output), options: options)
        }
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty, sourceLocation: sourceLocation)
        return error?.description ?? ""
    }

    private func made(_ modules: [AdapterModule] = [], _ replacements: [AdapterReplacement] = []) -> Adapter {
        Adapter(name: "made", place: "made", modules: modules, replacements: replacements)
    }

    /// A GGUF base is refused with what to do, since its names and rows are others.
    @Test func llamaFilesAreConvertedFirst() throws {
        let file = "\(Samples.models)/../gguf/llama-q8_0.gguf"
        #expect(crayonError { _ = try openBase(path: file) }?.description.contains("crayon convert") == true)
    }

    @Test func restrictedPairs() throws {
        let folder = try TemporaryFolder()
        let model = try CheckpointModel.open(CheckpointParts(checkpoint: published))
        let bundle = BundleBase(try Merges.convert(model, to: folder.file("base.crayon")))
        let checkpoint = try openBase(path: published)
        for (set, reason) in [
            ("image", "pairs that act at image positions only"), ("crayon", "pairs that read the crayon prompt"),
        ] {
            for adapter in [try openAdapter("\(published):\(set)"), try openAdapter("\(bundle.place):\(set)")] {
                #expect(try refused(bundle, adapter).contains(reason))
                #expect(try refused(checkpoint, adapter, to: "out").contains(reason))
                #expect(try refused(checkpoint, adapter).contains(reason))
                // Nor do they get into the weights of a checkpoint by the door that is theirs in a bundle.
                for output in ["out", "out.crayon"] {
                    let text = try refused(checkpoint, adapter, to: output, MergeOptions(rounding: .beside))
                    #expect(text.contains("beside for the checkpoint") && text.contains("expected a bundle"))
                }
            }
        }
    }

    @Test(arguments: [true, false]) func anyBase(isBundle: Bool) throws {
        let folder = try TemporaryFolder()
        let base: any BaseModel =
            isBundle ? BundleBase(try Merges.bundle(folder.file("base.crayon"))) : try openBase(path: Merges.llama)
        let output = isBundle ? "out.crayon" : "out"
        // Another base.
        var text = try refused(
            openBase(path: Samples.models + "/qwen2"), openAdapter(Merges.style), to: "out")
        #expect(text.contains("the base \(Samples.models)/qwen2"))
        text = try refused(base, made([MadeUp.module(query, rank: 2, out: 48, input: 40, seed: 1)]), to: output)
        #expect(text.contains("a pair for a weight of [48, 40]; expected [48, 48]"))
        // A sum that the type cannot hold, in the second half of the model.
        let huge = made([MadeUp.module(query, rank: 2, out: 48, input: 48, seed: 1, alpha: 1e9)])
        text = try refused(base, huge, to: output, MergeOptions(into: .f16))
        #expect(text.contains("'\(query).weight'") && text.contains("of the merged weight; expected a sum that F16"))
        let endless = made([MadeUp.module(query, rank: 2, out: 48, input: 48, seed: 1, alpha: 1e39)])
        text = try refused(base, endless, to: output)
        #expect(text.contains("'\(query).weight'"))
        // Less is retained than was asked for.
        var small = try openAdapter(Merges.style)
        for index in small.modules.indices { small.modules[index].alpha *= 1e-3 }
        text = try refused(
            base, small, to: output,
            MergeOptions(into: isBundle ? .source : .bf16, rounding: .plain, failBelow: isBundle ? 0.9 : 1))
        #expect(text.contains("of the delta retained") && text.contains("by --fail-below"))
        text = try refused(base, small, to: output, MergeOptions(failBelow: 1.5))
        #expect(text.contains("--fail-below: 1.5"))
        text = try refused(base, small, to: output, MergeOptions(retention: 0))
        #expect(text.contains("--retention: 0"))
    }

    @Test func quantizedBases() throws {
        let folder = try TemporaryFolder()
        let bundle = BundleBase(try Merges.bundle(folder.file("base.crayon")))
        let name = "\(query).weight"
        let whole = made(
            [],
            [
                AdapterReplacement(
                    name: name,
                    tensor: Tensor(name: name, shape: Shape([48, 48]), values: [Float](repeating: 1, count: 48 * 48)))
            ])
        #expect(try refused(bundle, whole).contains("a whole weight in the place of one that is quantized"))
        // A source of the same shapes that the base was not made from.
        let strange = try openBase(path: Merges.llama).weights.enumerated().map { index, weight in
            ExtractionTests.tensor(
                RandomWeights.normal(weight.shape.count, scale: 0.02, seed: UInt64(index)), weight.name,
                shape: weight.shape, as: weight.type)
        }
        let source = try ExtractionTests.checkpoint(strange, in: folder, "strange")
        let text = try refused(bundle, openAdapter(Merges.style), MergeOptions(source: source))
        #expect(text.contains("away from the base's; expected those that") && text.contains("--source"))
        #expect(
            try refused(bundle, openAdapter(Merges.style), to: "out").contains("expected a path that ends in .crayon"))
    }

    @Test func checkpoints() throws {
        let base = try openBase(path: Merges.llama)
        let style = try openAdapter(Merges.style)
        #expect(try refused(base, style, to: "out", MergeOptions(into: .nf4)).contains("which is not 4-bit in"))
        #expect(try refused(base, style, MergeOptions(resumes: true)).contains("a checkpoint that becomes a bundle"))
        // A pair's bias needs one of the module's.
        var biased = style
        biased.modules[0].bias = Tensor(
            name: "b", shape: Shape([biased.modules[0].b.shape[0]]),
            values: [Float](repeating: 1, count: biased.modules[0].b.shape[0]))
        #expect(try refused(base, biased, to: "out").contains("a bias of the pair (lora_bias)"))
        // What is there stays, unless it may go.
        let folder = try TemporaryFolder()
        let output = folder.file("out")
        try Merges.merge(base, [(style, 1)], to: output)
        let before = try Merges.files(in: output)
        let error = crayonError { try Merges.merge(base, [(style, 0.5)], to: output) }
        #expect(error?.description.contains("a folder that already holds") == true)
        #expect(try Merges.files(in: output) == before)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["out"])
        try Merges.merge(base, [(style, 0.5)], to: output, options: MergeOptions(overwrites: true))
        #expect(try Merges.files(in: output)["model.safetensors"] != before["model.safetensors"])
    }

    /// An empty folder that was there is not taken away.
    @Test func foldersOfTheUserStay() throws {
        let folder = try TemporaryFolder()
        let output = folder.file("out")
        try FileManager.default.createDirectory(atPath: output, withIntermediateDirectories: true)
        let huge = made([MadeUp.module(query, rank: 2, out: 48, input: 48, seed: 1, alpha: 1e9)])
        let error = crayonError {
            try Merges.merge(openBase(path: Merges.llama), [(huge, 1)], to: output)
        }
        #expect(error?.code == .notFinite)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["out"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: output).isEmpty)
    }
}
