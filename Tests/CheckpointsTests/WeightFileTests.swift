import Bytes
import Checkpoints
import JSON
import Tensors
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// PyTorch's and NumPy's files, opened by their contents.
@Suite struct WeightFileTests {
    @Test(arguments: ["pytorch", "numpy"])
    func validSamples(corpus: String) throws {
        let samples = try Samples(corpus)
        #expect(samples.valid.count > 20)
        for (name, holds) in samples.valid {
            let file = try openCheckpoint(samples.path(valid: name))
            #expect(Set(file.names) == Set(holds.object.names), "\(name): \(file.names)")
            #expect(file.format == (corpus == "numpy" ? "NumPy" : "PyTorch"), "\(name)")
            for tensorName in holds.object.names {
                let expected = try holds.object(tensorName)
                let tensor = try #require(try file.tensor(tensorName), "\(name): \(tensorName)")
                #expect(tensor.type.rawValue == (try expected.string("dtype")), "\(name): \(tensorName)")
                #expect(tensor.shape.dims == (try expected.ints("shape")), "\(name): \(tensorName)")
                if let bytes = try expected.optionalString("bytes") {
                    #expect(hex(tensor.region.array) == bytes, "\(name): \(tensorName)")
                } else {
                    #expect(
                        tensor.region.count == (try expected.int("zeros")) && tensor.region.array.allSatisfy { $0 == 0 }
                    )
                }
                let entry = try #require(file.entry(tensorName))
                #expect(entry.type == tensor.type && entry.shape == tensor.shape, "\(name): \(tensorName)")
                #expect(entry.byteCount == tensor.region.count, "\(name): \(tensorName)")
                // Advice to the kernel takes any tensor.
                file.willNeed(tensorName)
                file.dontNeed(tensorName)
            }
            #expect(try file.tensor("no such tensor") == nil)
            #expect(file.entry("no such tensor") == nil)
            #expect(file.sourceFiles.map(\.path) == [samples.path(valid: name)])
            try file.checkUnchanged()
        }
    }

    /// What is refused is refused at opening, but for the bytes of arrays in archives, which are read when they are asked for.
    @Test(arguments: ["pytorch", "numpy"])
    func invalidSamples(corpus: String) throws {
        let late: Set<String> = ["checksum.npz", "deflate-cut-short.npz"]
        try Samples(corpus).expectErrors { path in
            let file = try openCheckpoint(path)
            #expect(late.contains(Folder.lastPart(of: path)), "\(path) was opened")
            for name in file.names { _ = try file.tensor(name) }
        }
    }

    /// Every element type that PyTorch and we have in common is in a valid sample.
    @Test func everyTypeIsSampled() throws {
        let file = try openCheckpoint(Samples("pytorch").path(valid: "every-type.pt"))
        #expect(Set(file.names.compactMap { file.entry($0)?.type }) == Set(ElementType.allCases))
    }

    /// A dense view is the file's own memory; tied weights share it.
    @Test func denseViewsAreBorrowed() throws {
        let file = try PyTorchFile(path: Samples("pytorch").path(valid: "shared-storage.pt"))
        func address(_ name: String) throws -> UnsafeRawPointer {
            try #require(try file.tensor(name)).region.baseAddress
        }
        func isMapped(_ address: UnsafeRawPointer, _ file: PyTorchFile) -> Bool {
            let whole = file.mapping.whole
            return address >= whole.baseAddress && address < whole.baseAddress + whole.count
        }
        #expect(try address("embed.weight") == address("head.weight"))
        #expect(try address("row") == address("embed.weight") + 12)
        #expect(try isMapped(address("row"), file))
        // Gathered ones are not.
        let strided = try PyTorchFile(path: Samples("pytorch").path(valid: "strides.pt"))
        let transposed = try #require(try strided.tensor("transposed")).region.baseAddress
        #expect(!isMapped(transposed, strided))
    }

    @Test func whatIsNoTensorIsNamed() throws {
        let file = try PyTorchFile(path: Samples("pytorch").path(valid: "training.pt"))
        #expect(file.skipped.contains("epoch") && file.skipped.contains("args") && file.skipped.contains("numbers"))
        #expect(!file.skipped.contains("state_dict") && !file.skipped.contains("rng"))
    }

    /// A model opens from whatever file its folder has, and safetensors go before the others.
    @Test func modelsOpenFromNumPy() throws {
        let tiny = TinyCheckpoint()
        let folder = TemporaryFolder()
        try tiny.write(into: folder)
        let arrays = tiny.tensors.map { tensor in
            let dims = tensor.shape.dims.map { "\($0)," }.joined()
            let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(dims)), }\n"
            let head = [0x93] + Array("NUMPY\u{1}\0".utf8) + [UInt8(text.utf8.count), 0]
            return (name: tensor.name + ".npy", bytes: head + Array(text.utf8) + tensor.region.array)
        }
        folder.write(ZipBytes.archive(arrays), "weights.npz")
        let both = try CheckpointModel.open(folder.path)
        #expect(both.origins.compactMap { $0.checkpoint?.format } == ["safetensors"])
        unlink(folder.file("model.safetensors"))
        let model = try CheckpointModel.open(folder.path)
        #expect(model.origins.compactMap { $0.checkpoint?.format } == ["NumPy"])
        #expect(model.bindings.map(\.role) == both.bindings.map(\.role))
        for (one, other) in zip(model.bindings, both.bindings) {
            #expect(try one.tensor().region.array == other.tensor().region.array)
        }
        #expect(model.sourceFiles.map(\.path) == [folder.file("weights.npz")])
        // What training leaves beside a model is not taken for one.
        folder.write("x", "training_args.bin")
        #expect(try openCheckpoint(folder.path).format == "NumPy")
        folder.write("x", "second.bin")
        let error = #expect(throws: CrayonError.self) { _ = try openCheckpoint(folder.path) }
        #expect(error?.found.contains("2 files of PyTorch or NumPy") == true)
    }

    /// Shards of pickles with an index, by the rules of safetensors' index.
    @Test func shardsOfPickles() throws {
        let samples = try Samples("pytorch")
        let folder = TemporaryFolder()
        func copy(_ sample: String, _ name: String) throws {
            folder.write(try MappedFile(path: samples.path(valid: sample)).whole.array, name)
        }
        try copy("ordered.pt", "pytorch_model-00001-of-00002.bin")
        try copy("one-tensor.pt", "pytorch_model-00002-of-00002.bin")
        let index = "pytorch_model.bin.index.json"
        let map = #""a.weight": "pytorch_model-00001-of-00002.bin", "tensor": "pytorch_model-00002-of-00002.bin""#
        folder.write(#"{"weight_map": {\#(map), "b.weight": "pytorch_model-00001-of-00002.bin"}}"#, index)
        let sharded = try openCheckpoint(folder.path)
        #expect(sharded.names == ["b.weight", "a.weight", "tensor"] && sharded.format == "PyTorch")
        #expect(sharded.file(of: "tensor") == folder.file("pytorch_model-00002-of-00002.bin"))
        #expect(try sharded.tensor("tensor")?.shape == Shape([2, 3]))
        folder.write(#"{"weight_map": {\#(map), "c": "pytorch_model-00001-of-00002.bin"}}"#, index)
        let error = #expect(throws: CrayonError.self) { _ = try openCheckpoint(folder.path) }
        #expect(error?.found.contains("1 tensors that the index names are in no shard: 'c'") == true)
    }

    /// Opens and reads all, or throws.
    private func exercise(_ path: String) -> Bool {
        do throws(CrayonError) {
            let file = try openCheckpoint(path)
            for name in file.names {
                guard let tensor = try file.tensor(name), let entry = file.entry(name) else {
                    Issue.record("\(name) is named but not there")
                    continue
                }
                if entry.shape != tensor.shape || tensor.region.count != entry.denseByteCount {
                    Issue.record("\(name) is not what its entry says")
                }
            }
            return true
        } catch {
            #expect(error.place == path)
            return false
        }
    }

    private static let small: [String] = ["pytorch", "numpy"].flatMap { corpus in
        ((try? Samples(corpus))?.valid ?? []).map { "\(corpus) \($0.name)" }
    }

    private func bytes(_ sample: String) throws -> [UInt8] {
        let parts = sample.split(separator: " ", maxSplits: 1).map(String.init)
        return try MappedFile(path: Samples(parts[0]).path(valid: parts[1])).whole.array
    }

    /// A file that ends anywhere before its end is refused.
    @Test(arguments: small)
    func truncations(sample: String) throws {
        let whole = try bytes(sample)
        let folder = TemporaryFolder()
        for count in 0..<whole.count {
            let path = folder.write(Array(whole.prefix(count)), "cut")
            #expect(!exercise(path), "\(sample) cut to \(count) of \(whole.count) bytes")
        }
    }

    /// Whatever becomes of one byte, the file opens or is refused.
    @Test(arguments: small.filter { !$0.hasSuffix("zeros.npz") })
    func changes(sample: String) throws {
        let whole = try bytes(sample)
        let folder = TemporaryFolder()
        var opened = 0
        for index in whole.indices {
            for value in [whole[index] ^ 1, whole[index] ^ 0x80, 0xFF, 0, whole[index] &+ 1] where value != whole[index]
            {
                var bytes = whole
                bytes[index] = value
                if exercise(folder.write(bytes, "mutant")) { opened += 1 }
            }
        }
        // Changes in data that have no checksum leave the file whole, and so both ways out are taken.
        #expect(opened < 5 * whole.count)
    }

    /// Pickles with more than one byte changed, and their archives' checksums made good: the machine sees all of them.
    @Test(arguments: ["training.pt", "parameters.pt", "strides.pt", "protocol-5.pt", "legacy-views.pt"])
    func mutatedPickles(sample: String) throws {
        let whole = try bytes("pytorch \(sample)")
        let folder = TemporaryFolder()
        var random = SplitMix64(seed: UInt64(sample.utf8.count))
        let name = Array("archive/data.pkl".utf8)
        let start = sample.hasPrefix("legacy") ? 0 : 30 + name.count
        // Where the next local header begins, or the end.
        let end =
            (start + 4..<whole.count - 4).first { Array(whole[$0..<$0 + 4]) == [0x50, 0x4B, 3, 4] } ?? whole.count
        let opcodes: [UInt8] = Array("().0123FIJKLMNRSTUVXabcdeghijloprstu}]QqGBC".utf8) + Array(0x80...0x98)
        for _ in 0..<4000 {
            var bytes = whole
            for _ in 0..<1 + random.next() % 3 {
                let place = start + Int(random.next() % UInt64(end - start))
                bytes[place] = opcodes[Int(random.next() % UInt64(opcodes.count))]
            }
            // No checksums anywhere: then none is checked.
            if start > 0 { ZipBytes.clearChecksums(&bytes) }
            _ = exercise(folder.write(bytes, "mutant.pt"))
        }
    }

    private func hex(_ bytes: [UInt8]) -> String {
        bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }
}
