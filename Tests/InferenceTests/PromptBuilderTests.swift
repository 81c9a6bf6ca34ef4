import Architecture
import Bytes
import Foundation
import Images
import Inference
import Models
import Testing

@Suite struct PromptBuilderTests {
    static let picture = Picture(input: ImageInput(width: 1, height: 1, pixels: [0, 0, 0]))

    func builder(
        _ template: PromptTemplate, image: Int? = 300, added: [String: Int32] = [:]
    ) -> PromptBuilder {
        PromptBuilder(
            template: template, tokens: SpecialTokens(begin: 1, end: [2], image: image),
            tokenizer: ByteTokenizer(added: added))
    }

    @Test func paperTemplate() throws {
        let turns = [
            Turn(question: "What?", pictures: [Self.picture], answer: "A horse"), Turn(question: "Where?"),
        ]
        #expect(
            try builder(.paper).text(turns)
                == "<image>\nUser: What?\nAssistant: A horse<stop>\nUser: Where?\nAssistant:")
    }

    @Test func demoTemplateAndSeveralPictures() throws {
        let text = try builder(.demo).text([Turn(question: "What?", pictures: [Self.picture])])
        // As the published code's make_system_prompt and demo_make_and_add_prompt_and_im_mask put it together.
        #expect(
            text == "AI assistant should give helpful and detailed answers to user after fully understanding an image. "
                + "<image> USER: None of detailed object information for image. What? ASSISTANT:")
        let two = try builder(.demo).text([Turn(question: "What?", pictures: [Self.picture, Self.picture])])
        #expect(two.contains("understanding an image. <image> <image> USER: "))
    }

    @Test func evaluationTemplateTellsObjects() throws {
        let map = PanopticMap(
            width: 2, height: 2, ids: [7, 7, 0, 0],
            segments: [PanopticSegment(id: 7, categoryID: 19)])
        var picture = Self.picture
        #expect(
            try builder(.evaluation).text([Turn(question: "What?", pictures: [picture])])
                .contains(
                    "an image. <image> [UNUSED_TOKEN_146]user\nNone of detailed object information for image. What?[UNUSED_TOKEN_145]"
                ))
        picture.maps = CrayonMapping(mostInstances: 20)(map, side: 2)
        #expect(
            try builder(.evaluation).text([Turn(question: "What?", pictures: [picture])])
                .contains("user\nThe image includes (#1 horse) [0.00, 0.00, 1.00, 0.50]. What?[UNUSED_TOKEN_145]"))
    }

    @Test(arguments: [true, false]) func idsAroundPictures(tokenizerKnowsMark: Bool) throws {
        let builder = builder(.paper, added: tokenizerKnowsMark ? ["<image>": 300] : [:])
        let input = try builder.input([Turn(question: "Q", pictures: [Self.picture])])
        #expect(input.tokens == [1, 300] + "\nUser: Q\nAssistant:".utf8.map { Int($0) + 3 })
        #expect(input.images.count == 1)
    }

    @Test func marksInTheQuestionPlacePictures() throws {
        let turn = Turn(question: "Left <image> or right <image>?", pictures: [Self.picture, Self.picture])
        #expect(try builder(.plain).text([turn]) == "Left <image> or right <image>?")
        #expect(throws: CrayonError.self) { _ = try builder(.plain).text([Turn(question: "<image>?")]) }
    }

    /// What the chat template of llava-hf/llava-1.5-7b-hf gives for one turn, and LLaVA's own end of an answer.
    @Test func llavaTemplateHasPicturesInTheTurn() throws {
        let turns = [
            Turn(question: "What?", pictures: [Self.picture], answer: "A horse"), Turn(question: "{images}?"),
        ]
        #expect(try builder(.llava).text([turns[1]]) == "USER: {images}? ASSISTANT:")
        #expect(
            try builder(.llava).text(turns)
                == "USER: <image>\nWhat? ASSISTANT: A horse</s>USER: {images}? ASSISTANT:")
        let placed = Turn(question: "What is <image>?", pictures: [Self.picture])
        #expect(try builder(.llava).text([placed]) == "USER: What is <image>? ASSISTANT:")
    }

    /// Conversations as the published chat template renders them, recorded by Scripts/reference/llava_processor.py. It has a space
    /// where LLaVA was trained with its end token; LLaVA's documentation has the token, too.
    @Test func llavaTemplateIsTheChatTemplates() throws {
        struct Recorded: Decodable {
            struct Case: Decodable {
                var questions: [String]
                var answers: [String]
                var pictured: Bool
                var text: String
            }
            var cases: [Case]
        }
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let data = try Data(contentsOf: root.appendingPathComponent("Fixtures/llava/prompts.json"))
        let recorded = try JSONDecoder().decode(Recorded.self, from: data)
        #expect(recorded.cases.count == 6)
        for sample in recorded.cases {
            let turns = sample.questions.enumerated().map { index, question in
                Turn(
                    question: question, pictures: sample.pictured && index == 0 ? [Self.picture] : [],
                    answer: index < sample.answers.count ? sample.answers[index] : nil)
            }
            #expect(try builder(.llava).text(turns).replacingOccurrences(of: "</s>", with: " ") == sample.text)
        }
    }

    @Test func braceNamesInAQuestionStay() throws {
        #expect(
            try builder(.demo).text([Turn(question: "{objects} {question} {answer}")]).contains(
                "USER: {objects} {question} {answer}"))
    }

    @Test func pictureForATextModel() throws {
        #expect(throws: CrayonError.self) {
            _ = try builder(.demo, image: nil).input([Turn(question: "Q", pictures: [Self.picture])])
        }
    }
}
