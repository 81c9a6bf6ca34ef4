import Architecture
public import Bytes
import Tensors

extension Adapter {
    /// A SHA-256 of what the pairs are and do: names, scales and numbers, whatever file they came from.
    /// - Throws: `CrayonError` when a packed factor is damaged.
    public func digest() throws(CrayonError) -> SHA256Digest {
        let hasher = SHA256Hasher()
        func add(_ text: String) {
            Array(text.utf8).withUnsafeBytes { hasher.update($0) }
        }
        func add(_ factor: AdapterFactor) throws(CrayonError) {
            let tensor = try factor.tensor()
            add("\(tensor.type.rawValue) \(tensor.shape)\n")
            withExtendedLifetime(tensor) { hasher.update(tensor.region.buffer) }
        }
        add("\(scope.rawValue) \(input.rawValue)\n")
        for module in modules {
            add("\(module.path) \(module.kind.rawValue) \(module.isTransposed) \(module.scale)\n")
            try add(module.a)
            try add(module.b)
            for vector in [module.magnitude, module.bias].compactMap({ $0 }) { try add(AdapterFactor(vector)) }
        }
        for replacement in replacements {
            add("\(replacement.name)\n")
            try add(AdapterFactor(replacement.tensor))
        }
        return hasher.finish()
    }

    /// Bytes of all its numbers.
    public var byteCount: Int {
        let pairs = modules.reduce(0) { total, module in
            let vectors = [module.magnitude, module.bias].compactMap { $0?.region.count }.reduce(0, +)
            return total + module.a.byteCount + module.b.byteCount + vectors
        }
        return pairs + replacements.reduce(0) { $0 + $1.tensor.region.count }
    }
}

extension AdapterFactor {
    public var byteCount: Int { shape.count * type.byteCount }
}
