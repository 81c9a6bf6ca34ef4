import Bytes
import Tensors

/// What a pickle says of a tensor, before its storage has been looked for.
struct TorchTensor {
    let type: ElementType
    let storage: TorchStorageName
    /// In elements.
    let offset: Int
    let shape: Shape
    let strides: [Int]
}

/// What a pickle says of a storage: `('storage', class, key, location, count)`, and a view in files before PyTorch 1.6.
struct TorchStorageName {
    let key: String
    /// Bytes of an element; 1 for untyped storages.
    let elementSize: Int
    /// Nil for untyped storages.
    let type: PickleGlobals.TorchType?
    /// In elements.
    let count: Int
    /// A part of the storage that the key names: first element and count.
    let view: (key: String, offset: Int, count: Int)?
}

/// Reads the calls that rebuild tensors.
struct TorchTensorReading {
    /// Axes; PyTorch's kernels take 64.
    static let rankLimit = 64
    /// Bytes of a storage's key, which is a number.
    static let keyLimit = 64

    let pickle: Pickle
    let bytes: UnsafeRawBufferPointer
    let place: String

    func refuse(
        _ item: String, _ found: String, _ expected: String, _ code: CrayonError.Code = .malformed,
        advice: String? = nil
    ) -> CrayonError {
        CrayonError(code, in: place, item: item, found: found, expected: expected, advice: advice)
    }

    func tensor(_ leaf: StateDict.Leaf) throws(CrayonError) -> TorchTensor {
        let item = "tensor '\(leaf.name)'"
        var node = leaf.node
        // A parameter around a tensor, or a class around both; chains of them are no tensor.
        for _ in 0..<4 {
            guard case .made(let function, let argumentsNode) = pickle[node], let tuple = pickle.tuple(argumentsNode)
            else {
                break
            }
            let arguments = Array(tuple.prefix(8))
            switch PickleGlobals.kind(function) {
            case .foreignTensor(let what):
                throw refuse(
                    item, what, "dense tensors", .unsupported,
                    advice: "Load the file in Python, make the tensor dense, and save the state_dict again.")
            case .tensor(.parameter):
                guard let data = arguments.first else { break }
                node = data
                continue
            case .tensor(.fromType):
                guard arguments.count >= 3, case .global(let function) = pickle[arguments[0]],
                    case .global(let type) = pickle[arguments[1]], case .tensorClass = PickleGlobals.kind(type),
                    case .tensor(let rebuilding) = PickleGlobals.kind(function),
                    let inner = pickle.tuple(arguments[2])
                else { break }
                if case .parameter = rebuilding, let data = inner.first {
                    node = data
                    continue
                }
                return try rebuilt(rebuilding, Array(inner.prefix(8)), item)
            case .tensor(let rebuilding): return try rebuilt(rebuilding, arguments, item)
            default: break
            }
            break
        }
        throw refuse(
            item, "a tensor of a class of its own, or arguments of another kind", "what torch.save writes", .unsupported
        )
    }

    private func rebuilt(
        _ how: PickleGlobals.Rebuilding, _ arguments: [PickleNode.Index], _ item: String
    ) throws(CrayonError) -> TorchTensor {
        guard arguments.count >= 4, let offset = pickle.int(arguments[1]) else {
            throw refuse(item, "arguments of another kind", "storage, offset, size and stride")
        }
        let storage = try storage(arguments[0], item)
        let dims = try integers(arguments[2], item)
        let strides = try integers(arguments[3], item)
        guard let shape = Shape(checking: dims), !shape.count.multipliedReportingOverflow(by: 8).overflow else {
            throw refuse(
                item, "a shape of negative extents, or of more elements than 64 bits can count", "one that fits")
        }
        var type = storage.type
        var metadata = 6
        if case .third = how {
            metadata = 7
            guard storage.type == nil, arguments.count > 6, case .global(let index) = pickle[arguments[6]],
                case .type(let stated) = PickleGlobals.kind(index)
            else { throw refuse(item, "arguments of another kind", "a type, and an untyped storage") }
            type = stated
        }
        if arguments.count > metadata { try checkMetadata(arguments[metadata], item) }
        guard let type else { throw refuse(item, "an untyped storage", "a storage of a type") }
        guard let elementType = type.type else {
            throw refuse(
                item, "element type '\(type.name)'",
                "one of " + ElementType.allCases.map(\.rawValue).joined(separator: ", "),
                .unsupported, advice: "Leave the tensor out of the state_dict, or convert it, and save it again.")
        }
        return TorchTensor(type: elementType, storage: storage, offset: offset, shape: shape, strides: strides)
    }

    /// The values of a tensor with one of these bits are not those in its storage.
    private func checkMetadata(_ node: PickleNode.Index, _ item: String) throws(CrayonError) {
        guard case .dict(let dict) = pickle[node] else { return }
        var next = pickle.containers[Int(dict)].first
        for _ in 0..<8 where next != Pickle.noCell {
            let cell = pickle.cells[Int(next)]
            let key = pickle.text(cell.key, in: bytes, limit: 16)
            if key == "conj" || key == "neg", case .bool(true) = pickle[cell.value] {
                throw refuse(
                    item, "a tensor that is negated or conjugated when it is read", "plain values", .unsupported,
                    advice: "Resolve it in Python (resolve_neg, resolve_conj) and save it again.")
            }
            next = cell.next
        }
    }

    private func integers(_ node: PickleNode.Index, _ item: String) throws(CrayonError) -> [Int] {
        guard let tuple = pickle.tuple(node), tuple.count <= Self.rankLimit else {
            throw refuse(item, "a size or stride that is no tuple, or too long", "\(Self.rankLimit) integers at most")
        }
        var values: [Int] = []
        for element in tuple {
            guard let value = pickle.int(element) else {
                throw refuse(item, "a size or stride with something else in it", "integers")
            }
            values.append(value)
        }
        return values
    }

    func storage(_ node: PickleNode.Index, _ item: String) throws(CrayonError) -> TorchStorageName {
        guard case .persistent(let name) = pickle[node], let tuple = pickle.tuple(name), tuple.count >= 5 else {
            throw refuse(item, "no storage", "('storage', class, key, location, count)")
        }
        let parts = Array(tuple.prefix(7))
        guard parts.count <= 6, pickle.text(parts[0], in: bytes, limit: 16) == "storage",
            case .global(let index) = pickle[parts[1]], case .storage(let type) = PickleGlobals.kind(index),
            let key = key(parts[2]), let count = pickle.int(parts[4]), count >= 0
        else { throw refuse(item, "a storage of another kind", "('storage', class, key, location, count)") }
        var view: (key: String, offset: Int, count: Int)?
        if parts.count == 6, let values = pickle.tuple(parts[5]) {
            let values = Array(values.prefix(4))
            guard values.count == 3, let key = self.key(values[0]), let offset = pickle.int(values[1]),
                let size = pickle.int(values[2]), offset >= 0, size >= 0
            else { throw refuse(item, "a view of another kind", "(key, offset, count)") }
            view = (key, offset, size)
        }
        return TorchStorageName(key: key, elementSize: type?.byteCount ?? 1, type: type, count: count, view: view)
    }

    /// Keys are numbers as text; old files have numbers, too.
    private func key(_ node: PickleNode.Index) -> String? {
        pickle.int(node).map(String.init) ?? pickle.text(node, in: bytes, limit: Self.keyLimit)
    }
}
