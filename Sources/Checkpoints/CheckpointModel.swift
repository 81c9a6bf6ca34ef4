public import Architecture
public import Bytes
public import Quantization
public import Tensors

/// One tensor of a source and the role that it plays.
public struct Binding: Sendable {
    public let role: Role
    /// What the configuration expects of the role; its shape is the tensor's.
    public let parameter: Parameter
    public let tensor: Tensor
    /// The tensor's name in its source.
    public let sourceName: String
    /// Index into `CheckpointModel.origins`.
    public let origin: Int

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

    public func weight(_ role: Role) throws(CrayonError) -> StoredWeight? {
        positions[role].map { .dense(bindings[$0].tensor) }
    }
}

extension CheckpointModel {
    /// Opens the parts, recognises their layouts, and binds every tensor to its role.
    /// - Throws: `CrayonError` for files that do not follow their format, an unknown layout, tensors that
    ///   are missing or have another shape than the configuration says.
    public static func open(
        _ parts: CheckpointParts, options: CheckpointOptions = CheckpointOptions()
    ) throws(CrayonError) -> CheckpointModel {
        throw CrayonError(.unsupported, in: parts.checkpoint ?? "", found: "layouts are not read yet")
    }
}
