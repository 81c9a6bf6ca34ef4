/// How many of the questions of one kind were answered rightly.
public struct Tally: Codable, Sendable, Equatable {
    public var right: Int
    public var asked: Int

    public init(right: Int = 0, asked: Int = 0) {
        self.right = right
        self.asked = asked
    }

    /// Nil where nothing was asked.
    public var share: Double? { asked == 0 ? nil : Double(right) / Double(asked) }

    mutating func count(_ isRight: Bool) {
        asked += 1
        if isRight { right += 1 }
    }
}

/// What a model knows of one class.
public struct ClassScores: Codable, Sendable, Equatable {
    public var name: String
    /// C2B where the class is there, and where it is not.
    public var present = Tally()
    public var absent = Tally()
    /// B2C of its objects.
    public var boxes = Tally()

    public init(name: String) { self.name = name }

    /// The mean of the shares right where it is there and where it is not: 0.5 for a model that always says the same. Of
    /// a class of which only one was asked, that one; nil where neither was.
    public var c2b: Double? {
        guard let present = present.share else { return absent.share }
        guard let absent = absent.share else { return present }
        return (present + absent) / 2
    }

    public var b2c: Double? { boxes.share }
}

/// What a model knows of objects.
public struct ObjectScores: Codable, Sendable, Equatable {
    /// What took part: the model, its sets, the crayon prompt.
    public var model: String
    public var measures: [ObjectMeasure]
    public var pictures = 0
    /// By the model's classes, those that nothing was asked of among them.
    public var classes: [ClassScores]
    /// Questions by measure whose answer had the form asked for: yes or no, the name of a class.
    public var inForm: [String: Tally] = [:]
    /// Pictures that could not be asked about, and why.
    public var skipped: [String] = []

    public init(model: String, measures: [ObjectMeasure], classes: [String]) {
        self.model = model
        self.measures = measures
        self.classes = classes.map { ClassScores(name: $0) }
    }

    /// The mean over the classes of which something was asked.
    public var c2b: Double? { Self.mean(classes.compactMap(\.c2b)) }
    public var b2c: Double? { Self.mean(classes.compactMap(\.b2c)) }

    /// Over all questions, whatever the class.
    public func overall(_ measure: ObjectMeasure) -> Tally {
        classes.reduce(into: Tally()) { sum, scores in
            for tally in measure == .c2b ? [scores.present, scores.absent] : [scores.boxes] {
                sum.right += tally.right
                sum.asked += tally.asked
            }
        }
    }

    public func score(_ measure: ObjectMeasure) -> Double? { measure == .c2b ? c2b : b2c }

    /// Counts an answer.
    mutating func count(_ answer: String, to question: ObjectQuestion) {
        switch question.measure {
        case .c2b:
            let said = AnswerReading.yesOrNo(answer)
            inForm[ObjectMeasure.c2b.rawValue, default: Tally()].count(said != nil)
            if question.isPresent {
                classes[question.category].present.count(said == true)
            } else {
                classes[question.category].absent.count(said == false)
            }
        case .b2c:
            let said = AnswerReading.name(answer)
            let isName = classes.contains { AnswerReading.name($0.name) == said }
            inForm[ObjectMeasure.b2c.rawValue, default: Tally()].count(isName)
            classes[question.category].boxes.count(said == AnswerReading.name(classes[question.category].name))
        }
    }

    private static func mean(_ shares: [Double]) -> Double? {
        shares.isEmpty ? nil : shares.reduce(0, +) / Double(shares.count)
    }
}
