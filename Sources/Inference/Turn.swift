/// A question and its answer, with the pictures that are shown with the question.
public struct Turn: Sendable, Equatable {
    public var question: String
    public var pictures: [Picture]
    /// Nil while it is not answered.
    public var answer: String?

    public init(question: String, pictures: [Picture] = [], answer: String? = nil) {
        self.question = question
        self.pictures = pictures
        self.answer = answer
    }
}
