import Architecture
public import Bytes
public import Datasets
import Images
import Tensors

/// The two object-level measures of CoLLaVO's paper.
public enum ObjectMeasure: String, Codable, CaseIterable, Sendable {
    /// Class2Binary: whether a class is there.
    case c2b
    /// Box2Class: which class is in a box.
    case b2c
}

/// A question about an object, and its right answer.
public struct ObjectQuestion: Sendable, Equatable {
    public var measure: ObjectMeasure
    /// Among the model's classes.
    public var category: Int
    public var text: String
    /// Of `c2b`: whether the class is there.
    public var isPresent: Bool
}

/// A picture with the questions about it.
public struct ObjectScene: Sendable {
    public var picture: ExamplePicture
    public var questions: [ObjectQuestion]
}

/// Questions about the pictures of a COCO panoptic data set.
///
/// C2B asks after every class that has a cell of the crayon grid, and after as many that have no segment at all, drawn by
/// the seed: half of the right answers are yes. B2C asks after every object that has a cell, crowds aside, unless one of
/// another class has the same box. Questions and answers follow from the files, the classes and the seed alone, whatever model is
/// asked.
public struct ObjectQuestions: Sendable {
    public let coco: COCOPanoptic
    public let view: CrayonView
    public let measures: [ObjectMeasure]
    public let seed: UInt64
    /// Annotations to ask about, in the order of asking.
    public let indices: [Int]

    /// - Parameters:
    ///   - view: classes and grid of the model, or of one that another is held against.
    ///   - limit: ask about so many pictures, drawn by the seed; nil for all.
    /// - Throws: `CrayonError` for a limit below 1, and for data of which the model knows no class.
    public init(
        _ coco: COCOPanoptic, view: CrayonView, measures: [ObjectMeasure] = ObjectMeasure.allCases, seed: UInt64 = 0,
        limit: Int? = nil
    ) throws(CrayonError) {
        if let limit, limit < 1 {
            throw CrayonError(.usage, in: "limit", found: "\(limit) pictures", expected: "1 or more")
        }
        try view.check(coco)
        self.coco = coco
        self.view = view
        self.measures = measures
        self.seed = seed
        if let limit, limit < coco.count {
            var generator = SplitMix64(seed: seed, name: "evaluated pictures")
            indices = generator.permutation(of: coco.count).prefix(limit).map(Int.init).sorted()
        } else {
            indices = Array(0..<coco.count)
        }
    }

    /// - Throws: `CrayonError` naming the record, for an annotation or a map that is broken.
    public func scene(_ index: Int) throws(CrayonError) -> ObjectScene {
        let annotation = try coco.annotation(index)
        let (picture, objects) = try view.picture(annotation)
        var questions: [ObjectQuestion] = []
        if measures.contains(.c2b) { questions += presence(index, picture.maps, annotation.panoptic.segments) }
        if measures.contains(.b2c) { questions += boxes(objects) }
        return ObjectScene(picture: picture, questions: questions)
    }

    private func presence(_ index: Int, _ maps: CrayonMaps?, _ segments: [PanopticSegment]) -> [ObjectQuestion] {
        let names = view.categories.map(\.promptName)
        let present = Set(maps?.semantic ?? []).subtracting([0]).map { $0 - 1 }.sorted()
        // What is annotated but too small for the grid is neither there nor not there.
        let annotated = Set(segments.compactMap { view.category(of: $0) }.map { names[$0] })
        var absent = names.indices.filter { !annotated.contains(names[$0]) }
        var generator = SplitMix64(seed: seed, name: "absent classes \(index)")
        let order = generator.permutation(of: absent.count).prefix(present.count)
        absent = order.map { absent[Int($0)] }.sorted()
        return present.map { (category: $0, isPresent: true) }.map(question)
            + absent.map { (category: $0, isPresent: false) }.map(question)

        func question(_ asked: (category: Int, isPresent: Bool)) -> ObjectQuestion {
            ObjectQuestion(
                measure: .c2b, category: asked.category, text: "Is there \(names[asked.category]) in this image?",
                isPresent: asked.isPresent)
        }
    }

    private func boxes(_ objects: [CrayonObject]) -> [ObjectQuestion] {
        objects.compactMap { object in
            guard let category = view.categories.firstIndex(where: { $0.promptName == object.name }),
                !objects.contains(where: { $0.name != object.name && $0.box.text == object.box.text })
            else { return nil }
            return ObjectQuestion(
                measure: .b2c, category: category, text: "What is in the box \(object.box.text)?", isPresent: true)
        }
    }
}
