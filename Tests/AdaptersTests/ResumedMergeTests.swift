import Adapters
import Architecture
import BundleFormat
import Bytes
import Foundation
import JSON
import Synchronization
import Tensors
import Testing

/// Merges that a full disk stopped, and that went on.
@Suite(.serialized) struct ResumedMergeTests {
    /// Where a pair's factors lie: it says which were read once the merge was under way, and fails at one of them.
    private final class Disk: Sendable {
        private struct State {
            var isWatching = false
            var failing: String?
            var read: [String] = []
        }
        private let state = Mutex(State())

        var read: [String] { state.withLock { $0.read } }

        func watch() { state.withLock { $0.isWatching = true } }

        func reset(failing: String?) { state.withLock { $0 = State(failing: failing) } }

        func fetch(_ path: String) throws(CrayonError) {
            let fails = state.withLock { state in
                guard state.isWatching else { return false }
                state.read.append(path)
                return state.failing == path
            }
            if fails { throw CrayonError(.io, in: path, found: "a disk that is full") }
        }

        func adapter(_ adapter: Adapter) -> Adapter {
            var adapter = adapter
            for (index, module) in adapter.modules.enumerated() {
                let a = module.a
                adapter.modules[index].a = AdapterFactor(name: a.name, type: a.type, shape: a.shape) {
                    () throws(CrayonError) in
                    try self.fetch(module.path)
                    return try a.tensor()
                }
            }
            return adapter
        }
    }

    private static func journal(of output: String) -> String {
        let url = URL(filePath: output)
        return url.deletingLastPathComponent().appending(path: ".\(url.lastPathComponent).crayon-resume/journal.jsonl")
            .path
    }

    private static func lineCount(_ path: String) -> Int {
        (FileManager.default.contents(atPath: path) ?? Data()).count { $0 == UInt8(ascii: "\n") }
    }

    /// Merges until the disk fails at a module, when all before it is on record.
    /// - Returns: how many weights that is.
    private func interrupt(
        _ base: any BaseModel, _ adapter: Adapter, at module: String, to output: String, _ options: MergeOptions,
        _ disk: Disk
    ) throws -> Int {
        disk.reset(failing: module)
        let count = Mutex(0)
        let journal = Self.journal(of: output)
        let error = crayonError {
            try Merges.merge(base, [(adapter, 1)], to: output, options: options) { progress in
                disk.watch()
                guard progress.tensor == "\(module).weight" else { return count.withLock { $0 += 1 } }
                for _ in 0..<20_000 where Self.lineCount(journal) <= count.withLock({ $0 }) { usleep(500) }
            }
        }
        #expect(error?.found == "a disk that is full")
        #expect(!FileManager.default.fileExists(atPath: output))
        #expect(Self.lineCount(journal) == 1 + count.withLock { $0 })
        return count.withLock { $0 }
    }

    /// Goes on, and says which modules were merged then.
    private func resume(
        _ base: any BaseModel, _ adapter: Adapter, to output: String, _ options: MergeOptions, _ disk: Disk
    ) throws -> (report: MergeReport, merged: [String]) {
        disk.reset(failing: nil)
        var options = options
        options.resumes = true
        let report = try Merges.merge(base, [(adapter, 1)], to: output, options: options) { _ in disk.watch() }
        var merged: [String] = []
        for path in disk.read where merged.last != path { merged.append(path) }
        return (report, merged)
    }

    /// Cuts the journal in the middle of its last line.
    private func tear(_ output: String) throws {
        let journal = Self.journal(of: output)
        let bytes = try MappedFile(path: journal).whole.array
        try AtomicFile.write(bytes.dropLast(7), to: journal)
    }

