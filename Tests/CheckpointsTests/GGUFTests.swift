import Bytes
import Checkpoints
import JSON
import Quantization
import Tensors
import Testing

@Suite struct GGUFTests {
    @Test func validSamples() throws {
        let samples = try Samples("gguf")
        #expect(!samples.valid.isEmpty)
        for (name, holds) in samples.valid {
            let file = try GGUFFile(path: samples.path(valid: name))
            #expect(Set(file.names) == Set(holds.object.names), "\(name)")
            for tensorName in holds.object.names {
                let expected = try holds.object(tensorName)
                let entry = try #require(file.entry(tensorName), "\(name): \(tensorName)")
                let tensor = try #require(file.tensor(tensorName), "\(name): \(tensorName)")
                #expect(entry.encoding == (try expected.string("type")), "\(name): \(tensorName)")
                #expect(tensor.shape.dims == (try expected.ints("shape")), "\(name): \(tensorName)")
                #expect(tensor.shape == entry.shape && tensor.type == entry.type, "\(name): \(tensorName)")
                #expect(hex(tensor.region.array) == (try expected.string("bytes")), "\(name): \(tensorName)")
            }
        }
    }

    @Test func invalidSamples() throws {
        try Samples("gguf").expectErrors { _ = try GGUFFile(path: $0) }
    }

    /// Parts are one checkpoint: the first's metadata, every tensor, each from its file; the folder stands for the first.
    @Test func partsAreOne() throws {
        let samples = try Samples("gguf")
        let names = (1...3).map { "three-0000\($0)-of-00003.gguf" }
        let folder = TemporaryFolder()
        for name in names { folder.write(try MappedFile(path: samples.path(valid: name)).whole.array, name) }
        let file = try #require(try openCheckpoint(folder.path) as? GGUFFile)
        #expect(file.place == folder.file(names[0]))
        #expect(file.names == ["a", "b", "c"])
        #expect(file.names.map { file.file(of: $0) } == names.map { folder.file($0) })
        #expect(file.sourceFiles.map(\.path) == names.map { folder.file($0) })
        #expect(file.metadata("general.name")?.string == "in parts")
        for name in file.names { file.willNeed(name) }
        for name in file.names { file.dontNeed(name) }
        try file.checkUnchanged()
        // Another model's file beside them leaves open which is meant.
        folder.write(try MappedFile(path: samples.path(valid: "shapes.gguf")).whole.array, "other.gguf")
        #expect(throws: CrayonError.self) { try openCheckpoint(folder.path) }
    }

    @Test func everyTypeIsSampled() throws {
        let file = try GGUFFile(path: Samples("gguf").path(valid: "every-type.gguf"))
        #expect(file.names.compactMap { file.stored($0)?.type } == GGMLType.allCases)
    }

    @Test func metadataOfEveryKind() throws {
        let file = try GGUFFile(path: Samples("gguf").path(valid: "metadata-only.gguf"))
        #expect(file.metadata.count == 16)
        #expect(file.metadata("uint8")?.integer == 200 && file.metadata("int8")?.integer == -3)
        #expect(file.metadata("uint16")?.integer == 60000 && file.metadata("int16")?.integer == -300)
        #expect(file.metadata("uint32")?.integer == 4_000_000_000 && file.metadata("int32")?.integer == -5)
        #expect(file.metadata("int64")?.integer == .min)
        #expect(file.metadata("uint64")?.integer == nil)
        #expect(file.metadata("uint64")?.number == 0x1p64)
        #expect(file.metadata("float32")?.number == 0.5 && file.metadata("float64")?.number == 0.1)
        #expect(file.metadata("bool")?.bool == true && file.metadata("string")?.string == "ein Wort ▁")
        #expect(file.metadata("array")?.array?.strings?.map(\.array) == [[97], [], [98, 99]])
        #expect(file.metadata("numbers")?.array?.numbers == [1, 2.5])
        #expect(file.metadata("nothing")?.array?.count == 0)
        var nested: [Int] = []
        file.metadata("nested")?.array?.visit { nested.append($0.array?.count ?? -1) }
        #expect(nested == [2, 0, 1])
        #expect(file.metadata("absent") == nil)
    }

