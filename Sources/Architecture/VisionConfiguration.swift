/// The CLIP vision tower and how a picture is made ready for it.
public struct VisionConfiguration: Codable, Equatable, Sendable {
    public var width: Int
    public var layerCount: Int
    /// How many layers the features have passed; nil for all. LLaVA leaves the last one out.
    public var featureLayer: Int?
    public var headCount: Int
    public var intermediateSize: Int
    public var patchSize: Int
    /// Pixels of a side of the square that the tower sees. The position grid is resized where the
    /// checkpoint's own differs.
    public var imageSize: Int
    /// Rows of the position table in the file, class position included.
    public var positionRows: Int
    public var normEpsilon: Float
    public var activation: Activation
    /// Per channel, on a scale of 0 to 1.
    public var imageMean: [Float]
    public var imageStd: [Float]
    public var resize: Resize

    public enum Activation: String, Codable, Sendable {
        /// `x * sigmoid(1.702 x)`, OpenAI's CLIP.
        case quickGELU = "quick_gelu"
        /// With the error function.
        case gelu
    }

    public enum Resize: String, Codable, Sendable {
        /// As CoLLaVO's published code: the whole picture squeezed into the square.
        case squeeze
        /// As CLIP's preprocessing: the shorter edge to size, then the centre cut out.
        case cropCentre = "crop-centre"
        /// As LLaVA's preprocessing with `do_pad`: bars of the mean colour make a square of the longer edge, then that to size.
        case pad
    }

    public static let clipMean: [Float] = [0.48145466, 0.4578275, 0.40821073]
    public static let clipStd: [Float] = [0.26862954, 0.26130258, 0.27577711]

    public init(
        width: Int, layerCount: Int, headCount: Int, intermediateSize: Int, patchSize: Int, imageSize: Int,
        positionRows: Int, normEpsilon: Float = 1e-5, activation: Activation = .quickGELU,
        imageMean: [Float] = clipMean, imageStd: [Float] = clipStd, resize: Resize = .squeeze,
        featureLayer: Int? = nil
    ) {
        self.width = width
        self.layerCount = layerCount
        self.headCount = headCount
        self.intermediateSize = intermediateSize
        self.patchSize = patchSize
        self.imageSize = imageSize
        self.positionRows = positionRows
        self.normEpsilon = normEpsilon
        self.activation = activation
        self.imageMean = imageMean
        self.imageStd = imageStd
        self.resize = resize
        self.featureLayer = featureLayer
    }

    /// The layers that are computed; files may have more.
    public var usedLayerCount: Int { min(featureLayer ?? layerCount, layerCount) }
    /// Patches along a side.
    public var gridSize: Int { imageSize / patchSize }
    /// Patches of a picture, which is also the tokens that stand for it in the backbone.
    public var patchCount: Int { gridSize * gridSize }
}
