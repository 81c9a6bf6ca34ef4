import Architecture
public import Bytes
import Datasets
import Images
import Inference
import Models

extension ObjectQuestions {
    /// Asks a model every question, and counts.
    ///
    /// A picture or annotation that is broken is left out and named in `ObjectScores.skipped`.
    /// - Parameter onPicture: called with how many pictures are done, after each.
    /// - Throws: `CrayonError` for a model that cannot be asked: one that reads text only, or whose grid is another than the
    ///   questions' while it is told maps.
    public func ask(
        _ model: ModelUnderTest, onPicture: (Int) -> Void = { _ in }
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
        for (done, index) in indices.enumerated() {
            let scene: ObjectScene
            let questioning: Questioning
            do throws(CrayonError) {
                scene = try self.scene(index)
                questioning = try Questioning(model, [scene.picture], maxNewTokens: 24)
            } catch {
                scores.skipped.append("\(error)")
                onPicture(done + 1)
                continue
            }
            for question in scene.questions {
                scores.count(try questioning.ask(question.text).text, to: question)
            }
            scores.pictures += 1
            onPicture(done + 1)
        }
        return scores
    }
}
