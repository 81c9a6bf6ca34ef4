import Bytes
import Checkpoints
import Kernels
import Synchronization
import Tensors

extension BundleReader {
    /// Reads every byte of the data and compares each tensor's SHA-256 with the manifest's.
    ///
    /// With the header's digest, checked at open, this covers every byte of the file: any one that
    /// differs from what was written is found, and the tensor it lies in named.
    /// - Parameter progress: called from several threads with bytes done and in total; it should be quick.
    /// - Returns: the names of tensors that differ, in the order of the file; empty when all is well.
    public func verifyDigests(progress: (@Sendable (_ done: Int, _ total: Int) -> Void)? = nil) -> [String] {
        let names = safetensors.names
        // A digest runs through its tensor from front to back, so the largest go first: one that began last
        // would keep a single core busy alone.
        let order = names.indices.sorted { size(names[$0]) > size(names[$1]) }
        let total = names.reduce(0) { $0 + size($1) }
        let done = Atomic<Int>(0)
        let bad = Mutex<Set<String>>([])
        Parallel.forEach(count: order.count) { index in
            let name = names[order[index]]
            guard let tensor = safetensors.tensor(name), let range = safetensors.range(of: name) else { return }
            let hasher = SHA256Hasher()
            let step = 1 << 22
            for start in stride(from: 0, to: tensor.region.count, by: step) {
                let count = min(step, tensor.region.count - start)
                safetensors.mapping.willNeed(offset: range.lowerBound + start + count, count: step)
                hasher.update(tensor.region.slice(offset: start, count: count).buffer)
                safetensors.mapping.dontNeed(offset: range.lowerBound + start, count: count)
                let now = done.add(count, ordering: .relaxed).newValue
                progress?(now, total)
            }
            if hasher.finish().description != manifest.digests[name] { bad.withLock { _ = $0.insert(name) } }
        }
        let different = bad.withLock { $0 }
        return names.filter(different.contains)
    }

    private func size(_ name: String) -> Int { safetensors.range(of: name)?.count ?? 0 }
}
