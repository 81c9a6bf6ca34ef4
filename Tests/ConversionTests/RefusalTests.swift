import BundleFormat
import Bytes
import Checkpoints
import Conversion
import Foundation
import Quantization
import Synchronization
import Tensors
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

private let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/models").path

/// What cannot be converted is named, and leaves nothing behind.
@Suite struct RefusalTests {
    /// Converts a checkpoint that must be refused.
    private func refusal(
        _ checkpoint: LlamaFolder, _ assignments: [String], line: Int = #line
    ) throws -> CrayonError {
        try withFolder { folder in
            try checkpoint.write(to: folder)
            let before = try contents(of: folder)
            let model = try CheckpointModel.open(folder)
            let error = #expect(throws: CrayonError.self) { try convert(model, to: "\(folder)/m.crayon", assignments) }
            #expect(try contents(of: folder) == before)
            return try #require(error)
        }
    }

    @Test(
        arguments: [Float.nan, -.infinity, .infinity],
        ["nf4", "int8", "source", "f32", "bf16", "f16"])
    func notFinite(value: Float, format: String) throws {
        for (type, index) in [(ElementType.f32, 0), (.bf16, 201), (.f16, 255), (.f64, 64)] {
            let checkpoint = LlamaFolder(type: type, replaced: [LlamaFolder.query: [index: value]])
            let error = try refusal(checkpoint, ["backbone=\(format)"])
            #expect(error.code == .notFinite)
            #expect(error.item == "tensor '\(LlamaFolder.query)'")
            #expect(error.found.contains("at index \(index)"), "\(error)")
            #expect(error.place.hasSuffix("model.safetensors"))
        }
    }

    /// The first of several in a tensor of several chunks, whichever thread meets which.
    @Test(arguments: ["nf4", "int8", "source"]) func firstOfSeveral(format: String) throws {
        let places = [1_500_000, 1_500_001, 3_000_000].map { ($0, Float.nan) }
        let checkpoint = LlamaFolder(
            vocabulary: 4000, hidden: 1000,
            replaced: ["model.embed_tokens.weight": Dictionary(uniqueKeysWithValues: places)])
        let error = try refusal(checkpoint, ["embeddings=\(format)", "backbone=source"])
        #expect(error.found.contains("at index 1500000"), "\(error)")
    }

    @Test func tooLargeForHalf() throws {
        let checkpoint = LlamaFolder(type: .f32, replaced: [LlamaFolder.query: [77: 65_520]])
        let error = try refusal(checkpoint, ["backbone=f16"])
        #expect(error.code == .notFinite && error.item == "tensor '\(LlamaFolder.query)'")
        #expect(error.found.contains("index 77, too large for F16"), "\(error)")
        // One less rounds to the largest that there is.
        try withFolder { folder in
            try LlamaFolder(type: .f32, replaced: [LlamaFolder.query: [77: 65_519]]).write(to: folder)
            try convert(CheckpointModel.open(folder), to: "\(folder)/m.crayon", ["backbone=f16"])
        }
    }

