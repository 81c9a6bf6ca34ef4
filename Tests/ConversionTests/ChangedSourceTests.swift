import BundleFormat
import Bytes
import Checkpoints
import Conversion
import Foundation
import Quantization
import Synchronization
import Testing

/// Sources that somebody overwrites in place while a job reads them: an error that names the file, and no output.
@Suite struct ChangedSourceTests {
    /// Flips a bit of the last byte, at its first call only.
    private static func change(of path: String) -> @Sendable () -> Void {
        // Times of change are as fine as the kernel's clock ticks.
        usleep(20_000)
        let isDone = Atomic(false)
        let box = Box(isDone)
        return {
            guard !box.isDone.exchange(true, ordering: .relaxed), let file = FileHandle(forUpdatingAtPath: path) else {
                return
            }
            let end = (try? file.seekToEnd()) ?? 1
            try? file.seek(toOffset: end - 1)
            let byte = (try? file.read(upToCount: 1))?.first ?? 0
            try? file.seek(toOffset: end - 1)
            try? file.write(contentsOf: Data([byte ^ 1]))
            try? file.close()
        }
    }

    private final class Box: Sendable {
        let isDone: Atomic<Bool>
        init(_ isDone: consuming Atomic<Bool>) { self.isDone = isDone }
    }

    /// What writes of a model in the first place to the second, and tells of its progress.
    enum Job: String, CaseIterable {
        case quantize, generic, convert, export, gguf

        var readsBundle: Bool { self == .export || self == .gguf }

        func run(_ source: String, to output: String, _ change: @escaping @Sendable () -> Void) throws {
            switch self {
            case .quantize:
                try ConversionTests.convert(CheckpointModel.open(source), to: output, progress: { _ in change() })
            case .generic:
                _ = try GenericQuantization(options: .init(quantizer: NF4Quantizer())).run(
                    source, to: output, progress: { _ in change() })
            case .convert: _ = try TensorConversion().run(source, to: output, progress: { _ in change() })
            case .export: _ = try Export(BundleReader(path: source)).run(to: output, progress: { _ in change() })
            case .gguf: _ = try GGUFExport(BundleReader(path: source)).run(to: output, progress: { _ in change() })
            }
        }
    }

    @Test(arguments: Job.allCases) func nothingIsMadeOfTwoStates(job: Job) throws {
        try withFolder { folder in
            try FileManager.default.createDirectory(atPath: "\(folder)/in", withIntermediateDirectories: true)
            try LlamaFolder().write(to: "\(folder)/in")
            var (source, changed) = ("\(folder)/in", "\(folder)/in/model.safetensors")
            if job.readsBundle {
                source = "\(folder)/in.crayon"
                changed = source
                try convert(CheckpointModel.open("\(folder)/in"), to: source)
            }
            let before = try Set(FileManager.default.contentsOfDirectory(atPath: folder))
            let change = Self.change(of: changed)
            let error = #expect(throws: CrayonError.self) { try job.run(source, to: "\(folder)/out", change) }
            #expect(error?.place == changed && error?.found == "the file changed while it was being read", "\(job)")
            #expect(try Set(FileManager.default.contentsOfDirectory(atPath: folder)) == before)
        }
    }
}
