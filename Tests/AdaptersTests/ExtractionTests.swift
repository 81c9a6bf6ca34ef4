import Adapters
import Bytes
import Checkpoints
import Foundation
import Kernels
import LinearAlgebra
import Quantization
import Tensors
import Testing

@Suite(.serialized) struct ExtractionTests {
    static let weight = "model.layers.0.mlp.up_proj.weight"
    static let module = "model.layers.0.mlp.up_proj"
    static let shape = Shape([300, 280])

    static func tensor(_ values: [Float], _ name: String = weight, shape: Shape = shape, as type: ElementType = .f32)
        -> Tensor
    {
        let bytes = ByteBuffer(count: values.count * type.byteCount)
        FloatConversion.narrow(values, count: values.count, to: type, into: bytes.pointer)
        return Tensor(name: name, type: type, shape: shape, region: bytes.region)
    }

    static func base(seed: UInt64 = 1) -> [Float] { RandomWeights.normal(shape.count, scale: 0.02, seed: seed) }

    /// A change of the rank, each direction half as strong as the one before.
    static func change(rank: Int, scale: Float, seed: UInt64 = 5) -> [Float] {
        let b = RandomWeights.normal(shape[0] * rank, scale: 1, seed: seed)
        let a = RandomWeights.normal(shape[1] * rank, scale: 1, seed: seed + 1)
        var values = [Float](repeating: 0, count: shape.count)
        for row in 0..<shape[0] {
            for column in 0..<shape[1] {
                for k in 0..<rank {
                    values[row * shape[1] + column] +=
                        scale / Float(1 << k) * b[row * rank + k] * a[column * rank + k]
                }
            }
        }
        return values
    }

    static func checkpoint(_ tensors: [Tensor], in folder: TemporaryFolder, _ name: String) throws -> any BaseModel {
        let path = folder.file(name)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try SafetensorsWriter.write(tensors, to: path + "/model.safetensors")
        return try openBase(path: path)
    }

