/// Where the parts of a model lie: all in one checkpoint, or each in a place of its own.
public struct CheckpointParts: Sendable {
    /// One folder or file that holds a whole model, or a backbone alone.
    public var checkpoint: String?
    /// A folder with a text model of any known layout.
    public var backbone: String?
    /// A folder or file with a CLIP model or its vision tower.
    public var vision: String?
    /// A file with the crayon queries and both projectors; fresh ones are made where it is absent.
    public var crayon: String?
    /// PEFT LoRA folders over the backbone, each under the name that its set is to have.
    public var adapters: [(name: String, path: String)]

    public init(
        checkpoint: String? = nil, backbone: String? = nil, vision: String? = nil, crayon: String? = nil,
        adapters: [(name: String, path: String)] = []
    ) {
        self.checkpoint = checkpoint
        self.backbone = backbone
        self.vision = vision
        self.crayon = crayon
        self.adapters = adapters
    }
}

/// What files leave open, or what a user wants otherwise.
public struct CheckpointOptions: Sendable {
    /// Pixels of a side of the square that the tower sees; nil to take what the files say.
    public var imageSize: Int?
    /// Attention heads of the vision tower; nil to take what the files say. Heads leave no trace in tensors.
    public var visionHeadCount: Int?
    /// The name of a built-in prompt template; nil for the layout's own.
    public var promptTemplate: String?
    /// The name of a layout to read with, whatever the files look like.
    public var layout: String?
    /// Seed of the queries and projectors that no file holds.
    public var seed: UInt64

    public init(
        imageSize: Int? = nil, visionHeadCount: Int? = nil, promptTemplate: String? = nil, layout: String? = nil,
        seed: UInt64 = 0
    ) {
        self.imageSize = imageSize
        self.visionHeadCount = visionHeadCount
        self.promptTemplate = promptTemplate
        self.layout = layout
        self.seed = seed
    }
}
