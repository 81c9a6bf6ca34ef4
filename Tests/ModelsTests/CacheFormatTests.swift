import Architecture
import Checkpoints
import Foundation
import Layers
import Models
import Tensors
import Testing

/// Models whose keys and values are kept in fewer bits, against the float32 cache.
@Suite struct CacheFormatTests {
    static let narrow = [KVCacheFormat.f16, .int8]

    /// Relative error of logits that a format may add: rounding the keys and values changes them by so much of their size
    /// (half a unit of 11 bits; absmax / 254 of a head's largest element), which the blocks pass on. Measured at most
    /// 6.9e-4 and 1.31e-2 (`CRAYON_TEST_FIGURES=1`) on these models of random weights, whose attention has no favourites.
    static func tolerance(_ format: KVCacheFormat) -> Double {
        switch format {
        case .f32: 0
        case .f16: 1e-3
        case .int8: 2e-2
        }
    }

    static func model(
        _ name: String, _ format: KVCacheFormat, recomputes: Bool = true
    ) throws -> (model: VisionLanguageModel, probes: [Probe]) {
        let test = try #require(Case.all.first { $0.name == name })
        let source = try test.open()
        let probes = try test.probes.map {
            try Probe(SafetensorsFile(path: Fixtures.path($0.file)), for: source.configuration)
        }
        let options = VisionLanguageModel.Options(recomputesPastMaxPositions: recomputes, cacheFormat: format)
        return (try VisionLanguageModel(source: source, options: options), probes)
    }

    /// Logits of a prompt and of `steps` tokens behind it.
    static func logits(_ model: VisionLanguageModel, _ input: ModelInput, steps: Int) throws -> Matrix {
        let state = model.makeState()
        let vocabulary = model.configuration.backbone.vocabularySize
        var values = try model.prefill(model.embed(input), state: state).values
        for step in 0..<steps { values += try model.step(token: (step * 7 + 3) % vocabulary, state: state).values }
        return Matrix(rows: steps + 1, columns: vocabulary, values: values)
    }

    /// Grouped heads and pictures, dynamic scaling past its limit (the whole runs again), sliding windows.
    @Test(
        arguments: ["collavo-grouped", "golden", "llama", "qwen2-window", "mistral-window", "vicuna-linear-rope"],
        narrow)
    func logits(_ name: String, _ format: KVCacheFormat) throws {
        let (wide, probes) = try Self.model(name, .f32)
        let (model, _) = try Self.model(name, format)
        for probe in probes.prefix(3) {
            let expected = try Self.logits(wide, probe.input, steps: 40)
            let error = relativeError(try Self.logits(model, probe.input, steps: 40), expected)
            #expect(error < Self.tolerance(format), "\(probe.place)")
            #expect(error > 0)
            if ProcessInfo.processInfo.environment["CRAYON_TEST_FIGURES"] != nil {
                print("figure", format, probe.place, error)
            }
        }
    }

    /// Keys that are kept unrotated, from the length that dynamic scaling begins at.
    @Test(arguments: narrow) func unrotatedKeys(_ format: KVCacheFormat) throws {
        let (wide, _) = try Self.model("llama", .f32, recomputes: false)
        let (model, _) = try Self.model("llama", format, recomputes: false)
        let input = ModelInput(tokens: (0..<40).map { $0 * 5 % 83 })
        let expected = try Self.logits(wide, input, steps: 60)
        let error = relativeError(try Self.logits(model, input, steps: 60), expected)
        // The keys of positions before the limit are rounded twice.
        #expect(error < 2 * Self.tolerance(format) && error > 0)
    }

    /// Forgetting positions and reading others gives the bits of a sequence that never saw the first ones.
    @Test(arguments: KVCacheFormat.allCases) func forgettingPositions(_ format: KVCacheFormat) throws {
        let (model, probes) = try Self.model("mistral-window", format)
        let prompt = try model.embed(probes[0].input)
        let (state, fresh) = (model.makeState(), model.makeState())
        _ = try model.prefill(prompt, state: state)
        for token in [5, 6, 7] { _ = try model.step(token: token, state: state) }
        state.truncate(to: prompt.count)
        _ = try model.prefill(prompt, state: fresh)
        for token in [9, 8, 11] {
            #expect(try model.step(token: token, state: state).values == model.step(token: token, state: fresh).values)
        }
    }

    /// Memory of a sequence: a half, and a quarter and a float a head.
    @Test func memory() throws {
        let (wide, probes) = try Self.model("golden", .f32)
        func bytes(_ format: KVCacheFormat) throws -> Int {
            let (model, _) = try Self.model("golden", format)
            let state = model.makeState()
            _ = try model.prefill(model.embed(probes[0].input), state: state)
            return state.cacheByteCount
        }
        let head = wide.configuration.backbone.headSize
        #expect(try bytes(.f16) * 2 == bytes(.f32))
        #expect(try bytes(.int8) * 4 * head == bytes(.f32) * (head + 4))
    }
}