    /// A 4-bit bundle with a set and recorded answers: quant states, measures and probes all go through the journal.
    @Test(arguments: [false, true]) func bundle(torn: Bool) throws {
        let folder = try TemporaryFolder()
        let path = folder.file("base.crayon")
        let bundle = try Merges.bundle(path, adapters: [("style", Merges.style)], probes: [Merges.probe])
        let base = BundleBase(bundle)
        let disk = Disk()
        let adapter = disk.adapter(try openAdapter(path + ":style"))
        let output = folder.file("cut.crayon")
        var options = MergeOptions()
        options.recordStride = 1
        let whole = try Merges.merge(base, [(adapter, 1)], to: folder.file("whole.crayon"))
        let order = bundle.manifest.weights.filter { $0.part == .backbone }.map {
            $0.sourceName.replacing(".weight", with: "")
        }
        let works = order.filter { name in adapter.modules.contains { $0.path == name } }
        try #require(works.count == 12)
        let finished = try interrupt(base, adapter, at: works[7], to: output, options, disk)
        #expect(finished > 7)
        if torn { try tear(output) }
        let (report, merged) = try resume(base, adapter, to: output, options, disk)
        let last = bundle.manifest.weights.filter { $0.part != .adapters }[finished - 1].sourceName
        let tornWork = torn && last == "\(works[6]).weight"
        #expect(merged == Array(works[(tornWork ? 6 : 7)...]))
        #expect(report.layers == whole.layers)
        let contents = ["whole", "cut"].map { FileManager.default.contents(atPath: folder.file("\($0).crayon")) }
        #expect(contents[0] != nil && contents[0] == contents[1])
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        #expect(names == ["base.crayon", "cut.crayon", "whole.crayon"])
    }

    @Test(arguments: [false, true]) func shards(torn: Bool) throws {
        let folder = try TemporaryFolder()
        let base = try openBase(path: Merges.llama)
        let disk = Disk()
        let adapter = disk.adapter(try openAdapter(Merges.style))
        let output = folder.file("cut")
        var options = MergeOptions(into: .f32, shardLimit: 60_000)
        options.recordStride = 1
        let whole = try Merges.merge(base, [(adapter, 1)], to: folder.file("whole"), options: options)
        let order = base.weights.compactMap(\.module)
        let works = order.filter { name in adapter.modules.contains { $0.path == name } }
        let finished = try interrupt(base, adapter, at: works[7], to: output, options, disk)
        if torn { try tear(output) }
        // Other options are another job.
        var other = options
        other.resumes = true
        other.into = .bf16
        disk.reset(failing: nil)
        let error = crayonError { try Merges.merge(base, [(adapter, 1)], to: output, options: other) }
        #expect(error?.found.contains("an interrupted run with other inputs or options") == true)
        let (report, merged) = try resume(base, adapter, to: output, options, disk)
        let tornWork = torn && base.weights[finished - 1].module == works[6]
        #expect(merged == Array(works[(tornWork ? 6 : 7)...]))
        #expect(report.layers == whole.layers)
        var files = try ["whole", "cut"].map { try Merges.files(in: folder.file($0)) }
        #expect(files[0].keys.count { $0.hasSuffix(".safetensors") } > 3)
        // The report names its folder.
        for index in files.indices { files[index]["merge_report.json"] = nil }
        #expect(files[0] == files[1])
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() == ["cut", "whole"])
    }

    /// Whoever does not ask for the rest of an earlier run is told that it is gone.
    @Test func startedAnew() throws {
        let folder = try TemporaryFolder()
        let base = try openBase(path: Merges.llama)
        let disk = Disk()
        let adapter = disk.adapter(try openAdapter(Merges.style))
        var options = MergeOptions()
        options.recordStride = 1
        _ = try interrupt(
            base, adapter, at: "model.layers.1.self_attn.q_proj", to: folder.file("out"), options, disk)
        disk.reset(failing: nil)
        let report = try Merges.merge(base, [(adapter, 1)], to: folder.file("out"), options: options) { _ in
            disk.watch()
        }
        #expect(Set(disk.read).count == 12)
        #expect(report.warnings.contains { $0.contains("an interrupted run was thrown away") })
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["out"])
    }
}
