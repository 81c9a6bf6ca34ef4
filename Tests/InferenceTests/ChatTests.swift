import Architecture
import Bytes
import Checkpoints
import Foundation
import Images
import Inference
import Models
import Testing
import Tokenization

/// Conversations with the sample model of the repository.
@Suite struct ChatTests {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Scripts/sample")
    static let source = Result {
        try CheckpointModel.open(CheckpointParts(checkpoint: folder.appending(path: "checkpoint").path))
    }

    func chat(template: PromptTemplate? = nil) throws -> ChatSession {
        try ChatSession(source: try Self.source.get(), template: template)
    }

    func picture(_ name: String, panoptic: Bool = true) throws -> Picture {
        func path(_ file: String) -> String { Self.folder.appending(path: "scenes/\(file)").path }
        let map =
            try panoptic
            ? PanopticMap(path: path("\(name)_panoptic.png"), segments: path("\(name)_segments.json")) : nil
        return try Picture(
            RGBImage(path: path("\(name).png")), panoptic: map, for: try Self.source.get().configuration)
    }

    static let short = GenerationOptions(maxNewTokens: 24)

    @Test func piecesJoinToTheAnswer() throws {
        let chat = try chat()
        var pieces: [String] = []
        let answer = try chat.ask(
            "Where is the red circle?", pictures: [picture("000")], options: GenerationOptions(maxNewTokens: 60)
        ) { pieces.append($0) }
        #expect(pieces.joined() == answer.text)
        #expect(pieces.count > 3)
        #expect(!answer.text.isEmpty && answer.text.first?.isWhitespace == false)
        #expect(!answer.text.contains("<stop>"))
        #expect(answer.reason == .stopText)
        #expect(chat.turns.map(\.answer) == [answer.text])
        #expect(answer.statistics.promptPositions > 64)
        #expect(answer.statistics.decodingSteps == answer.statistics.newTokens - 1)
    }

    /// The second question's answer is that of a conversation read from the start, though most of it comes from the cache.
    @Test func laterTurnsReuseTheCache() throws {
        let (first, second) = (try picture("000"), try picture("001", panoptic: false))
        let kept = try chat()
        try kept.ask("Is there a red circle in this image?", pictures: [first], options: Self.short)
        let answer = try kept.ask("What is in the box [0.1, 0.2, 0.5, 0.6]?", pictures: [second], options: Self.short)
        #expect(answer.statistics.reusedPositions > 64)

        let generator = Generator(model: kept.model, tokenizer: kept.builder.tokenizer)
        var turns = kept.turns
        turns[1].answer = nil
        let fresh = try generator.generate(
            try kept.builder.input(turns), options: Self.short, stop: kept.builder.template.stop)
        #expect(fresh.statistics.reusedPositions == 0)
        #expect(fresh.tokens == answer.tokens)
        #expect(fresh.text == answer.text)
    }

    @Test func samePromptAgain() throws {
        let chat = try chat()
        let input = try chat.builder.input([Turn(question: "Is there a red circle?", pictures: [picture("000")])])
        let generator = Generator(model: chat.model, tokenizer: chat.builder.tokenizer)
        let once = try generator.generate(input, options: Self.short)
        let twice = try generator.generate(input, options: Self.short)
        #expect(once.tokens == twice.tokens)
        // All but the position whose logits are wanted.
        #expect(twice.statistics.reusedPositions == twice.statistics.promptPositions - 1)
        generator.reset()
        #expect(generator.cachedPositions == 0)
        #expect(try generator.generate(input, options: Self.short).tokens == once.tokens)
    }

    @Test func lengthAndStopTexts() throws {
        let chat = try chat()
        let picture = try picture("000")
        let whole = try chat.ask("Where is the red circle?", pictures: [picture], options: Self.short)
        chat.reset()
        let cut = try chat.ask(
            "Where is the red circle?", pictures: [picture], options: GenerationOptions(maxNewTokens: 3))
        #expect(cut.reason == .length && cut.tokens == Array(whole.tokens.prefix(3)))
        chat.reset()
        // A stop text inside the answer.
        let middle = String(whole.text.dropFirst(2).prefix(3))
        let stopped = try chat.ask(
            "Where is the red circle?", pictures: [picture],
            options: GenerationOptions(maxNewTokens: 24, stop: [middle]))
        #expect(stopped.reason == .stopText)
        #expect(stopped.text + middle == String(whole.text.prefix(stopped.text.count + middle.count)))
    }

    @Test func sampledAnswersDependOnTheSeedAlone() throws {
        let chat = try chat()
        let input = try chat.builder.input([Turn(question: "What is it?", pictures: [picture("000")])])
        func tokens(_ seed: UInt64) throws -> [Int] {
            let sampling = SamplingOptions(temperature: 2, topK: 50, repetitionPenalty: 1.1, seed: seed)
            return try Generator(model: chat.model, tokenizer: chat.builder.tokenizer)
                .generate(input, options: GenerationOptions(sampling: sampling, maxNewTokens: 20)).tokens
        }
        #expect(try tokens(1) == tokens(1))
        #expect(try tokens(1) != tokens(2))
    }

    @Test func answersAsAStream() async throws {
        let chat = try chat()
        let input = try chat.builder.input([Turn(question: "Where is the red circle?", pictures: [picture("000")])])
        let stop = chat.builder.template.stop
        var text = ""
        for try await piece in chat.model.answer(
            input, tokenizer: chat.builder.tokenizer, options: Self.short, stop: stop)
        {
            text += piece
        }
        #expect(try text == chat.ask("Where is the red circle?", pictures: [picture("000")], options: Self.short).text)
    }

    @Test func failuresLeaveTheConversation() throws {
        struct Enough: Error {}
        let chat = try chat()
        let picture = try picture("000")
        #expect(throws: Enough.self) { try chat.ask("Where?", pictures: [picture]) { _ in throw Enough() } }
        #expect(chat.turns.isEmpty)
        #expect(throws: CrayonError.self) { try chat.ask("What is <image>?", options: Self.short) }
        #expect(throws: CrayonError.self) { try chat.ask("What?", options: GenerationOptions(maxNewTokens: 0)) }
        let answer = try chat.ask("Where is the red circle?", pictures: [picture], options: Self.short)
        #expect(
            answer.tokens
                == (try self.chat().ask("Where is the red circle?", pictures: [picture], options: Self.short)).tokens)
    }

    @Test func aPictureWithoutAMapSaysSo() throws {
        let picture = try picture("000", panoptic: false)
        #expect(picture.warnings.count == 1 && picture.warnings[0].contains("no panoptic map"))
        #expect(picture.input.crayon == nil)
        #expect(try self.picture("000").warnings.isEmpty)
    }
}