    @Test func doublesPastFloat32() throws {
        try withFolder { folder in
            try LlamaFolder(type: .f64).write(to: folder)
            let file = "\(folder)/model.safetensors"
            let range = try #require(try SafetensorsFile(path: file).range(of: LlamaFolder.query))
            var bytes = try Data(contentsOf: URL(filePath: file))
            withUnsafeBytes(of: 1e300) { bytes.replaceSubrange(range.lowerBound + 8..<range.lowerBound + 16, with: $0) }
            try bytes.write(to: URL(filePath: file))
            for format in ["nf4", "int8", "f32"] {
                let error = #expect(throws: CrayonError.self) {
                    try convert(CheckpointModel.open(folder), to: "\(folder)/m.crayon", ["backbone=\(format)"])
                }
                #expect(error?.code == .notFinite)
                #expect(error?.description.contains("index 1") == true, "\(format): \(String(describing: error))")
            }
            try convert(CheckpointModel.open(folder), to: "\(folder)/m.crayon", ["backbone=source"])
        }
    }

    @Test func sourceThatChangesMeanwhile() throws {
        try withFolder { folder in
            try LlamaFolder().write(to: folder)
            let file = "\(folder)/model.safetensors"
            let model = try CheckpointModel.open(folder)
            let done = Atomic<Bool>(false)
            let error = #expect(throws: CrayonError.self) {
                try convert(model, to: "\(folder)/m.crayon") { progress in
                    guard progress.stage == .converting, !done.exchange(true, ordering: .relaxed) else { return }
                    // The same bytes at a later time: some program is at work on the file.
                    guard let handle = FileHandle(forUpdatingAtPath: file) else { return }
                    try? handle.write(contentsOf: Data([0]))
                    try? handle.close()
                }
            }
            #expect(error?.code == .mismatch && error?.place == file)
            #expect(error?.found.contains("changed") == true)
            #expect(try Set(contents(of: folder).keys) == ["config.json", "model.safetensors"])
        }
    }

    @Test func placesThatNoBundleCanTake() throws {
        let model = try CheckpointModel.open("\(fixtures)/llama")
        try withFolder { (folder) throws -> Void in
            let absent = #expect(throws: CrayonError.self) { try convert(model, to: "\(folder)/none/m.crayon") }
            #expect(absent?.code == .missing && absent?.place == "\(folder)/none/m.crayon")
            let isFolder = #expect(throws: CrayonError.self) { try convert(model, to: folder) }
            #expect(isFolder?.code == .usage && isFolder?.found == "a folder")
            #expect(try contents(of: folder).isEmpty)
        }
    }

    /// What was there before stays until the new one is whole.
    @Test func anEarlierBundleStaysOnFailure() throws {
        try withFolder { folder in
            try LlamaFolder(replaced: [LlamaFolder.query: [3: .nan]]).write(to: folder)
            try Data("earlier".utf8).write(to: URL(filePath: "\(folder)/m.crayon"))
            #expect(throws: CrayonError.self) { try convert(CheckpointModel.open(folder), to: "\(folder)/m.crayon") }
            #expect(try contents(of: folder)["m.crayon"] == Data("earlier".utf8))
        }
    }

    /// A limit on the size of files stands for a disk that is full: `pwrite` fails in the same way.
    @Test func fullDisk() async throws {
        await #expect(processExitsWith: .success) {
            try withFolder { folder in
                let checkpoint = "\(folder)/in"
                try FileManager.default.createDirectory(atPath: checkpoint, withIntermediateDirectories: true)
                try LlamaFolder(vocabulary: 4000, hidden: 1000).write(to: checkpoint)
                let model = try CheckpointModel.open(checkpoint)
                signal(SIGXFSZ, SIG_IGN)
                var limit = rlimit(rlim_cur: 1_000_000, rlim_max: 1_000_000)
                #if canImport(Glibc)
                    setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
                #else
                    setrlimit(RLIMIT_FSIZE, &limit)
                #endif
                do {
                    try convert(model, to: "\(folder)/m.crayon")
                    exit(2)
                } catch let error as CrayonError {
                    guard error.code == .io, error.place == "\(folder)/m.crayon" else { exit(3) }
                }
                guard try FileManager.default.contentsOfDirectory(atPath: folder) == ["in"] else { exit(4) }
            }
        }
    }

    @Test(arguments: ["backbone", "backbone=fp4", "heads=nf4", "=nf4", ""]) func precisionThatIsNone(_ text: String) {
        var plan = PrecisionPlan()
        let error = #expect(throws: CrayonError.self) { try plan.apply(text) }
        #expect(error?.code == .usage)
        #expect(error?.expected?.contains("crayon") == true && error?.expected?.contains("source") == true)
    }

    @Test func twoProbesOfOneName() throws {
        let model = try CheckpointModel.open("\(fixtures)/llama")
        let error = #expect(throws: CrayonError.self) {
            try ProbeInputs.collect(["builtin", "builtin"], for: model.configuration)
        }
        #expect(error?.code == .usage)
    }
}
