import Architecture
import Bytes
import Checkpoints
import Datasets
import Evaluation
import Foundation
import Images
import Inference
import Models
import Plots
import Testing
import Tokenization

@Suite struct ObjectEvaluationTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path
    static let checkpoint = "\(root)/Scripts/sample/checkpoint"

    static func source() throws -> CheckpointModel { try CheckpointModel.open(CheckpointParts(checkpoint: checkpoint)) }
    static func coco() throws -> COCOPanoptic { try COCOPanoptic(COCOLayout(path: "\(root)/Scripts/sample/scenes")) }

    static func questions(
        _ measures: [ObjectMeasure] = ObjectMeasure.allCases, seed: UInt64 = 0, limit: Int? = nil
    ) throws -> ObjectQuestions {
        let view = try #require(try CrayonView(source().configuration))
        return try ObjectQuestions(coco(), view: view, measures: measures, seed: seed, limit: limit)
    }

    @Test func questionsAreBalancedAndTrue() throws {
        let questions = try Self.questions()
        #expect(questions.indices == Array(0..<24))
        for index in questions.indices {
            let scene = try questions.scene(index)
            let names = try #require(scene.picture.maps).objects.map(\.name)
            let presence = scene.questions.filter { $0.measure == .c2b }
            #expect(presence.count { $0.isPresent } == presence.count { !$0.isPresent })
            #expect(presence.count == 2 * Set(names).count)
            for question in presence {
                let name = questions.view.categories[question.category].promptName
                #expect(question.isPresent == names.contains(name))
                #expect(question.text == "Is there \(name) in this image?")
            }
            #expect(Set(presence.map(\.category)).count == presence.count)
            let boxes = scene.questions.filter { $0.measure == .b2c }
            #expect(boxes.map { questions.view.categories[$0.category].promptName } == names)
        }
        let again = try Self.questions()
        #expect(try again.scene(3).questions == questions.scene(3).questions)
        let other = try Self.questions(seed: 1)
        #expect(try (0..<24).contains { try other.scene($0).questions != questions.scene($0).questions })
    }

    /// The sample's own answers, asked one by one without any cache.
    @Test func scoresAreThoseOfSingleAnswers() throws {
        let source = try Self.source()
        let questions = try Self.questions(limit: 6)
        #expect(questions.indices.count == 6)
        let scores = try questions.ask(ModelUnderTest(source: source))
        var right: [ObjectMeasure: Int] = [:]
        var asked: [ObjectMeasure: Int] = [:]
        let chat = try ChatSession(source: source)
        for index in questions.indices {
            let scene = try questions.scene(index)
            let picture = try Picture(
                RGBImage(path: scene.picture.path), panoptic: questions.coco.annotation(index).panoptic.read(),
                for: source.configuration)
            for question in scene.questions {
                chat.reset()
                let answer = try chat.ask(question.text, pictures: [picture]).text
                let expected =
                    question.measure == .c2b
                    ? (question.isPresent ? "Yes" : "No") : questions.view.categories[question.category].promptName
                asked[question.measure, default: 0] += 1
                right[question.measure, default: 0] += answer == expected ? 1 : 0
            }
        }
        for measure in ObjectMeasure.allCases {
            let tally = scores.overall(measure)
            #expect(tally == Tally(right: right[measure, default: 0], asked: asked[measure, default: 0]))
            #expect(scores.inForm[measure.rawValue]?.share == 1)
        }
        #expect(scores.pictures == 6 && scores.skipped.isEmpty)
    }

    /// The questions about a picture have its positions in common: they and the tower run once, whatever the batch.
    @Test(arguments: [1, 4, 16]) func picturesAreReadOnce(batch: Int) throws {
        let questions = try Self.questions(limit: 5)
        let source = try Self.source()
        var statistics = GenerationStatistics()
        let scores = try questions.ask(
            ModelUnderTest(source: source, batch: batch), onAnswer: { statistics += $1.statistics })
        #expect(scores.pictures == 5 && statistics.answers > 40)
        #expect(statistics.towerRuns == 5)
        // 64 patches a picture, and not that many for all else that is new.
        let new = statistics.promptPositions - statistics.reusedPositions
        #expect(new > 5 * 64 && new < 5 * 128 + 40 * statistics.answers)
        let alone = try questions.ask(ModelUnderTest(source: source))
        #expect(scores == alone)
    }

    /// Without the crayon prompt the sample is worse at objects.
    @Test func crayonMatters() throws {
        let source = try Self.source()
        let questions = try Self.questions([.c2b])
        let with = try questions.ask(ModelUnderTest(source: source))
        let without = try questions.ask(
            ModelUnderTest(source: source, options: .init(usesCrayon: false)))
        let (one, other) = try (#require(with.c2b), #require(without.c2b))
        #expect(one > other + 0.03 && other > 0.6)
        #expect(with.b2c == nil)
    }

    @Test func classScores() {
        var scores = ClassScores(name: "horse")
        #expect(scores.c2b == nil && scores.b2c == nil)
        scores.present = Tally(right: 3, asked: 3)
        #expect(scores.c2b == 1)
        // Always yes is a coin's score, however often it was right.
        scores.present = Tally(right: 30, asked: 30)
        scores.absent = Tally(right: 0, asked: 2)
        #expect(scores.c2b == 0.5)
        scores.boxes = Tally(right: 1, asked: 4)
        #expect(scores.b2c == 0.25)
    }

    @Test func chartOfBothMeasures() {
        var scores = ObjectScores(model: "a", measures: ObjectMeasure.allCases, classes: ["horse", "cow", "sky"])
        scores.classes[0].present = Tally(right: 1, asked: 2)
        scores.classes[0].boxes = Tally(right: 3, asked: 4)
        scores.classes[1].boxes = Tally(right: 1, asked: 1)
        let alone = ObjectScores.chart([scores])
        // A class of which one measure was not asked has no place.
        #expect(alone.series.map(\.points) == [[Chart.Point(50, 75, label: "horse")]])
        let two = ObjectScores.chart([scores, scores])
        #expect(two.series.map(\.points) == [[Chart.Point(50, 75)], [Chart.Point(50, 75)]])
        #expect(two.series.map(\.name) == ["a", "a"])
    }

    @Test func brokenPicturesAreLeftOut() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "crayon-\(UUID().uuidString)").path
        try FileManager.default.copyItem(atPath: "\(Self.root)/Scripts/sample/scenes", toPath: folder)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Data([0]).write(to: URL(filePath: "\(folder)/000.png"))
        let source = try Self.source()
        let view = try #require(CrayonView(source.configuration))
        let questions = try ObjectQuestions(COCOPanoptic(COCOLayout(path: folder)), view: view, measures: [.b2c])
        let scores = try questions.ask(ModelUnderTest(source: source))
        #expect(scores.pictures == 23)
        #expect(scores.skipped.count == 1 && scores.skipped.first?.contains("000.png") == true)
    }

    @Test func instructionsToTheLetter() throws {
        let source = try Self.source()
        let view = try #require(CrayonView(source.configuration))
        let instructions = try CrayonInstructions(
            Self.coco(), view: view, options: .init(weights: [.class: 1, .presence: 1]))
        let examples = try (0..<24).map { try instructions.example($0, epoch: 0) }
        var answers = 0
        let scores = try InstructionScores(asking: examples, of: ModelUnderTest(source: source)) { _, _, _ in
            answers += 1
        }
        #expect(try scores == InstructionScores(asking: examples, of: ModelUnderTest(source: source, batch: 3)))
        #expect(answers == 24 && scores.exact.asked == 24)
        #expect(Set(scores.kinds.map(\.kind)) == ["class", "presence"])
        #expect(scores.exact.right >= 18)
        #expect(scores.followed.right == 24)
    }

    @Test func modelsThatCannotBeAsked() throws {
        #expect(throws: CrayonError.self) { try Self.questions(limit: 0) }
        let view = CrayonView(categories: try Self.coco().categories, side: 35)
        let questions = try ObjectQuestions(Self.coco(), view: view)
        let error = #expect(throws: CrayonError.self) { try questions.ask(ModelUnderTest(source: Self.source())) }
        #expect(error?.description.contains("8 x 8 cells") == true)
    }
}
