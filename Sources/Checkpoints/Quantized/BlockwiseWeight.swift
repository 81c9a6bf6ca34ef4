import Bytes
import Quantization
import Tensors

/// A weight that bitsandbytes saved in 4 bits, NF4 or FP4, with or without double quantization, its codes under any
/// `quant_storage`.
struct BlockwiseWeight: QuantizedWeight {
    let entry: TensorEntry
    let components: [String]
    private let value: NF4Tensor

    /// - Parameter module: the path of the module; the codes are its `weight`.
    init(_ module: String, in stored: any Checkpoint) throws(CrayonError) {
        let name = module + ".weight"
        let value = try NF4Tensor(named: name, place: stored.file(of: name)) { (name) throws(CrayonError) in
            try stored.tensor(name)
        }
        components = [name] + NF4Tensor.Component.allCases.map { name + $0.rawValue }.filter { stored.entry($0) != nil }
        let (byteCount, offset) = Self.extent(components, in: stored)
        entry = TensorEntry(
            name: name, type: value.sourceType, shape: value.shape, encoding: value.quantType.rawValue,
            keepsCodes: true, byteCount: byteCount, offset: offset)
        self.value = value
    }

    func tensor() throws(CrayonError) -> Tensor {
        StoredWeight.nf4(value).tensor(named: entry.name, as: entry.type)
    }

    func weight() throws(CrayonError) -> StoredWeight { .nf4(value) }
}
