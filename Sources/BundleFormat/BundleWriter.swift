public import Bytes
public import Checkpoints
import Tensors

/// Writes a bundle front to back: tensors are streamed in the manifest's order, the header goes in last.
///
/// Packed tensors have sizes that are known only when they are written, and the header stands before them
/// and has to say them; so room for it is reserved from a bound on its length, and padded with spaces.
/// Not for use by several threads: whoever produces tensors in parallel hands them over in order.
public final class BundleWriter {
    public let path: String
    private var manifest: BundleManifest
    private let plan: BundlePlan
    private let probes: [BundleProbe]
    private let files: [AuxiliaryFile]
    private let dataOffset: Int
    private let file: AtomicFile
    private var sizes: [Int] = []
    private var hasher = SHA256Hasher()
    /// Bytes of the current item, and of all before it.
    private var currentCount = 0
    private var position = 0
    private var quantStates: [String: [UInt8]] = [:]

    /// - Parameters:
    ///   - manifest: model, history and weights; files, probes, sections and digests are filled in here. The
    ///     history may change until `finish`, as long as it does not grow.
    ///   - kept: where the bytes go before `finish`, to be found again by a run that goes on; see `AtomicFile`.
    /// - Throws: `CrayonError` when a name is taken twice or reserved, a coding makes no sense, the header
    ///   would be larger than readers accept, or the file cannot be created.
    public init(
        path: String, manifest: BundleManifest, files: [AuxiliaryFile] = [], probes: [BundleProbe] = [],
        keptAt kept: String? = nil
    ) throws(CrayonError) {
        self.path = path
        self.files = files
        self.probes = probes
        var manifest = manifest
        manifest.files = files.map(\.name)
        manifest.probes = probes.map(\.entry)
        self.manifest = manifest
        for weight in manifest.weights {
            if let problem = weight.coding.problem {
                throw CrayonError(.usage, in: path, item: "tensor '\(weight.name)'", found: problem)
            }
            guard !BundleNames.isReserved(weight.name) else {
                throw CrayonError(.usage, in: path, item: "tensor '\(weight.name)'", found: "a reserved name")
            }
        }
        for file in files where !BundleNames.isSafePath(file.name) {
            throw CrayonError(
                .usage, in: path, item: "file '\(file.name)'", found: "a name that is no path below a folder")
        }
        plan = BundlePlan(manifest: manifest, probes: probes, files: files.map { ($0.name, $0.region.count) })
        var names: Set<String> = []
        for item in plan.items where !names.insert(item.name).inserted {
            throw CrayonError(
                .usage, in: path, item: "tensor '\(item.name)'", found: "a name that two tensors would have")
        }
        let bound = 8 + plan.headerBound(manifest: manifest)
        dataOffset = (bound + BundleHeader.dataAlignment - 1) / BundleHeader.dataAlignment * BundleHeader.dataAlignment
        guard dataOffset <= BundleHeader.byteLimit else {
            throw CrayonError(
                .unsupported, in: path, item: "header", found: "\(dataOffset) bytes",
                expected: "at most \(BundleHeader.byteLimit)")
        }
        file = try AtomicFile(path: path, keptAt: kept)
    }

    /// Bytes of tensors written so far, the current one included.
    public var bytesWritten: Int { position + currentCount }

    /// Appends bytes to a weight's tensor. Tensors are filled one after the other in the manifest's order,
    /// each weight's in the order of `BundleCoding.components`; quant states go through `setQuantState`.
    /// - Precondition: the tensor is the current one or the next, and has room.
    public func append(_ bytes: UnsafeRawBufferPointer, to name: String) throws(CrayonError) {
        try advance(to: name)
        try put(bytes)
    }

    /// Appends a region, which is kept alive while it is read.
    public func append(_ region: ByteRegion, to name: String) throws(CrayonError) {
        defer { withExtendedLifetime(region) {} }
        try append(region.buffer, to: name)
    }

    public func append(_ bytes: [UInt8], to name: String) throws(CrayonError) {
        try append(ByteRegion(copying: bytes), to: name)
    }

    /// The text that describes a quantized weight; written at the end, since its size is odd.
    /// - Precondition: the weight is quantized.
    public func setQuantState(_ bytes: [UInt8], of weight: BundleWeight) {
        guard let suffix = weight.coding.quantStateSuffix else {
            preconditionFailure("'\(weight.name)' is not quantized")
        }
        quantStates[weight.name + suffix] = bytes
    }

