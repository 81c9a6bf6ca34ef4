public import Architecture
public import Bytes
import Images
public import Inference
public import Models

/// Makes of an example what a model learns from.
public struct ExampleEncoder: Sendable {
    public let builder: PromptBuilder
    public let configuration: ModelConfiguration
    /// Positions of a sequence at most, those of its pictures included; nil for any number.
    public var maxLength: Int?

    /// - Parameter builder: the template and tokenizer that the model is asked with.
    public init(builder: PromptBuilder, configuration: ModelConfiguration, maxLength: Int? = nil) {
        self.builder = builder
        self.configuration = configuration
        self.maxLength = maxLength
    }

    /// The text as token ids; its pictures are not read yet.
    /// - Throws: `CrayonError` naming the example's source.
    public func encode(_ example: Example) throws(CrayonError) -> EncodedExample {
        let answered: AnsweredInput
        do throws(CrayonError) {
            switch example.content {
            case .text(let text): answered = try builder.answeredInput(text: text)
            case .conversation(let exchanges):
                answered = try builder.answeredInput(try turns(exchanges, of: example))
            }
        } catch {
            throw error.of(example)
        }
        let patches = configuration.vision?.patchCount ?? 0
        var sequence = answered.trainingSequence
        sequence.input.images = []
        return EncodedExample(
            example: example, sequence: sequence,
            positions: sequence.input.tokens.count + example.pictures.count * (patches - 1))
    }

    /// The whole: pictures read and made ready.
    /// - Throws: `CrayonError` for a picture that cannot be read.
    public func complete(_ encoded: EncodedExample) throws(CrayonError) -> TrainingSequence {
        var sequence = encoded.sequence
        for picture in encoded.example.pictures {
            let image = try picture.read()
            sequence.input.images.append(try Picture(image, maps: picture.maps, for: configuration).input)
        }
        return sequence
    }

    /// Both at once.
    public func callAsFunction(_ example: Example) throws(CrayonError) -> TrainingSequence {
        try complete(try encode(example))
    }

    private func turns(_ exchanges: [Exchange], of example: Example) throws(CrayonError) -> [Turn] {
        if !example.pictures.isEmpty, configuration.vision == nil {
            throw CrayonError(
                .usage, in: "picture", found: "a model that reads text only", expected: "a model with a vision part")
        }
        return example.turns(exchanges) { configuration.crayon == nil ? nil : $0.maps }
    }
}

extension Example {
    /// Exchanges as turns of a prompt, which needs of a picture only what its map says.
    func turns(_ exchanges: [Exchange], maps: (ExamplePicture) -> CrayonMaps?) -> [Turn] {
        var rest = pictures[...]
        return exchanges.map { exchange in
            let shown = rest.prefix(exchange.pictureCount)
            rest = rest.dropFirst(exchange.pictureCount)
            return Turn(
                question: exchange.question,
                pictures: shown.map {
                    Picture(input: ImageInput(width: 0, height: 0, pixels: []), maps: maps($0))
                }, answer: exchange.answer)
        }
    }
}

/// An example as token ids, its pictures still to be read.
public struct EncodedExample: Sendable {
    public var example: Example
    /// Without pictures; their placeholders are among the tokens.
    public var sequence: TrainingSequence
    /// Positions in the backbone, those of the pictures included.
    public var positions: Int
}

extension CrayonError {
    /// The same, said of an example.
    func of(_ example: Example) -> CrayonError {
        var error = self
        error.item = item.map { "\(place): \($0)" } ?? place
        error.place = example.source
        return error
    }
}
