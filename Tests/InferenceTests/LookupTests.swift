import Bytes
import Checkpoints
import Inference
import Models
import Testing

/// Looked-up tokens change how many passes there are, not the answer.
@Suite struct LookupTests {
    static let question = CacheFormatTests.question

    private func answers(_ options: GenerationOptions, question: String = question) throws -> [Generation] {
        let tests = ChatTests()
        let chat = try tests.chat()
        return try ["000", "001", "002", "004"].map { scene in
            chat.reset()
            return try chat.ask(question, pictures: [tests.picture(scene)], options: options)
        }
    }

    /// Lists of objects, which repeat the prompt.
    @Test(arguments: [1, 2, 3]) func lists(_ lookup: Int) throws {
        let plain = try answers(GenerationOptions())
        let found = try answers(GenerationOptions(lookup: lookup))
        for (found, plain) in zip(found, plain) {
            #expect(found.tokens == plain.tokens && found.text == plain.text && found.reason == plain.reason)
            let statistics = found.statistics
            #expect(statistics.acceptedTokens > 0 && statistics.acceptedTokens <= statistics.proposedTokens)
            #expect(statistics.decodingSteps + statistics.acceptedTokens == statistics.newTokens - 1)
            #expect(statistics.proposedTokens <= lookup * statistics.decodingSteps)
            #expect(plain.statistics.proposedTokens == 0)
            #expect(plain.statistics.decodingSteps == plain.statistics.newTokens - 1)
        }
    }

    /// Sampled answers too: the same numbers are drawn for the same places.
    @Test func sampledAnswers() throws {
        let sampling = SamplingOptions(temperature: 1.5, topK: 20, repetitionPenalty: 1.05, seed: 3)
        let plain = try answers(GenerationOptions(sampling: sampling, maxNewTokens: 40))
        let found = try answers(GenerationOptions(sampling: sampling, maxNewTokens: 40, lookup: 3))
        #expect(found.map(\.tokens) == plain.map(\.tokens))
        #expect(found.contains { $0.statistics.proposedTokens > 0 })
    }

    /// An answer that ends in the middle of what was proposed leaves a cache that the next turn can go on from.
    @Test func laterTurns() throws {
        let tests = ChatTests()
        let picture = try tests.picture("000")
        func conversation(_ options: GenerationOptions) throws -> [[Int]] {
            let chat = try tests.chat()
            let first = try chat.ask(Self.question, pictures: [picture], options: options)
            let second = try chat.ask("What is in the box [0.25, 0.25, 0.50, 0.50]?", options: options)
            let third = try chat.ask(Self.question, options: options)
            return [first, second, third].map(\.tokens)
        }
        for length in [7, 20, 60] {
            #expect(
                try conversation(GenerationOptions(maxNewTokens: length, lookup: 3))
                    == conversation(GenerationOptions(maxNewTokens: length)))
        }
    }

    @Test func optionsThatMakeNoSense() throws {
        let chat = try ChatTests().chat()
        for lookup in [-1, 4] {
            #expect(throws: CrayonError.self) { try chat.ask("What?", options: GenerationOptions(lookup: lookup)) }
        }
        #expect(chat.turns.isEmpty)
    }
}
