import Architecture
import Bytes
import Foundation
import Inference
import Models
import Testing
import Tokenization

/// Conversations with their answers, against what the same conversation is asked with turn by turn.
@Suite struct AnsweredInputTests {
    /// SentencePiece models: `plain` puts a dummy space before a text, `folding` also folds characters and spaces.
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "TokenizationTests/Fixtures").path
    static let picture = Picture(input: ImageInput(width: 1, height: 1, pixels: [0, 0, 0]))
    static let turns = [
        Turn(question: "What is it?", pictures: [picture], answer: "A horse, and another."),
        Turn(question: "Where?", answer: "On the left [0.12, 0.50]"),
    ]

    static func builder(_ model: String, _ template: PromptTemplate) throws -> PromptBuilder {
        let tokenizer = try SentencePieceTokenizer(
            path: "\(folder)/\(model).model",
            addedTokens: [
                AddedToken("<image>", id: 1000), AddedToken("[UNUSED_TOKEN_145]", id: 1001), AddedToken("</s>", id: 2),
            ])
        return PromptBuilder(
            template: template, tokens: SpecialTokens(begin: 1, end: [2], image: 1000), tokenizer: tokenizer)
    }

    @Test(arguments: ["plain", "folding"], PromptTemplate.builtIn)
    func everyPromptIsThatOfInference(model: String, template: PromptTemplate) throws {
        let builder = try Self.builder(model, template)
        let answered = try builder.answeredInput(Self.turns)
        #expect(answered.answers.count == 2)
        #expect(answered.input.images.count == 1)
        for (index, range) in answered.answers.enumerated() {
            var asked = Array(Self.turns[...index])
            let answer = try #require(asked[index].answer)
            asked[index].answer = nil
            #expect(try Array(answered.input.tokens[..<range.lowerBound]) == builder.input(asked).tokens)
            // A Generator stops at the first stop text or end token, and that is the last that is learned.
            let isLast = index == answered.answers.count - 1
            let text = try builder.tokenizer.decode(answered.input.tokens[range].map(Int32.init))
            let stop = template.stop.first { template.answer.contains($0) } ?? (isLast ? "</s>" : "")
            #expect(text.trimmingCharacters(in: .whitespaces) == (answer + stop).trimmingCharacters(in: .whitespaces))
        }
        #expect(answered.answers.last?.upperBound == answered.input.tokens.count)
        let sequence = answered.trainingSequence
        let learned = sequence.labels.indices.filter { sequence.labels[$0] != TrainingSequence.ignored }
        #expect(learned == answered.answers.flatMap { Array($0) })
        #expect(learned.allSatisfy { sequence.labels[$0] == sequence.input.tokens[$0] })
    }

    /// `:` and the answer become one token in the whole text: the question keeps its own, as when it is asked.
    @Test func tokensAcrossTheBoundary() throws {
        let builder = PromptBuilder(
            template: PromptTemplate(
                name: "tight", begin: "", image: "", objects: "", user: "{question}", assistant: ":",
                answer: "{answer}!",
                stop: ["!"]),
            tokens: SpecialTokens(begin: nil, end: []), tokenizer: ByteTokenizer(added: [":a": 350, "!": 351]))
        let turns = [Turn(question: "Q", answer: "ab"), Turn(question: "R", answer: "c")]
        #expect(try builder.input([Turn(question: "Q", answer: "ab")]).tokens.contains(350))
        let answered = try builder.answeredInput(turns)
        func bytes(_ text: String) -> [Int] { text.utf8.map { Int($0) + 3 } }
        #expect(
            answered.input.tokens == bytes("Q:") + bytes("ab") + [351] + bytes("R:") + bytes("c") + [351])
        #expect(answered.answers == [2..<5, 7..<9])
    }

    @Test func answersThatCannotBeSaid() throws {
        let builder = try Self.builder("plain", .paper)
        for turn in [
            Turn(question: "Q"), Turn(question: "Q", answer: "a<stop>b"), Turn(question: "Q", answer: "<image>"),
            Turn(question: "<image>", answer: "a"),
        ] {
            #expect(throws: CrayonError.self) { try builder.answeredInput([turn]) }
        }
        #expect(throws: CrayonError.self) { try builder.answeredInput(text: "a <image>") }
    }
}
