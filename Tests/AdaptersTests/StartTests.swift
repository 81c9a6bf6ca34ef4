import Adapters
import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Foundation
import Kernels
import Quantization
import Tensors
import Testing

@Suite(.serialized) struct StartTests {
    /// The fixture's text model as a bundle, its blocks' matrices in NF4 or as they are.
    static func bundle(in folder: TemporaryFolder, quantized: Bool) throws -> BundleReader {
        let model = try CheckpointModel.open(CheckpointParts(backbone: Samples.models + "/llama"))
        let path = folder.file(quantized ? "nf4.crayon" : "dense.crayon")
        let weights = try model.bindings.map { binding in
            let isQuantized = quantized && binding.part == .backbone && binding.isMatrix
            let stored: StoredWeight =
                isQuantized ? .nf4(try NF4Quantizer().quantize(try binding.tensor())) : .dense(try binding.tensor())
            return (
                BundleWeight(
                    role: binding.role, part: binding.part, name: binding.sourceName, sourceName: binding.sourceName,
                    origin: "",
                    coding: BundleCoding(
                        storing: stored, codeRule: isQuantized ? Dynamic8Kernel.Rule.bitsandbytesCPU.rawValue : nil)),
                stored
            )
        }
        let writer = try BundleWriter(
            path: path,
            manifest: BundleManifest(model: model.configuration, history: [], weights: weights.map(\.0)))
        for (entry, weight) in weights { try writer.append(weight, of: entry) }
        try writer.finish()
        return try BundleReader(path: path)
    }

    static func values(_ weight: StoredWeight) -> [Float] {
        var values = [Float](repeating: 0, count: weight.shape.count)
        weight.dequantize(elements: 0..<values.count, into: &values)
        return values
    }

    /// W, Q and the pair's product of one module of a bundle that was begun.
    static func parts(
        _ output: BundleReader, _ source: any BaseModel, _ layer: Int, _ module: BackboneModule, set: String
    ) throws -> (w: [Float], q: [Float], product: [Float]) {
        let entry = try #require(output.entry(.backbone(layer, module)))
        let weight = try #require(try output.weight(.backbone(layer, module)))
        let a = try #require(try output.weight(.adapter(set, layer, module, .a)))
        let b = try #require(try output.weight(.adapter(set, layer, module, .b)))
        let (left, right) = (values(b), values(a))
        var product = [Float](repeating: 0, count: weight.shape.count)
        for row in 0..<weight.rows {
            for k in 0..<a.rows {
                for column in 0..<weight.columns {
                    product[row * weight.columns + column] +=
                        left[row * a.rows + k] * right[k * weight.columns + column]
                }
            }
        }
        return (values(try source.stored(entry.sourceName)), values(weight), product)
    }

    @Test(arguments: [StartOptions.Method.loftq, .qpissa], [1, 5]) func errorIsAbsorbed(
        method: StartOptions.Method, iterations: Int
    ) throws {
        let folder = try TemporaryFolder()
        let source = try openBase(path: Samples.models + "/llama")
        var options = StartOptions(method: method, rank: 8)
        options.iterations = iterations
        let report = try AdapterStart(Self.bundle(in: folder, quantized: true), source: source, options: options)
            .run(to: folder.file("out.crayon"))
        let output = try BundleReader(path: folder.file("out.crayon"))
        #expect(report.layers.count == 14 && report.ratio < 0.85)
        #expect(output.configuration.lowRankSets.map(\.name) == ["start"])
        #expect(output.configuration.lowRankSets.first?.isActive == true)
        for layer in report.layers {
            #expect(layer.ratio < 1 && layer.error < layer.plainError)
            #expect(output.manifest.history.last?.measures?["\(layer.module).weight"]?["error"] == layer.error)
        }
        // What is printed is what a reader of the bundle finds.
        let (w, q, product) = try Self.parts(output, source, 1, .query, set: "start")
        let error = RandomWeights.norm(zip(w, zip(q, product)).map { $0 - $1.0 - $1.1 }) / RandomWeights.norm(w)
        let layer = try #require(report.layers.first { $0.module == "model.layers.1.self_attn.q_proj" })
        #expect((layer.error - error).magnitude < 1e-3 * error)
        let plain = try NF4Quantizer().quantize(
            Tensor(name: "w", shape: Shape([w.count]), values: w))
        let lost = RandomWeights.norm(zip(w, RandomWeights.values(plain)).map { $0 - $1 }) / RandomWeights.norm(w)
        #expect((layer.plainError - lost).magnitude < 1e-3 * lost)
    }

    @Test func moreTurnsAreNoWorse() throws {
        let folder = try TemporaryFolder()
        let source = try openBase(path: Samples.models + "/llama")
        let bundle = try Self.bundle(in: folder, quantized: true)
        for method in [StartOptions.Method.loftq, .qpissa] {
            var ratios: [Double] = []
            for iterations in [1, 5] {
                var options = StartOptions(method: method, rank: 8)
                options.iterations = iterations
                let output = folder.file("\(method.rawValue)-\(iterations).crayon")
                ratios.append(try AdapterStart(bundle, source: source, options: options).run(to: output).ratio)
            }
            #expect(ratios[1] < ratios[0])
        }
    }

