import CrayonKit

/// Scores of one measure as `--json` prints them.
struct EvaluationOutput: Encodable {
    var measure: String
    var models: [Model]

    struct Model: Encodable {
        var model: String
        var pictures: Int
        /// The mean over the classes, of which something was asked.
        var score: Double?
        var overall: Tally
        var inForm: Tally?
        var classes: [Class]
        var skipped: [String]
    }

    struct Class: Encodable {
        var name: String
        var score: Double?
        var present: Tally?
        var absent: Tally?
        var boxes: Tally?
    }

    init(_ measure: ObjectMeasure, _ scores: [ObjectScores]) {
        self.measure = measure.rawValue
        models = scores.map { scores in
            Model(
                model: scores.model, pictures: scores.pictures, score: scores.score(measure),
                overall: scores.overall(measure), inForm: scores.inForm[measure.rawValue],
                classes: scores.classes.map { scores in
                    measure == .c2b
                        ? Class(name: scores.name, score: scores.c2b, present: scores.present, absent: scores.absent)
                        : Class(name: scores.name, score: scores.b2c, boxes: scores.boxes)
                }, skipped: scores.skipped)
        }
    }
}

/// The same for a person: a row a class, a column a model.
enum EvaluationText {
    static func render(_ measure: ObjectMeasure, _ scores: [ObjectScores]) -> String {
        guard let first = scores.first else { return "" }
        var header = ["class"] + (measure == .c2b ? ["there", "not there"] : ["boxes"])
        header += scores.count > 1 ? scores.indices.map { "\(Character(Unicode.Scalar(65 + UInt8($0))))" } : ["right"]
        if scores.count == 2 { header.append("A - B") }
        var rows: [[String]] = []
        for (index, asked) in first.classes.enumerated() {
            let values = scores.map { measure == .c2b ? $0.classes[index].c2b : $0.classes[index].b2c }
            guard values.contains(where: { $0 != nil }) else { continue }
            let counts = measure == .c2b ? [asked.present.asked, asked.absent.asked] : [asked.boxes.asked]
            rows.append([asked.name] + counts.map(String.init) + columns(values))
        }
        let blank = Array(repeating: "", count: measure == .c2b ? 2 : 1)
        rows.append(["mean of \(rows.count) classes"] + blank + columns(scores.map { $0.score(measure) }))
        rows.append(["all questions"] + counts(first, measure) + columns(scores.map { $0.overall(measure).share }))
        let form = scores.map { $0.inForm[measure.rawValue]?.share }
        rows.append([measure == .c2b ? "yes or no said" : "a class named"] + blank + columns(form))
        let table = Format.table(header, rows, rightAligned: Set(1..<header.count))
        guard scores.count > 1 else { return table }
        let names = zip(header.dropFirst(blank.count + 1), scores).map { "\($0): \($1.model)" }
        return table + "\n\n" + names.joined(separator: "\n")
    }

    private static func counts(_ scores: ObjectScores, _ measure: ObjectMeasure) -> [String] {
        guard measure == .c2b else { return ["\(scores.overall(.b2c).asked)"] }
        return [
            "\(scores.classes.reduce(0) { $0 + $1.present.asked })",
            "\(scores.classes.reduce(0) { $0 + $1.absent.asked })",
        ]
    }

    private static func columns(_ values: [Double?]) -> [String] {
        let cells = values.map { $0.map(Format.percent) ?? "-" }
        guard values.count == 2 else { return cells }
        guard let one = values[0], let other = values[1] else { return cells + ["-"] }
        return cells + [Format.percent(one - other)]
    }
}
