public import Bytes
public import Images

/// One thing to learn from, as text and the name of a picture; `ExampleEncoder` makes numbers of it.
public struct Example: Sendable, Equatable {
    public enum Content: Sendable, Equatable {
        /// Questions with their answers, of which a model learns the answers.
        case conversation([Exchange])
        /// Text to go on with, of which it learns all.
        case text(String)
    }

    public var content: Content
    /// In the order of their marks; shown with the first question where no question marks them.
    public var pictures: [ExamplePicture]
    /// What kind of example it is, for counting: `list`, `conversation`, `text`.
    public var kind: String
    /// Where it comes from, as errors and logs say it: `panoptic.json: annotations[7]`.
    public var source: String

    public init(content: Content, pictures: [ExamplePicture] = [], kind: String, source: String) {
        self.content = content
        self.pictures = pictures
        self.kind = kind
        self.source = source
    }

    /// The questions and answers; none for plain text.
    public var exchanges: [Exchange] {
        if case .conversation(let exchanges) = content { exchanges } else { [] }
    }
}

/// A question and its answer.
public struct Exchange: Sendable, Equatable {
    public var question: String
    public var answer: String
    /// How many of the example's pictures are shown with this question.
    public var pictureCount: Int

    public init(question: String, answer: String, pictureCount: Int = 0) {
        self.question = question
        self.answer = answer
        self.pictureCount = pictureCount
    }
}

/// A picture that has not been read, and what its panoptic map says.
public struct ExamplePicture: Sendable, Equatable {
    public var path: String
    /// Crayon rows and objects; nil where there is no panoptic map, so that every part of the picture is unknown.
    public var maps: CrayonMaps?
    /// Pixels of the panoptic map, by which a map of another picture shows.
    public var mapSize: Size?

    public struct Size: Sendable, Equatable {
        public var width: Int
        public var height: Int

        public init(width: Int, height: Int) {
            self.width = width
            self.height = height
        }
    }

    public init(path: String, maps: CrayonMaps? = nil, mapSize: Size? = nil) {
        self.path = path
        self.maps = maps
        self.mapSize = mapSize
    }

    /// Decodes it.
    /// - Throws: `CrayonError` naming the file, for a broken picture, or one of another shape than its map.
    public func read() throws(CrayonError) -> RGBImage {
        let image = try RGBImage(path: path)
        if let mapSize,
            let mismatch = PanopticMap.mismatch(
                of: (mapSize.width, mapSize.height), with: (image.width, image.height))
        {
            throw CrayonError(.mismatch, in: path, found: mismatch, expected: "a map and a picture of one shape")
        }
        return image
    }
}
