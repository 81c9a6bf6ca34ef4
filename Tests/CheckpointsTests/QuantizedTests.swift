import Bytes
import Checkpoints
import JSON
import Quantization
import Tensors
import Testing

/// Quantized checkpoints against what bitsandbytes, and the packers of GPTQ and AWQ, make of the same files.
@Suite struct QuantizedTests {
    private let samples: Samples

    init() throws { samples = try Samples("quantized") }

    @Test func weightsAreWhatThePeersDequantize() throws {
        #expect(samples.valid.count == 6)
        for (name, holds) in samples.valid {
            let path = samples.path(valid: name)
            let checkpoint = try openWeights(path)
            #expect(Set(checkpoint.names) == Set(holds.object.names), "\(name)")
            for weight in holds.object.names {
                let expected = try holds.object(weight)
                let entry = try #require(checkpoint.entry(weight))
                let tensor = try #require(try checkpoint.tensor(weight))
                #expect(entry.encoding == (try expected.string("encoding")), "\(name): \(weight)")
                #expect(entry.type.rawValue == (try expected.string("type")), "\(name): \(weight)")
                #expect(entry.shape.dims == (try expected.ints("shape")), "\(name): \(weight)")
                #expect(tensor.type == entry.type && tensor.shape == entry.shape && tensor.name == weight)
                let hasher = SHA256Hasher()
                hasher.update(tensor.region.buffer)
                #expect(hasher.finish().description == (try expected.string("sha256")), "\(name): \(weight)")
            }
        }
    }

    @Test func namesBytesAndFilesAreThoseOfTheParts() throws {
        let path = samples.path(valid: "nf4.safetensors")
        let file = try SafetensorsFile(path: path)
        let checkpoint = try #require(try openWeights(path) as? QuantizedCheckpoint)
        #expect(checkpoint.names.count == 4 && checkpoint.tensorIsHidden("a.weight.absmax"))
        #expect(Set(checkpoint.names.flatMap { checkpoint.components(of: $0) }) == Set(file.names))
        let bytes = checkpoint.names.compactMap { checkpoint.entry($0)?.byteCount }.reduce(0, +)
        #expect(bytes == file.names.compactMap { file.entry($0)?.byteCount }.reduce(0, +))
        #expect(checkpoint.names.allSatisfy { checkpoint.file(of: $0) == path })
        #expect(checkpoint.entry("a.weight")?.offset == file.range(of: "a.weight")?.lowerBound)
    }

    /// What is stored comes out as it is, for codings that the kernels know.
    @Test func codesAndScalesAreTheFiles() throws {
        for (name, type) in [("nf4.safetensors", FourBitType.nf4), ("fp4.safetensors", .fp4)] {
            let file = try SafetensorsFile(path: samples.path(valid: name))
            guard case .nf4(let tensor)? = try openWeights(file.place).weight("a.weight") else {
                Issue.record("\(name): no 4-bit weight")
                continue
            }
            #expect(tensor.quantType == type)
            for part in tensor.components(named: "a.weight") where !part.name.contains("quant_state") {
                #expect(part.region.array == file.tensor(part.name)?.region.array, "\(name): \(part.name)")
            }
        }
        let file = try SafetensorsFile(path: samples.path(valid: "llm-int8.safetensors"))
        guard case .int8(let tensor)? = try openWeights(file.place).weight("a.weight") else {
            Issue.record("no 8-bit weight")
            return
        }
        #expect(tensor.quantType == .linear8 && tensor.blockSize == 70)
        #expect(tensor.codes.array == file.tensor("a.weight")?.region.array)
        #expect(tensor.absmax.array == file.tensor("a.SCB")?.region.array)
    }

    @Test func kindsThatAreNotAskedForStayAsTheyAre() throws {
        let path = samples.path(valid: "nf4.safetensors")
        #expect(try openWeights(path, kinds: [.fp4, .llmInt8, .grouped]) is SafetensorsFile)
        #expect(try openWeights(samples.path(valid: "fp4.safetensors"), kinds: [.nf4]) is SafetensorsFile)
    }

    @Test func brokenOnesAreRefused() {
        samples.expectErrors { _ = try openWeights($0) }
    }
}

extension QuantizedCheckpoint {
    /// Whether a stored tensor is not given out under its own name.
    fileprivate func tensorIsHidden(_ name: String) -> Bool {
        stored.entry(name) != nil && entry(name) == nil
    }
}
