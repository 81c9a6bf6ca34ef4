import Architecture
import Bytes
import Tensors

/// The tensors of a bundle before they are written: their order, and where padding goes.
///
/// Weights come first, in the manifest's order; then probes; then what has odd sizes and no need of
/// alignment: quant states and files. So padding tensors are rare: after a bias of odd length, say.
struct BundlePlan {
    struct Item {
        var name: String
        var type: ElementType
        /// Nil where only a bound on the bytes is known.
        var shape: Shape?
        var byteBound: Int
        var isAligned: Bool
        var section: String
    }

    /// No quant state is longer: seven short keys, numbers of at most 24 characters, a shape.
    static func quantStateBound(rank: Int) -> Int { 320 + 24 * rank }

    private(set) var items: [Item] = []

    init(manifest: BundleManifest, probes: [BundleProbe], files: [(name: String, count: Int)]) {
        var trailing: [Item] = []
        var offset = 0  // modulo the alignment, which is all that is certain once a packed tensor has passed
        var padding = 0
        func add(_ item: Item) {
            let misfit = offset % BundleHeader.tensorAlignment
            if item.isAligned, misfit != 0 {
                let count = BundleHeader.tensorAlignment - misfit
                items.append(
                    Item(
                        name: BundleNames.padding(padding), type: .u8, shape: Shape([count]), byteBound: count,
                        isAligned: false, section: "padding"))
                padding += 1
                offset += count
            }
            items.append(item)
            // A packed tensor has a multiple of 64 bytes whatever its size.
            offset += item.shape.map { $0.count * item.type.byteCount } ?? 0
        }
        for weight in manifest.weights {
            for component in weight.coding.components {
                let bound: Int
                if let shape = component.shape {
                    bound = shape.count * component.type.byteCount
                } else if weight.coding.kind == .packed {
                    bound = PackedTensor.upperBound(
                        type: weight.coding.type, count: Shape(weight.coding.shape).count,
                        blockElements: weight.coding.blockSize ?? 1)
                } else {
                    bound = Self.quantStateBound(rank: weight.coding.shape.count)
                }
                let item = Item(
                    name: weight.name + component.suffix, type: component.type, shape: component.shape,
                    byteBound: bound, isAligned: component.isAligned, section: weight.part.rawValue)
                if component.isAligned { add(item) } else { trailing.append(item) }
            }
        }
        for probe in probes {
            for (field, tensor) in probe.tensors {
                add(
                    Item(
                        name: BundleNames.probe(probe.name, field), type: tensor.type, shape: tensor.shape,
                        byteBound: tensor.region.count, isAligned: true, section: "probes"))
            }
        }
        for (name, count) in files {
            trailing.append(
                Item(
                    name: BundleNames.file(name), type: .u8, shape: Shape([count]), byteBound: count,
                    isAligned: false, section: "files"))
        }
        items += trailing
    }

    /// A header that is at least as long as the final one: every size at its bound.
    func headerBound(manifest: BundleManifest) -> Int {
        var manifest = manifest
        var entries: [BundleHeader.Entry] = []
        var end = 0
        for item in items {
            let begin = end
            end += item.byteBound
            entries.append(
                .init(
                    name: item.name, type: item.type, dims: item.shape?.dims ?? [item.byteBound], begin: begin, end: end
                ))
            manifest.digests[item.name] = BundleHeader.zeroDigest
        }
        manifest.sections = sections(sizes: items.map(\.byteBound))
        // No double has a longer text.
        for index in manifest.probes.indices { manifest.probes[index].relativeError = -2.2250738585072014e-308 }
        return BundleHeader.text(manifest: manifest, entries: entries).count
    }

    /// Sums by section, in order of first appearance.
    func sections(sizes: [Int]) -> [BundleSection] {
        var sections: [BundleSection] = []
        for (item, size) in zip(items, sizes) {
            if let index = sections.firstIndex(where: { $0.name == item.section }) {
                sections[index].tensors += 1
                sections[index].bytes += size
            } else {
                sections.append(BundleSection(name: item.section, tensors: 1, bytes: size))
            }
        }
        return sections
    }
}
