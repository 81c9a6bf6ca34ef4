import Architecture
import Bytes
import Datasets
import Foundation
import Images
import JSON
import Testing

@Suite struct InstructionTests {
    /// The answers that the scenes' own script wrote down, from the maps it drew.
    @Test func listsAreThoseOfTheScenes() throws {
        guard case .array(let records) = try JSONValue.parse(file: "\(Fixtures.scenes)/questions.json") else { return }
        var lists: [String: String] = [:]
        for record in records {
            let reader = try JSONReader(record, place: "questions.json")
            if try reader.string("kind") == "list" { lists[try reader.string("image")] = try reader.string("answer") }
        }
        #expect(lists.count == 24)
        let instructions = try Fixtures.instructions(.init(weights: [.list: 1]))
        for index in 0..<instructions.count {
            let example = try instructions.example(index, epoch: 0)
            let name = try #require(example.pictures.first?.path.split(separator: "/").last)
            #expect(example.kind == "list")
            #expect(example.exchanges.map(\.answer) == [lists[String(name)]])
        }
    }

    @Test func sameSeedEpochAndIndexGiveTheSame() throws {
        let (one, two) = (try Fixtures.instructions(), try Fixtures.instructions())
        let forward = try (0..<24).map { try one.example($0, epoch: 3) }
        let backward = try (0..<24).reversed().map { try two.example($0, epoch: 3) }
        #expect(forward == backward.reversed())
        let other = try (0..<24).map { try one.example($0, epoch: 4) }
        #expect(zip(forward, other).count { $0 == $1 } < 6)
        let reseeded = try Fixtures.instructions(.init(seed: 1))
        #expect(try forward != (0..<24).map { try reseeded.example($0, epoch: 3) })
    }

    @Test func presenceIsBalancedAndTrue() throws {
        let instructions = try Fixtures.instructions(.init(weights: [.presence: 1]))
        var yes = 0
        let epochs = 50
        for epoch in 0..<epochs {
            for index in 0..<24 {
                let example = try instructions.example(index, epoch: epoch)
                let exchange = try #require(example.exchanges.first)
                let maps = try #require(example.pictures.first?.maps)
                let present = maps.objects.contains { object in
                    // "green cross" does not end another class's name.
                    exchange.question.contains(" \(object.name) in") || exchange.question.contains(" \(object.name)?")
                }
                #expect(exchange.answer == (present ? "Yes" : "No"), "\(exchange.question)")
                yes += exchange.answer == "Yes" ? 1 : 0
            }
        }
        // Four standard deviations of a fair coin.
        let asked = Double(24 * epochs)
        #expect(abs(Double(yes) - asked / 2) < 4 * (asked / 4).squareRoot())
    }

    /// No class can be guessed: sky, which is in most pictures, is as often asked about where it is not.
    @Test func presenceIsBalancedForEachClass() throws {
        let instructions = try Fixtures.instructions(.init(weights: [.presence: 1]))
        var counts: [String: (yes: Int, no: Int)] = [:]
        for epoch in 0..<100 {
            for index in 0..<24 {
                let exchange = try instructions.example(index, epoch: epoch).exchanges[0]
                let name = try #require(
                    instructions.view.categories.map(\.promptName).first { exchange.question.contains($0) })
                if exchange.answer == "Yes" {
                    counts[name, default: (0, 0)].yes += 1
                } else {
                    counts[name, default: (0, 0)].no += 1
                }
            }
        }
        #expect(counts.count == 16)
        for (name, count) in counts {
            let share = Double(count.yes) / Double(count.yes + count.no)
            #expect(share > 0.3 && share < 0.7, "\(name): \(count)")
        }
    }

    @Test func kindsComeInProportion() throws {
        let instructions = try Fixtures.instructions(.init(weights: [.list: 1, .class: 3]))
        var counts: [String: Int] = [:]
        for epoch in 0..<40 {
            for index in 0..<24 { counts[try instructions.example(index, epoch: epoch).kind, default: 0] += 1 }
        }
        let (list, inBox) = (counts["list", default: 0], counts["class", default: 0])
        #expect(list + inBox == 960)
        #expect(abs(Double(list) - 240) < 4 * (960.0 * 3 / 16).squareRoot())
    }

    @Test func severalQuestionsAboutOnePicture() throws {
        let instructions = try Fixtures.instructions(.init(questionsPerPicture: 4))
        let example = try instructions.example(5, epoch: 0)
        #expect(example.exchanges.count == 4)
        #expect(Set(example.exchanges.map(\.question)).count == 4)
        #expect(example.exchanges.map(\.pictureCount) == [1, 0, 0, 0])
        #expect(example.pictures.count == 1)
    }

    @Test func optionsThatMakeNoSense() throws {
        #expect(throws: (any Error).self) { try Fixtures.instructions(.init(weights: [:])) }
        #expect(throws: (any Error).self) { try Fixtures.instructions(.init(weights: [.list: -1])) }
        #expect(throws: (any Error).self) { try Fixtures.instructions(.init(questionsPerPicture: 0)) }
    }

    /// A picture in which the model knows nothing can still be asked about.
    @Test func nothingKnown() throws {
        let coco = try Fixtures.coco()
        let ship = PanopticCategory(id: 999, name: "ship", isThing: true)
        let sand = try #require(coco.categories.first { $0.name == "sand" })
        let options = CrayonInstructions.Options(weights: [.list: 1, .presence: 0])
        let instructions = try CrayonInstructions(
            coco, view: CrayonView(categories: [ship, sand], side: 8), options: options)
        var blank = 0
        for index in 0..<instructions.count {
            let example = try instructions.example(index, epoch: 0)
            if example.pictures[0].maps?.objects.isEmpty == false {
                #expect(example.exchanges.first?.answer.hasPrefix("Sure, it is (#1 sand) [") == true)
            } else {
                #expect(example.kind == "presence" && example.exchanges.first?.answer == "No")
                blank += 1
            }
        }
        #expect(blank > 5)
        let error = #expect(throws: CrayonError.self) {
            try CrayonInstructions(coco, view: CrayonView(categories: [ship], side: 8))
        }
        #expect(error?.description.contains("some of the model's classes: ship") == true)
    }
}
