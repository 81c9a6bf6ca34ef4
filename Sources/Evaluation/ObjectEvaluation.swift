import Architecture
public import Bytes
import Datasets
import Images
public import Inference
import Models

extension ObjectQuestions {
    /// Asks a model every question, and counts.
    ///
    /// A picture or annotation that is broken is left out and named in `ObjectScores.skipped`.
    /// - Parameters:
    ///   - onPicture: called with how many pictures are done, after each.
    ///   - onAnswer: called with each question and the model's answer.
    /// - Throws: `CrayonError` for a model that cannot be asked: one that reads text only, or whose grid is another than the
    ///   questions' while it is told maps.
    public func ask(
        _ model: ModelUnderTest, onPicture: (Int) -> Void = { _ in },
        onAnswer: (ObjectQuestion, Generation) -> Void = { _, _ in }
    ) throws(CrayonError) -> ObjectScores {
        guard model.model.configuration.vision != nil else {
            throw CrayonError(
                .usage, in: model.name, found: "a model that reads text only", expected: "a model with a vision part")
        }
        if let own = CrayonView(model.model.configuration), model.tellsMaps, own.side != view.side {
            throw CrayonError(
                .mismatch, in: model.name, found: "a grid of \(own.side) x \(own.side) cells",
                expected: "\(view.side) x \(view.side), as the model that it is held against")
        }
        var scores = ObjectScores(model: model.name, measures: measures, classes: view.categories.map(\.promptName))
        let questioning = try Questioning(model, maxNewTokens: 24)
        for (done, index) in indices.enumerated() {
            let scene: ObjectScene
            let pictures: [Picture]
            do throws(CrayonError) {
                scene = try self.scene(index)
                pictures = try model.pictures([scene.picture])
            } catch {
                scores.skipped.append("\(error)")
                onPicture(done + 1)
                continue
            }
            let answers = try questioning.answers(
                to: scene.questions.map { [Turn(question: $0.text, pictures: pictures)] })
            for (question, answer) in zip(scene.questions, answers) {
                scores.count(answer.text, to: question)
                onAnswer(question, answer)
            }
            scores.pictures += 1
            onPicture(done + 1)
        }
        return scores
    }
}
