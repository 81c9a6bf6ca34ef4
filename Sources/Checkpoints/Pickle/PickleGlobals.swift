import Tensors

/// The classes and functions that a pickle may name. Nothing of them is run: a name stands for what Crayon does instead.
/// Every other name is refused, since what it would make, or do, in Python cannot be told from the file.
enum PickleGlobals {
    enum Kind: Sendable {
        /// Makes a dict, from nothing or from pairs.
        case dict
        /// Its argument, a tuple, is its value.
        case size
        /// Rebuilds a tensor from the arguments.
        case tensor(Rebuilding)
        /// The class of tensors and parameters.
        case tensorClass
        /// Values of one type that lie side by side; nil for `UntypedStorage`, bytes.
        case storage(TorchType?)
        case type(TorchType)
        /// Makes a tensor of a kind that Crayon does not read.
        case foreignTensor(String)
        /// Makes something that holds no weights and is skipped.
        case skipped(PickleNode.Other)
    }

    /// Functions of `torch._utils` and `torch._tensor`.
    enum Rebuilding: Sendable {
        /// storage, offset, size, stride
        case first
        /// the same, requires_grad, hooks, metadata
        case second
        /// the same with a type before the metadata, over an untyped storage
        case third
        /// data, requires_grad, hooks
        case parameter
        /// function, class, arguments, state
        case fromType
    }

    /// An element type of PyTorch: one of ours, or one that we have no use for.
    struct TorchType: Sendable {
        let name: String
        let type: ElementType?
        let byteCount: Int
    }

    struct Global: Sendable {
        let module: String
        let name: String
        let kind: Kind
    }

    private static let numbers =
        torchTypes + [
            TorchType(name: "complex32", type: nil, byteCount: 4),
            TorchType(name: "complex64", type: nil, byteCount: 8),
            TorchType(name: "complex128", type: nil, byteCount: 16), TorchType(name: "qint8", type: nil, byteCount: 1),
            TorchType(name: "quint8", type: nil, byteCount: 1), TorchType(name: "qint32", type: nil, byteCount: 4),
            TorchType(name: "quint4x2", type: nil, byteCount: 1), TorchType(name: "quint2x4", type: nil, byteCount: 1),
            TorchType(name: "float4_e2m1fn_x2", type: nil, byteCount: 1),
            TorchType(name: "bits8", type: nil, byteCount: 1),
        ]

    private static let torchTypes: [TorchType] = [
        ("float64", .f64), ("float32", .f32), ("float16", .f16), ("bfloat16", .bf16), ("int64", .i64), ("int32", .i32),
        ("int16", .i16), ("int8", .i8), ("uint64", .u64), ("uint32", .u32), ("uint16", .u16), ("uint8", .u8),
        ("bool", .bool), ("float8_e4m3fn", .f8e4m3), ("float8_e5m2", .f8e5m2), ("float8_e4m3fnuz", .f8e4m3fnuz),
        ("float8_e5m2fnuz", .f8e5m2fnuz), ("float8_e8m0fnu", .f8e8m0),
    ].map { (pair: (String, ElementType)) in TorchType(name: pair.0, type: pair.1, byteCount: pair.1.byteCount) }

    private static let storages = [
        "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64",
        "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool", "ComplexFloat": "complex64",
        "ComplexDouble": "complex128", "QInt8": "qint8", "QUInt8": "quint8", "QInt32": "qint32",
        "QUInt4x2": "quint4x2", "QUInt2x4": "quint2x4",
    ]

