import BundleFormat
import Bytes
import Checkpoints
import Tensors

/// Puts the bytes of damaged tensors back in a copy of a bundle, each proved by its digest.
struct TensorRestorer {
    let contents: BundleContents
    let file: AtomicFile
    private(set) var restored: [BundleRepair.Report.Restored] = []
    /// What nothing has restored yet, in the order of the file.
    private(set) var lost: [String]
    private let damaged: Set<String>
    /// With the table of each copy whose header is whole.
    private let copies: [(file: DamagedFile, contents: BundleContents?)]

    init(contents: BundleContents, file: AtomicFile, differing: [String], copies: [DamagedFile]) {
        self.contents = contents
        self.file = file
        self.copies = copies.map { ($0, try? BundleContents(path: $0.path)) }
        lost = differing
        damaged = Set(differing)
    }

    /// From the bundle itself, where the digest says what the bytes are, else from another copy.
    mutating func restore(_ name: String) throws(CrayonError) {
        guard let range = contents.file.range(of: name), let digest = contents.manifest.digests[name] else { return }
        // Padding; tables of levels are the same in every weight.
        if range.count < 64, try put([UInt8](repeating: 0, count: range.count), as: name, from: "padding") { return }
        let twin = contents.file.names.first { other in
            contents.manifest.digests[other] == digest && !damaged.contains(other)
                && contents.file.range(of: other)?.count == range.count
        }
        if let twin, let region = contents.file.tensor(twin)?.region, try put(region.array, as: name, from: "'\(twin)'")
        {
            return
        }
        for (copy, other) in copies {
            // A copy of the same bundle has it at the same place; another bundle may have it elsewhere.
            for place in [range, other?.file.range(of: name)].compactMap(\.self) where place.count == range.count {
                let bytes = copy.bytes(at: place.lowerBound, count: place.count)
                if try put(bytes, as: name, from: copy.path) { return }
            }
        }
    }

    /// From what the bundle was made from: weights are converted again, carried files read again.
    mutating func restore(from source: CheckpointModel) throws(CrayonError) {
        for file in source.files {
            let name = BundleNames.file(file.name)
            if lost.contains(name) { _ = try put(file.region.array, as: name, from: source.place) }
        }
        for weight in contents.manifest.weights {
            let names = weight.coding.components.map { weight.name + $0.suffix }
            guard names.contains(where: lost.contains), let made = try remake(weight, source) else { continue }
            for name in names where lost.contains(name) {
                if let region = made.tensor(name)?.region { _ = try put(region.array, as: name, from: source.place) }
            }
        }
    }

    /// The tensors of a weight that is converted again; nil where the source has none such, or refuses.
    private func remake(_ weight: BundleWeight, _ source: CheckpointModel) throws(CrayonError) -> SafetensorsFile? {
        guard let binding = source.bindings.first(where: { $0.role == weight.role }) else { return nil }
        let scratch = "\(file.temporaryPath)-weight"
        do throws(CrayonError) {
            return try WeightRemake(weight: weight, binding: binding, model: source).run(scratch: scratch)
        } catch  where error.code != .io {
            return nil
        }
    }

    private mutating func put(_ bytes: [UInt8], as name: String, from place: String) throws(CrayonError) -> Bool {
        guard let range = contents.file.range(of: name), bytes.count == range.count,
            SHA256Digest.of(bytes).description == contents.manifest.digests[name]
        else { return false }
        try file.write(bytes, at: range.lowerBound)
        lost.removeAll { $0 == name }
        restored.append(.init(name: name, from: place))
        return true
    }
}