    /// A bundle that keeps 16-bit weights is its own source, and gets the NF4 backbone that goes with the pairs.
    @Test func denseBundleIsItsOwnSource() throws {
        let folder = try TemporaryFolder()
        let bundle = try Self.bundle(in: folder, quantized: false)
        let options = StartOptions(method: .qpissa, rank: 4)
        let report = try AdapterStart(bundle, source: nil, options: options).run(to: folder.file("out.crayon"))
        let output = try BundleReader(path: folder.file("out.crayon"))
        #expect(output.entry(.backbone(0, .query))?.coding.kind == .nf4)
        #expect(output.entry(.head)?.coding.kind != .nf4)
        #expect(report.ratio < 0.95)
    }

    @Test func gaussian() throws {
        let folder = try TemporaryFolder()
        let bundle = try Self.bundle(in: folder, quantized: true)
        var options = StartOptions(method: .gaussian, rank: 6)
        options.set = "new"
        options.modules = "q_proj|v_proj"
        let report = try AdapterStart(bundle, source: nil, options: options).run(to: folder.file("out.crayon"))
        #expect(report.layers.isEmpty)
        let output = try BundleReader(path: folder.file("out.crayon"))
        #expect(output.configuration.lowRankSets.first?.modules == [.query, .value])
        let a = try #require(try output.weight(.adapter("new", 1, .query, .a)))
        let b = try #require(try output.weight(.adapter("new", 1, .query, .b)))
        let values = Self.values(a)
        let bound = 1 / Float(48).squareRoot()
        #expect(values.allSatisfy { $0.magnitude <= bound } && values.contains { $0.magnitude > 0.9 * bound })
        let mean = values.reduce(0) { $0 + Double($1) * Double($1) } / Double(values.count)
        #expect((mean * 3 / Double(bound * bound) - 1).magnitude < 0.2)
        #expect(Self.values(b).allSatisfy { $0 == 0 })
        // Weights are as they were.
        for role in [Role.backbone(0, .query), .backbone(1, .down)] {
            let pair = [bundle, output].map { try? $0.weight(role).map(Self.values) }
            #expect(pair[0] != nil && pair[0] == pair[1])
        }
    }

    @Test func resumedRunHasTheSameBytes() throws {
        let folder = try TemporaryFolder()
        let source = try openBase(path: Samples.models + "/llama")
        let bundle = try Self.bundle(in: folder, quantized: true)
        struct Full: BaseModel {
            let model: any BaseModel
            var place: String { model.place }
            var sourcePaths: [String] { model.sourcePaths }
            var weights: [BaseWeight] { model.weights }
            func stored(_ name: String) throws(CrayonError) -> StoredWeight {
                guard !name.contains("layers.1.mlp") else { throw CrayonError(.io, in: place, found: "a full disk") }
                return try model.stored(name)
            }
        }
        let options = StartOptions(method: .loftq, rank: 4)
        _ = try AdapterStart(bundle, source: source, options: options).run(to: folder.file("whole.crayon"))
        let error = crayonError {
            _ = try AdapterStart(bundle, source: Full(model: source), options: options).run(
                to: folder.file("cut.crayon"))
        }
        #expect(error?.code == .io && !FileManager.default.fileExists(atPath: folder.file("cut.crayon")))
        _ = try AdapterStart(bundle, source: source, options: options).run(to: folder.file("cut.crayon"), resumes: true)
        let contents = ["whole", "cut"].map { FileManager.default.contents(atPath: folder.file("\($0).crayon")) }
        #expect(contents[0] != nil && contents[0] == contents[1])
    }

    @Test func refusals() throws {
        let folder = try TemporaryFolder()
        let bundle = try Self.bundle(in: folder, quantized: true)
        let output = folder.file("out.crayon")
        var error = crayonError {
            _ = try AdapterStart(bundle, source: nil, options: StartOptions(method: .loftq, rank: 4)).run(to: output)
        }
        #expect(error?.description.contains("--source") == true && error?.found == "nf4 codes alone")
        error = crayonError {
            let other = try openBase(path: Samples.models + "/qwen2")
            _ = try AdapterStart(bundle, source: other, options: StartOptions(method: .qpissa, rank: 4)).run(to: output)
        }
        #expect(error?.item?.contains("model.layers.0") == true)
        error = crayonError {
            _ = try AdapterStart(bundle, source: nil, options: StartOptions(method: .gaussian, rank: 400)).run(
                to: output)
        }
        #expect(error?.place == "--rank")
        #expect(!FileManager.default.fileExists(atPath: output))
    }
}
