import Architecture
import Bytes
import Datasets
import Images
import Inference
import Models
import Testing
import Tokenization

@Suite struct EncoderTests {
    /// The prompt's tokens are those that the model is asked with; what is learned decodes to the answer and its stop.
    @Test func promptIsThatOfInference() throws {
        let encoder = try Fixtures.encoder()
        let instructions = try Fixtures.instructions(.init(questionsPerPicture: 3))
        for index in 0..<24 {
            let example = try instructions.example(index, epoch: 1)
            let sequence = try encoder(example)
            let image = try RGBImage(path: example.pictures[0].path)
            let map = try instructions.coco.annotation(index).panoptic.read()
            let picture = try Picture(image, panoptic: map, for: encoder.configuration)
            var turns: [Turn] = []
            var learned = 0
            for exchange in example.exchanges {
                turns.append(Turn(question: exchange.question, pictures: turns.isEmpty ? [picture] : []))
                let asked = try encoder.builder.input(turns)
                #expect(sequence.input.images == asked.images)
                #expect(sequence.input.tokens.starts(with: asked.tokens))
                let answer = sequence.labels[asked.tokens.count...].prefix { $0 != TrainingSequence.ignored }
                #expect(sequence.input.tokens[answer.indices] == answer)
                #expect(
                    try encoder.builder.tokenizer.decode(answer.map(Int32.init)) == " \(exchange.answer)<stop>")
                learned += answer.count
                turns[turns.count - 1].answer = exchange.answer
            }
            #expect(sequence.targetCount == learned)
        }
    }

    /// What a right model would have said, taken token by token as a `Generator` feeds it, gives the same sequence.
    @Test func aGeneratorWouldFeedIt() throws {
        let source = try Fixtures.source()
        let encoder = try Fixtures.encoder()
        let model = try VisionLanguageModel(source: source)
        let generator = Generator(model: model, tokenizer: encoder.builder.tokenizer)
        var same = 0
        let instructions = try Fixtures.instructions(.init(weights: [.class: 1, .presence: 1]))
        for index in 0..<8 {
            let example = try instructions.example(index, epoch: 0)
            let sequence = try encoder(example)
            let prompt = Array(sequence.input.tokens[..<(sequence.labels.firstIndex { $0 >= 0 } ?? 0)])
            let answer = try generator.generate(
                ModelInput(tokens: prompt, images: sequence.input.images), stop: encoder.builder.template.stop)
            guard answer.text == example.exchanges[0].answer else { continue }
            #expect(prompt + answer.tokens == sequence.input.tokens)
            same += 1
        }
        #expect(same >= 6)
    }

    @Test func plainTextIsLearnedWhole() throws {
        let encoder = try Fixtures.encoder()
        let sequence = try encoder(Example(content: .text("red circle"), kind: "text", source: "here"))
        #expect(sequence.input.tokens.first == encoder.configuration.tokens.begin)
        #expect(sequence.labels.first == TrainingSequence.ignored)
        #expect(sequence.input.tokens.last == encoder.configuration.tokens.end.first)
        #expect(sequence.labels.dropFirst() == sequence.input.tokens.dropFirst())
    }

    @Test func whatCannotBeLearnedNamesItsSource() throws {
        let encoder = try Fixtures.encoder()
        for content in [
            Example.Content.text("a <image>"), .conversation([Exchange(question: "Q", answer: "no <stop> more")]),
            .conversation([Exchange(question: "<image>", answer: "A")]),
            .conversation([Exchange(question: "Q", answer: "<image>")]),
        ] {
            let error = #expect(throws: CrayonError.self) {
                try encoder(Example(content: content, kind: "text", source: "here: [3]"))
            }
            #expect(error?.description.hasPrefix("here: [3]: ") == true)
        }
    }
}