    static let table: [Global] = {
        var table: [Global] = []
        func add(_ module: String, _ names: [String], _ kind: Kind) {
            for name in names { table.append(Global(module: module, name: name, kind: kind)) }
        }
        add("collections", ["OrderedDict", "defaultdict"], .dict)
        add("collections", ["Counter", "deque"], .skipped(.object))
        add("torch", ["Size"], .size)
        add("torch._utils", ["_rebuild_tensor"], .tensor(.first))
        add("torch._utils", ["_rebuild_tensor_v2"], .tensor(.second))
        add("torch._utils", ["_rebuild_tensor_v3"], .tensor(.third))
        add("torch._utils", ["_rebuild_parameter", "_rebuild_parameter_with_state"], .tensor(.parameter))
        add("torch._tensor", ["_rebuild_from_type_v2"], .tensor(.fromType))
        add("torch", ["Tensor"], .tensorClass)
        add("torch._tensor", ["Tensor"], .tensorClass)
        add("torch.nn.parameter", ["Parameter", "Buffer"], .tensorClass)
        for type in numbers { add("torch", [type.name], .type(type)) }
        for (name, type) in storages.sorted(by: { $0.key < $1.key }) {
            for module in ["torch", "torch.cuda", "torch.storage"] {
                add(module, ["\(name)Storage"], .storage(numbers.first { $0.name == type }))
            }
        }
        for module in ["torch", "torch.storage"] { add(module, ["UntypedStorage"], .storage(nil)) }
        // What is written of a `TypedStorage` is the name of a class above.
        add("torch._utils", ["_rebuild_sparse_tensor"], .foreignTensor("a sparse tensor"))
        add("torch._utils", ["_rebuild_sparse_csr_tensor"], .foreignTensor("a sparse tensor"))
        add("torch._utils", ["_rebuild_qtensor"], .foreignTensor("a quantized tensor"))
        add("torch._utils", ["_rebuild_nested_tensor"], .foreignTensor("a nested tensor"))
        add(
            "torch._utils", ["_rebuild_meta_tensor_no_storage"],
            .foreignTensor("a tensor on the device 'meta', which has no values"))
        add("torch._utils", ["_rebuild_wrapper_subclass"], .foreignTensor("a tensor of a class of its own"))
        add(
            "torch._utils", ["_rebuild_device_tensor_from_numpy", "_rebuild_device_tensor_from_cpu_tensor"],
            .foreignTensor("a tensor of another device's kind"))
        for (module, names) in skipped { add(module, names, .skipped(.object)) }
        for module in ["builtins", "__builtin__"] {
            add(module, ["dict"], .dict)
            add(module, ["set", "frozenset"], .skipped(.set))
            add(module, ["bytearray", "bytes"], .skipped(.bytes))
            add(module, ["complex", "float", "int", "bool", "long"], .skipped(.number))
            add(module, ["object", "range", "xrange", "slice", "list", "tuple", "str", "unicode"], .skipped(.object))
        }
        for core in ["numpy.core", "numpy._core"] {
            add("\(core).multiarray", ["scalar"], .skipped(.number))
            add("\(core).multiarray", ["_reconstruct"], .skipped(.array))
            add("\(core).numeric", ["_frombuffer"], .skipped(.array))
        }
        add("numpy", ["ndarray", "dtype"], .skipped(.array))
        return table
    }()

    /// Classes that training programs put beside the weights: options, paths, dates.
    private static let skipped: [(String, [String])] = [
        ("_codecs", ["encode"]), ("argparse", ["Namespace"]), ("copy_reg", ["_reconstructor"]),
        ("copyreg", ["_reconstructor"]), ("datetime", ["date", "datetime", "time", "timedelta", "timezone"]),
        ("decimal", ["Decimal"]), ("fractions", ["Fraction"]),
        ("lightning.fabric.utilities.data", ["AttributeDict"]),
        ("lightning_fabric.utilities.data", ["AttributeDict"]),
        ("pytorch_lightning.utilities.parsing", ["AttributeDict"]),
        ("pathlib", ["Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"]),
        ("pathlib._local", ["PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath"]),
        (
            "torch",
            [
                "device", "strided", "sparse_coo", "sparse_csr", "contiguous_format", "preserve_format",
                "channels_last", "per_tensor_affine", "per_channel_affine", "per_channel_affine_float_qparams",
            ]
        ),
        ("torch.serialization", ["_get_layout"]), ("types", ["SimpleNamespace"]), ("uuid", ["UUID"]),
    ]

    private static let positions: [String: UInt16] = {
        var positions: [String: UInt16] = [:]
        for (index, global) in table.enumerated() { positions["\(global.module)\n\(global.name)"] = UInt16(index) }
        return positions
    }()

    /// - Returns: the index in `table`; nil for a name that is refused.
    static func find(module: String, name: String) -> UInt16? { positions["\(module)\n\(name)"] }

    static func kind(_ index: UInt16) -> Kind { table[Int(index)].kind }
}
