public import Architecture
public import Bytes
public import Quantization
public import Tensors

/// One tensor of a source and the role that it plays.
public struct Binding: Sendable {
    public let role: Role
    /// What the configuration expects of the role; its shape is the tensor's.
    public let parameter: Parameter
    /// The tensor as its source describes it.
    public let entry: TensorEntry
    /// Index into `CheckpointModel.origins`.
    public let origin: Int
    let values: Values

    /// Where the tensor's values are.
    enum Values: Sendable {
        case stored(any Checkpoint)
        case made(Tensor)
    }

    /// The tensor's name in its source.
    public var sourceName: String { entry.name }
    public var shape: Shape { entry.shape }
    public var type: ElementType { entry.type }

    /// The tensor, which is made anew each time where its source does not store it dense.
    public func tensor() throws(CrayonError) -> Tensor {
        switch values {
        case .made(let tensor): tensor
        case .stored(let checkpoint): try Self.present(checkpoint.tensor(entry.name), entry, in: checkpoint)
        }
    }

    /// The weight as its source stores it.
    public func weight() throws(CrayonError) -> StoredWeight {
        switch values {
        case .made(let tensor): .dense(tensor)
        case .stored(let checkpoint): try Self.present(checkpoint.weight(entry.name), entry, in: checkpoint)
        }
    }

    private static func present<Value>(
        _ value: Value?, _ entry: TensorEntry, in checkpoint: any Checkpoint
    ) throws(CrayonError) -> Value {
        guard let value else { preconditionFailure("\(checkpoint.place) lists \(entry.name) and does not have it") }
        return value
    }

    public var part: Part { parameter.part }
    public var isMatrix: Bool { parameter.isMatrix }
}

/// A tensor that no part of the model uses.
public struct UnusedTensor: Sendable, Hashable {
    public let name: String
    /// The file that it lies in.
    public let file: String
    /// Why it is not used; nil for a name that the layout does not know.
    public let reason: String?
}

/// A model read from its published files, every weight bound to its role.
public struct CheckpointModel: ModelSource {
    public let place: String
    public let configuration: ModelConfiguration
    public let files: [AuxiliaryFile]
    /// One for each parameter that the model has, in the order of `ModelConfiguration.parameters`.
    public let bindings: [Binding]
    /// What the bindings come from.
    public let origins: [Origin]
    /// Tensors of the sources that play no role, in the order of their files.
    public let unused: [UnusedTensor]
    /// What a user should know but need not act on.
    public let warnings: [String]
    private let positions: [Role: Int]

    /// A source of tensors: a checkpoint, or the generator of fresh weights.
    public struct Origin: Sendable {
        public let kind: Kind
        public let place: String
        /// Nil for fresh weights.
        public let checkpoint: (any Checkpoint)?

        public enum Kind: String, Sendable {
            case checkpoint
            case backbone
            case vision
            case crayon
            case adapter
            case fresh
        }
    }

    init(
        place: String, configuration: ModelConfiguration, files: [AuxiliaryFile], bindings: [Binding],
        origins: [Origin], unused: [UnusedTensor], warnings: [String]
    ) {
        self.place = place
        self.configuration = configuration
        self.files = files
        self.bindings = bindings
        self.origins = origins
        self.unused = unused
        self.warnings = warnings
        var positions: [Role: Int] = [:]
        for (index, binding) in bindings.enumerated() { positions[binding.role] = index }
        self.positions = positions
    }

    public func binding(_ role: Role) -> Binding? { positions[role].map { bindings[$0] } }

    public func weight(_ role: Role) throws(CrayonError) -> StoredWeight? {
        try binding(role)?.weight()
    }

    /// Every file that tensors come from.
    public var sourceFiles: [SourceFile] { origins.flatMap { $0.checkpoint?.sourceFiles ?? [] } }

    /// - Throws: `CrayonError` naming the file when one has changed since it was opened.
    public func checkUnchanged() throws(CrayonError) {
        for origin in origins { try origin.checkpoint?.checkUnchanged() }
    }
}