    static func run(
        _ base: [Tensor], _ tuned: [Tensor], _ edit: (inout ExtractionOptions) -> Void = { _ in }
    ) throws -> (report: ExtractionReport, adapter: Adapter?, folder: TemporaryFolder) {
        let folder = try TemporaryFolder()
        var options = ExtractionOptions()
        edit(&options)
        let extraction = Extraction(
            base: try checkpoint(base, in: folder, "base"), tuned: try checkpoint(tuned, in: folder, "tuned"),
            options: options)
        let report = try extraction.run(to: folder.file("out"))
        // Nothing but the output is left.
        let hidden = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasPrefix(".") }
        #expect(hidden.isEmpty)
        let adapter = report.isWritten ? try PEFTFolder.read(path: folder.file("out")) : nil
        return (report, adapter, folder)
    }

    static func error(of module: AdapterModule, against delta: [Float]) throws -> Double {
        let (a, b) = (try module.a.tensor(), try module.b.tensor())
        func matrix(_ tensor: Tensor) -> Matrix {
            let matrix = Matrix(rows: tensor.shape[0], columns: tensor.shape[1])
            FloatConversion.widen(tensor, elements: 0..<matrix.count, into: matrix.pointer)
            return matrix
        }
        let product =
            module.kind == .linear
            ? TallProduct.multiply(matrix(b), matrix(a)) : TallProduct.multiply(matrix(b), matrix(a)).transposed()
        let difference = zip(product.values, delta).map { Float(module.scale) * $0 - $1 }
        return RandomWeights.norm(difference) / RandomWeights.norm(delta)
    }

    @Test(arguments: [ElementType.f32, .bf16, .f16]) func plantedDelta(type: ElementType) throws {
        let base = Self.base()
        let delta = Self.change(rank: 3, scale: 0.01)
        let (report, adapter, _) = try Self.run(
            [Self.tensor(base)], [Self.tensor(zip(base, delta).map { $0 + $1 })]
        ) { $0.type = type }
        let module = try #require(adapter?.modules.first)
        #expect(module.path == Self.module && module.rank == 3 && module.scale == 1 && module.a.type == type)
        let error = try Self.error(of: module, against: delta)
        #expect(error < (type == .f32 ? 1e-5 : type == .f16 ? 5e-4 : 5e-3))
        let layer = try #require(report.layers.first)
        // What is printed is what a reader of the folder finds.
        #expect((layer.residual - error).magnitude < 1e-6 + 1e-3 * error)
        #expect(layer.verdict == .pair && layer.rank == 3 && layer.energy > 0.99999)
        #expect((layer.deltaRatio - RandomWeights.norm(delta) / RandomWeights.norm(base)).magnitude < 1e-4)
        #expect((report.residual - layer.residual).magnitude < 1e-12)
    }

    @Test func roundingIsNoAdapter() throws {
        let base = Self.base()
        for (old, new) in [(ElementType.f32, ElementType.bf16), (.bf16, .f32), (.f32, .f16), (.f16, .bf16)] {
            let first = old == .f32 ? base : RoundedWeights.rounded(base, to: new == .f32 ? .bf16 : old)
            let (report, adapter, _) = try Self.run(
                [Self.tensor(new == .f32 ? base : first, as: old)], [Self.tensor(new == .f32 ? base : first, as: new)])
            #expect(!report.isWritten && adapter == nil)
            #expect(report.layers.map(\.verdict) == [.roundingOnly])
        }
        let same = try Self.run([Self.tensor(base, as: .bf16)], [Self.tensor(base, as: .bf16)])
        #expect(!same.report.isWritten && same.report.layers.isEmpty && same.report.unchangedCount == 1)
    }

    @Test func signalAboveTheRoundingOfBFloat16() throws {
        let base = RoundedWeights.rounded(Self.base(), to: .bf16)
        let delta = Self.change(rank: 2, scale: 0.004)
        let (report, _, _) = try Self.run(
            [Self.tensor(base, as: .bf16)], [Self.tensor(zip(base, delta).map { $0 + $1 }, as: .bf16)])
        let layer = try #require(report.layers.first)
        #expect(layer.rank == 2 && layer.lastValue > layer.noiseFloor && layer.noiseFloor > 0)
        #expect(layer.residual < 0.2)
    }

    @Test func fourBitBase() throws {
        let weights = Self.base()
        let stored = try NF4Quantizer().quantize(Self.tensor(weights, as: .bf16))
        let base = RandomWeights.values(stored)
        let delta = Self.change(rank: 2, scale: 0.02)
        let (report, adapter, _) = try Self.run(
            stored.components(named: Self.weight), [Self.tensor(zip(base, delta).map { $0 + $1 })])
        #expect(report.layers.first?.rank == 2)
        #expect(try Self.error(of: #require(adapter?.modules.first), against: delta) < 0.1)
        // The 16-bit weight that it was made from differs from it by rounding alone.
        let plain = try Self.run(stored.components(named: Self.weight), [Self.tensor(weights, as: .bf16)])
        #expect(plain.report.layers.map(\.verdict) == [.roundingOnly])
    }

    @Test func ranksOfEachModule() throws {
        let base = Self.base()
        let names = ["model.layers.0.a", "model.layers.1.a", "model.layers.10.a", "model.layers.2.a"]
        let old = names.map { Self.tensor(base, $0 + ".weight") }
        let new = zip(names, [1, 4, 2, 0]).map { name, rank in
            Self.tensor(zip(base, Self.change(rank: rank, scale: 0.01)).map { $0 + $1 }, name + ".weight")
        }
        let (report, adapter, _) = try Self.run(old, new) { $0.target = .energy(0.9999) }
        #expect(adapter?.modules.map(\.path) == ["model.layers.0.a", "model.layers.1.a", "model.layers.10.a"])
        #expect(adapter?.modules.map(\.rank) == [1, 4, 2])
        #expect(adapter?.modules.allSatisfy { $0.scale == 1 } == true)
        #expect(report.unchangedCount == 1)
        let (_, one, _) = try Self.run(old, new) { $0.modules = #"layers\.1\."# }
        #expect(one?.modules.map(\.path) == ["model.layers.1.a"])
    }

    @Test func biasesNormsAndEmbeddings() throws {
        let base = Self.base()
        let delta = Self.change(rank: 2, scale: 0.01)
        let changed = zip(base, delta).map { $0 + $1 }
        let vector = RandomWeights.normal(300, scale: 1, seed: 9)
        let other = RandomWeights.normal(300, scale: 1, seed: 10)
        let names = (bias: Self.module + ".bias", norm: "model.norm.weight", table: "model.embed_tokens.weight")
        func model(_ matrix: [Float], _ values: [Float]) -> [Tensor] {
            [
                Self.tensor(matrix), Self.tensor(values, names.bias, shape: Shape([300])),
                Self.tensor(values, names.norm, shape: Shape([300])), Self.tensor(matrix, names.table),
            ]
        }
        let (plain, first, _) = try Self.run(model(base, vector), model(changed, other))
        #expect(first?.modules.count == 1 && first?.replacements.isEmpty == true)
        #expect(Set(plain.leftOut.map(\.name)) == [names.bias, names.norm, names.table])
        let (all, second, _) = try Self.run(model(base, vector), model(changed, other)) {
            $0.biases = true
            $0.norms = true
            $0.embeddings = .whole
        }
        #expect(all.leftOut.isEmpty && Set(all.replaced) == [names.norm, names.table])
        #expect(Set(second?.replacements.map(\.name) ?? []) == [names.norm, names.table])
        let bias = try #require(second?.modules.first?.bias)
        var found = [Float](repeating: 0, count: 300)
        FloatConversion.widen(bias, elements: 0..<300, into: &found)
        #expect(zip(found, zip(vector, other)).allSatisfy { ($0 - ($1.1 - $1.0)).magnitude < 1e-6 })
        // A bias alone needs a pair to hold it; the pair does nothing.
        let (_, alone, _) = try Self.run(model(base, vector), model(base, other)) { $0.biases = true }
        let zero = try #require(alone?.modules.first)
        #expect(zero.bias != nil && zero.rank == 1)
        #expect(try Self.error(of: zero, against: delta) == 1)
        let (_, pairs, _) = try Self.run(model(base, vector), model(changed, vector)) { $0.embeddings = .pairs }
        let table = try #require(pairs?.modules.first { $0.kind == .embedding })
        #expect(table.weightShape == Self.shape)
        #expect(try Self.error(of: table, against: delta) < 1e-5)
    }

    @Test func refusals() throws {
        let base = Self.base()
        var broken = base
        broken[5 * 280 + 7] = .nan
        let narrow = Tensor(name: Self.weight, shape: Shape([2, 3]), values: [Float](repeating: 0, count: 6))
        let elsewhere = Self.tensor(base, "model.layers.1.mlp.up_proj.weight")
        for (tuned, words) in [
            ([narrow], ["[2, 3]", "[300, 280]", Self.weight]), ([Self.tensor(broken)], ["nan", "row 5, column 7"]),
            ([elsewhere], ["nothing", Self.weight]), ([Self.tensor(base), elsewhere], ["nothing", elsewhere.name]),
        ] {
            let error = crayonError { _ = try Self.run([Self.tensor(base)], tuned) }
            for word in words { #expect(error?.description.contains(word) == true, "\(String(describing: error))") }
        }
        let error = crayonError { _ = try Self.run([Self.tensor(base)], [Self.tensor(base)]) { $0.modules = "(" } }
        #expect(error?.place == "--modules")
    }

    /// PLoRA's halves are matrices under names that end in `.weight`, but no layers; the weight beside them is its module's.
    @Test func pairsOfAPublishedCheckpoint() throws {
        let base = Self.base()
        let delta = Self.change(rank: 1, scale: 0.01)
        func model(_ values: [Float]) -> [Tensor] {
            [
                Self.tensor(values, "layers.0.wqkv.Plora_main.weight"),
                Self.tensor(values, "layers.0.wqkv.Plora_A.weight"),
            ]
        }
        let (report, adapter, _) = try Self.run(model(base), model(zip(base, delta).map { $0 + $1 }))
        #expect(adapter?.modules.map(\.path) == ["layers.0.wqkv.Plora_main"])
        #expect(report.leftOut.map(\.name) == ["layers.0.wqkv.Plora_A.weight"])
    }

    @Test func resumedRunHasTheSameBytes() throws {
        let base = Self.base()
        let folder = try TemporaryFolder()
        let names = (0..<5).map { "model.layers.\($0).up.weight" }
        let old = try Self.checkpoint(names.map { Self.tensor(base, $0) }, in: folder, "base")
        let new = try Self.checkpoint(
            names.enumerated().map { index, name in
                let delta = Self.change(rank: 3, scale: 0.01, seed: UInt64(20 + index))
                return Self.tensor(zip(base, delta).map { $0 + $1 }, name)
            }, in: folder, "tuned")
        let whole = Extraction(base: old, tuned: new, options: ExtractionOptions())
        _ = try whole.run(to: folder.file("whole"))
        struct Full: BaseModel {
            let model: any BaseModel
            var place: String { model.place }
            var sourcePaths: [String] { model.sourcePaths }
            var weights: [BaseWeight] { model.weights }
            func stored(_ name: String) throws(CrayonError) -> StoredWeight {
                guard !name.contains("layers.3") else { throw CrayonError(.io, in: place, found: "a full disk") }
                return try model.stored(name)
            }
        }
        let cut = Extraction(base: old, tuned: Full(model: new), options: ExtractionOptions())
        let error = crayonError { _ = try cut.run(to: folder.file("cut")) }
        #expect(error?.code == .io)
        #expect(!FileManager.default.fileExists(atPath: folder.file("cut")))
        #expect(FileManager.default.fileExists(atPath: folder.file(".cut.crayon-resume")))
        let report = try whole.run(to: folder.file("cut"), resumes: true)
        #expect(report.layers.count == 5)
        #expect(!FileManager.default.fileExists(atPath: folder.file(".cut.crayon-resume")))
        for name in ["adapter_model.safetensors", "adapter_config.json"] {
            let contents = ["whole", "cut"].map { FileManager.default.contents(atPath: folder.file("\($0)/\(name)")) }
            #expect(contents[0] != nil && contents[0] == contents[1])
        }
    }
}

enum RoundedWeights {
    static func rounded(_ values: [Float], to type: ElementType) -> [Float] {
        let tensor = ExtractionTests.tensor(values, as: type)
        var rounded = values
        FloatConversion.widen(tensor, elements: 0..<values.count, into: &rounded)
        return rounded
    }
}
