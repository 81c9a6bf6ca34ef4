import BundleFormat
public import Bytes
public import Checkpoints
import Tensors

/// Restores a damaged bundle, tensor by tensor, to the bytes that it was written with.
///
/// What is right is proved by digests alone: the header's own, then each tensor's. So a copy may be damaged elsewhere, a
/// source may be another than it was, and neither can make the result wrong. A bundle that is not whole in the end is not
/// written: every tensor of one is needed to run it.
public struct BundleRepair: Sendable {
    /// Other copies of the bundle, in the order in which they are asked.
    public var copies: [String]
    /// What the bundle was made from.
    public var source: CheckpointModel?

    public init(copies: [String] = [], source: CheckpointModel? = nil) {
        self.copies = copies
        self.source = source
    }

    /// What was done; its JSON form is what `crayon repair --json` prints.
    public struct Report: Codable, Sendable {
        public struct Restored: Codable, Sendable {
            /// A tensor's name, or `header`.
            public var name: String
            /// The file that the bytes come from, or where else.
            public var from: String
        }

        public var bundle: String
        public var output: String
        public var restored: [Restored]
        /// Tensors that nothing at hand could restore, or `header`.
        public var lost: [String]
        /// Whether the output was written: it is the bundle as it was made.
        public var passed: Bool
    }

    /// How far a repair is.
    public struct Progress: Sendable {
        public enum Stage: String, Sendable {
            case copying = "copying"
            case checking = "reading every byte"
            case restoring = "restoring"
        }
        public var stage: Stage
        public var done: Int
        public var total: Int
    }

    /// Bytes that are copied at a time.
    private static let step = 4 << 20

    /// Writes what the bundle at `path` was to `output`, which may be the same.
    /// - Parameter progress: called from several threads; it should be quick.
    /// - Throws: `CrayonError` for files that cannot be read or written, and a bundle of another version.
    public func run(
        path: String, output: String, progress: @escaping @Sendable (Progress) -> Void = { _ in }
    ) throws(CrayonError) -> Report {
        let damaged = try DamagedFile(path: path)
        let others = try copies.map { (copy) throws(CrayonError) in try DamagedFile(path: copy) }
        var report = Report(bundle: path, output: output, restored: [], lost: [], passed: false)
        guard let header = try header(of: damaged, others, &report) else {
            report.lost = ["header"]
            return report
        }
        let file = try AtomicFile(path: output)
        try file.write(header, at: 0)
        // A header of the right length stands before the data, whatever was written over it.
        for start in stride(from: header.count, to: damaged.count, by: Self.step) {
            try file.write(damaged.bytes(at: start, count: min(Self.step, damaged.count - start)), at: start)
            progress(Progress(stage: .copying, done: start, total: damaged.count))
        }
        let end = try Self.dataEnd(header, in: file)
        try file.setCount(end)

        let contents = try BundleContents(path: file.temporaryPath)
        let check = { @Sendable (done: Int, total: Int) in
            progress(Progress(stage: .checking, done: done, total: total))
        }
        let differing = contents.differing(progress: check)
        var restorer = TensorRestorer(contents: contents, file: file, differing: differing, copies: others)
        for (index, name) in differing.enumerated() {
            progress(Progress(stage: .restoring, done: index, total: differing.count))
            try restorer.restore(name)
        }
        if let source { try restorer.restore(from: source) }
        report.restored += restorer.restored
        report.lost = restorer.lost
        guard report.lost.isEmpty else { return report }

        let whole = try BundleReader(path: file.temporaryPath)
        report.lost = whole.verifyDigests(progress: check)
        guard report.lost.isEmpty else { return report }
        try file.commit()
        report.passed = true
        return report
    }

    /// The header as it was written: the bundle's own, whole or rebuilt; else that of a copy.
    private func header(
        of damaged: DamagedFile, _ others: [DamagedFile], _ report: inout Report
    ) throws(CrayonError) -> [UInt8]? {
        let state = BundleHeaderState(of: damaged)
        if let bytes = state.bytes {
            if let part = state.damage {
                report.restored.append(.init(name: "header", from: "rebuilt: \(part.rawValue)"))
            }
            return bytes
        }
        let whole = others.compactMap { other in BundleHeaderState(of: other).bytes.map { (other.path, $0) } }
        for (path, bytes) in whole where BundleHeaderState.isOnce(bytes, headerOf: damaged) {
            report.restored.append(.init(name: "header", from: path))
            return bytes
        }
        guard let other = whole.first else { return nil }
        throw CrayonError(
            .mismatch, in: damaged.path, item: "header",
            found: "a damaged one that does not look like that of '\(other.0)'", expected: "a copy of the same bundle",
            advice: "If it is one, take the copy: 'crayon verify' says whether it holds.")
    }

    /// Where the last tensor ends: the table is read from a file that reaches far enough, whatever its size was.
    private static func dataEnd(_ header: [UInt8], in file: AtomicFile) throws(CrayonError) -> Int {
        guard let size = BundleHeaderState.dataSize(header) else {
            throw CrayonError(.malformed, in: file.path, item: "header", found: "no table of tensors")
        }
        return header.count + size
    }
}
