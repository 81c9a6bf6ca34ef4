public import Bytes
public import Checkpoints
import Kernels
import Synchronization
import Tensors

/// The tensors of a bundle's file and what its manifest says that they are, without the check that they hold together: for
/// bundles whose header is whole and whose data may not be.
public struct BundleContents: Sendable {
    public let file: SafetensorsFile
    public let manifest: BundleManifest

    /// - Throws: `CrayonError` for a file that cannot be read or is no bundle; `.corrupt` when the header's digest is not the
    ///   one that it states.
    public init(path: String) throws(CrayonError) {
        file = try SafetensorsFile(path: path)
        manifest = try Self.readManifest(of: file)
    }

    /// Of a bundle that holds together.
    public init(_ bundle: BundleReader) {
        file = bundle.safetensors
        manifest = bundle.manifest
    }

    /// Reads every byte of the data and compares each tensor's SHA-256 with the manifest's.
    ///
    /// With the header's digest, checked at open, this covers every byte of the file: any one that
    /// differs from what was written is found, and the tensor it lies in named.
    /// - Parameter progress: called from several threads with bytes done and in total; it should be quick.
    /// - Returns: the names of tensors that differ, in the order of the file; empty when all is well.
    public func differing(progress: (@Sendable (_ done: Int, _ total: Int) -> Void)? = nil) -> [String] {
        let names = file.names
        // A digest runs through its tensor from front to back, so the largest go first: one that began last
        // would keep a single core busy alone.
        let order = names.indices.sorted { size(names[$0]) > size(names[$1]) }
        let total = byteCount
        let done = Atomic<Int>(0)
        let bad = Mutex<Set<String>>([])
        Parallel.forEach(count: order.count) { index in
            let name = names[order[index]]
            guard let tensor = file.tensor(name), let range = file.range(of: name) else { return }
            let hasher = SHA256Hasher()
            let step = 1 << 22
            for start in stride(from: 0, to: tensor.region.count, by: step) {
                let count = min(step, tensor.region.count - start)
                file.mapping.willNeed(offset: range.lowerBound + start + count, count: step)
                hasher.update(tensor.region.slice(offset: start, count: count).buffer)
                file.mapping.dontNeed(offset: range.lowerBound + start, count: count)
                let now = done.add(count, ordering: .relaxed).newValue
                progress?(now, total)
            }
            if hasher.finish().description != manifest.digests[name] { bad.withLock { _ = $0.insert(name) } }
        }
        let different = bad.withLock { $0 }
        return names.filter(different.contains)
    }

    /// Bytes of all tensors.
    public var byteCount: Int { file.names.reduce(0) { $0 + size($1) } }

    private func size(_ name: String) -> Int { file.range(of: name)?.count ?? 0 }

    static func readManifest(of file: SafetensorsFile) throws(CrayonError) -> BundleManifest {
        guard let version = file.metadata(BundleNames.version) else {
            throw CrayonError(
                .unsupported, in: file.place, found: "a safetensors file that is no bundle",
                expected: "a .crayon bundle",
                advice: "Make one with 'crayon quantize'.")
        }
        guard version == String(BundleManifest.currentVersion) else {
            throw CrayonError(
                .unsupported, in: file.place, found: "bundle version '\(version.prefix(20))'",
                expected: "version \(BundleManifest.currentVersion)",
                advice: "Use the release of Crayon that wrote the bundle, or a later one.")
        }
        let header = file.mapping.region(offset: 0, count: file.dataOffset)
        guard BundleHeader.hasValidDigest(header.buffer) else {
            throw CrayonError(
                .corrupt, in: file.place, item: "header", found: "a digest that is not the one it states",
                advice: "The file was damaged or edited; make or copy it again, or try 'crayon repair'.")
        }
        guard let text = file.metadata(BundleNames.manifest) else {
            throw CrayonError(.malformed, in: file.place, item: "header", found: "no manifest")
        }
        return try BundleManifest(text: text, place: file.place)
    }
}
