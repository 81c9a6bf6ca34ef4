import Architecture
import Bytes
import Checkpoints
import Foundation
import JSON
import Kernels
import Models
import Tensors
import Testing

/// Every model of the fixtures against logits and tokens of an independent implementation (or the published one).
@Suite struct CaseTests {
    @Test func casesAreRead() { #expect(Case.all.count >= 14) }

    @Test(arguments: Case.all.filter { $0.name != "clip" }) func logits(_ test: Case) throws {
        let source = try test.open()
        for entry in test.probes {
            let probe = try Probe(SafetensorsFile(path: Fixtures.path(entry.file)), for: source.configuration)
            let weights: any ModelSource =
                entry.isQuantized ? QuantizedSource(source, rounded: entry.dequantizedTo == "bfloat16") : source
            let model = try VisionLanguageModel(
                source: weights, options: VisionLanguageModel.Options(lowRankSets: entry.adapters))
            let error = relativeError(try model.logits(probe.input, rows: probe.positions), probe.logits)
            #expect(error < entry.tolerance, "\(entry.file): \(error)")
            if ProcessInfo.processInfo.environment["CRAYON_TEST_FIGURES"] != nil { print("figure", entry.file, error) }
        }
    }

    /// The tower alone, its position grid kept, enlarged and reduced.
    @Test(arguments: [28, 42, 21]) func visionTower(imageSize: Int) throws {
        let parts = try #require(Case.all.first { $0.name == "parts" })
        let model = try VisionLanguageModel(source: parts.open(imageSize: imageSize))
        let file = try SafetensorsFile(path: Fixtures.path("clip/hidden-\(imageSize).safetensors"))
        let pixels = try #require(file.tensor("pixel_values")).floats
        let expected = try #require(file.tensor("last_hidden_state"))
        let reference = Matrix(rows: expected.shape[0], columns: expected.shape[1], values: expected.floats)
        let image = ImageInput(width: imageSize, height: imageSize, pixels: pixels)
        // The reference has the class token first.
        let error = relativeError(try model.visionFeatures(of: image), reference.rows(1..<reference.rows))
        #expect(error < 1e-5)
        if ProcessInfo.processInfo.environment["CRAYON_TEST_FIGURES"] != nil { print("figure clip", imageSize, error) }
    }

    /// With the cache, the tokens that the reference finds without one.
    @Test(arguments: Case.all.filter { !$0.greedy.isEmpty }) func greedy(_ test: Case) throws {
        let source = try test.open()
        let model = try VisionLanguageModel(source: source)
        for file in test.greedy {
            for run in try JSONReader(file: Fixtures.path(file)).objects("runs") {
                let probe = try Probe(
                    SafetensorsFile(path: Fixtures.path(run.string("probe"))), for: source.configuration)
                let expected = try run.ints("tokens")
                let tokens = try continued(probe.input, steps: expected.count, model: model)
                #expect(tokens == expected, "\(probe.place)")
            }
        }
    }
}

/// Greedy decoding with the cache.
func continued(_ input: ModelInput, steps: Int, model: VisionLanguageModel) throws -> [Int] {
    let state = model.makeState()
    var logits = try model.prefill(model.embed(input), state: state)
    var tokens: [Int] = []
    while true {
        tokens.append(best(Array(logits.row(0))))
        if tokens.count == steps { return tokens }
        logits = try model.step(token: tokens[tokens.count - 1], state: state)
    }
}

func best(_ logits: [Float]) -> Int {
    logits.indices.reduce(0) { logits[$1] > logits[$0] ? $1 : $0 }
}
