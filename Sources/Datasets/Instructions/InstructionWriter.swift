import Architecture
import Foundation
import Images
import Tensors

/// Draws questions about one picture, and answers them.
struct InstructionWriter {
    let objects: [CrayonObject]
    let view: CrayonView
    let options: CrayonInstructions.Options
    var generator: SplitMix64
    /// Classes of the picture, crowds among them, in the order of the model's categories.
    private let present: [PanopticCategory]
    private let absent: [PanopticCategory]
    private let absentWeights: [Double]

    init(
        objects: [CrayonObject], maps: CrayonMaps, view: CrayonView, options: CrayonInstructions.Options,
        absentWeights: [Double], generator: SplitMix64
    ) {
        self.objects = objects
        self.view = view
        self.options = options
        self.generator = generator
        let rows = Set(maps.semantic)
        let classes = view.categories.enumerated()
        // Two categories may share a name in words: then the word is there if one of them is.
        let names = Set(classes.filter { rows.contains($0.offset + 1) }.map(\.element.promptName))
        present = classes.filter { rows.contains($0.offset + 1) }.map(\.element)
        let others = classes.filter { !names.contains($0.element.promptName) }
        absent = others.map(\.element)
        // One that shares a word with what is there is harder to tell.
        let words = Set(names.flatMap(Self.words))
        self.absentWeights = others.map { other in
            absentWeights[other.offset] * (Self.words(other.element.promptName).contains(where: words.contains) ? 2 : 1)
        }
    }

    mutating func next() -> (kind: InstructionKind, exchange: Exchange) {
        let kinds = InstructionKind.allCases.filter { options.weights[$0, default: 0] > 0 && canAsk($0) }
        // A picture of which nothing is known can still be asked what is not there.
        let kind =
            kinds.isEmpty ? .presence : kinds[generator.index(weights: kinds.map { options.weights[$0, default: 0] })]
        switch kind {
        case .list: return (kind, Exchange(question: wording(kind), answer: InstructionAnswer.objects(objects)))
        case .box: return (kind, boxes())
        case .class: return (kind, classInBox())
        case .presence: return (kind, presence())
        }
    }

    private func canAsk(_ kind: InstructionKind) -> Bool {
        switch kind {
        case .list: !objects.isEmpty && objects.count <= options.mostObjects
        case .box: !countable.isEmpty
        case .class: !unmistakable.isEmpty
        case .presence: true
        }
    }

    /// Classes whose objects are few enough to be listed, in order.
    private var countable: [String] {
        var names: [String] = []
        for object in objects where !names.contains(object.name) { names.append(object.name) }
        return names.filter { name in objects.count { $0.name == name } <= options.mostObjects }
    }

    /// Objects that no other class shares a box with.
    private var unmistakable: [CrayonObject] {
        objects.filter { object in
            !objects.contains { $0.name != object.name && $0.box.text == object.box.text }
        }
    }

    private mutating func boxes() -> Exchange {
        // Now and then one that is not there, so that a question is not taken for a proof.
        if generator.uniform() < 0.08, let category = drawAbsent() {
            let name = category.promptName
            return Exchange(
                question: wording(.box, category), answer: InstructionAnswer.absent(name))
        }
        let names = countable
        let name = names[generator.index(below: names.count)]
        let category = view.categories.first { $0.promptName == name }
        return Exchange(
            question: wording(.box, category),
            answer: InstructionAnswer.objects(objects.filter { $0.name == name }))
    }

    private mutating func classInBox() -> Exchange {
        let candidates = unmistakable
        let object = candidates[generator.index(below: candidates.count)]
        let box = options.variesBoxes ? asPeopleWriteIt(object.box) : object.box.text
        return Exchange(question: wording(.class).replacing("{box}", with: box), answer: object.name)
    }

    private mutating func presence() -> Exchange {
        let wantsYes = generator.uniform() < 0.5
        if wantsYes || absent.isEmpty, !present.isEmpty {
            let category = present[generator.index(below: present.count)]
            return Exchange(question: wording(.presence, category), answer: InstructionAnswer.yes)
        }
        return Exchange(question: wording(.presence, drawAbsent()), answer: InstructionAnswer.no)
    }

    private mutating func drawAbsent() -> PanopticCategory? {
        absent.isEmpty ? nil : absent[generator.index(weights: absentWeights)]
    }

    private static func words(_ name: String) -> [Substring] { name.split { $0 == " " || $0 == "-" } }

    private mutating func wording(_ kind: InstructionKind, _ category: PanopticCategory? = nil) -> String {
        let wordings = kind.wordings
        let text = wordings[generator.index(below: wordings.count)]
        guard let category else { return text }
        return text.replacing("{a class}", with: category.nameWithArticle)
            .replacing("{class}", with: category.promptName)
    }

    /// Exactly half the time; else without the zeros at the end, or a little off.
    private mutating func asPeopleWriteIt(_ box: CrayonBox) -> String {
        let draw = generator.uniform()
        if draw < 0.6 { return box.text }
        var numbers = [box.x0, box.y0, box.x1, box.y1].map(Double.init)
        if draw < 0.8 {
            return "[" + numbers.map(Self.shortest).joined(separator: ", ") + "]"
        }
        for index in numbers.indices {
            numbers[index] = min(max(numbers[index] + (generator.uniform() - 0.5) * 0.04, 0), 1)
        }
        return "[" + numbers.map { String(format: "%.2f", $0) }.joined(separator: ", ") + "]"
    }

    /// Two decimals without zeros at the end, one decimal at least.
    private static func shortest(_ number: Double) -> String {
        let text = String(format: "%.2f", number)
        return text.hasSuffix("0") ? String(text.dropLast()) : text
    }
}

extension PanopticCategory {
    /// "a horse", "an apple"; stuff has no article.
    var nameWithArticle: String {
        guard isThing, let first = promptName.lowercased().first else { return promptName }
        return ("aeiou".contains(first) ? "an " : "a ") + promptName
    }
}
