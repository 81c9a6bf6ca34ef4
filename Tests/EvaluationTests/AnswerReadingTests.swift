import Evaluation
import Testing

@Suite struct AnswerReadingTests {
    @Test(arguments: [
        ("Yes", true), ("no", false), (" Yes, there is a horse.", true), ("No.", false), ("\"Yes\"", true),
        ("Nobody", nil), ("A horse", nil), ("", nil), ("yesterday", nil), ("There is no horse", nil),
    ])
    func yesOrNo(answer: (text: String, says: Bool?)) {
        #expect(AnswerReading.yesOrNo(answer.text) == answer.says, "\(answer.text)")
    }

    @Test(arguments: [
        ("horse", "horse"), (" A horse.", "horse"), ("It is a  Traffic Light!", "traffic light"), ("the sky", "sky"),
        ("There is an apple", "apple"), ("a", "a"), ("", ""), ("It is", "it is"), ("hot-dog", "hot-dog"),
        ("horse and cow", "horse and cow"),
    ])
    func name(answer: (text: String, name: String)) {
        #expect(AnswerReading.name(answer.text) == answer.name)
    }

    @Test(arguments: [
        ("Yes", "no", true), ("Yes", "horse", false), ("Yes", "", false),
        ("Sure, it is (#1 horse) [0.06, 0.38, 0.27, 0.91]", "Sure, it is (#2 red cow) [0.00, 0.00, 1.00, 0.50]", true),
        ("Sure, it is (#1 horse) [0.06, 0.38, 0.27, 0.91]", "There is no horse in this image.", true),
        ("Sure, it is (#1 horse) [0.06, 0.38, 0.27, 0.91]", "Sure, it is (#1 horse) [0.06, 0.38, 0.27", false),
        ("Sure, it is (#1 horse) [0.06, 0.38, 0.27, 0.91]", "horse", false),
        (
            "Sure, it is (#1 horse) [0.06, 0.38, 0.27, 0.91]",
            "Sure, it is (#1 horse) [0.06, 0.38, 0.27, 0.91], (#2 horse) [0.06, 0.38, 0.27, 0.91]", true
        ),
        ("horse", "cow", true), ("horse", " ", false),
        ("horse", "Sure, it is (#1 horse) [0.06, 0.38, 0.27, 0.91]", false),
    ])
    func forms(asked: (right: String, answer: String, holds: Bool)) {
        #expect(InstructionForm(of: asked.right).holds(asked.answer) == asked.holds, "\(asked)")
    }
}
