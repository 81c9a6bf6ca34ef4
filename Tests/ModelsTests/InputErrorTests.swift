import Architecture
import Bytes
import Checkpoints
import Models
import Quantization
import Tensors
import Testing

/// A source that lacks a weight, or has one of another shape.
struct DamagedSource: ModelSource {
    let base: any ModelSource
    let role: Role
    let shape: [Int]?
    var place: String { base.place }
    var configuration: ModelConfiguration { base.configuration }
    var files: [AuxiliaryFile] { base.files }

    func weight(_ role: Role) throws(CrayonError) -> StoredWeight? {
        guard role == self.role else { return try base.weight(role) }
        return shape.map { dims in
            let shape = Shape(dims)
            return .dense(Tensor(name: "x", shape: shape, values: [Float](repeating: 0, count: shape.count)))
        }
    }
}

@Suite struct InputErrorTests {
    static func model(_ name: String) throws -> VisionLanguageModel {
        try VisionLanguageModel(source: try #require(Case.all.first { $0.name == name }).open())
    }

    static let picture = ImageInput(width: 35, height: 35, pixels: [Float](repeating: 0, count: 3 * 35 * 35))

    func grid(side: Int = 5, semantic: Int = 0, numbering: Int = 0) -> ImageInput {
        var picture = Self.picture
        picture.crayon = .unknown(side: side)
        picture.crayon?.semantic[3] = semantic
        picture.crayon?.numbering[3] = numbering
        return picture
    }

    @Test func picturesAndTokensThatDoNotFit() throws {
        let model = try Self.model("collavo-grouped")
        func expectError(_ input: ModelInput, _ part: String) {
            let error = #expect(throws: CrayonError.self) { _ = try model.logits(input) }
            #expect(error.map { "\($0)".contains(part) } == true, "\(error.map { "\($0)" } ?? "none")")
        }
        expectError(ModelInput(tokens: [1, -1]), "-1")
        expectError(ModelInput(tokens: [1, 90]), "90")
        expectError(ModelInput(tokens: [1, Int.max]), "\(Int.max)")
        expectError(ModelInput(tokens: [1, 89]), "0 for 1 placeholders")
        expectError(ModelInput(tokens: [1, 5], images: [Self.picture]), "1 for 0 placeholders")
        expectError(ModelInput(tokens: [89, 89], images: [Self.picture]), "1 for 2 placeholders")
        let small = ImageInput(width: 28, height: 28, pixels: [Float](repeating: 0, count: 3 * 28 * 28))
        expectError(ModelInput(tokens: [89], images: [small]), "28 x 28")
        expectError(ModelInput(tokens: [89], images: [grid(side: 6)]), "6 x 6")
        expectError(ModelInput(tokens: [89], images: [grid(semantic: 134)]), "134")
        expectError(ModelInput(tokens: [89], images: [grid(semantic: -1)]), "-1")
        expectError(ModelInput(tokens: [89], images: [grid(numbering: 21)]), "21")
        // The edges are inside.
        _ = try model.logits(ModelInput(tokens: [89], images: [grid(semantic: 133, numbering: 20)]))
    }

    @Test func emptyPrompt() throws {
        let model = try Self.model("llama")
        #expect(throws: CrayonError.self) {
            _ = try model.prefill(model.embed(ModelInput(tokens: [])), state: model.makeState())
        }
        #expect(throws: CrayonError.self) { _ = try model.step(token: 83, state: model.makeState()) }
    }

    @Test func pictureForATextModel() throws {
        let model = try Self.model("llama")
        #expect(throws: CrayonError.self) { _ = try model.logits(ModelInput(tokens: [1], images: [Self.picture])) }
        #expect(throws: CrayonError.self) { _ = try model.visionFeatures(of: Self.picture) }
    }

    @Test(arguments: [
        Role("backbone.layers.1.mlp.up.weight"), .head, .positionEmbedding, .semanticTable,
        Role("adapters.crayon.layers.0.attention.o.b.weight"), Role("vision.layers.1.norm2.bias"),
    ])
    func missingAndMisshapenWeights(_ role: Role) throws {
        let source = try #require(Case.all.first { $0.name == "collavo-grouped" }).open()
        for shape in [nil, [3, 4], [7]] as [[Int]?] {
            let error = #expect(throws: CrayonError.self) {
                _ = try VisionLanguageModel(source: DamagedSource(base: source, role: role, shape: shape))
            }
            #expect(error?.item == role.rawValue)
        }
    }

    @Test func probesThatContradictThemselves() throws {
        let configuration = try #require(Case.all.first { $0.name == "collavo-grouped" }).open().configuration
        let ids = Tensor(name: "input_ids", shape: Shape([2]), values: [1, 5] as [Int64])
        let logits = Tensor(name: "logits", shape: Shape([2, 89]), values: [Float](repeating: 0, count: 178))
        func read(_ tensors: [Tensor]) throws {
            _ = try Probe(TensorList(place: "probe", tensors: tensors), for: configuration)
        }
        try read([ids, logits])
        func floats(_ name: String, _ dims: [Int], _ value: Float = 0) -> Tensor {
            Tensor(name: name, shape: Shape(dims), values: [Float](repeating: value, count: Shape(dims).count))
        }
        func integers(_ name: String, _ dims: [Int], _ value: Int64) -> Tensor {
            Tensor(name: name, shape: Shape(dims), values: [Int64](repeating: value, count: Shape(dims).count))
        }
        for tensors in [
            [ids], [logits], [ids, floats("logits", [3, 89])], [ids, floats("logits", [2, 88])],
            [ids, floats("logits", [2, 89], .nan)], [floats("input_ids", [2]), logits],
            [integers("input_ids", [2, 1], 1), logits],
            [ids, logits, integers("labels", [3], 1)], [ids, logits, integers("labels", [2], 89)],
            [ids, logits, integers("labels", [2], -1)], [ids, logits, integers("positions", [2], 1)],
            [ids, logits, integers("positions", [1], 1)],
            [ids, floats("logits", [1, 89]), integers("positions", [1], 2)],
            [ids, logits, integers("semantic_map", [5, 5], 0)], [ids, logits, floats("pixel_values", [1, 35, 35])],
            [ids, logits, floats("pixel_values", [3, 35, 35]), integers("semantic_map", [5, 5], 0)],
            [
                ids, logits, floats("pixel_values", [3, 35, 35]), integers("semantic_map", [5, 5], 0),
                integers("numbering_map", [4, 4], 0),
            ],
        ] {
            #expect(throws: CrayonError.self, "\(tensors.map { "\($0.name) \($0.shape)" })") { try read(tensors) }
        }
    }
}
