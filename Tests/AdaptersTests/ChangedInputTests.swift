import Adapters
import Bytes
import Foundation
import Synchronization
import Tensors
import Testing

/// Inputs that somebody overwrites in place while a job reads them: nobody can tell which of the two states went into what was made,
/// so there is none.
@Suite(.serialized) struct ChangedInputTests {
    /// Flips a bit of the last byte once, as soon as the job has begun.
    private final class Change: Sendable {
        private let path: String
        private let isDone = Mutex(false)

        init(of path: String) {
            self.path = path
            // Times of change are as fine as the kernel's clock ticks.
            usleep(20_000)
        }

        func make() {
            let isFirst = isDone.withLock { done in
                defer { done = true }
                return !done
            }
            guard isFirst, let file = FileHandle(forUpdatingAtPath: path) else { return }
            let end = (try? file.seekToEnd()) ?? 1
            try? file.seek(toOffset: end - 1)
            let byte = (try? file.read(upToCount: 1))?.first ?? 0
            try? file.seek(toOffset: end - 1)
            try? file.write(contentsOf: Data([byte ^ 1]))
            try? file.close()
        }
    }

    private func copy(_ source: String, to target: String) throws {
        try FileManager.default.copyItem(atPath: source, toPath: target)
    }

    private func expectRefused(_ folder: TemporaryFolder, changed: String, _ body: () throws -> Void) throws {
        let before = try Set(FileManager.default.contentsOfDirectory(atPath: folder.path))
        let error = crayonError(body)
        #expect(error?.place == changed && error?.found == "the file changed while it was being read")
        // Neither the output nor anything to go on with.
        #expect(try Set(FileManager.default.contentsOfDirectory(atPath: folder.path)) == before)
    }

    enum Input: CaseIterable { case base, adapter, source }

    @Test(arguments: Input.allCases) func mergeOfABundle(changed: Input) throws {
        let folder = try TemporaryFolder()
        _ = try Merges.bundle(folder.file("base.crayon"))
        try copy(Merges.style, to: folder.file("style"))
        try copy(Merges.llama, to: folder.file("source"))
        let path =
            switch changed {
            case .base: folder.file("base.crayon")
            case .adapter: folder.file("style/adapter_model.safetensors")
            case .source: folder.file("source/model-00002-of-00003.safetensors")
            }
        let change = Change(of: path)
        let options = MergeOptions(source: changed == .source ? try openBase(path: folder.file("source")) : nil)
        try expectRefused(folder, changed: path) {
            try Merges.merge(
                folder.file("base.crayon"), [folder.file("style")], to: folder.file("out.crayon"), options: options,
                progress: { _ in change.make() })
        }
    }

    /// Into a folder, and on the way into a bundle.
    @Test(arguments: ["out", "out.crayon"], [Input.base, .adapter])
    func mergeOfACheckpoint(output: String, changed: Input) throws {
        let folder = try TemporaryFolder()
        try copy(Merges.llama, to: folder.file("base"))
        try copy(Merges.style, to: folder.file("style"))
        let path =
            changed == .base
            ? folder.file("base/model-00001-of-00003.safetensors") : folder.file("style/adapter_model.safetensors")
        let change = Change(of: path)
        try expectRefused(folder, changed: path) {
            try Merges.merge(
                folder.file("base"), [folder.file("style")], to: folder.file(output),
                progress: { _ in change.make() })
        }
    }

    @Test(arguments: ["base", "tuned"]) func extraction(changed: String) throws {
        let folder = try TemporaryFolder()
        let old = ExtractionTests.base()
        let new = zip(old, ExtractionTests.change(rank: 2, scale: 0.01)).map { $0 + $1 }
        let base = try ExtractionTests.checkpoint([ExtractionTests.tensor(old)], in: folder, "base")
        let tuned = try ExtractionTests.checkpoint([ExtractionTests.tensor(new)], in: folder, "tuned")
        let path = folder.file("\(changed)/model.safetensors")
        let change = Change(of: path)
        try expectRefused(folder, changed: path) {
            _ = try Extraction(base: base, tuned: tuned, options: ExtractionOptions()).run(
                to: folder.file("out"), progress: { _ in change.make() })
        }
    }

    /// A set that goes into a bundle, and a folder that is made of one.
    @Test func setsAndFolders() throws {
        let folder = try TemporaryFolder()
        let bundle = try Merges.bundle(folder.file("base.crayon"))
        try copy(Merges.style, to: folder.file("style"))
        let path = folder.file("style/adapter_model.safetensors")
        let adapter = try openAdapter(folder.file("style"))
        var change = Change(of: path)
        try expectRefused(folder, changed: path) {
            var rewrite = BundleRewrite(bundle)
            try rewrite.add(adapter, as: "style")
            try rewrite.write(
                to: folder.file("out.crayon"), kind: "add", sets: [("style", adapter)],
                progress: { _, _, _ in change.make() })
        }
        let again = try openAdapter(folder.file("style"))
        change = Change(of: path)
        try expectRefused(folder, changed: path) {
            try PEFTFolder.write(again, to: folder.file("out"), progress: { _, _, _ in change.make() })
        }
    }
}