    /// Whatever becomes of a file's bytes, it opens or throws, and what opens lies inside the file.
    @Test(arguments: ["every-type", "shapes", "metadata-only", "alignment-64", "version-2"])
    func mutations(sample: String) throws {
        let whole = try MappedFile(path: Samples("gguf").path(valid: "\(sample).gguf")).whole.array
        let folder = TemporaryFolder()
        var random = SplitMix64(seed: UInt64(sample.utf8.count))
        func pick(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
        let head = min(whole.count, 1200)
        var opened = 0
        for round in 0..<1000 {
            var bytes = whole
            switch round % 4 {
            case 0: bytes[pick(head)] ^= 1 << UInt8(pick(8))
            case 1: bytes.removeLast(1 + pick(bytes.count))
            case 2:
                // A number of four or eight bytes, anywhere.
                let start = pick(head - 8)
                let number = [UInt64.max, 1 << 63, 1 << 62, 1 << 32, 4_000_000_000, 0, 1, 9, 255][pick(9)]
                for index in 0..<(round % 8 < 4 ? 4 : 8) { bytes[start + index] = UInt8(number >> (8 * index) & 255) }
            default: for _ in 0..<3 { bytes[pick(head)] = UInt8(truncatingIfNeeded: random.next()) }
            }
            let path = folder.write(bytes, "mutant.gguf")
            do throws(CrayonError) {
                let file = try GGUFFile(path: path)
                opened += 1
                for name in file.names {
                    guard let tensor = file.tensor(name), let entry = file.entry(name) else {
                        Issue.record("\(name) is named but not there")
                        continue
                    }
                    #expect(tensor.region.count == tensor.shape.count * tensor.type.byteCount)
                    #expect(entry.offset + entry.byteCount <= bytes.count)
                }
                for (_, value) in file.metadata { value.array?.visit { _ = $0.string } }
            } catch {
                #expect(error.place == path)
            }
        }
        #expect(opened > 0 && opened < 1000)
    }

    @Test func writtenFilesAreRead() throws {
        let folder = TemporaryFolder()
        let path = folder.file("a.gguf")
        let values = Tensor(name: "w", shape: Shape([2, 64]), values: (0..<128).map { Float($0) - 60 })
        let blocks = try GGMLQuantizer(.q80).quantize(values)
        let writer = try GGUFWriter(
            path: path,
            metadata: [
                ("a", .string("x")), ("b", .uint32(7)), ("c", .float32(0.25)), ("d", .bool(true)),
                ("e", .int32s([-1, 2])), ("f", .float32s([1, 2.5])), ("g", .strings([[0xff], []])),
                ("h", .bools([true])),
            ],
            tensors: [
                .init(name: "bias", type: .f32, shape: Shape([3])), .init(name: "w", type: .q80, shape: blocks.shape),
            ])
        try [Float(1), 2, 3].withUnsafeBytes { try writer.write($0, of: "bias") }
        // In two parts, the last first.
        let half = blocks.region.count / 2
        try writer.write(blocks.region.slice(offset: half, count: half).buffer, of: "w", at: half)
        try writer.write(blocks.region.slice(offset: 0, count: half).buffer, of: "w")
        #expect(throws: CrayonError.self) { try GGUFFile(path: path) }
        try writer.commit()
        let file = try GGUFFile(path: path)
        #expect(file.metadata.map(\.name) == ["a", "b", "c", "d", "e", "f", "g", "h"])
        #expect(file.metadata("e")?.array?.integers == [-1, 2])
        #expect(file.metadata("g")?.array?.strings?.map(\.array) == [[0xff], []])
        #expect(file.tensor("bias")?.region.array == [Float(1), 2, 3].withUnsafeBytes(Array.init))
        #expect(file.stored("w")?.region.array == blocks.region.array)
        #expect(file.sourceFiles.count == 1 && file.sourceFiles[0].byteCount % 32 == 0)
    }

    @Test func theWriterRefuses() throws {
        let path = TemporaryFolder().file("a.gguf")
        func error(_ tensors: [GGUFWriter.Declaration]) -> String {
            do throws(CrayonError) {
                _ = try GGUFWriter(path: path, metadata: [], tensors: tensors)
                return ""
            } catch { return error.description }
        }
        let long = String(repeating: "n", count: 64)
        #expect(error([.init(name: long, type: .f32, shape: Shape([1]))]).contains("a name of 64 bytes"))
        let twice = GGUFWriter.Declaration(name: "x", type: .f32, shape: Shape([1]))
        #expect(error([twice, twice]).contains("a name that is taken"))
        #expect(error([.init(name: "x", type: .q4K, shape: Shape([8, 32]))]).contains("a multiple of 256"))
    }

    private func hex(_ bytes: [UInt8]) -> String {
        bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }
}