    /// Writes probes, files, quant states and the header, and makes the file visible.
    /// - Parameters:
    ///   - history: the final history, when it was not known at the start.
    ///   - measure: given the bundle as it stands, not yet visible, the relative error that it reaches on its probes, by
    ///     name; it goes into the manifest.
    /// - Returns: the manifest as written.
    @discardableResult
    public func finish(
        history: [BundleStep]? = nil, measure: ((BundleReader) throws(CrayonError) -> [String: Double])? = nil
    ) throws(CrayonError) -> BundleManifest {
        if let history { manifest.history = history }
        for probe in probes {
            for (field, tensor) in probe.tensors {
                try append(tensor.region, to: BundleNames.probe(probe.name, field))
            }
        }
        for item in plan.items.suffix(from: min(sizes.count, plan.items.count)) {
            if let state = quantStates[item.name] { try append(state, to: item.name) }
            if let file = files.first(where: { BundleNames.file($0.name) == item.name }) {
                try append(file.region, to: item.name)
            }
        }
        // What is left has no bytes: tensors with an extent of zero.
        while sizes.count < plan.items.count { try close() }
        manifest.sections = plan.sections(sizes: sizes)
        try writeHeader()
        if let measure {
            let errors = try measure(BundleReader(path: file.temporaryPath))
            for index in manifest.probes.indices {
                manifest.probes[index].relativeError = errors[manifest.probes[index].name]
            }
            try writeHeader()
        }
        try file.commit()
        return manifest
    }

    // MARK: Going on with an interrupted run

    /// What has been written up to the end of a weight, for a run that goes on from a kept file.
    public struct Progress: Equatable, Sendable {
        /// Bytes and SHA-256 of each tensor so far, padding included.
        public var sizes: [Int]
        public var digests: [String]
        /// The texts that describe quantized weights, which are written at the end.
        public var quantStates: [String: String]

        public init(sizes: [Int] = [], digests: [String] = [], quantStates: [String: String] = [:]) {
            self.sizes = sizes
            self.digests = digests
            self.quantStates = quantStates
        }
    }

    /// Ends the current tensor and waits until all of it is on disk.
    /// - Precondition: the last weight that was begun has been written in full.
    public func seal() throws(CrayonError) -> Progress {
        if currentCount > 0 { try close() }
        try file.flush()
        return Progress(
            sizes: sizes, digests: sizes.indices.map { manifest.digests[plan.items[$0].name] ?? "" },
            quantStates: quantStates.mapValues { String(decoding: $0, as: UTF8.self) })
    }

    /// Whether the kept file is long enough for what an interrupted run had written. One that is not is another: the run
    /// was over, and the file had come into place.
    public func holds(_ progress: Progress) -> Bool {
        let count = progress.sizes.reduce(0, +)
        return count == 0 || progress.sizes.count <= plan.items.count && file.keptCount >= dataOffset + count
    }

    /// Goes on after what an interrupted run had written to the same kept file.
    /// - Precondition: nothing has been appended, and the progress is of a writer made with the same arguments.
    public func resume(_ progress: Progress) {
        precondition(sizes.isEmpty && currentCount == 0 && progress.sizes.count <= plan.items.count)
        precondition(progress.sizes.count == progress.digests.count)
        for (index, digest) in progress.digests.enumerated() { manifest.digests[plan.items[index].name] = digest }
        sizes = progress.sizes
        position = progress.sizes.reduce(0, +)
        quantStates = progress.quantStates.mapValues { Array($0.utf8) }
    }

    private func writeHeader() throws(CrayonError) {
        var entries: [BundleHeader.Entry] = []
        var end = 0
        for (item, size) in zip(plan.items, sizes) {
            entries.append(
                .init(name: item.name, type: item.type, dims: item.shape?.dims ?? [size], begin: end, end: end + size))
            end += size
        }
        let text = BundleHeader.text(manifest: manifest, entries: entries)
        try file.write(BundleHeader.bytes(text: text, dataOffset: dataOffset), at: 0)
    }

    /// Closes items up to the one of that name, filling in padding.
    private func advance(to name: String) throws(CrayonError) {
        while plan.items[sizes.count].name != name {
            try close()
            precondition(sizes.count < plan.items.count, "tensor '\(name)' is not declared, or out of order")
        }
    }

    private func put(_ bytes: UnsafeRawBufferPointer) throws(CrayonError) {
        precondition(currentCount + bytes.count <= plan.items[sizes.count].byteBound)
        try file.write(bytes, at: dataOffset + position + currentCount)
        hasher.update(bytes)
        currentCount += bytes.count
    }

    private func close() throws(CrayonError) {
        let item = plan.items[sizes.count]
        if item.section == "padding" {
            let zeros = ByteRegion(copying: [UInt8](repeating: 0, count: item.byteBound))
            try put(zeros.buffer)
            withExtendedLifetime(zeros) {}
        }
        precondition(
            item.shape == nil || currentCount == item.byteBound,
            "tensor '\(item.name)' got \(currentCount) of \(item.byteBound) bytes")
        manifest.digests[item.name] = hasher.finish().description
        hasher = SHA256Hasher()
        sizes.append(currentCount)
        position += currentCount
        currentCount = 0
    }
}
