import Architecture
import Bytes
import Checkpoints
import Inference
import Layers
import Models
import Testing

/// Several answers at a time, against each on its own; what they have in common is computed once.
@Suite struct BatchTests {
    static let questions = [
        CacheFormatTests.question, "What is in the box [0.25, 0.25, 0.50, 0.50]?",
        "Is there a red square in this image?", "Provide the bounding box coordinates of blue circle in this image.",
    ]
    static let scenes = ["000", "001"]

    /// Every question about every scene.
    private func inputs(_ chat: ChatSession) throws -> [ModelInput] {
        try Self.scenes.flatMap { scene in
            let picture = try ChatTests().picture(scene)
            return try Self.questions.map { try chat.builder.input([Turn(question: $0, pictures: [picture])]) }
        }
    }

    private func alone(_ inputs: [ModelInput], _ chat: ChatSession, _ options: GenerationOptions) throws -> [[Int]] {
        try inputs.map { input in
            try Generator(model: chat.model, tokenizer: chat.builder.tokenizer)
                .generate(input, options: options, stop: chat.builder.template.stop).tokens
        }
    }

    private func generator(_ chat: ChatSession, size: Int) throws -> BatchGenerator {
        try BatchGenerator(model: chat.model, tokenizer: chat.builder.tokenizer, size: size)
    }

    @Test(arguments: [1, 2, 3, 5, 8, 20]) func answersAreThoseOfEachAlone(size: Int) throws {
        let chat = try ChatTests().chat()
        let inputs = try inputs(chat)
        let generator = try generator(chat, size: size)
        let found = try generator.generate(inputs, stop: chat.builder.template.stop)
        #expect(try found.map(\.tokens) == alone(inputs, chat, GenerationOptions()))
        #expect(found.allSatisfy { $0.reason == .stopText })
        // A pass gives each open answer a token: no more passes than the tokens of a full row of sequences.
        let steps = found.map(\.statistics.decodingSteps)
        #expect(generator.decodingPasses >= steps.max() ?? 0)
        #expect(
            size == 1 ? generator.decodingPasses == steps.reduce(0, +) : generator.decodingPasses < steps.reduce(0, +))
    }

    /// With looked-up tokens, in a narrow cache, sampled, and cut short.
    @Test func options() throws {
        for format in KVCacheFormat.allCases {
            let chat = try ChatSession(source: ChatTests.source.get(), options: .init(cacheFormat: format))
            let inputs = try inputs(chat)
            for options in [
                GenerationOptions(maxNewTokens: 30, lookup: 2),
                GenerationOptions(
                    sampling: SamplingOptions(temperature: 1.5, topK: 20, seed: 3), maxNewTokens: 12, stop: ["circle"]),
            ] {
                let found = try generator(chat, size: 3).generate(
                    inputs, options: options, stop: chat.builder.template.stop)
                // Prompts behind what was read round otherwise; an 8-bit code can fall to the other side of a half then.
                let equal = zip(found.map(\.tokens), try alone(inputs, chat, options)).count { $0 == $1 }
                #expect(equal >= inputs.count - (format == .int8 ? 2 : 0), "\(format), \(options)")
            }
        }
    }

    /// A picture goes through the tower once, and its positions through the backbone once, whatever the size of the batch.
    @Test(arguments: [1, 2, 4, 8]) func picturesAreReadOnce(size: Int) throws {
        let chat = try ChatTests().chat()
        let patches = 64
        let found = try generator(chat, size: size).generate(inputs(chat), stop: chat.builder.template.stop)
        let statistics = found.map(\.statistics)
        #expect(statistics.map(\.towerRuns) == [1, 0, 0, 0, 1, 0, 0, 0])
        for (index, one) in statistics.enumerated() {
            if index % Self.questions.count == 0 {
                #expect(one.reusedPositions < patches)
            } else {
                // What is new is the question, behind the picture and the names of its objects.
                #expect(one.reusedPositions > patches)
                #expect(one.promptPositions - one.reusedPositions < 40)
            }
        }
    }

    /// The same questions again, with another picture between: features come from the store.
    @Test func picturesComeBack() throws {
        let chat = try ChatTests().chat()
        let inputs = try inputs(chat)
        let generator = try generator(chat, size: 1)
        let found = try generator.generate(
            [inputs[0], inputs[4], inputs[1], inputs[5]], options: GenerationOptions(maxNewTokens: 4))
        #expect(found.map(\.statistics.towerRuns) == [1, 1, 0, 0])
        #expect(found[3].statistics.reusedPositions < 64)
        let again = try generator.generate([inputs[5]], options: GenerationOptions(maxNewTokens: 4))
        #expect(again[0].tokens == found[3].tokens)
        #expect(again[0].statistics.reusedPositions == again[0].statistics.promptPositions - 1)
        generator.reset()
        #expect(try generator.generate([inputs[5]]).first?.statistics.reusedPositions == 0)
    }

    /// Prompts are asked for when there is room, and answers handed out as they end.
    @Test func promptsAsTheyCome() throws {
        let chat = try ChatTests().chat()
        let inputs = try inputs(chat)
        var asked = 0
        var ended: [Int] = []
        try generator(chat, size: 2).generate(stop: chat.builder.template.stop) {
            guard asked < inputs.count else { return nil }
            #expect(asked - ended.count < 2)
            asked += 1
            return inputs[asked - 1]
        } onAnswer: { number, _ in
            ended.append(number)
        }
        #expect(ended.sorted() == Array(inputs.indices))
        // The first answer is the longest.
        #expect(ended.first != 0)
        #expect(try generator(chat, size: 2).generate([]).isEmpty)
    }

    @Test func errors() throws {
        struct Enough: Error {}
        let chat = try ChatTests().chat()
        let inputs = try inputs(chat)
        for size in [0, -1, 257] { #expect(throws: CrayonError.self) { try generator(chat, size: size) } }
        let two = try generator(chat, size: 2)
        #expect(throws: CrayonError.self) {
            try two.generate([inputs[0], ModelInput(tokens: [])])
        }
        #expect(throws: Enough.self) {
            try two.generate(next: { inputs[0] }, onAnswer: { _, _ in throw Enough() })
        }
        // What was broken off leaves nothing behind.
        let after = try two.generate([inputs[1]], stop: chat.builder.template.stop)
        #expect(try after.map(\.tokens) == alone([inputs[1]], chat, GenerationOptions()))
    }
}
