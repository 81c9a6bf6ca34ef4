import Architecture
import Tensors

/// A conversation about a scene in everyday words: what visual instruction data is to photographs.
///
/// Nothing of it is a crayon instruction: colours, counts, places and descriptions, in whole sentences without boxes.
struct SceneConversation {
    /// Questions with their answers, in the order in which they are asked.
    let exchanges: [(question: String, answer: String)]

    private struct Object {
        let name: String
        let isThing: Bool
        /// Middle of the box.
        let x: Int
        let y: Int
    }

    init(_ scene: SyntheticScene, seed: UInt64) {
        var random = SplitMix64(seed: seed, name: "conversation")
        let objects = Self.objects(scene)
        let things = objects.filter(\.isThing)
        var exchanges: [(question: String, answer: String)] = []
        for _ in 0..<1 + random.index(below: 3) {
            let made: (question: String, answer: String)
            switch random.index(below: 5) {
            case 0: made = Self.description(objects)
            case 1: made = Self.count(things, &random)
            case 2: made = Self.presence(things, &random)
            case 3: made = Self.side(things, &random)
            default: made = Self.ground(objects)
            }
            if !exchanges.contains(where: { $0.question == made.question }) { exchanges.append(made) }
        }
        self.exchanges = exchanges
    }

    private static func objects(_ scene: SyntheticScene) -> [Object] {
        let categories = Dictionary(uniqueKeysWithValues: SyntheticScene.categories.map { ($0.id, $0) })
        return scene.map.segments.compactMap { segment in
            guard let category = categories[segment.categoryID] else { return nil }
            let box = scene.map.extent(of: segment.id)
            return Object(
                name: category.promptName, isThing: category.isThing, x: (box.left + box.right) / 2,
                y: (box.top + box.bottom) / 2)
        }
    }

    private static func description(_ objects: [Object]) -> (String, String) {
        let things = objects.filter(\.isThing)
        let grounds = objects.filter { !$0.isThing }.sorted { $0.y < $1.y }.map(\.name)
        let names = things.map { "a \($0.name)" }
        let list =
            names.count < 2
            ? names.joined() : names.dropLast().joined(separator: ", ") + " and " + names[names.count - 1]
        return ("Describe the picture.", "It shows \(list) before \(grounds.joined(separator: " and ")).")
    }

    private static func count(_ things: [Object], _ random: inout SplitMix64) -> (String, String) {
        let name = things[random.index(below: things.count)].name
        let count = things.count { $0.name == name }
        return (
            "How many \(name)s are there?", count == 1 ? "There is 1 \(name)." : "There are \(count) \(name)s."
        )
    }

    private static func presence(_ things: [Object], _ random: inout SplitMix64) -> (String, String) {
        let all = SyntheticScene.categories.filter(\.isThing).map(\.promptName)
        let present = Set(things.map(\.name))
        let choice = random.uniform() < 0.5 ? all.filter(present.contains) : all.filter { !present.contains($0) }
        let name = choice[random.index(below: choice.count)]
        return (
            "Do you see a \(name)?", present.contains(name) ? "Yes, there is a \(name)." : "No, there is no \(name)."
        )
    }

    private static func side(_ things: [Object], _ random: inout SplitMix64) -> (String, String) {
        let unique = things.filter { thing in things.count { $0.name == thing.name } == 1 }
        guard let thing = unique.isEmpty ? nil : unique[random.index(below: unique.count)] else {
            return count(things, &random)
        }
        let middle = SyntheticScene.size / 2
        let side = thing.x < middle ? "left" : thing.x > middle ? "right" : "middle"
        return (
            "On which side is the \(thing.name)?",
            "The \(thing.name) is \(side == "middle" ? "in the" : "on the") \(side)."
        )
    }

    private static func ground(_ objects: [Object]) -> (String, String) {
        let grounds = objects.filter { !$0.isThing }.sorted { $0.y < $1.y }.map(\.name)
        return ("What is the background?", "The background is \(grounds.joined(separator: " and ")).")
    }
}
